"""Models, and what they are made of, in MXNet."""

from typing import Any

from mxnet import init, np, npx
from mxnet.gluon import nn

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
        self.w = np.random.normal(scale=sigma, size=(num_inputs, 1))
        self.b = np.zeros(1)
        self.w.attach_grad()
        self.b.attach_grad()

    def forward(self, X: np.ndarray) -> np.ndarray:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, y_hat: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Half of the mean squared error."""
        return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD([self.w, self.b], input_checks.learning_rate(self))


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²): X is (n, inputs), y (n, 1).

    Args:
        lr: Learning rate.
    """

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Dense(1)
        self.net.initialize(init.Normal(sigma=0.01))

    def loss(self, y_hat: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The mean squared error."""
        return ((y_hat - y.reshape(y_hat.shape)) ** 2).mean()

    def get_w_b(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (1, inputs) and bias (1,)."""
        return self.net.weight.list_data()[0], self.net.bias.list_data()[0]


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors.

    Args:
        num_outputs: Classes: images (n, ...) give logits (n, num_outputs).
        lr: Learning rate.
    """

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(nn.Flatten(), nn.Dense(num_outputs))
        self.net.initialize()


def corr2d(X: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Cross-correlation of a matrix X with a kernel K, without padding.

    Args:
        X: A matrix (a, b).
        K: A kernel (h, w), no larger than X; it is converted to the dtype of X.

    Returns:
        A matrix (a - h + 1, b - w + 1) of the dtype of X.
    """
    kernel = K.astype(X.dtype)[None, None]
    return npx.convolution(X[None, None], kernel, kernel=K.shape, num_filter=1, no_bias=True)[0, 0]


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: see `d2l.torch.LeNet`."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(
            nn.Conv2D(6, kernel_size=5, padding=2, activation="sigmoid"),
            nn.AvgPool2D(pool_size=2, strides=2),
            nn.Conv2D(16, kernel_size=5, activation="sigmoid"),
            nn.AvgPool2D(pool_size=2, strides=2),
            nn.Dense(120, activation="sigmoid"),
            nn.Dense(84, activation="sigmoid"),
            nn.Dense(num_classes),
        )
        self.net.initialize(init.Xavier())


class Residual(nn.Block):
    """Two convolutions with batch normalization beside a shortcut: see `d2l.torch.Residual`."""

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
        self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The block's output for X (n, channels, height, width)."""
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return npx.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Block):
    """A residual block with a grouped convolution between two of 1 by 1: see `d2l.torch.ResNeXtBlock`."""

    def __init__(
        self,
        num_channels: int,
        groups: int,
        bot_mul: float,
        use_1x1conv: bool = False,
        strides: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        width = round(num_channels * bot_mul)
        self.conv1 = nn.Conv2D(width, kernel_size=1)
        self.conv2 = nn.Conv2D(width, kernel_size=3, padding=1, strides=strides, groups=width // groups)
        self.conv3 = nn.Conv2D(num_channels, kernel_size=1)
        self.conv4 = nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()
        self.bn3 = nn.BatchNorm()
        self.bn4 = nn.BatchNorm() if use_1x1conv else None

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The block's output for X (n, channels, height, width)."""
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = npx.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return npx.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 and self.bn4 else X))
