"""Draw `pooling.svg`: mean-pooling with windows side by side, and max-pooling with windows that overlap.

What the windows give is computed from the responses below. Run `python img/pooling.py`.
"""

from collections.abc import Callable
from statistics import mean
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    NOTE_SIZE,
    PAPER,
    SAND,
    SOFT_INK,
    THICK_LINE,
    TIMES,
    Colour,
    add,
    save,
    sheet,
    write,
)

RESPONSES = [[1, 3, 2, 0, 4], [2, 6, 1, 5, 2], [0, 1, 7, 2, 3], [4, 2, 3, 8, 1], [1, 0, 5, 2, 9]]
CELL, OUTPUT_CELL, HEIGHT = 24, 34, 334
STRIDE = 2
LEFT, RIGHT, PANEL = 40, 262, 158
COLOURS = ((CLAY, BLUE), (BLUE, CLAY))  # neighbours differ


def draw_cell(group: ET.Element, x: float, y: float, side: int, number: float, fill: str, line: str) -> None:
    """Draw a number in a square."""
    add(group, "rect", x=x, y=y, width=side, height=side, fill=fill, stroke=line)
    write(group, f"{number:g}", x + side / 2, y + side / 2, LABEL_SIZE)


def draw_window(group: ET.Element, row: int, column: int, top: float, size: int, colour: Colour) -> None:
    """Outline a window on the responses, a little inside of its cells, so that neighbours can be told apart."""
    inset = 2.0
    x, y, side = LEFT + column * STRIDE * CELL + inset, top + row * STRIDE * CELL + inset, size * CELL - 2 * inset
    dash = {} if (row + column) % 2 == 0 else {"stroke_dasharray": "5 3"}
    square = {"x": x, "y": y, "width": side, "height": side, "rx": 2}
    add(group, "rect", **square, fill="none", stroke=colour.line, stroke_width=THICK_LINE - 0.5, **dash)


def draw_pooling(group: ET.Element, top: float, title: str, size: int, pool: Callable[[list[int]], float]) -> str:
    """Draw the responses with their windows and what is left of them, which is returned in words."""
    write(group, title, 20, top - 18, LABEL_SIZE, text_anchor="start", font_weight="bold")
    shared = {i for i in range(5) if sum(i in range(start, start + size) for start in (0, STRIDE)) == 2}
    for i, row in enumerate(RESPONSES):
        for j, number in enumerate(row):
            fill = SAND.fill if i in shared or j in shared else PAPER
            draw_cell(group, LEFT + CELL * j, top + CELL * i, CELL, number, fill, SOFT_INK)
    middle = top + 2.5 * CELL
    write(group, "\N{RIGHTWARDS ARROW}", (LEFT + 5 * CELL + RIGHT) / 2, middle, 20, fill=SOFT_INK)
    words = []
    for row in range(2):
        for column in range(2):
            rows = RESPONSES[row * STRIDE : row * STRIDE + size]
            number = pool([n for line in rows for n in line[column * STRIDE : column * STRIDE + size]])
            colour = COLOURS[row][column]
            draw_window(group, row, column, top, size, colour)
            x, y = RIGHT + OUTPUT_CELL * column, middle + OUTPUT_CELL * (row - 1)
            draw_cell(group, x, y, OUTPUT_CELL, number, PAPER, SOFT_INK)
            dash = {} if (row + column) % 2 == 0 else {"stroke_dasharray": "5 3"}
            side = OUTPUT_CELL - 4.0
            square = {"x": x + 2.0, "y": y + 2.0, "width": side, "height": side, "rx": 2}
            add(group, "rect", **square, fill="none", stroke=colour.line, stroke_width=THICK_LINE - 0.5, **dash)
            words.append(f"{number:g}")
    write(group, "2" + TIMES + "2", RIGHT + OUTPUT_CELL, middle + OUTPUT_CELL + 14, NOTE_SIZE, fill=SOFT_INK)
    return ", ".join(words)


def main() -> None:
    """Draw LeNet's way above and AlexNet's below."""
    svg, group = sheet("pooling", "Mean-pooling beside max-pooling that overlaps", "", HEIGHT)
    means = draw_pooling(group, 48, f"mean of 2{TIMES}2, stride 2", 2, mean)
    largest = draw_pooling(group, 48 + PANEL, f"maximum of 3{TIMES}3, stride 2", 3, max)
    description = svg.find("desc")
    assert description is not None
    description.text = (
        "The same 5 by 5 responses twice. Means of four windows of 2 by 2 that lie side by side: "
        f"{means}. Maxima of four windows of 3 by 3 that share a row or a column: {largest}."
    )
    save(__file__, svg)


if __name__ == "__main__":
    main()
