"""The helper for MXNet."""

from collections.abc import Sequence
from typing import Any

import numpy

from . import core
from .board import ProgressBoard
from .core import DataModule
from .hyperparameters import HyperParameters, add_to_class
from .plotting import plot, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile

if "bool" not in vars(numpy):
    # MXNet 1.9.1 reads this name on import; NumPy dropped it in 1.24.
    numpy.bool = bool

try:
    import mxnet as mx
    from mxnet import autograd, gluon, np, npx
    from mxnet.gluon import nn
except ModuleNotFoundError as error:
    note = "MXNet has wheels for Linux on x86-64 only and needs NumPy below 2, so Python up to 3.12."
    raise core.missing_framework(error, "mxnet", "mxnet", note) from error

__all__ = [
    "HyperParameters",
    "add_to_class",
    "ProgressBoard",
    "Module",
    "DataModule",
    "Trainer",
    "Classifier",
    "FashionMNIST",
    "cpu",
    "gpu",
    "num_gpus",
    "try_gpu",
    "try_all_gpus",
    "plot",
    "show_images",
    "use_svg_display",
    "set_figsize",
    "set_axes",
]

npx.set_np()

if current_profile().smoke:
    mx.random.seed(SEED)
    numpy.random.seed(SEED)


class Module(core.Module, nn.Block):
    """Base class of models: see `d2l.core.Module`."""

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        nn.Block.__init__(self)
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a scalar of this step to the board, without its graph: see `d2l.core.Module.plot`."""
        super().plot(key, value.detach() if isinstance(value, np.ndarray) else value, train)

    def configure_optimizers(self) -> gluon.Trainer:
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return gluon.Trainer(self.collect_params(), "sgd", {"learning_rate": self.lr})


class Trainer(core.Trainer):
    """Fit a model to data: see `d2l.core.Trainer`."""

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, bring the model to the device and let it be compiled."""
        super().prepare_model(model)
        model.collect_params().reset_ctx(self.device)
        _hybridize(model)

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch to the device."""
        return [x.as_in_ctx(self.device) for x in batch]

    def clip_gradients(self, grad_clip_val: float, model: Module) -> None:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        grads = [p.grad(self.device).as_nd_ndarray() for p in model.collect_params().values() if p.grad_req != "null"]
        gluon.utils.clip_global_norm(grads, grad_clip_val)

    def _choose_device(self) -> tuple[mx.Context, int]:
        found = min(self.num_gpus, num_gpus(), 1)
        return (gpu() if found else cpu()), found

    def _set_training(self, training: bool) -> None:
        """Nothing to do: MXNet trains while it records gradients, and predicts otherwise."""

    def _train(self, batch: Sequence[np.ndarray]) -> None:
        with autograd.record():
            loss = self.model.training_step(batch)
        loss.backward()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)
        # MXNet queues its work: without a pause the queue, and the batches it holds, would grow for an epoch.
        npx.waitall()

    def _validate(self, batch: Sequence[np.ndarray]) -> None:
        self.model.validation_step(batch)


class Classifier(core.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: np.ndarray, Y: np.ndarray, averaged: bool = True) -> np.ndarray:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...)."""
        losses = gluon.loss.SoftmaxCrossEntropyLoss()(Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1))
        return losses.mean() if averaged else losses

    def accuracy(self, Y_hat: np.ndarray, Y: np.ndarray, averaged: bool = True) -> np.ndarray:
        """Share of examples whose largest logit is that of their class, or 1 and 0 per example."""
        Y = Y.reshape(-1)
        correct = (Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(axis=1).astype(Y.dtype) == Y).astype(np.float32)
        return correct.mean() if averaged else correct

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``."""
        X = np.zeros(X_shape, ctx=self.collect_params().list_ctx()[0])
        shapes = []
        for layer in self.net:
            X = layer(X)
            shapes.append((type(layer).__name__, X.shape))
        self._print_layers(shapes)


class FashionMNIST(core.FashionMNIST):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int32``.

    See `d2l.core.FashionMNIST`.
    """

    def _permutation(self, n: int) -> numpy.ndarray:
        order = np.arange(n, dtype=np.int32)
        np.random.shuffle(order)
        return order.asnumpy()

    def _tensors(self, images: numpy.ndarray, labels: numpy.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.array(self._resize_rows), np.array(self._resize_columns)
        X = np.array(images, dtype=np.float32) / 255
        X = np.matmul(np.matmul(rows, X), columns.T)
        return np.expand_dims(X, 1), np.array(labels, dtype=np.int32)


def cpu() -> mx.Context:
    """The CPU."""
    return npx.cpu()


def gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU."""
    return npx.gpu(i)


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return npx.num_gpus()


def try_gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[mx.Context]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


def _hybridize(block: nn.Block) -> None:
    """Let every part of ``block`` that can be compiled be compiled."""
    for child in block._children.values():
        if isinstance(child, nn.HybridBlock):
            child.hybridize(static_alloc=True, static_shape=True)
        else:
            _hybridize(child)
