"""What matplotlib's figures show: words, lines and patches with their coordinates, and the pixels of images."""

import base64
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

# A share of the width and height of a figure's axes, less than half a line's width. Matplotlib leaves out points that
# are less than a ninth of a pixel, some 0.0006 of an axis, from the line without them; which ones depends on rounding.
DRAWN_TOLERANCE = 0.002
# An axis of metrics ends 0.05 of its data's range beyond them at both ends, so its frame moves more than they do.
FRAME_FACTOR = 1.1
# Of 255 levels. Scaling to the range of the values and to pixels of the figure may each round to the next level.
IMAGE_TOLERANCE = 2

UNIT = r"(?:[kMGTP]?(?:FLOP|B|images|examples)/s|m?s)"
# An axis with a unit of speed or time, such as "examples/s" or "time (ms)", is that of the machine; so is one of
# errors, which are what its rounding leaves. "time / best time" has no unit: it is computed, and compared.
MEASURED_AXIS = re.compile(rf"{UNIT}|.*\({UNIT}\)|error")

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
PAIR = re.compile(r"(-?[\d.]+(?:e-?\d+)?) (-?[\d.]+(?:e-?\d+)?)")
OFFSET = re.compile(r"(1e-?\d+)?([+-][\d.]+(?:e-?\d+)?)?")  # what is written beside an axis when its ticks are rests
FORMULA = re.compile(r"\$\\mathdefault\{(.*)\}\$")
FONT_SIZE = re.compile(r"font-size: ([\d.]+)px")
SIGN_OF_TIMES, TIMES = "\N{MULTIPLICATION SIGN}", r"\times"
POWER = re.compile(r"(?:([\d.]+)\\times)?10\^\{(-?\d+)\}")
Scale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shape:
    """A line, patch or collection: its paths and the places of its markers, each with x and y."""

    paths: list[np.ndarray]
    markers: np.ndarray

    def scaled(self, scales: list[Scale]) -> "Shape":
        """The shape with its coordinates on these scales of x and y."""
        return Shape([_scaled(path, scales) for path in self.paths], _scaled(self.markers, scales))


@dataclass(frozen=True)
class Figure:
    """What a figure shows.

    Attributes:
        text: All that has to be the same: words, numbers of elements, styles, scales and ticks. The ticks of an axis
            of metrics or measurements are not in it, for matplotlib chooses them after the data.
        shapes: What is drawn from data, by name; coordinates are in tolerances, so 1 is as far as they may be apart.
        images: Pixels of red, green, blue and opacity, by name.
    """

    text: str
    shapes: dict[str, Shape]
    images: dict[str, np.ndarray]


def read_figure(svg: str, tolerances: Mapping[str, float]) -> Figure:
    """What a figure shows; of an SVG that is not matplotlib's, the text is the SVG itself.

    Args:
        tolerances: How far data may be apart on an axis of a metric, by a word in its name such as ``loss``.
    """
    try:
        # Comments have the formulas that are drawn as single characters.
        root = ET.fromstring(svg, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))
    except ET.ParseError:
        return Figure(svg, {}, {})
    drawing = root.find(f"{SVG}g[@id='figure_1']")
    if drawing is None:
        return Figure(svg, {}, {})
    whole = np.array([[0, 0], [float(number) for number in root.attrib["viewBox"].split()[2:]]])
    figure = Figure("", {}, {})
    lines = [words_of(group) for kind, group in groups(drawing) if kind == "text"]
    lines += [line for kind, group in groups(drawing) if kind == "legend" for line in legend_of(group)]
    all_axes = (group for kind, group in groups(drawing) if kind == "axes")
    for number, axes in enumerate(all_axes, 1):
        lines += _read_axes(axes, f"axes {number}", whole, tolerances, figure)
    return Figure("\n".join(lines), figure.shapes, figure.images)


def different_figures(test: Figure, reference: Figure, mean_level_tolerance: float = 0) -> Iterator[str]:
    """A line for each shape and image that is not within the tolerance, of two figures with the same text.

    Args:
        mean_level_tolerance: Images pass as well if their mean levels, of 255, are no farther apart; 0: they do not.
    """
    for name, shape in test.shapes.items():
        if (distance := _distance(shape, reference.shapes[name])) > 1:
            yield f"{name}: {distance:.3g} times the tolerance from the reference"
    for name, image in test.images.items():
        other = reference.images[name]
        if image.shape != other.shape:
            yield f"{name}: {image.shape[1]} by {image.shape[0]} pixels, reference {other.shape[1]} by {other.shape[0]}"
        elif mean_level_tolerance and abs(image.mean() - other.mean()) <= mean_level_tolerance:
            continue
        elif (levels := abs(image - other).max()) > IMAGE_TOLERANCE:
            yield f"{name}: {levels} of 255 levels from the reference, where {IMAGE_TOLERANCE} are allowed"


