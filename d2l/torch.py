"""The helper for PyTorch."""

import atexit
import copy
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import datasets, modules, trainer, validation
from .board import ProgressBoard
from .checkpoint import CheckpointError, check_fits
from .data import as_batch
from .distribution import missing_framework
from .hyperparameters import HyperParameters, add_to_class
from .inspection import attributes
from .machine import cpu_has_bfloat16, keep_freed_memory
from .notebook import in_notebook
from .plotting import plot, plt, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile
from .workers import Workers

try:
    import torch
    from torch import distributed, nn
    from torch.nn.parallel import DistributedDataParallel
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
    from torch.utils._pytree import tree_map_only  # public only in later versions than 2.6
    from torch.utils.flop_counter import FlopCounterMode
except ModuleNotFoundError as error:
    raise missing_framework(error, ["torch"], "pytorch") from error

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
    "init_cnn",
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

NO_LABEL = torch.iinfo(torch.int64).min  # PyTorch leaves examples with this label out of the loss; by itself, of -100
# Optimizers that keep, beside counts, numbers of the weights' shapes and no others.
BY_WEIGHT = {
    getattr(torch.optim, name)
    for name in ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"]
}

if current_profile().smoke:
    torch.manual_seed(SEED)


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
            mistake = validation.mistake_in_inputs(error, self, args, torch.Tensor, "torch.as_tensor(X)", own)
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
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return torch.optim.SGD(self.parameters(), lr=validation.learning_rate(self))

    def apply_init(self, inputs: Sequence[torch.Tensor], init: Callable[[nn.Module], None] | None = None) -> None:
        """Give lazy layers their shapes by a pass of ``inputs``, then call ``init`` with every part of ``self.net``."""
        with _evaluating(self):
            self(*inputs)
        if init is not None:
            self.net.apply(init)


