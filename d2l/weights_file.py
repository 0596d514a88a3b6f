"""A model's weights in a file of the safetensors format, which any program can read: arrays by name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from . import input_checks
from .checkpoint_file import CheckpointError, check_fits, find_nan, model_arrays, quoted, read_arrays, write_whole
from .plotting import to_numpy

if TYPE_CHECKING:
    from .backend import Backend
    from .modules import Module

ENDING = ".safetensors"


def save_weights(model: "Module", path: str | os.PathLike[str]) -> None:
    """Write a model's weights: see `d2l.modules.Module.save_weights`."""
    file, backend = weights_path("save_weights", path), _backend(model)
    if not (backend.draws_parameters or backend.is_initialized(model)):
        raise RuntimeError(
            f"{type(model).__name__} has no weights yet: its layers take their shapes from the first batch"
        )
    arrays = {name: np.asarray(to_numpy(x), order="C") for name, x in backend.model_state(model).items()}
    if lost := find_nan(arrays):
        raise CheckpointError(f"{file} is not written: {lost}")
    try:
        write_whole(file, save(arrays, {"framework": backend.name, "model": type(model).__name__}))
    except OSError as error:
        raise CheckpointError(f"{file} could not be saved: {error}") from error


def load_weights(model: "Module", path: str | os.PathLike[str]) -> None:
    """Give a model the weights of a file: see `d2l.modules.Module.load_weights`."""
    file, backend = weights_path("load_weights", path), _backend(model)
    weights = read_weights(file, backend.name)
    if missing := model._take_shapes(weights):
        raise CheckpointError(
            f"{file} does not fit this model: {quoted(', '.join(missing))} are missing in the file, which has "
            f"{quoted(', '.join(weights))}"
        )
    check_fits(file, weights, backend.model_state(model), "model")
    backend.load_model_state(model, weights)


def read_weights(file: Path, framework: str) -> dict[str, np.ndarray]:
    """The weights in a file, by their names in the model; of a checkpoint, too.

    Args:
        file: The file.
        framework: The package whose models have such names, such as ``"torch"``.

    Raises:
        CheckpointError: The file cannot be read, or is of a model in another framework.
    """
    arrays, metadata = read_arrays(file)
    if lost := find_nan(arrays):
        raise CheckpointError(f"{file}: {lost}")
    of = metadata.get("framework", framework)
    if of != framework:
        raise CheckpointError(
            f"{file} has the weights of a model in {of}, and this one is in {framework}: its layers have other names "
            "and orders of axes"
        )
    return model_arrays(arrays) if "d2l_checkpoint" in metadata else arrays


def weights_path(call: str, path: Any) -> Path:
    """A path with the right ending.

    Raises:
        TypeError, ValueError: It is none.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{call} got {input_checks.describe(path)} for the path: give a file, such as 'lenet{ENDING}'")
    file = Path(os.path.expanduser(path))
    if file.suffix != ENDING:
        raise ValueError(f"{call} got {str(path)!r}: give a file whose name ends with {ENDING}")
    return file


def _backend(model: "Module") -> "Backend":
    """What knows the model's arrays: that of its trainer, or one of its own."""
    trainer: Any = getattr(model, "trainer", None)
    return model.backend_type(0) if trainer is None else trainer.backend
