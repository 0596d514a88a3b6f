"""Draw `ring.svg`: an all-reduce of four devices in a ring, round by round.

Which parts a device has after each round is simulated. Run `python img/ring.py`.
"""

from xml.etree import ElementTree as ET

from style import BLUE, INK, LABEL_SIZE, LINE, NOTE_SIZE, PAPER, SAND, SOFT_INK, WIDTH, add, save, sheet, write

DEVICES, NAMES = 4, "ABCD"
CELL, ROW = 17, 24
HEIGHT, LEFT = 330, 34
PANEL = (WIDTH - LEFT - 8) / 4
SHADES = (PAPER, "#d5e8fa", BLUE.fill, "#6fa8dc", BLUE.line)  # by how many gradients have been added

State = list[list[frozenset[int]]]  # of each device and each part, whose gradients have been added


def rounds() -> list[tuple[State, list[int]]]:
    """Return the state at the start and after each round, with the part that each device has received in it."""
    state = [[frozenset({device}) for _ in range(DEVICES)] for device in range(DEVICES)]
    found = [(state, [])]
    for number in range(2 * (DEVICES - 1)):
        adds = number < DEVICES - 1
        after, received = [list(parts) for parts in state], []
        for device in range(DEVICES):
            sender = (device - 1) % DEVICES
            part = (sender - number if adds else sender + 1 - (number - DEVICES + 1)) % DEVICES
            after[device][part] = state[sender][part] | state[device][part] if adds else state[sender][part]
            received.append(part)
        state = after
        found.append((state, received))
    assert all(len(part) == DEVICES for parts in state for part in parts)
    return found


def draw_round(group: ET.Element, left: float, top: float, title: str, state: State, received: list[int]) -> None:
    """Draw what each device has: a square for each part, with the number of gradients in it."""
    write(group, title, left + DEVICES * CELL / 2, top - 14, NOTE_SIZE, font_weight="bold")
    for device, parts in enumerate(state):
        for part, added in enumerate(parts):
            x, y = left + CELL * part, top + ROW * device
            new = bool(received) and received[device] == part
            count = len(added)
            rim = {"stroke": INK, "stroke_width": 2.0} if new else {"stroke": SOFT_INK, "stroke_width": 0.75}
            add(group, "rect", x=x + 1, y=y + 1, width=CELL - 2, height=CELL - 2, fill=SHADES[count], **rim)
            ink = PAPER if count == DEVICES else INK
            write(group, str(count), x + CELL / 2, y + CELL / 2, NOTE_SIZE, fill=ink)


def draw_ring(group: ET.Element, x: float, y: float) -> None:
    """Draw who hands parts to whom, around a middle."""
    radius = 34.0
    add(group, "circle", cx=x, cy=y, r=radius, fill="none", stroke=SOFT_INK, stroke_width=LINE)
    for dx, dy, points in (
        (1, -1, "0,0 -9,-2 -2,-9"),
        (1, 1, "0,0 2,-9 9,-2"),
        (-1, 1, "0,0 9,2 2,9"),
        (-1, -1, "0,0 -2,9 -9,2"),
    ):
        near = round(radius * 0.7071, 1)
        add(group, "polygon", points=points, transform=f"translate({x + dx * near:g} {y + dy * near:g})", fill=SOFT_INK)
    for device, (dx, dy) in enumerate(((0, -1), (1, 0), (0, 1), (-1, 0))):
        add(group, "circle", cx=x + radius * dx, cy=y + radius * dy, r=10.0, fill=SAND.fill, stroke=SAND.line)
        write(group, NAMES[device], x + radius * dx, y + radius * dy, NOTE_SIZE)


def main() -> None:
    """Draw the rounds that add in the upper row, and those that hand the sums on in the lower one."""
    found = rounds()
    words = (
        "Four devices, each with its gradients cut into four parts. In three rounds each device hands one part to the "
        "next, which adds its own, until each device has the sum of all four gradients for one part. In three more "
        "rounds the sums are handed on, until every device has all of them."
    )
    svg, group = sheet("ring", "An all-reduce in a ring of four devices", words, HEIGHT)
    for first, top, name in ((0, 66, "add up"), (4, 222, "hand on")):
        write(group, name, 12, top - 38, LABEL_SIZE, text_anchor="start", font_weight="bold")
        for device in range(DEVICES):
            write(group, NAMES[device], 20, top + ROW * device + CELL / 2, LABEL_SIZE, fill=SOFT_INK)
        for column, (state, received) in enumerate(found[first : first + 4]):
            number = first + column
            title = f"round {number}" if number else "before"
            draw_round(group, LEFT + PANEL * column, top, title, state, received)
    draw_ring(group, LEFT + 3 * PANEL + DEVICES * CELL / 2, 222 + 1.8 * ROW)
    save(__file__, svg)


if __name__ == "__main__":
    main()
