"""Take down what leaves each layer of AlexNet for four test images, for the explorer on its page.

`theme/static/layers/NAME.js`: the 16 channels of a layer that respond most to the images, as pixels, loaded when a
reader chooses the layer. `layers.svg`: some of them for the first image, for paper and where there are no scripts.
`layers.json`: what the network was trained and tested on.

The network is the one of `views.py`, which sees images of 112 by 112 pixels, trained further on the first 20,000
training images at the 224 by 224 pixels of the chapter. That takes ten minutes on one CPU core that computes in
`bfloat16`. The weights are kept in `_build/layers.pt`; while that file is there, running the script again only takes
down what leaves the layers. Run `python img/views.py`, then `python img/layers.py`.
"""

import base64
import io
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from style import INK, LABEL_SIZE, NOTE_SIZE, SOFT_INK, TIMES, TITLE_SIZE, WIDTH, add, save, sheet, write
from torch import Tensor, nn
from views import BATCH, WEIGHTS, SmallImageAlexNet, embedded, predict, untrained

from d2l import torch as d2l
from d2l.fashion_mnist import CLASSES

FOLDER = Path(__file__).parent
STATIC = FOLDER.parent / "theme" / "static" / "layers"
FINAL_WEIGHTS = WEIGHTS.with_name("layers.pt")
SIDE, IMAGES, RATE = 224, 20_000, 0.005  # pixels, training images, highest learning rate
SHOWN = ("ankle boot", "pullover", "dress", "bag")  # the first test image of each
KINDS = {nn.Conv2d: "Convolution", nn.MaxPool2d: "Pooling", nn.Linear: "Dense"}
CHANNELS, LEVELS = 16, 32
TILES, TILE, PITCH, TILES_LEFT = 5, 46, 52, 132  # of the picture: tiles in a row, their side and distance


def data_set() -> d2l.FashionMNIST:
    """Return the images at the size that the chapter's network takes."""
    data = d2l.FashionMNIST(batch_size=BATCH, resize=(SIDE, SIDE))
    data.train = data.train.first(IMAGES)
    return data


def train(data: d2l.FashionMNIST) -> SmallImageAlexNet:
    """Return the network of `views.py`, trained further on larger images."""
    model = untrained()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    torch.manual_seed(1)
    model.lr, model.steps = RATE, len(data.train_dataloader())
    d2l.Trainer(max_epochs=1, num_gpus=d2l.num_gpus()).fit(model, data)
    return model.cpu()


def outputs(model: SmallImageAlexNet, X: Tensor) -> dict[str, Tensor]:
    """Return what leaves each layer, behind its activation; of the last one, the probabilities of the classes."""
    found: dict[str, Tensor] = {}
    counts: Counter[str] = Counter()
    name = ""
    model.eval()
    with torch.no_grad():
        for layer in model.net:
            X = layer(X)
            kind = next((kind for type_, kind in KINDS.items() if isinstance(layer, type_)), None)
            if kind:
                counts[kind] += 1
                name = f"{kind} {counts[kind]}"
            if not isinstance(layer, nn.Flatten):
                found[name] = X
    return found | {name: X.softmax(1)}


def liveliest(maps: Tensor) -> Tensor:
    """Return the numbers of those channels of maps (n, channels, height, width) whose responses are largest."""
    return maps.amax((2, 3)).mean(0).argsort(descending=True)[:CHANNELS].sort().values


