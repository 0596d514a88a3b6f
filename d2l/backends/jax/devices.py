"""The devices of JAX, and keys for its random functions."""

import random

import jax


def cpu() -> jax.Device:
    """The CPU."""
    return jax.local_devices(backend="cpu")[0]


def gpu(i: int = 0) -> jax.Device:
    """The ``i``-th GPU of this process."""
    return jax.local_devices(backend="gpu")[i]


def num_gpus() -> int:
    """Number of GPUs that this process can use."""
    try:
        return len(jax.local_devices(backend="gpu"))
    except RuntimeError:  # how JAX says that there are none
        return 0


def find_gpus() -> list[jax.Device]:
    """All GPUs of this process; none where there is none."""
    return [gpu(i) for i in range(num_gpus())]


def try_gpu(i: int = 0) -> jax.Device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[jax.Device]:
    """All GPUs; if there is none, the CPU."""
    return find_gpus() or [cpu()]


def on_cpu(array: jax.Array) -> bool:
    """Whether an array is in the memory of the CPU."""
    return {device.platform for device in array.devices()} == {"cpu"}


def get_seed() -> int:
    """A random number to seed with, from Python's own random state."""
    return random.randrange(10**6)


def get_key() -> jax.Array:
    """A new key for JAX's random functions."""
    return jax.random.PRNGKey(get_seed())
