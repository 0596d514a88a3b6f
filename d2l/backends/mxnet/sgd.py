"""An optimizer written by hand, in MXNet."""

from collections.abc import Sequence
from typing import Any

from mxnet import np

from ...hyperparameters import HyperParameters


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``.

    Args:
        params: The parameters, arrays with gradients attached.
        lr: Learning rate.
    """

    params: Sequence[np.ndarray]
    lr: float

    def __init__(self, params: Sequence[np.ndarray], lr: float):
        self.save_hyperparameters()

    def step(self, _: Any) -> None:
        """Update the parameters that have gradients. The argument is the batch size that Gluon's optimizers ask for."""
        for param in self.params:
            if param.grad is not None:
                param -= self.lr * param.grad
