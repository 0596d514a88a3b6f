"""Loaders in a run: watched, sharded among processes, begun ahead of the run, or resumed in the middle of an epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from .batches import BatchLoader, as_batch
from .images import ImageLoader
from .process_group import ProcessGroup
from .random_states import RandomStates


@dataclass
class WrappedLoader:
    """A loader that is gone through in a way of its own."""

    loader: Any

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def examples(self) -> int | None:
        """Examples in the data set, if the loader tells."""
        return getattr(self.loader, "examples", None)


@dataclass
class WatchedLoader(WrappedLoader):
    """A loader that tells of each pass over it and of each batch, before and after it has been used.

    Attributes:
        before_pass, after_batch: Called without arguments.
        before_batch: Called with the batch.
    """

    before_pass: Callable[[], None]
    before_batch: Callable[[Any], None]
    after_batch: Callable[[], None]

    def __iter__(self) -> Iterator[Any]:
        self.before_pass()
        for batch in map(as_batch, self.loader):
            self.before_batch(batch)
            yield batch
            self.after_batch()


@dataclass
class ShardedLoader(WrappedLoader):
    """A loader of which each process takes its shard of every batch.

    All begin to go through it in the random states of rank 0, which are to decide what is in the batches.
    """

    processes: ProcessGroup
    random_states: RandomStates

    def __iter__(self) -> Iterator[Any]:
        own = self.random_states.get()
        shared = self.processes.all_gather_json(own)[0]
        if not self.processes.is_main:
            self.random_states.set(shared)
        batches = iter(self.loader)
        begun = list(islice(batches, 1))  # until then a loader may have drawn nothing
        if not self.processes.is_main:
            self.random_states.set(own)
        for batch in map(as_batch, chain(begun, batches)):
            shard = self.processes.shard(len(batch[-1]))
            yield [tensor[shard] for tensor in batch]


@dataclass
class BegunLoader(WrappedLoader):
    """A training loader that has been looked ahead into, for shapes.

    Attributes:
        go_on: Brings the random states to where the look has left them, once its draws have been repeated.
        begun: The batches of the first epoch, if the loader has been asked for them.
    """

    go_on: Callable[[], None] | None
    begun: Iterator[Any] | None

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader) if self.begun is None else self.begun
        go_on = self.go_on
        self.begun = self.go_on = None
        for batch in batches:
            if go_on is not None:
                go_on()
                go_on = None
            yield batch


@dataclass
class ResumedLoader(WrappedLoader):
    """A training loader whose first epoch is resumed after so many batches.

    Attributes:
        skip: The batches that are done.
        epoch_random: The random states that the epoch began with.
        resumed_random: Those of now.
    """

    skip: int
    epoch_random: dict[str, Any]
    resumed_random: dict[str, Any]
    random_states: RandomStates = field(repr=False)

    def __iter__(self) -> Iterator[Any]:
        skip, self.skip = self.skip, 0
        if not skip:
            return iter(self.loader)
        self.random_states.set(self.epoch_random)
        batches = iter_from(skip, self.loader)
        self.random_states.set(self.resumed_random)
        return batches


def unwrapped(loader: Any) -> Any:
    """The loader that a data module has given, without what a run puts around it."""
    while isinstance(loader, WrappedLoader):
        loader = loader.loader
    return loader


def is_own(loader: Any) -> bool:
    """Whether a loader is one of ours, which can begin anywhere, and gives an example without reading or drawing."""
    return isinstance(loader, (BatchLoader, ImageLoader))


def iter_from(skip: int, loader: Any) -> Iterator[Any]:
    """What an epoch has after so many batches. Of loaders other than our own, these have to be made."""
    if is_own(loader):
        return loader.iter_from(skip)
    batches = iter(loader)
    for _ in islice(batches, skip):
        pass
    return batches
