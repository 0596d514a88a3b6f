"""The devices of JAX, and keys for its random functions."""

import random
from contextlib import suppress

import jax

# NVIDIA's and AMD's together; Apple's, as jax-metal and jax-mps name them. Nothing has been run but on NVIDIA's.
GPU_PLATFORMS = ("gpu", "METAL", "mps")


def cpu() -> jax.Device:
    """The CPU."""
    return jax.local_devices(backend="cpu")[0]


def gpu(i: int = 0) -> jax.Device:
    """The ``i``-th GPU of this process."""
    return (find_gpus() or jax.local_devices(backend="gpu"))[i]  # where there is none, JAX says so


def num_gpus() -> int:
    """Number of GPUs that this process can use."""
    return len(find_gpus())


def find_gpus() -> list[jax.Device]:
    """All GPUs of this process; none where there is none."""
    for platform in GPU_PLATFORMS:
        with suppress(RuntimeError):  # how JAX says that there are none
            return jax.local_devices(backend=platform)
    return []


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
    """A random whole number below a million to seed with, from Python's own random state."""
    return random.randrange(10**6)


def get_key() -> jax.Array:
    """A new key for JAX's random functions: ``jax.random.PRNGKey`` of a seed from `get_seed`."""
    return jax.random.PRNGKey(get_seed())
