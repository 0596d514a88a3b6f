"""What the state in a checkpoint has to be for a run to go on from it."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .checkpoint import Checkpoint, CheckpointError, printable

Fits = Callable[[Any], bool]
MT19937_NUMBERS = 624  # of NumPy's random state, and the last place in them


def check_run_state(checkpoint: Checkpoint) -> None:
    """See that a checkpoint has all that a run goes on from, before anything is changed.

    Raises:
        CheckpointError: A part is missing or is something else.
    """
    state = checkpoint.state
    try:
        wrong = [name for name, fits in PARTS.items() if name not in state or not fits(state[name])]
        if not all(_is_packed(part, checkpoint.arrays) for part in _packed_parts(state)):
            wrong.append("optimizer")
    except RecursionError:
        wrong = ["optimizer"]
    if wrong:
        name = wrong[0]
        what = printable(f"is {state[name]!r:.200}") if name in state else "is missing"
        raise CheckpointError(f"{checkpoint.path}: its {name} {what}, from which no run goes on")


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
        said = printable(f"{type(error).__name__}: {error}")
        raise CheckpointError(f"{checkpoint.path} does not fit this run: {said}") from error


def _is_whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


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
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_numpy_state(value: Any) -> bool:
    """Whether NumPy takes it, and will not look for numbers behind the last."""
    try:
        np.random.RandomState().set_state(tuple(value))
        return 0 <= value[2] <= MT19937_NUMBERS
    except (TypeError, ValueError, OverflowError, LookupError):
        return False


def _is_packed(tree: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a tree is one that `d2l.checkpoint.pack` makes, of these arrays."""
    if not isinstance(tree, dict):
        return tree is None or isinstance(tree, (bool, int, float, str))
    if len(tree) != 1:
        return False
    ((kind, content),) = tree.items()
    if kind == "array":
        return isinstance(content, str) and content in arrays
    if kind not in ("dict", "list", "tuple") or not isinstance(content, list):
        return False
    if kind != "dict":
        return all(_is_packed(value, arrays) for value in content)
    pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in content)
    return pairs and all(not isinstance(key, (list, dict)) and _is_packed(value, arrays) for key, value in content)


def _packed_parts(state: Mapping[str, Any]) -> Iterator[Any]:
    yield state.get("optimizer")
    schedulers = state.get("schedulers") or {}  # an earlier version saved none
    for entries in schedulers.values():
        yield from entries.values()


_average = _dict_with(points=_list_of(_is_point, least=1), weight=_is_number, x=_is_number, y=_is_number)
_random_states = _dict_with(python=_is_python_state, numpy=_is_numpy_state, framework=lambda value: True)
_board = _dict_with(curves=_dict_of(_list_of(_is_point)), lost=_dict_of(_is_number), pending=_dict_of(_average))
PARTS: dict[str, Fits] = {
    "run": lambda value: isinstance(value, dict),
    "epoch": _is_whole,
    "batch": _is_whole,
    "optimizer": lambda value: True,  # see `_is_packed`
    "random": _list_of(_random_states, least=1),
    "epoch_random": _list_of(lambda value: value is None or _random_states(value), least=1),
    "board": _board,
    "progress": _dict_with(train_examples=_is_whole, train_seconds=_is_number),
}
