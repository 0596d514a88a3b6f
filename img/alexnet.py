"""Draw `alexnet.svg`: LeNet beside AlexNet, layer by layer, with the shape of what each layer hands to the next.

The networks are the two lists below; labels and shapes follow from them. Every text in the picture is text, so that it
can be searched, scaled and read aloud. Run `python img/alexnet.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

Shape = tuple[int, ...]  # channels, height, width; or features alone
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Conv:
    """A convolution with a square window."""

    kernel: int
    channels: int
    stride: int = 1
    pad: int = 0

    @property
    def label(self) -> str:
        """The text of the box."""
        options = [f"stride {self.stride}"] * (self.stride > 1) + [f"pad {self.pad}"] * (self.pad > 0)
        return ", ".join([f"{self.kernel}{TIMES}{self.kernel} conv ({self.channels})", *options])

    def shape(self, before: Shape) -> Shape:
        """Return the shape of the output, given that of the input."""
        return self.channels, *(slide(n, self.kernel, self.stride, self.pad) for n in before[1:])


@dataclass(frozen=True)
class Pool:
    """Pooling over a square window."""

    kernel: int
    how: str
    stride: int = 2

    @property
    def label(self) -> str:
        """The text of the box."""
        return f"{self.kernel}{TIMES}{self.kernel} {self.how}-pool, stride {self.stride}"

    def shape(self, before: Shape) -> Shape:
        """Return the shape of the output, given that of the input."""
        return before[0], *(slide(n, self.kernel, self.stride) for n in before[1:])


@dataclass(frozen=True)
class Dense:
    """A fully connected layer."""

    units: int

    @property
    def label(self) -> str:
        """The text of the box."""
        return f"dense ({self.units})"

    def shape(self, before: Shape) -> Shape:
        """Return the shape of the output, given that of the input."""
        return (self.units,)


Layer = Conv | Pool | Dense

# A row of the picture each, so that layers that play the same part stand side by side. None: LeNet has no such layer.
LENET = [
    Conv(5, 6, pad=2),
    Pool(2, "avg"),
    Conv(5, 16),
    Pool(2, "avg"),
    None,
    None,
    None,
    None,
    Dense(120),
    Dense(84),
    Dense(10),
]
ALEXNET = [
    Conv(11, 96, stride=4),
    Pool(3, "max"),
    Conv(5, 256, pad=2),
    Pool(3, "max"),
    Conv(3, 384, pad=1),
    Conv(3, 384, pad=1),
    Conv(3, 256, pad=1),
    Pool(3, "max"),
    Dense(4096),
    Dense(4096),
    Dense(10),
]
COLUMNS = [("LeNet", (1, 28, 28), LENET), ("AlexNet", (1, 224, 224), ALEXNET)]

# The drawing is 400 units wide, so that at the 400 pixels of the page a font size is its size on screen.
WIDTH = 400
TITLE_BASELINE, FIRST_BOX = 31, 46.5  # the half puts the outlines of the boxes on whole pixels
BOX_WIDTH, BOX_HEIGHT, ARROW, FOOT = 181, 25, 22, 14.5
TITLE_SIZE, LABEL_SIZE, SHAPE_SIZE = 16, 12.5, 11.5
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

# The picture brings its own light ground, for pages that may be dark. The fills differ in lightness as well as in hue,
# so that colour-blind readers and grey print can tell them apart.
GROUND, RIM, INK, SOFT_INK = "#fafafa", "#d4d4d4", "#1a1a1a", "#4a4a4a"
COLOURS = {Conv: ("#a6d0f5", "#1f5f99"), Pool: ("#fff3c9", "#a07d16"), Dense: ("#e9956c", "#8f3f18")}  # fill, outline


def slide(size: int, kernel: int, stride: int, pad: int = 0) -> int:
    """Return how many places a window has along an axis of `size`."""
    return (size + 2 * pad - kernel) // stride + 1


def add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str | float) -> ET.Element:
    """Append an element and return it; `font_size=12.0` becomes `font-size="12"`."""
    written = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, {name.replace("_", "-"): value for name, value in written.items()})
    element.text = text
    return element


def baseline(middle: float, font_size: float) -> float:
    """Return the baseline of a line of text whose capitals centre on `middle`."""
    # SVG's own dominant-baseline is not honoured by every converter to PDF.
    return round(middle + 0.35 * font_size, 1)


def draw_box(svg: ET.Element, centre: float, top: float, label: str, fill: str, outline: str) -> None:
    """Draw a box with its label in the middle."""
    left = centre - BOX_WIDTH / 2
    add(svg, "rect", x=left, y=top, width=BOX_WIDTH, height=BOX_HEIGHT, rx=4, fill=fill, stroke=outline)
    add(svg, "text", label, x=centre, y=baseline(top + BOX_HEIGHT / 2, LABEL_SIZE), font_size=LABEL_SIZE)


def draw_arrow(svg: ET.Element, centre: float, top: float, bottom: float, shape: Shape) -> None:
    """Draw an arrow downwards, the shape of what it carries beside its head."""
    add(svg, "path", d=f"M{centre:g} {top:g} V{bottom - 6:g}", stroke=SOFT_INK, stroke_width=1.5)
    add(svg, "path", d=f"M{centre - 4:g} {bottom - 7:g} h8 l-4 7 z", fill=SOFT_INK)
    place = {"x": centre + 10, "y": baseline(bottom - ARROW / 2, SHAPE_SIZE), "text_anchor": "start"}
    add(svg, "text", TIMES.join(map(str, shape)), font_size=SHAPE_SIZE, fill=SOFT_INK, **place)


def draw_network(svg: ET.Element, centre: float, name: str, shape: Shape, layers: list[Layer | None]) -> float:
    """Draw one column, input first, and return where it ends."""
    add(svg, "text", name, x=centre, y=TITLE_BASELINE, font_size=TITLE_SIZE, font_weight="bold")
    draw_box(svg, centre, FIRST_BOX, "image", "#ffffff", SOFT_INK)
    end = top = FIRST_BOX + BOX_HEIGHT
    for layer in layers:
        top += ARROW
        if layer:
            draw_arrow(svg, centre, end, top, shape)
            draw_box(svg, centre, top, layer.label, *COLOURS[type(layer)])
            shape = layer.shape(shape)
            end = top + BOX_HEIGHT
        top += BOX_HEIGHT
    draw_arrow(svg, centre, end, end + ARROW, shape)
    return end + ARROW


def describe() -> str:
    """Return the picture in words."""
    networks = (f"{name}: {'; '.join(layer.label for layer in layers if layer)}." for name, _, layers in COLUMNS)
    return " ".join(["The layers of two networks, from the image down to the ten scores.", *networks])


def drawing() -> ET.Element:
    """Return the whole picture."""
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    svg.set("aria-labelledby", "alexnet-title alexnet-desc")
    add(svg, "title", "LeNet beside AlexNet", id="alexnet-title")
    add(svg, "desc", describe(), id="alexnet-desc")
    panel = add(svg, "rect", x=0.5, y=0.5, width=WIDTH - 1, rx=10, fill=GROUND, stroke=RIM)
    group = add(svg, "g", font_family=FONT, fill=INK, text_anchor="middle")
    for column, (name, shape, layers) in enumerate(COLUMNS):
        end = draw_network(group, WIDTH * (2 * column + 1) / 4, name, shape, layers)
    height = round(end + FOOT)
    panel.set("height", str(height - 1))
    svg.attrib |= {"width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"}
    return svg


def main() -> None:
    """Write the picture beside this script."""
    svg = drawing()
    ET.indent(svg)
    Path(__file__).with_suffix(".svg").write_text(ET.tostring(svg, encoding="unicode") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
