"""Draw `two_gpus.svg`: the AlexNet of 2012 on its two GPUs, and between which layers they exchange activations.

The network is the list below; shapes follow from it. Run `python img/two_gpus.py`.
"""

from typing import NamedTuple
from xml.etree import ElementTree as ET

from alexnet import slide
from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    LINE,
    NOTE_SIZE,
    PAPER,
    SAND,
    SOFT_INK,
    THICK_LINE,
    TIMES,
    TITLE_SIZE,
    Colour,
    add,
    arrow,
    save,
    sheet,
    write,
)


class Layer(NamedTuple):
    """One GPU's half of a layer with weights, and the pooling after it."""

    label: str
    units: int  # channels of a convolution, or units of a dense layer
    kernel: int = 0  # side of a convolution's window; 0 is a dense layer
    stride: int = 1
    pad: int = 0
    crosses: bool = False  # whether it reads the channels of both GPUs
    note: str = ""  # what its outputs go through before the next layer


LAYERS = [
    Layer("conv 11, stride 4", 48, 11, stride=4, note="normalize, max-pool"),
    Layer("conv 5", 128, 5, pad=2, note="normalize, max-pool"),
    Layer("conv 3", 192, 3, pad=1, crosses=True),
    Layer("conv 3", 192, 3, pad=1),
    Layer("conv 3", 128, 3, pad=1, note="max-pool"),
    Layer("dense", 2048, crosses=True),
    Layer("dense", 2048, crosses=True),
]
SIZE, CLASSES = 227, 1000
TITLE_BASELINE, FIRST_BOX = 31, 46.5
BOX_WIDTH, BOX_HEIGHT, NOTE_HEIGHT, GAP, FOOT = 138, 40, 18, 26, 46
CENTRES = (118, 318)
NUMBERS = 24  # where the layers' numbers stand


def outputs() -> list[str]:
    """The shape of what each half of a layer gives out, as height by width by channels."""
    size, shapes = SIZE, []
    for layer in LAYERS:
        if layer.kernel:
            size = slide(size, layer.kernel, layer.stride, layer.pad)
            shapes.append(f"{size}{TIMES}{size}{TIMES}{layer.units}")
            size = slide(size, 3, 2) if layer.note else size
        else:
            shapes.append(str(layer.units))
    return shapes


def draw_box(group: ET.Element, centre: float, top: float, texts: tuple[str, str], colour: Colour) -> None:
    """Draw a box with a line of text, and a smaller one below it."""
    box = {"x": centre - BOX_WIDTH / 2, "y": top, "width": BOX_WIDTH, "height": BOX_HEIGHT, "rx": 4}
    add(group, "rect", fill=colour.fill, stroke=colour.line, **box)
    write(group, texts[0], centre, top + 13, LABEL_SIZE)
    write(group, texts[1], centre, top + 28.5, NOTE_SIZE, fill=SOFT_INK)


def draw_crossing(group: ET.Element, start: float, end: float, top: float, bottom: float) -> None:
    """Draw an arrow from one GPU to the other."""
    side = 1 if end > start else -1
    x, y = start + side * BOX_WIDTH / 4, end - side * BOX_WIDTH / 4
    add(group, "path", d=f"M{x:g} {top:g} L{y - side * 8:g} {bottom - 3:g}", stroke=CLAY.line, stroke_width=THICK_LINE)
    add(group, "path", d=f"M{y:g} {bottom:g} l{-side * 10} -6.5 l{-side * 0.5:g} 7.5 z", fill=CLAY.line)


def draw_key(group: ET.Element, middle: float) -> None:
    """Say what the two kinds of arrow mean."""
    add(group, "path", d=f"M62 {middle:g} h22", stroke=SOFT_INK, stroke_width=LINE)
    write(group, "on the same GPU", 90, middle, NOTE_SIZE, text_anchor="start")
    add(group, "path", d=f"M218 {middle:g} h22", stroke=CLAY.line, stroke_width=THICK_LINE)
    write(group, "from GPU to GPU", 246, middle, NOTE_SIZE, text_anchor="start")


