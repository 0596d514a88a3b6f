"""MXNet."""

import os

import numpy as onp  # MXNet's own arrays have the name np here

from ...installation import missing_framework
from ...machine import cores_are_shown_twice, usable_processors
from ...smoke_profile import SEED, current_profile

__all__ = ["autograd", "gluon", "init", "mx", "nn", "np", "npx"]

if "bool" not in vars(onp):
    # MXNet 1.9.1 reads this name on import; NumPy dropped it in 1.24.
    onp.bool = bool  # pyright: ignore[reportAttributeAccessIssue]

if not cores_are_shown_twice():
    # MXNet halves the number of processors as if they were, and would leave half of the cores idle.
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_processors()))
# Gluon's trainers are to give out the gradient of the whole batch, which may be clipped, before they update parameters.
os.environ.setdefault("MXNET_UPDATE_ON_KVSTORE", "0")
try:
    import mxnet as mx
    from mxnet import autograd, gluon, init, np, npx
    from mxnet.gluon import nn
except ModuleNotFoundError as error:
    note = "MXNet has wheels for Linux on x86-64 only and needs NumPy below 2, so Python up to 3.12."
    raise missing_framework(error, ["mxnet"], "mxnet", note) from error

npx.set_np()

if current_profile().smoke:
    mx.random.seed(SEED)
    onp.random.seed(SEED)
