"""PyTorch."""

import os

from ...installation import missing_framework
from ...smoke_profile import SEED, current_profile

# Operators that PyTorch lacks on Apple's GPUs run on the processor, and it says which. It reads this at its import.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise missing_framework(error, ["torch"], "pytorch") from error

__all__ = ["nn", "torch"]

if current_profile().smoke:
    torch.manual_seed(SEED)
