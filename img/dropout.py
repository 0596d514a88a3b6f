"""Draw `dropout.svg`: a small network in two steps of training, each with other units dropped, and in prediction.

Run `python img/dropout.py`.
"""

import random
from xml.etree import ElementTree as ET

from style import BLUE, LABEL_SIZE, NOTE_SIZE, PAPER, RIM, SAND, SOFT_INK, TIMES, WIDTH, add, save, sheet, write

LAYERS = (4, 6, 6, 2)  # units of each; the two in the middle are hidden
HIDDEN, P, SEED = (1, 2), 0.5, 6
HEIGHT, TOP, BOTTOM = 258, 64, 214
RADIUS = 7
PANEL = WIDTH / 3

Unit = tuple[int, int]  # layer, and number within it


def dropped(rng: random.Random) -> set[Unit]:
    """Return the hidden units that a step of training goes without: each with probability P."""
    return {(layer, i) for layer in HIDDEN for i in range(LAYERS[layer]) if rng.random() < P}


def place(panel: int, unit: Unit) -> tuple[float, float]:
    """Return the middle of a unit; layers go upwards."""
    layer, i = unit
    room = PANEL - 18
    x = panel * PANEL + PANEL / 2 + (i - (LAYERS[layer] - 1) / 2) * room / max(LAYERS)
    return round(x, 1), round(BOTTOM - layer * (BOTTOM - TOP) / (len(LAYERS) - 1), 1)


def draw_network(group: ET.Element, panel: int, title: str, note: str, out: set[Unit]) -> None:
    """Draw what connects units that are there, then the units; those that are dropped are hollow."""
    write(group, title, (panel + 0.5) * PANEL, 26, LABEL_SIZE, font_weight="bold")
    units = [(layer, i) for layer, size in enumerate(LAYERS) for i in range(size)]
    for below in units:
        for above in units:
            if above[0] == below[0] + 1 and not {above, below} & out:
                (x1, y1), (x2, y2) = place(panel, below), place(panel, above)
                add(group, "path", d=f"M{x1:g} {y1:g} L{x2:g} {y2:g}", stroke=SOFT_INK, stroke_width=0.6)
    for unit in units:
        x, y = place(panel, unit)
        if unit in out:
            circle = {"fill": PAPER, "stroke": RIM, "stroke_dasharray": "2 2"}
        else:
            colour = BLUE if unit[0] in HIDDEN else SAND
            circle = {"fill": colour.fill, "stroke": colour.line}
        add(group, "circle", cx=x, cy=y, r=RADIUS, stroke_width=1.5, **circle)
    write(group, note, (panel + 0.5) * PANEL, BOTTOM + 26, NOTE_SIZE, fill=SOFT_INK)


def main() -> None:
    """Draw the same network three times."""
    rng = random.Random(SEED)
    steps = [dropped(rng) for _ in range(2)]
    missing = " and ".join(str(len(step)) for step in steps)
    words = (
        f"The same network three times. In two steps of training, {missing} of its twelve hidden units are missing, "
        f"others in each, and the outputs of the rest are doubled. In prediction all units are there."
    )
    svg, group = sheet("dropout", "Dropout in training and in prediction", words, HEIGHT)
    factor = f"kept units {TIMES} {1 / (1 - P):g}"
    draw_network(group, 0, "one step", factor, steps[0])
    draw_network(group, 1, "the next step", factor, steps[1])
    draw_network(group, 2, "prediction", "all units, as they are", set())
    save(__file__, svg)


if __name__ == "__main__":
    main()