def _read_axes(
    axes: ET.Element, name: str, whole: np.ndarray, tolerances: Mapping[str, float], figure: Figure
) -> list[str]:
    """Add what these axes show to a figure, and give the lines of its text."""
    children = list(groups(axes))
    drawn = [(kind, group) for kind, group in children if kind not in ("text", "legend", "matplotlib.axis")]
    counts = Counter(kind for kind, _ in drawn)
    lines = [f"{name}: " + ", ".join(f"{kind} \N{MULTIPLICATION SIGN} {number}" for kind, number in counts.items())]
    lines += [f"{name}: {words_of(group)}" for kind, group in children if kind == "text"]
    legend = [line for kind, group in children if kind == "legend" for line in legend_of(group)]
    lines += [f"{name}, legend: {line}" for line in legend]

    frame = next((shape_of(group).paths[0] for kind, group in drawn if kind == "patch"), whole)
    scales = [_share_of(frame[:, 0]), _share_of(frame[:, 1])]
    axis_groups = [group for kind, group in children if kind == "matplotlib.axis"]
    for i, axis in enumerate(map(Axis.read, axis_groups, "xy")):
        lines.append(f"{name}, {axis}")
        # The progress board writes no name at its axis of metrics: those in the legend are its.
        quantity = axis.label or ("; ".join(legend) if i == 1 else "")
        if scale := axis.scale_of_results(quantity, tolerances):
            scales[i] = scale
        else:
            ticks = f"{name}, ticks of {axis.direction}"
            lines.append(f"{ticks}: {' '.join(axis.values.values())} {axis.offset}".rstrip())
            figure.shapes[ticks] = Shape([], scales[i](np.array(axis.places))[:, None])

    numbers = Counter()
    for kind, group in drawn:
        numbers[kind] += 1
        element = f"{name}, {kind} {numbers[kind]}"
        if kind == "image":
            figure.images[element] = _pixels(group)
        else:
            lines.append(f"{element}: {style_of(group)}")
            figure.shapes[element] = shape_of(group, kind).scaled(scales)
    return lines


@dataclass(frozen=True)
class Axis:
    """An axis: the places of all ticks, and what is written at those that have a number."""

    direction: str
    label: str
    offset: str
    grid: bool
    places: list[float]
    values: dict[float, str]

    @classmethod
    def read(cls, group: ET.Element, direction: str) -> "Axis":
        label = offset = ""
        grid, places, values = False, [], {}
        for kind, child in groups(group):
            if kind == "text":
                words = words_of(child)
                if OFFSET.fullmatch(words):
                    offset = words
                else:
                    label = words
                continue
            mark = child.find(f".//{SVG}use")
            if mark is None:
                continue
            places.append(float(mark.attrib[direction]))
            grid = grid or bool(shape_of(child).paths)
            for part, text in groups(child):
                if part == "text":
                    values[places[-1]] = words_of(text)
        return cls(direction, label, offset, grid, places, values)

    @property
    def logarithmic(self) -> bool:
        return any(POWER.fullmatch(value) for value in self.values.values())

    def scale_of_results(self, quantity: str, tolerances: Mapping[str, float]) -> Scale | None:
        """The scale of an axis of measurements or metrics; none for others.

        It takes places in the figure to the data there, or their logarithms, in tolerances, for the ends of such an
        axis depend on the data. All measurements are the same to it.
        """
        if MEASURED_AXIS.fullmatch(quantity):
            return np.zeros_like
        allowed = [tolerance for metric, tolerance in tolerances.items() if metric in quantity]
        line = self.line()
        if not allowed or line is None:
            return None
        return lambda places: line(places) / max(allowed) / FRAME_FACTOR

    def line(self) -> np.polynomial.Polynomial | None:
        """From places in the figure to the data there, or their logarithms; none without numbers at two ticks."""
        match = OFFSET.fullmatch(self.offset)
        factor, shift = match.groups() if match else (None, None)
        try:
            numbers = [number_of(value) * float(factor or 1) + float(shift or 0) for value in self.values.values()]
        except ValueError:  # words at the ticks, or nothing
            return None
        return np.polynomial.Polynomial.fit(list(self.values), numbers, 1) if len(numbers) > 1 else None

    def __str__(self) -> str:
        kind = "logarithmic" if self.logarithmic else "linear"
        return f"{self.direction}: {self.label or 'no label'}, {kind}, {'with' if self.grid else 'without'} grid"


def number_of(words: str) -> float:
    """The number at a tick; of a power, its logarithm.

    Raises:
        ValueError: There is no number.
    """
    if match := POWER.fullmatch(words):
        return int(match[2]) + float(np.log10(float(match[1] or 1)))
    return float(words)


