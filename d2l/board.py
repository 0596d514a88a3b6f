"""A figure in the notebook that grows while a model trains, and carries its numbers with it."""

import io
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from matplotlib import pyplot as plt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from .hyperparameters import HyperParameters
from .metrics import AllReduce, WeightedMean, number
from .mime import CURVES_MIME, json_safe
from .notebook_output import Output, at_end_of_cell, in_notebook
from .plotting import OF_BOARD, SVG_STYLE, Look, free_look, in_turn, look_of, looks, set_axes

REDRAW_SECONDS = 0.5
DRAWING_SHARE = 0.02  # of the time may go into pictures that the next one replaces
LONGEST_WAIT_SECONDS = 10.0
LEGEND_ROWS = 8
MOST = 1e150  # of what reaches further, matplotlib finds no ticks on some of its scales


class ProgressBoard(HyperParameters):
    """Draw curves point by point.

    In a script the figure is pyplot's current one, which ``plt.show()`` and ``plt.savefig(...)`` find, and has each
    point at once. In a notebook it is redrawn in place, as soon after a point as a small share of the time allows.

    There it is published as SVG together with its curves as data (media type ``application/vnd.d2l.curves+json``:
    ``{"xlabel": str, "curves": {label: [[x, y], ...]}}``, with null for a y that is no finite number), so that a
    test can compare numbers and not pictures.

    Args:
        xlabel, ylabel: Axis labels.
        xlim, ylim: Axis limits as pairs.
        xscale, yscale: Matplotlib scale names.
        ls, colors: Line styles and colours, taken in turn by the curves: first in pairs, then in other pairs, then
            with markers, so that no two curves look alike.
        fig, axes: Draw into this figure, which has one pair of axes or none yet, or into these axes, instead of new
            ones. What else is drawn there stays.
        figsize: Width and height in inches, of new figures.
        display: Whether to have a figure; ``False`` only collects the points.

    Attributes:
        curves: The points (x, y) of each curve, by its label.

    Raises:
        ValueError: ``fig`` or ``axes`` are no figure or axes of matplotlib, do not belong together, or leave open into
            which of several axes to draw; or ``ls`` or ``colors`` are empty.
    """

    xlabel: str | None
    ylabel: str | None
    xlim: Sequence[float] | None
    ylim: Sequence[float] | None
    xscale: str
    yscale: str
    fig: Figure | None
    axes: Axes | None
    figsize: tuple[float, float]
    display: bool

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
        self.ls, self.colors = in_turn("ls", ls), in_turn("colors", colors)
        _given_axes(fig, axes)
        self.all_reduce: AllReduce = list  # over the processes that train together
        self._forget_picture()
        self._by_step = False  # whether points are shown by `refresh` only
        self.clear()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has: all but its trainer's sums over processes, and the picture."""
        return {**self.__dict__, "all_reduce": list, "_axes": None, "_lines": {}, "_looks": {}}

    def _forget_picture(self) -> None:
        self._axes: Axes | None = None
        self._lines: dict[str, Line2D] = {}
        self._looks: dict[str, Look] = {}

    def clear(self) -> None:
        """Forget all points and start a new picture; of axes given, only what it has drawn there itself is removed."""
        if not self._has_own_figure and self._axes is not None and self._lines and not self._is_gone():
            for line in self._lines.values():
                line.remove()
            self._axes.relim()
        self._forget_picture()
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self.lost: dict[str, float] = {}  # where a curve first left the finite numbers
        self._pending: dict[str, WeightedMean] = {}
        self._output = Output()
        self._next_drawing = 0.0
        self.is_stale = False  # whether there are points that the picture does not show
        self._ending = False  # whether the end of the cell will show them

    @property
    def last(self) -> dict[str, float]:
        """The y of each curve's last point."""
        return {label: points[-1][1] for label, points in self.curves.items()}

    def draw(self, x: float, y: Any, label: Any, every_n: int = 1, weight: float = 1) -> None:
        """Add a point to the curve ``label``.

        Args:
            x, y: The point. ``y`` may be a tensor of one number, of any framework; it is read only when it is due.
            label: Name of the curve in the legend; what is no text is taken as text.
            every_n: Average this many points into one.
            weight: Share of this point in that average, such as its number of examples.
        """
        label = str(label)
        average = self._pending.setdefault(label, WeightedMean())
        average.add(number(x), y, weight)
        if average.count >= every_n:
            self._flush_mean(label)
        if not self._by_step:
            self.refresh()

    @contextmanager
    def by_step(self) -> Iterator[None]:
        """A context in which `refresh`, called after each step, shows points: those of a step come in one picture."""
        self._by_step = True
        try:
            yield
        finally:
            self._by_step = False

    def refresh(self) -> None:
        """Show points that the picture does not have yet, if it is time to; it costs nothing if there are none."""
        if not self.is_stale:
            return
        if not in_notebook() or time.monotonic() >= self._next_drawing:
            self.render()
        elif not self._ending:
            self._ending = True
            at_end_of_cell(self._render_rest)

    def flush_means(self) -> None:
        """Turn points still waiting for their average into points of the curves, and show them when it is time to."""
        self._flush_all_means()
        self.refresh()

    def flush(self) -> None:
        """Turn points still waiting for their average into points of the curves, and show them all."""
        self._flush_all_means()
        if self.is_stale:
            self.render()

    def state(self) -> dict[str, Any]:
        """All points, also those that wait for their average, as numbers."""
        pending = {label: average.state(self.all_reduce) for label, average in self._pending.items()}
        return {"curves": self.curves, "lost": self.lost, "pending": pending}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from the points of such a state."""
        self.clear()
        self.curves = {label: [(x, y) for x, y in points] for label, points in state["curves"].items()}
        self.lost = dict(state["lost"])
        (world_size,) = self.all_reduce([1])
        pending = state["pending"].items()
        self._pending = {label: WeightedMean(**average).split(world_size) for label, average in pending}
        self.is_stale = True

    def render(self) -> None:
        """Show the curves as they are now."""
        start = time.monotonic()
        self.is_stale = False
        if not self.display or not self.curves:
            return
        if not in_notebook():
            self._draw_curves()
            return
        data = {"xlabel": self.xlabel, "curves": json_safe(self.curves)}
        names = ", ".join(self.curves)
        self._output.show({"image/svg+xml": self._svg(), CURVES_MIME: data, "text/plain": f"{names} by {self.xlabel}"})
        end = time.monotonic()
        self._next_drawing = end + min(max(REDRAW_SECONDS, (end - start) / DRAWING_SHARE), LONGEST_WAIT_SECONDS)

    def _render_rest(self) -> None:
        """Show the points that came too soon after the last picture for one of their own."""
        self._ending = False
        if self.is_stale:
            self.render()

    def _flush_all_means(self) -> None:
        for label in list(self._pending):
            self._flush_mean(label)

    def _flush_mean(self, label: str) -> None:
        average = self._pending.pop(label)
        point = average.mean(self.all_reduce)
        if point is None:
            return
        if not math.isfinite(point[1]):
            self.lost.setdefault(label, average.first_nonfinite(self.all_reduce))
        self.curves.setdefault(label, []).append(point)
        self.is_stale = True

    @property
    def _has_own_figure(self) -> bool:
        return self.fig is None and self.axes is None

    def _is_gone(self) -> bool:
        """Whether the user has closed the figure, or cleared the axes, since the curves were drawn there."""
        figure = getattr(self._axes and self._axes.figure, "number", None)  # pyplot's
        closed = self._has_own_figure and figure is not None and not plt.fignum_exists(figure)
        return closed or any(line.axes is None for line in self._lines.values())

    def _svg(self) -> str:
        if self._has_own_figure:  # a new one, so that a picture does not depend on those before it
            self._forget_picture()
        axes = self._draw_curves()
        buffer = io.StringIO()
        with rc_context(SVG_STYLE):
            _figure(axes).savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    def _draw_curves(self) -> Axes:
        """Give the axes what the curves have and they have not, and return them."""
        if self._is_gone():
            self._forget_picture()
        if self._axes is None:
            self._axes = self._new_axes()
        for label, points in self.curves.items():
            line = self._lines.get(label) or self._new_line(self._axes, label)
            xs, ys = _data(line)
            new = [(_drawable(x), _drawable(y)) for x, y in points[len(xs) :]]
            line.set_data([*xs, *(x for x, _ in new)], [*ys, *(y for _, y in new)])
            # A curve of one point has no line to see: mark it, whole even on the frame.
            alone = len(points) == 1
            line.set(marker="o" if alone else self._looks[label].marker, clip_on=not alone)
            self._axes.update_datalim(new)
        self._axes.autoscale_view()
        return self._axes

    def _new_axes(self) -> Axes:
        axes = _given_axes(self.fig, self.axes)
        if axes is None:
            figure = self.fig or (Figure if in_notebook() else _current_figure)(self.figsize, layout="constrained")
            axes = figure.subplots()
        # Of axes given, the scales stay unless others are asked for.
        xscale, yscale = (
            getattr(axes, f"get_{name}scale")() if scale == "linear" else scale
            for name, scale in (("x", self.xscale), ("y", self.yscale))
        )
        limits = _limits(self.xlim, xscale), _limits(self.ylim, yscale)
        set_axes(axes, self.xlabel, self.ylabel, *limits, xscale, yscale, None)
        return axes

    def _new_line(self, axes: Axes, label: str) -> Line2D:
        """A curve without points, that looks like no other line there, and stands in the legend after these."""
        others = [line for line in axes.lines if line not in self._lines.values()]
        look = free_look(looks(self.ls, self.colors), [*map(_look_of_curve, others), *self._looks.values()])
        (line,) = axes.plot([], [], linestyle=look.style, color=look.color, marker=look.marker, label=label)
        named = [
            handle for handle in axes.get_legend_handles_labels()[0] if handle not in (*self._lines.values(), line)
        ]
        self._lines[label], self._looks[label] = line, look
        handles = [*named, *self._lines.values()]
        columns = -(-len(handles) // LEGEND_ROWS)
        legend = axes.legend(handles, [handle.get_label() for handle in handles], ncols=columns)
        legend.set_in_layout(columns == 1)  # one with more may be larger than the axes, which are to keep their size
        return line


def _drawable(value: float) -> float:
    """A number as far out as a picture reaches; one that is not finite stays so, and leaves a gap."""
    return min(max(value, -MOST), MOST) if math.isfinite(value) else value


def _data(line: Line2D) -> tuple[Any, Any]:
    """The coordinates of a line's points, as it was given them."""
    return line.get_data(orig=True)


