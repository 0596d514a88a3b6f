"""TensorFlow with Keras 3."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...installation import missing_framework
from ...smoke_profile import SEED, current_profile

__all__ = ["tf"]


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to standard error."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


# TensorFlow's native code reports every missing CUDA library, some before it reads this setting. Errors still raise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if current_profile().smoke:
    # A sum depends on how many threads share it; those of a smoke run are to be the same on every machine.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
try:
    with _quiet_stderr():
        import tensorflow as tf
except ModuleNotFoundError as error:
    raise missing_framework(error, ["tensorflow"], "tensorflow") from error


def _join_cluster() -> Any:
    """The strategy of the processes that ``TF_CONFIG`` names, if it names several; it waits until all are there."""
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    if sum(map(len, cluster.values())) < 2:
        return None
    return tf.distribute.MultiWorkerMirroredStrategy()


CLUSTER = _join_cluster()  # has to come before anything that TensorFlow computes

if current_profile().smoke:
    tf.keras.utils.set_random_seed(SEED)
