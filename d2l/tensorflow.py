"""The helper for TensorFlow with Keras 3."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import core
from .board import ProgressBoard
from .core import DataModule
from .hyperparameters import HyperParameters, add_to_class
from .plotting import plot, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to standard error."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


# TensorFlow's native code reports every missing CUDA library, some before it reads this setting. Errors still raise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    with _quiet_stderr():
        import tensorflow as tf
except ModuleNotFoundError as error:
    raise core.missing_framework(error, "tensorflow", "tensorflow") from error

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

if current_profile().smoke:
    tf.keras.utils.set_random_seed(SEED)


class Module(core.Module, tf.keras.Model):
    """Base class of models: see `d2l.core.Module`."""

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        tf.keras.Model.__init__(self)
        # Keras 3 gives every model an attribute of this name, which would hide the method.
        del self.loss
        self.training = None
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def call(self, X: tf.Tensor, *args: Any, training: bool | None = None) -> tf.Tensor:
        """What Keras runs for ``model(X)``: `forward`, with layers such as dropout told whether this is training."""
        return self.forward(X, *args)

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> tf.Tensor:
        return super().__call__(*args, training=self.training if training is None else training, **kwargs)

    def configure_optimizers(self) -> tf.keras.optimizers.Optimizer:
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return tf.keras.optimizers.SGD(self.lr)


class Trainer(core.Trainer):
    """Fit a model to data: see `d2l.core.Trainer`.

    The steps of training and validation are compiled into graphs.
    """

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, and compile the steps anew."""
        super().prepare_model(model)
        self._compiled_train = tf.function(self._train_metrics)
        self._compiled_validate = tf.function(self._validate_metrics)

    def clip_gradients(self, grad_clip_val: float, grads: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, scaled all together such that their L2 norm is at most ``grad_clip_val``."""
        return tf.clip_by_global_norm(grads, grad_clip_val)[0]

    def _report(self) -> None:
        # A device context around fit decides where the model lives.
        variable = self.model.trainable_variables[0].value
        self.device = tf.DeviceSpec.from_string(variable.device).device_type.lower()
        super()._report()

    def _choose_device(self) -> tuple[str, int]:
        found = min(self.num_gpus, num_gpus(), 1)
        return ("gpu" if found else "cpu"), found

    def _set_training(self, training: bool) -> None:
        self.model.training = training

    def _train(self, batch: Sequence[tf.Tensor]) -> None:
        if not self.model.built:
            # Variables are made here, outside of the compiled step.
            self.model(*batch[:-1], training=False)
        for key, value in self._compiled_train(batch).items():
            self.log(key, value, train=True)

    def _validate(self, batch: Sequence[tf.Tensor]) -> None:
        for key, value in self._compiled_validate(batch).items():
            self.log(key, value, train=False)

    def _train_metrics(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        with self._capture() as metrics, tf.GradientTape() as tape:
            loss = self.model.training_step(batch)
        variables = self.model.trainable_variables
        grads = tape.gradient(loss, variables)
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        self.optim.apply_gradients(zip(grads, variables, strict=True))
        return metrics

    def _validate_metrics(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        with self._capture() as metrics:
            self.model.validation_step(batch)
        return metrics


class Classifier(core.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True) -> tf.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...)."""
        Y_hat, Y = tf.reshape(Y_hat, (-1, Y_hat.shape[-1])), tf.reshape(Y, (-1,))
        losses = tf.keras.losses.sparse_categorical_crossentropy(Y, Y_hat, from_logits=True)
        return tf.reduce_mean(losses) if averaged else losses

    def accuracy(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True) -> tf.Tensor:
        """Share of examples whose largest logit is that of their class, or 1 and 0 per example."""
        Y = tf.reshape(Y, (-1,))
        predicted = tf.argmax(tf.reshape(Y_hat, (-1, Y_hat.shape[-1])), axis=1, output_type=Y.dtype)
        correct = tf.cast(predicted == Y, tf.float32)
        return tf.reduce_mean(correct) if averaged else correct

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``."""
        X = tf.zeros(X_shape)
        shapes = []
        for layer in self.net.layers:
            X = layer(X, training=False)
            shapes.append((type(layer).__name__, X.shape))
        self._print_layers(shapes)


class FashionMNIST(core.FashionMNIST):
    """Fashion-MNIST in batches of X (n, height, width, 1) ``float32`` and y (n,) ``int32``.

    See `d2l.core.FashionMNIST`.
    """

    def _permutation(self, n: int) -> np.ndarray:
        return tf.random.shuffle(tf.range(n)).numpy()

    def _tensors(self, images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        rows, columns = tf.constant(self._resize_rows), tf.constant(self._resize_columns)
        X = tf.cast(images, tf.float32) / 255
        return (rows @ X @ tf.transpose(columns))[..., tf.newaxis], tf.cast(labels, tf.int32)


def cpu() -> Any:
    """The CPU, as a context: ``with d2l.cpu():`` places what follows."""
    return tf.device("/CPU:0")


def gpu(i: int = 0) -> Any:
    """The ``i``-th GPU, as a context."""
    return tf.device(f"/GPU:{i}")


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return len(tf.config.list_physical_devices("GPU"))


def try_gpu(i: int = 0) -> Any:
    """The ``i``-th GPU if there is one, else the CPU, as a context."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[Any]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]
