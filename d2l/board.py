"""A figure in the notebook that grows while a model trains, and carries its numbers with it."""

import io
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from .hyperparameters import HyperParameters
from .media import CURVES_MIME, finite
from .notebook import Output, at_end_of_cell, in_notebook
from .plotting import SVG_STYLE, set_axes, to_numpy

REDRAW_SECONDS = 0.5
DRAWING_SHARE = 0.02  # of the time may go into pictures that the next one replaces
LONGEST_WAIT_SECONDS = 10.0

# Takes numbers of each process that trains, and gives each of them their sums.
AddUp = Callable[[list[float]], list[float]]


class ProgressBoard(HyperParameters):
    """Draw curves point by point; in a notebook the figure is redrawn in place.

    The figure is published as SVG together with its curves as data (media type ``application/vnd.d2l.curves+json``:
    ``{"xlabel": str, "curves": {label: [[x, y], ...]}}``, with null for a y that is no finite number), so that a
    test can compare numbers and not pictures.

    Args:
        xlabel, ylabel: Axis labels.
        xlim, ylim: Axis limits as pairs.
        xscale, yscale: Matplotlib scale names.
        ls, colors: Line styles and colours, taken in turn by the curves.
        fig, axes: Draw into this figure and these axes instead of new ones.
        figsize: Width and height in inches.
        display: Whether to show the figure; ``False`` only collects the points.
    """

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Sequence[float] | None = None,
        ylim: Sequence[float] | None = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Figure | None = None,
        axes: Any = None,
        figsize: tuple[float, float] = (3.5, 2.5),
        display: bool = True,
    ):
        self.save_hyperparameters()
        self.add_up: AddUp = list  # over the processes that train together
        self.clear()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: all but its trainer's way to add up."""
        return {**self.__dict__, "add_up": list}

    def clear(self) -> None:
        """Forget all points and start a new picture."""
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self.lost: dict[str, float] = {}  # where a curve first left the finite numbers
        self._pending: dict[str, _Average] = {}
        self._output = Output()
        self._next_drawing = 0.0
        self._stale = False  # whether there are points that the picture does not show
        self._ending = False  # whether the end of the cell will show them

    @property
    def last(self) -> dict[str, float]:
        """The y of each curve's last point."""
        return {label: points[-1][1] for label, points in self.curves.items()}

    def draw(self, x: float, y: Any, label: str, every_n: int = 1, weight: float = 1) -> None:
        """Add a point to the curve ``label``.

        Args:
            x, y: The point. ``y`` may be a tensor of one number, of any framework; it is read only when it is due.
            label: Name of the curve in the legend.
            every_n: Average this many points into one.
            weight: Share of this point in that average, such as its number of examples.
        """
        average = self._pending.setdefault(label, _Average())
        average.add(x, y, weight)
        if average.count >= every_n:
            self._settle(label)
            self._render_if_due()

    def settle(self) -> None:
        """Turn points still waiting for their average into points of the curves, and show them when it is time to."""
        self._settle_all()
        self._render_if_due()

    def flush(self) -> None:
        """Turn points still waiting for their average into points of the curves, and show them all."""
        self._settle_all()
        if self._stale:
            self.render()

    def state(self) -> dict[str, Any]:
        """All points, also those that wait for their average, as numbers."""
        pending = {label: average.state(self.add_up) for label, average in self._pending.items()}
        return {"curves": self.curves, "lost": self.lost, "pending": pending}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from the points of such a state."""
        self.curves = {label: [(x, y) for x, y in points] for label, points in state["curves"].items()}
        self.lost = dict(state["lost"])
        (processes,) = self.add_up([1])
        pending = state["pending"].items()
        self._pending = {label: _Average(**average).share(processes) for label, average in pending}
        self._stale = True

    def render(self) -> None:
        """Show the curves as they are now."""
        start = time.monotonic()
        self._stale = False
        if not self.display or not self.curves or not in_notebook():
            return
        data = {"xlabel": self.xlabel, "curves": finite(self.curves)}
        names = ", ".join(self.curves)
        self._output.show({"image/svg+xml": self._svg(), CURVES_MIME: data, "text/plain": f"{names} by {self.xlabel}"})
        end = time.monotonic()
        self._next_drawing = end + min(max(REDRAW_SECONDS, (end - start) / DRAWING_SHARE), LONGEST_WAIT_SECONDS)

    def _render_if_due(self) -> None:
        if not self._stale:
            return
        if time.monotonic() >= self._next_drawing:
            self.render()
        elif not self._ending and in_notebook():
            self._ending = True
            at_end_of_cell(self._render_rest)

    def _render_rest(self) -> None:
        """Show the points that came too soon after the last picture for one of their own."""
        self._ending = False
        if self._stale:
            self.render()

    def _settle_all(self) -> None:
        for label in list(self._pending):
            self._settle(label)

    def _settle(self, label: str) -> None:
        average = self._pending.pop(label)
        point = average.point(self.add_up)
        if point is None:
            return
        if not math.isfinite(point[1]):
            self.lost.setdefault(label, average.lost(self.add_up))
        self.curves.setdefault(label, []).append(point)
        self._stale = True

    def _svg(self) -> str:
        if self.axes is not None:
            axes, figure = self.axes, self.axes.figure
            axes.clear()
        else:
            figure = self.fig or Figure(figsize=self.figsize, layout="constrained")
            figure.clear()
            axes = figure.subplots()
        for i, (label, points) in enumerate(self.curves.items()):
            style, color = self.ls[i % len(self.ls)], self.colors[i % len(self.colors)]
            line = axes.plot(*zip(*points, strict=True), linestyle=style, color=color, label=label)[0]
            if len(points) == 1:
                # A curve of one point has no line to see: mark it, whole even on the frame.
                line.set(marker="o", clip_on=False)
        set_axes(axes, self.xlabel, self.ylabel, self.xlim, self.ylim, self.xscale, self.yscale, list(self.curves))
        buffer = io.StringIO()
        with rc_context(SVG_STYLE):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()


class _Average:
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

    def state(self, add_up: AddUp) -> dict[str, Any]:
        """The arguments that make this average of all processes anew, as numbers."""
        weight, x, y, *ys = add_up([self.weight, self.x, *map(_number, (self.y, *(y for _, y in self.points)))])
        points = [(x, y) for (x, _), y in zip(self.points, ys, strict=True)]
        return {"points": points, "weight": weight, "x": x, "y": y}

    def share(self, processes: float) -> "_Average":
        """What is one process's of an average of as many, of numbers."""
        points = [(x, y / processes) for x, y in self.points]
        return _Average(points, self.weight / processes, self.x / processes, self.y / processes)

    def point(self, add_up: AddUp) -> tuple[float, float] | None:
        """The mean of the points that all processes have taken in; ``None`` if none of them has any weight."""
        weight, x, y = add_up([self.weight, self.x, _number(self.y)])
        return (x / weight, y / weight) if weight else None

    def lost(self, add_up: AddUp) -> float:
        """The x of the first point whose y is no finite number, for a mean that is none; these points are read."""
        ys = add_up([_number(y) for _, y in self.points])
        return next((x for (x, _), y in zip(self.points, ys, strict=True) if not math.isfinite(y)), self.points[-1][0])


def _number(y: Any) -> float:
    return to_numpy(y).item()
