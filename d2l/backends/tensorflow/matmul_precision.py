"""How TensorFlow rounds factors."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def plain_float32() -> Iterator[None]:
    """Keep GPUs from rounding factors to TensorFloat-32."""
    config = tf.config.experimental
    kept = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(kept)
