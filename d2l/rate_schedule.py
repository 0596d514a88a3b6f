"""A learning rate that changes from epoch to epoch, in every framework the same way."""

from typing import TYPE_CHECKING

from . import recipes
from .observers import Observer
from .run_log import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from .trainer import Trainer


class RateSchedule(Observer):
    """Sets the learning rate of each epoch, and notes in a log when it is another one.

    It looks at the curve of validation and at nothing else, so that a run that is resumed goes on as it would have.

    Args:
        schedule: See `d2l.recipes.rate`.
        lr: The first rate.
        set_rate: Gives the trainer's optimizer a rate.
        log: The log.
    """

    def __init__(self, schedule: str, lr: float, set_rate: "Callable[[Trainer, float], None]", log: RunLog):
        self.schedule, self.lr, self.set_rate, self.log = schedule, lr, set_rate, log
        self._last = lr

    def before_epoch(self, trainer: "Trainer") -> None:
        """Set the rate; say so where it drops."""
        scores = [y for _, y in trainer.model.board.curves.get(recipes.PLATEAU_CURVE, ())]
        rate = recipes.rate(self.schedule, self.lr, trainer.epoch, trainer.num_epochs, scores)
        self.set_rate(trainer, rate)
        if rate == self._last:
            return
        self._last = rate
        self.log.write(event="lr", epoch=float(trainer.epoch), lr=rate)
        if self.schedule != "cosine":  # which changes it all the time
            trainer.backend.say(f"From epoch {trainer.epoch + 1} on, the rate is {rate:g}")
