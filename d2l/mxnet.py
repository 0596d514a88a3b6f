"""The helper for MXNet."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as onp  # MXNet's own arrays have the name np here

from . import datasets, modules, trainer, validation
from .board import ProgressBoard
from .checkpoint import check_fits, pack
from .distribution import missing_framework
from .hyperparameters import HyperParameters, add_to_class
from .machine import cores_are_shown_twice, keep_freed_memory, usable_processors
from .plotting import plot, plt, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile

if "bool" not in vars(onp):
    # MXNet 1.9.1 reads this name on import; NumPy dropped it in 1.24.
    onp.bool = bool

if not cores_are_shown_twice():
    # MXNet halves the number of processors as if they were, and would leave half of the cores idle.
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_processors()))
# Gluon's trainers are to give out the gradient of the whole batch, which may be clipped, before they update parameters.
os.environ.setdefault("MXNET_UPDATE_ON_KVSTORE", "0")
try:
    import mxnet as mx
    from mxnet import autograd, gluon, init, np, npx
    from mxnet.gluon import nn
    from mxnet.gluon.utils import shape_is_known
except ModuleNotFoundError as error:
    note = "MXNet has wheels for Linux on x86-64 only and needs NumPy below 2, so Python up to 3.12."
    raise missing_framework(error, ["mxnet"], "mxnet", note) from error

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

npx.set_np()

if current_profile().smoke:
    mx.random.seed(SEED)
    onp.random.seed(SEED)


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
            mistake = validation.mistake_in_inputs(error, self, args, np.ndarray, "mxnet.np.array(X)", self._dtype())
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
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        params = self.parameters()
        if isinstance(params, list):
            return SGD(params, validation.learning_rate(self))
        return gluon.Trainer(params, "sgd", {"learning_rate": validation.learning_rate(self)})

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


class DataModule(datasets.DataModule):
    """Base class of data sets: see `d2l.datasets.DataModule`."""

    def _on_device(self, tensor: Any, device: mx.Context | None) -> np.ndarray:
        device = device or mx.current_context()
        if isinstance(tensor, np.ndarray):
            return tensor.as_in_ctx(device)
        return np.array(tensor, dtype=tensor.dtype, ctx=device)

    def _order(self, n: int, shuffle: bool, device: mx.Context | None) -> np.ndarray:
        order = np.arange(n, dtype=np.int32, ctx=device)
        if shuffle:
            np.random.shuffle(order)
        return order

    def _draw_seed(self) -> int:
        return int(np.random.randint(0, 2**31 - 1))

    def _take(self, tensor: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return np.take(tensor, indices, axis=0)


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    Several GPUs take a part each of every batch, and MXNet's kvstore adds up their gradients; the loss is to be a mean
    over examples. Batch normalization takes the statistics of a part; its running averages are those of the first GPU.
    A model with arrays of its own, or with an optimizer that is not Gluon's, trains on one GPU.

    A run that makes checkpoints sets MXNet's seed anew at each.
    """

    framework = "mxnet"
    _schedule_example = 'gluon.Trainer(params, "sgd", {"lr_scheduler": schedule})'
    _exposes_random_state = False
    tensors = (np.ndarray,)
    tensors_name = "arrays of mxnet.np, such as mxnet.np.array(X)"
    optimizer_methods = ("step",)
    optimizer_example = 'gluon.Trainer(self.parameters(), "sgd", {"learning_rate": self.lr})'
    _devices: Sequence[mx.Context] = ()  # that the model has been brought to

    @property
    def devices(self) -> Sequence[mx.Context]:
        """The devices that a batch is divided among."""
        return self._devices or [self.device]

    @property
    def num_devices(self) -> int:
        """Their number; before `fit` has a model, that of the devices there are for it."""
        return len(self._devices) or super().num_devices

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, and bring the model to the devices."""
        super().prepare_model(model)
        if not self.gpus:
            keep_freed_memory()
        self._bring_to(self.gpus or [self.device])

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch to the device, the first one if there are several."""
        return [x.as_in_ctx(self.device) for x in batch]

    def clip_gradients(self, grad_clip_val: float, model: Module) -> None:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        params, arrays = model.parameters(), model.get_scratch_params()
        if isinstance(params, gluon.ParameterDict):
            arrays += [array for param in params.values() for array in param.list_data()]
        grads = [array.grad.as_nd_ndarray() for array in arrays if array.grad is not None]
        # The norm is that of all devices' gradients, which are the same ones on each.
        gluon.utils.clip_global_norm(grads, grad_clip_val * math.sqrt(len(self.devices)))

    def _find_gpus(self) -> list[mx.Context]:
        return [gpu(i) for i in range(num_gpus())]

    def _cpu(self) -> mx.Context:
        return cpu()

    def _prepare_optimizer(self) -> None:
        super()._prepare_optimizer()
        self._check_arrays()
        of_its_own = self.model.get_scratch_params() or not isinstance(self.optim, gluon.Trainer)
        if of_its_own and len(self.devices) > 1:
            self._bring_to(self.devices[:1])
            super()._prepare_optimizer()  # for the parameters where they are now
            self._say(
                f"num_gpus={self.num_gpus}: training on {self._devices_name()}. {type(self.model).__name__} has arrays "
                "or an optimizer of its own; several devices take parameters of layers and a gluon.Trainer"
            )
        _hybridize(self.model)

    def _check_optimizer(self) -> None:
        super()._check_optimizer()
        if isinstance(self.optim, gluon.Trainer):
            validation.check_trained(self.model, self.optim._params, list(self.model.collect_params().values()))

    def _check_arrays(self) -> None:
        """See that the optimizer trains what has a gradient: Gluon's has parameters of layers only."""
        if isinstance(self.optim, gluon.Trainer):
            untrained = [name for name, array in self.model._named_scratch_params() if array.grad is not None]
            if untrained:
                raise ValueError(
                    f"{type(self.model).__name__} has arrays with gradients ({', '.join(untrained)}), and a "
                    "gluon.Trainer does not train these: make each of them a gluon.Parameter"
                )

    def _bring_to(self, devices: Sequence[mx.Context]) -> None:
        """Have the model's parameters on each of these devices, which its batches are divided among from now on."""
        self._devices = devices
        params = self.model.parameters()
        if isinstance(params, gluon.ParameterDict):
            if any(param._data is None and not param._deferred_init for param in params.values()):
                raise ValueError(
                    f"{type(self.model).__name__} has layers that are not initialized: call self.net.initialize() in "
                    "its __init__"
                )
            params.reset_ctx(list(devices))
        self.model.set_scratch_params_device(self.device)

    def _set_training(self, training: bool) -> None:
        """Have all devices validate the same model. MXNet itself trains while it records, and predicts otherwise."""
        if not training and len(self.devices) > 1:
            for param in self.model.parameters().values():
                if param.grad_req == "null":  # such as the averages of batch normalization
                    param.set_data(param.data(self.device))

    def _train(self, batch: Sequence[np.ndarray]) -> None:
        several = len(self.devices) > 1
        with autograd.record():
            losses = self._shares_of_loss(batch) if several else [self._loss(batch)]
        autograd.backward(losses)
        if several:
            self.optim.allreduce_grads()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        # Gluon's step is both, allreduce_grads and update.
        update = self.optim.update if several else self.optim.step
        # A layer that the loss does not reach stays as it is.
        update(1, **({"ignore_stale_grad": True} if isinstance(self.optim, gluon.Trainer) else {}))
        # MXNet queues its work: without a pause the queue, and the batches it holds, would grow for an epoch.
        npx.waitall()

    def _loss(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """The loss that the model's step of training returns.

        Raises:
            TypeError, ValueError: It returns something else.
        """
        loss = self.model.training_step(batch)
        validation.check_loss(self.model, loss, mx.nd.NDArray)
        return loss

    def _validate(self, batch: Sequence[np.ndarray]) -> None:
        if len(self.devices) > 1:
            self._in_parts(self.model.validation_step, batch, train=False)
        else:
            self.model.validation_step(batch)

    def _shares_of_loss(self, batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What each device adds to the loss of the whole batch. One without examples adds gradients of zero."""
        losses = [loss * share for loss, share in self._in_parts(self._loss, batch, train=True)]
        params = [param for param in self.model.parameters().values() if param.grad_req != "null"]
        idle = self.devices[len(losses) :]
        return losses + [sum((param.data(device) * 0).sum() for param in params) for device in idle]

    def _in_parts(
        self, step: Callable[[Sequence[np.ndarray]], Any], batch: Sequence[np.ndarray], train: bool
    ) -> list[tuple[Any, float]]:
        """Do a step on each device with its part of the batch, and log the means over all parts of what it plots.

        Returns:
            What the step gives for each part, and the part's share of the examples. In a batch with fewer examples
            than there are devices, the last devices have none, and no part.
        """
        tensors = [gluon.utils.split_data(tensor, len(self.devices), even_split=False) for tensor in batch]
        results, means = [], {}
        for device, *part in zip(self.devices, *tensors, strict=True):
            share = len(part[-1]) / len(batch[-1])
            if not share:
                break
            with device, self._capture() as metrics:
                results.append((step([tensor.as_in_ctx(device) for tensor in part]), share))
            for key, value in metrics.items():
                value = value.as_in_ctx(self.device) if isinstance(value, np.ndarray) else value
                means[key] = means.get(key, 0) + value * share
        for key, mean in means.items():
            self.log(key, mean, train)
        return results

    def _is_built(self) -> bool:
        return all(shape_is_known(param.shape) for param in self._layer_params().values())

    def _build(self, batch: Sequence[np.ndarray]) -> None:
        """Give parameters their shapes. Their values are drawn in the first step, as they would be without this."""
        deferred = {param: param._deferred_init for param in self._layer_params().values() if param._deferred_init}
        for param, (_, devices, _, _) in deferred.items():
            param._deferred_init = init.Zero(), devices, init.Zero(), None
        try:
            self._run_once(batch)
        finally:
            for param, drawing in deferred.items():
                param._data = param._grad = param._ctx_list = param._ctx_map = None
                param._deferred_init = drawing

    def _layer_params(self) -> Mapping[str, gluon.Parameter]:
        """Parameters of layers by the names that Gluon saves them under; others count the layers of the process."""
        return self.model._collect_params_with_prefix()

    def _weights(self) -> dict[str, np.ndarray]:
        def data(param: gluon.Parameter) -> np.ndarray:
            deferred = np.zeros(param.shape, dtype=param.dtype) if param._deferred_init else None
            return param.data(self.device) if deferred is None else deferred

        own = dict(self.model._named_scratch_params())
        return {**{name: data(param) for name, param in self._layer_params().items()}, **own}

    def _set_weights(self, weights: Mapping[str, onp.ndarray]) -> None:
        params = self._layer_params()
        for name, array in self._weights().items():
            weight = np.array(weights[name], dtype=array.dtype, ctx=self.device)
            if name in params:
                params[name].set_data(weight)  # on each device
                params[name]._finish_deferred_init()
            else:
                array[...] = weight

    def _optimizer_name(self) -> str:
        return type(self._optimizer()).__name__

    def _optimizer(self) -> Any:
        """The optimizer itself, where Gluon's trainer has it."""
        return getattr(self.optim, "optimizer", self.optim)

    def _optimizer_numbers(self) -> dict[str, int]:
        """The optimizer's number for each parameter, by its name in the model.

        Gluon numbers parameters in the order of other names, in which it counts the layers of the process.
        """
        numbers = {id(param): i for i, param in enumerate(self.optim._params)}
        params = self._layer_params()
        return {name: numbers[id(param)] for name, param in params.items() if id(param) in numbers}

    def _keeps_optimizer(self) -> bool:
        return type(self.optim) is SGD or isinstance(self.optim, gluon.Trainer)

    def _optimizer_state(self) -> dict[str, Any] | None:
        # Gluon would save it as a pickle. One that is written by hand has none.
        if not isinstance(self.optim, gluon.Trainer):
            return None
        optimizer, states = self._optimizer(), self.optim._updaters[0].states  # those of the first device
        counts, numbers = optimizer._index_update_count, self._optimizer_numbers()
        return {
            "states": {name: states[i] for name, i in numbers.items() if i in states},
            "numbers": _numbers(optimizer),
            "counts": {name: counts[i] for name, i in numbers.items() if i in counts},
        }

    def _set_optimizer_state(self, state: dict[str, Any] | None, path: Path) -> None:
        if state is not None:
            optimizer, numbers = self._optimizer(), self._optimizer_numbers()
            weights = {name: self.optim._params[numbers[name]].data(self.device) for name in state["states"]}
            new = {name: optimizer.create_state_multi_precision(0, weight) for name, weight in weights.items()}
            there: dict[str, onp.ndarray] = {}
            here: dict[str, onp.ndarray] = {}
            pack(state["states"], "states", there)
            pack(new, "states", here)
            check_fits(path, there, here, "optimizer")
            vars(optimizer).update(state["numbers"])
            for device, updater in zip(self.devices, self.optim._updaters, strict=True):
                states = {numbers[name]: part for name, part in state["states"].items()}
                updater.states = {i: updater.sync_state_context(part, device) for i, part in states.items()}
                updater.states_synced = dict.fromkeys(states, True)
                optimizer._set_current_context(device.device_id)
                optimizer._index_update_count.update({numbers[name]: count for name, count in state["counts"].items()})
            if "schedule" in state and optimizer.lr_scheduler is not None:  # in a checkpoint of an earlier version
                vars(optimizer.lr_scheduler).update(state["schedule"])

    def _scheduler_states(self) -> dict[str, dict[str, Any]]:
        scheduler = getattr(self._optimizer(), "lr_scheduler", None)
        return {} if scheduler is None else {type(scheduler).__name__: vars(scheduler)}

    def _set_scheduler_state(self, name: str, state: dict[str, Any]) -> None:
        vars(self._optimizer().lr_scheduler).update(state)

    def _tensor(self, array: onp.ndarray) -> mx.nd.NDArray:
        return np.array(array, dtype=array.dtype, ctx=self.device).as_nd_ndarray()

    def _random_state(self) -> int:
        # MXNet does not tell its random state. It gives a seed, drawn from it, and goes on from that.
        seed = int(np.random.randint(0, 2**31 - 1))
        mx.random.seed(seed)
        return seed

    def _set_random_state(self, state: int) -> None:
        mx.random.seed(state)


class SyntheticRegressionData(datasets.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.datasets.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> np.ndarray:
        return np.random.normal(size=shape)


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``."""

    def __init__(self, num_inputs: int, lr: float, sigma: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.w = np.random.normal(scale=sigma, size=(num_inputs, 1))
        self.b = np.zeros(1)
        self.w.attach_grad()
        self.b.attach_grad()

    def forward(self, X: np.ndarray) -> np.ndarray:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, y_hat: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Half of the mean squared error."""
        return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD([self.w, self.b], validation.learning_rate(self))


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``."""

    def __init__(self, params: Sequence[np.ndarray], lr: float):
        self.save_hyperparameters()

    def step(self, _: Any) -> None:
        """Update the parameters that have gradients. The argument is the batch size that Gluon's optimizers ask for."""
        for param in self.params:
            if param.grad is not None:
                param -= self.lr * param.grad


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²)."""

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Dense(1)
        self.net.initialize(init.Normal(sigma=0.01))

    def loss(self, y_hat: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The mean squared error."""
        return ((y_hat - y.reshape(y_hat.shape)) ** 2).mean()

    def get_w_b(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (1, inputs) and bias (1,)."""
        return self.net.weight.list_data()[0], self.net.bias.list_data()[0]


class Classifier(modules.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: np.ndarray, Y: np.ndarray, averaged: bool = True) -> np.ndarray:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...).

        Raises:
            ValueError: A label is no class number, or their shape is another than that of the examples.
        """
        mistake = validation.mistake_in_labels(Y_hat.shape, Y.shape, validation.dtype_name(Y), "u?int|float")
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
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example."""
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

        def count(layer: nn.Block, _: Any, Y: np.ndarray) -> None:
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


class FashionMNIST(datasets.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.FashionMNIST`.
    """

    def _make_batch(
        self, rows: np.ndarray, columns: np.ndarray, images: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        # As layers, which multiply a batch by one matrix: MXNet's products of matrices are half as fast.
        X = images.transpose(0, 2, 1).astype(np.float32) / 255
        X = _product(X, rows).transpose(0, 2, 1)
        X = _product(X, columns)
        return np.expand_dims(X, 1), labels.astype(np.int32)


class ImageFolder(datasets.ImageFolder, DataModule):
    """Image files in batches of X (n, 3, crop, crop) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.ImageFolder`.
    """

    def _make_batch(self, pixels: np.ndarray, shifts: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        X = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        return X + shifts.reshape(-1, 3, 1, 1), labels.astype(np.int32)


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors."""

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(nn.Flatten(), nn.Dense(num_outputs))
        self.net.initialize()


def cpu() -> mx.Context:
    """The CPU."""
    return npx.cpu()


def gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU."""
    return npx.gpu(i)


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return npx.num_gpus()


def try_gpu(i: int = 0) -> mx.Context:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[mx.Context]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


def corr2d(X: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Cross-correlation of a matrix X with a kernel K, without padding: (a, b) and (h, w) give (a-h+1, b-w+1)."""
    kernel = K.astype(X.dtype)[None, None]
    return npx.convolution(X[None, None], kernel, kernel=K.shape, num_filter=1, no_bias=True)[0, 0]


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: see `d2l.torch.LeNet`."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.HybridSequential()
        self.net.add(
            nn.Conv2D(6, kernel_size=5, padding=2, activation="sigmoid"),
            nn.AvgPool2D(pool_size=2, strides=2),
            nn.Conv2D(16, kernel_size=5, activation="sigmoid"),
            nn.AvgPool2D(pool_size=2, strides=2),
            nn.Dense(120, activation="sigmoid"),
            nn.Dense(84, activation="sigmoid"),
            nn.Dense(num_classes),
        )
        self.net.initialize(init.Xavier())


class Residual(nn.Block):
    """Two convolutions with batch normalization beside a shortcut: see `d2l.torch.Residual`."""

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
        self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The block's output for X (n, channels, height, width)."""
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return npx.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Block):
    """A residual block with a grouped convolution between two of 1 by 1: see `d2l.torch.ResNeXtBlock`."""

    def __init__(
        self,
        num_channels: int,
        groups: int,
        bot_mul: float,
        use_1x1conv: bool = False,
        strides: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        width = round(num_channels * bot_mul)
        self.conv1 = nn.Conv2D(width, kernel_size=1)
        self.conv2 = nn.Conv2D(width, kernel_size=3, padding=1, strides=strides, groups=width // groups)
        self.conv3 = nn.Conv2D(num_channels, kernel_size=1)
        self.conv4 = nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()
        self.bn3 = nn.BatchNorm()
        self.bn4 = nn.BatchNorm() if use_1x1conv else None

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The block's output for X (n, channels, height, width)."""
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = npx.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return npx.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 else X))


def _numbers(thing: Any) -> dict[str, float]:
    """The numbers that an object has as attributes."""
    return {name: value for name, value in getattr(thing, "__dict__", {}).items() if isinstance(value, (int, float))}


def _product(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Every row of ``X`` (..., inputs) times ``weight`` (outputs, inputs)."""
    return npx.fully_connected(X, weight, num_hidden=len(weight), no_bias=True, flatten=False)


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


def _hybridize(block: nn.Block) -> None:
    """Let every part of ``block`` that can be compiled be compiled."""
    for child in block._children.values():
        if isinstance(child, nn.HybridBlock):
            child.hybridize(static_alloc=True, static_shape=True)
        else:
            _hybridize(child)


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
