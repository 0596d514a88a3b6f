"""Metrics of a run: how they leave a step, and how they are averaged over batches and processes."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .plotting import to_numpy

# Takes numbers of each process that trains, and gives each of them their sums.
AllReduce = Callable[[list[float]], list[float]]


@dataclass(frozen=True)
class StepMetrics:
    """What a step of training or evaluation gives.

    Attributes:
        values: Scalars by name, each a mean over examples; a framework's scalar tensors are read only when plotted.
        count: Examples that they are means over; ``None`` if those of this process's batch.
        total: Examples of the whole batch, over all processes; ``None`` if the same number.
    """

    values: dict[str, Any]
    count: int | None = None
    total: int | None = None


class _Recording(threading.local):
    """What a thread records. A step on several devices may be traced in a thread for each."""

    values: dict[str, Any] | None = None


_recording = _Recording()


@contextmanager
def recorded() -> Iterator[dict[str, Any]]:
    """Collect what is logged in this thread, by name, instead of plotting it: for the body of a step."""
    kept, _recording.values = _recording.values, {}
    try:
        yield _recording.values
    finally:
        _recording.values = kept


def record(key: str, value: Any) -> bool:
    """Take a metric in a step; whether there is one in progress, which takes it."""
    if _recording.values is None:
        return False
    _recording.values[key] = value
    return True


def number(y: Any) -> float:
    """The number in a scalar of any framework, which waits until its device has computed it."""
    return to_numpy(y).item()


class WeightedMean:
    """The weighted mean of points, whose y may be tensors: their sum grows where they are, and is read once."""

    def __init__(self, points: Iterable[tuple[float, Any]] = (), weight: float = 0, x: float = 0, y: Any = 0):
        self.points, self.weight, self.x, self.y = list(points), weight, x, y

    @property
    def count(self) -> int:
        """Number of points taken in."""
        return len(self.points)

    def add(self, x: float, y: Any, weight: float) -> None:
        """Take a point in. One of no weight has no y: it is that of a process without examples."""
        y = y if weight else 0
        self.points.append((x, y))
        self.weight += weight
        self.x += x * weight
        self.y = self.y + y * weight  # in place would change the caller's tensor

    def state(self, all_reduce: AllReduce) -> dict[str, Any]:
        """The arguments that make this mean over all processes anew, as numbers."""
        weight, x, y, *ys = all_reduce([self.weight, self.x, *map(number, (self.y, *(y for _, y in self.points)))])
        points = [(x, y) for (x, _), y in zip(self.points, ys, strict=True)]
        return {"points": points, "weight": weight, "x": x, "y": y}

    def split(self, world_size: float) -> "WeightedMean":
        """This process's 1/N share of a global mean, whose sums over the processes are those of the whole."""
        points = [(x, y / world_size) for x, y in self.points]
        return WeightedMean(points, self.weight / world_size, self.x / world_size, self.y / world_size)

    def mean(self, all_reduce: AllReduce) -> tuple[float, float] | None:
        """The mean point over all processes; ``None`` if none of them has any weight."""
        weight, x, y = all_reduce([self.weight, self.x, number(self.y)])
        return (x / weight, y / weight) if weight else None

    def first_nonfinite(self, all_reduce: AllReduce) -> float:
        """The x of the first point whose y is no finite number, for a mean that is none; these points are read."""
        ys = all_reduce([number(y) for _, y in self.points])
        return next((x for (x, _), y in zip(self.points, ys, strict=True) if not math.isfinite(y)), self.points[-1][0])
