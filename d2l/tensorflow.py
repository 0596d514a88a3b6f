"""The helper for TensorFlow with Keras 3."""

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from . import datasets, modules, trainer, validation
from .board import ProgressBoard
from .checkpoint import check_fits
from .distribution import missing_framework
from .hyperparameters import HyperParameters, add_to_class
from .machine import cpu_has_bfloat16
from .plotting import plot, plt, set_axes, set_figsize, show_images, to_numpy, use_svg_display
from .profile import SEED, current_profile
from .workers import Workers


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
if current_profile().smoke:
    # A sum depends on how many threads share it; those of a smoke run are to be the same on every machine.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
try:
    with _quiet_stderr():
        import tensorflow as tf
except ModuleNotFoundError as error:
    raise missing_framework(error, ["tensorflow"], "tensorflow") from error

SEED_STATE = "seed_generator_state"  # what Keras calls the variable of a layer that draws random numbers

__all__ = [
    "HyperParameters",
    "add_to_class",
    "ProgressBoard",
    "Module",
    "DataModule",
    "Trainer",
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
    "use_svg_display",
    "set_figsize",
    "set_axes",
]


def _join_cluster() -> tf.distribute.MultiWorkerMirroredStrategy | None:
    """The strategy of the processes that ``TF_CONFIG`` names, if it names several; it waits until all are there."""
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    if sum(map(len, cluster.values())) < 2:
        return None
    return tf.distribute.MultiWorkerMirroredStrategy()


# TensorFlow's pass over a compiled step that has layers compute in bfloat16 on a CPU, between casts.
BFLOAT16_REWRITE = "auto_mixed_precision_onednn_bfloat16"

_TENSORS = (tf.Tensor, tf.Variable, np.ndarray, tf.keras.KerasTensor)  # what a model can be called with
_strategies: dict[tuple[str, ...], tf.distribute.MirroredStrategy] = {}
_cluster = _join_cluster()  # has to come before anything that TensorFlow computes

if current_profile().smoke:
    tf.keras.utils.set_random_seed(SEED)


class Module(modules.Module, tf.keras.Model):
    """Base class of models: see `d2l.modules.Module`."""

    channel_axis = 3

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        tf.keras.Model.__init__(self)
        # Keras 3 gives every model an attribute of this name, which would hide the method.
        del self.loss
        self.training = None
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def call(self, X: tf.Tensor, *args: Any, training: bool | None = None) -> tf.Tensor:
        """What Keras runs for ``model(X)``: `forward`, with layers such as dropout told whether this is training."""
        kept, self.training = self.training, training
        try:
            return self.forward(X, *args)
        finally:
            self.training = kept

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> tf.Tensor:
        try:
            return super().__call__(*args, training=self.training if training is None else training, **kwargs)
        except Exception as error:
            mistake = validation.mistake_in_inputs(error, self, args, _TENSORS, "tf.convert_to_tensor(X)")
            if mistake is None:
                raise
            raise TypeError(mistake) from error

    @property
    def trainable_variables(self) -> list[Any]:
        """The layers' variables, and those that model and layers have as attributes, which Keras 3 does not know."""
        own = [value for value in self._own_variables().values() if value.trainable]
        return [*super().trainable_variables, *own]

    def _own_variables(self) -> dict[str, tf.Variable]:
        """The variables that model and layers have as attributes, by name; those of a layer after its number."""
        own: dict[str, tf.Variable] = {}
        for number, layer in enumerate(self._flatten_layers()):
            for name, value in vars(layer).items():
                if isinstance(value, tf.Variable) and not any(value is known for known in own.values()):
                    own[f"{number}.{name}" if number else name] = value
        return own

    def configure_optimizers(self) -> tf.keras.optimizers.Optimizer:
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return tf.keras.optimizers.SGD(validation.learning_rate(self))


