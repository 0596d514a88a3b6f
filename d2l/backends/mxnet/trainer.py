"""The trainer for MXNet."""

import math
from collections.abc import Sequence

import mxnet as mx
from mxnet import gluon

from ... import trainer
from .backend import Backend
from .modules import Module


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    Several GPUs take a part each of every batch, and MXNet's kvstore adds up their gradients; the loss is to be a mean
    over examples. Batch normalization takes the statistics of a part; its running averages are those of the first GPU.
    A model with arrays of its own, or with an optimizer that is not Gluon's, trains on one GPU.

    A run that makes checkpoints sets MXNet's seed anew at each.
    """

    backend_type = Backend
    backend: Backend

    @property
    def devices(self) -> Sequence[mx.Context]:
        """The devices that a batch is divided among."""
        return self.backend.devices

    def clip_gradients(self, grad_clip_val: float, model: Module) -> None:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        params, arrays = model.parameters(), model.get_scratch_params()
        if isinstance(params, gluon.ParameterDict):
            arrays += [array for param in params.values() for array in param.list_data()]
        grads = [array.grad.as_nd_ndarray() for array in arrays if array.grad is not None]
        # The norm is that of all devices' gradients, which are the same ones on each.
        gluon.utils.clip_global_norm(grads, grad_clip_val * math.sqrt(len(self.devices)))
