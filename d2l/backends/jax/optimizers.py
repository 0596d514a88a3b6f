"""The optimizers of ``python -m d2l.train`` in JAX."""

from typing import Any

import jax
import numpy as np
import optax

from ...recipes import OptimizerSettings
from .modules import Module


def make_optimizer(model: Module, settings: OptimizerSettings) -> optax.GradientTransformation:
    """The optimizer that these settings describe, with its learning rate in its state, where it can be changed."""

    def make(learning_rate: Any) -> optax.GradientTransformation:
        if settings.name == "adam":
            return optax.adam(learning_rate)
        if settings.name == "adamw":
            return optax.adamw(learning_rate, weight_decay=settings.weight_decay)
        sgd = optax.sgd(learning_rate, settings.momentum or None)
        return optax.chain(optax.add_decayed_weights(settings.weight_decay), sgd) if settings.weight_decay else sgd

    return optax.inject_hyperparams(make)(learning_rate=settings.lr)


def set_learning_rate(trainer: Any, rate: float) -> None:
    """Give the trainer's optimizer, which is one of these, another learning rate."""
    backend = trainer.backend
    kept = backend.state.opt_state
    last = kept.hyperparams["learning_rate"]
    hyperparams = {**kept.hyperparams, "learning_rate": jax.device_put(np.asarray(rate, last.dtype), last.sharding)}
    backend.state = backend.state.replace(opt_state=kept._replace(hyperparams=hyperparams))
