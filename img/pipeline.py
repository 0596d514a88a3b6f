"""Draw `pipeline.svg`: a classical vision pipeline beside a network trained end to end, and what each of them learns.

Run `python img/pipeline.py`.
"""

from typing import NamedTuple
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    LINE,
    NOTE_SIZE,
    PAPER,
    SAND,
    SOFT_INK,
    TITLE_SIZE,
    WIDTH,
    Colour,
    add,
    arrow,
    save,
    sheet,
    write,
)

DATA, CRAFTED, LEARNED = Colour(PAPER, SOFT_INK), SAND, BLUE


class Stage(NamedTuple):
    """A box: what happens in it, an example, and who made it."""

    label: str
    example: str
    colour: Colour


COLUMNS = {
    "Classical": [
        Stage("image", "pixels", DATA),
        Stage("preprocessing", "crop, smooth, normalize", CRAFTED),
        Stage("feature extractor", "SIFT, SURF, HOG", CRAFTED),
        Stage("encoding", "bag of visual words", CRAFTED),
        Stage("classifier", "kernel machine", LEARNED),
        Stage("class", "cat", DATA),
    ],
    "End to end": [
        Stage("image", "pixels", DATA),
        Stage("first layers", "edges, colours", LEARNED),
        Stage("middle layers", "textures, parts", LEARNED),
        Stage("last layers", "objects", LEARNED),
        Stage("classifier", "one more layer", LEARNED),
        Stage("class", "cat", DATA),
    ],
}
HEIGHT, TITLE_BASELINE, FIRST_BOX = 420, 31, 46.5
BOX_WIDTH, BOX_HEIGHT, ARROW = 156, 40, 15


def draw_stage(group: ET.Element, centre: float, top: float, stage: Stage) -> None:
    """Draw a box with two lines of text."""
    fill, line = stage.colour
    box = {"x": centre - BOX_WIDTH / 2, "y": top, "width": BOX_WIDTH, "height": BOX_HEIGHT, "rx": 4}
    add(group, "rect", fill=fill, stroke=line, **box)
    write(group, stage.label, centre, top + 13, LABEL_SIZE)
    write(group, stage.example, centre, top + 28.5, NOTE_SIZE, fill=SOFT_INK)


def draw_error(group: ET.Element, centre: float, tops: list[float]) -> None:
    """Draw the way of the error beside the boxes: from the lowest of `tops` back into each of the others."""
    edge = centre + BOX_WIDTH / 2
    first, *_, last = (top + BOX_HEIGHT / 2 for top in tops)
    add(group, "path", d=f"M{edge:g} {last:g} h10 V{first:g}", fill="none", stroke=CLAY.line, stroke_width=LINE)
    for top in tops[:-1]:
        middle = top + BOX_HEIGHT / 2
        add(group, "path", d=f"M{edge + 11:g} {middle:g} h-6", stroke=CLAY.line, stroke_width=LINE)
        add(group, "path", d=f"M{edge:g} {middle:g} l7 -4 v8 z", fill=CLAY.line)


def draw_column(group: ET.Element, centre: float, name: str, stages: list[Stage]) -> None:
    """Draw the stages from the image down to the class, and how far the error travels back."""
    add(group, "text", name, x=centre, y=TITLE_BASELINE, font_size=TITLE_SIZE, font_weight="bold")
    tops = [FIRST_BOX + index * (BOX_HEIGHT + ARROW) for index in range(len(stages))]
    for top, stage in zip(tops, stages, strict=True):
        draw_stage(group, centre, top, stage)
        if stage is not stages[-1]:
            arrow(group, centre, top + BOX_HEIGHT, top + BOX_HEIGHT + ARROW)
    learned = [top for top, stage in zip(tops, stages, strict=True) if stage.colour == LEARNED]
    draw_error(group, centre, [*learned, tops[-1]])


def draw_key(group: ET.Element, middle: float) -> None:
    """Say what the colours mean."""
    add(group, "rect", x=22, y=middle - 6, width=16, height=12, rx=3, fill=CRAFTED.fill, stroke=CRAFTED.line)
    write(group, "designed", 44, middle, NOTE_SIZE, text_anchor="start")
    add(group, "rect", x=127, y=middle - 6, width=16, height=12, rx=3, fill=LEARNED.fill, stroke=LEARNED.line)
    write(group, "learned", 149, middle, NOTE_SIZE, text_anchor="start")
    add(group, "path", d=f"M247 {middle:g} h-16", stroke=CLAY.line, stroke_width=LINE)
    add(group, "path", d=f"M225 {middle:g} l7 -4 v8 z", fill=CLAY.line)
    write(group, "the error, sent back", 253, middle, NOTE_SIZE, text_anchor="start")


def describe() -> str:
    """Return the picture in words."""
    made = {DATA: "given", CRAFTED: "designed", LEARNED: "learned"}
    columns = (
        f"{name}: " + ", ".join(f"{stage.label} ({made[stage.colour]})" for stage in stages) + "."
        for name, stages in COLUMNS.items()
    )
    return " ".join([*columns, "The error of the class is sent back to the learned stages, and to no other."])


def main() -> None:
    """Draw the two columns, and the key below them."""
    svg, group = sheet("pipeline", "Crafted features beside end-to-end learning", describe(), HEIGHT)
    for column, (name, stages) in enumerate(COLUMNS.items()):
        draw_column(group, WIDTH * (2 * column + 1) / 4, name, stages)
    draw_key(group, HEIGHT - 24.5)
    save(__file__, svg)


if __name__ == "__main__":
    main()
