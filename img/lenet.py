"""Train the chapter's LeNet as its section does, and draw what each layer makes of a test image.

`lenet.json` is what the live figure of the section computes with: the weights as whole numbers from -127 to 127 with a
scale for each output, the biases, twelve test images, and how many of all 10,000 test images the network gets right.
`lenet.svg` is the figure's picture.

The cells of the section are run as they are, in PyTorch, from a seed: ten epochs, two minutes on two CPU cores. The
weights are kept in `_build/lenet.pt`; while that file is there, running the script again only writes and draws. Run
`python img/lenet.py`.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import torch
from pixels import add_pixels, colours
from style import BLUE, CLAY, NOTE_SIZE, SOFT_INK, THICK_LINE, TIMES, WIDTH, add, save, sheet, write
from torch import Tensor

from d2l import torch as d2l
from d2l.fashion_mnist import CLASSES, Images

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER.parent / "_build" / "lenet.pt"
SEED = 3  # the first from 0 on with which the run ends within half a point of the recorded one
LEVELS = 127  # of an eight-bit whole number on each side of zero
WRONG = 2  # of the twelve images: the first that are taken for something else
CHANNEL, PLACE = 0, (13, 16)  # of the first convolution: the unit that is outlined

LEFT, HEIGHT = 14.0, 592


def trained() -> d2l.LeNet:
    """Return a network that the section's own cells have trained, or the one that is kept."""
    torch.manual_seed(SEED)
    if not WEIGHTS.exists():
        sys.path.append(str(FOLDER.parent))
        from bench.adapters import run_cells

        weights = run_cells("pytorch", "lenet", until="trainer")["model"].state_dict()
        WEIGHTS.parent.mkdir(exist_ok=True)
        torch.save(weights, WEIGHTS)
    model = d2l.LeNet()
    model.apply_init([torch.zeros(1, 1, 28, 28)])
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model


def encoded(array: np.ndarray) -> str:
    """Return the bytes of an array as letters and digits."""
    return base64.b64encode(array.tobytes()).decode()


def quantize(model: d2l.LeNet) -> list[dict[str, str]]:
    """Round the weights of `model` to `LEVELS`, and return them, layer by layer, with scales and biases."""
    layers = []
    parameters = [parameter.data for parameter in model.parameters()]
    for weights, biases in zip(parameters[::2], parameters[1::2], strict=True):
        scales = weights.flatten(1).abs().amax(1) / LEVELS
        column = scales.reshape(-1, *[1] * (weights.dim() - 1))
        whole = (weights / column).round()
        weights.copy_(whole * column)
        layers.append(
            {
                "weights": encoded(whole.numpy().astype(np.int8)),
                "scales": encoded(scales.numpy()),
                "biases": encoded(biases.numpy()),
            }
        )
    return layers


@torch.no_grad()
def guesses(model: d2l.LeNet, images: np.ndarray) -> np.ndarray:
    """Return the class that the network takes each image (n, 28, 28) for."""
    return torch.cat([model(batch).argmax(1) for batch in as_tensor(images).split(1000)]).numpy()


def as_tensor(images: np.ndarray) -> Tensor:
    """Return images (n, 28, 28) `uint8` as the network takes them."""
    return torch.from_numpy(images[:, None] / np.float32(255))


def choose(test: Images, guessed: np.ndarray) -> list[int]:
    """Return the indices of the first image of each class, and of the first others that it gets wrong."""
    first = [int(np.flatnonzero(test.labels == label)[0]) for label in range(len(CLASSES))]
    wrong = [int(index) for index in np.flatnonzero(guessed != test.labels) if index not in first]
    return [*first, *wrong[:WRONG]]


def add_outline(group: ET.Element, x: float, y: float, width: float, height: float) -> None:
    """Outline what belongs together."""
    square = {"x": x, "y": y, "width": width, "height": height}
    add(group, "rect", **square, fill="none", stroke=CLAY.fill, stroke_width=THICK_LINE)


