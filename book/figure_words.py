"""What a figure of matplotlib shows, in words for those who cannot see it: its kind, axes, and values of its curves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np

from .figure_contents import SVG, Axis, Scale, groups, shape_of, style_of, words_of

DIGITS = 3  # of the values that are said
ROWS_APART = 9  # points between the lower ends of pictures in different rows
HUMP = 0.2  # of a curve's range: how far beyond its ends it goes to be worth a word
MOST_NAMED = 12  # pictures, curves or points; of more, the first ones are named


def describe(svg: str) -> str:
    """What a figure shows; of an SVG that is not matplotlib's, the words in it."""
    root = ET.fromstring(svg)
    drawing = root.find(f"{SVG}g[@id='figure_1']")
    if drawing is None:
        texts = ("".join(text.itertext()).strip() for text in root.iter(f"{SVG}text"))
        return "Drawing: " + ", ".join(dict.fromkeys(text for text in texts if re.search("[A-Za-z]", text)))
    all_axes = [group for kind, group in groups(drawing) if kind == "axes"]
    images = [axes for axes in all_axes if any(kind == "image" for kind, _ in groups(axes))]
    plots = [axes for axes in all_axes if axes not in images]
    parts = [_grid(images)] if images else []
    for number, axes in enumerate(plots, 1):
        parts.append((f"Plot {number} of {len(plots)}. " if len(plots) > 1 else "") + _plot(axes))
    return " ".join(parts)


def _grid(images: list[ET.Element]) -> str:
    """Pictures in rows, with what stands above each."""
    lowest = np.sort([_lower_end(axes) for axes in images])
    count, row_count = len(images), 1 + (np.diff(lowest) > ROWS_APART).sum()
    rows = f" in {row_count} rows" if row_count > 1 else " in a row" if count > 1 else ""
    titles = [", ".join(words_of(group) for kind, group in groups(axes) if kind == "text") for axes in images]
    named = list(filter(None, titles))
    said = f": {_listed(named, ', ')}" if named else ""
    return f"{count} {'pictures' if count > 1 else 'picture'}{rows}{said}."


def _lower_end(axes: ET.Element) -> float:
    """Where a picture's lower end is drawn, in points from above."""
    image = next(axes.iter(f"{SVG}image"))
    moved = re.search(r"translate\(\S+ (-?[\d.]+)\)", image.get("transform", ""))
    turned = -1 if "scale(1 -1)" in image.get("transform", "") else 1
    return turned * (float(image.get("y", 0)) + (float(moved[1]) if moved else 0))


@dataclass(frozen=True)
class _Curve:
    """A line or points of a plot: coordinates x and y of each, in data, and whether a line joins them."""

    style: str
    points: np.ndarray
    joined: bool


def _plot(axes: ET.Element) -> str:
    children = list(groups(axes))
    across, up = map(Axis.read, (group for kind, group in children if kind == "matplotlib.axis"), "xy")
    curves = list(_curves(children, across, up))
    title = ", ".join(words_of(group) for kind, group in children if kind == "text")
    kinds = {curve.joined for curve in curves}
    kind = {frozenset({True}): "Line plot", frozenset({False}): "Points"}.get(frozenset(kinds), "Lines and points")
    names = dict(entry for kind, group in children if kind == "legend" for entry in _entries(group))
    sentences = [f"{kind}: {title}" if title else kind, _axis("Horizontal axis", across), _axis("Vertical axis", up)]
    categories = None if up.line() else up.values
    if categories:
        sentences.append(_listed([f"{name} {_value(x)}" for name, x in _by_category(categories, curves)], "; "))
    else:
        sentences.append(_listed([_said(names.get(curve.style, ""), curve) for curve in _shown(curves, names)], "; "))
    return ". ".join(filter(None, sentences)) + "."


def _curves(children: list[tuple[str, ET.Element]], across: Axis, up: Axis) -> Iterator[_Curve]:
    scales = [_to_data(across), _to_data(up)]
    for kind, group in children:
        if kind not in ("line", "PathCollection"):
            continue
        shape = shape_of(group)
        joined = len(shape.paths) == 1
        places = shape.paths[0] if joined else shape.markers
        if len(places):
            data = np.stack([scale(places[:, i]) for i, scale in enumerate(scales)], axis=1)
            yield _Curve(style_of(group), data, joined)


def _to_data(axis: Axis) -> Scale:
    """From places in the figure to numbers; where the ticks have words, the places are all there is."""
    line = axis.line()
    if line is None:
        return lambda places: places
    if axis.logarithmic:
        return lambda places: 10 ** line(places)
    step = abs(np.ptp(line(np.array(list(axis.values))))) / 1e6  # what is less comes from rounding
    return lambda places: np.round(line(places) / step) * step + 0.0


def _shown(curves: list[_Curve], names: dict[str, str]) -> list[_Curve]:
    """The curves with a name; if none has one, all of them."""
    return [curve for curve in curves if curve.style in names] or curves


def _by_category(categories: dict[float, str], curves: list[_Curve]) -> Iterator[tuple[str, float]]:
    """Of points that lie at the words of the vertical axis, each word with its value."""
    for curve in curves:
        for x, y in curve.points:
            place = min(categories, key=lambda tick: abs(tick - y))
            if not curve.joined and abs(place - y) < 1:
                yield categories[place], x


def _said(name: str, curve: _Curve) -> str:
    values = curve.points[:, 1]
    low, high = values.min(), values.max()
    if len(values) == 1:
        said = _value(values[0])
    elif curve.joined:
        said = f"{_value(values[0])} to {_value(values[-1])}"
        ends, far = values[[0, -1]], HUMP * (high - low)
        said += f", down to {_value(low)} between" if ends.min() - low > far else ""
        said += f", up to {_value(high)} between" if high - ends.max() > far else ""
    else:
        said = f"{len(values)} points from {_value(low)} to {_value(high)}"
    return f"{name or 'the curve'}: {said}"


def _axis(direction: str, axis: Axis) -> str:
    if axis.line() is None:
        return f"{direction}: {axis.label}" if axis.label else ""
    low, high = np.sort(_to_data(axis)(np.array([min(axis.values), max(axis.values)])))
    scale = ", logarithmic" if axis.logarithmic else ""
    return f"{direction}: {axis.label}{', ' if axis.label else ''}{_value(low)} to {_value(high)}{scale}"


def _entries(legend: ET.Element) -> Iterator[tuple[str, str]]:
    """The style of each line in a legend, and its name."""
    parts = [(kind, group) for kind, group in groups(legend)][1:]  # the first is its box
    styles = [style_of(group) for kind, group in parts if kind != "text"]
    names = [words_of(group) for kind, group in parts if kind == "text"]
    yield from zip(styles, names, strict=False)


def _listed(things: list[str], between: str) -> str:
    more = f"{between}and {len(things) - MOST_NAMED} more" if len(things) > MOST_NAMED else ""
    return between.join(things[:MOST_NAMED]) + more


def _value(number: float) -> str:
    """A number with so many digits as one can listen to."""
    number = float(f"{number:.{DIGITS}g}")
    if number == 0 or 1e-4 <= abs(number) < 1e6:
        return f"{number:,.10g}"
    mantissa, exponent = f"{number:g}".split("e")
    return f"{mantissa}e{int(exponent)}"
