"""The optimizers of ``python -m d2l.train`` in TensorFlow."""

from typing import Any

import tensorflow as tf

from ...recipes import OptimizerSettings
from .modules import Module

EPSILON = 1e-8  # of Adam, as in the other frameworks


class DecaySGD(tf.keras.optimizers.SGD):
    """SGD whose decay is added to the gradient, and so to the velocity.

    Keras's own ``weight_decay`` is taken off the weight beside it, where momentum does not multiply it.
    """

    def __init__(self, lr: float, momentum: float, decay: float):
        super().__init__(lr, momentum)
        self.decay = decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update a variable by its gradient, which is that of all replicas here."""
        super().update_step(gradient + self.decay * variable, variable, learning_rate)


def make_optimizer(model: Module, settings: OptimizerSettings) -> tf.keras.optimizers.Optimizer:
    """The optimizer that these settings describe."""
    lr, momentum, weight_decay = settings.lr, settings.momentum, settings.weight_decay
    if settings.name == "sgd":
        return DecaySGD(lr, momentum, weight_decay) if weight_decay else tf.keras.optimizers.SGD(lr, momentum)
    if settings.name == "adam":
        return tf.keras.optimizers.Adam(lr, epsilon=EPSILON)
    return tf.keras.optimizers.AdamW(lr, weight_decay, epsilon=EPSILON)


def set_learning_rate(trainer: Any, rate: float) -> None:
    """Give the trainer's optimizer, which is one of these, another learning rate."""
    trainer.optim.learning_rate = rate
