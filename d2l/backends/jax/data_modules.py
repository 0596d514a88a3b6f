"""Data sets whose batches are arrays of JAX."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from ... import data_modules
from ...data_modules import Collate
from .devices import get_key, get_seed, on_cpu
from .padding import cut


class DataModule(data_modules.DataModule):
    """Base class of data sets: see `d2l.data_modules.DataModule`."""

    def _on_device(self, tensor: Any, device: jax.Device | None) -> jax.Array:
        return jax.device_put(tensor, device)

    def _sample_indices(self, n: int, shuffle: bool, device: jax.Device | None) -> np.ndarray:
        # On the host, where a slice of it is not compiled anew for each place.
        return np.asarray(_permutation(get_seed(), n)) if shuffle else np.arange(n)

    def _draw_seed(self) -> int:
        return get_seed()

    def _is_main(self) -> bool:
        # Asked of a process by itself, JAX would find its devices, after which it joins no others.
        return not jax.distributed.is_initialized() or jax.process_index() == 0

    def _gather_batch(
        self, tensors: Sequence[jax.Array], indices: np.ndarray, collate: Collate, size: int
    ) -> tuple[jax.Array, ...]:
        # A short batch is cut from a full one: a GPU's compiler would take seconds for programs of its own.
        short = 0 if on_cpu(tensors[0]) else size - len(indices)
        if not short:
            return super()._gather_batch(tensors, indices, collate, size)
        batch = super()._gather_batch(tensors, np.pad(indices, (0, short)), collate, size)
        return tuple(cut(batch, len(indices)))

    def _gather(self, tensor: jax.Array, indices: np.ndarray) -> jax.Array:
        return _gathered(tensor, indices)


class SyntheticRegressionData(data_modules.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.data_modules.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> jax.Array:
        return jax.random.normal(get_key(), shape)


class FashionMNIST(data_modules.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, height, width, 1) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.FashionMNIST`.
    """

    def _collate(
        self, rows: jax.Array, columns: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return _scaled_and_resized(rows, columns, images, labels)


class ImageFolder(data_modules.ImageFolder, DataModule):
    """Image files in batches of X (n, crop, crop, 3) ``float32`` and y (n,) ``int32``.

    See `d2l.data_modules.ImageFolder`.
    """

    def _collate(self, pixels: jax.Array, shifts: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _scaled_and_shifted(pixels, shifts, labels)


@partial(jax.jit, static_argnums=1)
def _permutation(seed: int, n: int) -> jax.Array:
    return jax.random.permutation(jax.random.PRNGKey(seed), n)


@jax.jit
def _gathered(tensor: jax.Array, indices: jax.Array) -> jax.Array:
    return tensor[indices]


@jax.jit
def _scaled_and_resized(
    rows: jax.Array, columns: jax.Array, images: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    with jax.default_matmul_precision("float32"):  # a GPU would round the pixels to TensorFloat-32
        X = jnp.einsum("rh,bhw,cw->brc", rows, images.astype(jnp.float32) / 255, columns)[..., None]
    return X, labels.astype(jnp.int32)


@jax.jit
def _scaled_and_shifted(pixels: jax.Array, shifts: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    return pixels.astype(jnp.float32) / 255 + shifts[:, None, None], labels.astype(jnp.int32)
