"""Draw `challenge.svg`: the best top-5 error of the ImageNet challenge in each of its years.

Every bar is a line of `challenge.csv`, which says where it comes from. Run `python img/challenge.py`.
"""

import csv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    INK,
    LABEL_SIZE,
    LINE,
    NOTE_SIZE,
    RIM,
    SAND,
    SOFT_INK,
    WIDTH,
    Scale,
    add,
    save,
    sheet,
    write,
)

HEIGHT, TOP, BASE = 328, 54, 250
YEARS = Scale(2009.5, 2017.5, 40, WIDTH - 12)
PERCENT = Scale(0, 30, BASE, TOP)
BAR = 30
KINDS = {"designed": ("designed features", SAND), "learned": ("learned features", BLUE)}
PERSON = 5.1  # percent that a trained person missed, see Russakovsky et al., 2015
# Entries whose names take two lines.
BROKEN = {"NEC-UIUC": ("NEC-", "UIUC"), "Trimps-Soushen": ("Trimps-", "Soushen"), "GoogLeNet": ("Goog-", "LeNet")}


def entries() -> list[dict[str, Any]]:
    """Return the lines of the table, years and errors as numbers."""
    with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as file:
        return [row | {"year": int(row["year"]), "error": float(row["error"])} for row in csv.DictReader(file)]


def draw_axis(group: ET.Element) -> None:
    """Draw the lines of equal error."""
    write(group, "Top-5 error in percent", 14, 22, LABEL_SIZE, font_weight="bold", text_anchor="start")
    for percent in range(0, 31, 10):
        line = PERCENT(percent)
        add(group, "path", d=f"M{YEARS.start:g} {line:g} H{YEARS.end:g}", stroke=RIM)
        write(group, str(percent), YEARS.start - 8, line, NOTE_SIZE, fill=SOFT_INK, text_anchor="end")


def draw_bar(group: ET.Element, row: dict[str, Any], second: bool) -> None:
    """Draw an entry; that of the second place is an outline behind the winner's."""
    x, y, colour = YEARS(row["year"]), PERCENT(row["error"]), KINDS[row["features"]][1]
    size = {"x": round(x - BAR / 2, 1), "y": y, "width": BAR, "height": round(BASE - y, 1)}
    if second:
        add(group, "rect", **size, fill="none", stroke=colour.line, stroke_dasharray="3 3")
        write(group, f"{row['error']:.1f}", x, y - 8, NOTE_SIZE, fill=SOFT_INK)
        return
    add(group, "rect", **size, fill=colour.fill, stroke=colour.line)
    # Below the line of a person's error there is room in the bar only.
    middle = y - 8 if row["error"] > PERSON else (y + BASE) / 2
    write(group, f"{row['error']:.1f}", x, middle, NOTE_SIZE)
    write(group, str(row["year"]), x, BASE + 12, NOTE_SIZE, fill=SOFT_INK)
    for number, part in enumerate(BROKEN.get(row["entry"], (row["entry"],))):
        write(group, part, x, BASE + 28 + 13 * number, 11.3)


def draw_person(group: ET.Element) -> None:
    """Draw the line of a trained person's error."""
    line = PERCENT(PERSON)
    add(
        group,
        "path",
        d=f"M{YEARS.start:g} {line:g} H{YEARS.end:g}",
        stroke=INK,
        stroke_width=LINE,
        stroke_dasharray="6 4",
    )
    write(group, "a trained person, 5.1", YEARS.end, line - 9, NOTE_SIZE, fill=SOFT_INK, text_anchor="end")


def draw_legend(group: ET.Element) -> None:
    """Say what the colours mean."""
    for number, (name, colour) in enumerate(KINDS.values()):
        x = 14 + 130 * number
        add(group, "rect", x=x, y=HEIGHT - 22, width=12, height=10, fill=colour.fill, stroke=colour.line)
        write(group, name, x + 18, HEIGHT - 17, NOTE_SIZE, text_anchor="start")
    add(group, "rect", x=274, y=HEIGHT - 22, width=12, height=10, fill="none", stroke=SAND.line, stroke_dasharray="3 3")
    write(group, "second place", 292, HEIGHT - 17, NOTE_SIZE, text_anchor="start")


def main() -> None:
    """Draw a bar for each year, and the second place of 2012 behind the winner."""
    rows = entries()
    words = "; ".join(
        f"{row['year']}, {row['entry']}, {row['features']} features: {row['error']} percent" for row in rows
    )
    svg, group = sheet("challenge", "Top-5 error of the ImageNet challenge, 2010 to 2017", f"{words}.", HEIGHT)
    draw_axis(group)
    for row in rows:
        draw_bar(group, row, second=row["entry"] == "ISI")
    draw_person(group)
    draw_legend(group)
    save(__file__, svg)


if __name__ == "__main__":
    main()
