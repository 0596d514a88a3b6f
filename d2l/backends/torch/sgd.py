"""An optimizer written by hand, in PyTorch."""

from collections.abc import Iterable

import torch

from ...hyperparameters import HyperParameters


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``.

    Args:
        params: The parameters.
        lr: Learning rate.
    """

    params: list[torch.Tensor]
    lr: float

    def __init__(self, params: Iterable[torch.Tensor], lr: float):
        params = list(params)  # those of `Module.parameters` can be gone through once
        self.save_hyperparameters()

    def step(self) -> None:
        """Update the parameters by their gradients, those that the loss reaches."""
        for param in self.params:
            if param.grad is not None:
                param.data -= self.lr * param.grad

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for param in self.params:
            param.grad = None
