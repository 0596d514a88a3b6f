"""Draw `filters.png`: the 96 kernels of an 11x11 convolution, learned from one photograph without any labels.

The photograph is matplotlib's sample image `grace_hopper.jpg`, the US Navy's portrait of Commodore Grace Hopper
(public domain), at half its size and with its colours partly decorrelated. Patches of 11x11 pixels are reduced to
their principal components and whitened. Over these patches x the kernels W minimise the objective of reconstruction
ICA,

    |W'Wx - x|^2 + sum of log cosh(Wx),

which asks for responses Wx that are mostly close to zero and from which the patch can still be rebuilt. The picture
shows W mapped back to pixels, that is the kernels as they act on a whitened image. Zero is mid-grey, and each kernel
is scaled to its own largest weight.

    Q. V. Le, A. Karpenko, J. Ngiam and A. Y. Ng. ICA with reconstruction cost for efficient overcomplete feature
    learning. Advances in Neural Information Processing Systems 24, 2011.

Run `python img/filters.py`; it takes about half a minute on one CPU core. The seed is fixed, so one machine draws the
same file again and again; other machines or PyTorch releases may find other kernels of the same kinds.
"""

from pathlib import Path

import numpy as np
import torch
from contact import contact_sheet
from matplotlib import cbook
from PIL import Image
from torch import Tensor

KERNELS, SIDE = 96, 11
PATCHES = 16_000
COMPONENTS = 110  # of the 363 dimensions of a patch; what is dropped is mostly noise of the JPEG
COLUMNS, ZOOM = 12, 6  # kernels in a row, and pixels of the picture per weight


def photograph() -> Tensor:
    """Return the photograph as a tensor of shape (3, height, width) with values in [0, 1]."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        # Half the size: the JPEG stores colour at half the resolution, and 11 pixels then span a whole contour.
        image = Image.open(file).convert("RGB").reduce(2)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def balance_colours(photo: Tensor) -> Tensor:
    """Return the photograph with its colours decorrelated halfway, of the same shape.

    Nearly all variance of a photograph is in its brightness. Were it left so, whitening would keep hardly a component
    of colour.
    """
    pixels = photo.flatten(1)
    variance, axes = torch.linalg.eigh(torch.cov(pixels))
    halfway = axes @ torch.diag(variance**-0.25) @ axes.T
    return (halfway @ (pixels - pixels.mean(1, keepdim=True))).view_as(photo)


def draw_patches(photo: Tensor, count: int) -> Tensor:
    """Return the `count` liveliest of twice as many random patches, shape (count, 3 * SIDE * SIDE)."""
    patches = []
    for turns in range(4):
        # Turned and mirrored, so that no orientation is favoured by what happened to be before the camera.
        for view in (photo.rot90(turns, (1, 2)), photo.rot90(turns, (1, 2)).flip(2)):
            windows = view.unfold(1, SIDE, 1).unfold(2, SIDE, 1)
            top = torch.randint(windows.shape[1], (count // 4,))
            left = torch.randint(windows.shape[2], (count // 4,))
            patches.append(windows[:, top, left].transpose(0, 1))
    patches = torch.cat(patches)
    # Much of this photograph is backdrop and dark cloth, in which there is nothing to learn.
    detail = patches.var((2, 3)).sum(1)
    return patches[detail.topk(count).indices].flatten(1)


def whiten(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return whitened coordinates (n, COMPONENTS) and the principal axes (COMPONENTS, 3 * SIDE * SIDE)."""
    centred = patches - patches.mean(0)
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(centred))  # in ascending order
    variance, axes = variance[-COMPONENTS:], axes[:, -COMPONENTS:]
    return centred @ axes / variance.sqrt(), axes.T


def learn(x: Tensor, steps: int = 250) -> Tensor:
    """Return kernels of shape (KERNELS, COMPONENTS) that minimise the RICA objective on the whitened patches `x`."""
    weight = torch.nn.functional.normalize(torch.randn(KERNELS, x.shape[1])).requires_grad_()
    optimizer = torch.optim.LBFGS([weight], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        response = x @ weight.T
        error = (response @ weight - x).square().sum(1).mean()
        loss = error + response.cosh().log().sum(1).mean()
        loss.backward()
        return loss

    optimizer.step(objective)
    return weight.detach()


def sort_by_colour(kernels: Tensor) -> Tensor:
    """Return the kernels (n, 3, SIDE, SIDE) from the greyest to the most colourful."""
    colour = kernels - kernels.mean(1, keepdim=True)
    share = colour.flatten(1).norm(dim=1) / kernels.flatten(1).norm(dim=1)
    return kernels[share.argsort()]


def main() -> None:
    """Learn the kernels and write the picture beside this script."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums then run in one order, and the same machine gives the same file
    x, axes = whiten(draw_patches(balance_colours(photograph()), PATCHES))
    kernels = sort_by_colour((learn(x) @ axes).view(KERNELS, 3, SIDE, SIDE))
    tiles = (127.5 + 127.5 * kernels / kernels.abs().amax((1, 2, 3), keepdim=True)).round().byte()
    picture = contact_sheet(tiles.permute(0, 2, 3, 1).numpy(), COLUMNS, ZOOM)
    picture.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
