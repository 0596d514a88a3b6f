"""The devices of PyTorch: the CPU, and its accelerators, which the helper calls GPUs.

PyTorch has one kind of them at a time, ``torch.accelerator.current_accelerator()``: NVIDIA's (``cuda``; AMD's go by the
same name where PyTorch is built for ROCm), Apple's (``mps``), Intel's (``xpu``), or that of a package beside it. The
helper has been run on NVIDIA's, and on none of the others: what it does there follows PyTorch's documentation and
known faults, and is tested with a device that is made of the CPU.
"""

import os
from inspect import signature

import torch

# Kinds with streams, pinned memory, and a library to exchange gradients with, as Apple's lack them: there, a copy that
# is not waited for may even read memory that is no longer its source (PyTorch's issues 139550 and 189690).
WITH_STREAMS = ("cuda", "xpu")


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU, of the kind that PyTorch finds; where it finds none, by NVIDIA's name."""
    found = torch.accelerator.current_accelerator() if num_gpus() else None
    return torch.device(found.type if found is not None else "cuda", i)


def num_gpus() -> int:
    """Number of GPUs that can be used, of NVIDIA, AMD, Apple or Intel.

    An empty ``CUDA_VISIBLE_DEVICES`` in the environment hides all: PyTorch's own way for NVIDIA's and AMD's, which has
    none for Apple's.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return 0 if hidden else torch.accelerator.device_count()


def find_gpus() -> list[torch.device]:
    """All GPUs that can be used; none where there is none."""
    return [gpu(i) for i in range(num_gpus())]


def try_gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[torch.device]:
    """All GPUs; if there is none, the CPU."""
    return find_gpus() or [cpu()]


def has_bfloat16(gpu: torch.device) -> bool:
    """Whether a GPU has instructions for ``bfloat16``. Apple's compute in it, and are no faster."""
    if gpu.type not in WITH_STREAMS:
        return False
    module = torch.get_device_module(gpu)
    supported = module.is_bf16_supported
    options = {"including_emulation": False} if "including_emulation" in signature(supported).parameters else {}
    with module.device(gpu):
        return supported(**options)


def rng_state(gpu: torch.device) -> torch.Tensor:
    """The state of a GPU's random generator, bytes on the CPU."""
    return torch.get_device_module(gpu).get_rng_state(gpu)


def set_rng_state(gpu: torch.device, state: torch.Tensor) -> None:
    """Give a GPU's random generator such a state; one of another kind of GPU's does not fit, and is left alone."""
    if state.shape == rng_state(gpu).shape:
        torch.get_device_module(gpu).set_rng_state(state, gpu)
