"""A figure in the notebook that grows while a model trains, and carries its numbers with it."""

import io
import time
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from .hyperparameters import HyperParameters
from .notebook import Output, at_end_of_cell, in_notebook
from .plotting import SVG_STYLE, set_axes, to_numpy

CURVES_MIME = "application/vnd.d2l.curves+json"
REDRAW_SECONDS = 0.5


class ProgressBoard(HyperParameters):
    """Draw curves point by point; in a notebook the figure is redrawn in place.

    The figure is published as SVG together with its curves as data (media type ``application/vnd.d2l.curves+json``:
    ``{"xlabel": str, "curves": {label: [[x, y], ...]}}``), so that a test can compare numbers and not pictures.

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
        self.clear()

    def clear(self) -> None:
        """Forget all points and start a new picture."""
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self._pending: dict[str, list[tuple[float, Any, float]]] = {}
        self._output = Output()
        self._drawn_at = 0.0
        self._stale = False  # whether there are points that the picture does not show
        self._ending = False  # whether the end of the cell will show them

    def draw(self, x: float, y: Any, label: str, every_n: int = 1, weight: float = 1) -> None:
        """Add a point to the curve ``label``.

        Args:
            x, y: The point. ``y`` may be a tensor of one number, of any framework; it is read only when it is due.
            label: Name of the curve in the legend.
            every_n: Average this many points into one.
            weight: Share of this point in that average, such as its number of examples.
        """
        pending = self._pending.setdefault(label, [])
        pending.append((x, y, weight))
        if len(pending) >= every_n:
            self._settle(label)
            if time.monotonic() - self._drawn_at >= REDRAW_SECONDS:
                self.render()
            elif not self._ending and in_notebook():
                self._ending = True
                at_end_of_cell(self._render_rest)

    def flush(self) -> None:
        """Turn points still waiting for their average into points of the curves, and show them all."""
        for label in list(self._pending):
            self._settle(label)
        self.render()

    def render(self) -> None:
        """Show the curves as they are now."""
        self._drawn_at = time.monotonic()
        self._stale = False
        if not self.display or not self.curves or not in_notebook():
            return
        data = {"xlabel": self.xlabel, "curves": self.curves}
        names = ", ".join(self.curves)
        self._output.show({"image/svg+xml": self._svg(), CURVES_MIME: data, "text/plain": f"{names} by {self.xlabel}"})

    def _render_rest(self) -> None:
        """Show the points that came too soon after the last picture for one of their own."""
        self._ending = False
        if self._stale:
            self.render()

    def _settle(self, label: str) -> None:
        points = self._pending.pop(label, [])
        if points:
            total = sum(weight for _, _, weight in points)
            x = sum(x * weight for x, _, weight in points) / total
            y = sum(to_numpy(y).item() * weight for _, y, weight in points) / total
            self.curves.setdefault(label, []).append((x, y))
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
