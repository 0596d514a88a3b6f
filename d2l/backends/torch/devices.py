"""The devices of PyTorch."""

import torch


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return torch.cuda.device_count()


def find_gpus() -> list[torch.device]:
    """All GPUs that can be used; none where there is none."""
    return [gpu(i) for i in range(num_gpus())]


def try_gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[torch.device]:
    """All GPUs; if there is none, the CPU."""
    return find_gpus() or [cpu()]