class DataModule(datasets.DataModule):
    """Base class of data sets: see `d2l.datasets.DataModule`."""

    def _on_device(self, tensor: Any, device: torch.device | None) -> torch.Tensor:
        return torch.as_tensor(tensor, device=device)

    def _order(self, n: int, shuffle: bool, device: torch.device | None) -> torch.Tensor:
        return torch.randperm(n, device=device) if shuffle else torch.arange(n, device=device)

    def _draw_seed(self) -> int:
        return int(torch.randint(2**31, ()))

    def _is_main(self) -> bool:
        # torchrun gives the rank before there is a trainer, which is what joins the processes.
        return int(os.environ.get("RANK", 0)) == 0


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    A model's ``configure_optimizers`` returns an optimizer or, beside it, learning-rate schedulers that take a step
    after each epoch: ``return optimizer, scheduler`` or ``return [optimizer], [scheduler, ...]``. In the place of a
    scheduler may stand ``{"scheduler": scheduler, "interval": "step"}``, which takes one after each training step, and
    with ``"monitor": "val_acc"`` the curve that `ReduceLROnPlateau` looks at, by default the validation loss.
    Checkpoints hold these schedulers, and those that the model steps by itself.

    Several GPUs take a process each, which torchrun starts, on one machine or on several. Each process trains on one
    GPU, or on the CPU with ``num_gpus=0`` or where there is none.
    """

    framework = "torch"
    tensors = (torch.Tensor,)
    tensors_name = "tensors of torch, such as torch.as_tensor(X)"
    optimizer_methods = ("step", "zero_grad")
    optimizer_example = "torch.optim.SGD(self.parameters(), lr=self.lr)"
    precisions = ("auto", "float32", "bfloat16")
    generator_types = (*trainer.Trainer.generator_types, torch.Generator)
    _parallel: DistributedDataParallel | None = None
    _schedules: Sequence["_Schedule"] = ()  # of the optimizer, for the trainer to step
    _found_schedulers: dict[str, LRScheduler] | None = None

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches; those of PyTorch's own class copy ahead to a GPU."""
        super().prepare_data(data)
        if self.gpus:
            self.train_dataloader = _copied_ahead(self.train_dataloader, self.device)
            self.val_dataloader = _copied_ahead(self.val_dataloader, self.device)

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, and bring the model to the device."""
        super().prepare_model(model)
        model.to(self.device)
        if not self.gpus:
            keep_freed_memory()

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch to the device."""
        return [x.to(self.device, non_blocking=True) for x in batch]

    def clip_gradients(self, grad_clip_val: float, model: Module) -> None:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``."""
        nn.utils.clip_grad_norm_(model.parameters(), grad_clip_val)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        precision = self._chosen_precision()
        plain = _plain_float32() if precision == "float32" and self.gpus else nullcontext()
        with plain, self._schedules_by_step():
            self.model.autocast_device = self.device.type if precision == "bfloat16" else None
            try:
                yield
            finally:
                self.model.autocast_device = None

    def _has_bfloat16(self) -> bool:
        if not self.gpus:
            return cpu_has_bfloat16()
        with torch.cuda.device(self.device):
            return torch.cuda.is_bf16_supported(including_emulation=False)

    def _find_workers(self) -> Workers:
        if not distributed.is_available() or not (
            distributed.is_initialized() or distributed.is_torchelastic_launched()
        ):
            return Workers()
        if not distributed.is_initialized():
            _join_processes()
        return Workers(distributed.get_rank(), distributed.get_world_size(), _sum_over_processes)

    def _add_up(self, numbers: list[float]) -> list[float]:
        return self.workers.add_up(np.array(numbers, np.float64)).tolist()

    def _seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def _choose_gpus(self) -> list[torch.device]:
        gpus = self._find_gpus()
        if not gpus or not self.num_gpus:
            return []
        if self.workers.count == 1:
            return gpus[:1]
        here = int(os.environ["LOCAL_RANK"])
        if here >= len(gpus):
            raise ValueError(
                f"this machine has {len(gpus)} GPUs and more processes than that: "
                f"start them with torchrun --nproc-per-node={len(gpus)}, or train with num_gpus=0"
            )
        torch.cuda.set_device(gpus[here])
        return [gpus[here]]

    def _how_to_use_more(self) -> str:
        processes = min(num_gpus(), self.num_gpus)
        if self.workers.count > 1 or processes < 2:
            return ""
        script = "-m IPython NOTEBOOK.ipynb" if in_notebook() else "SCRIPT.py"
        return f". A process trains on one; for more, start it with torchrun --nproc-per-node={processes} {script}"

    def _find_gpus(self) -> list[torch.device]:
        return [gpu(i) for i in range(num_gpus())]

    def _cpu(self) -> torch.device:
        return cpu()

    def _prepare_optimizer(self) -> None:
        super()._prepare_optimizer()
        self._parallel = None

    def _configured_optimizer(self, configured: Any) -> Any:
        source = f"{type(self.model).__name__}.configure_optimizers"
        optimizer, self._schedules = _optimizer_and_schedules(configured, source)
        self._found_schedulers = None
        return optimizer

    @contextmanager
    def _schedules_by_step(self) -> Iterator[None]:
        """Have schedules that go by training steps follow those of the optimizer, whoever takes them."""
        hooks = [
            self.optim.register_step_post_hook(lambda *_, schedule=schedule: schedule.step(self.model.board.last))
            for schedule in self._schedules
            if schedule.interval == "step"
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _step_schedulers(self) -> None:
        for schedule in self._schedules:
            if schedule.interval == "epoch":
                schedule.step(self.model.board.last)

    def _check_optimizer(self) -> None:
        super()._check_optimizer()
        groups = getattr(self.optim, "param_groups", ())  # one written by hand has them where it likes
        optimized = [parameter for group in groups for parameter in group["params"]]
        # A model may have tensors that are no parameters, too.
        own = [value for module in self.model.modules() for value in vars(module).values()]
        validation.check_trained(self.model, optimized, [*self.model.parameters(), *own])

    def _set_training(self, training: bool) -> None:
        self.model.train(training)
        if not training and self.workers.count > 1:
            for buffer in self.model.buffers():  # such as the averages of batch normalization
                distributed.broadcast(buffer, 0)

    def _train(self, batch: Sequence[torch.Tensor]) -> None:
        loss = _loss(self.model, batch) if self.workers.count == 1 else self._share_of_loss(batch)
        self.optim.zero_grad()
        loss.backward()
        # Optimizers written by hand change parameters in place.
        with torch.no_grad():
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step()

    def _share_of_loss(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """What this process adds to the loss of the whole batch, times the number of processes.

        `DistributedDataParallel` takes the mean of the gradients over the processes, whose parts may differ in size.
        """
        examples = torch.tensor(len(batch[-1]))
        counting = distributed.all_reduce(examples, async_op=True)  # while the layers compute
        if self._parallel is None:
            if not self._is_built():  # where a chapter has a fit of its own
                self._build(batch)
            self._parallel = DistributedDataParallel(_TrainingStep(self.model))
        loss = self._parallel(batch)
        counting.wait()
        self.progress.all_examples = int(examples)
        return loss * (self.workers.count * len(batch[-1]) / max(int(examples), 1))

    def _validate(self, batch: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            self.model.validation_step(batch)

    def _is_built(self) -> bool:
        return not any(map(nn.parameter.is_lazy, chain(self.model.parameters(), self.model.buffers())))

    def _build(self, batch: Sequence[torch.Tensor]) -> None:
        with _evaluating(self.model):
            self._run_once(batch)

    def _weights(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict()

    def _set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        self.model.load_state_dict({name: self._tensor(weight) for name, weight in weights.items()})

    def _keeps_optimizer(self) -> bool:
        # One that is written by hand has a state if it has PyTorch's methods for it.
        return type(self.optim) is SGD or hasattr(self.optim, "state_dict")

    def _optimizer_state(self) -> Any:
        return self.optim.state_dict() if hasattr(self.optim, "state_dict") else None

    def _set_optimizer_state(self, state: Any, path: Path) -> None:
        if state is None:
            return
        try:
            self.optim.load_state_dict(state)
        except ValueError as error:
            raise CheckpointError(
                f"{path} does not fit this optimizer: {error}. Groups of parameters that are added in a run have to be "
                "there when it is resumed: have configure_optimizers add them"
            ) from error
        if type(self.optim) in BY_WEIGHT:
            for weight, entries in self.optim.state.items():
                there = {name: x for name, x in entries.items() if isinstance(x, torch.Tensor) and x.ndim}
                check_fits(path, there, dict.fromkeys(there, weight.detach()), "optimizer")

    def _schedulers(self) -> dict[str, LRScheduler]:
        """All schedulers of the optimizer, by their names in a checkpoint, the oldest of a class first.

        They are looked for once and, as long as there are none, whenever PyTorch has counted steps for one.
        """
        made_since = hasattr(getattr(self.optim, "step", None), "_wrapped_by_lr_sched")
        if self._found_schedulers is None or (made_since and not self._found_schedulers):
            self._found_schedulers = _schedulers_of(self.optim)
        return self._found_schedulers

    def _schedule_facts(self) -> dict[str, Any]:
        # Loading a scheduler's state replaces its settings, those that have been changed since, too.
        return {
            f"{name} {setting}": value
            for name, state in self._scheduler_states().items()
            if not state.get("last_epoch")  # one that has taken steps in an earlier run has counts beside its settings
            for setting, value in state.items()
            if isinstance(value, (int, float, str)) and value == value  # nan is equal to nothing
        }

    def _scheduler_states(self) -> dict[str, dict[str, Any]]:
        schedulers = self._schedulers()
        held = {id(scheduler) for scheduler in schedulers.values()}
        return {
            name: {key: value for key, value in scheduler.state_dict().items() if id(value) not in held}
            for name, scheduler in schedulers.items()
        }

    def _set_scheduler_state(self, name: str, state: dict[str, Any]) -> None:
        self._schedulers()[name].load_state_dict(state)

    def _find_unsaved(self) -> list[str]:
        stateful = [
            f"{name} ({type(value).__name__})"
            for name, value in attributes(self._owners, self._held())
            if hasattr(value, "state_dict") and not isinstance(value, nn.Module)
        ]
        if getattr(self._owners["train_dataloader"], "persistent_workers", False):
            stateful.append("the random states of train_dataloader's persistent workers")
        return [*super()._find_unsaved(), *stateful]

    def _held(self) -> list[Any]:
        return [*super()._held(), *self._schedulers().values()]

    def _generator_state(self, generator: Any) -> Any:
        return (
            generator.get_state().tolist()
            if isinstance(generator, torch.Generator)
            else super()._generator_state(generator)
        )

    def _set_generator_state(self, generator: Any, state: Any) -> None:
        if isinstance(generator, torch.Generator):
            generator.set_state(torch.tensor(state, dtype=torch.uint8))
        else:
            super()._set_generator_state(generator, state)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array)

    def _random_state(self) -> list[list[int]]:
        states = torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in self.gpus)
        return [state.tolist() for state in states]

    def _set_random_state(self, state: list[list[int]]) -> None:
        cpu_state, *gpu_states = (torch.tensor(numbers, dtype=torch.uint8) for numbers in state)
        torch.set_rng_state(cpu_state)
        for gpu, gpu_state in zip(self.gpus, gpu_states, strict=False):  # the run may have been on a CPU
            torch.cuda.set_rng_state(gpu_state, gpu)


class SyntheticRegressionData(datasets.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.datasets.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape)


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``."""

    def __init__(self, num_inputs: int, lr: float, sigma: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.w = nn.Parameter(sigma * torch.randn(num_inputs, 1))
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, y_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Half of the mean squared error."""
        return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD([self.w, self.b], validation.learning_rate(self))


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float):
        params = list(params)  # those of `Module.parameters` can be gone through once
        self.save_hyperparameters()

    def step(self) -> None:
        """Update the parameters by their gradients, those that the loss reaches."""
        for param in self.params:
            if param.grad is not None:
                param.data -= self.lr * param.grad

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for param in self.params:
            param.grad = None


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²)."""

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)
        _initialize(self.net, lambda layer: (nn.init.normal_(layer.weight, std=0.01), nn.init.zeros_(layer.bias)))

    def loss(self, y_hat: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean squared error."""
        return nn.functional.mse_loss(y_hat, y.reshape(y_hat.shape))

    def get_w_b(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (1, inputs) and bias (1,)."""
        return self.net.weight.data, self.net.bias.data


class Classifier(modules.Classifier, Module):
    """Base class of classification models."""

    def loss(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True) -> torch.Tensor:
        """Cross-entropy of the logits ``Y_hat`` (..., classes) against the class numbers ``Y`` (...).

        A number that is no class is an error on a CPU. On a GPU, which the process would lose by it, it gives nan.
        """
        try:
            return _cross_entropy(Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1), averaged)
        except IndexError as error:
            raise IndexError(f"{error} The model has {Y_hat.shape[-1]} classes, numbered from 0.") from error
        except (RuntimeError, ValueError) as error:
            dtype = validation.dtype_name(Y)
            mistake = validation.mistake_in_labels(Y_hat.shape, Y.shape, dtype, "int64|uint8")
            if mistake is None:
                raise
            raise ValueError(mistake) from error

    def accuracy(self, Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool = True, top: int = 1) -> torch.Tensor:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example."""
        likeliest = Y_hat.reshape(-1, Y_hat.shape[-1]).topk(min(top, Y_hat.shape[-1]), dim=1).indices
        correct = (likeliest == Y.reshape(-1, 1)).any(1).float()
        return correct.mean() if averaged else correct

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
        parameter = next(self.parameters(), torch.empty(0))
        X = first = torch.zeros(*X_shape, device=parameter.device)
        with _evaluating(self):
            # Lazy layers take no shape from an input that a later layer refuses: a copy is asked first.
            lazy = any(map(nn.parameter.is_lazy, self.net.parameters()))
            net = _copied(self.net) if lazy else self.net
            with torch.random.fork_rng(self._cuda_devices()) if lazy else nullcontext():
                for layer in net:
                    Y = layer(X)
                    yield layer, X, Y
                    X = Y
            if lazy:
                self.net(first)

    def _cuda_devices(self) -> list[torch.device]:
        """The GPUs that its parameters are on."""
        return list({parameter.device for parameter in self.parameters() if parameter.is_cuda})

    def _count_parameters(self, layer: nn.Module) -> int:
        return sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)

    def _multiply_adds(self, layer: nn.Module, X: torch.Tensor) -> int:
        with FlopCounterMode(display=False) as counter:
            layer(X)
        return counter.get_total_flops() // 2


class FashionMNIST(datasets.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int64``.

    See `d2l.datasets.FashionMNIST`.
    """

    def _make_batch(
        self, rows: torch.Tensor, columns: torch.Tensor, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        X = images.float() / 255
        return (rows @ X @ columns.T).unsqueeze(1), labels.long()


class ImageFolder(datasets.ImageFolder, DataModule):
    """Image files in batches of X (n, 3, crop, crop) ``float32`` and y (n,) ``int64``.

    See `d2l.datasets.ImageFolder`.
    """

    def _make_batch(
        self, pixels: torch.Tensor, shifts: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        X = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
        return X + shifts[..., None, None], labels.long()


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors."""

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """Number of GPUs that can be used."""
    return torch.cuda.device_count()


def try_gpu(i: int = 0) -> torch.device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[torch.device]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


def corr2d(X: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """Cross-correlation of a matrix X with a kernel K, without padding: (a, b) and (h, w) give (a-h+1, b-w+1)."""
    return nn.functional.conv2d(X[None, None], K[None, None].to(X.dtype))[0, 0]


def init_cnn(module: nn.Module) -> None:
    """Initialize a linear or convolutional layer's weight uniformly, after Glorot and Bengio (2010).

    For ``model.apply(init_cnn)``. A lazy layer is initialized once its first input has given it its shape.
    """
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        _initialize(module, lambda layer: nn.init.xavier_uniform_(layer.weight))


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling, for images of one channel and 28 by 28 pixels.

    After LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.LazyConv2d(6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.LazyConv2d(16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.LazyLinear(120),
            nn.Sigmoid(),
            nn.LazyLinear(84),
            nn.Sigmoid(),
            nn.LazyLinear(num_classes),
        )
        self.net.apply(init_cnn)


class Residual(nn.Module):
    """Two convolutions with batch normalization beside a shortcut: ReLU(F(X) + X).

    After He et al., "Deep residual learning for image recognition", 2016.

    Args:
        num_channels: Channels of the output.
        use_1x1conv: Whether the shortcut has a convolution, for another number of channels or another size.
        strides: Strides of the first convolution and of the shortcut's.
    """

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        self.conv1 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.LazyConv2d(num_channels, kernel_size=3, padding=1)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The block's output for X (n, channels, height, width)."""
        Y = nn.functional.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return nn.functional.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Module):
    """A residual block with a grouped convolution between two of 1 by 1.

    After Xie et al., "Aggregated residual transformations for deep neural networks", 2017.

    Args:
        num_channels: Channels of the output.
        groups: Channels in a group of the grouped convolution.
        bot_mul: Channels of the grouped convolution as a share of ``num_channels``.
        use_1x1conv: Whether the shortcut has a convolution, for another number of channels or another size.
        strides: Strides of the grouped convolution and of the shortcut's.
    """

    def __init__(self, num_channels: int, groups: int, bot_mul: float, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        width = round(num_channels * bot_mul)
        self.conv1 = nn.LazyConv2d(width, kernel_size=1)
        self.conv2 = nn.LazyConv2d(width, kernel_size=3, padding=1, stride=strides, groups=width // groups)
        self.conv3 = nn.LazyConv2d(num_channels, kernel_size=1)
        self.conv4 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1 = nn.LazyBatchNorm2d()
        self.bn2 = nn.LazyBatchNorm2d()
        self.bn3 = nn.LazyBatchNorm2d()
        self.bn4 = nn.LazyBatchNorm2d() if use_1x1conv else None

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The block's output for X (n, channels, height, width)."""
        Y = nn.functional.relu(self.bn1(self.conv1(X)))
        Y = nn.functional.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return nn.functional.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 else X))


def _cross_entropy(Y_hat: torch.Tensor, Y: torch.Tensor, averaged: bool) -> torch.Tensor:
    """The loss of the logits (n, classes) and the class numbers (n,)."""
    reduction = "mean" if averaged else "none"
    cross_entropy = partial(nn.functional.cross_entropy, Y_hat, reduction=reduction, ignore_index=NO_LABEL)
    if not Y.is_cuda:
        return cross_entropy(Y)
    is_class = (Y >= 0) & (Y_hat.shape[-1] > Y)
    lost = torch.where(is_class, 0.0, torch.nan)
    return cross_entropy(torch.where(is_class, Y, 0)) + (lost.mean() if averaged else lost)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Run ``model`` as in validation: without gradients, dropout off, batch normalization by its running averages."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@contextmanager
def _plain_float32() -> Iterator[None]:
    """Keep GPUs from rounding factors to TensorFloat-32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    name, backends, plain = "allow_tf32", [matmul, cudnn], False
    try:
        kept = [getattr(backend, name) for backend in backends]
    except RuntimeError:  # once they have been set by their newer name, they cannot be read by the older one
        name, backends, plain = "fp32_precision", [matmul, cudnn.conv, cudnn.rnn], "ieee"
        kept = [getattr(backend, name) for backend in backends]
    for backend in backends:
        setattr(backend, name, plain)
    try:
        yield
    finally:
        for backend, value in zip(backends, kept, strict=True):
            setattr(backend, name, value)


class _Schedule(NamedTuple):
    """A scheduler, when it takes a step, and the curve that it looks at if it looks at one."""

    scheduler: LRScheduler
    interval: str = "epoch"
    monitor: str = ""

    def step(self, last: Mapping[str, float]) -> None:
        """Take a step, given each curve's last value.

        Raises:
            ValueError: The curve to look at has no point yet.
        """
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()
            return
        monitor = self.monitor or ("val_loss" if "val_loss" in last else "train_loss")
        if monitor not in last and self.interval == "step":  # the curve's first point is yet to come
            return
        if monitor not in last:
            raise ValueError(f"ReduceLROnPlateau is to look at {monitor!r}, and the curves so far are {[*last]}")
        self.scheduler.step(last[monitor])


def _optimizer_and_schedules(configured: Any, source: str) -> tuple[Any, list[_Schedule]]:
    """The optimizer and the schedules in what a ``configure_optimizers`` has returned.

    Args:
        configured: An optimizer; or it and schedulers, in tuples, lists or Lightning's dicts.
        source: The method's name, for errors.

    Raises:
        TypeError, ValueError: There is not one optimizer, or a schedule is none, or of another optimizer.
    """
    optimizers, schedules = [], []
    rest = [configured]
    while rest:
        part = rest.pop(0)
        if isinstance(part, (tuple, list)):
            rest = [*part, *rest]
        elif isinstance(part, Mapping) and isinstance(part.get("optimizer"), torch.optim.Optimizer):
            rest = [part["optimizer"], *([part["lr_scheduler"]] if "lr_scheduler" in part else []), *rest]
        elif isinstance(part, Mapping) and isinstance(part.get("scheduler"), LRScheduler):
            unknown = part.keys() - set(_Schedule._fields)
            if unknown or part.get("interval", "epoch") not in ("epoch", "step"):
                raise ValueError(
                    f"{source} returned the schedule {part}: give 'scheduler' and, where need be, 'interval', which is "
                    "'epoch' or 'step', and 'monitor', a curve such as 'val_loss'"
                )
            schedules.append(_Schedule(**part))
        elif isinstance(part, LRScheduler):
            schedules.append(_Schedule(part))
        else:
            optimizers.append(part)
    if len(optimizers) != 1:
        kinds = ", ".join(type(part).__name__ for part in optimizers) or "none"
        raise TypeError(
            f"{source} has to return one optimizer, alone or with schedulers, which are objects of PyTorch's "
            f"LRScheduler; beside these there are here: {kinds}"
        )
    for schedule in schedules:
        if schedule.scheduler.optimizer is not optimizers[0]:
            raise ValueError(f"{source} returned a {type(schedule.scheduler).__name__} of another optimizer")
    return optimizers[0], schedules


def _schedulers_of(optimizer: Any) -> dict[str, LRScheduler]:
    """All schedulers that hold an optimizer, named by their class and a number, the oldest of a class first.

    A model that steps a scheduler by itself may keep it anywhere, so all objects there are are looked through. Those
    that are parts of another one, such as of `SequentialLR`, have their state in its.
    """
    own = [
        thing
        for generation in (2, 1, 0)
        for thing in gc.get_objects(generation)
        if issubclass(type(thing), LRScheduler) and getattr(thing, "optimizer", None) is optimizer
    ]
    parts = {id(part) for scheduler in own for part in getattr(scheduler, "_schedulers", ())}
    counts: Counter[str] = Counter()
    named = {}
    for scheduler in own:
        if id(scheduler) not in parts:
            kind = type(scheduler).__name__
            counts[kind] += 1
            named[f"{kind} {counts[kind]}"] = scheduler
    return named


def _copied(net: nn.Module) -> nn.Module:
    """A copy of a net, also of its lazy buffers, such as those of batch normalization, which PyTorch does not copy."""
    lazy = filter(nn.parameter.is_lazy, net.buffers())
    new = {id(x): nn.parameter.UninitializedBuffer(device=x.data.device, dtype=x.data.dtype) for x in lazy}
    return copy.deepcopy(net, new)


class _TrainingStep(nn.Module):
    """A model's step of training as a forward pass, which is what can be made parallel."""

    def __init__(self, model: Module):
        super().__init__()
        self.model = model

    def forward(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        return _loss(self.model, batch)


def _loss(model: Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """The loss that a model's step of training returns.

    Raises:
        TypeError, ValueError: It returns something else.
    """
    loss = model.training_step(batch)
    validation.check_loss(model, loss, torch.Tensor)
    return loss


def _dtype_of(model: nn.Module) -> str:
    """The dtype of the parameters, where inputs have to have the same."""
    parameter = next(model.parameters(), None)
    return "" if parameter is None else str(parameter.dtype).removeprefix("torch.")


def _join_processes() -> None:
    """Join the processes that torchrun has started; on GPUs, they exchange gradients there."""
    store, rank, count = next(distributed.rendezvous("env://"))
    if os.environ["GROUP_WORLD_SIZE"] == "1":
        # Started anew on one machine, they find the store of those before them, whose addresses lead nowhere.
        store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    backend = "cpu:gloo,cuda:nccl" if num_gpus() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    atexit.register(distributed.destroy_process_group)


def _sum_over_processes(array: np.ndarray) -> np.ndarray:
    total = torch.tensor(array)
    distributed.all_reduce(total)
    return total.numpy()


def _copied_ahead(loader: Any, device: torch.device) -> Any:
    """A loader of PyTorch's own class with batches on the GPU, each copied while the one before it is trained on."""
    if not isinstance(loader, torch.utils.data.DataLoader):
        return loader
    loader.pin_memory = True  # only from pinned memory does a copy run beside other work
    return _CopiedAhead(loader, device)


@dataclass(frozen=True)
class _CopiedAhead:
    loader: torch.utils.data.DataLoader
    device: torch.device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        copying, training = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        ready = None
        for batch in self.loader:
            with torch.cuda.stream(copying):
                coming = [x.to(self.device, non_blocking=True) for x in as_batch(batch)]
            if ready is not None:
                yield ready
            training.wait_stream(copying)
            for x in coming:
                x.record_stream(training)  # so that its memory is not reused before training is done with it
            ready = coming
        if ready is not None:
            yield ready


def _initialize(layer: nn.Module, init: Callable[[nn.Module], Any]) -> None:
    """Call ``init`` with a layer now or, if it is lazy, once its first input has given it its shape.

    Weights that are loaded before that stay.
    """
    if nn.parameter.is_lazy(layer.weight):
        # Hooks run in the order of their making, so the layer's own has made the weight when this one runs.
        layer.register_forward_pre_hook(_InitializeOnce(init))
        layer.register_load_state_dict_post_hook(_keep_what_was_loaded)
    else:
        init(layer)


class _InitializeOnce:
    """Hook before a lazy layer's first pass. It takes itself off, also where the layer is a copy."""

    def __init__(self, init: Callable[[nn.Module], Any]):
        self.init = init

    def __call__(self, layer: nn.Module, _: Any) -> None:
        self.init(layer)
        _forget_initialization(layer)


def _keep_what_was_loaded(layer: nn.Module, _: Any) -> None:
    if not nn.parameter.is_lazy(layer.weight):  # loading gave it its shape; without weights of its own it stays lazy
        _forget_initialization(layer)


def _forget_initialization(layer: nn.Module) -> None:
    hooks = layer._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _InitializeOnce)]:
        del hooks[key]


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
        self.net = nn.Sequential(
            nn.LazyConv2d(96, kernel_size=11, stride=4), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.LazyConv2d(256, kernel_size=5, padding=2), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.LazyConv2d(384, kernel_size=3, padding=1), nn.ReLU(),
            nn.LazyConv2d(384, kernel_size=3, padding=1), nn.ReLU(),
            nn.LazyConv2d(256, kernel_size=3, padding=1), nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2), nn.Flatten(),
            nn.LazyLinear(4096), nn.ReLU(), nn.Dropout(0.5),
            nn.LazyLinear(4096), nn.ReLU(), nn.Dropout(0.5),
            nn.LazyLinear(num_classes))
        self.net.apply(d2l.init_cnn)


