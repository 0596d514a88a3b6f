"""The helper for MXNet."""

import sys

# pyright does not follow names that a stub's `__getattr__` gives through two modules.
from .backends.mxnet import autograd, gluon, init, mx, nn, np, npx  # pyright: ignore[reportAttributeAccessIssue]
from .backends.mxnet.data_modules import DataModule, FashionMNIST, ImageFolder, SyntheticRegressionData
from .backends.mxnet.devices import cpu, gpu, num_gpus, try_all_gpus, try_gpu
from .backends.mxnet.models import (
    LeNet,
    LinearRegression,
    LinearRegressionScratch,
    Residual,
    ResNeXtBlock,
    SoftmaxRegression,
    corr2d,
)
from .backends.mxnet.modules import Classifier, Module
from .backends.mxnet.sgd import SGD
from .backends.mxnet.trainer import Trainer
from .board import ProgressBoard
from .callbacks import EarlyStopping, KeepBest
from .confusion import plot_confusion_matrix, show_mistakes
from .hyperparameters import HyperParameters, add_to_class
from .observers import Observer
from .plotting import plot, plt, set_axes, set_figsize, show_images, use_svg_display

__all__ = [
    "HyperParameters",
    "add_to_class",
    "ProgressBoard",
    "Module",
    "DataModule",
    "Trainer",
    "Observer",
    "EarlyStopping",
    "KeepBest",
    "SyntheticRegressionData",
    "LinearRegressionScratch",
    "SGD",
    "LinearRegression",
    "Classifier",
    "FashionMNIST",
    "ImageFolder",
    "SoftmaxRegression",
    "cpu",
    "gpu",
    "num_gpus",
    "try_gpu",
    "try_all_gpus",
    "corr2d",
    "LeNet",
    "Residual",
    "ResNeXtBlock",
    "plot",
    "plt",
    "show_images",
    "plot_confusion_matrix",
    "show_mistakes",
    "use_svg_display",
    "set_figsize",
    "set_axes",
]

# What follows is taken from the chapter: classes marked there with #@save, and the names that config.ini gives tensors.
d2l = sys.modules[__name__]
# fmt: off
#################   WARNING   ################
# The below part is generated automatically through:
#    d2lbook build lib
# Don't edit it directly

class AlexNet(d2l.Classifier):
    """Defined in :numref:`sec_alexnet`"""
    def __init__(self, lr=0.1, num_classes=10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(
            nn.Conv2D(96, kernel_size=11, strides=4, activation='relu'),
            nn.MaxPool2D(pool_size=3, strides=2),
            nn.Conv2D(256, kernel_size=5, padding=2, activation='relu'),
            nn.MaxPool2D(pool_size=3, strides=2),
            nn.Conv2D(384, kernel_size=3, padding=1, activation='relu'),
            nn.Conv2D(384, kernel_size=3, padding=1, activation='relu'),
            nn.Conv2D(256, kernel_size=3, padding=1, activation='relu'),
            nn.MaxPool2D(pool_size=3, strides=2),
            nn.Dense(4096, activation='relu'), nn.Dropout(0.5),
            nn.Dense(4096, activation='relu'), nn.Dropout(0.5),
            nn.Dense(num_classes))
        self.net.initialize(init.Xavier())


# Alias defined in config.ini
nn_Module = nn.Block
size = lambda x: x.size
transpose = lambda x: x.T
sigmoid = npx.sigmoid
batch_matmul = npx.batch_dot

ones_like = np.ones_like
ones = np.ones
zeros_like = np.zeros_like
zeros = np.zeros
tensor = np.array
arange = np.arange
meshgrid = np.meshgrid
linspace = np.linspace
sin = np.sin
sinh = np.sinh
cos = np.cos
cosh = np.cosh
tanh = np.tanh
exp = np.exp
log = np.log
abs = np.abs
normal = np.random.normal
rand = np.random.rand
randn = np.random.randn
eye = np.eye
matmul = np.matmul
concat = np.concatenate
stack = np.stack
float32 = np.float32
int32 = np.int32
int64 = np.int64
expand_dims = np.expand_dims
numpy = lambda x, *args, **kwargs: x.asnumpy(*args, **kwargs)
reshape = lambda x, *args, **kwargs: x.reshape(*args, **kwargs)
to = lambda x, *args, **kwargs: x.as_in_ctx(*args, **kwargs)
astype = lambda x, *args, **kwargs: x.astype(*args, **kwargs)
repeat = lambda x, *args, **kwargs: x.repeat(*args, **kwargs)
swapaxes = lambda x, *args, **kwargs: x.swapaxes(*args, **kwargs)
reduce_sum = lambda x, *args, **kwargs: x.sum(*args, **kwargs)
reduce_mean = lambda x, *args, **kwargs: x.mean(*args, **kwargs)
argmax = lambda x, *args, **kwargs: x.argmax(*args, **kwargs)
