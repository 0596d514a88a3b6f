"""An optimizer written by hand, in JAX."""

from typing import Any

import jax
import optax

from ...hyperparameters import HyperParameters
from .train_state import Params


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``. It has the methods that Optax asks for.

    Args:
        lr: Learning rate.
    """

    lr: float

    def __init__(self, lr: float):
        self.save_hyperparameters()

    def init(self, params: Params) -> optax.EmptyState:
        """The optimizer's state before the first step."""
        return optax.EmptyState()

    def update(self, updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        """What to add to the parameters, from their gradients ``updates``; and the next state."""
        return jax.tree.map(lambda grad: -self.lr * grad, updates), state
