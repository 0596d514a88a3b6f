"""The helper for JAX with Flax (linen) and Optax."""

import sys
from functools import partial

import numpy as np

# pyright does not follow names that a stub's `__getattr__` gives through two modules.
from .backends.jax import jax, jnp, lax, nn, optax  # pyright: ignore[reportAttributeAccessIssue]
from .backends.jax.data_modules import DataModule, FashionMNIST, ImageFolder, SyntheticRegressionData
from .backends.jax.devices import cpu, get_key, get_seed, gpu, num_gpus, try_all_gpus, try_gpu
from .backends.jax.models import (
    LeNet,
    LinearRegression,
    LinearRegressionScratch,
    Residual,
    ResNeXtBlock,
    SoftmaxRegression,
    corr2d,
)
from .backends.jax.modules import Classifier, Module
from .backends.jax.sgd import SGD
from .backends.jax.train_state import TrainState
from .backends.jax.trainer import Trainer
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
    "get_seed",
    "get_key",
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
    lr: float = 0.1
    num_classes: int = 10
    training: bool = True

    def setup(self):
        glorot = nn.initializers.glorot_uniform()
        conv, dense = (partial(nn.Conv, kernel_init=glorot),
                       partial(nn.Dense, kernel_init=glorot))
        pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
        dropout = partial(nn.Dropout, 0.5, deterministic=not self.training)
        self.net = nn.Sequential([
            conv(96, kernel_size=(11, 11), strides=4, padding='VALID'),
            nn.relu, pool,
            conv(256, kernel_size=(5, 5), padding=2), nn.relu, pool,
            conv(384, kernel_size=(3, 3), padding=1), nn.relu,
            conv(384, kernel_size=(3, 3), padding=1), nn.relu,
            conv(256, kernel_size=(3, 3), padding=1), nn.relu, pool,
            lambda X: X.reshape(X.shape[0], -1),
            dense(4096), nn.relu, dropout(),
            dense(4096), nn.relu, dropout(),
            dense(self.num_classes)])


# Alias defined in config.ini
nn_Module = nn.Module
size = lambda x: x.size
transpose = lambda x: x.T
numpy = np.asarray
to = jax.device_put
sigmoid = jax.nn.sigmoid
rand = lambda *shape: jax.random.uniform(get_key(), shape)
randn = lambda *shape: jax.random.normal(get_key(), shape)

ones_like = jnp.ones_like
ones = jnp.ones
zeros_like = jnp.zeros_like
zeros = jnp.zeros
tensor = jnp.array
arange = jnp.arange
meshgrid = jnp.meshgrid
linspace = jnp.linspace
sin = jnp.sin
sinh = jnp.sinh
cos = jnp.cos
cosh = jnp.cosh
tanh = jnp.tanh
exp = jnp.exp
log = jnp.log
abs = jnp.abs
eye = jnp.eye
matmul = jnp.matmul
batch_matmul = jnp.matmul
concat = jnp.concatenate
stack = jnp.stack
float32 = jnp.float32
int32 = jnp.int32
int64 = jnp.int64
expand_dims = jnp.expand_dims
reshape = lambda x, *args, **kwargs: x.reshape(*args, **kwargs)
astype = lambda x, *args, **kwargs: x.astype(*args, **kwargs)
repeat = lambda x, *args, **kwargs: x.repeat(*args, **kwargs)
swapaxes = lambda x, *args, **kwargs: x.swapaxes(*args, **kwargs)
reduce_sum = lambda x, *args, **kwargs: x.sum(*args, **kwargs)
reduce_mean = lambda x, *args, **kwargs: x.mean(*args, **kwargs)
argmax = lambda x, *args, **kwargs: x.argmax(*args, **kwargs)
