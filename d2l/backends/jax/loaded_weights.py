"""Weights of a file in JAX, where a model tells the shapes of its own only once it has inputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import jax
import numpy as np
from flax.errors import FlaxError

from ...checkpoint_file import CheckpointError, check_fits
from .modules import Module
from .train_state import WEIGHTS, TrainState, name_of

if TYPE_CHECKING:
    from .backend import Backend

Arrays = Mapping[str, np.ndarray]


class LoadedWeights:
    """The weights of a file that a trainer's state has, or that a run has replaced.

    Args:
        arrays: The weights, as the model has them that was given them.
        file: Where they are from, until they have turned out to be the model's.
    """

    def __init__(self, arrays: Arrays = MappingProxyType({}), file: Path | None = None):
        self.arrays, self.file = arrays, file

    def check(self, model: Module, state: TrainState | None) -> None:
        """See that a trainer has parameters in its state, and that they are a model's as far as it can be told.

        Raises:
            RuntimeError: There are none yet, or they are those of another model than the one that was given a file's.
        """
        name = type(model).__name__
        if state is None:
            raise RuntimeError(
                f"{name} has no weights yet, which are in its trainer's state: fit it with this trainer, or load "
                "weights, first"
            )
        if model.loaded_weights and model.loaded_weights is not self.arrays:
            raise RuntimeError(
                f"{name} was given the weights of a file, and this trainer's state has those of another model: predict "
                "and evaluate with a new trainer, d2l.Trainer(max_epochs=0)"
            )

    @contextmanager
    def used(self, backend: "Backend", model: Module, inputs: Sequence[jax.Array]) -> Iterator[None]:
        """See that they are a model's, for a pass of inputs, which tell the shapes of these.

        Raises:
            CheckpointError: They are not; the message lists the differences.
        """
        try:
            if self.file and _fit(self.file, model, inputs):
                self.file = None
            yield
        except CheckpointError:
            backend.state = None  # so that the model may be given another file
            raise
        except FlaxError as error:
            if self.file:
                error.add_note(f"The weights in {self.file} are for inputs of another shape, or of another model.")
            raise


def _fit(path: Path, model: Module, inputs: Sequence[jax.Array]) -> bool:
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
