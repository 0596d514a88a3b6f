"""What the replicas of a strategy of `tf.distribute` have in common, and what each has of its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ...plotting import to_numpy
from ...process_group import ProcessGroup
from .modules import Module
from .processes import replicas

SEED_STATE = "seed_generator_state"  # what Keras calls the variable of a layer that draws random numbers


def check_scope(strategy: tf.distribute.Strategy, model: Module, variables: Mapping[str, Any], optimizer: Any) -> None:
    """See that several devices can have a model's variables, and that no optimizer clips the gradients of one.

    Raises:
        ValueError: One of these does not hold.
    """
    in_scope = strategy.extended.variable_created_in_scope
    single = [
        name
        for name, variable in variables.items()
        if not (name.endswith(SEED_STATE) or in_scope(tf_variable(variable)))
    ]
    if single:
        raise ValueError(
            f"{type(model).__name__} has variables for one device already ({', '.join(single)}), and this trainer uses "
            f"{strategy.num_replicas_in_sync}: make a new model, where need be inside of trainer.strategy.scope()"
        )
    clipping = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(optimizer, name, None)]
    if clipping:
        raise ValueError(
            f"{clipping[0]} of {type(optimizer).__name__} clips the gradient of each device's part of the batch: "
            "give the trainer a gradient_clip_val in its place, or num_gpus=1"
        )


def seed_replicas(strategy: tf.distribute.Strategy, processes: ProcessGroup, variables: Mapping[str, Any]) -> None:
    """Have each replica draw random numbers of its own in Keras layers; the first, as it would alone."""
    for name, variable in variables.items():
        if name.endswith(SEED_STATE):
            state = processes.broadcast(to_numpy(variable))
            copies = strategy.experimental_local_results(tf_variable(variable))  # one, if made before
            for replica, copy in zip(replicas(strategy), copies, strict=False):
                copy.assign(state + np.array([replica, 0], state.dtype))


def statistics_of(strategy: tf.distribute.Strategy, model: Module) -> list[tf.Variable]:
    """The model's variables that layers change by themselves, a device its own."""
    in_scope = strategy.extended.variable_created_in_scope
    own = map(tf_variable, model.non_trainable_variables)
    return [variable for variable in own if in_scope(variable) and variable.dtype.is_floating]


def of_whole(metrics: dict[str, Any], examples: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """In a replica with so many examples: the metrics of the whole batch, and its number of examples."""
    totals = {key: weighted(value, examples) for key, value in metrics.items()}
    examples = tf.identity(examples)  # on the replica's device, as the totals
    totals, whole = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, (totals, examples))
    return {key: total / tf.cast(tf.maximum(whole, 1), total.dtype) for key, total in totals.items()}, whole


def weighted(value: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Their product; without weight, nothing, whatever the value."""
    return tf.math.multiply_no_nan(value, tf.cast(weight, value.dtype))


def tf_variable(variable: Any) -> tf.Variable:
    """TensorFlow's own variable, of which Keras has a wrapper."""
    return variable if isinstance(variable, tf.Variable) else variable.value
