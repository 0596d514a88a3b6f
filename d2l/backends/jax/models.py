"""Models, and what they are made of, in JAX."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from flax import linen as nn

from ... import input_checks
from .modules import Classifier, Module
from .sgd import SGD
from .train_state import Params, TrainState

# It knows that Flax makes dataclasses, and takes fields that are no arguments of the constructor for arguments.
# pyright: reportGeneralTypeIssues=false


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``.

    Args:
        num_inputs: Numbers in an example: X is (n, num_inputs), y (n, 1).
        lr: Learning rate.
        sigma: Standard deviation of the first weights.
    """

    num_inputs: int
    lr: float
    sigma: float = 0.01

    def setup(self) -> None:
        """Make the parameters."""
        self.w = self.param("w", nn.initializers.normal(self.sigma), (self.num_inputs, 1))
        self.b = self.param("b", nn.initializers.zeros, (1,))

    def forward(self, X: jax.Array) -> jax.Array:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """Half of the mean squared error."""
        y_hat = state.apply_fn({"params": params}, *X)
        return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD(input_checks.learning_rate(self, "declare lr: float = 0.1 in the class"))


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²): X is (n, inputs), y (n, 1).

    Args:
        lr: Learning rate.
    """

    lr: float

    def setup(self) -> None:
        """Make the layer."""
        self.net = nn.Dense(1, kernel_init=nn.initializers.normal(0.01))

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """The mean squared error."""
        y_hat = state.apply_fn({"params": params}, *X)
        return ((y_hat - y.reshape(y_hat.shape)) ** 2).mean()

    def get_w_b(self, state: TrainState) -> tuple[jax.Array, jax.Array]:
        """Weights (inputs, 1) and bias (1,)."""
        return state.params["net"]["kernel"], state.params["net"]["bias"]


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors.

    Args:
        num_outputs: Classes: images (n, ...) give logits (n, num_outputs).
        lr: Learning rate.
    """

    num_outputs: int
    lr: float

    def setup(self) -> None:
        """Make the layers."""
        self.net = nn.Sequential([_flatten, nn.Dense(self.num_outputs)])


def corr2d(X: jax.Array, K: jax.Array) -> jax.Array:
    """Cross-correlation of a matrix X with a kernel K, without padding.

    Args:
        X: A matrix (a, b).
        K: A kernel (h, w), no larger than X; it is converted to the dtype of X.

    Returns:
        A matrix (a - h + 1, b - w + 1) of the dtype of X.
    """
    return jax.lax.conv(X[None, None], K[None, None].astype(X.dtype), (1, 1), "VALID")[0, 0]


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: see `d2l.torch.LeNet`."""

    lr: float = 0.1
    num_classes: int = 10
    kernel_init: Callable[[], Any] = nn.initializers.xavier_uniform

    def setup(self) -> None:
        """Make the layers."""
        conv, dense = (partial(layer, kernel_init=self.kernel_init()) for layer in (nn.Conv, nn.Dense))
        pool = partial(nn.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.net = nn.Sequential(
            [
                conv(6, kernel_size=(5, 5), padding=2),
                nn.sigmoid,
                pool,
                conv(16, kernel_size=(5, 5), padding="VALID"),
                nn.sigmoid,
                pool,
                _flatten,
                dense(120),
                nn.sigmoid,
                dense(84),
                nn.sigmoid,
                dense(self.num_classes),
            ]
        )


class Residual(nn.Module):
    """Two convolutions with batch normalization beside a shortcut: see `d2l.torch.Residual`.

    ``training`` says whether batch normalization takes the batch's own statistics.
    """

    num_channels: int
    use_1x1conv: bool = False
    strides: int | tuple[int, int] = (1, 1)
    training: bool = True

    def setup(self) -> None:
        """Make the layers."""
        self.conv1 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding=1, strides=self.strides)
        self.conv2 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding=1)
        self.conv3 = nn.Conv(self.num_channels, (1, 1), strides=self.strides) if self.use_1x1conv else None
        self.bn1 = _batch_norm(self.training)
        self.bn2 = _batch_norm(self.training)

    def __call__(self, X: jax.Array) -> jax.Array:
        """The block's output for X (n, height, width, channels)."""
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return nn.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Module):
    """A residual block with a grouped convolution between two of 1 by 1: see `d2l.torch.ResNeXtBlock`.

    ``training`` says whether batch normalization takes the batch's own statistics.
    """

    num_channels: int
    groups: int
    bot_mul: float
    use_1x1conv: bool = False
    strides: int | tuple[int, int] = (1, 1)
    training: bool = True

    def setup(self) -> None:
        """Make the layers."""
        width = round(self.num_channels * self.bot_mul)
        groups = width // self.groups
        self.conv1 = nn.Conv(width, kernel_size=(1, 1))
        self.conv2 = nn.Conv(width, (3, 3), padding=1, strides=self.strides, feature_group_count=groups)
        self.conv3 = nn.Conv(self.num_channels, kernel_size=(1, 1))
        self.conv4 = nn.Conv(self.num_channels, (1, 1), strides=self.strides) if self.use_1x1conv else None
        self.bn1 = _batch_norm(self.training)
        self.bn2 = _batch_norm(self.training)
        self.bn3 = _batch_norm(self.training)
        self.bn4 = _batch_norm(self.training) if self.use_1x1conv else None

    def __call__(self, X: jax.Array) -> jax.Array:
        """The block's output for X (n, height, width, channels)."""
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = nn.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return nn.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 and self.bn4 else X))


def _batch_norm(training: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not training, momentum=0.9, epsilon=1e-5)


def _flatten(X: jax.Array) -> jax.Array:
    return X.reshape(X.shape[0], -1)
