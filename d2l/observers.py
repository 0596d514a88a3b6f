"""What watches a run. Each observer is told of the run's events and changes nothing in the others.

They are told in this order: `Report`, `Progress`, `BoardObserver`, a trainer's own ``observers``, `LoaderChecks`,
`LossChecks`, the backend's (such as learning-rate schedules), `Checkpointing`; and of the end, in the reverse.
"""

from typing import TYPE_CHECKING, Any

from . import input_checks
from .backend import describe_devices, describe_precision
from .batches import inputs_of
from .checkpoint_file import quoted
from .mime import RUN_MIME, json_safe
from .notebook_output import in_notebook
from .smoke_profile import current_profile
from .wrapped_loaders import is_own, unwrapped

if TYPE_CHECKING:
    from .trainer import Trainer


class Observer:
    """Base class of what watches a run: it does nothing. ``train`` says whether a pass is of training or validation.

    A subclass defines those methods whose events it wants to be told of. ``trainer`` is the trainer of the run, whose
    attributes may be read; to end the run after the epoch at hand, set ``trainer.should_stop``.
    """

    def before_fit(self, trainer: "Trainer") -> None:
        """The run is about to begin, or to go on from a checkpoint: model, data and optimizer are there."""

    def before_epoch(self, trainer: "Trainer") -> None:
        """The epoch ``trainer.epoch`` begins."""

    def before_pass(self, trainer: "Trainer", train: bool) -> None:
        """A loader is about to be gone through."""

    def before_batch(self, trainer: "Trainer", train: bool, batch: Any) -> None:
        """A loader has given ``batch``, a tuple of tensors, which has not been used yet."""

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """The step of the batch is done."""

    def after_epoch(self, trainer: "Trainer") -> None:
        """Training and validation of the epoch are done."""

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """The run has ended, with ``error``, or without one: then it is ``None``."""


EVENTS = ("before_fit", "before_epoch", "before_pass", "before_batch", "after_batch", "after_epoch", "after_fit")


def is_told(observer: Observer, event: str) -> bool:
    """Whether an observer does something at an event; most do at few, and there are many batches."""
    return getattr(type(observer), event) is not getattr(Observer, event)


def check_observers(observers: Any) -> None:
    """See that what a trainer is given as callbacks are observers.

    Raises:
        TypeError: They are something else.
    """
    given = observers if isinstance(observers, (tuple, list)) else [observers]
    wrong = [one for one in given if not isinstance(one, Observer)]
    if wrong or given is not observers:
        raise TypeError(
            f"callbacks got {input_checks.describe((wrong or given)[0])}: give a list of d2l.Observer objects, such as "
            "[d2l.EarlyStopping()]"
        )


class BoardObserver(Observer):
    """Has the model's board show its points in time: after each batch, and all at the end."""

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """Show new points if it is time to."""
        if trainer.model.board.is_stale:
            with trainer.progress.paused():
                trainer.model.board.refresh()

    def after_epoch(self, trainer: "Trainer") -> None:
        """End the means over batches, none of which goes over an epoch's end."""
        trainer.model.board.flush_means()

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """Show all points, without the other processes if there is an error: they may have ended."""
        board = trainer.model.board
        if error is not None:
            board.all_reduce = list
        try:
            board.flush()
        finally:
            board.all_reduce = list


