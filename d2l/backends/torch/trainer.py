"""The trainer for PyTorch."""

from typing import Any

from torch import nn

from ... import trainer
from .backend import Backend
from .copy_ahead import copied_ahead
from .data_modules import DataModule
from .modules import Module


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    A model's ``configure_optimizers`` returns an optimizer or, beside it, learning-rate schedulers that take a step
    after each epoch: ``return optimizer, scheduler`` or ``return [optimizer], [scheduler, ...]``. In the place of a
    scheduler may stand ``{"scheduler": scheduler, "interval": "step"}``, which takes one after each training step, and
    with ``"monitor": "val_acc"`` the curve that `ReduceLROnPlateau` looks at, by default the validation loss.
    Checkpoints hold these schedulers, and those that the model steps by itself.

    A GPU is an accelerator that PyTorch finds: NVIDIA's or AMD's (``cuda``), Apple's (``mps``), Intel's (``xpu``). The
    helper has been run on NVIDIA's alone. Apple's have no ``float64``, and processes cannot exchange gradients there;
    operators that PyTorch lacks for them run on the processor, and it says which.

    Several GPUs take a process each, which torchrun starts, on one machine or on several. Each process trains on one
    GPU, or on the CPU with ``num_gpus=0`` or where there is none.
    """

    backend_type = Backend

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches; those of PyTorch's own class copy ahead to a GPU."""
        super().prepare_data(data)
        if self.gpus:
            self.train_dataloader = copied_ahead(self.train_dataloader, self.device)
            self.val_dataloader = copied_ahead(self.val_dataloader, self.device)

    def clip_gradients(self, grad_clip_val: float, model: Module) -> Any:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        nn.utils.clip_grad_norm_(model.parameters(), grad_clip_val)
