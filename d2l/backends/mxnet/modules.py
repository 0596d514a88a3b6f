"""Base classes of models in MXNet."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mxnet as mx
import numpy as onp  # MXNet's own arrays have the name np here
from mxnet import gluon, np, npx
from mxnet.gluon import nn

from ... import input_checks, modules
from .devices import cpu
from .sgd import SGD


class Module(modules.Module, nn.Block):
    """Base class of models: see `d2l.modules.Module`."""

    channel_axis = 1

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        nn.Block.__init__(self)
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_children" not in self.__dict__ and isinstance(value, (nn.Block, gluon.Parameter)):
            raise AttributeError(f"{type(self).__name__}.__init__ has to call super().__init__() before it sets {name}")
        super().__setattr__(name, value)

    def __call__(self, *args: Any) -> Any:
        """What ``model(X)`` runs: `forward`."""
        try:
            return super().__call__(*args)
        except (TypeError, AttributeError, ValueError, mx.MXNetError) as error:
            mistake = input_checks.mistake_in_inputs(error, self, args, np.ndarray, "mxnet.np.array(X)", self._dtype())
            if mistake is None:
                raise
            raise TypeError(mistake) from error

    def _dtype(self) -> str:
        """The dtype of the layers' parameters, which inputs have to have."""
        params = list(self.collect_params().values())
        return onp.dtype(params[0].dtype).name if params else ""

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a scalar of this step to the board, without its graph: see `d2l.modules.Module.plot`."""
        if isinstance(value, np.ndarray):
            # Of 16 bits, it could not be added up over an epoch.
            value = value.detach().astype(onp.promote_types(value.dtype, onp.float32), copy=False)
        super().plot(key, value, train)

    def configure_optimizers(self) -> gluon.Trainer:
        """The optimizer, by default stochastic gradient descent with the learning rate ``self.lr``.

        `Trainer` says what else the framework's trainer takes, such as schedules.

        Raises:
            AttributeError: The model has no ``lr``.
            TypeError, ValueError: It is no learning rate.
        """
        params = self.parameters()
        if isinstance(params, list):
            return SGD(params, input_checks.learning_rate(self))
        return gluon.Trainer(params, "sgd", {"learning_rate": input_checks.learning_rate(self)})

    def parameters(self) -> Any:
        """The layers' parameters by name or, in a model without layers, its arrays as a list."""
        params = self.collect_params()
        return params if isinstance(params, gluon.ParameterDict) and params.keys() else self.get_scratch_params()

    def get_scratch_params(self) -> list[np.ndarray]:
        """The arrays that the model and the models in it have as attributes."""
        return [array for _, array in self._named_scratch_params()]

    def _named_scratch_params(self, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
        """Those arrays with their names, such as ``w``, or ``part.w`` in the model ``part``."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value._named_scratch_params(f"{prefix}{name}.")

    def set_scratch_params_device(self, device: mx.Context) -> None:
        """Bring those arrays to ``device``."""
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray) and value.ctx != device:
                setattr(self, name, value.as_in_ctx(device))
                if value.grad is not None:
                    getattr(self, name).attach_grad()
            elif isinstance(value, Module):
                value.set_scratch_params_device(device)

    def _take_shapes(self, weights: Mapping[str, onp.ndarray]) -> list[str]:
        deferred = {name: x for name, x in self._collect_params_with_prefix().items() if x._deferred_init}
        missing = [name for name in deferred if name not in weights]
        if not missing:
            for name, param in deferred.items():
                param.shape = weights[name].shape
                param._finish_deferred_init()
        return missing


class Classifier(modules.Classifier, Module):
    """Base class of classification models: see `d2l.modules.Classifier`."""

    def loss(self, Y_hat: np.ndarray, Y: np.ndarray, averaged: bool = True) -> np.ndarray:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...).

        Raises:
            ValueError: A label is no class number, or their shape is another than that of the examples.
        """
        mistake = input_checks.mistake_in_labels(Y_hat.shape, Y.shape, input_checks.dtype_name(Y), "u?int|float")
        if mistake:
            raise ValueError(mistake)
        # MXNet itself takes the nearest class for a number that is none.
        labels, classes = Y.asnumpy(), Y_hat.shape[-1]
        if labels.size and not (0 <= labels.min() <= labels.max() < classes and (labels % 1 == 0).all()):
            raise ValueError(
                f"labels from {labels.min():g} to {labels.max():g}: these are to be whole numbers, 0 to {classes - 1}"
            )
        losses = gluon.loss.SoftmaxCrossEntropyLoss()(Y_hat.reshape(-1, classes), Y.reshape(-1))
        return losses.mean() if averaged else losses

    def accuracy(self, Y_hat: np.ndarray, Y: np.ndarray, averaged: bool = True, top: int = 1) -> np.ndarray:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example.

        Returns:
            ``float32``: a scalar or, if not ``averaged``, (n,).
        """
        k = min(top, Y_hat.shape[-1])
        likeliest = npx.topk(Y_hat.reshape(-1, Y_hat.shape[-1]), k=k, axis=1, dtype=np.int32).astype(Y.dtype)
        correct = (likeliest == Y.reshape(-1, 1)).astype(np.float32).sum(axis=1)
        return correct.mean() if averaged else correct

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[nn.Block, np.ndarray, np.ndarray]]:
        X = np.zeros(X_shape, ctx=self._device())
        for layer in self.net:
            Y = layer(X)
            yield layer, X, Y
            X = Y

    @contextmanager
    def _unspoilt(self) -> Iterator[None]:
        params = [param for param in self.collect_params().values() if param._data is None]
        kept = [dict(vars(param)) for param in params]
        try:
            yield
        except BaseException:
            for param, attributes in zip(params, kept, strict=True):
                vars(param).update(attributes)
            raise

    def _device(self) -> mx.Context:
        """Where the parameters are, the first of them if there are several places."""
        params = self.collect_params()
        return params.list_ctx()[0] if params.keys() else cpu()

    def _count_parameters(self, layer: nn.Block) -> int:
        params = layer.collect_params().values()
        return sum(math.prod(param.shape) for param in params if param.grad_req != "null")

    def _multiply_adds(self, layer: nn.Block, X: np.ndarray) -> int:
        counts, hooks = [], []

        def count(layer: Any, _: Any, Y: np.ndarray) -> None:
            # The first axis of a weight is that of the outputs.
            counts.append(math.prod(Y.shape) * math.prod(layer.weight.shape[1:]))

        def watch(layer: nn.Block) -> None:
            if isinstance(layer, (nn.Dense, nn.Conv1D, nn.Conv2D, nn.Conv3D)):
                hooks.append(layer.register_forward_hook(count))

        layer.apply(watch)
        with _imperative(layer):
            layer(X)
        for hook in hooks:
            hook.detach()
        return sum(counts)


@contextmanager
def _imperative(block: nn.Block) -> Iterator[None]:
    """Run ``block`` layer by layer where it is compiled, so that hooks of the layers in it are called."""
    blocks = []
    block.apply(blocks.append)
    compiled = [block for block in blocks if getattr(block, "_active", False)]
    for block in compiled:
        block._active = False
    try:
        yield
    finally:
        for block in compiled:
            block._active = True
