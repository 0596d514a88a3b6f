"""An optimizer written by hand, in TensorFlow."""

from collections.abc import Iterable

import tensorflow as tf

from ...hyperparameters import HyperParameters


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``.

    Args:
        lr: Learning rate.
    """

    lr: float

    def __init__(self, lr: float):
        self.save_hyperparameters()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]]) -> None:
        """Update the variables by their gradients."""
        for grad, param in grads_and_vars:
            param.assign_sub(self.lr * grad)
