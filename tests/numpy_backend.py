"""A fifth framework for the helper, NumPy: all that `d2l.backend.Backend` asks for, and a model to train with it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from d2l import backend, data_modules, modules, trainer
from d2l.backend import Clip, OptimizerState
from d2l.checkpoint_file import check_fits
from d2l.metrics import StepMetrics, recorded


class Dense:
    """A layer ``X w + b``; `backward` gives the gradient for X, and keeps those for its parameters."""

    def __init__(self, inputs: int, outputs: int):
        self.params = [np.random.normal(0, inputs**-0.5, (inputs, outputs)), np.zeros(outputs)]
        self.grads = [np.zeros_like(param) for param in self.params]

    def forward(self, X: np.ndarray) -> np.ndarray:
        self.X = X.reshape(len(X), -1)
        return self.X @ self.params[0] + self.params[1]

    def backward(self, grad: np.ndarray) -> np.ndarray:
        self.grads = [self.X.T @ grad, grad.sum(0)]
        return grad @ self.params[0].T


class ReLU:
    """A layer without parameters."""

    params: Sequence[np.ndarray] = ()
    grads: Sequence[np.ndarray] = ()

    def forward(self, X: np.ndarray) -> np.ndarray:
        self.positive = X > 0
        return X * self.positive

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.positive


class SGD:
    """Stochastic gradient descent with momentum."""

    def __init__(self, params: Sequence[np.ndarray], lr: float, momentum: float):
        self.params, self.lr, self.momentum = params, lr, momentum
        self.velocities = [np.zeros_like(param) for param in params]

    def step(self, grads: Sequence[np.ndarray]) -> None:
        for param, velocity, grad in zip(self.params, self.velocities, grads, strict=True):
            velocity[:] = self.momentum * velocity + grad
            param -= self.lr * velocity


class Classifier(modules.Classifier, modules.Module):
    """Layers and a softmax: with sizes (inputs, outputs), softmax regression."""

    channel_axis = 1

    def __init__(self, *sizes: int, lr: float = 0.1, momentum: float = 0.0):
        self.save_hyperparameters()
        self._plot_settings(plot_train_per_epoch=2, plot_valid_per_epoch=1)
        dense = [Dense(*pair) for pair in pairwise(sizes)]
        self.layers = [layer for one in dense for layer in (one, ReLU())][:-1]

    def __call__(self, X: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            X = layer.forward(X)
        return X

    def loss(self, Y_hat: np.ndarray, Y: np.ndarray) -> np.ndarray:
        exp = np.exp(Y_hat - Y_hat.max(1, keepdims=True))
        self.probabilities, self.labels = exp / exp.sum(1, keepdims=True), Y
        return -np.log(self.probabilities[np.arange(len(Y)), Y]).mean()

    def accuracy(self, Y_hat: np.ndarray, Y: np.ndarray, top: int = 1) -> np.ndarray:
        return (np.argsort(Y_hat)[:, -top:] == Y[:, None]).any(1).mean()

    def gradients(self) -> list[np.ndarray]:
        """Those of the last loss, in the order of `parameters`."""
        grad = (self.probabilities - np.eye(self.probabilities.shape[1])[self.labels]) / len(self.labels)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return [grad for layer in self.layers for grad in layer.grads]

    def parameters(self) -> list[np.ndarray]:
        return [param for layer in self.layers for param in layer.params]

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), self.lr, self.momentum)


class Backend(backend.Backend):
    name = "numpy"
    optimizer_methods = ("step",)

    def set_training(self, model: Classifier, training: bool) -> None:
        model.training = training

    def train_step(self, model: Classifier, optimizer: SGD, batch: Sequence[Any], clip: Clip | None) -> StepMetrics:
        with recorded() as metrics:
            model.training_step(batch)
        grads = model.gradients()
        optimizer.step(grads if clip is None else clip(grads))
        return StepMetrics(metrics)

    def eval_step(self, model: Classifier, batch: Sequence[Any]) -> StepMetrics:
        with recorded() as metrics:
            model.validation_step(batch)
        return StepMetrics(metrics)

    def model_state(self, model: Classifier) -> dict[str, np.ndarray]:
        return {str(i): param for i, param in enumerate(model.parameters())}

    def load_model_state(self, model: Classifier, state: Mapping[str, np.ndarray]) -> None:
        for name, param in self.model_state(model).items():
            param[:] = state[name]

    def optimizer_state(self, model: Classifier, optimizer: SGD) -> OptimizerState:
        velocities = {str(i): velocity for i, velocity in enumerate(optimizer.velocities)}
        return OptimizerState("SGD", velocities, held=[optimizer])

    def load_optimizer_state(self, model: Classifier, optimizer: SGD, saved: OptimizerState, path: Path) -> None:
        own = self.optimizer_state(model, optimizer).state
        check_fits(path, saved.state, own, "optimizer")
        for name, velocity in own.items():
            velocity[:] = saved.state[name]


class Trainer(trainer.Trainer):
    backend_type = Backend

    def clip_gradients(self, grad_clip_val: float, grads: list[np.ndarray]) -> list[np.ndarray]:
        norm = np.sqrt(sum((grad**2).sum() for grad in grads))
        return [grad * min(1, grad_clip_val / norm) for grad in grads]


class FashionMNIST(data_modules.FashionMNIST):
    def _on_device(self, tensor: np.ndarray, device: Any) -> np.ndarray:
        return tensor

    def _sample_indices(self, n: int, shuffle: bool, device: Any) -> np.ndarray:
        return np.random.permutation(n) if shuffle else np.arange(n)

    def _collate(self, rows: Any, columns: Any, images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        return (rows @ (images / 255) @ columns.T)[:, None], labels.astype(np.int64)
