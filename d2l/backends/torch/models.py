"""Models, and what they are made of, in PyTorch."""

import torch
from torch import nn

from ... import input_checks
from .lazy import initialize
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
        self.w = nn.Parameter(sigma * torch.randn(num_inputs, 1))
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, y_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
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
        self.net = nn.LazyLinear(1)
        initialize(self.net, lambda layer: (nn.init.normal_(layer.weight, std=0.01), nn.init.zeros_(layer.bias)))

    def loss(self, y_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean squared error."""
        return nn.functional.mse_loss(y_hat, y.reshape(y_hat.shape))

    def get_w_b(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (1, inputs) and bias (1,)."""
        return self.net.weight.data, self.net.bias.data


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors.

    Args:
        num_outputs: Classes: images (n, ...) give logits (n, num_outputs).
        lr: Learning rate.
    """

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))


def corr2d(X: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Cross-correlation of a matrix X with a kernel K, without padding.

    Args:
        X: A matrix (a, b).
        K: A kernel (h, w), no larger than X; it is converted to the dtype of X.

    Returns:
        A matrix (a - h + 1, b - w + 1) of the dtype of X.
    """
    return nn.functional.conv2d(X[None, None], K[None, None].to(X.dtype))[0, 0]


def init_cnn(module: nn.Module) -> None:
    """Initialize a linear or convolutional layer's weight uniformly, after Glorot and Bengio (2010).

    For ``model.apply(init_cnn)``. A lazy layer is initialized once its first input has given it its shape.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        initialize(module, lambda layer: nn.init.xavier_uniform_(layer.weight))


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling, for images of one channel and 28 by 28 pixels.

    After LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Args:
        lr: Learning rate.
        num_classes: Classes: n images give logits (n, num_classes).
    """

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.LazyConv2d(6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.LazyConv2d(16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.LazyLinear(120),
            nn.Sigmoid(),
            nn.LazyLinear(84),
            nn.Sigmoid(),
            nn.LazyLinear(num_classes),
        )
        self.net.apply(init_cnn)


class Residual(nn.Module):
    """Two convolutions with batch normalization beside a shortcut: ReLU(F(X) + X).

    After He et al., "Deep residual learning for image recognition", 2016.

    Args:
        num_channels: Channels of the output.
        use_1x1conv: Whether the shortcut has a convolution, for another number of channels or another size.
        strides: Strides of the first convolution and of the shortcut's.
    """

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The block's output for X (n, channels, height, width)."""
        Y = nn.functional.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return nn.functional.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Module):
    """A residual block with a grouped convolution between two of 1 by 1.

    After Xie et al., "Aggregated residual transformations for deep neural networks", 2017.

    Args:
        num_channels: Channels of the output.
        groups: Channels in a group of the grouped convolution.
        bot_mul: Channels of the grouped convolution as a share of ``num_channels``.
        use_1x1conv: Whether the shortcut has a convolution, for another number of channels or another size.
        strides: Strides of the grouped convolution and of the shortcut's.
    """

    def __init__(self, num_channels: int, groups: int, bot_mul: float, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        width = round(num_channels * bot_mul)
        self.conv1 = nn.LazyConv2d(width, kernel_size=1)
        self.conv2 = nn.LazyConv2d(width, kernel_size=3, padding=1, stride=strides, groups=width // groups)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1)
        self.conv4 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()
        self.bn3 = nn.LazyBatchNorm2d()
        self.bn4 = nn.LazyBatchNorm2d() if use_1x1conv else None

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The block's output for X (n, channels, height, width)."""
        Y = nn.functional.relu(self.bn1(self.conv1(X)))
        Y = nn.functional.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return nn.functional.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 and self.bn4 else X))