def address(pixels: np.ndarray) -> str:
    """Return grey pixels, in few levels, as an address that holds them whole."""
    grey = Image.fromarray((np.floor(pixels * (LEVELS - 1) + 0.5) * 255 / (LEVELS - 1)).round().astype(np.uint8))
    buffer = io.BytesIO()
    grey.quantize(LEVELS, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def taken_down(name: str, Y: Tensor) -> dict[str, object]:
    """Return what a page shows of the output of a layer, Y (n, channels, height, width) or (n, units)."""
    if Y.shape[1] == len(CLASSES):
        return {"name": name, "classes": CLASSES, "values": [[round(value, 4) for value in row] for row in Y.tolist()]}
    if Y.ndim == 2:  # all of it, as a square
        side = math.isqrt(Y.shape[1])
        channels, maps = None, Y.view(len(Y), 1, side, side)
    else:
        channels = liveliest(Y)
        maps = Y[:, channels]
    largest = maps.amax((0, 2, 3))
    tiles = (maps / largest[:, None, None].clamp(min=1e-9)).permute(0, 2, 1, 3)  # images and rows, channels and columns
    sprite = address(tiles.reshape(maps.shape[0] * maps.shape[2], -1).numpy())
    numbers = channels if channels is None else channels.tolist()
    scales = [float(f"{value:.3g}") for value in largest.tolist()]
    return {"name": name, "side": maps.shape[2], "channels": numbers, "largest": scales, "sprite": sprite}


def draw(image: np.ndarray, found: dict[str, Tensor]) -> None:
    """Draw an image, `uint8` of shape (28, 28), and what leaves the layers with windows."""
    layers = {name: Y for name, Y in found.items() if Y.ndim == 4}
    height = 52 + PITCH * (len(layers) + 1)
    words = "; ".join(f"{name}, {Y.shape[1]} channels of {Y.shape[2]} by {Y.shape[3]}" for name, Y in layers.items())
    svg, group = sheet("layers", "What leaves each layer of AlexNet, for one image", f"{words}.", height)
    write(group, "What leaves each layer", WIDTH / 2, 24, TITLE_SIZE, font_weight="bold")

    def tile(pixels: np.ndarray, column: int, row: int) -> None:
        place = {"x": TILES_LEFT + column * PITCH, "y": 46 + row * PITCH, "width": TILE, "height": TILE}
        add(group, "image", href=embedded(pixels), style="image-rendering: pixelated", **place)

    left = {"text_anchor": "start"}
    write(group, "image", 14, 46 + TILE / 2, LABEL_SIZE, fill=INK, **left)
    tile(image, 0, 0)
    for row, (name, Y) in enumerate(layers.items(), 1):
        middle = 46 + row * PITCH + TILE / 2
        write(group, name, 14, middle - 8, LABEL_SIZE, fill=INK, **left)
        shape = f" {TIMES} ".join(map(str, Y.shape[1:]))
        write(group, shape, 14, middle + 9, NOTE_SIZE, fill=SOFT_INK, **left)
        maps = Y[0, liveliest(Y[:1])]
        order = maps.amax((1, 2)).argsort(descending=True)[:TILES]
        for column, one in enumerate(maps[order]):
            tile((255 * one / one.max()).round().byte().numpy(), column, row)
    save(str(FOLDER / "layers"), svg)


def main() -> None:
    """Train unless that has been done, and take down what leaves the layers."""
    data = data_set()
    if FINAL_WEIGHTS.exists():
        model = untrained()
        model.load_state_dict(torch.load(FINAL_WEIGHTS, weights_only=True))
    else:
        model = train(data)
        torch.save(model.state_dict(), FINAL_WEIGHTS)
    chances, truths = predict(model, data), torch.from_numpy(data.val.labels).long()
    right = (chances.argmax(1) == truths).sum().item()
    facts = {"side": SIDE, "images": IMAGES, "test_images": len(truths), "accuracy": round(right / len(truths), 4)}
    (FOLDER / "layers.json").write_text(json.dumps(facts) + "\n", encoding="utf-8", newline="\n")
    chosen = [int((truths == CLASSES.index(name)).nonzero()[0]) for name in SHOWN]
    found = outputs(model, torch.stack([data.val[i][0] for i in chosen]))
    STATIC.mkdir(parents=True, exist_ok=True)
    for name, Y in found.items():
        text = f"explorerLayer({json.dumps(taken_down(name, Y), separators=(',', ':'))});\n"
        (STATIC / f"{name.lower().replace(' ', '-')}.js").write_text(text, encoding="utf-8", newline="\n")
    for number, i in enumerate(chosen):
        Image.fromarray(data.val.images[i]).save(STATIC / f"image-{number}.png", optimize=True)
    draw(data.val.images[chosen[0]], found)


if __name__ == "__main__":
    main()
