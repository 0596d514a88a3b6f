"""The helper for PyTorch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import core
from .board import ProgressBoard
from .core import DataModule
from .hyperparameters import HyperParameters, add_to_class
from .plotting import plot, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise core.missing_framework(error, "torch", "pytorch") from error

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
    "init_cnn",
    "plot",
    "show_images",
    "use_svg_display",
    "set_figsize",
    "set_axes",
]

if current_profile().smoke:
    torch.manual_seed(SEED)


class Module(core.Module, nn.Module):
    """Base class of models: see `d2l.core.Module`."""

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        nn.Module.__init__(self)
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a scalar of this step to the board, without its graph: see `d2l.core.Module.plot`."""
        super().plot(key, value.detach() if isinstance(value, torch.Tensor) else value, train)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Trainer(core.Trainer):
    """Fit a model to data: see `d2l.core.Trainer`."""

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, and bring the model to the device."""
        super().prepare_model(model)
        model.to(self.device)

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch to the device."""
        return [x.to(self.device, non_blocking=True) for x in batch]

    def clip_gradients(self, grad_clip_val: float, model: Module) -> None:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        nn.utils.clip_grad_norm_(model.parameters(), grad_clip_val)

    def _choose_device(self) -> tuple[torch.device, int]:
        found = min(self.num_gpus, num_gpus(), 1)
        return (gpu() if found else cpu()), found

    def _set_training(self, training: bool) -> None:
        self.model.train(training)

    def _train(self, batch: Sequence[torch.Tensor]) -> None:
        loss = self.model.training_step(batch)
        self.optim.zero_grad()
        loss.backward()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step()

    def _validate(self, batch: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            self.model.validation_step(batch)


class Classifier(core.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True) -> torch.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...)."""
        Y_hat, Y = Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1)
        return nn.functional.cross_entropy(Y_hat, Y, reduction="mean" if averaged else "none")

    def accuracy(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True) -> torch.Tensor:
        """Share of examples whose largest logit is that of their class, or 1 and 0 per example."""
        correct = (Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(1) == Y.reshape(-1)).float()
        return correct.mean() if averaged else correct

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``."""
        training = self.training
        self.eval()
        parameter = next(self.parameters(), torch.empty(0))
        X = torch.zeros(*X_shape, device=parameter.device)
        shapes = []
        with torch.no_grad():
            for layer in self.net:
                X = layer(X)
                shapes.append((type(layer).__name__, X.shape))
        self.train(training)
        self._print_layers(shapes)


class FashionMNIST(core.FashionMNIST):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int64``.

    See `d2l.core.FashionMNIST`.
    """

    def _permutation(self, n: int) -> np.ndarray:
        return torch.randperm(n).numpy()

    def _tensors(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = torch.from_numpy(self._resize_rows), torch.from_numpy(self._resize_columns)
        X = torch.from_numpy(images).float() / 255
        return (rows @ X @ columns.T).unsqueeze(1), torch.from_numpy(labels).long()


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return torch.cuda.device_count()


def try_gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[torch.device]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


def init_cnn(module: nn.Module) -> None:
    """Initialize a linear or convolutional layer's weight uniformly, after Glorot and Bengio (2010).

    For ``model.apply(init_cnn)``. A lazy layer is initialized once its first input has given it its shape.
    """
    if not isinstance(module, (nn.Linear, nn.Conv2d)):
        return
    if nn.parameter.is_lazy(module.weight):
        # Hooks run in the order of their making, so the layer's own has made the weight when this one runs.
        module.register_forward_pre_hook(_initialize_once)
    else:
        nn.init.xavier_uniform_(module.weight)


def _initialize_once(layer: nn.Module, _: Any) -> None:
    """Hook before a lazy layer's first pass. It takes itself off, also where ``layer`` is a copy."""
    nn.init.xavier_uniform_(layer.weight)
    hooks = layer._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if hook is _initialize_once]:
        del hooks[key]
