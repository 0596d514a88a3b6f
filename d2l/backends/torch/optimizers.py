"""The optimizers of ``python -m d2l.train`` in PyTorch."""

from typing import Any

import torch

from ...recipes import OptimizerSettings
from .modules import Module


def make_optimizer(model: Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer that these settings describe."""
    parameters, lr, weight_decay = model.parameters(), settings.lr, settings.weight_decay
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=settings.momentum, weight_decay=weight_decay)
    if settings.name == "adam":
        return torch.optim.Adam(parameters, lr)
    return torch.optim.AdamW(parameters, lr, weight_decay=weight_decay)


def set_learning_rate(trainer: Any, rate: float) -> None:
    """Give the trainer's optimizer, which is one of these, another learning rate."""
    for group in trainer.optim.param_groups:
        group["lr"] = rate
