"""Processes that torchrun starts, joined through `torch.distributed`."""

import atexit
import os

import numpy as np
import torch
from torch import distributed

from ...process_group import ProcessGroup
from .devices import WITH_STREAMS, gpu, num_gpus


def process_group() -> ProcessGroup:
    """The processes that this one has been started with; they are joined here."""
    if not distributed.is_available() or not (distributed.is_initialized() or distributed.is_torchelastic_launched()):
        return ProcessGroup()
    if not distributed.is_initialized():
        _join_processes()
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size(), _all_reduce_sum)


def _join_processes() -> None:
    """Join the processes that torchrun has started; on GPUs, they exchange gradients there."""
    # Both are documented, and missing in the module's `__all__`.
    store, rank, count = next(distributed.rendezvous("env://"))  # pyright: ignore[reportPrivateImportUsage]
    if os.environ["GROUP_WORLD_SIZE"] == "1":
        # Started anew on one machine, they find the store of those before them, whose addresses lead nowhere.
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(_backends(), store=store, rank=rank, world_size=count)
    atexit.register(distributed.destroy_process_group)


def _backends() -> str:
    """The libraries that processes exchange tensors through, on the CPU and, where it can, on the GPU."""
    kind = gpu().type
    if not num_gpus() or kind not in WITH_STREAMS:
        return "gloo"
    return f"cpu:gloo,{kind}:{distributed.get_default_backend_for_device(kind)}"


def _all_reduce_sum(array: np.ndarray) -> np.ndarray:
    total = torch.tensor(array)
    distributed.all_reduce(total)
    return total.numpy()
