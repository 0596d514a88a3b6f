"""PyTorch's optimizers on a GPU: one kernel for all parameters, and learning rates that are read there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import optim

FUSIBLE = (optim.SGD, optim.Adam, optim.AdamW)


def is_fusible(optimizer: Any) -> bool:
    """Whether PyTorch has a fused kernel for an optimizer, which is of that class itself."""
    return type(optimizer) in FUSIBLE


@contextmanager
def fused(optimizer: Any) -> Iterator[None]:
    """Have an optimizer's step run as one kernel, where it can and its user has not chosen another way.

    Its settings are the user's own again afterwards, as they are to be in a checkpoint.
    """
    groups = [group for group in optimizer.param_groups if _may_be_fused(group)] if is_fusible(optimizer) else []
    for group in groups:
        group["fused"] = True
        for parameter in group["params"]:
            count = optimizer.state.get(parameter, {}).get("step")  # of Adam; the kernel counts where it runs
            if count is not None and count.device != parameter.device:
                optimizer.state[parameter]["step"] = count.to(parameter.device)
    try:
        yield
    finally:
        for group in groups:
            group["fused"] = None


def _may_be_fused(group: dict[str, Any]) -> bool:
    chosen = group["fused"] is not None or group["foreach"] is not None or group["differentiable"]
    return not chosen and all(
        parameter.is_floating_point() and not (parameter.grad is not None and parameter.grad.is_sparse)
        for parameter in group["params"]
    )


def learning_rates(optimizer: Any) -> list[float]:
    """The learning rate of each of an optimizer's groups; none of one written by hand."""
    return [float(group["lr"]) for group in optimizer.param_groups] if is_fusible(optimizer) else []


@contextmanager
def rates_on_device(optimizer: Any, rates: Sequence[torch.Tensor]) -> Iterator[None]:
    """Have an optimizer read its groups' learning rates from tensors, as a captured step has to, which others fill."""
    groups = optimizer.param_groups if rates else []
    kept = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in groups]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
        if "capturable" in group:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, own in zip(groups, kept, strict=True):
            group.update(own)
