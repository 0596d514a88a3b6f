"""The devices of TensorFlow, as contexts."""

from typing import Any

import tensorflow as tf


def cpu() -> Any:
    """The CPU, as a context: ``with d2l.cpu():`` places what follows."""
    return tf.device("/CPU:0")


def gpu(i: int = 0) -> Any:
    """The ``i``-th GPU, as a context."""
    return tf.device(f"/GPU:{i}")


def num_gpus() -> int:
    """Number of GPUs that can be used; of Apple's, where the plugin tensorflow-metal is, which has not been tried."""
    return len(tf.config.list_physical_devices("GPU"))


def try_gpu(i: int = 0) -> Any:
    """The ``i``-th GPU if there is one, else the CPU, as a context."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[Any]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]
