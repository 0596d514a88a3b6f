"""Models, and what they are made of, in TensorFlow."""

import numpy as np
import tensorflow as tf

from ... import input_checks
from .modules import Classifier, Module
from .sgd import SGD


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``.

    Args:
        num_inputs: Numbers in an example: X is (n, num_inputs), y (n, 1).
        lr: Learning rate.
        sigma: Standard deviation of the first weights.
    """

    def __init__(self, num_inputs: int, lr: float, sigma: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.w = tf.Variable(sigma * tf.random.normal((num_inputs, 1)))
        self.b = tf.Variable(tf.zeros(1))

    def forward(self, X: tf.Tensor) -> tf.Tensor:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, y_hat: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Half of the mean squared error."""
        return tf.reduce_mean((y_hat - tf.reshape(y, tf.shape(y_hat))) ** 2 / 2)

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD(input_checks.learning_rate(self))


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²): X is (n, inputs), y (n, 1).

    Args:
        lr: Learning rate.
    """

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.layers.Dense(1, kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.01))

    def loss(self, y_hat: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The mean squared error."""
        return tf.reduce_mean((y_hat - tf.reshape(y, tf.shape(y_hat))) ** 2)

    def get_w_b(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (inputs, 1) and bias (1,)."""
        return self.net.get_weights()[0], self.net.get_weights()[1]


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors.

    Args:
        num_outputs: Classes: images (n, ...) give logits (n, num_outputs).
        lr: Learning rate.
    """

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(num_outputs)])


def corr2d(X: tf.Tensor, K: tf.Tensor) -> tf.Tensor:
    """Cross-correlation of a matrix X with a kernel K, without padding.

    Args:
        X: A matrix (a, b).
        K: A kernel (h, w), no larger than X; it is converted to the dtype of X.

    Returns:
        A matrix (a - h + 1, b - w + 1) of the dtype of X.
    """
    X, K = tf.convert_to_tensor(X), tf.convert_to_tensor(K)
    kernel = tf.cast(K, X.dtype)[..., None, None]
    return tf.nn.conv2d(X[None, ..., None], kernel, strides=1, padding="VALID")[0, ..., 0]


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: see `d2l.torch.LeNet`."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        layers = tf.keras.layers
        self.net = tf.keras.Sequential(
            [
                layers.Conv2D(6, kernel_size=5, padding="same", activation="sigmoid"),
                layers.AvgPool2D(pool_size=2, strides=2),
                layers.Conv2D(16, kernel_size=5, activation="sigmoid"),
                layers.AvgPool2D(pool_size=2, strides=2),
                layers.Flatten(),
                layers.Dense(120, activation="sigmoid"),
                layers.Dense(84, activation="sigmoid"),
                layers.Dense(num_classes),
            ]
        )


class Residual(tf.keras.Model):
    """Two convolutions with batch normalization beside a shortcut: see `d2l.torch.Residual`."""

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        layers = tf.keras.layers
        self.pad = layers.ZeroPadding2D(1)
        self.conv1 = layers.Conv2D(num_channels, kernel_size=3, strides=strides)
        self.conv2 = layers.Conv2D(num_channels, kernel_size=3, padding="same")
        self.conv3 = layers.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = _batch_norm()
        self.bn2 = _batch_norm()

    def call(self, X: tf.Tensor) -> tf.Tensor:
        """The block's output for X (n, height, width, channels)."""
        Y = tf.nn.relu(self.bn1(self.conv1(self.pad(X))))
        Y = self.bn2(self.conv2(Y))
        return tf.nn.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(tf.keras.Model):
    """A residual block with a grouped convolution between two of 1 by 1: see `d2l.torch.ResNeXtBlock`."""

    def __init__(self, num_channels: int, groups: int, bot_mul: float, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        layers = tf.keras.layers
        width = round(num_channels * bot_mul)
        self.pad = layers.ZeroPadding2D(1)
        self.conv1 = layers.Conv2D(width, kernel_size=1)
        self.conv2 = layers.Conv2D(width, kernel_size=3, strides=strides, groups=width // groups)
        self.conv3 = layers.Conv2D(num_channels, kernel_size=1)
        self.conv4 = layers.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = _batch_norm()
        self.bn2 = _batch_norm()
        self.bn3 = _batch_norm()
        self.bn4 = _batch_norm() if use_1x1conv else None

    def call(self, X: tf.Tensor) -> tf.Tensor:
        """The block's output for X (n, height, width, channels)."""
        Y = tf.nn.relu(self.bn1(self.conv1(X)))
        Y = tf.nn.relu(self.bn2(self.conv2(self.pad(Y))))
        Y = self.bn3(self.conv3(Y))
        return tf.nn.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 and self.bn4 else X))


def _batch_norm() -> tf.keras.layers.BatchNormalization:
    return tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
