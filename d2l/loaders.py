"""Loaders as a trainer goes through them: divided among processes, begun, resumed, with checkpoints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .data import BatchLoader, as_batch
from .images import ImageLoader

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass
class TrainersLoader:
    """A loader that a trainer goes through in a way of its own."""

    loader: Any
    trainer: "Trainer"

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def examples(self) -> int | None:
        """Examples in the data set, if the loader tells."""
        return getattr(self.loader, "examples", None)


class ShardedLoader(TrainersLoader):
    """A loader of which each process takes its part of every batch.

    All begin to go through it in the random states of the first process, which are to decide what is in the batches.
    """

    def __iter__(self) -> Iterator[Any]:
        trainer, workers = self.trainer, self.trainer.workers
        own = trainer._random()
        shared = trainer._of_all(own)[0]
        if not workers.first:
            trainer._set_random(shared)
        batches = iter(self.loader)
        begun = list(islice(batches, 1))  # until then a loader may have drawn nothing
        if not workers.first:
            trainer._set_random(own)
        for batch in map(as_batch, chain(begun, batches)):
            part = workers.part(len(batch[-1]))
            yield [tensor[part] for tensor in batch]


def sharded(loader: Any, trainer: "Trainer") -> Any:
    """A loader whose batches are one process's part: our own are so already."""
    return loader if loader is None or is_own(loader) else ShardedLoader(loader, trainer)


def is_own(loader: Any) -> bool:
    """Whether a loader is one of ours, which can begin anywhere, and gives an example without reading or drawing."""
    return isinstance(loader, (BatchLoader, ImageLoader))


@dataclass
class BegunLoader(TrainersLoader):
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


class CheckpointedLoader(TrainersLoader):
    """A training loader that begins after the batches that are done, and has checkpoints made between batches."""

    def __iter__(self) -> Iterator[Any]:
        trainer, done = self.trainer, self.trainer._skip
        if done:
            trainer._skip = 0
            trainer._set_random(trainer._epoch_random)
            batches = iter_from(done, self.loader)
            trainer._set_random(trainer._resumed_random)
        else:
            trainer._epoch_random = trainer._random()
            batches = self.loader
        for batch in batches:
            yield batch
            done += 1
            if trainer.every != "epoch" and (trainer.epoch * len(self) + done) % trainer.every == 0:
                trainer._save(trainer.epoch, done)
            trainer._stop_if_asked(done)


class StoppableLoader(TrainersLoader):
    """A validation loader before whose batches the run may be stopped."""

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            self.trainer._stop_if_asked(self.trainer.num_train_batches)
            yield batch


def iter_from(done: int, loader: Any) -> Iterator[Any]:
    """What an epoch has after so many batches. Of loaders other than our own, these have to be made."""
    if is_own(loader):
        return loader.after(done)
    batches = iter(loader)
    for _ in islice(batches, done):
        pass
    return batches
