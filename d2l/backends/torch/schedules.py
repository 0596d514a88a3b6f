"""Learning-rate schedulers of PyTorch: which step when, and where they are."""

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ...observers import Observer

if TYPE_CHECKING:
    from ...trainer import Trainer


class Schedule(NamedTuple):
    """A scheduler, when it takes a step, and the curve that it looks at if it looks at one."""

    scheduler: LRScheduler
    interval: str = "epoch"
    monitor: str = ""

    def step(self, last: Mapping[str, float]) -> None:
        """Take a step, given each curve's last value.

        Raises:
            ValueError: The curve to look at has no point yet.
        """
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
            return
        monitor = self.monitor or ("val_loss" if "val_loss" in last else "train_loss")
        if monitor not in last and self.interval == "step":  # the curve's first point is yet to come
            return
        if monitor not in last:
            raise ValueError(f"ReduceLROnPlateau is to look at {monitor!r}, and the curves so far are {[*last]}")
        self.scheduler.step(last[monitor])


def optimizer_and_schedules(configured: Any, source: str) -> tuple[Any, list[Schedule]]:
    """The optimizer and the schedules in what a ``configure_optimizers`` has returned.

    Args:
        configured: An optimizer; or it and schedulers, in tuples, lists or Lightning's dicts.
        source: The method's name, for errors.

    Raises:
        TypeError, ValueError: There is not one optimizer, or a schedule is none, or of another optimizer.
    """
    optimizers, schedules = [], []
    rest = [configured]
    while rest:
        part = rest.pop(0)
        if isinstance(part, (tuple, list)):
            rest = [*part, *rest]
        elif isinstance(part, Mapping) and isinstance(part.get("optimizer"), torch.optim.Optimizer):
            rest = [part["optimizer"], *([part["lr_scheduler"]] if "lr_scheduler" in part else []), *rest]
        elif isinstance(part, Mapping) and isinstance(part.get("scheduler"), LRScheduler):
            unknown = part.keys() - set(Schedule._fields)
            if unknown or part.get("interval", "epoch") not in ("epoch", "step"):
                raise ValueError(
                    f"{source} returned the schedule {part}: give 'scheduler' and, where need be, 'interval', which is "
                    "'epoch' or 'step', and 'monitor', a curve such as 'val_loss'"
                )
            schedules.append(Schedule(**part))
        elif isinstance(part, LRScheduler):
            schedules.append(Schedule(part))
        else:
            optimizers.append(part)
    if len(optimizers) != 1:
        kinds = ", ".join(type(part).__name__ for part in optimizers) or "none"
        raise TypeError(
            f"{source} has to return one optimizer, alone or with schedulers, which are objects of PyTorch's "
            f"LRScheduler; beside these there are here: {kinds}"
        )
    for schedule in schedules:
        if schedule.scheduler.optimizer is not optimizers[0]:
            raise ValueError(f"{source} returned a {type(schedule.scheduler).__name__} of another optimizer")
    return optimizers[0], schedules


def schedulers_of(optimizer: Any) -> dict[str, LRScheduler]:
    """All schedulers that hold an optimizer, named by their class and a number, the oldest of a class first.

    A model that steps a scheduler by itself may keep it anywhere, so all objects there are are looked through. Those
    that are parts of another one, such as of `SequentialLR`, have their state in its.
    """
    own = [
        thing
        for generation in (2, 1, 0)
        for thing in gc.get_objects(generation)
        if issubclass(type(thing), LRScheduler) and getattr(thing, "optimizer", None) is optimizer
    ]
    parts = {id(part) for scheduler in own for part in getattr(scheduler, "_schedulers", ())}
    counts: Counter[str] = Counter()
    named = {}
    for scheduler in own:
        if id(scheduler) not in parts:
            kind = type(scheduler).__name__
            counts[kind] += 1
            named[f"{kind} {counts[kind]}"] = scheduler
    return named


class Schedules(Observer):
    """Steps the schedulers that ``configure_optimizers`` has returned beside an optimizer."""

    def __init__(self, schedules: Sequence[Schedule]):
        self.schedules = schedules

    def before_fit(self, trainer: "Trainer") -> None:
        """Have those that go by training steps follow the optimizer's, whoever takes them."""
        self._hooks = [
            trainer.optim.register_step_post_hook(lambda *_, schedule=schedule: schedule.step(trainer.model.board.last))
            for schedule in self.schedules
            if schedule.interval == "step"
        ]

    def after_epoch(self, trainer: "Trainer") -> None:
        """Have those that go by epochs take a step."""
        for schedule in self.schedules:
            if schedule.interval == "epoch":
                schedule.step(trainer.model.board.last)

    def after_fit(self, trainer: "Trainer", error: BaseException | None) -> None:
        """Leave the optimizer as it was."""
        for hook in self._hooks:
            hook.remove()
