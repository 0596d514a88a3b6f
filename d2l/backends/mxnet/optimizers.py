"""The optimizers of ``python -m d2l.train`` in MXNet."""

from typing import Any

import mxnet as mx
from mxnet import gluon

from ...recipes import OptimizerSettings
from .modules import Module


class AdamW(mx.optimizer.Adam):
    """Adam with a decay that is taken off the weights beside the update, which MXNet lacks."""

    def __init__(self, learning_rate: float, decay: float):
        super().__init__(learning_rate)
        self.decay = decay

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        """Update a weight by its gradient."""
        weight *= 1 - self._get_lr(index) * self.decay
        super().update(index, weight, grad, state)


def make_optimizer(model: Module, settings: OptimizerSettings) -> gluon.Trainer:
    """The optimizer that these settings describe."""
    lr, weight_decay = settings.lr, settings.weight_decay
    if settings.name == "sgd":
        optimizer = mx.optimizer.SGD(learning_rate=lr, momentum=settings.momentum, wd=weight_decay)
    else:
        optimizer = mx.optimizer.Adam(lr) if settings.name == "adam" else AdamW(lr, weight_decay)
    return gluon.Trainer(model.parameters(), optimizer)


def set_learning_rate(trainer: Any, rate: float) -> None:
    """Give the trainer's optimizer, which is one of these, another learning rate."""
    trainer.optim.set_learning_rate(rate)
