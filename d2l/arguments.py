"""Checks of arguments, whose messages say what was given, and what to give instead."""

from numbers import Real
from typing import Any

import numpy as np


def is_whole(number: Any, least: int) -> bool:
    """Whether it is a whole number, Python's or NumPy's, and so much at least."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and number >= least


def check_whole(name: str, number: Any, least: int) -> None:
    """See that an argument is a whole number, and so much at least.

    Raises:
        ValueError: It is not.
    """
    if not is_whole(number, least):
        raise ValueError(f"{name}={number!r}: give a whole number, {least} or more")


def check_share(name: str, number: Any) -> None:
    """See that an argument is a number between 0 and 1.

    Raises:
        ValueError: It is not.
    """
    if not (isinstance(number, Real) and 0 < number < 1):
        raise ValueError(f"{name}={number!r}: give a number above 0 and below 1, such as 0.1")


def check_size(resize: Any) -> tuple[int, int]:
    """``resize`` as a pair (height, width).

    Raises:
        ValueError: It is not two positive whole numbers.
    """
    if isinstance(resize, (tuple, list)) and len(resize) == 2 and all(is_whole(n, 1) for n in resize):
        return tuple(map(int, resize))
    raise ValueError(f"resize={resize!r}: give height and width as two positive integers, such as (224, 224)")
