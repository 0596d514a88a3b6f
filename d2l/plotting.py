"""Figures with matplotlib, crisp in notebooks."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib_inline.backend_inline
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

# Text stays text, so that it can be read, searched and compared; element names do not change from run to run.
SVG_STYLE: dict[Any, str] = {"svg.fonttype": "none", "svg.hashsalt": "d2l"}
OF_BOARD = "curves of a ProgressBoard"  # label of the figures that boards open
MARKERS = ("None", "o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
CYCLE = tuple(f"C{i}" for i in range(10))
STYLES = {"solid": "-", "dashed": "--", "dashdot": "-.", "dotted": ":"}


class Look(NamedTuple):
    """What tells a curve from others."""

    style: Any
    color: Any
    marker: Any

    @property
    def seen(self) -> tuple[str, str, str]:
        """The same for two looks that one cannot tell apart, though they have been given in other words."""
        return STYLES.get(str(self.style), str(self.style)), to_hex(self.color, keep_alpha=True), str(self.marker)


def looks(styles: Sequence[Any], colors: Sequence[Any], markers: Sequence[str] = MARKERS) -> Iterator[Look]:
    """All looks that these make: styles and colours in turn, then in the pairs left over, then with other markers.

    For more curves than that, there follow those of matplotlib's own styles and colours.
    """
    pairs, rounds = len(styles) * len(colors), math.lcm(len(styles), len(colors))
    for marker in markers:
        for i in range(pairs):
            yield Look(styles[(i + i // rounds) % len(styles)], colors[i % len(colors)], marker)
    if colors is not CYCLE:
        yield from looks(list(STYLES.values()), CYCLE)


def look_of(line: Line2D) -> Look:
    """How a line looks."""
    return Look(line.get_linestyle(), line.get_color(), line.get_marker())


def free_look(candidates: Iterable[Look], taken: Collection[Look]) -> Look:
    """The first look that is not taken; should all be, the last."""
    seen = {look.seen for look in taken}
    for look in candidates:
        if look.seen not in seen:
            break
    return look


def in_turn(name: str, values: Sequence[Any]) -> list[Any]:
    """Values to take in turn, of which one may stand alone.

    Raises:
        ValueError: There is none.
    """
    values = [values] if isinstance(values, str) else list(values)
    if not values:
        raise ValueError(f"{name} is empty: give at least one")
    return values


def use_svg_display() -> None:
    """Show figures as SVG in Jupyter."""
    plt.rcParams.update(SVG_STYLE)
    matplotlib_inline.backend_inline.set_matplotlib_formats("svg", metadata={"Date": None})


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the size of new figures, width and height in inches, and show them as SVG in Jupyter."""
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Axes,
    xlabel: str | None,
    ylabel: str | None,
    xlim: Sequence[float | None] | None,
    ylim: Sequence[float | None] | None,
    xscale: str,
    yscale: str,
    legend: Sequence[str] | None,
) -> None:
    """Set labels, limits, scales, legend and grid of ``axes`` in one call.

    Args:
        axes: Axes of matplotlib.
        xlabel, ylabel: Labels; ``None`` or an empty text leaves what is there.
        xlim, ylim: Limits as pairs; ``None`` leaves them to matplotlib.
        xscale, yscale: Matplotlib's names of scales, such as ``linear`` or ``log``.
        legend: A label for each curve; none shows no legend.
    """
    axes.set(xscale=xscale, yscale=yscale)
    if xlabel:
        axes.set_xlabel(xlabel)
    if ylabel:
        axes.set_ylabel(ylabel)
    if xlim is not None:
        axes.set(xlim=xlim)
    if ylim is not None:
        axes.set(ylim=ylim)
    if legend:
        axes.legend(legend)
    axes.grid(True)


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] = (),
    xlim: Sequence[float] | None = None,
    ylim: Sequence[float] | None = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: tuple[float, float] = (3.5, 2.5),
    axes: Axes | None = None,
) -> None:
    """Plot one curve or several against ``X``, or against their indices when ``Y`` is not given.

    The figure is pyplot's current one: ``d2l.plt.savefig("curves.png")`` after it, in the same cell, saves it.

    Args:
        X, Y: A vector (n,), or a list of vectors, of any framework; one ``X`` may serve several ``Y``.
        xlabel, ylabel, legend: Labels of the axes, and one for each curve.
        xlim, ylim, xscale, yscale: Limits as pairs, and matplotlib's names of scales, such as ``log``.
        fmts: Matplotlib format strings, taken in turn; a curve that would look like an earlier one has markers.
        axes: Draw here instead of into the current axes, of which each cell of a notebook has new ones, and so does a
            script after a `ProgressBoard` has drawn.
        figsize: Width and height in inches.

    Raises:
        ValueError: ``fmts`` is empty, or X and Y are not as many vectors, or not of the same lengths.
    """
    if Y is None:
        ys = _curves(X)
        xs = [np.arange(len(y)) for y in ys]
    else:
        xs, ys = _curves(X), _curves(Y)
        xs = xs * len(ys) if len(xs) == 1 else xs
    set_figsize(figsize)
    if axes is None:
        axes = (plt.figure() if plt.gcf().get_label() == OF_BOARD else plt.gcf()).gca()
    axes.cla()
    fmts = in_turn("fmts", fmts)
    taken: list[Look] = []
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        for line in axes.plot(x, y, fmts[i % len(fmts)]):
            style, color, marker = look_of(line)
            look = free_look(looks([style], [color], [marker, *MARKERS]), taken)
            line.set_marker(look.marker)
            taken.append(look)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def show_images(
    imgs: Iterable[Any], num_rows: int, num_cols: int, titles: Sequence[str] | None = None, scale: float = 1.5
) -> np.ndarray:
    """Show images in a grid.

    The figure is pyplot's current one: ``d2l.plt.savefig("images.png")`` after it, in the same cell, saves it.

    Args:
        imgs: Arrays or tensors of shape (height, width), (height, width, 1) or (height, width, 3).
        num_rows, num_cols: Size of the grid; images beyond it are not shown.
        titles: A line above each image.
        scale: Width and height of one image in inches.

    Returns:
        The grid's axes, flattened.
    """
    use_svg_display()
    _, axes = plt.subplots(num_rows, num_cols, figsize=(num_cols * scale, num_rows * scale), squeeze=False)
    axes = axes.flatten()
    for ax in axes:
        ax.set_axis_off()
    for i, (ax, img) in enumerate(zip(axes, imgs, strict=False)):
        ax.imshow(to_numpy(img).squeeze(), cmap="gray")
        if titles:
            ax.set_title(titles[i])
    return axes


def to_numpy(x: Any) -> np.ndarray:
    """A tensor of any framework, on any device, as a NumPy array."""
    if hasattr(x, "asnumpy"):
        return x.asnumpy()
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":  # which NumPy lacks
            x = x.float()
    return np.asarray(x)


def _curves(values: Any) -> list[Any]:
    """A vector or a list of vectors, as a list of arrays."""
    if isinstance(values, list):
        values = [to_numpy(value) for value in values]
        if values and values[0].ndim:
            return values
    values = to_numpy(values)
    return list(values) if values.ndim > 1 else [values]
