"""The helper for TensorFlow with Keras 3."""

import sys

import numpy as np

from .backends.tensorflow import tf
from .backends.tensorflow.data_modules import DataModule, FashionMNIST, ImageFolder, SyntheticRegressionData
from .backends.tensorflow.devices import cpu, gpu, num_gpus, try_all_gpus, try_gpu
from .backends.tensorflow.models import (
    LeNet,
    LinearRegression,
    LinearRegressionScratch,
    Residual,
    ResNeXtBlock,
    SoftmaxRegression,
    corr2d,
)
from .backends.tensorflow.modules import Classifier, Module
from .backends.tensorflow.sgd import SGD
from .backends.tensorflow.trainer import Trainer
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
        layers = tf.keras.layers
        self.net = tf.keras.Sequential([
            layers.Conv2D(96, kernel_size=11, strides=4, activation='relu'),
            layers.MaxPool2D(pool_size=3, strides=2),
            layers.Conv2D(256, kernel_size=5, padding='same', activation='relu'),
            layers.MaxPool2D(pool_size=3, strides=2),
            layers.Conv2D(384, kernel_size=3, padding='same', activation='relu'),
            layers.Conv2D(384, kernel_size=3, padding='same', activation='relu'),
            layers.Conv2D(256, kernel_size=3, padding='same', activation='relu'),
            layers.MaxPool2D(pool_size=3, strides=2), layers.Flatten(),
            layers.Dense(4096, activation='relu'), layers.Dropout(0.5),
            layers.Dense(4096, activation='relu'), layers.Dropout(0.5),
            layers.Dense(num_classes)])


# Alias defined in config.ini
nn_Module = tf.keras.Model
size = lambda x: tf.size(x).numpy()
randn = lambda *shape: tf.random.normal(shape)

ones_like = tf.ones_like
ones = tf.ones
zeros_like = tf.zeros_like
zeros = tf.zeros
tensor = tf.constant
arange = tf.range
meshgrid = tf.meshgrid
linspace = tf.linspace
sin = tf.sin
sinh = tf.sinh
cos = tf.cos
cosh = tf.cosh
tanh = tf.tanh
exp = tf.exp
log = tf.math.log
abs = tf.abs
sigmoid = tf.sigmoid
normal = tf.random.normal
rand = tf.random.uniform
eye = tf.eye
matmul = tf.matmul
batch_matmul = tf.matmul
concat = tf.concat
stack = tf.stack
float32 = tf.float32
int32 = tf.int32
int64 = tf.int64
reshape = tf.reshape
astype = tf.cast
repeat = tf.repeat
swapaxes = tf.experimental.numpy.swapaxes
transpose = tf.transpose
expand_dims = tf.expand_dims
reduce_sum = tf.reduce_sum
reduce_mean = tf.reduce_mean
argmax = tf.argmax
numpy = lambda x, *args, **kwargs: x.numpy(*args, **kwargs)
