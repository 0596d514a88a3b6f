"""Observers that users give a trainer, such as ``Trainer(max_epochs=90, callbacks=[EarlyStopping()])``.

They look at the curves of the board and at nothing else, so that a run that is resumed decides as it would have.
"""

import math
import os
from typing import TYPE_CHECKING, Any

from . import input_checks
from .observers import Observer
from .weights_file import weights_path

if TYPE_CHECKING:
    from .trainer import Trainer


class Best:
    """The best point of a curve so far.

    Args:
        monitor: Name of the curve, such as ``val_loss``.
        mode: ``"min"`` or ``"max"``, whichever is better; by default the largest accuracy, the smallest loss.
    """

    def __init__(self, monitor: str, mode: str | None):
        _check(monitor, mode)
        self.monitor, self.largest = monitor, (mode or _mode_of(monitor)) == "max"

    def better(self, y: float, than: float, by: float = 0) -> bool:
        """Whether a value is better than another, by more than so much."""
        return y - than > by if self.largest else than - y > by

    def points(self, trainer: "Trainer") -> list[tuple[float, float]]:
        """The curve's points so far.

        Raises:
            ValueError: The model plots no such curve.
        """
        curves = trainer.model.board.curves
        if curves and self.monitor not in curves:
            raise ValueError(f"monitor={self.monitor!r}: this run has the curves {', '.join(curves)}")
        return curves.get(self.monitor, [])


class EarlyStopping(Observer):
    """Ends a run whose curve gets no better: `fit` then returns as after the last epoch, and says so.

    By default it watches the validation loss, ``val_loss``, and `KeepBest` the validation accuracy, ``val_acc``: a run
    that has both should name one curve to both.

    Args:
        monitor: Name of the curve, such as ``val_loss``, ``val_acc`` or any that the model plots.
        patience: Epochs to wait for a better point.
        min_delta: By how much a point has to be better.
        mode: ``"min"`` or ``"max"``; by default that of a loss or an accuracy (``loss`` or ``acc`` in the name).

    Raises:
        ValueError: An argument is out of its range, or the mode of another curve is not given.
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0, mode: str | None = None):
        input_checks.check_whole("patience", patience, 1)
        input_checks.check_not_negative("min_delta", min_delta)
        self.best, self.patience, self.min_delta = Best(monitor, mode), patience, min_delta

    def before_fit(self, trainer: "Trainer") -> None:
        """Look at the curve of a run that is resumed, which may have ended so."""
        self.after_epoch(trainer)

    def after_epoch(self, trainer: "Trainer") -> None:
        """End the run if the best point is too long ago."""
        points = self.best.points(trainer)
        if not points:
            return
        place, value = points[0]
        for x, y in points:
            if self.best.better(y, value, self.min_delta):
                place, value = x, y
        last = points[-1][0]
        if last - place >= self.patience and math.ceil(last) < trainer.num_epochs and not trainer.should_stop:
            trainer.should_stop = True
            trainer.backend.say(
                f"Stopped early: no better {self.best.monitor} for {last - place:g} epochs; the best was "
                f"{value:.3f}, after epoch {place:g}"
            )


class KeepBest(Observer):
    """Keeps the weights of the best epoch in a file, and gives them to the model when the run has come to its end.

    A file of an earlier run is replaced after the first epoch, and it says so. An interrupted run leaves the model its
    last weights and the file the best ones; resumed, it goes on with the file. Several processes share the file.

    By default the best epoch is that of the largest validation accuracy, ``val_acc``; a model that plots none needs
    another curve, such as ``monitor="val_loss"``, which `EarlyStopping` watches by default.

    Args:
        path: A file whose name ends with ``.safetensors``; see `d2l.modules.Module.save_weights`.
        monitor, mode: As of `EarlyStopping`.

    Raises:
        TypeError, ValueError: An argument is none such.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_acc", mode: str | None = None):
        self.path, self.best = weights_path("KeepBest", path), Best(monitor, mode)

    def before_fit(self, trainer: "Trainer") -> None:
        """See what is there of an earlier run.

        Raises:
            FileNotFoundError: The run is resumed, and the file is gone that has the best weights so far.
        """
        if not trainer.first_epoch and self.path.exists():
            trainer.backend.say(f"{self.path} is there, and will be replaced after the first epoch")
        if trainer.first_epoch and not self.path.exists():
            raise FileNotFoundError(
                f"{self.path} is not there, with the best weights of the run that is resumed: put it there, or start "
                "anew"
            )

    def after_epoch(self, trainer: "Trainer") -> None:
        """Save the weights if this epoch is the best one so far."""
        *before, (_, last) = self.best.points(trainer)
        if all(self.best.better(last, y) for _, y in before):
            if trainer.processes.is_main:
                trainer.model.save_weights(self.path)
            trainer.processes.barrier()  # the others go on when it is there

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """Give the model the weights of the best epoch."""
        points = [] if error is not None else self.best.points(trainer)
        if not points:
            return
        choose = max if self.best.largest else min
        epoch, value = choose(points, key=lambda point: point[1])
        trainer.model.load_weights(self.path)
        trainer.backend.say(f"The weights are those of epoch {epoch:g}, the best one ({self.best.monitor} {value:.3f})")


def _mode_of(monitor: str) -> str | None:
    """Whether the smallest or the largest value of a curve is the best, as far as its name says so."""
    return "min" if "loss" in monitor else "max" if "acc" in monitor else None


def _check(monitor: Any, mode: Any) -> None:
    """See that a curve to be watched has a name, and that it is known which values are better.

    Raises:
        TypeError: The name is no text.
        ValueError: It is not known.
    """
    if not isinstance(monitor, str):
        raise TypeError(f"monitor={monitor!r}: give the name of a curve, such as 'val_loss'")
    if mode not in (None, "min", "max"):
        raise ValueError(f"mode={mode!r}: give 'min' or 'max'")
    if mode is None and _mode_of(monitor) is None:
        raise ValueError(f"monitor={monitor!r}: give mode='min' or mode='max', whichever of its values are better")
