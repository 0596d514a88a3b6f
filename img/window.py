"""Draw `window.svg`, a window of 3 by 3 weights on an ankle boot, and write `window.json`, images to try it on.

The ankle boot and the shirt are the test images 0 and 7 of Fashion-MNIST (MIT licence), from the sample that comes with
the helper. The cup is a photograph by Rachel Michetti (CC0), which comes with scikit-image; its middle is shrunk to 64
by 64 grey pixels. Run `python img/window.py`.
"""

import base64
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image
from pixels import add_pixels, colours
from skimage import data
from style import (
    CLAY,
    INK,
    LABEL_SIZE,
    NOTE_SIZE,
    PAPER,
    SOFT_INK,
    THICK_LINE,
    TIMES,
    WIDTH,
    add,
    save,
    sheet,
    write,
)

from d2l.fashion_mnist import load_fashion_mnist
from d2l.smoke_profile import Profile

WINDOW = np.array([[1, 1, 1], [0, 0, 0], [-1, -1, -1]])
PLACE = 10, 17  # row and column of the output that is outlined
SIDE, MAP, TOP, HEIGHT = 64, 176, 48, 374
CELL_HEIGHT, CELL_WIDTHS, GAP = 33, (37, 24, 41), 13  # the window's numbers are short, the products have signs
NUMBER_SIZE = 11.3


def images() -> dict[str, np.ndarray]:
    """Return the images with their names, `uint8` and square."""
    _, test = load_fashion_mnist("../data", Profile(smoke=True))
    cup = Image.fromarray(data.coffee()).convert("L").crop((100, 0, 500, 400))
    small = cup.resize((SIDE, SIDE), Image.Resampling.BOX)
    return {"Ankle boot": test.images[0], "Shirt": test.images[7], "Cup": np.asarray(small)}


def correlate(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the responses of the window, as many as the image has pixels: it has a margin of one zero."""
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(image, 1), window.shape)
    return (seen * window).sum((2, 3))


def signed(number: float) -> str:
    """Return the number with at most two decimals and a proper minus sign."""
    text = f"{number:.0f}" if number == round(number) else f"{number:.2f}"
    return text.replace("-", "\N{MINUS SIGN}" if float(text) else "")


def draw_numbers(group: ET.Element, title: str, numbers: np.ndarray, left: float, top: float, width: float) -> None:
    """Draw a cell of this width for each number."""
    write(group, title, left + 1.5 * width, top - 12, NOTE_SIZE, fill=SOFT_INK)
    for (row, column), number in np.ndenumerate(numbers):
        x, y = left + width * column, top + CELL_HEIGHT * row
        add(group, "rect", x=x, y=y, width=width, height=CELL_HEIGHT, fill=PAPER, stroke=SOFT_INK)
        write(group, signed(number), x + width / 2, y + CELL_HEIGHT / 2, NUMBER_SIZE)


def draw(image: np.ndarray) -> None:
    """Draw the image, what the window answers, and how one of its answers comes about."""
    response = correlate(image, WINDOW)
    row, column = PLACE
    seen = np.pad(image, 1)[row : row + 3, column : column + 3]
    words = (
        "Left, an ankle boot; right, the response of the window at each place: white where the image is brighter above "
        "than below, blue where it is darker. Below, the nine pixels at one place, the window's nine weights and their "
        f"nine products, which sum to {response[PLACE]:.2f}."
    )
    svg, group = sheet("window", "A window at work", words, HEIGHT)
    left, right = 16.0, WIDTH - 16.0 - MAP
    pixel = MAP / len(image)
    for name, x, values, size, corner in (
        ("input", left, image, 3, (row - 1, column - 1)),
        ("output", right, response, 1, PLACE),
    ):
        write(group, f"{name}, {len(image)} {TIMES} {len(image)}", x + MAP / 2, 28, LABEL_SIZE, font_weight="bold")
        add_pixels(group, colours(values, np.abs(values).max()), x, TOP, MAP)
        square = {
            "x": x + corner[1] * pixel,
            "y": TOP + corner[0] * pixel,
            "width": size * pixel,
            "height": size * pixel,
        }
        add(group, "rect", **square, fill="none", stroke=CLAY.fill, stroke_width=THICK_LINE)
    below = TOP + MAP + 34
    middle = below + 1.5 * CELL_HEIGHT
    x = left
    for title, numbers, width, sign in zip(
        ("pixels under it", "window", "products"),
        (seen, WINDOW, seen * WINDOW),
        CELL_WIDTHS,
        (TIMES, "=", ""),
        strict=True,
    ):
        draw_numbers(group, title, numbers, x, below, width)
        x += 3 * width + GAP
        if sign:
            write(group, sign, x - GAP / 2, middle, LABEL_SIZE)
    x = (x - GAP + WIDTH) / 2
    write(group, "sum", x, below - 12, NOTE_SIZE, fill=SOFT_INK)
    write(group, signed(response[PLACE]), x, middle, LABEL_SIZE, fill=INK, font_weight="bold")
    save(__file__, svg)


def main() -> None:
    """Write the images, and draw."""
    named = images()
    facts = [{"name": name, "pixels": base64.b64encode(image).decode()} for name, image in named.items()]
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8", newline="\n")
    draw(named["Ankle boot"] / 255)


if __name__ == "__main__":
    main()
