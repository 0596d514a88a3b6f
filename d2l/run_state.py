"""All that a checkpoint holds of a run, and what that has to be for a run to go on from it."""

import math
import random
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint_file import Checkpoint, CheckpointError, quoted

Fits = Callable[[Any], bool]
MT19937_NUMBERS = 624  # of NumPy's random state, and the last place in them
MOST = 2**63  # beyond which no number of a run is
DEEPEST = 100  # dicts and lists within each other; those of an optimizer are a few


@dataclass(frozen=True)
class RunState:
    """A run between two training batches: all that it goes on from, but the arrays, as JSON can hold it.

    The arrays of model and optimizer are in the checkpoint beside it, and named in ``optimizer`` and ``schedulers``.

    Attributes:
        run: What a run that goes on from here has to have in common with this one, by name.
        epoch, batch: Epochs that are done, and training batches of the next one.
        optimizer: What `pack` makes of the optimizer's state.
        schedulers: The same of each learning-rate scheduler; ``None`` in a checkpoint of an earlier version.
        epoch_random: The random states that the epoch began with, by rank.
        random: The random states of now, by rank.
        board: The curves: see `d2l.board.ProgressBoard.state`.
        progress: ``train_examples`` and ``train_seconds`` so far.
        model, hyperparameters, versions: The model's class, arguments, and versions of packages, to be read by people.
    """

    run: Mapping[str, Any]
    epoch: int
    batch: int
    optimizer: Any
    schedulers: Mapping[str, Mapping[str, Any]] | None
    epoch_random: Sequence[Any]
    random: Sequence[Any]
    board: Mapping[str, Any]
    progress: Mapping[str, Any]
    model: str = ""
    hyperparameters: Mapping[str, str] | None = None
    versions: Mapping[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "RunState":
        """The state in a checkpoint.

        Raises:
            CheckpointError: A part is missing or is something else.
        """
        check_run_state(checkpoint)
        known = {field.name for field in fields(cls)}
        parts: dict[str, Any] = {"schedulers": None}
        parts |= {name: part for name, part in checkpoint.state.items() if name in known}
        return cls(**parts)


def check_run_state(checkpoint: Checkpoint) -> None:
    """See that a checkpoint has all that a run goes on from, before anything is changed.

    Raises:
        CheckpointError: A part is missing or is something else.
    """
    state = {"schedulers": {}, **checkpoint.state}  # an earlier version saved none
    is_packed = partial(_is_packed, arrays=checkpoint.arrays)
    for name, fits in {**PARTS, "optimizer": is_packed, "schedulers": _dict_of(_dict_of(is_packed))}.items():
        if name not in state:
            raise CheckpointError(f"{checkpoint.path}: its {name} is missing, without which no run goes on")
        if not fits(state[name]):
            is_now = quoted(reprlib.repr(state[name]))
            raise CheckpointError(f"{checkpoint.path}: its {name} is {is_now}, from which no run goes on")
    begun = state["epoch_random"]
    if len(begun) != len(state["random"]) or (state["batch"] and None in begun):
        raise CheckpointError(f"{checkpoint.path}: its epoch_random lacks what the epoch began with")


def pending_loss(board: Mapping[str, Any]) -> float:
    """The sum of a board's training losses that wait for their mean, with their weights; 0 if none does."""
    return board["pending"].get("train_loss", {"y": 0.0})["y"]


def check_alike(path: Path, saved: Any, own: Any, name: str) -> None:
    """See that a saved state can take the place of one's own, as far as both say the same of something.

    Args:
        path: The file.
        saved, own: Dicts, lists, tuples, arrays and plain values.
        name: What they are of, such as ``"optimizer"``.

    Raises:
        CheckpointError: In the place of one's own number, flag, text or dict is something else; or in that of a number
            that is finite, one that is not.
    """
    if isinstance(own, Mapping) and isinstance(saved, Mapping):
        for key in filter(saved.__contains__, own):
            check_alike(path, saved[key], own[key], f"{name}/{key}")
    elif isinstance(own, (list, tuple)) and isinstance(saved, (list, tuple)):
        for i, (there, here) in enumerate(zip(saved, own, strict=False)):
            check_alike(path, there, here, f"{name}/{i}")
    elif not _is_alike(saved, own):
        there, here = (quoted(reprlib.repr(value)) for value in (saved, own))
        raise CheckpointError(f"{path} does not fit this run: its {name} is {there}, and {here} here")


def _is_alike(saved: Any, own: Any) -> bool:
    """Whether a value can take the place of one's own."""
    if isinstance(own, bool):
        return saved is None or isinstance(saved, bool)
    if isinstance(own, (int, float)):
        return hasattr(saved, "shape") or (_is_number(saved) and (math.isfinite(saved) or not math.isfinite(own)))
    if isinstance(own, str):
        return isinstance(saved, str)
    return not isinstance(own, (Mapping, list, tuple))


@contextmanager
def fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Name the file in an error of what its state does not fit, such as an optimizer of another kind.

    Raises:
        CheckpointError: In the place of other exceptions.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        said = quoted(f"{type(error).__name__}: {error}")
        raise CheckpointError(f"{checkpoint.path} does not fit this run: {said}") from error


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < MOST)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _is_duration(value: Any) -> bool:
    return _is_finite(value) and value >= 0


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _list_of(fits: Fits, least: int = 0) -> Fits:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _dict_of(fits: Fits) -> Fits:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _dict_with(**parts: Fits) -> Fits:
    """What fits are dicts with these parts, and maybe others."""
    return lambda value: (
        isinstance(value, dict) and all(name in value and fits(value[name]) for name, fits in parts.items())
    )


