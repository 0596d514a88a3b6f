"""Data sets whose batches are arrays of MXNet."""

from typing import Any

import mxnet as mx
from mxnet import np, npx

from ... import data_modules


class DataModule(data_modules.DataModule):
    """Base class of data sets: see `d2l.data_modules.DataModule`."""

    def _on_device(self, tensor: Any, device: mx.Context | None) -> np.ndarray:
        device = device or mx.current_context()
        if isinstance(tensor, np.ndarray):
            return tensor.as_in_ctx(device)
        return np.array(tensor, dtype=tensor.dtype, ctx=device)

    def _sample_indices(self, n: int, shuffle: bool, device: mx.Context | None) -> np.ndarray:
        order = np.arange(n, dtype=np.int32, ctx=device)
        if shuffle:
            np.random.shuffle(order)
        return order

    def _draw_seed(self) -> int:
        return int(np.random.randint(0, 2**31 - 1))

    def _gather(self, tensor: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return np.take(tensor, indices, axis=0)


class SyntheticRegressionData(data_modules.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.data_modules.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> np.ndarray:
        return np.random.normal(size=shape)


class FashionMNIST(data_modules.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.FashionMNIST`.
    """

    def _collate(
        self, rows: np.ndarray, columns: np.ndarray, images: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        # As layers, which multiply a batch by one matrix: MXNet's products of matrices are half as fast.
        X = images.transpose(0, 2, 1).astype(np.float32) / 255
        X = _product(X, rows).transpose(0, 2, 1)
        X = _product(X, columns)
        return np.expand_dims(X, 1), labels.astype(np.int32)


class ImageFolder(data_modules.ImageFolder, DataModule):
    """Image files in batches of X (n, 3, crop, crop) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.ImageFolder`.
    """

    def _collate(self, pixels: np.ndarray, shifts: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        return X + shifts.reshape(-1, 3, 1, 1), labels.astype(np.int32)


def _product(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every row of ``X`` (..., inputs) times ``weight`` (outputs, inputs)."""
    return npx.fully_connected(X, weight, num_hidden=len(weight), no_bias=True, flatten=False)