# Alias defined in config.ini
nn_Module = nn.Module

ones_like = torch.ones_like
ones = torch.ones
zeros_like = torch.zeros_like
zeros = torch.zeros
tensor = torch.tensor
arange = torch.arange
meshgrid = torch.meshgrid
linspace = torch.linspace
sin = torch.sin
sinh = torch.sinh
cos = torch.cos
cosh = torch.cosh
tanh = torch.tanh
exp = torch.exp
log = torch.log
abs = torch.abs
sigmoid = torch.sigmoid
normal = torch.normal
rand = torch.rand
randn = torch.randn
eye = torch.eye
matmul = torch.matmul
batch_matmul = torch.bmm
concat = torch.cat
stack = torch.stack
float32 = torch.float32
int32 = torch.int32
int64 = torch.int64
numpy = lambda x, *args, **kwargs: x.detach().cpu().numpy(*args, **kwargs)
size = lambda x, *args, **kwargs: x.numel(*args, **kwargs)
reshape = lambda x, *args, **kwargs: x.reshape(*args, **kwargs)
to = lambda x, *args, **kwargs: x.to(*args, **kwargs)
astype = lambda x, *args, **kwargs: x.to(*args, **kwargs)
repeat = lambda x, *args, **kwargs: x.repeat(*args, **kwargs)
swapaxes = lambda x, *args, **kwargs: x.swapaxes(*args, **kwargs)
transpose = lambda x, *args, **kwargs: x.t(*args, **kwargs)
expand_dims = lambda x, *args, **kwargs: x.unsqueeze(*args, **kwargs)
reduce_sum = lambda x, *args, **kwargs: x.sum(*args, **kwargs)
reduce_mean = lambda x, *args, **kwargs: x.mean(*args, **kwargs)
argmax = lambda x, *args, **kwargs: x.argmax(*args, **kwargs)
