"""PyTorch."""

from ...installation import missing_framework
from ...run_profile import SEED, current_profile

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise missing_framework(error, ["torch"], "pytorch") from error

__all__ = ["nn", "torch"]

if current_profile().smoke:
    torch.manual_seed(SEED)
