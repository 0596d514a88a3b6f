"""The devices of MXNet."""

import mxnet as mx
from mxnet import npx


def cpu() -> mx.Context:
    """The CPU."""
    return npx.cpu()


def gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU."""
    return npx.gpu(i)


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return npx.num_gpus()


def find_gpus() -> list[mx.Context]:
    """All GPUs that can be used; none where there is none."""
    return [gpu(i) for i in range(num_gpus())]


def try_gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[mx.Context]:
    """All GPUs; if there is none, the CPU."""
    return find_gpus() or [cpu()]
