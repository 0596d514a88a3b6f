"""Base classes of models in JAX."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax import numpy as jnp

from ... import input_checks, modules
from ...board import ProgressBoard
from ...weights_file import read_weights, weights_path
from .padding import example_mask
from .train_state import Params, TrainState


class Module(modules.Module, nn.Module):
    """Base class of models: see `d2l.modules.Module`.

    The parameters are not in the model but in the trainer's ``state``, and methods that need them are given them.
    A model whose layers differ between training and validation declares a field ``training: bool = True``.
    """

    channel_axis = 3

    plot_train_per_epoch: int = field(default=2, init=False)
    plot_valid_per_epoch: int = field(default=1, init=False)
    loaded_weights: Mapping[str, np.ndarray] = field(default_factory=dict, init=False)  # for a trainer without a state
    weights_file: Path | None = field(default=None, init=False)  # where these are from
    board: ProgressBoard = field(default_factory=lambda: ProgressBoard(xlabel="epoch"), init=False)

    def __call__(self, X: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        """What Flax runs for ``model.apply(variables, X)``: `forward`."""
        self._check_bound()
        try:
            return self.forward(X, *args, **kwargs)
        except (TypeError, AttributeError) as error:
            inputs = (X, *args)
            mistake = input_checks.mistake_in_inputs(
                error, self, inputs, (jax.Array, np.ndarray), "jax.numpy.asarray(X)"
            )
            if mistake is None:
                raise
            raise TypeError(mistake) from error

    def forward(self, X: jax.Array) -> jax.Array:
        """Without parameters, it raises a ``RuntimeError`` whose message says how to predict.

        See `d2l.modules.Module.forward`.
        """
        self._check_bound()
        return super().forward(X)

    def _check_bound(self) -> None:
        """See that it is called with parameters.

        Raises:
            RuntimeError: It is not; the message says how to predict.
        """
        if self.scope is None:
            raise RuntimeError(self._how_to_predict())

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file, into the state of the model's trainer or of the next one that it predicts with.

        `Trainer.fit` draws new parameters; `Trainer.load_weights` says how to train from those of a file.
        See `d2l.modules.Module.load_weights`.
        """
        if self._trainer_state() is not None:
            super().load_weights(path)
        else:
            file = weights_path("load_weights", path)
            self.loaded_weights, self.weights_file = read_weights(file, "jax"), file

    def _trainer_state(self) -> TrainState | None:
        """The state of the model's trainer, if it has one that has one."""
        return getattr(getattr(self, "trainer", None), "state", None)

    def _how_to_predict(self) -> str:
        name, state = type(self).__name__, self._trainer_state()
        if state is None:
            return (
                f"{name} holds no parameters: fit it, or predict with model.apply(variables, X), where variables = "
                "model.apply_init((X,), d2l.get_key()). Inside its loss, call state.apply_fn({'params': params}, *X)."
            )
        stats = ", 'batch_stats': trainer.state.batch_stats" if state.batch_stats else ""
        model = "model.clone(training=False)" if getattr(self, "training", False) else "model"
        return (
            f"{name} holds no parameters, its trainer does: predict with {model}.apply({{'params': trainer.state.params"
            f"{stats}}}, X). Inside its loss, call state.apply_fn({{'params': params}}, *X)."
        )

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """The loss of the predictions for ``X`` against ``y``, a scalar: for a subclass to define.

        Args:
            params: The parameters, which gradients are taken of.
            X: The batch's inputs, each (n, ...).
            y: Its targets, (n, ...).
            state: The trainer's state; ``state.apply_fn({"params": params}, *X)`` gives the predictions.

        Returns:
            The loss; of a model with batch normalization, ``(loss, updates)``. ``state.apply_fn``, called with
            ``mutable=["batch_stats"]``, returns the updated running averages beside the predictions, as the example
            shows. The steps then have to take such a pair: those of a `Classifier` do, others have to be written.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no loss(params, X, y, state)")

    def training_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> tuple[jax.Array, Params]:
        """Plot the loss of one training batch, whose last element is the target.

        Returns:
            The loss, a scalar, and its gradients, like ``params``.
        """
        loss, grads = jax.value_and_grad(self._checked_loss)(params, batch[:-1], batch[-1], state)
        self.plot("loss", loss, train=True)
        return loss, grads

    def validation_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> None:
        """Plot the loss of one validation batch."""
        self.plot("loss", self.loss(params, batch[:-1], batch[-1], state), train=False)

    def _checked_loss(self, *args: Any) -> Any:
        """What `loss` gives, if it is what gradients are taken of.

        Raises:
            TypeError: It is something else.
        """
        loss = self.loss(*args)
        if getattr(loss, "shape", None) != ():
            mean = ", such as the mean over the batch" if getattr(loss, "shape", ()) else ""
            raise TypeError(
                f"{type(self).__name__}.loss returned {input_checks.describe(loss)}: return the loss itself, a scalar "
                f"array{mean}"
            )
        return loss

    def configure_optimizers(self) -> optax.GradientTransformation:
        """The optimizer, by default stochastic gradient descent with the learning rate ``self.lr``.

        `Trainer` says what else the framework's trainer takes, such as schedules.

        Raises:
            AttributeError: The model has no ``lr``.
            TypeError, ValueError: It is no learning rate.
        """
        return optax.sgd(input_checks.learning_rate(self, "declare lr: float = 0.1 in the class"))

    def apply_init(self, dummy_input: Sequence[jax.Array], key: Any) -> Params:
        """The model's variables, drawn with ``key``, their shapes from a pass of ``dummy_input``, a tuple of inputs."""
        return self.init(key, *dummy_input)


