"""Parameters before the first step: lazy layers take their shapes from a batch, at the cost of no random number."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from .backend import Batch, choose_precision
from .batches import as_batch
from .step_errors import explained
from .wrapped_loaders import BegunLoader, is_own

if TYPE_CHECKING:
    from .trainer import Trainer


class Begun(NamedTuple):
    """A loader that has been asked for its first batch: that, all of them anew, and the iterator that has the rest."""

    first: Batch
    batches: Iterator[Any] | None = None
    iterator: Iterator[Any] | None = None


def initialize(trainer: "Trainer") -> None:
    """Give lazy layers their parameters before the first step, whose random numbers stay those that they were.

    Drawn after what an epoch draws before its first batch, parameters are those that the first step would draw.
    """
    if trainer.backend.draws_parameters:
        _draw_parameters(trainer)
    elif not trainer.backend.is_initialized(trainer.model):
        states = trainer.random_states
        with states.preserved():
            begun = first_batch(trainer) if trainer.backend.exposes_rng_state else example_batch(trainer)
            init_parameters(trainer, begun.first)
            go_on = states.checkpoint()
        trainer.train_dataloader = BegunLoader(trainer.train_dataloader, go_on, begun.batches)


def _draw_parameters(trainer: "Trainer") -> None:
    """Draw new parameters. The first epoch begins anew afterwards, unless the loader gives its batches only once."""
    loader, begun = trainer.train_dataloader, _begin(trainer.train_dataloader)
    init_parameters(trainer, begun.first)
    with trainer.random_states.preserved():
        once = not is_own(loader) and iter(loader) is begun.iterator
    if once:
        trainer.train_dataloader = BegunLoader(loader, None, begun.batches)


def init_parameters(trainer: "Trainer", batch: Batch) -> None:
    """Give layers that lack them the shapes of their parameters, from a batch as its loader gives it."""
    backend, model = trainer.backend, trainer.model
    with explained(trainer, "training", 0, batch):
        # Parameters of each fit's own are drawn on the first device, whichever a step is to be divided among.
        here = backend.draws_parameters and not isinstance(batch, Mapping)
        placed = batch if here else trainer.prepare_batch(batch)
        with backend.precision_context(model, choose_precision(trainer.precision, model, backend)):
            backend.init(model, placed)


def first_batch(trainer: "Trainer") -> Begun:
    """A batch like the first of an epoch that begins now, after drawing all that is drawn until then."""
    loader = trainer.train_dataloader
    if not is_own(loader):
        return _begin(loader)
    loader.draw()
    return Begun(loader.example())


def example_batch(trainer: "Trainer") -> Begun:
    """A batch with the shapes of training, which loaders of our own give without reading or drawing anything."""
    for loader in (trainer.train_dataloader, trainer.val_dataloader):
        if is_own(loader):
            return Begun(loader.example())
    return first_batch(trainer)


def _begin(loader: Any) -> Begun:
    iterator = iter(loader)
    first = next(iterator)
    return Begun(as_batch(first), chain([first], iterator), iterator)
