"""Processes that ``TF_CONFIG`` names, joined through `tf.distribute`; and the replicas of one of them."""

from typing import Any

import numpy as np
import tensorflow as tf

from ...process_group import ProcessGroup
from . import CLUSTER

_strategies: dict[tuple[str, ...], tf.distribute.MirroredStrategy] = {}


def process_group() -> ProcessGroup:
    """The processes that train together."""
    if CLUSTER is None:
        return ProcessGroup()
    here = len(CLUSTER.extended.worker_devices)
    return ProcessGroup(replicas(CLUSTER)[0] // here, CLUSTER.num_replicas_in_sync // here, _all_reduce_sum)


def is_main() -> bool:
    """Whether this process is rank 0."""
    return CLUSTER is None or replicas(CLUSTER)[0] == 0


def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The strategy for these devices of the machine: one, so that models stay those of its scope."""
    if not _strategies:
        _strategies[devices] = tf.distribute.MirroredStrategy(devices)
    if devices not in _strategies:  # TensorFlow would fail at the first step, and ever after
        (taken,) = _strategies
        raise ValueError(
            f"TensorFlow divides batches among {len(taken)} devices here, and cannot among {len(devices)} in the same "
            f"process: restart it (in a notebook, the kernel), or train with num_gpus={len(taken)} or num_gpus=1"
        )
    return _strategies[devices]


def replicas(strategy: tf.distribute.Strategy) -> list[int]:
    """The numbers of this process's replicas among all."""
    number = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    return list(strategy.experimental_local_results(number))


def _all_reduce_sum(array: np.ndarray) -> np.ndarray:
    first = replicas(CLUSTER)[0]

    def of_replica(context: Any) -> tf.Tensor:
        return tf.constant(array if context.replica_id_in_sync_group == first else np.zeros_like(array))

    shares = CLUSTER.experimental_distribute_values_from_function(of_replica)
    return CLUSTER.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None).numpy()