class LoaderChecks(Observer):
    """Sees that loaders give what they say, and in the order of axes that layers take."""

    def before_fit(self, trainer: "Trainer") -> None:
        """Note which loaders leave out corrupt images, and may give fewer batches."""
        self._length_is_checked = is_own(unwrapped(trainer.train_dataloader))
        self._has_begun = False

    def before_epoch(self, trainer: "Trainer") -> None:
        """Begin to count."""
        before = trainer.train_batch_idx - trainer.epoch * trainer.num_train_batches  # in a run that this one resumes
        self._batches_before = before - trainer.progress.train_batches
        self._train_examples, self._val_examples = trainer.progress.train_examples, trainer.progress.val_examples

    def before_batch(self, trainer: "Trainer", train: bool, batch: Any) -> None:
        """Note what the first batch has; say so if its images have their axes in another order than layers take."""
        if train and not self._has_begun:
            self._has_begun = True
            trainer.model._trained_on = input_checks.shapes_of(inputs_of(input_checks.tensors_in(batch)))
        if not train or trainer.train_batch_idx:
            return
        shape = getattr(batch[0], "shape", ()) if isinstance(batch, (tuple, list)) and batch else ()
        note = input_checks.layout(shape, trainer.model.channel_axis) if len(shape) == 4 else None
        if note:
            trainer.backend.say(note)

    def after_epoch(self, trainer: "Trainer") -> None:
        """Compare the counts with those of earlier epochs, and with the loader's own.

        Raises:
            ValueError: A loader that gave batches before has given none.
        """
        progress, expected = trainer.progress, trainer.num_train_batches
        given = self._batches_before + progress.train_batches
        self._check_used_up(trainer, "training", self._train_examples, progress.train_examples)
        self._check_used_up(trainer, "validation", self._val_examples, progress.val_examples)
        if given != expected and not self._length_is_checked:
            self._length_is_checked = True
            trainer.backend.say(
                f"The training loader says that it has {expected} batches, and gave {given} in epoch "
                f"{trainer.epoch + 1}: the curves' places are wrong until its __len__ is right"
            )

    def _check_used_up(self, trainer: "Trainer", phase: str, before: int, now: int) -> None:
        if trainer.epoch > trainer.first_epoch and 0 < before == now:
            raise ValueError(
                f"no {phase} batch in epoch {trainer.epoch + 1}: the {phase} loader can be gone through only once; "
                "have its __iter__ begin anew"
            )


class LossChecks(Observer):
    """Stops a run whose loss is no finite number. It is noticed when a point is drawn, so that no step waits for it."""

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """Look at the points so far.

        Raises:
            FloatingPointError: The training loss is lost; the message names the first such step.
        """
        x = trainer.model.board.lost.get("train_loss")
        if x is None:
            return
        epoch, step = divmod(round(x * trainer.num_train_batches), trainer.num_train_batches)
        lr = learning_rate(trainer.model)
        rate = "" if lr is None else f", which is {lr:g} now"
        raise FloatingPointError(
            f"the training loss is nan or infinite since step {step + 1} of epoch {epoch + 1}: try a lower learning "
            f"rate{rate}. Labels that are no class number, and inputs that are nan, give such a loss too."
        )

    def after_epoch(self, trainer: "Trainer") -> None:
        """Look at all points of the epoch.

        Raises:
            FloatingPointError: The training or the validation loss is lost.
        """
        self.after_batch(trainer, train=False)
        epoch = trainer.model.board.lost.get("val_loss")
        if epoch is not None:
            raise FloatingPointError(
                f"the validation loss of epoch {round(epoch)} is nan or infinite, and the training loss is not: look "
                "for labels that are no class number, and inputs that are nan, among the validation examples."
            )


class Report(Observer):
    """States a run's last numbers in one line, in one process."""

    epochs = 0  # done when the last one of this run was

    def after_epoch(self, trainer: "Trainer") -> None:
        """Count the epoch."""
        self.epochs = trainer.epoch + 1

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """Print the line, if the run has come to its end."""
        if error is not None or not self.epochs or not trainer.backend.processes.is_main:
            return
        profile, progress, device = current_profile(), trainer.progress, describe_devices(trainer.backend)
        precision = describe_precision(trainer.precision, trainer.model, trainer.backend)
        final = trainer.model.board.last
        run = {
            "profile": str(profile),
            "epochs": self.epochs,
            "max_epochs": trainer.max_epochs,
            "examples_per_epoch": progress.train_examples // self.epochs,
            "examples_per_second": progress.examples_per_second,
            "device": device,
            "precision": precision,
            "metrics": final,
        }
        line = ", ".join(f"{quoted(label)} {value:.3f}" for label, value in final.items())
        line += f" after {run['epochs']} of {run['max_epochs']} epochs, each of {run['examples_per_epoch']:,} examples"
        line += f"; {progress.examples_per_second:,.0f} examples/s on {device} in {precision}"
        if not profile.full:
            line = f"{profile}: {line}"
        if in_notebook():
            progress.output.show({"text/plain": line, RUN_MIME: json_safe(run)})
        else:
            print(line)


def learning_rate(model: Any) -> float | None:
    """The model's learning rate, if it has one and no schedule in its place."""
    lr = getattr(model, "lr", None)
    return lr if input_checks.is_real(lr) else None
