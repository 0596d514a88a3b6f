"""Short batches padded to the size that a step has been compiled for, so that it is not compiled anew for each size."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

MEANS = ("loss", "accuracy", "training_step", "validation_step", "_checked_loss")  # what computes means over examples


class _Mask(threading.local):
    """What a thread traces a step with."""

    value: jax.Array | None = None


_mask = _Mask()


def example_mask() -> jax.Array | None:
    """Which examples (n,) of the batch count in the step that this thread traces; ``None`` if all do."""
    return _mask.value


@contextmanager
def first_examples(batch: Sequence[jax.Array], count: Any) -> Iterator[None]:
    """Have the first ``count`` examples of a batch count in the body of a step; ``None`` are all of them."""
    kept = _mask.value
    _mask.value = None if count is None else jnp.arange(len(batch[-1])) < count
    try:
        yield
    finally:
        _mask.value = kept


class Padding:
    """Pads the batches of a run.

    Dropout draws for the examples that do not count, too, and for the others what it would draw without these: JAX
    draws each number from its place in the array (``jax_threefry_partitionable``).

    Args:
        own: The class whose means over examples leave out those that do not count.
    """

    def __init__(self, own: type):
        self._own = own
        self._sizes: dict[str, int] = {}  # the most examples that each step has been given so far

    def apply(self, step: str, model: Any, batch: Sequence[jax.Array]) -> tuple[Sequence[jax.Array], np.int32 | None]:
        """A batch of the size that a step has been compiled for, and how many of its examples count.

        A batch that is not to be padded comes back with ``None``.
        """
        if not self._can_pad(model, batch):
            return batch, None
        count = len(batch[-1])
        size = self._sizes[step] = max(count, self._sizes.get(step, 0))
        return pad(batch, size), np.int32(count)

    def _can_pad(self, model: Any, batch: Sequence[jax.Array]) -> bool:
        """Whether the model's means over examples are those of the class, and the batch has a label for each example.

        Of a layer, nothing is asked: it computes an example by itself, as all do that keep no statistics of the batch.
        """
        inherited = all(
            getattr(getattr(model, name, None), "__func__", None) is getattr(self._own, name) for name in MEANS
        )
        axes = [getattr(x, "ndim", 0) for x in batch]  # of what is no array, none
        return inherited and all(axes) and axes[-1] == 1 and len({len(x) for x in batch}) == 1


def pad(batch: Sequence[jax.Array], size: int) -> list[jax.Array]:
    """A batch of ``size`` examples, of which the last one given is repeated: zeros might give what no example gives."""
    return list(batch) if len(batch[-1]) == size else _padded(list(batch), size)


@partial(jax.jit, static_argnums=1)
def _padded(batch: list[jax.Array], size: int) -> list[jax.Array]:
    return [jnp.pad(x, [(0, size - len(x)), *[(0, 0)] * (x.ndim - 1)], mode="edge") for x in batch]


@partial(jax.jit, static_argnums=1)
def cut(batch: Sequence[jax.Array], size: int) -> Sequence[jax.Array]:
    """The first ``size`` examples of a batch, all arrays in one program."""
    return [x[:size] for x in batch]
