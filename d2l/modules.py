"""What a model has besides its layers, in every framework."""

import math
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import numpy as np

from . import input_checks
from .board import ProgressBoard
from .hyperparameters import HyperParameters
from .layer_table import Layer, LayerTable
from .weights_file import load_weights, save_weights


class Module(HyperParameters):
    """What a model needs besides its layers: steps of training and validation, and a board to plot on.

    A framework's ``Module`` is this class together with that framework's own class of models.

    Args:
        plot_train_per_epoch: Points that an epoch adds to a training curve.
        plot_valid_per_epoch: Points that an epoch adds to a validation curve.

    Attributes:
        net: The layers, if the model has no `forward` of its own.
        lr: The learning rate, which `configure_optimizers` asks for; usually an argument of the constructor.
        board: The `ProgressBoard` that `plot` draws on.
        trainer: The `Trainer` that fits the model; ``None`` before.
        backend_type: What the framework does for a trainer of such models.
    """

    # A framework's class and its models have these.
    channel_axis: int  # of a batch of images, as the framework's layers take them unasked
    __call__: Callable[..., Any]
    configure_optimizers: Callable[[], Any]
    net: Any
    trainer: Any  # that fits the model; None before
    backend_type: Any  # the framework's `d2l.backend.Backend`
    _trained_on = ""  # shapes and dtypes of the inputs of its last run's first batch, in words

    def loss(self, y_hat: Any, y: Any) -> Any:
        """The loss of predictions ``y_hat`` against ``y``, a scalar tensor: for a subclass to define.

        Args:
            y_hat: What the model gives for a batch, (n, ...) ``float32``.
            y: The batch's targets, (n, ...).
        """
        raise NotImplementedError(f"{type(self).__name__} defines no loss(y_hat, y)")

    def forward(self, X: Any) -> Any:
        """The model's output for ``X`` (n, ...), of as many examples: by default that of ``self.net``.

        Raises:
            NotImplementedError: There is neither ``self.net`` nor a ``forward`` of one's own.
            TypeError: ``self.net`` is no layer.
        """
        if not hasattr(self, "net"):
            raise NotImplementedError(
                f"{type(self).__name__} defines neither self.net nor forward(X), which is called for model(X) here"
            )
        if not callable(self.net):
            raise TypeError(
                f"{type(self).__name__}.net is {input_checks.describe(self.net)}: make it a layer, such as a Sequential"
            )
        return self.net(X)

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a scalar of this step, averaged over the batch's examples, to a curve of the board.

        Args:
            key: Name of the quantity, such as ``loss``.
            value: The scalar; it is read only when its point is drawn.
            train: Whether it belongs to training or to validation.

        Raises:
            RuntimeError: No trainer has been given to the model yet.
        """
        if getattr(self, "trainer", None) is None:
            raise RuntimeError("plot works while a Trainer fits the model: call trainer.fit(model, data)")
        self.trainer.log(key, value, train)

    def training_step(self, batch: Sequence[Any]) -> Any:
        """Plot and return the loss of one training batch.

        Args:
            batch: The inputs, each (n, ...), and last the targets, (n, ...).

        Returns:
            A scalar tensor, of which the trainer takes gradients.
        """
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Plot the loss of one validation batch, which is like one of training."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights, and running statistics such as batch normalization's, to a file.

        Args:
            path: A file whose name ends with ``.safetensors``; one that is there is replaced once the new one is whole.
                A leading ``~`` is the home folder.

        Raises:
            RuntimeError: The model has no weights yet.
            CheckpointError: The file cannot be written, or weights are ``nan``.
        """
        save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that `save_weights` has written, or of a checkpoint.

        A safetensors file of another program will do, if its arrays have the names, shapes and dtypes of the model's.

        Args:
            path: The file; a leading ``~`` is the home folder.

        Raises:
            CheckpointError: The file cannot be read, or has other arrays than the model, which are listed; the weights
                stay as they were.
            RuntimeError: The layers have no shapes yet, and cannot take them from a file (TensorFlow).
        """
        load_weights(self, path)

    def _take_shapes(self, weights: Mapping[str, np.ndarray]) -> list[str]:
        """Give layers that have no shapes yet those of weights, by name; what is left without is returned."""
        return []

    def _plot_settings(self, plot_train_per_epoch: int, plot_valid_per_epoch: int) -> None:
        self.plot_train_per_epoch = plot_train_per_epoch
        self.plot_valid_per_epoch = plot_valid_per_epoch
        self.board = ProgressBoard(xlabel="epoch")
        self.trainer = None


class Classifier(Module):
    """Base class of classification models: cross-entropy is the loss, and validation plots the accuracy, too.

    The model's outputs are logits (n, classes), the targets class numbers (n,) from 0 on.

    Attributes:
        top_k: With ``model.top_k = 5``, validation plots ``acc5`` too: the share of examples whose class is among the
            five that the model finds likeliest. There may be several such numbers.
    """

    top_k: int | Sequence[int] = ()
    accuracy: Callable[..., Any]  # a framework's

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Plot loss and accuracy of one validation batch: inputs (n, ...), and class numbers (n,)."""
        Y_hat = self(*batch[:-1])
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)
        self.plot("acc", self.accuracy(Y_hat, batch[-1]), train=False)
        for k in np.atleast_1d(self.top_k).tolist():
            self.plot(f"acc{k}", self.accuracy(Y_hat, batch[-1], top=k), train=False)

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``.

        The layers are those of ``self.net``, a Sequential: one after the other, each takes the output of the one
        before.

        Args:
            X_shape: The shape of a batch, as the framework's layers take it: the examples come first, and channels
                before height and width in PyTorch and MXNet, behind them in TensorFlow and JAX.

        Raises:
            AttributeError: The model has no ``self.net``.
            TypeError, ValueError: It is no shape, or a layer changes the number of examples. Errors of layers say what
                shape they were given.
        """
        with self._layer_walk(X_shape) as walk:
            for layer, _, Y in walk:
                print(f"{self._layer_name(layer):<20} output shape: {tuple(Y.shape)}")

    def layer_table(self, X_shape: Sequence[int]) -> LayerTable:
        """What each layer costs for an input of shape ``X_shape``: shapes, parameters, multiply-adds and memory.

        Layers without parameters whose output has as many numbers as their input (activations, dropout, flattening)
        have no row of their own, so that all frameworks give the same rows.

        Args:
            X_shape: The shape of a batch, as in `layer_summary`, whose errors it raises, too.

        Returns:
            A list of rows with ``name``, ``output_shape``, ``parameters``, ``multiply_adds`` and more, which a notebook
            shows as a table; ``total`` is a row of the sums.
        """
        with self._layer_walk(X_shape) as walk:
            layers = [
                Layer(
                    self._layer_name(layer),
                    tuple(Y.shape),
                    math.prod(X.shape),
                    math.prod(Y.shape),
                    self._count_parameters(layer),
                    self._multiply_adds(layer, X),
                )
                for layer, X, Y in walk
            ]
        return LayerTable(layer for layer in layers if layer.changes_size)

    @contextmanager
    def _layer_walk(self, X_shape: Sequence[int]) -> Iterator[Iterator[tuple[Any, Any, Any]]]:
        """`_walk`, which leaves a model as it was, without weights of that shape, where a layer does not take it."""
        shape = input_checks.check_shape("X_shape", X_shape)
        name = type(self).__name__
        try:
            with self._unspoilt(), closing(self._walk(shape)) as walk:
                yield self._same_examples(walk)
        except Exception as error:
            if isinstance(error, AttributeError) and re.search(r"""attribute ['"]net['"]""", str(error)):
                raise AttributeError(
                    f"{name} has no self.net: layer_summary and layer_table are for a model whose layers come one "
                    "after the other, in a Sequential that is its self.net"
                ) from error
            error.add_note(f"{name}'s layers were given an input of shape {shape}.")
            if re.search(r"'net'|iterable|'layers'", str(error)):
                error.add_note("They are those of self.net, which has to be a Sequential.")
            hint = input_checks.layout(shape, self.channel_axis)
            if hint:
                error.add_note(hint)
            raise

    def _same_examples(self, walk: Iterable[tuple[Any, Any, Any]]) -> Iterator[tuple[Any, Any, Any]]:
        """The layers, of which each is to give out as many examples as it takes in."""
        for layer, X, Y in walk:
            if Y.shape[0] != X.shape[0]:
                raise ValueError(
                    f"{type(self).__name__}: {self._layer_name(layer)} gives {tuple(Y.shape)} for {tuple(X.shape)}, "
                    "another number of examples: the first number of X_shape is to be that of the examples"
                )
            yield layer, X, Y

    def _unspoilt(self) -> AbstractContextManager[Any]:
        """Where layers that have taken their shapes from an input give them back if there is an error."""
        return nullcontext()

    def _walk(self, X_shape: Sequence[int]) -> Generator[tuple[Any, Any, Any], None, None]:
        """Each layer of ``self.net`` with its input and its output, as in validation, for zeros of a shape."""
        raise NotImplementedError

    def _layer_name(self, layer: Any) -> str:
        return type(layer).__name__

    def _count_parameters(self, layer: Any) -> int:
        """Numbers in a layer that training changes."""
        raise NotImplementedError

    def _multiply_adds(self, layer: Any, X: Any) -> int:
        """Multiply-adds in the convolutions and dense layers of a layer, for the input ``X``."""
        raise NotImplementedError
