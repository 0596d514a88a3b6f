"""Draw `result.svg`: how AlexNet and LeNet learn Fashion-MNIST in the recorded runs, and print the table of the result.

Both come from the recordings of the sections on the two networks, in all frameworks. Run `python img/result.py`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from style import (
    BLUE,
    CLAY,
    INK,
    LABEL_SIZE,
    NOTE_SIZE,
    RIM,
    SOFT_INK,
    THICK_LINE,
    WIDTH,
    Colour,
    Scale,
    add,
    save,
    sheet,
    write,
)

import d2l
from d2l.mime import CURVES_MIME, RUN_MIME

RECORDINGS = Path(d2l.__file__).resolve().parents[1] / "recordings"
FRAMEWORKS = {"pytorch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow", "mxnet": "MXNet"}
NETWORKS = {"AlexNet": BLUE, "LeNet": CLAY}
# FLOP to train on one image, as the section on cost counts them; a test holds them to the layers.
TRAINING_FLOP = {"AlexNet": 5_561_132_544, "LeNet": 2_263_920}

HEIGHT, TOP, PANEL, GAP = 560, 44, 176, 84
EPOCHS = Scale(0, 10, 44, WIDTH - 20)
DASHES = {"pytorch": "none", "jax": "7 3", "tensorflow": "2 3", "mxnet": "9 3 2 3"}


class Run(NamedTuple):
    """A recorded run: where it took place, what its last line says, and its curves by label."""

    hardware: str
    summary: dict[str, Any]
    curves: dict[str, list[list[float]]]

    @property
    def device(self) -> str:
        """The GPU, or how many cores of a CPU."""
        _, cores, gpu = (part.strip() for part in self.hardware.rsplit(",", 2))
        return cores.replace("cores", "CPU cores") if gpu == "no GPU" else gpu

    @property
    def accuracy(self) -> list[list[float]]:
        """Epoch and percentage of validation images that were classified correctly."""
        return [[epoch, 100 * share] for epoch, share in self.curves["val_acc"]]

    @property
    def images(self) -> int:
        """How many images it trained on, counting each as often as it was used."""
        return self.summary["epochs"] * self.summary["examples_per_epoch"]

    @property
    def seconds(self) -> float:
        """Time in training, validation not counted."""
        return self.images / self.summary["examples_per_second"]


def load(framework: str, network: str, chapter: str = "chapter_cnn") -> Run:
    """Read the run of a network from the recording of its section in a framework."""
    path = RECORDINGS / framework / chapter / f"{network.lower()}.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    outputs = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    (summary,) = (data[RUN_MIME] for data in outputs if RUN_MIME in data)
    (board,) = (data[CURVES_MIME] for data in outputs if CURVES_MIME in data)
    return Run(notebook["metadata"]["recording"]["hardware"], summary, board["curves"])


def row(framework: str, network: str) -> str:
    """A line of the table, in Markdown."""
    run = load(framework, network)
    tflop = run.images * TRAINING_FLOP[network] / 1e12
    arithmetic = f"{tflop:,.0f}" if tflop >= 10 else f"{tflop:.1f}"
    epochs, percent = run.summary["epochs"], run.accuracy[-1][1]
    return f"| {FRAMEWORKS[framework]} | {epochs} | {percent:.1f}% | {run.seconds:,.0f} | {arithmetic} |"


def rows(network: str) -> str:
    """The lines of the table on a network, with one before them that names it."""
    return "\n".join([f"| *{network}* |  |  |  |  |", *(row(framework, network) for framework in FRAMEWORKS)])


def draw_axes(group: ET.Element, title: str, top: int, scale: Scale, marks: list[float], digits: int) -> None:
    """Draw the frame of a panel below the line `top`, with a line across it at each mark."""
    write(group, title, EPOCHS.start, top - 16, LABEL_SIZE, font_weight="bold", text_anchor="start")
    for value in marks:
        line = scale(value)
        add(group, "path", d=f"M{EPOCHS.start:g} {line:g} H{EPOCHS.end:g}", stroke=RIM)
        write(group, f"{value:.{digits}f}", EPOCHS.start - 8, line, NOTE_SIZE, fill=SOFT_INK, text_anchor="end")
    for epoch in range(0, 11, 2):
        write(group, str(epoch), EPOCHS(epoch), top + PANEL + 12, NOTE_SIZE, fill=SOFT_INK)


def draw_curve(
    group: ET.Element, points: list[list[float]], scale: Scale, colour: Colour, dash: str, width: float = THICK_LINE
) -> None:
    """Draw a curve; what lies outside of the panel is left out."""
    low, high = sorted((scale.low, scale.high))
    inside = [(EPOCHS(x), scale(y)) for x, y in points if low <= y <= high]
    path = " L".join(f"{x:g} {y:g}" for x, y in inside)
    add(group, "path", d=f"M{path}", fill="none", stroke=colour.line, stroke_width=width, stroke_dasharray=dash)


def draw_key(group: ET.Element, middle: float, entries: list[tuple[str, str, str]]) -> None:
    """Explain lines: the name, colour and dashes of each, side by side."""
    x = 16.0
    for name, colour, dash in entries:
        line = {"stroke": colour, "stroke_width": THICK_LINE, "stroke_dasharray": dash}
        add(group, "path", d=f"M{x:g} {middle:g} h22", fill="none", **line)
        write(group, name, x + 27, middle, NOTE_SIZE, text_anchor="start")
        x += 44 + 6.6 * len(name)


def describe(runs: dict[tuple[str, str], Run]) -> str:
    """Return the picture in words."""
    parts = []
    for (framework, network), run in runs.items():
        accuracy = ", ".join(f"{y:.0f}" for _, y in run.accuracy)
        parts.append(f"{network} in {FRAMEWORKS[framework]}, accuracy in percent by epoch: {accuracy}")
    return "; ".join(parts) + "."


def main() -> None:
    """Draw accuracy by epoch in all frameworks, and the two losses in one of them; print the table."""
    runs = {(framework, network): load(framework, network) for network in NETWORKS for framework in FRAMEWORKS}
    svg, group = sheet("result", "AlexNet and LeNet on Fashion-MNIST", describe(runs), HEIGHT)
    percent = Scale(60, 90, TOP + PANEL, TOP)
    draw_axes(group, "Accuracy on the validation images, in percent", TOP, percent, [60, 70, 80, 90], 0)
    for (framework, network), run in runs.items():
        draw_curve(group, run.accuracy, percent, NETWORKS[network], DASHES[framework])
    for network, epoch, value in (("AlexNet", 4.4, 87.8), ("LeNet", 6.4, 75.5)):
        write(group, network, EPOCHS(epoch), percent(value), NOTE_SIZE, fill=NETWORKS[network].line, font_weight="bold")
    draw_key(group, TOP + PANEL + 34, [(FRAMEWORKS[name], INK, dash) for name, dash in DASHES.items()])

    top = TOP + PANEL + GAP
    loss = Scale(0.2, 1.4, top + PANEL, top)
    draw_axes(group, "Loss in PyTorch", top, loss, [0.2, 0.6, 1.0, 1.4], 1)
    for network, colour in NETWORKS.items():
        curves = runs["pytorch", network].curves
        draw_curve(group, curves["train_loss"], loss, colour, "2 3")
        draw_curve(group, curves["val_loss"], loss, colour, "none")
    for network, epoch, value in (("AlexNet", 3.6, 0.34), ("LeNet", 4.6, 0.78)):
        write(group, network, EPOCHS(epoch), loss(value), NOTE_SIZE, fill=NETWORKS[network].line, font_weight="bold")
    write(group, "epoch", EPOCHS(5), top + PANEL + 28, NOTE_SIZE, fill=SOFT_INK)
    draw_key(group, top + PANEL + 46, [("training", INK, "2 3"), ("validation", INK, "none")])
    save(__file__, svg)
    print("| framework | epochs | accuracy | seconds | TFLOP |")
    print("|:--|--:|--:|--:|--:|", *map(rows, NETWORKS), sep="\n")


if __name__ == "__main__":
    main()