class DataModule(datasets.DataModule):
    """Base class of data sets: see `d2l.datasets.DataModule`."""

    def _on_device(self, tensor: Any, device: Any) -> tf.Tensor:
        # On the device of the context, where a constant alone would not always be.
        return tf.identity(tensor)

    def _order(self, n: int, shuffle: bool, device: Any) -> tf.Tensor:
        return tf.random.shuffle(tf.range(n)) if shuffle else tf.range(n)

    def _draw_seed(self) -> int:
        return int(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32))

    def _is_main(self) -> bool:
        return _cluster is None or _replicas(_cluster)[0] == 0

    def _take(self, tensor: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        return tf.gather(tensor, indices)


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    The steps of training and validation are compiled into graphs. A run that makes checkpoints sets TensorFlow's seed
    anew at each; random operations of TensorFlow's own in a compiled step do not resume where they were, unlike Keras
    layers such as dropout.

    Several devices divide each batch through a strategy of `tf.distribute`: the GPUs of this machine, with
    ``num_gpus``, or those of several machines, with a process on each and ``TF_CONFIG`` in its environment. Such a
    process trains on all GPUs that it sees, or on the CPU where it sees none. A device's dropout differs from the
    others'. Batch normalization takes the statistics of a device's part of the batch; its averages for validation are
    the means over the devices.
    """

    framework = "tensorflow"
    _schedule_example = "tf.keras.optimizers.SGD(schedule)"
    _exposes_random_state = False
    tensors = _TENSORS
    tensors_name = "tensors of tensorflow or NumPy arrays"
    optimizer_methods = ("apply_gradients",)
    optimizer_example = "tf.keras.optimizers.SGD(self.lr)"

    @property
    def strategy(self) -> tf.distribute.Strategy | None:
        """What divides batches among devices; ``None`` where there is one.

        A model whose variables are made before `fit` has to be made inside of ``strategy.scope()``.
        """
        if _cluster is not None:
            return _cluster
        return _mirrored(tuple(self.gpus)) if len(self.gpus) > 1 else None

    def clip_gradients(self, grad_clip_val: float, grads: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients, scaled all together such that their L2 norm is at most ``grad_clip_val``."""
        return tf.clip_by_global_norm(grads, grad_clip_val)[0]

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        precision = self._chosen_precision()
        rewrites = tf.config.optimizer.get_experimental_options().get(BFLOAT16_REWRITE, False)
        tf.config.optimizer.set_experimental_options({BFLOAT16_REWRITE: precision == "bfloat16"})
        try:
            with _plain_float32() if precision == "float32" else nullcontext():
                yield
        finally:
            tf.config.optimizer.set_experimental_options({BFLOAT16_REWRITE: rewrites})

    def _has_bfloat16(self) -> bool:
        return not self._on_gpu() and cpu_has_bfloat16()

    def _on_gpu(self) -> bool:
        # Without a strategy, a device context around fit decides.
        return super()._on_gpu() if self.strategy is not None else "GPU" in tf.identity(0.0).device

    def _find_workers(self) -> Workers:
        if _cluster is None:
            return Workers()
        here = len(_cluster.extended.worker_devices)
        return Workers(_replicas(_cluster)[0] // here, _cluster.num_replicas_in_sync // here, _sum_over_processes)

    def _seed(self, seed: int) -> None:
        tf.random.set_seed(seed)

    def _choose_gpus(self) -> list[str]:
        if _cluster is None:
            return super()._choose_gpus()
        gpus = self._find_gpus()
        if gpus and not self.num_gpus:
            raise ValueError(
                "num_gpus=0, but processes that TF_CONFIG names train on all GPUs that they see: "
                "hide them with CUDA_VISIBLE_DEVICES= in the environment"
            )
        return gpus

    def _find_gpus(self) -> list[str]:
        return [f"gpu:{i}" for i in range(num_gpus())]

    def _cpu(self) -> str:
        return "cpu"

    def _compile(self, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        compiled = tf.function(step)
        compiled.get_concrete_function(*arguments)
        return compiled

    def _report(self) -> None:
        if self.strategy is None:  # then a device context around fit decides where the model lives
            device = tf.DeviceSpec.from_string(tf.convert_to_tensor(self.model.trainable_variables[0]).device)
            self.gpus = [] if device.device_type == "CPU" else [f"gpu:{device.device_index}"]
        super()._report()

    def _prepare_optimizer(self) -> None:
        with self._scope():
            super()._prepare_optimizer()
        if self.strategy is not None:
            self._check_scope()
        self._part_dropout()

    def _set_training(self, training: bool) -> None:
        self.model.training = training
        if not training:
            self._average_statistics()

    def _save(self, epoch: int, batch: int) -> None:
        self._average_statistics()
        super()._save(epoch, batch)

    def _train(self, batch: Sequence[tf.Tensor]) -> None:
        if not self._is_built():  # where a chapter has a fit of its own
            self._build(batch)
        if self.strategy is not None:
            self._build_optimizer()
        self._step(self._train_metrics, self._train_divided, batch, train=True)

    def _validate(self, batch: Sequence[tf.Tensor]) -> None:
        self._step(self._validate_metrics, self._validate_divided, batch, train=False)

    def _step(self, whole: Callable[..., Any], divided: Callable[..., Any], batch: Any, train: bool) -> None:
        """Take a step with a batch, whole on one device or divided among several, and log what it gives."""
        if self.strategy is None:
            metrics = self._compiled(whole, batch)(batch)
        else:
            # Of any number of examples, so that all processes trace a step as often as the others.
            shapes = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in batch]
            metrics, examples = self._compiled(divided, shapes)([*batch])
            if self.workers.count > 1:
                self.progress.examples = self.progress.all_examples = int(examples)
        for key, value in metrics.items():
            self.log(key, value, train)

    def _is_built(self) -> bool:
        return self.model.built

    def _build(self, batch: Sequence[tf.Tensor]) -> None:
        with self._scope(), self._arithmetic():
            self._run_once(batch, training=False)

    def _build_optimizer(self) -> None:
        """Make what the optimizer keeps of each variable, which one that is written by hand may do itself."""
        if hasattr(self.optim, "build") and not self.optim.built:
            with self._scope():
                self.optim.build(self.model.trainable_variables)

    def _weights(self) -> dict[str, Any]:
        return {**_by_name(self.model), **self.model._own_variables()}

    def _set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        for name, variable in self._weights().items():
            variable.assign(weights[name])
        self._part_dropout()

    def _keeps_optimizer(self) -> bool:
        return type(self.optim) is SGD or hasattr(self.optim, "variables")

    def _optimizer_state(self) -> dict[str, Any]:
        # In the order of their making; their names count the layers of the process.
        return {str(i): variable for i, variable in enumerate(getattr(self.optim, "variables", []))}

    def _set_optimizer_state(self, state: dict[str, np.ndarray], path: Path) -> None:
        self._build_optimizer()
        own = self._optimizer_state()
        check_fits(path, state, own, "optimizer")
        for name, variable in own.items():
            variable.assign(state[name])

    def _scheduler_states(self) -> dict[str, dict[str, Any]]:
        # Keras's own are functions of the step. What one written by hand keeps in variables, the optimizer lacks.
        schedule = getattr(self.optim, "_learning_rate", None)
        if not isinstance(schedule, tf.keras.optimizers.schedules.LearningRateSchedule):
            return {}
        variables = {name: value for name, value in vars(schedule).items() if hasattr(value, "assign")}
        return {type(schedule).__name__: variables} if variables else {}

    def _set_scheduler_state(self, name: str, state: dict[str, Any]) -> None:
        for variable, value in state.items():
            getattr(self.optim._learning_rate, variable).assign(value)

    def _random_state(self) -> int:
        # TensorFlow does not tell its random state. It gives a seed, drawn from it, and goes on from that.
        seed = int(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32))
        tf.random.set_seed(seed)
        return seed

    def _set_random_state(self, state: int) -> None:
        tf.random.set_seed(state)

    def _train_metrics(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        with self._capture() as metrics, tf.GradientTape() as tape:
            loss = _loss(self.model, batch)
        variables = self.model.trainable_variables
        grads = tape.gradient(loss, variables)
        self._check_gradients(grads)
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        self.optim.apply_gradients(zip(grads, variables, strict=True))
        return _widened(metrics)

    def _check_gradients(self, grads: Sequence[tf.Tensor | None]) -> None:
        """See that the loss depends on a variable, and so that there is one."""
        name = type(self.model).__name__
        if not grads:
            raise ValueError(f"{name} has no variable to train: it has no layers with weights, or trainable is False")
        if all(grad is None for grad in grads):
            raise ValueError(
                f"the loss that {name}.training_step returned depends on none of its variables: return it as it is, "
                "computed by TensorFlow from the model's output"
            )

    def _validate_metrics(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        with self._capture() as metrics:
            self.model.validation_step(batch)
        return _widened(metrics)

    def _train_divided(self, batch: Sequence[tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A step of training on several devices: the metrics of the whole batch, and its number of examples."""
        return self._first(self.strategy.run(self._train_part, self._parts(batch)))

    def _validate_divided(self, batch: Sequence[tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A step of validation on several devices: the metrics of the whole batch, and its number of examples."""
        return self._first(self.strategy.run(self._validate_part, self._parts(batch)))

    def _train_part(self, part: Sequence[tf.Tensor], examples: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A replica's step of training; it gives the metrics and the number of examples of the whole batch."""
        with self._capture() as metrics, tf.GradientTape() as tape:
            loss = _loss(self.model, part)
        variables = self.model.trainable_variables
        grads = tape.gradient(loss, variables)
        self._check_gradients(grads)
        grads = [tf.zeros_like(x) if grad is None else grad for grad, x in zip(grads, variables, strict=True)]
        metrics, whole = _of_whole(_widened(metrics), examples)
        grads = [_weighted(grad, examples / tf.maximum(whole, 1)) for grad in grads]
        keras = isinstance(self.optim, tf.keras.optimizers.Optimizer)
        if self.gradient_clip_val > 0 or not keras:
            replicas = tf.distribute.get_replica_context()
            grads = replicas.all_reduce(tf.distribute.ReduceOp.SUM, grads)
            if self.gradient_clip_val > 0:
                grads = self.clip_gradients(self.gradient_clip_val, grads)
            if keras:  # which adds up what the replicas give
                grads = [grad / replicas.num_replicas_in_sync for grad in grads]
        self.optim.apply_gradients(zip(grads, variables, strict=True))
        return metrics, whole

    def _validate_part(self, part: Sequence[tf.Tensor], examples: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A replica's step of validation; it gives the metrics and the number of examples of the whole batch."""
        return _of_whole(self._validate_metrics(part), examples)

    def _parts(self, batch: Sequence[tf.Tensor]) -> tuple[Any, Any]:
        """Each replica's part of this process's batch, and how many examples it has. None are one of zeros."""
        replicas = _replicas(self.strategy)

        def part(context: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
            own = Workers(replicas.index(context.replica_id_in_sync_group), len(replicas)).part(tf.shape(batch[-1])[0])
            missing = tf.maximum(own.start + 1 - own.stop, 0)
            part = [tf.pad(x[own], [[0, missing], *[[0, 0]] * (len(x.shape) - 1)]) for x in batch]
            return part, tf.cast(own.stop - own.start, tf.float32)

        return self.strategy.experimental_distribute_values_from_function(part)

    def _first(self, values: Any) -> Any:
        """The values of this process's first replica."""
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], values)

    def _scope(self) -> AbstractContextManager[Any]:
        """Where variables are made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def _check_scope(self) -> None:
        """See that several devices can have the model's variables, and that no optimizer clips the gradients of one."""
        in_scope = self.strategy.extended.variable_created_in_scope
        single = [
            name
            for name, variable in self._weights().items()
            if not (name.endswith(SEED_STATE) or in_scope(_variable(variable)))
        ]
        if single:
            raise ValueError(
                f"{type(self.model).__name__} has variables for one device already ({', '.join(single)}), and this "
                f"trainer uses {self.num_devices}: make a new model, where need be inside of trainer.strategy.scope()"
            )
        clipping = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self.optim, name, None)]
        if clipping:
            raise ValueError(
                f"{clipping[0]} of {type(self.optim).__name__} clips the gradient of each device's part of the batch: "
                "give the trainer a gradient_clip_val in its place, or num_gpus=1"
            )

    def _part_dropout(self) -> None:
        """Have each replica draw random numbers of its own in Keras layers; the first, as it would alone."""
        if self.strategy is None:
            return
        for name, variable in self._weights().items():
            if name.endswith(SEED_STATE):
                state = self.workers.from_first(to_numpy(variable))
                copies = self.strategy.experimental_local_results(_variable(variable))  # one, if made before
                for replica, copy in zip(_replicas(self.strategy), copies, strict=False):
                    copy.assign(state + np.array([replica, 0], state.dtype))

    def _average_statistics(self) -> None:
        """Give all devices the means of what each has gathered by itself, as batch normalization does."""
        if self.strategy is not None and self._statistics():
            self._compiled(self._average_divided)()

    def _average_divided(self) -> None:
        def average() -> None:
            own = self._statistics()
            values = [tf.identity(variable) for variable in own]
            means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for variable, mean in zip(own, means, strict=True):
                variable.assign(mean)

        self.strategy.run(average)

    def _statistics(self) -> list[tf.Variable]:
        """The model's variables that layers change by themselves, a device its own."""
        in_scope = self.strategy.extended.variable_created_in_scope
        own = map(_variable, self.model.non_trainable_variables)
        return [variable for variable in own if in_scope(variable) and variable.dtype.is_floating]


class SyntheticRegressionData(datasets.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.datasets.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> tf.Tensor:
        return tf.random.normal(shape)


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``."""

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
        return SGD(validation.learning_rate(self))


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``."""

    def __init__(self, lr: float):
        self.save_hyperparameters()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[tf.Tensor, tf.Variable]]) -> None:
        """Update the variables by their gradients."""
        for grad, param in grads_and_vars:
            param.assign_sub(self.lr * grad)


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²)."""

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


class Classifier(modules.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True) -> tf.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...)."""
        if Y_hat.shape.is_fully_defined() and Y.shape.is_fully_defined():
            mistake = validation.mistake_in_labels(Y_hat.shape, Y.shape, "int")
            if mistake:
                raise ValueError(mistake)
        Y_hat, Y = tf.reshape(Y_hat, (-1, Y_hat.shape[-1])), tf.reshape(Y, (-1,))
        losses = tf.keras.losses.sparse_categorical_crossentropy(Y, Y_hat, from_logits=True)
        if Y.dtype.is_floating:  # Keras would take the whole part of a number that is no class
            losses = tf.where(tf.floor(Y) == Y, losses, math.nan)
        return tf.reduce_mean(losses) if averaged else losses

    def accuracy(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True, top: int = 1) -> tf.Tensor:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example."""
        likeliest = tf.math.top_k(tf.reshape(Y_hat, (-1, Y_hat.shape[-1])), min(top, Y_hat.shape[-1])).indices
        right = tf.cast(likeliest, Y.dtype) == tf.reshape(Y, (-1, 1))
        correct = tf.cast(tf.reduce_any(right, axis=1), tf.float32)
        return tf.reduce_mean(correct) if averaged else correct

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[Any, tf.Tensor, tf.Tensor]]:
        X = tf.zeros(X_shape)
        for layer in self.net.layers:
            Y = layer(X, training=False)
            yield layer, X, Y
            X = Y

    @contextmanager
    def _unspoilt(self) -> Iterator[None]:
        kept = [_Unbuilt(layer) for layer in self.net._flatten_layers() if not layer.built]
        try:
            yield
        except BaseException:
            for layer in kept:
                layer.restore()
            raise

    def _count_parameters(self, layer: Any) -> int:
        return sum(math.prod(weight.shape) for weight in layer.trainable_weights)

    def _multiply_adds(self, layer: Any, X: tf.Tensor) -> int:
        return _multiply_adds(tf.function(layer).get_concrete_function(X).graph)


class FashionMNIST(datasets.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, height, width, 1) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.FashionMNIST`.
    """

    def _make_batch(
        self, rows: tf.Tensor, columns: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with _plain_float32():
            X = _scaled_and_resized(rows, columns, images)
        return X, tf.cast(labels, tf.int32)


class ImageFolder(datasets.ImageFolder, DataModule):
    """Image files in batches of X (n, crop, crop, 3) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.ImageFolder`.
    """

    def _make_batch(self, pixels: tf.Tensor, shifts: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        X = tf.cast(pixels, tf.float32) / 255
        return X + shifts[:, tf.newaxis, tf.newaxis], tf.cast(labels, tf.int32)


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors."""

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(num_outputs)])


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


def corr2d(X: tf.Tensor, K: tf.Tensor) -> tf.Tensor:
    """Cross-correlation of a matrix X with a kernel K, without padding: (a, b) and (h, w) give (a-h+1, b-w+1)."""
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
        return tf.nn.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 else X))


def _loss(model: Module, batch: Sequence[tf.Tensor]) -> tf.Tensor:
    """The loss that a model's step of training returns.

    Raises:
        TypeError, ValueError: It returns something else.
    """
    loss = model.training_step(batch)
    validation.check_loss(model, loss, (tf.Tensor, tf.Variable))
    return loss


class _Unbuilt:
    """A Keras layer before its first input, to go back to."""

    def __init__(self, layer: tf.keras.layers.Layer):
        tracker = layer._tracker
        self.objects = [(thing, dict(vars(thing))) for thing in (layer, tracker)]
        self.lists = [(tracked, list(tracked)) for _, tracked in tracker.config.values()]
        self.ids = [(ids, set(ids)) for ids in tracker.stored_ids.values()]

    def restore(self) -> None:
        """Have the layer make its weights anew."""
        for thing, attributes in self.objects:
            vars(thing).clear()
            vars(thing).update(attributes)
        for tracked, items in self.lists:
            tracked[:] = items
        for ids, known in self.ids:
            ids.clear()
            ids.update(known)


def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The strategy for these devices of the machine: one, so that models stay those of its scope."""
    if not _strategies:
        _strategies[devices] = tf.distribute.MirroredStrategy(devices)
    if devices not in _strategies:  # TensorFlow would fail at the first step, and ever after
        (taken,) = _strategies
        raise ValueError(
            f"TensorFlow divides batches among {len(taken)} devices here, and cannot among {len(devices)} in the same "
            f"process: restart it (in a notebook, the kernel), or train with num_gpus={len(taken)} or num_gpus=1"
        )
    return _strategies[devices]


def _replicas(strategy: tf.distribute.Strategy) -> list[int]:
    """The numbers of this process's replicas among all."""
    number = strategy.experimental_distribute_values_from_function(lambda context: context.replica_id_in_sync_group)
    return list(strategy.experimental_local_results(number))


def _sum_over_processes(array: np.ndarray) -> np.ndarray:
    first = _replicas(_cluster)[0]

    def of_replica(context: Any) -> tf.Tensor:
        return tf.constant(array if context.replica_id_in_sync_group == first else np.zeros_like(array))

    shares = _cluster.experimental_distribute_values_from_function(of_replica)
    return _cluster.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None).numpy()


def _of_whole(metrics: dict[str, Any], examples: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """In a replica with so many examples: the metrics of the whole batch, and its number of examples."""
    totals = {key: _weighted(value, examples) for key, value in metrics.items()}
    examples = tf.identity(examples)  # on the replica's device, as the totals
    totals, whole = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, (totals, examples))
    return {key: total / tf.cast(tf.maximum(whole, 1), total.dtype) for key, total in totals.items()}, whole


def _widened(metrics: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Metrics of at least 32 bits: in 16, a sum over an epoch would overflow, or swallow small parts."""
    tensors = {key: tf.convert_to_tensor(value) for key, value in metrics.items()}
    return {key: x if x.dtype == tf.float64 else tf.cast(x, tf.float32) for key, x in tensors.items()}


def _weighted(value: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Their product; without weight, nothing, whatever the value."""
    return tf.math.multiply_no_nan(value, tf.cast(weight, value.dtype))


def _variable(variable: Any) -> tf.Variable:
    """TensorFlow's own variable, of which Keras has a wrapper."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _by_name(model: tf.keras.Model) -> dict[str, Any]:
    """Variables by their paths, with layers of a kind counted within their parent: Keras counts those of a process."""
    named: dict[str, Any] = {}
    new: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()

    def numbered(parent: str, part: str) -> str:
        kind = re.sub(r"(_\d+)+$", "", part)
        counts[parent, kind] += 1
        number = counts[parent, kind] - 1
        return f"{parent}{kind}_{number}" if number else f"{parent}{kind}"

    for variable in model.variables:
        *layers, last = variable.path.removeprefix(f"{model.name}/").split("/")
        parent = ""
        for layer in layers:
            if (parent, layer) not in new:
                new[parent, layer] = numbered(parent, layer)
            parent = new[parent, layer] + "/"
        named[numbered(parent, last)] = variable
    return named


def _multiply_adds(graph: tf.Graph) -> int:
    """Multiply-adds of a graph: for each output of an operation as many as weights lead to it."""
    count = 0
    for operation in graph.get_operations():
        if operation.type == "Conv2D":  # its kernel is (height, width, channels of a group, outputs)
            count += math.prod(operation.outputs[0].shape) * math.prod(operation.inputs[1].shape[:-1])
        elif operation.type == "MatMul":
            summed = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
            count += math.prod(operation.outputs[0].shape) * summed
        elif operation.type.endswith("PartitionedCall"):  # Keras compiles grouped convolutions as functions
            count += _multiply_adds(graph._get_function(operation.get_attr("f").name).graph)
    return count


@contextmanager
def _plain_float32() -> Iterator[None]:
    """Keep GPUs from rounding factors to TensorFloat-32."""
    config = tf.config.experimental
    kept = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(kept)


# Of unknown shape, so that it is traced once; XLA makes one pass over the large images.
@tf.function(
    jit_compile=True,
    input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None, None)), tf.TensorSpec((None,) * 3, tf.uint8)],
)
def _scaled_and_resized(rows: tf.Tensor, columns: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    return (rows @ (tf.cast(images, tf.float32) / 255) @ tf.transpose(columns))[..., tf.newaxis]


def _batch_norm() -> tf.keras.layers.BatchNormalization:
    return tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)


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