class Classifier(modules.Classifier, Module):
    """Base class of classification models: see `d2l.modules.Classifier`."""

    def training_step(
        self, params: Params, batch: Sequence[jax.Array], state: TrainState
    ) -> tuple[tuple[jax.Array, Params], Params]:
        """Plot the loss of one training batch, whose last element are the class numbers.

        Returns:
            What `loss` does, and the gradients, like ``params``.
        """
        value, grads = jax.value_and_grad(self._checked_loss, has_aux=True)(params, batch[:-1], batch[-1], state)
        self.plot("loss", value[0], train=True)
        return value, grads

    def _checked_loss(self, *args: Any) -> Any:
        value = self.loss(*args)
        pair = isinstance(value, tuple) and len(value) == 2
        if not pair or getattr(value[0], "shape", None) != ():
            got = input_checks.describe(value[0]) + " first" if pair else input_checks.describe(value)
            raise TypeError(
                f"{type(self).__name__}.loss returned {got}: return (loss, updates), a scalar array and the updated "
                "statistics, {} where the model has none"
            )
        return value

    def validation_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> None:
        """Plot loss and accuracy of one validation batch."""
        self.plot("loss", self.loss(params, batch[:-1], batch[-1], state)[0], train=False)
        self.plot("acc", self.accuracy(params, batch[:-1], batch[-1], state), train=False)
        for k in np.atleast_1d(self.top_k).tolist():
            self.plot(f"acc{k}", self.accuracy(params, batch[:-1], batch[-1], state, top=k), train=False)

    def loss(
        self, params: Params, X: Sequence[jax.Array], Y: jax.Array, state: TrainState, averaged: bool = True
    ) -> tuple[jax.Array, Params]:
        """Cross-entropy of the logits (..., classes) for the inputs ``X`` against the class numbers ``Y`` (...).

        Returns:
            The loss, and the batch statistics that the pass has updated: ``{}`` or ``{"batch_stats": ...}``.
        """
        variables = {"params": params, "batch_stats": state.batch_stats}
        rngs = {"dropout": state.dropout_rng}
        Y_hat, updates = state.apply_fn(variables, *X, mutable=["batch_stats"], rngs=rngs)
        mistake = input_checks.mistake_in_labels(Y_hat.shape, Y.shape, input_checks.dtype_name(Y))
        if mistake:
            raise TypeError(mistake)
        Y_hat, Y = Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(Y_hat, Y)
        # A number that is no class gives nan, but for negative ones, which count from the last class.
        losses = jnp.where(Y >= 0, losses, jnp.nan)
        return (losses.mean(where=example_mask()) if averaged else losses), updates

    def accuracy(
        self,
        params: Params,
        X: Sequence[jax.Array],
        Y: jax.Array,
        state: TrainState,
        averaged: bool = True,
        top: int = 1,
    ) -> jax.Array:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example.

        Returns:
            ``float32``: a scalar or, if not ``averaged``, (n,).
        """
        variables = {"params": params, "batch_stats": state.batch_stats}
        Y_hat = state.apply_fn(variables, *X, rngs={"dropout": state.dropout_rng})
        _, likeliest = jax.lax.top_k(Y_hat.reshape(-1, Y_hat.shape[-1]), min(top, Y_hat.shape[-1]))
        correct = (likeliest == Y.reshape(-1, 1)).any(axis=1).astype(jnp.float32)
        return correct.mean(where=example_mask()) if averaged else correct

    def layer_summary(self, X_shape: Sequence[int], key: jax.Array | None = None) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``.

        Shapes do not depend on ``key``; it may be given as elsewhere. See `d2l.modules.Classifier.layer_summary`.
        """
        super().layer_summary(X_shape)

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[Any, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]:
        model = self.clone(training=False) if "training" in self.__dataclass_fields__ else self
        X = jax.ShapeDtypeStruct(tuple(X_shape), jnp.float32)
        # Shapes are all that is asked for, so no layer is run and no weight drawn.
        variables = jax.eval_shape(model.init, jax.random.PRNGKey(0), X)
        bound = model.bind(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables))
        for layer in bound.net.layers:
            Y = jax.eval_shape(layer, X)
            yield layer, X, Y
            X = Y

    def _layer_name(self, layer: Any) -> str:
        # Activations and pooling are functions in Flax.
        if isinstance(layer, nn.Module):
            return type(layer).__name__
        return getattr(layer, "func", layer).__name__.strip("_<>")

    def _count_parameters(self, layer: Any) -> int:
        params = layer.variables.get("params", {}) if isinstance(layer, nn.Module) else {}
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    def _multiply_adds(self, layer: Any, X: jax.ShapeDtypeStruct) -> int:
        counts = []

        def count(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            Y = call(*args, **kwargs)
            if isinstance(context.module, (nn.Dense, nn.Conv)) and context.method_name == "__call__":
                kernel = context.module.variables["params"]["kernel"]  # its last axis is that of the outputs
                counts.append(math.prod(Y.shape) * math.prod(kernel.shape[:-1]))
            return Y

        with nn.intercept_methods(count):
            jax.eval_shape(layer, X)
        return sum(counts)
