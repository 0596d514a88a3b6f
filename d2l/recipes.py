"""What networks are trained with: the choices of ``python -m d2l.train``, and what follows from them.

Nothing here takes time to import, so that ``--help`` is there at once.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple


class Network(NamedTuple):
    """A network of the helper.

    Attributes:
        name: Its class in the helper.
        size: Pixels along a side of its images.
        lr: Learning rate of plain SGD: the chapter's, where the chapter trains it.
        classes: The argument that takes the number of classes.
    """

    name: str
    size: int
    lr: float
    classes: str = "num_classes"


class OptimizerSettings(NamedTuple):
    """What an optimizer is made of.

    Attributes:
        name: One of `OPTIMIZERS`.
        lr: The learning rate.
        momentum: Of SGD, the share of its velocity that stays from step to step.
        weight_decay: Of SGD, how much of a weight is added to its gradient; of AdamW, how much, times the learning
            rate, is taken off the weight beside the update.
    """

    name: str
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0


NETWORKS = {
    "alexnet": Network("AlexNet", 224, 0.01),
    "lenet": Network("LeNet", 28, 0.5),
    "softmax": Network("SoftmaxRegression", 28, 0.1, classes="num_outputs"),
}
ADAM_LR = 0.001
# What each optimizer has, with the values unless others are given. SGD's learning rate is the network's.
OPTIMIZERS: dict[str, dict[str, float]] = {
    "sgd": {"momentum": 0.0, "weight_decay": 0.0},
    "adam": {"lr": ADAM_LR},
    "adamw": {"lr": ADAM_LR, "weight_decay": 0.01},
}
RECIPES: dict[str, dict[str, Any]] = {
    "chapter": {"epochs": 10, "batch_size": 128, "optimizer": "sgd", "lr_schedule": "constant"},
    # Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012.
    "alexnet-2012": {
        "epochs": 90,
        "batch_size": 128,
        "optimizer": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "lr_schedule": "plateau",
    },
}
OF_OPTIMIZER = ("lr", "momentum", "weight_decay")
SETTINGS = ("epochs", "batch_size", "optimizer", *OF_OPTIMIZER, "lr_schedule")

PLATEAU_CURVE = "val_acc"
PLATEAU_PATIENCE = 5  # epochs; the article of 2012 does not say how long its authors waited
PLATEAU_DROPS = 3  # as in the article


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run takes.

    Args:
        given: Names of a recipe and of a network, and of `SETTINGS` those that are asked for; the others are ``None``.

    Returns:
        All settings: those asked for, then the recipe's, then the optimizer's own; ``None`` for what the optimizer has
        not. What the recipe has for its own optimizer is not for another one.
    """
    recipe = RECIPES[given["recipe"]]
    optimizer = given["optimizer"] or recipe["optimizer"]
    own = {"lr": NETWORKS[given["model"]].lr, **OPTIMIZERS[optimizer]}
    if optimizer != recipe["optimizer"]:
        recipe = {name: value for name, value in recipe.items() if name not in OF_OPTIMIZER}
    asked_for = {name: given[name] for name in SETTINGS if given[name] is not None}
    return {**dict.fromkeys(SETTINGS), **own, **recipe, **asked_for}


def distinctions(settings: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """What sets a run's updates apart from those of plain SGD at a constant rate; ``None`` where they are as these.

    Args:
        settings: As `complete` gives them.
        epochs: How many the run has.
    """
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr_schedule": "constant"}
    found = {name: None if settings[name] == value else settings[name] for name, value in plain.items()}
    if settings["lr_schedule"] == "cosine":  # whose rates in the first epochs depend on how many there are
        found["lr_schedule"] = f"cosine over {epochs} epochs"
    return found


def milestones(schedule: str) -> list[int]:
    """The epochs of a schedule such as ``30,60,80``.

    Raises:
        ValueError: It is none such.
    """
    epochs = [int(part) if part.isdecimal() else 0 for part in schedule.split(",")]
    if epochs[0] < 1 or any(a >= b for a, b in pairwise(epochs)):
        raise ValueError(schedule)
    return epochs


def least_epochs(schedule: str) -> int:
    """How many epochs a run has to have for all of a schedule's rates to occur, or one that is not the first."""
    fixed = {"constant": 1, "cosine": 2, "plateau": PLATEAU_PATIENCE + 2}
    return fixed[schedule] if schedule in fixed else milestones(schedule)[-1] + 1


def rate(schedule: str, lr: float, epoch: int, epochs: int, scores: Sequence[float]) -> float:
    """The learning rate of an epoch, by nothing but what is given, so that a resumed run has that of an unbroken one.

    Args:
        schedule: ``constant``; ``cosine``, half a wave from ``lr`` down towards 0; ``plateau``, a tenth each time that
            scores have got no better for some epochs; or epochs such as ``30,60,80``, after each of which it is a
            tenth.
        lr: The first rate.
        epoch: Its number from 0.
        epochs: How many there are.
        scores: One for each epoch before it, such as an accuracy: larger is better.
    """
    if schedule == "constant":
        return lr
    if schedule == "cosine":
        return lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
    drops = _plateaus(scores) if schedule == "plateau" else sum(epoch >= end for end in milestones(schedule))
    return lr / 10**drops


def _plateaus(scores: Sequence[float]) -> int:
    """How often scores have got no better for so many epochs as are waited for, at most as often as counts."""
    best, waited, found = -math.inf, 0, 0
    for score in scores:
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited == PLATEAU_PATIENCE:
            waited, found = 0, found + 1
    return min(found, PLATEAU_DROPS)
