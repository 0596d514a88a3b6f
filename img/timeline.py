"""Draw `timeline.svg`: how many images there were to learn from, and how fast one processor was, from LeNet to today.

Both axes of quantity are logarithmic. Every point is a line of `timeline.csv`, which says where it comes from. Run
`python img/timeline.py`.
"""

import csv
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    LABEL_SIZE,
    NOTE_SIZE,
    PAPER,
    RIM,
    SOFT_INK,
    WIDTH,
    Scale,
    add,
    save,
    sheet,
    write,
)

HEIGHT, TOP, PANEL, GAP = 570, 42, 200, 80
YEARS = Scale(1996.5, 2025.5, 62, WIDTH - 22)
# Each panel: what it is about, and the powers of ten with a line across it.
PANELS = {"data": ("Images to learn from", range(4, 11, 2)), "compute": ("FLOP/s of one processor", range(8, 16, 2))}
MARGIN = 0.4  # of a power of ten, above and below
# Where the name of a point stands, if not to the right of it.
LEFT = {"Tiny Images", "ImageNet", "8800 GTX", "GTX 580", "V100", "A100", "B200"}
ABOVE, BELOW = {"LAION-5B", "CIFAR-10"}, {"Caltech-256", "YFCC100M", "Instagram"}


def points() -> list[dict[str, Any]]:
    """Return the lines of the table, years and values as numbers."""
    with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as file:
        return [row | {"year": int(row["year"]), "value": float(row["value"])} for row in csv.DictReader(file)]


def power(exponent: int) -> str:
    """Return a power of ten as text."""
    return "10" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def draw_panel(group: ET.Element, panel: str, rows: list[dict[str, Any]], top: int) -> None:
    """Draw the axes of one panel and its points, below the line `top`."""
    title, exponents = PANELS[panel]
    scale = Scale(exponents[0] - MARGIN, exponents[-1] + MARGIN + 1, top + PANEL, top)
    write(group, title, YEARS.start, top - 14, LABEL_SIZE, font_weight="bold", text_anchor="start")
    for exponent in exponents:
        line = scale(exponent)
        add(group, "path", d=f"M{YEARS.start:g} {line:g} H{YEARS.end:g}", stroke=RIM)
        write(group, power(exponent), YEARS.start - 8, line, NOTE_SIZE, fill=SOFT_INK, text_anchor="end")
    alexnet = YEARS(2012)
    add(group, "path", d=f"M{alexnet:g} {top:g} v{PANEL}", stroke=SOFT_INK, stroke_dasharray="4 4")
    write(group, "AlexNet, 2012", alexnet + 6, top + 8, NOTE_SIZE, fill=SOFT_INK, text_anchor="start")
    units = list(dict.fromkeys(row["unit"] for row in rows))
    for row in rows:
        x, y = YEARS(row["year"]), scale(math.log10(row["value"]))
        mark(group, x, y, units.index(row["unit"]))
        name_point(group, x, y, row["name"])
    for year in range(2000, 2025, 4):
        write(group, str(year), YEARS(year), top + PANEL + 12, NOTE_SIZE, fill=SOFT_INK)
    for kind, unit in enumerate(units):
        x = 16 + kind * 184
        mark(group, x + 5, top + PANEL + 32, kind)
        write(group, unit, x + 15, top + PANEL + 32, NOTE_SIZE, text_anchor="start")


def name_point(group: ET.Element, x: float, y: float, name: str) -> None:
    """Write the name of the point at (x, y) beside it."""
    if name in ABOVE | BELOW:
        write(group, name, x, y - 14 if name in ABOVE else y + 13, NOTE_SIZE)
    elif name in LEFT:
        write(group, name, x - 9, y, NOTE_SIZE, text_anchor="end")
    else:
        write(group, name, x + 9, y, NOTE_SIZE, text_anchor="start")


def mark(group: ET.Element, x: float, y: float, kind: int) -> None:
    """Draw a point: a disc for the first unit of a panel, a square for the second."""
    if kind == 0:
        add(group, "circle", cx=x, cy=y, r=4.5, fill=BLUE.line, stroke=PAPER)
    else:
        add(group, "rect", x=x - 4.5, y=round(y - 4.5, 1), width=9, height=9, fill=CLAY.fill, stroke=CLAY.line)


def describe(rows: list[dict[str, Any]]) -> str:
    """Return the picture in words."""
    return "; ".join(f"{row['name']}, {row['year']}: {row['value']:.2g} {row['unit']}" for row in rows) + "."


def main() -> None:
    """Draw one panel below the other."""
    rows = points()
    svg, group = sheet("timeline", "Data and compute from LeNet to today", describe(rows), HEIGHT)
    for index, panel in enumerate(PANELS):
        draw_panel(group, panel, [row for row in rows if row["panel"] == panel], TOP + index * (PANEL + GAP))
    save(__file__, svg)


if __name__ == "__main__":
    main()
