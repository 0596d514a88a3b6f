"""The trainer for TensorFlow."""

from collections.abc import Sequence

import tensorflow as tf

from ... import trainer
from .backend import Backend


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    The steps of training and validation are compiled into graphs. A run that makes checkpoints sets TensorFlow's seed
    anew at each; random operations of TensorFlow's own in a compiled step do not resume where they were, unlike Keras
    layers such as dropout.

    Several devices divide each batch through a strategy of `tf.distribute`: the GPUs of this machine, with
    ``num_gpus``, or those of several machines, with a process on each and ``TF_CONFIG`` in its environment. Such a
    process trains on all GPUs that it sees, or on the CPU where it sees none. A device's dropout differs from the
    others'. Batch normalization takes the statistics of a device's part of the batch; its averages for validation are
    the means over the devices.
    """

    backend_type = Backend
    backend: Backend

    @property
    def strategy(self) -> tf.distribute.Strategy | None:
        """What divides batches among devices; ``None`` where there is one.

        A model whose variables are made before `fit` has to be made inside of ``strategy.scope()``.
        """
        return self.backend.strategy

    def clip_gradients(self, grad_clip_val: float, grads: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, scaled all together such that their L2 norm is at most ``grad_clip_val``."""
        return tf.clip_by_global_norm(grads, grad_clip_val)[0]
