"""The look that the figures share: colours, type, a light ground of their own, and the few elements they are made of.

A figure is SVG written element by element: its text stays text, so that it can be searched, scaled and read aloud, and
drawing it again gives the same bytes on any machine. Figures are `WIDTH` units wide and shown that many pixels wide, so
that a font size is its size on screen; on a phone of 360 pixels they shrink to four fifths.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

WIDTH = 400
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
TITLE_SIZE, LABEL_SIZE, NOTE_SIZE = 16, 12.5, 11.5
LINE, THICK_LINE = 1.5, 2.5
TIMES = "\N{MULTIPLICATION SIGN}"

# Figures bring their own light ground, for pages that may be dark.
GROUND, RIM, INK, SOFT_INK, PAPER = "#fafafa", "#d4d4d4", "#1a1a1a", "#4a4a4a", "#ffffff"


class Colour(NamedTuple):
    """A fill, and a darker shade of the same hue for outlines, lines and points."""

    fill: str
    line: str


# They differ in lightness as well as in hue, so that colour-blind readers and grey print can tell them apart.
BLUE = Colour("#a6d0f5", "#1f5f99")
SAND = Colour("#fff3c9", "#a07d16")
CLAY = Colour("#e9956c", "#8f3f18")


@dataclass(frozen=True)
class Scale:
    """Where a value between `low` and `high` lies between the positions `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of `value`, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


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


def sheet(name: str, title: str, description: str, height: int) -> tuple[ET.Element, ET.Element]:
    """Return an empty picture and the group to draw in, where text is dark and centred on its x.

    `title` and `description` are what a screen reader says; `name` tells their ids from those of other figures.
    """
    size = {"width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"}
    labels = f"{name}-title {name}-desc"
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-labelledby": labels, **size})
    add(svg, "title", title, id=f"{name}-title")
    add(svg, "desc", description, id=f"{name}-desc")
    add(svg, "rect", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=10, fill=GROUND, stroke=RIM)
    return svg, add(svg, "g", font_family=FONT, fill=INK, text_anchor="middle")


def write(parent: ET.Element, text: str, x: float, middle: float, size: float, **attributes: str | float) -> None:
    """Write a line of text whose capitals centre on `middle`."""
    add(parent, "text", text, x=float(x), y=baseline(middle, size), font_size=float(size), **attributes)


def arrow(parent: ET.Element, x: float, top: float, bottom: float) -> None:
    """Draw an arrow downwards."""
    add(parent, "path", d=f"M{x:g} {top:g} V{bottom - 6:g}", stroke=SOFT_INK, stroke_width=LINE)
    add(parent, "path", d=f"M{x - 4:g} {bottom - 7:g} h8 l-4 7 z", fill=SOFT_INK)


def save(script: str, svg: ET.Element) -> None:
    """Write the picture beside the script that drew it."""
    ET.indent(svg)
    Path(script).with_suffix(".svg").write_text(
        ET.tostring(svg, encoding="unicode") + "\n", encoding="utf-8", newline="\n"
    )
