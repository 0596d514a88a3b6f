"""Base classes of models in TensorFlow."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from ... import input_checks, modules

TENSORS = (tf.Tensor, tf.Variable, np.ndarray, tf.keras.KerasTensor)  # what a model can be called with


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
        """What ``model(X)`` runs: `call`, as in validation unless ``training`` is true or a training step calls it."""
        try:
            return super().__call__(*args, training=self.training if training is None else training, **kwargs)
        except Exception as error:
            mistake = input_checks.mistake_in_inputs(error, self, args, TENSORS, "tf.convert_to_tensor(X)")
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
        """The optimizer, by default stochastic gradient descent with the learning rate ``self.lr``.

        `Trainer` says what else the framework's trainer takes, such as schedules.

        Raises:
            AttributeError: The model has no ``lr``.
            TypeError, ValueError: It is no learning rate.
        """
        return tf.keras.optimizers.SGD(input_checks.learning_rate(self))

    def save_weights(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """For a name that ends with ``.weights.h5`` it is Keras's own.

        See `d2l.modules.Module.save_weights`.
        """
        save = tf.keras.Model.save_weights if _is_of_keras(path) else modules.Module.save_weights
        save(self, path, *args, **kwargs)

    def load_weights(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """For a name that ends with ``.weights.h5`` or ``.keras`` it is Keras's own.

        See `d2l.modules.Module.load_weights`.
        """
        load = tf.keras.Model.load_weights if _is_of_keras(path) else modules.Module.load_weights
        load(self, path, *args, **kwargs)

    def _take_shapes(self, weights: Mapping[str, np.ndarray]) -> list[str]:
        if not self.built:
            raise RuntimeError(
                f"{type(self).__name__} has no weights yet: call model(X) with a batch first, from which Keras takes "
                "the layers' shapes, and load then"
            )
        return []


def _is_of_keras(path: Any) -> bool:
    """Whether a file's name is that of one in a format of Keras's own."""
    return str(path).endswith((".h5", ".keras"))


class Classifier(modules.Classifier, Module):
    """Base class of classification models: see `d2l.modules.Classifier`."""

    def loss(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True) -> tf.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...)."""
        if Y_hat.shape.is_fully_defined() and Y.shape.is_fully_defined():
            mistake = input_checks.mistake_in_labels(Y_hat.shape, Y.shape, "int")
            if mistake:
                raise ValueError(mistake)
        Y_hat, Y = tf.reshape(Y_hat, (-1, Y_hat.shape[-1])), tf.reshape(Y, (-1,))
        losses = tf.keras.losses.sparse_categorical_crossentropy(Y, Y_hat, from_logits=True)
        if Y.dtype.is_floating:  # Keras would take the whole part of a number that is no class
            losses = tf.where(tf.floor(Y) == Y, losses, math.nan)
        return tf.reduce_mean(losses) if averaged else losses

    def accuracy(self, Y_hat: tf.Tensor, Y: tf.Tensor, averaged: bool = True, top: int = 1) -> tf.Tensor:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example.

        Returns:
            ``float32``: a scalar or, if not ``averaged``, (n,).
        """
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
