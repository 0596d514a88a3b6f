"""Draw `filters.png`: the 96 kernels of the first layer of a small AlexNet, trained on four photographs without labels.

The photographs come with scikit-image: the astronaut Eileen Collins (NASA, public domain), the cat Chelsea (Stefan van
der Walt, CC0), a cup of coffee (Rachel Michetti, CC0) and a rocket before its launch (SpaceX, public domain). The
network sees a crop of one of them, turned, scaled and with its colours changed, and is asked two questions whose
answers cost nothing: which part of which photograph is this, and by how many eighths of a circle is it turned? To
tell, it has to see edges, their directions and their colours. The photographs themselves are made to vary less in
brightness and more in fine detail and colour; the kernels are shown as they act on these.

The first layer is AlexNet's: 96 kernels of 11 by 11 pixels and three colours, four pixels apart. Zero is mid-grey, and
each kernel is scaled to its own largest weight.

    A. Dosovitskiy, J. T. Springenberg, M. Riedmiller and T. Brox. Discriminative unsupervised feature learning with
    convolutional neural networks. Advances in Neural Information Processing Systems 27, 2014.
    S. Gidaris, P. Singh and N. Komodakis. Unsupervised representation learning by predicting image rotations.
    International Conference on Learning Representations, 2018.
    Y. M. Asano, C. Rupprecht and A. Vedaldi. A critical analysis of self-supervision, or what we can learn from a
    single image. International Conference on Learning Representations, 2020.

Run `python img/filters.py`; it takes about six minutes on one CPU core. The seed is fixed, so one machine draws the
same file again and again; other machines or PyTorch releases may find other kernels of the same kinds.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from contact import contact_sheet
from PIL import Image
from skimage import data
from torch import Tensor, nn
from torch.nn import functional as F

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
KERNELS = 96
CROP, TILE = 51, 32  # pixels of a crop, and between the centres of two parts
TURNS = 8
STEPS, BATCH = 1800, 128
COLUMNS, ZOOM = 12, 6


@dataclass(frozen=True)
class Photo:
    """A prepared photograph, shape (3, height, width), and the centres of its parts, shape (n, 2), y before x."""

    pixels: Tensor
    centres: Tensor


def balance_colours(pixels: Tensor) -> Tensor:
    """Return the photograph with its colours partly decorrelated; nearly all of its variance is in its brightness."""
    colours = pixels.flatten(1)
    variance, axes = torch.linalg.eigh(torch.cov(colours))
    partly = axes @ torch.diag(variance**-0.1) @ axes.T
    return (partly @ (colours - colours.mean(1, keepdim=True))).view_as(pixels)


def balance_detail(pixels: Tensor) -> Tensor:
    """Return the photograph with fine detail raised towards the level of coarse, and the finest, mostly noise, cut.

    The filter is that of Olshausen and Field (1996), but weaker: they raise by the frequency, not by a power of it.
    """
    height, width = pixels.shape[1:]
    padded = F.pad(pixels[None], (width // 2, width // 2, height // 2, height // 2), mode="reflect")[0]
    down, across = torch.fft.fftfreq(padded.shape[1]), torch.fft.rfftfreq(padded.shape[2])
    frequency = torch.hypot(down[:, None], across[None])
    gain = frequency**0.7 * torch.exp(-((frequency / 0.35) ** 4))
    filtered = torch.fft.irfft2(torch.fft.rfft2(padded) * gain, s=padded.shape[1:])
    return filtered[:, height // 2 :, width // 2 :][:, :height, :width]


def photographs() -> list[Photo]:
    """Return the photographs, each at its full and at half its size."""
    photos = []
    for name in PHOTOS:
        for shrink in (1, 2):
            image = Image.fromarray(getattr(data, name)()).reduce(shrink)
            pixels = balance_detail(balance_colours(torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255))
            down, across = (torch.arange(CROP / 2, side - CROP / 2, TILE) for side in pixels.shape[1:])
            photos.append(Photo(pixels / pixels.std(), torch.cartesian_prod(down, across)))
    return photos


def cut(photo: Photo, centres: Tensor, angles: Tensor, scales: Tensor) -> Tensor:
    """Return crops around `centres` (n, 2), turned and scaled, of shape (n, 3, CROP, CROP); borders are mirrored."""
    offsets = torch.arange(CROP) - (CROP - 1) / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    cos, sin = ((scales * f(angles))[:, None, None] for f in (torch.cos, torch.sin))
    places = [centres[:, 1, None, None] + cos * x - sin * y, centres[:, 0, None, None] + sin * x + cos * y]
    height, width = photo.pixels.shape[1:]
    grid = torch.stack([(2 * places[0] + 1) / width - 1, (2 * places[1] + 1) / height - 1], -1)
    crops = F.grid_sample(photo.pixels[None], grid.flatten(0, 1)[None], padding_mode="reflection", align_corners=False)
    return crops[0].view(3, -1, CROP, CROP).transpose(0, 1)


def draw_batch(photos: list[Photo]) -> tuple[Tensor, Tensor, Tensor]:
    """Return crops (BATCH, 3, CROP, CROP), the part each shows, and by how many eighths of a circle it is turned."""
    n = BATCH // len(photos)
    crops, parts, first = [], [], 0
    turns = torch.randint(TURNS, (len(photos), n))
    for photo, turn in zip(photos, turns, strict=True):
        part = torch.randint(len(photo.centres), (n,))
        parts.append(first + part)
        first += len(photo.centres)
        centres = photo.centres[part] + TILE * (torch.rand(n, 2) - 0.5)
        angles = (turn + 0.6 * (torch.rand(n) - 0.5)) * 2 * math.pi / TURNS
        scales = 0.45 * (1.1 / 0.45) ** torch.rand(n)
        crops.append(cut(photo, centres, angles, scales))
    X = torch.cat(crops)
    X = (X - X.mean((2, 3), keepdim=True)) * torch.exp(0.2 * torch.randn(len(X), 3, 1, 1))
    return X / (X.std((1, 2, 3), keepdim=True) + 0.2), torch.cat(parts), turns.flatten()


def network(parts: int) -> nn.Sequential:
    """Return a network whose outputs are a score for each part, then one for each turn."""
    net = nn.Sequential(
        nn.Conv2d(3, KERNELS, 11, stride=4, bias=False), nn.BatchNorm2d(KERNELS), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(KERNELS, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(128, 192, 3, padding=1, bias=False), nn.BatchNorm2d(192), nn.ReLU(), nn.Flatten(),
        nn.LazyLinear(parts + TURNS),
    )  # fmt: skip
    net(torch.zeros(1, 3, CROP, CROP))
    with torch.no_grad():
        net[0].weight *= 0.15  # so that what a kernel began as is soon forgotten
    return net


def learn(photos: list[Photo]) -> Tensor:
    """Return the kernels of the first layer, of shape (KERNELS, 3, 11, 11), after STEPS steps."""
    parts = sum(len(photo.centres) for photo in photos)
    net = network(parts)
    kernels, *others = net.parameters()
    groups = [{"params": [kernels], "weight_decay": 5e-3}, {"params": others, "weight_decay": 5e-4}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, STEPS, pct_start=0.05, cycle_momentum=False)
    for step in range(STEPS):
        X, part, turn = draw_batch(photos)
        scores = net(X)
        loss = F.cross_entropy(scores[:, :parts], part) + F.cross_entropy(scores[:, parts:], turn)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {STEPS}: loss {loss:.2f}", flush=True)
    return kernels.detach()


def sort_by_colour(kernels: Tensor) -> Tensor:
    """Return the kernels (n, 3, 11, 11) from the greyest to the most colourful."""
    colour = kernels - kernels.mean(1, keepdim=True)
    share = colour.flatten(1).norm(dim=1) / kernels.flatten(1).norm(dim=1)
    return kernels[share.argsort()]


def main() -> None:
    """Learn the kernels and write the picture beside this script."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums then run in one order, and the same machine gives the same file
    kernels = sort_by_colour(learn(photographs()))
    tiles = (127.5 + 127.5 * kernels / kernels.abs().amax((1, 2, 3), keepdim=True)).round().byte()
    picture = contact_sheet(tiles.permute(0, 2, 3, 1).numpy(), COLUMNS, ZOOM)
    picture.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