def draw(model: d2l.LeNet, image: np.ndarray, label: str) -> None:
    """Draw the image, the activations of every layer, and the probabilities."""
    X = as_tensor(image[None])
    outputs = []
    with torch.no_grad():
        for layer in model.net:
            X = layer(X)
            outputs.append(X[0])
        chances = X[0].softmax(0)
    best = CLASSES[int(chances.argmax())]
    words = (
        f"From top to bottom, an image of class {label} and what each layer makes of it: 6 maps of 28 by 28 units, 6 "
        "of 14 by 14, 16 of 10 by 10, 16 of 5 by 5, 120 units, and 84 units. Beside the image, ten probabilities; that "
        f"of {best} is {chances.max():.0%}. A unit of the first convolution is outlined, and 5 by 5 pixels it sees."
    )
    svg, group = sheet("lenet", "LeNet at work", words, HEIGHT)
    columns = WIDTH - 2 * LEFT
    y = 14.0
    add_pixels(group, colours(image / 255, 1), LEFT, y + 16, 112)
    write(group, f"image, 28 {TIMES} 28", LEFT, y + 4, NOTE_SIZE, text_anchor="start")
    row, column = PLACE
    add_outline(group, LEFT + 4 * (column - 2), y + 16 + 4 * (row - 2), 20, 20)
    top, y = y, y + 150
    for title, index, across in (("convolution 1", 1, 6), ("pooling 1", 2, 6), ("convolution 2", 4, 8)):
        y = draw_maps(group, title, outputs[index].numpy(), across, y)
        if index == 1:
            side = (columns - 5 * 4) / 6
            unit = side / 28
            x = LEFT + CHANNEL * (side + 4) + column * unit
            add_outline(group, x, y - 12 - side + row * unit, unit, unit)
    y = draw_maps(group, "pooling 2", outputs[5].numpy(), 16, y)
    for title, index, rows in (("dense 1, 120 units", 8, 3), ("dense 2, 84 units", 10, 2)):
        write(group, title, LEFT, y + 4, NOTE_SIZE, text_anchor="start")
        values = outputs[index].numpy().reshape(rows, -1)
        add_pixels(group, colours(values, 1), LEFT, y + 14, columns)
        y += 14 + columns * rows / values.shape[1] + 12
    for number, (name, chance) in enumerate(zip(CLASSES, chances.tolist(), strict=True)):
        middle = top + 10 + 13 * number
        write(group, name, 215, middle, NOTE_SIZE, text_anchor="end")
        add(group, "rect", x=220, y=middle - 4.5, width=max(1.0, round(125 * chance, 1)), height=9, fill=BLUE.line)
        write(group, f"{chance:.0%}", 384, middle, NOTE_SIZE, text_anchor="end", fill=SOFT_INK)
    save(__file__, svg)


def draw_maps(group: ET.Element, title: str, maps: np.ndarray, across: int, y: float) -> float:
    """Draw maps (n, height, width), so many in a row, below their title; return where they end."""
    n, side, _ = maps.shape
    write(group, f"{title}, {n} maps of {side} {TIMES} {side}", LEFT, y + 4, NOTE_SIZE, text_anchor="start")
    width = (WIDTH - 2 * LEFT - 4 * (across - 1)) / across
    for index, values in enumerate(maps):
        row, column = divmod(index, across)
        add_pixels(group, colours(values, 1), LEFT + column * (width + 4), y + 14 + row * (width + 4), width)
    return y + 14 + -(-n // across) * (width + 4) + 8


def main() -> None:
    """Train unless that has been done, write what the page computes with, and draw."""
    model = trained()
    test = d2l.FashionMNIST().val
    accuracy = np.mean(guesses(model, test.images) == test.labels)
    layers = quantize(model)
    guessed = guesses(model, test.images)
    chosen = choose(test, guessed)
    facts: dict[str, Any] = {
        "test_images": len(test),
        "accuracy": round(float(accuracy), 4),
        "accuracy_in_eight_bits": round(float(np.mean(guessed == test.labels)), 4),
        "classes": CLASSES,
        "images": [
            {"index": index, "label": int(test.labels[index]), "pixels": encoded(test.images[index])}
            for index in chosen
        ],
        "layers": layers,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8", newline="\n")
    draw(model, test.images[0], CLASSES[test.labels[0]])


if __name__ == "__main__":
    main()
