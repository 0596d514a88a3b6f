"""Weights of a file in JAX, where a model tells the shapes of its own only once it has inputs."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np

from ...checkpoint_file import check_fits
from .modules import Module
from .train_state import WEIGHTS, name_of

Arrays = Mapping[str, np.ndarray]


def file_fits(path: Path, model: Module, inputs: Sequence[jax.Array]) -> bool:
    """Whether the weights that a model was given are its own by name and shape, as far as inputs tell.

    ``False`` says that the inputs may be wrong as well: the model does not take them, or weights differ in the layers'
    numbers of inputs alone.

    Args:
        path: The file that they are from.

    Raises:
        CheckpointError: They are another model's; the message lists the differences.
    """
    weights, own = model.loaded_weights, _like_own(model, inputs)
    if own is None or (_but_inputs(weights) == _but_inputs(own) and _shapes(weights) != _shapes(own)):
        return False
    check_fits(path, weights, own, "model")
    return True


def _like_own(model: Module, inputs: Sequence[jax.Array]) -> Arrays | None:
    """Arrays like the model's, by name; ``None`` if it does not take the inputs."""
    key = jax.random.PRNGKey(0)
    with suppress(Exception):  # which the pass itself raises again
        variables = jax.eval_shape(lambda X: model.apply_init(X, key={"params": key, "dropout": key}), inputs)
        own = {name: variables.get(name, {}) for name in WEIGHTS}
        leaves = jax.tree_util.tree_leaves_with_path(own)
        return {name_of(path): np.broadcast_to(np.zeros((), x.dtype), x.shape) for path, x in leaves}
    return None


def _shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in arrays.items()}


def _but_inputs(arrays: Arrays) -> dict[str, tuple]:
    """Shapes and dtypes without the last axis but one, which in a kernel is that of the layer's inputs."""
    return {name: (x.ndim, x.shape[:-2], x.shape[-1:], x.dtype) for name, x in arrays.items()}
