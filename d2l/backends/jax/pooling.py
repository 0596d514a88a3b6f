"""The gradient of max-pooling, for which XLA's own operation takes longer than several others."""

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp
from jax.interpreters import mlir

MOST_SLICES = 64  # of a window; of more, compiling them one by one takes too long


def register_max_pool_grad(platform: str) -> None:
    """Have the gradient of max-pooling computed by several of XLA's operations.

    The setting is the process's and lasts until it ends.

    Args:
        platform: ``"cpu"`` or ``"gpu"``, JAX's name for what it is computed on.
    """
    compute = max_pool_grad if platform == "cpu" else max_pool_grad_by_slices
    rule = mlir.lower_fun(compute, multiple_results=False)
    mlir.register_lowering(lax.select_and_scatter_add_p, rule, platform=platform)


def max_pool_grad(
    source: jax.Array,
    operand: jax.Array,
    *,
    select_prim: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> jax.Array:
    """The gradient of max-pooling: each number of ``source``, added to where its window has the first of its maxima.

    The arguments are those of JAX's primitive ``select_and_scatter_add``; if ``select_prim`` is less-or-equal, the
    pooling is that of minima.
    """
    worst, better = (-jnp.inf, lax.gt) if select_prim is lax.ge_p else (jnp.inf, lax.lt)

    def first_best(a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        a_stays = better(a[0], b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(a_stays, a[0], b[0]), jnp.where(a_stays, a[1], b[1])

    def added(source: jax.Array, operand: jax.Array, *window: Sequence[Any]) -> jax.Array:
        places = lax.iota(jnp.int32, operand.size).reshape(operand.shape)
        nothing = (jnp.array(worst, operand.dtype), jnp.iinfo(jnp.int32).max)
        _, chosen = lax.reduce_window((operand, places), nothing, first_best, *window)
        zeros = jnp.zeros(operand.size, source.dtype)
        return zeros.at[chosen.ravel()].add(source.ravel(), mode="drop").reshape(operand.shape)

    window = (window_dimensions, window_strides, padding)
    if [setting[0] for setting in window] != [1, 1, (0, 0)]:
        return added(source, operand, *window)
    # Example by example, as each stays in the cache.
    return lax.map(lambda example: added(*example, *(setting[1:] for setting in window)), (source, operand))


def max_pool_grad_by_slices(
    source: jax.Array,
    operand: jax.Array,
    *,
    select_prim: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> jax.Array:
    """`max_pool_grad` without indexing: a GPU fuses elementwise operations on strided slices into one or two kernels.

    The k-th slice of the padded operand has the k-th number of each window. Where that is the first of the maxima,
    ``source`` is added to the slice; what is added to the padding is cut off.
    """
    window = {"window_dimensions": window_dimensions, "window_strides": window_strides, "padding": padding}
    if math.prod(window_dimensions) > MOST_SLICES:
        return max_pool_grad(source, operand, select_prim=select_prim, **window)
    worst = -jnp.inf if select_prim is lax.ge_p else jnp.inf
    padded = lax.pad(operand, jnp.array(worst, operand.dtype), [(low, high, 0) for low, high in padding])
    reaches = [(n - 1) * stride + 1 for n, stride in zip(source.shape, window_strides, strict=True)]
    starts = list(itertools.product(*map(range, window_dimensions)))
    limits = ([at + reach for at, reach in zip(start, reaches, strict=True)] for start in starts)
    slices = (lax.slice(padded, *ends, window_strides) for ends in zip(starts, limits, strict=True))
    best, chosen = next(slices), jnp.zeros(source.shape, jnp.int8)
    for k, candidate in enumerate(slices, 1):
        stays = select_prim.bind(best, candidate)  # of equals the first, as XLA has it
        best, chosen = jnp.where(stays, best, candidate), jnp.where(stays, chosen, jnp.int8(k))

    def spread(k: int, start: Sequence[int]) -> jax.Array:
        """The part of ``source`` that goes to the k-th of each window, within the operand's shape."""
        places = zip(start, reaches, operand.shape, padding, window_strides, strict=True)
        margins = [(at - low, n + low - at - reach, stride - 1) for at, reach, n, (low, _), stride in places]
        return lax.pad(jnp.where(chosen == k, source, 0), jnp.zeros((), source.dtype), margins)

    return reduce(lax.add, itertools.starmap(spread, enumerate(starts)))
