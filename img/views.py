"""Train the chapter's AlexNet on Fashion-MNIST, and draw what it sees and where it fails.

`featuremaps.png`: what the first layer makes of one test image. `confusion.svg`: which classes of the test images it
takes for which. `mistakes.svg`: the test images it is most wrong about. `views.json`: what it was trained and tested
on, and how often it took which class (row) for which (column).

The network is `d2l.torch.AlexNet`, trained and tested on images of 112 by 112 pixels, at a quarter of the cost of its
own 224 by 224. It sees all 60,000 training images three times, and gets 90 percent of all 10,000 test images right.
That takes a quarter of an hour on one CPU core that computes in `bfloat16`, and half an hour on one that does not. The
weights are kept in `_build/views.pt`; while that file is there, running the script again only draws. Run
`python img/views.py`.
"""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import torch
from contact import contact_sheet
from pixels import embedded
from style import BLUE, CLAY, GROUND, NOTE_SIZE, SOFT_INK, WIDTH, add, save, sheet, write
from torch import Tensor, nn

from d2l import torch as d2l
from d2l.fashion_mnist import CLASSES

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER.parent / "_build" / "views.pt"
SIDE, PASSES, BATCH, RATE = 112, 3, 64, 0.02  # pixels, passes over the images, images, highest learning rate

ROWS, COLUMNS = 5, 8  # of the feature maps, the image among them
CELLS_LEFT, CELLS_TOP, CELL = 86, 84, 29
CORNER = {"fill": SOFT_INK, "text_anchor": "end"}
MISTAKES, PHOTO, PITCH = 12, 78, 122


class SmallImageAlexNet(d2l.AlexNet):
    """AlexNet for smaller images, trained with a learning rate that rises for a tenth of the `steps` and then falls."""

    steps = 1

    def forward(self, X: Tensor) -> Tensor:
        """Return the scores of the classes; the last feature maps are brought to 5 by 5, as those of 224 pixels are."""
        flatten = next(i for i, layer in enumerate(self.net) if isinstance(layer, nn.Flatten))
        return self.net[flatten:](nn.functional.interpolate(self.net[:flatten](X), (5, 5)))

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer and its schedule, as the trainer takes them."""
        optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.lr, self.steps, pct_start=0.1, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def untrained() -> SmallImageAlexNet:
    """Return a network with the weights that it starts from."""
    torch.manual_seed(0)
    model = SmallImageAlexNet(lr=RATE)
    model.apply_init([torch.zeros(1, 1, 224, 224)])
    return model


def train(data: d2l.FashionMNIST) -> SmallImageAlexNet:
    """Return a network that has seen the training images `PASSES` times."""
    model = untrained()
    model.steps = PASSES * len(data.train_dataloader())
    d2l.Trainer(max_epochs=PASSES, num_gpus=d2l.num_gpus()).fit(model, data)
    return model.cpu()


def predict(model: nn.Module, data: d2l.FashionMNIST) -> Tensor:
    """Return the probabilities of the classes for every test image, shape (n, 10)."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(X).softmax(1) for X, _ in data.val_dataloader()])


def shade(colour: str, share: np.ndarray | float) -> np.ndarray:
    """Return `colour` mixed with white, the more of it the larger its `share`: `uint8`, one axis more than `share`."""
    full = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (255 - np.multiply.outer(share, 255 - full)).round().astype(np.uint8)


def draw_feature_maps(model: d2l.AlexNet, X: Tensor) -> None:
    """Draw an image, X (1, 1, height, width), and those feature maps of the first layer that vary most over it."""
    with torch.no_grad():
        maps = model.net[:2](X)[0]
        widest = maps[maps.std((1, 2)).argsort(descending=True)[: ROWS * COLUMNS - 1]]
        image = nn.functional.adaptive_avg_pool2d(X, maps.shape[1:])
    grey = (255 * image[0, 0]).round().byte().numpy()
    tinted = shade(BLUE.line, (widest / widest.amax((1, 2), keepdim=True)).numpy())
    tiles = np.concatenate([np.repeat(grey[None, :, :, None], 3, 3), tinted])
    contact_sheet(tiles, COLUMNS, 2).save(FOLDER / "featuremaps.png", optimize=True)


