"""Data sets whose batches are tensors of TensorFlow."""

from typing import Any

import tensorflow as tf

from ... import data_modules
from .matmul_precision import plain_float32
from .processes import is_main


class DataModule(data_modules.DataModule):
    """Base class of data sets: see `d2l.data_modules.DataModule`."""

    def _on_device(self, tensor: Any, device: Any) -> tf.Tensor:
        # On the device of the context, where a constant alone would not always be.
        return tf.identity(tensor)

    def _sample_indices(self, n: int, shuffle: bool, device: Any) -> tf.Tensor:
        return tf.random.shuffle(tf.range(n)) if shuffle else tf.range(n)

    def _draw_seed(self) -> int:
        return int(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32))

    def _is_main(self) -> bool:
        return is_main()

    def _gather(self, tensor: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        return tf.gather(tensor, indices)


class SyntheticRegressionData(data_modules.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.data_modules.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> tf.Tensor:
        return tf.random.normal(shape)


class FashionMNIST(data_modules.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, height, width, 1) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.FashionMNIST`.
    """

    def _collate(
        self, rows: tf.Tensor, columns: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with plain_float32():
            X = _scaled_and_resized(rows, columns, images)
        return X, tf.cast(labels, tf.int32)


class ImageFolder(data_modules.ImageFolder, DataModule):
    """Image files in batches of X (n, crop, crop, 3) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.ImageFolder`.
    """

    def _collate(self, pixels: tf.Tensor, shifts: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        X = tf.cast(pixels, tf.float32) / 255
        return X + shifts[:, tf.newaxis, tf.newaxis], tf.cast(labels, tf.int32)


# Of unknown shape, so that it is traced once; XLA makes one pass over the large images.
@tf.function(
    jit_compile=True,
    input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None, None)), tf.TensorSpec((None,) * 3, tf.uint8)],
)
def _scaled_and_resized(rows: tf.Tensor, columns: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    return (rows @ (tf.cast(images, tf.float32) / 255) @ tf.transpose(columns))[..., tf.newaxis]