def _share_of(frame: np.ndarray) -> Scale:
    """From places in the figure to tolerances of what is no metric."""
    start, length = frame.min(), np.ptp(frame)
    return lambda places: (places - start) / length / DRAWN_TOLERANCE


def _scaled(points: np.ndarray, scales: list[Scale]) -> np.ndarray:
    return np.stack([scale(points[:, i]) for i, scale in enumerate(scales)], axis=1)


def _distance(one: Shape, other: Shape) -> float:
    """How far two shapes are apart at most; what has other numbers of paths or markers is infinitely far."""
    if len(one.paths) != len(other.paths) or one.markers.shape != other.markers.shape:
        return np.inf
    markers = abs(one.markers - other.markers).max(initial=0)
    pairs = zip(one.paths, other.paths, strict=True)
    return max([markers, *(max(_distance_from(a, b), _distance_from(b, a)) for a, b in pairs)])


def _distance_from(path: np.ndarray, points: np.ndarray) -> float:
    """How far the farthest of the points is from the path, wherever the path itself has points."""
    start, end = path[:-1], path[1:]
    if len(path) == 1:
        start = end = path
    step = end - start
    length = (step**2).sum(1)
    away = points[:, None] - start
    along = np.clip((away * step).sum(2) / np.where(length, length, 1), 0, 1)
    return np.sqrt(((away - along[..., None] * step) ** 2).sum(2).min(1).max())


def groups(element: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """The groups in a group, each with its kind; those of images have no name."""
    for group in element.findall(f"{SVG}g"):
        if group.find(f".//{SVG}image") is not None and group.get("id") is None:
            yield "image", group
        else:
            yield re.sub(r"(2d)?_\d+$", "", group.get("id", "")), group  # lines are line2d


def words_of(group: ET.Element) -> str:
    """What a text says, with a hyphen for each minus; a formula as it was written, if that can still be told."""
    formula = next((child.text for child in group if child.tag is ET.Comment), None)
    words = (formula or _power_of(group) or "".join(group.itertext())).strip().replace("\N{MINUS SIGN}", "-")
    return FORMULA.sub(r"\1", words)


def _power_of(group: ET.Element) -> str:
    """A power of ten that is drawn letter by letter, with small ones for the exponent."""
    letters = [(FONT_SIZE.search(part.get("style", "")), part.text or "") for part in group.iter(f"{SVG}tspan")]
    sizes = [float(size[1]) for size, _ in letters if size]
    if len(sizes) != len(letters) or len(set(sizes)) != 2:
        return ""
    base, exponent = (
        "".join(text for (_, text), size in zip(letters, sizes, strict=True) if (size == max(sizes)) is large)
        for large in (True, False)
    )
    return f"{base.replace(SIGN_OF_TIMES, TIMES)}^{{{exponent}}}"


def legend_of(group: ET.Element) -> list[str]:
    """The names in a legend, each with the style of its line."""
    names = [words_of(child) for kind, child in groups(group) if kind == "text"]
    styles = [style_of(child) for kind, child in list(groups(group))[1:] if kind != "text"]  # the first is its box
    return [f"{name}: {style}" for name, style in zip(names, styles, strict=False)]


def shape_of(group: ET.Element, kind: str = "line") -> Shape:
    """What is drawn in a group."""
    paths = [_points(path) for path in _drawn(group, "path")]
    uses = list(_drawn(group, "use"))
    places = np.array([(float(use.attrib["x"]), float(use.attrib["y"])) for use in uses]).reshape(-1, 2)
    if kind in ("line", "PathCollection"):  # definitions in it are its markers
        return Shape([path for path in paths if len(path)], places)
    outlines = {f"#{path.get('id')}": _points(path) for path in group.iter(f"{SVG}path")}
    paths += [outlines[use.attrib[f"{XLINK}href"]] + place for use, place in zip(uses, places, strict=True)]
    return Shape([path for path in paths if len(path)], places[:0])


def _points(path: ET.Element) -> np.ndarray:
    return np.array(PAIR.findall(path.get("d", "")), float).reshape(-1, 2)


def style_of(group: ET.Element) -> str:
    return " ".join(
        dict.fromkeys(element.get("style", "") for kind in ("path", "use") for element in _drawn(group, kind))
    )


def _drawn(group: ET.Element, kind: str) -> Iterator[ET.Element]:
    """All elements of a kind in a group but those in definitions."""
    for child in group:
        if child.tag == f"{SVG}{kind}":
            yield child
        elif child.tag == f"{SVG}g":
            yield from _drawn(child, kind)


def _pixels(group: ET.Element) -> np.ndarray:
    data = next(group.iter(f"{SVG}image")).attrib[f"{XLINK}href"].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGBA"), int)
