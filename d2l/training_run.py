"""A run of a trainer from its beginning to its end: set up, watched, and left with nothing wrapped."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import input_checks
from .backend import choose_precision
from .checkpoint_file import read
from .checkpointing import checkpointing, load_model_state, owners
from .compiler_caches import check_caches
from .data_modules import DataModule
from .lazy_init import example_batch, init_parameters, initialize
from .modules import Module
from .object_state import attributes
from .observers import EVENTS, BoardObserver, LoaderChecks, LossChecks, Observer, Report, is_told
from .process_group import ProcessGroup
from .progress import Progress
from .random_states import RandomStates
from .step_errors import LOST_PEER
from .wrapped_loaders import ShardedLoader, WatchedLoader, is_own

if TYPE_CHECKING:
    from .trainer import Trainer

Tell = Callable[..., None]  # takes the name of an event, such as "before_epoch", and what an observer is told with it


@contextmanager
def running(trainer: "Trainer", model: Module, data: DataModule, resume: bool) -> Iterator[Tell]:
    """Set up a run, and have it watched; in between, it is for the trainer to go through the epochs.

    Yields:
        What tells the observers of an event.
    """
    check_caches(trainer.backend.say)
    with checkpointing(trainer, resume) as trainer.checkpointing, ExitStack() as stack:
        _prepare(trainer, model, data, stack)
        observers = _observers(trainer)
        told = {event: [getattr(one, event) for one in observers if is_told(one, event)] for event in EVENTS}

        def tell(event: str, *facts: Any) -> None:
            for method in told[event]:
                method(trainer, *facts)

        _watch_loaders(trainer, tell)
        for observer in observers:
            observer.before_fit(trainer)
            stack.push(partial(_tell_end, trainer, observer))
        precision = choose_precision(trainer.precision, model, trainer.backend)
        with trainer.backend.precision_context(model, precision), model.board.by_step():
            yield tell
    if trainer.max_epochs == 0:
        trainer.backend.say("Nothing to do: max_epochs is 0, and the model stays as it is")


def _prepare(trainer: "Trainer", model: Module, data: DataModule, stack: ExitStack) -> None:
    """Set up loaders, model, parameters and optimizer, or have them go on from a checkpoint."""
    backend, processes = trainer.backend, trainer.processes
    trainer.random_states = RandomStates(backend)
    if not (processes.is_main or backend.draws_alike):
        seed = (data._draw_seed() + processes.rank) % 2**31
        random.seed(seed)
        np.random.seed(seed)
        backend.seed(seed)
    trainer.prepare_data(data)
    stack.callback(_set_loaders, trainer, trainer.train_dataloader, trainer.val_dataloader)
    if processes.world_size > 1:
        _set_loaders(trainer, *(_sharded(trainer, x) for x in (trainer.train_dataloader, trainer.val_dataloader)))
    model.board.clear()
    trainer.prepare_model(model)
    model.board.all_reduce = list if backend.metrics_are_global else processes.all_reduce_numbers
    trainer.random_states.find_generators(attributes(owners(trainer, data)))
    initialize(trainer)
    trainer.optim = backend.configure(model)
    trainer.train_batch_idx = trainer.val_batch_idx = trainer.first_epoch = 0
    trainer.should_stop = False
    total = trainer.num_epochs * (trainer.num_train_batches + trainer.num_val_batches)
    trainer.progress = Progress(total, slow=not backend.on_gpu, shown=processes.is_main)
    if trainer.checkpointing is not None:
        trainer.checkpointing.attach(trainer, data)


def _observers(trainer: "Trainer") -> list[Observer]:
    """All that watch a run, in the order in which they are told: see `d2l.observers`."""
    own = [] if trainer.checkpointing is None else [trainer.checkpointing]
    first = [Report(), trainer.progress, BoardObserver(), *trainer.observers, LoaderChecks(), LossChecks()]
    return [*first, *trainer.backend.observers, *own]


def _tell_end(trainer: "Trainer", observer: Observer, _: Any, error: BaseException | None, __: Any) -> None:
    """Tell an observer that the run has ended; add to an error that another process is most likely gone."""
    if error is not None and trainer.processes.world_size > 1 and LOST_PEER.search(str(error)):
        note = trainer.processes.lost_peer
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    observer.after_fit(trainer, error)


def _watch_loaders(trainer: "Trainer", tell: Tell) -> None:
    """Have passes over the loaders, and their batches, told of."""

    def watched(loader: Any, train: bool) -> WatchedLoader:
        return WatchedLoader(
            loader,
            before_pass=partial(tell, "before_pass", train),
            before_batch=partial(tell, "before_batch", train),
            after_batch=partial(tell, "after_batch", train),
        )

    trainer.train_dataloader = watched(trainer.train_dataloader, train=True)
    if trainer.val_dataloader is not None:
        trainer.val_dataloader = watched(trainer.val_dataloader, train=False)


def _sharded(trainer: "Trainer", loader: Any) -> Any:
    """A loader that gives this process's shard of each batch: our own do so already."""
    own = loader is None or is_own(loader)
    return loader if own else ShardedLoader(loader, trainer.processes, trainer.random_states)


def _set_loaders(trainer: "Trainer", train_dataloader: Any, val_dataloader: Any) -> None:
    trainer.train_dataloader, trainer.val_dataloader = train_dataloader, val_dataloader


def load_weights(trainer: "Trainer", model: Module, data: DataModule, path: str | os.PathLike[str]) -> None:
    """Give a model the weights of a checkpoint: see `d2l.trainer.Trainer.load_weights`."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"load_weights got {input_checks.describe(path)} for the path: give a checkpoint's file")
    checkpoint = read(Path(os.path.expanduser(path)))
    trainer.random_states = RandomStates(trainer.backend)
    with alone(trainer):
        with trainer.random_states.preserved():
            trainer.prepare_data(data)
        trainer.prepare_model(model)
        trainer.random_states.find_generators(attributes(owners(trainer, data)))
        if not trainer.backend.is_initialized(model):
            with trainer.random_states.preserved():
                init_parameters(trainer, example_batch(trainer).first)
        load_model_state(trainer, checkpoint)
        trainer.backend.set_training(model, False)
        model.board.all_reduce = list


@contextmanager
def alone(trainer: "Trainer") -> Iterator[None]:
    """Do something that the other processes, which may be busy, take no part in."""
    processes, trainer.backend.processes = trainer.processes, ProcessGroup()
    try:
        yield
    finally:
        trainer.backend.processes = processes


def check_given(trainer: "Trainer", call: str, model: Any, data: Any) -> None:
    """See that model and data are what a trainer fits, and that it is not in the middle of that.

    Raises:
        RuntimeError: A step of its model makes this call.
        AttributeError: The trainer's constructor has left out that of its base class.
        TypeError: Model or data are something else.
    """
    check_ready(trainer, call)
    input_checks.check_given(call, model, data, trainer.backend.module_type, trainer.backend.constructor_advice)


def check_ready(trainer: "Trainer", call: str) -> None:
    """See that a trainer can be asked something: see `check_given`."""
    if trainer.in_step:
        raise RuntimeError(
            f"a step of {type(trainer.model).__name__} calls {call}, and its trainer is in the middle of fit"
        )
    if not hasattr(trainer, "max_epochs"):
        raise AttributeError(f"{type(trainer).__name__}.__init__ has to call super().__init__(max_epochs) first")