def _is_python_state(value: Any) -> bool:
    try:
        version, numbers, gauss = value
        random.Random().setstate((version, tuple(numbers), gauss))
        return gauss is None or _is_number(gauss)
    except (TypeError, ValueError, OverflowError):
        return False


def _is_numpy_state(value: Any) -> bool:
    """Whether NumPy takes it, and will not look for numbers behind the last."""
    try:
        np.random.RandomState().set_state(tuple(value))
        return 0 <= value[2] <= MT19937_NUMBERS
    except (TypeError, ValueError, OverflowError, LookupError):
        return False


def _is_packed(tree: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a tree is one that `d2l.checkpoint_file.pack` makes of these arrays, nested no deeper than such are."""
    waiting = [(tree, 0)]
    while waiting:
        tree, depth = waiting.pop()
        if tree is None or isinstance(tree, (bool, int, float, str)):
            continue
        if not isinstance(tree, dict) or len(tree) != 1 or depth > DEEPEST:
            return False
        ((kind, content),) = tree.items()
        if kind == "array":
            if not (isinstance(content, str) and content in arrays):
                return False
        elif kind == "dict" and _list_of(_is_pair)(content):
            waiting += [(value, depth + 1) for _, value in content]
        elif kind in ("list", "tuple") and isinstance(content, list):
            waiting += [(value, depth + 1) for value in content]
        else:
            return False
    return True


def _is_pair(value: Any) -> bool:
    """Whether it is a key, as a dict can have one, and something else."""
    return isinstance(value, list) and len(value) == 2 and not isinstance(value[0], (list, dict))


def _is_board(value: Any) -> bool:
    """Whether it is the state of a board, of a run whose training loss is a number."""
    return _board(value) and math.isfinite(pending_loss(value))


_average = _dict_with(points=_list_of(_is_point, least=1), weight=_is_duration, x=_is_finite, y=_is_number)
_random_states = _dict_with(python=_is_python_state, numpy=_is_numpy_state, framework=lambda value: True)
_board = _dict_with(curves=_dict_of(_list_of(_is_point)), lost=_dict_of(_is_number), pending=_dict_of(_average))
PARTS: dict[str, Fits] = {
    "run": lambda value: isinstance(value, dict),
    "epoch": _is_whole,
    "batch": _is_whole,
    "random": _list_of(_random_states, least=1),
    "epoch_random": _list_of(lambda value: value is None or _random_states(value), least=1),
    "board": _is_board,
    "progress": _dict_with(train_examples=_is_whole, train_seconds=_is_duration),
}
