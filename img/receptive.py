"""Draw `receptive.svg`: how much of the image one unit of each layer of AlexNet sees.

A unit sees a square of the image. A window of k by k units whose neighbours are `step` pixels apart widens the square
by (k - 1) * step pixels, and a stride of s makes the step s times as large. The layers are those of `alexnet.py`. Run
`python img/receptive.py`.
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from alexnet import ALEXNET, COLOURS, Conv, Layer, Pool
from style import LABEL_SIZE, NOTE_SIZE, PAPER, RIM, SOFT_INK, TIMES, WIDTH, Scale, add, save, sheet, write

IMAGE = 224
HEIGHT, LEFT, TOP, SIDE = 302, 20, 26, 250
NAMES, ROW = LEFT + SIDE + 22, 25


def fields() -> Iterator[tuple[str, Layer, int]]:
    """Yield each layer that has a window, its name, and the side of what a unit of it sees, in pixels."""
    side, step = 1, 1
    for layer in ALEXNET:
        if isinstance(layer, Conv | Pool):
            side += (layer.kernel - 1) * step
            step *= layer.stride
            kind = "conv" if isinstance(layer, Conv) else "pool"
            yield f"{kind} {layer.kernel}{TIMES}{layer.kernel}", layer, side


def draw_square(group: ET.Element, side: int, fill: str, line: str) -> tuple[float, float]:
    """Draw a square of `side` pixels in the middle of the image and return its top right corner."""
    scale = Scale(0, IMAGE, 0, SIDE)
    width, rest = scale(side), scale((IMAGE - side) / 2)
    left, top = LEFT + rest, TOP + rest
    add(group, "rect", x=round(left, 1), y=round(top, 1), width=width, height=width, fill=fill, stroke=line)
    return round(left + width, 1), round(top, 1)


def draw_label(group: ET.Element, corner: tuple[float, float], middle: float, name: str, side: int) -> None:
    """Name a square: a line from its corner to the layer and the number of pixels."""
    x, y = corner
    add(group, "path", d=f"M{x:g} {y:g} L{NAMES - 6} {middle:g}", stroke=SOFT_INK, stroke_width=0.75)
    write(group, name, NAMES, middle, NOTE_SIZE, text_anchor="start")
    write(group, str(side), WIDTH - 18, middle, LABEL_SIZE, text_anchor="end", font_weight="bold")


def main() -> None:
    """Draw the squares, from the image inwards, then their names."""
    seen = list(fields())
    words = "; ".join(f"{name}: {side}" for name, _, side in seen)
    svg, group = sheet("receptive", "What a unit of each layer sees", f"In pixels of the image, {words}.", HEIGHT)
    corners = [draw_square(group, IMAGE, PAPER, RIM)]
    corners += [draw_square(group, side, *COLOURS[type(layer)]) for _, layer, side in reversed(seen)]
    names = [("image", IMAGE), *((name, side) for name, _, side in reversed(seen))]
    for row, (corner, (name, side)) in enumerate(zip(corners, names, strict=True)):
        draw_label(group, corner, TOP + 6 + row * ROW, name, side)
    save(__file__, svg)


if __name__ == "__main__":
    main()
