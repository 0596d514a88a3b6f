"""Short batches padded to the size that a step has been compiled for, so that it is not compiled anew for each size."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp


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


def can_pad(model: Any, own: type, batch: Sequence[jax.Array]) -> bool:
    """Whether a batch may be padded: the model's means over examples are those of ``own``, which leaves the rest out.

    Each array of the batch has to count the examples, and labels have to be one for each. Of a layer, nothing is asked:
    it computes an example by itself, as all do that keep no statistics of the batch.
    """
    methods = ("loss", "accuracy", "training_step", "validation_step", "_checked_loss")
    inherited = all(getattr(getattr(model, name, None), "__func__", None) is getattr(own, name) for name in methods)
    return inherited and batch[-1].ndim == 1 and all(x.ndim and len(x) == len(batch[-1]) for x in batch)


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
