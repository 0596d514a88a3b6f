"""Draw `alexnet.svg`: LeNet beside AlexNet, layer by layer, with the shape of what each layer hands to the next.

The networks are the two lists below; labels and shapes follow from them. Run `python img/alexnet.py`.
"""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    NOTE_SIZE,
    SAND,
    SOFT_INK,
    TIMES,
    TITLE_SIZE,
    WIDTH,
    add,
    arrow,
    save,
    sheet,
    write,
)

Shape = tuple[int, ...]  # channels, height, width; or features alone


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

TITLE_BASELINE, FIRST_BOX = 31, 46.5  # the half puts the outlines of the boxes on whole pixels
BOX_WIDTH, BOX_HEIGHT, ARROW, FOOT = 181, 25, 22, 14.5
COLOURS = {Conv: BLUE, Pool: SAND, Dense: CLAY}


def slide(size: int, kernel: int, stride: int, pad: int = 0) -> int:
    """Return how many places a window has along an axis of `size`."""
    return (size + 2 * pad - kernel) // stride + 1


def draw_box(svg: ET.Element, centre: float, top: float, label: str, fill: str, outline: str) -> None:
    """Draw a box with its label in the middle."""
    left = centre - BOX_WIDTH / 2
    add(svg, "rect", x=left, y=top, width=BOX_WIDTH, height=BOX_HEIGHT, rx=4, fill=fill, stroke=outline)
    write(svg, label, centre, top + BOX_HEIGHT / 2, LABEL_SIZE)


def draw_step(svg: ET.Element, centre: float, top: float, bottom: float, shape: Shape) -> None:
    """Draw an arrow, the shape of what it carries beside its head."""
    arrow(svg, centre, top, bottom)
    text, middle = TIMES.join(map(str, shape)), bottom - ARROW / 2
    write(svg, text, centre + 10, middle, NOTE_SIZE, fill=SOFT_INK, text_anchor="start")


def draw_network(svg: ET.Element, centre: float, name: str, shape: Shape, layers: list[Layer | None]) -> None:
    """Draw one column, input first."""
    add(svg, "text", name, x=centre, y=TITLE_BASELINE, font_size=TITLE_SIZE, font_weight="bold")
    draw_box(svg, centre, FIRST_BOX, "image", "#ffffff", SOFT_INK)
    end = top = FIRST_BOX + BOX_HEIGHT
    for layer in layers:
        top += ARROW
        if layer:
            draw_step(svg, centre, end, top, shape)
            draw_box(svg, centre, top, layer.label, *COLOURS[type(layer)])
            shape = layer.shape(shape)
            end = top + BOX_HEIGHT
        top += BOX_HEIGHT
    draw_step(svg, centre, end, end + ARROW, shape)


def describe() -> str:
    """Return the picture in words."""
    networks = (f"{name}: {'; '.join(layer.label for layer in layers if layer)}." for name, _, layers in COLUMNS)
    return " ".join(["The layers of two networks, from the image down to the ten scores.", *networks])


def main() -> None:
    """Draw the two networks side by side."""
    height = round(FIRST_BOX + BOX_HEIGHT + len(ALEXNET) * (ARROW + BOX_HEIGHT) + ARROW + FOOT)
    svg, group = sheet("alexnet", "LeNet beside AlexNet", describe(), height)
    for column, (name, shape, layers) in enumerate(COLUMNS):
        draw_network(group, WIDTH * (2 * column + 1) / 4, name, shape, layers)
    save(__file__, svg)


if __name__ == "__main__":
    main()