def draw_cell(group: ET.Element, row: int, column: int, share: float, worst: float) -> None:
    """Draw a cell of the confusion matrix: blue where the guess is right, else the redder the more often it is made."""
    colour = shade(BLUE.fill, share) if row == column else shade(CLAY.fill, share / worst)
    left, top = CELLS_LEFT + column * CELL, CELLS_TOP + row * CELL
    fill = "#" + bytes(colour).hex()
    add(group, "rect", x=left, y=top, width=CELL, height=CELL, fill=fill, stroke=GROUND)
    if share >= 0.01:
        write(group, f"{100 * share:.0f}", left + CELL / 2, top + CELL / 2, NOTE_SIZE)


def draw_confusion(counts: np.ndarray) -> None:
    """Draw how many images of each class (a row of `counts`) are taken for which (column), in percent of the class."""
    shares = counts / counts.sum(1, keepdims=True)
    worst = (shares - np.diag(np.diag(shares))).max()
    words = ", ".join(f"{name} {share:.0%}" for name, share in zip(CLASSES, np.diag(shares), strict=True))
    height = CELLS_TOP + len(CLASSES) * CELL + 22
    svg, group = sheet("confusion", "Which classes are taken for which", f"Taken for what they are: {words}.", height)
    write(group, "taken for \N{RIGHTWARDS ARROW}", CELLS_LEFT - 8, CELLS_TOP - 26, NOTE_SIZE, **CORNER)
    write(group, "truth \N{DOWNWARDS ARROW}", CELLS_LEFT - 8, CELLS_TOP - 10, NOTE_SIZE, **CORNER)
    for row, name in enumerate(CLASSES):
        middle = (row + 0.5) * CELL
        write(group, name, CELLS_LEFT - 8, CELLS_TOP + middle, NOTE_SIZE, text_anchor="end")
        turned = f"translate({CELLS_LEFT + middle:g} {CELLS_TOP - 8}) rotate(-90)"
        write(group, name, 0, 0, NOTE_SIZE, text_anchor="start", transform=turned)
        for column, share in enumerate(shares[row]):
            draw_cell(group, row, column, share, worst)
    save(str(FOLDER / "confusion"), svg)


def draw_mistakes(images: np.ndarray, guesses: list[str], truths: list[str]) -> None:
    """Draw images, `uint8` of shape (n, 28, 28), four in a row, each with its guess and its truth."""
    words = "; ".join(f"{truth} taken for {guess}" for guess, truth in zip(guesses, truths, strict=True))
    height = 20 + len(images) // 4 * PITCH
    svg, group = sheet("mistakes", "The test images it is most wrong about", words + ".", height)
    for index, (image, guess, truth) in enumerate(zip(images, guesses, truths, strict=True)):
        row, column = divmod(index, 4)
        centre, top = WIDTH * (2 * column + 1) / 8, 20 + row * PITCH
        place = {"x": centre - PHOTO / 2, "y": top, "width": PHOTO, "height": PHOTO}
        add(group, "image", href=embedded(image), style="image-rendering: pixelated", **place)
        write(group, f"{guess}?", centre, top + PHOTO + 12, NOTE_SIZE, fill=CLAY.line, font_weight="bold")
        write(group, truth, centre, top + PHOTO + 27, NOTE_SIZE)
    save(str(FOLDER / "mistakes"), svg)


def main() -> None:
    """Train unless that has been done, look at the test images, and draw."""
    data = d2l.FashionMNIST(batch_size=BATCH, resize=(SIDE, SIDE))
    if WEIGHTS.exists():
        model = untrained()
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        model = train(data)
        WEIGHTS.parent.mkdir(exist_ok=True)
        torch.save(model.state_dict(), WEIGHTS)
    chances, truths = predict(model, data), torch.from_numpy(data.val.labels).long()
    guesses = chances.argmax(1)
    counts = torch.zeros(10, 10, dtype=torch.long).index_put_((truths, guesses), torch.tensor(1), accumulate=True)
    facts = {
        "side": SIDE,
        "images": len(data.train),
        "passes": PASSES,
        "test_images": len(truths),
        "accuracy": round(counts.trace().item() / len(truths), 4),
        "confusion": counts.tolist(),
    }
    (FOLDER / "views.json").write_text(json.dumps(facts) + "\n", encoding="utf-8", newline="\n")
    wrong = guesses != truths
    believed = chances.gather(1, truths[:, None])[:, 0]
    worst = torch.where(wrong, believed, 2).argsort()[:MISTAKES]
    draw_feature_maps(model, next(iter(data.val_dataloader()))[0][:1])
    draw_confusion(counts.numpy())
    draw_mistakes(data.val.images[worst], data.text_labels(guesses[worst]), data.text_labels(truths[worst]))


if __name__ == "__main__":
    main()