def draw_wide_box(group: ET.Element, top: float, texts: tuple[str, str], colour: Colour) -> None:
    """Draw a box across both GPUs."""
    left, right = CENTRES
    size = {"x": left - BOX_WIDTH / 2, "y": top, "width": right - left + BOX_WIDTH, "height": BOX_HEIGHT, "rx": 4}
    add(group, "rect", fill=colour.fill, stroke=colour.line, **size)
    write(group, texts[0], (left + right) / 2, top + 13, LABEL_SIZE)
    write(group, texts[1], (left + right) / 2, top + 28.5, NOTE_SIZE, fill=SOFT_INK)


def draw_note(group: ET.Element, centre: float, top: float, text: str) -> None:
    """Draw what a layer's outputs go through, right below its box."""
    box = {"x": centre - BOX_WIDTH / 2, "y": top, "width": BOX_WIDTH, "height": NOTE_HEIGHT, "rx": 4}
    add(group, "rect", fill=SAND.fill, stroke=SAND.line, **box)
    write(group, text, centre, top + NOTE_HEIGHT / 2, NOTE_SIZE)


def describe() -> str:
    """Return the picture in words."""
    lines = [f"An image of {SIZE} by {SIZE} pixels goes to both of two GPUs. Each has half of every layer."]
    for number, (layer, shape) in enumerate(zip(LAYERS, outputs(), strict=True), 1):
        source = "reads the outputs of both GPUs" if layer.crosses else "reads what is on its own GPU"
        source = "reads the image" if number == 1 else source
        then = f", then: {layer.note}" if layer.note else ""
        lines.append(f"Layer {number}, {layer.label}, {shape} on each, {source}{then}.")
    return " ".join([*lines, f"Layer 8, dense, {CLASSES} classes, reads the outputs of both GPUs."])


def main() -> None:
    """Draw the two columns, the image above and the classes below them."""
    notes = sum(NOTE_HEIGHT for layer in LAYERS if layer.note)
    height = round(FIRST_BOX + (len(LAYERS) + 1) * (BOX_HEIGHT + GAP) + BOX_HEIGHT + notes + FOOT)
    svg, group = sheet("two_gpus", "AlexNet on two GPUs", describe(), height)
    for number, centre in enumerate(CENTRES, 1):
        add(group, "text", f"GPU {number}", x=centre, y=TITLE_BASELINE, font_size=TITLE_SIZE, font_weight="bold")
    left, right = CENTRES
    draw_wide_box(group, FIRST_BOX, ("image", f"{SIZE}{TIMES}{SIZE}{TIMES}3"), Colour(PAPER, SOFT_INK))
    above = FIRST_BOX + BOX_HEIGHT
    for number, (layer, shape) in enumerate(zip(LAYERS, outputs(), strict=True), 1):
        top = above + GAP
        for centre in CENTRES:
            arrow(group, centre, above, top)
            draw_box(group, centre, top, (layer.label, shape), BLUE if layer.kernel else CLAY)
            if layer.note:
                draw_note(group, centre, top + BOX_HEIGHT, layer.note)
        if layer.crosses:
            draw_crossing(group, left, right, above, top)
            draw_crossing(group, right, left, above, top)
        write(group, str(number), NUMBERS, top + BOX_HEIGHT / 2, LABEL_SIZE, fill=SOFT_INK)
        above = top + BOX_HEIGHT + (NOTE_HEIGHT if layer.note else 0)
    for centre in CENTRES:
        arrow(group, centre, above, above + GAP)
    draw_wide_box(group, above + GAP, ("dense", str(CLASSES)), CLAY)
    write(group, str(len(LAYERS) + 1), NUMBERS, above + GAP + BOX_HEIGHT / 2, LABEL_SIZE, fill=SOFT_INK)
    draw_key(group, height - 23)
    save(__file__, svg)


if __name__ == "__main__":
    main()
