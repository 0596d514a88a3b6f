"""Draw `training.svg`: loss and accuracy of LeNet with sigmoids and with ReLUs, epoch by epoch.

The values are those of `training.csv`. `python img/training.py --train` renews it first, by the code that trains in the
page, in Chromium; `python img/training.py` draws.
"""

import csv
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from playwright.sync_api import sync_playwright
from style import BLUE, CLAY, LABEL_SIZE, NOTE_SIZE, RIM, SOFT_INK, THICK_LINE, WIDTH, Scale, add, save, sheet, write

HEIGHT, TOP, PANEL, GAP = 424, 48, 136, 56
EPOCHS = 20
X = Scale(0, EPOCHS, 46, WIDTH - 24)
COLOURS = {"sigmoid": BLUE, "ReLU": CLAY}
TABLE = Path(__file__).with_suffix(".csv")
STATIC = Path(__file__).parent.parent / "theme" / "static"
TRAIN = """async ([activation, epochs]) => {
    const run = trainingRun(networkLibrary());
    const steps = await run.load(fashionMnist);
    run.begin({ activation, initialization: "Glorot", seed: 0 });
    return Array.from({ length: epochs }, () => run.train({ steps, learningRate: 0.1, evaluate: true }));
}"""


def train() -> None:
    """Train both networks as the page does, and write down each epoch."""
    with sync_playwright() as playwright, TABLE.open("w", encoding="utf-8", newline="") as file:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        for name in ("network.js", "fashion-mnist.js", "training.js"):
            page.add_script_tag(path=STATIC / name)
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["activation", "epoch", "loss", "accuracy"])
        for activation in COLOURS:
            for epoch, found in enumerate(page.evaluate(TRAIN, [activation, EPOCHS]), 1):
                table.writerow([activation, epoch, f"{found['loss']:.4f}", f"{found['accuracy']:.3f}"])
        browser.close()


def read() -> list[dict[str, Any]]:
    """Return the rows of the table, with their numbers as such."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            {"activation": activation, "epoch": int(epoch), "loss": float(loss), "accuracy": float(accuracy)}
            for activation, epoch, loss, accuracy in list(csv.reader(file))[1:]
        ]


def draw_panel(group: ET.Element, title: str, name: str, y: Scale, ticks: Iterable[float]) -> None:
    """Draw the title of a panel, its axes, and a curve for each activation."""
    write(group, title, X.start, y.end - 20, LABEL_SIZE, font_weight="bold", text_anchor="start")
    for tick in ticks:
        add(group, "path", d=f"M{X.start} {y(tick):g} H{X.end}", stroke=RIM)
        write(group, f"{tick:.1f}", X.start - 8, y(tick), NOTE_SIZE, fill=SOFT_INK, text_anchor="end")
    for epoch in range(0, EPOCHS + 1, 5):
        write(group, f"{epoch}", X(epoch), y.start + 12, NOTE_SIZE, fill=SOFT_INK)
    for activation, colour in COLOURS.items():
        rows = [row for row in read() if row["activation"] == activation]
        points = " ".join(f"{X(row['epoch']):g},{y(row[name]):g}" for row in rows)
        add(group, "polyline", points=points, fill="none", stroke=colour.line, stroke_width=THICK_LINE)
        last = y(rows[-1][name])
        above = 14 if activation == "sigmoid" and name == "loss" else -12
        look: dict[str, str] = {"fill": colour.line, "font_weight": "bold", "text_anchor": "end"}
        write(group, activation, X.end, last + above, LABEL_SIZE, **look)


def main() -> None:
    """Draw both panels."""
    words = "With sigmoids the loss stays near 2.3 and the accuracy near 0.1; with ReLUs both get better at once."
    svg, group = sheet("training", "Training LeNet with sigmoids and with ReLUs", words, HEIGHT)
    panels = (
        ("Loss of training batches", "loss", 2.5, (0, 0.5, 1, 1.5, 2, 2.5)),
        ("Accuracy on test images", "accuracy", 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    )
    for i, (title, name, most, ticks) in enumerate(panels):
        top = TOP + i * (PANEL + GAP)
        draw_panel(group, title, name, Scale(0, most, top + PANEL, top), ticks)
    write(group, "epochs", (X.start + X.end) / 2, HEIGHT - 16, NOTE_SIZE, fill=SOFT_INK)
    save(__file__, svg)


if __name__ == "__main__":
    if "--train" in sys.argv[1:]:
        train()
    main()
