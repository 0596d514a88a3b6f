"""Draw `activations.svg`: the sigmoid and ReLU, and below them their derivatives.

Run `python img/activations.py`.
"""

import math
from collections.abc import Callable, Iterable
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    NOTE_SIZE,
    RIM,
    SOFT_INK,
    THICK_LINE,
    WIDTH,
    Colour,
    Scale,
    add,
    save,
    sheet,
    write,
)

HEIGHT, TOP, PANEL, GAP = 424, 48, 136, 62
X = Scale(-5, 5, 46, WIDTH - 24)
TENTHS = range(-50, 51)


def sigmoid(x: float) -> float:
    """Return the sigmoid of x."""
    return 1 / (1 + math.exp(-x))


def sigmoid_slope(x: float) -> float:
    """Return the derivative of the sigmoid at x."""
    return sigmoid(x) * (1 - sigmoid(x))


def draw_axes(group: ET.Element, title: str, y: Scale, ticks: Iterable[float]) -> None:
    """Draw the title of a panel, a line at each tick, and the numbers of both axes."""
    write(group, title, X.start, y.end - 22, LABEL_SIZE, font_weight="bold", text_anchor="start")
    for tick in ticks:
        add(group, "path", d=f"M{X.start} {y(tick):g} H{X.end}", stroke=RIM)
        write(group, f"{tick:g}", X.start - 8, y(tick), NOTE_SIZE, fill=SOFT_INK, text_anchor="end")
    add(group, "path", d=f"M{X(0):g} {y.start} V{y.end}", stroke=RIM)
    for tick in range(-4, 5, 2):
        write(group, f"{tick}".replace("-", "\N{MINUS SIGN}"), X(tick), y.start + 12, NOTE_SIZE, fill=SOFT_INK)


def draw_curve(
    group: ET.Element, function: Callable[[float], float], y: Scale, xs: Iterable[float], colour: Colour
) -> None:
    """Draw a curve through `xs`."""
    points = " ".join(f"{X(x):g},{y(function(x)):g}" for x in xs)
    add(group, "polyline", points=points, fill="none", stroke=colour.line, stroke_width=THICK_LINE)


def name_curve(group: ET.Element, name: str, x: float, middle: float, colour: Colour) -> None:
    """Write the name of a curve in its colour, beginning at `x`."""
    write(group, name, X(x), middle, LABEL_SIZE, fill=colour.line, font_weight="bold", text_anchor="start")


def main() -> None:
    """Draw the two panels. ReLU is cut off where it leaves the first; its slope jumps at zero."""
    words = "The sigmoid levels off on both sides, and its slope is a quarter at most. ReLU has slope one above zero."
    svg, group = sheet("activations", "The sigmoid and ReLU, and their derivatives", words, HEIGHT)
    negative, positive = [x / 10 for x in TENTHS if x <= 0], [x / 10 for x in TENTHS if x >= 0]

    y = Scale(0, 2, TOP + PANEL, TOP)
    draw_axes(group, "Activation", y, (0, 1, 2))
    draw_curve(group, sigmoid, y, negative + positive[1:], BLUE)
    draw_curve(group, lambda x: max(x, 0), y, (-5, 0, 2), CLAY)
    name_curve(group, "sigmoid", 2.6, y(0.76), BLUE)
    name_curve(group, "ReLU", 2.1, y(1.8), CLAY)

    y = Scale(0, 1.2, TOP + 2 * PANEL + GAP, TOP + PANEL + GAP)
    draw_axes(group, "Derivative", y, (0, 0.25, 1))
    draw_curve(group, sigmoid_slope, y, negative + positive[1:], BLUE)
    draw_curve(group, lambda x: 0, y, negative, CLAY)
    draw_curve(group, lambda x: 1, y, positive, CLAY)
    name_curve(group, "sigmoid", 2, y(0.19), BLUE)
    name_curve(group, "ReLU", 2.6, y(0.88), CLAY)
    save(__file__, svg)


if __name__ == "__main__":
    main()
