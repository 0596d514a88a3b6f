"""How GPUs round factors in PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def plain_float32() -> Iterator[None]:
    """Keep GPUs from rounding factors to TensorFloat-32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    name, backends, plain = "allow_tf32", [matmul, cudnn], False
    try:
        kept = [getattr(switches, name) for switches in backends]
    except RuntimeError:  # once they have been set by their newer name, they cannot be read by the older one
        name, backends, plain = "fp32_precision", [matmul, cudnn.conv, cudnn.rnn], "ieee"
        kept = [getattr(switches, name) for switches in backends]
    for switches in backends:
        setattr(switches, name, plain)
    try:
        yield
    finally:
        for switches, value in zip(backends, kept, strict=True):
            setattr(switches, name, value)


def tf32_operations() -> str:
    """What PyTorch is to compute in TensorFloat-32: see `d2l.backend.Backend.tf32`."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
    try:
        convolved, multiplied = conv.allow_tf32, matmul.allow_tf32
    except RuntimeError:  # as in `plain_float32`
        convolved, multiplied = conv.conv.fp32_precision == "tf32", matmul.fp32_precision == "tf32"
    if convolved:
        return "products" if multiplied else "convolutions"
    return "matrix products" if multiplied else ""
