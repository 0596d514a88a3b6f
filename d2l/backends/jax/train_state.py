"""What training changes in JAX, where models hold no parameters; and its arrays by name."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import optax
from flax.training import train_state
from jax import numpy as jnp

Params = Mapping[str, Any]
# What of a trainer's state is the model's, and what else training changes.
WEIGHTS = ("params", "batch_stats")
REST = ("step", "opt_state", "dropout_rng")


class TrainState(train_state.TrainState):
    """What training changes: parameters, the optimizer's state, batch statistics, and the random state of dropout.

    A trainer makes it; its steps replace it by another one.

    Attributes:
        step: Training steps so far.
        params: The parameters, by layer and name.
        batch_stats: The running averages of batch normalization, empty in a model without it.
        tx, opt_state: The optimizer, of Optax, and its state.
        dropout_rng: The key that dropout draws with.
        apply_fn: The model as a function: ``state.apply_fn({"params": state.params}, X)``.
    """

    batch_stats: Any
    dropout_rng: jax.Array


def new_state(apply_fn: Any, params: Params, batch_stats: Params, dropout_key: jax.Array) -> TrainState:
    """A state without an optimizer."""
    return TrainState.create(
        apply_fn=apply_fn, params=params, tx=optax.identity(), batch_stats=batch_stats, dropout_rng=dropout_key
    )


def with_loss(state: TrainState, loss: jax.Array) -> TrainState:
    """A state whose optimizer is given the loss, which schedules such as `optax.contrib.reduce_on_plateau` ask for."""
    tx = optax.with_extra_args_support(state.tx)
    return state.replace(tx=optax.GradientTransformation(tx.init, partial(tx.update, value=loss)))


def by_name(tree: Any) -> dict[str, jax.Array]:
    """The arrays of a tree by where they are in it; of keys, what they are made of."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {name_of(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves}


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of dicts whose arrays have these names, as `by_name` gives them."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = jnp.asarray(array)
    return tree


def name_of(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def like(leaf: jax.Array, array: jax.Array) -> jax.Array:
    """An array, as a key if ``leaf`` is one."""
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array
