"""Base classes of models in PyTorch."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only  # public only in later versions than 2.6

from ... import input_checks, modules

# The `ignore_index` sentinel: PyTorch's default of -100 would silently drop bad labels.
NO_LABEL = torch.iinfo(torch.int64).min


class Module(modules.Module, nn.Module):
    """Base class of models: see `d2l.modules.Module`."""

    channel_axis = 1
    autocast_device: str | None = None  # set while a trainer has the layers compute in bfloat16

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        nn.Module.__init__(self)
        self._plot_settings(plot_train_per_epoch, plot_valid_per_epoch)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What ``model(X)`` runs: `forward`, with its output in ``float32`` whatever the layers compute in."""
        try:
            if self.autocast_device is None:
                return super().__call__(*args, **kwargs)
            with torch.autocast(self.autocast_device, torch.bfloat16):
                output = super().__call__(*args, **kwargs)
        except (TypeError, AttributeError, RuntimeError) as error:
            own = _dtype_of(self)
            mistake = input_checks.mistake_in_inputs(error, self, args, torch.Tensor, "torch.as_tensor(X)", own)
            if mistake is None:
                raise
            raise TypeError(mistake) from error
        return tree_map_only(torch.Tensor, lambda x: x.float() if x.is_floating_point() else x, output)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__ and isinstance(value, (nn.Module, nn.Parameter)):
            raise AttributeError(f"{type(self).__name__}.__init__ has to call super().__init__() before it sets {name}")
        super().__setattr__(name, value)

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Add a scalar of this step to the board, without its graph: see `d2l.modules.Module.plot`."""
        if isinstance(value, torch.Tensor):
            # Of 16 bits, it could not be added up over an epoch.
            value = value.detach().to(torch.promote_types(value.dtype, torch.float32))
        super().plot(key, value, train)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy of the model has, or a saved one: neither its trainer nor the precision of that."""
        return {**self.__dict__, "trainer": None, "autocast_device": None}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer, by default stochastic gradient descent with the learning rate ``self.lr``.

        `Trainer` says what else the framework's trainer takes, such as schedules.

        Raises:
            AttributeError: The model has no ``lr``.
            TypeError, ValueError: It is no learning rate.
        """
        return torch.optim.SGD(self.parameters(), lr=input_checks.learning_rate(self))

    def apply_init(self, inputs: Sequence[torch.Tensor], init: Callable[[nn.Module], None] | None = None) -> None:
        """Give lazy layers their shapes by a pass of ``inputs``, then call ``init`` with every part of ``self.net``."""
        with evaluating(self):
            self(*inputs)
        if init is not None:
            self.net.apply(init)

    def _take_shapes(self, weights: Mapping[str, np.ndarray]) -> list[str]:
        lazy = {name: x for name, x in self.state_dict(keep_vars=True).items() if nn.parameter.is_lazy(x)}
        missing = [name for name in lazy if name not in weights]
        if not missing:
            for name, x in lazy.items():
                x.materialize(weights[name].shape)
        return missing


class Classifier(modules.Classifier, Module):
    """Base class of classification models: see `d2l.modules.Classifier`."""

    def loss(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True) -> torch.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...).

        A number that is no class is an error on a CPU. On a GPU it gives nan: the process would lose an NVIDIA one by
        it, and Apple's pass over it.
        """
        try:
            return _cross_entropy(Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1), averaged)
        except IndexError as error:
            raise IndexError(f"{error} The model has {Y_hat.shape[-1]} classes, numbered from 0.") from error
        except (RuntimeError, ValueError) as error:
            dtype = input_checks.dtype_name(Y)
            mistake = input_checks.mistake_in_labels(Y_hat.shape, Y.shape, dtype, "int64|uint8")
            if mistake is None:
                raise
            raise ValueError(mistake) from error

    def accuracy(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True, top: int = 1) -> torch.Tensor:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example.

        Returns:
            ``float32``: a scalar or, if not ``averaged``, (n,).
        """
        likeliest = Y_hat.reshape(-1, Y_hat.shape[-1]).topk(min(top, Y_hat.shape[-1]), dim=1).indices
        correct = (likeliest == Y.reshape(-1, 1)).any(1).float()
        return correct.mean() if averaged else correct

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
        parameter = next(self.parameters(), torch.empty(0))
        X = first = torch.zeros(*X_shape, device=parameter.device)
        with evaluating(self):
            # Lazy layers take no shape from an input that a later layer refuses: a copy is asked first.
            lazy = any(map(nn.parameter.is_lazy, self.net.parameters()))
            net = _copied(self.net) if lazy else self.net
            with self._forked_rng() if lazy else nullcontext():
                for layer in net:
                    Y = layer(X)
                    yield layer, X, Y
                    X = Y
            if lazy:
                self.net(first)

    def _forked_rng(self) -> AbstractContextManager[Any]:
        """Have the random states of the CPU, and of the GPU that its parameters are on, afterwards as they are now."""
        gpus = {parameter.device for parameter in self.parameters() if parameter.device.type not in ("cpu", "meta")}
        kind = next((gpu.type for gpu in gpus), "cuda")  # which has to be one, also of no devices
        return torch.random.fork_rng(gpus, device_type=kind)

    def _count_parameters(self, layer: nn.Module) -> int:
        return sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)

    def _multiply_adds(self, layer: nn.Module, X: torch.Tensor) -> int:
        # It imports Triton, which takes a while, and ends a process that has imported TensorFlow before.
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            layer(X)
        return counter.get_total_flops() // 2


def _cross_entropy(Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool) -> torch.Tensor:
    """The loss of the logits (n, classes) and the class numbers (n,)."""
    reduction = "mean" if averaged else "none"
    cross_entropy = partial(nn.functional.cross_entropy, Y_hat, reduction=reduction, ignore_index=NO_LABEL)
    if Y.device.type == "cpu":
        return cross_entropy(Y)
    is_class = (Y >= 0) & (Y_hat.shape[-1] > Y)
    lost = torch.where(is_class, 0.0, torch.nan)
    return cross_entropy(torch.where(is_class, Y, 0)) + (lost.mean() if averaged else lost)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run ``model`` as in validation: without gradients, dropout off, batch normalization by its running averages."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _copied(net: nn.Sequential) -> nn.Sequential:
    """A copy of a net, also of its lazy buffers, such as those of batch normalization, which PyTorch does not copy."""
    lazy = filter(nn.parameter.is_lazy, net.buffers())
    uninitialized: Any = nn.parameter.UninitializedBuffer  # PyTorch's stub of it lacks the arguments
    new = {id(x): uninitialized(device=x.data.device, dtype=x.data.dtype) for x in lazy}
    return copy.deepcopy(net, new)


def _dtype_of(model: nn.Module) -> str:
    """The dtype of the parameters, where inputs have to have the same."""
    parameter = next(model.parameters(), None)
    return "" if parameter is None else str(parameter.dtype).removeprefix("torch.")
