"""The frameworks of the book. Whoever has to know one by name takes it from here: build, pages, tests, measurements."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import BookError


@dataclass(frozen=True)
class Framework:
    """A framework.

    Attributes:
        module: Its package, which has to be installed. The helper's module for it has the same name: ``d2l.MODULE``.
        title: What it calls itself, for readers.
        colours: Of its curves, in CSS: on light pages and on dark ones.
        mark: Of the points of its curves, for those who do not tell the colours apart: a path in SVG around (0, 0).
        to_import: Code that imports what a program without the helper trains with.
    """

    module: str
    title: str
    colours: tuple[str, str]
    mark: str
    to_import: str


# By their tabs in the sources, which are also their extras in pyproject.toml.
FRAMEWORKS = {
    "pytorch": Framework(
        "torch",
        "PyTorch",
        colours=("#c2410c", "#ff9a6b"),
        mark="M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
        to_import="import torch",
    ),
    "tensorflow": Framework(
        "tensorflow",
        "TensorFlow",
        colours=("#1d63b8", "#7db8ff"),
        mark="M-4-4h8v8h-8z",
        to_import="import tensorflow",
    ),
    "mxnet": Framework(
        "mxnet",
        "MXNet",
        colours=("#0b7a5c", "#55cfa6"),
        mark="M0-5L5 4h-10z",
        # MXNet 1.9.1 cannot be imported beside NumPy 1.24 or later without the missing name.
        to_import="import numpy; numpy.bool = bool; import mxnet",
    ),
    "jax": Framework(
        "jax",
        "JAX",
        colours=("#8a3ab0", "#dba0f5"),
        mark="M0-5.5L5.5 0 0 5.5-5.5 0z",
        to_import="import jax, flax.linen, optax",
    ),
}


def is_installed(tab: str) -> bool:
    """Whether the tab's framework can be imported here."""
    return importlib.util.find_spec(FRAMEWORKS[tab].module) is not None


def chosen_tabs(names: Iterable[str]) -> list[str]:
    """The tabs of these names, which may be parted by commas as well; all if there is no name.

    Raises:
        BookError: One is unknown.
    """
    chosen = " ".join(names).replace(",", " ").split() or list(FRAMEWORKS)
    if unknown := [name for name in chosen if name not in FRAMEWORKS]:
        raise BookError(f"TABS={unknown[0]!r}: known tabs are {', '.join(FRAMEWORKS)}")
    return [tab for tab in FRAMEWORKS if tab in chosen]
