"""Which classes a classifier takes for which, and the examples that it gets wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .plotting import plt, show_images, to_numpy, use_svg_display

MOST_NUMBERS = 20  # classes; of more, the numbers in the matrix would be too small to read


def plot_confusion_matrix(
    Y_hat: Any, Y: Any, names: Sequence[str] | None = None, figsize: tuple[float, float] = (5, 5)
) -> np.ndarray:
    """Draw how many examples of each class are taken for which, in percent of the class.

    The figure is pyplot's current one: ``d2l.plt.savefig("confusion.png")`` after it, in the same cell, saves it.

    Args:
        Y_hat: Logits (n, classes), such as `Trainer.predict` gives, or class numbers (n,).
        Y: Class numbers (n,).
        names: A name for each class; by default its number.
        figsize: Width and height in inches.

    Returns:
        Counts (classes, classes): a row for each class, a column for each class that its examples are taken for.

    Raises:
        ValueError: The numbers of examples differ, or there are other classes than names.
    """
    logits = to_numpy(Y_hat)
    found, true = _class_numbers(logits, Y)
    classes = logits.shape[-1] if logits.ndim > 1 else int(max(found.max(), true.max())) + 1
    names = _names(names, classes)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (true, found), 1)
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    use_svg_display()
    axes = plt.subplots(figsize=figsize, layout="constrained")[1]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.set(xlabel="taken for", ylabel="class")
    if len(names) <= MOST_NUMBERS:
        _write_numbers(axes, shares)
    return counts


def show_mistakes(
    X: Any,
    Y_hat: Any,
    Y: Any,
    names: Sequence[str] | None = None,
    num_rows: int = 2,
    num_cols: int = 6,
    scale: float = 1.5,
) -> np.ndarray:
    """Show images whose class the model gets wrong, each with its class and what it is taken for.

    Those come first that the model is surest of, if it gives logits; else the order is that of the images.
    The figure is pyplot's current one: ``d2l.plt.savefig("mistakes.png")`` after it, in the same cell, saves it.

    Args:
        X: Images (n, height, width), (n, channels, height, width) or (n, height, width, channels).
        Y_hat: Logits (n, classes), such as `Trainer.predict` gives, or class numbers (n,).
        Y: Class numbers (n,).
        names: A name for each class; by default its number.
        num_rows, num_cols: Size of the grid.
        scale: Width and height of one image in inches.

    Returns:
        The indices (k,) of all mistakes, in the order in which they are shown.

    Raises:
        ValueError: The numbers of examples differ, or there are other classes than names.
    """
    images, logits = to_numpy(X), to_numpy(Y_hat)
    found, true = _class_numbers(logits, Y)
    if len(images) != len(true):
        raise ValueError(f"{len(images)} images and {len(true)} classes: give as many of both")
    names = _names(names, int(max(found.max(), true.max())) + 1)
    wrong = np.flatnonzero(found != true)
    if logits.ndim > 1:
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        wrong = wrong[np.argsort(-(shifted.max(1) / shifted.sum(1))[wrong], kind="stable")]
    if not len(wrong):
        print(f"No mistakes in {len(true):,} examples.")
        return wrong
    shown = wrong[: num_rows * num_cols]
    rows = min(num_rows, -(-len(shown) // num_cols))
    titles = [f"{names[true[i]]}:\n{names[found[i]]}?" for i in shown]
    show_images([_channels_last(images[i]) for i in shown], rows, min(num_cols, len(shown)), titles, scale)
    plt.tight_layout()
    return wrong


def _class_numbers(logits: np.ndarray, Y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The class numbers that are found, in logits or as they are, and the true ones."""
    found, true = logits.argmax(-1) if logits.ndim > 1 else logits, to_numpy(Y)
    if mistake := _mistake(found, true):
        raise ValueError(mistake)
    return found.astype(int), true.astype(int)


def _mistake(found: np.ndarray, true: np.ndarray) -> str:
    """What is wrong with class numbers that are compared, in words; empty if nothing."""
    if found.ndim != 1 or true.ndim != 1 or len(found) != len(true) or not len(true):
        return (
            f"predictions of shape {found.shape} and classes of shape {true.shape}: give logits (n, classes) or class "
            "numbers (n,), and class numbers (n,)"
        )
    lowest = min(found.min(), true.min())
    if lowest < 0 or (found % 1).any() or (true % 1).any():
        return f"class numbers from {lowest:g}: these are to be whole numbers, 0 or more"
    return ""


def _names(names: Sequence[str] | None, classes: int) -> Sequence[str]:
    if names is None:
        return [str(i) for i in range(classes)]
    if len(names) < classes:
        raise ValueError(f"{len(names)} names, and class numbers up to {classes - 1}: give a name for each class")
    return names


def _channels_last(image: np.ndarray) -> np.ndarray:
    """An image whose axis of channels, if it has one of 1 or 3, is the last."""
    is_first = image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[-1] not in (1, 3)
    return np.moveaxis(image, 0, -1) if is_first else image


def _write_numbers(axes: Axes, shares: np.ndarray) -> None:
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.5:  # what would be written as 0 is left out
            axes.text(j, i, f"{share:.0f}", ha="center", va="center", color="white" if share > 50 else "black")
