"""Draw `convolution.svg`: a window with a stride of 2 on an input with a margin of zeros, and what it computes.

The responses are computed from the input below. Run `python img/convolution.py`.
"""

from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    INK,
    LABEL_SIZE,
    PAPER,
    RIM,
    SOFT_INK,
    THICK_LINE,
    TIMES,
    WIDTH,
    Colour,
    add,
    save,
    sheet,
    write,
)

INPUT = [[0, 1, 1, 0, 0], [1, 3, 3, 2, 0], [2, 4, 5, 3, 1], [1, 2, 3, 1, 0], [0, 0, 1, 0, 0]]
WINDOW = [[1, 1, 1], [0, 0, 0], [-1, -1, -1]]
PADDING, STRIDE = 1, 2
CELL, TOP, HEIGHT = 24, 52, 236

Matrix = list[list[int]]


def padded(image: Matrix, padding: int) -> Matrix:
    """Return the image with a margin of zeros."""
    margin = [[0] * (len(image[0]) + 2 * padding) for _ in range(padding)]
    return [*margin, *([0] * padding + row + [0] * padding for row in image), *margin]


def correlate(image: Matrix, window: Matrix, stride: int) -> Matrix:
    """Return the response of the window at each of its places."""
    size = len(window)
    places = range(0, len(image) - size + 1, stride)
    return [
        [sum(window[a][b] * image[i + a][j + b] for a in range(size) for b in range(size)) for j in places]
        for i in places
    ]


def signed(number: int) -> str:
    """Return the number with a proper minus sign."""
    return str(number).replace("-", "\N{MINUS SIGN}")


def draw_matrix(group: ET.Element, matrix: Matrix, left: float, top: float, margin: int = 0) -> None:
    """Draw a cell for each number; those of a margin are grey."""
    last = len(matrix) - 1 - margin
    for i, row in enumerate(matrix):
        for j, number in enumerate(row):
            inner = margin <= i <= last and margin <= j <= last
            x, y = left + CELL * j, top + CELL * i
            add(group, "rect", x=x, y=y, width=CELL, height=CELL, fill=PAPER if inner else RIM, stroke=SOFT_INK)
            ink = INK if inner else SOFT_INK
            write(group, signed(number), x + CELL / 2, y + CELL / 2, LABEL_SIZE, fill=ink)


def outline(group: ET.Element, x: float, y: float, cells: int, colour: Colour, *, dashed: bool = False) -> None:
    """Draw a square around so many cells, a little inside of it."""
    inset = 2.0 if dashed else 0.0
    dash = {"stroke_dasharray": "5 3"} if dashed else {}
    side = cells * CELL - 2 * inset
    square = {"x": x + inset, "y": y + inset, "width": side, "height": side}
    add(group, "rect", **square, fill="none", stroke=colour.line, stroke_width=THICK_LINE, **dash)


def main() -> None:
    """Draw the input, the window and the output, and outline the first two places."""
    image = padded(INPUT, PADDING)
    found = correlate(image, WINDOW, STRIDE)
    words = (
        f"Left, an input of 5 by 5 numbers within a margin of zeros; in the middle, a window of 3 by 3 weights; "
        f"right, the output of 3 by 3. The window's first place, at the top left, gives {found[0][0]}; the second, "
        f"two columns further, gives {found[0][1]}."
    )
    svg, group = sheet("convolution", "A convolution with padding and a stride of 2", words, HEIGHT)
    left, middle, right = 14.0, 204.0, WIDTH - 14.0 - 3 * CELL
    for name, x, cells in (
        (f"input 5{TIMES}5, padding 1", left, 7),
        ("window", middle, 3),
        ("output", right, 3),
    ):
        write(group, name, x + cells * CELL / 2, 30, LABEL_SIZE, font_weight="bold")
    draw_matrix(group, image, left, TOP, PADDING)
    beside = TOP + 2 * CELL
    draw_matrix(group, WINDOW, middle, beside)
    draw_matrix(group, found, right, beside)
    write(group, "\N{RIGHTWARDS ARROW}", (middle + 3 * CELL + right) / 2, beside + 1.5 * CELL, 20, fill=SOFT_INK)
    for column, colour, dashed in ((0, CLAY, False), (1, BLUE, True)):
        outline(group, left + column * STRIDE * CELL, TOP, 3, colour, dashed=dashed)
        outline(group, right + column * CELL, beside, 1, colour, dashed=dashed)
    save(__file__, svg)


if __name__ == "__main__":
    main()
