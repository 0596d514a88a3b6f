"""The gradient of max-pooling on a CPU, where XLA's own operation for it takes longer than several others."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp
from jax.interpreters import mlir


def register_max_pool_grad() -> None:
    """Have the gradient of max-pooling computed by several of XLA's operations; on a CPU its own for it takes longer.

    The setting is the process's and lasts until it ends.
    """
    rule = mlir.lower_fun(_max_pool_grad, multiple_results=False)
    mlir.register_lowering(lax.select_and_scatter_add_p, rule, platform="cpu")


def _max_pool_grad(
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