def _look_of_curve(line: Line2D) -> Look:
    """How a line looks; of one with a single point, without the marker that shows it and goes with the next point."""
    look = look_of(line)
    return look._replace(marker="None") if len(_data(line)[0]) == 1 else look


def _given_axes(fig: Any, axes: Any) -> Axes | None:
    """The axes that a figure and axes given come to; ``None`` if there are none yet.

    Raises:
        ValueError: They are none of matplotlib's, or it is not clear which.
    """
    if fig is not None and not isinstance(fig, FigureBase):
        raise ValueError(
            f"fig is of the type {type(fig).__name__}: give a figure of matplotlib's, such as plt.figure()"
        )
    if axes is None:
        own: Any = fig.axes if fig is not None else []
        if len(own) > 1:
            raise ValueError(f"fig has {len(own)} axes: give axes=..., those to draw into")
        return own[0] if own else None
    if not isinstance(axes, Axes):
        raise ValueError(
            f"axes is of the type {type(axes).__name__}: give one pair of matplotlib's axes, such as fig.axes[0]"
        )
    if fig is not None and _figure(axes) is not fig.figure:
        raise ValueError("axes belong to another figure than fig: give axes alone")
    return axes


def _figure(axes: Axes) -> Figure:
    """The whole figure that axes stand in, also if they do in a part of it."""
    return axes.figure.figure


def _current_figure(figsize: tuple[float, float], layout: Literal["constrained"]) -> Figure:
    """A new figure that is pyplot's current one; a run of its own opened it, so many of them are no mistake."""
    try:
        with rc_context({"figure.max_open_warning": 0}):
            figure = plt.figure(figsize=figsize, layout=layout)
    except ImportError as error:  # a training does not end for that
        print(f"There will be no figure for plt.show(): {error}", file=sys.stderr)
        figure = Figure(figsize, layout=layout)
    figure.set_label(OF_BOARD)
    return figure


def _limits(limits: Sequence[float] | None, scale: str) -> Sequence[float | None] | None:
    """Limits as an axis of this scale can have them: a logarithmic one begins where its data do, and not at 0."""
    return limits and [None if scale == "log" and limit <= 0 else limit for limit in limits]
