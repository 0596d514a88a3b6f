"""PyTorch for a trainer."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._pytree import tree_map_only  # public only in later versions than 2.6

from ... import backend, input_checks
from ...backend import Clip, OptimizerState, check_optimizer, configured_by, forward_once
from ...checkpoint_file import CheckpointError, check_fits
from ...machine import cpu_has_bfloat16, keep_freed_memory
from ...metrics import StepMetrics, recorded
from ...notebook_output import in_notebook
from ...process_group import ProcessGroup
from ...random_states import GeneratorKind
from .cuda_graphs import CUDACapturer, GraphedStep
from .devices import WITH_STREAMS, cpu, find_gpus, has_bfloat16, rng_state, set_rng_state
from .devices import num_gpus as count_gpus
from .fused_layers import fused_layers, usable_kernels
from .fused_optimizers import fused
from .matmul_precision import plain_float32, tf32_operations
from .modules import Module, evaluating
from .processes import process_group
from .schedules import Schedule, Schedules, optimizer_and_schedules, schedulers_of
from .sgd import SGD

# Optimizers that keep, beside counts, numbers of the weights' shapes and no others.
BY_WEIGHT = {
    getattr(torch.optim, name)
    for name in ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"]
}


def _set_generator(generator: torch.Generator, state: Sequence[int]) -> None:
    generator.set_state(torch.tensor(state, dtype=torch.uint8))


class Backend(backend.Backend):
    """PyTorch: see `d2l.backend.Backend`."""

    name = "torch"
    module_type = Module
    layer_type = nn.Module
    precisions = ("auto", "float32", "bfloat16")
    generator_kinds = (
        GeneratorKind(torch.Generator, lambda generator: generator.get_state().tolist(), _set_generator),
    )
    tensor_types = (torch.Tensor,)
    tensors_name = "tensors of torch, such as torch.as_tensor(X)"
    optimizer_methods = ("step", "zero_grad")
    optimizer_example = "torch.optim.SGD(self.parameters(), lr=self.lr)"

    def __init__(self, num_gpus: int):
        super().__init__(num_gpus)
        self._parallel: DistributedDataParallel | None = None
        self._graphed: Sequence[GraphedStep] = ()  # take steps of training and validation, on one of NVIDIA's GPUs
        self._schedules: Sequence[Schedule] = ()  # of the optimizer, for the trainer to step
        self._found: tuple[Any, dict[str, LRScheduler]] | None = None  # an optimizer, and its schedulers

    def process_group(self) -> ProcessGroup:
        """Those that torchrun has started."""
        return process_group()

    def choose_gpus(self, num_gpus: int) -> Sequence[torch.device]:
        """One: several take a process each."""
        gpus = find_gpus()
        if not gpus or not num_gpus:
            return []
        if self.processes.world_size == 1:
            return gpus[:1]
        if gpus[0].type not in WITH_STREAMS:
            raise ValueError(
                f"processes cannot exchange gradients on this kind of GPU, {gpus[0].type}: start one process, or train "
                "with num_gpus=0"
            )
        here = int(os.environ["LOCAL_RANK"])
        if here >= len(gpus):
            raise ValueError(
                f"this machine has {len(gpus)} GPUs and more processes than that: "
                f"start them with torchrun --nproc-per-node={len(gpus)}, or train with num_gpus=0"
            )
        torch.accelerator.set_device_index(gpus[here])
        return [gpus[here]]

    @property
    def cpu(self) -> torch.device:
        """The machine's CPU."""
        return cpu()

    @property
    def device_name(self) -> str:
        """Such as ``cuda``, ``mps`` or ``cpu``: a process has one of a kind."""
        return self.device.type

    @property
    def supports_bfloat16(self) -> bool:
        """Whether the device has instructions for it."""
        return has_bfloat16(self.device) if self.gpus else cpu_has_bfloat16()

    @property
    def tf32(self) -> str:
        """As ``torch.backends`` has it: convolutions, unless a user has set something else."""
        is_nvidia = self.device.type == "cuda" and torch.version.hip is None
        # The first GPUs with TensorFloat-32 are the first with bfloat16.
        return tf32_operations() if is_nvidia and self.supports_bfloat16 else ""

    @property
    def more_gpus_advice(self) -> str:
        """How to start a process for each GPU."""
        processes = min(count_gpus(), self.requested_gpus)
        if self.processes.world_size > 1 or processes < 2:
            return ""
        script = "-m IPython NOTEBOOK.ipynb" if in_notebook() else "SCRIPT.py"
        return f". A process trains on one; for more, start it with torchrun --nproc-per-node={processes} {script}"

    @contextmanager
    def precision_context(self, model: Module, precision: str) -> Iterator[None]:
        """TensorFloat-32 off for ``"float32"``, and autocast on for ``"bfloat16"``, while it lasts."""
        with plain_float32() if precision == "float32" and self.gpus else nullcontext():
            model.autocast_device = self.device.type if precision == "bfloat16" else None
            if self._graphed and model.autocast_device and any(isinstance(x, nn.Conv2d) for x in model.modules()):
                self._check_kernels()
            try:
                yield
            finally:
                model.autocast_device = None
                self._graphed = ()

    def _check_kernels(self) -> None:
        """Say so where convolutions are slower than they could be."""
        _, reason = usable_kernels(self.device)
        if reason:
            self.say(f"Convolutions run without kernels of their own, slower: {reason}")

    def place(self, batch: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """The batch on the device."""
        device = self.device
        return [x.to(device, non_blocking=device.type in WITH_STREAMS) for x in batch]

    def attach(self, model: Module) -> None:
        """Bring the model to the device."""
        model.to(self.device)
        if not self.gpus:
            keep_freed_memory()

    def is_initialized(self, model: Module) -> bool:
        """Whether no parameter and no buffer is lazy."""
        return not any(map(nn.parameter.is_lazy, chain(model.parameters(), model.buffers())))

    def init(self, model: Module, batch: Sequence[torch.Tensor]) -> None:
        """Give lazy layers their shapes by a pass without gradients."""
        with evaluating(model):
            forward_once(model, batch)

    def configure(self, model: Module) -> Any:
        """The optimizer, alone or with schedulers, which `observers` steps."""
        source = f"{type(model).__name__}.configure_optimizers"
        optimizer, self._schedules = optimizer_and_schedules(configured_by(model), source)
        self._found = self._parallel = None
        check_optimizer(self, model, optimizer)
        if self._is_cuda and self.processes.world_size == 1:
            capturer = CUDACapturer(self.device)
            self._graphed = (
                GraphedStep(self._train_step, "training_step", capturer, lambda line: self.say(line)),
                GraphedStep(self._eval_step, "validation_step", capturer, lambda _: None),  # it takes little of a run
            )
        groups = getattr(optimizer, "param_groups", ())  # one written by hand has them where it likes
        optimized = [parameter for group in groups for parameter in group["params"]]
        # A model may have tensors that are no parameters, too.
        own = [value for module in model.modules() for value in vars(module).values()]
        input_checks.check_trained(model, optimized, [*model.parameters(), *own])
        return optimizer

    @property
    def observers(self) -> Sequence[Schedules]:
        """What steps the optimizer's schedulers."""
        return [Schedules(self._schedules)]

    def set_training(self, model: Module, training: bool) -> None:
        """Switch ``model.training``."""
        model.train(training)

    def sync_statistics(self, model: Module) -> None:
        """Give all processes rank 0's buffers, such as the averages of batch normalization."""
        if self.processes.world_size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    @property
    def _is_cuda(self) -> bool:
        """Whether models are trained on GPUs of NVIDIA's: for others, nothing is captured or fused."""
        return self.device.type == "cuda" and torch.version.cuda is not None

    def train_step(
        self, model: Module, optimizer: Any, batch: Sequence[torch.Tensor], clip: Clip | None
    ) -> StepMetrics:
        """One step. Of several processes, each takes it with the gradients of the whole batch.

        On one of NVIDIA's GPUs it is one CUDA graph after the first few steps, where it can be captured.
        """
        step = self._graphed[0] if self._graphed else self._train_step
        return step(model, optimizer, batch, clip)

    def eval_step(self, model: Module, batch: Sequence[torch.Tensor]) -> StepMetrics:
        """One step without gradients, as a CUDA graph where `train_step` takes its as one."""
        step = self._graphed[1] if self._graphed else self._eval_step
        return step(model, None, batch, None)

    def predict(self, model: Module, inputs: Sequence[Any]) -> Any:
        """One pass without gradients."""
        with torch.no_grad():
            return model(*(torch.as_tensor(x, device=self.device) for x in inputs))

    def _train_step(
        self, model: Module, optimizer: Any, batch: Sequence[torch.Tensor], clip: Clip | None
    ) -> StepMetrics:
        total = None
        with recorded() as metrics, self._fused_layers(model):
            if self.processes.world_size == 1:
                loss = _loss(model, batch)
            else:
                loss, total = self._share_of_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        # Optimizers written by hand change parameters in place.
        with torch.no_grad(), fused(optimizer) if self._is_cuda else nullcontext():
            if clip is not None:
                clip(model)
            optimizer.step()
        return StepMetrics(metrics, total=total)

    def _eval_step(self, model: Module, _: Any, batch: Sequence[torch.Tensor], __: Any) -> StepMetrics:
        with recorded() as metrics, torch.no_grad(), self._fused_layers(model):
            model.validation_step(batch)
        return StepMetrics(metrics)

    def _fused_layers(self, model: Module) -> AbstractContextManager[None]:
        """Layers as a CUDA graph has them; without one, Python would be slower to start their kernels than the GPU."""
        graphed = self._graphed and model.autocast_device and not self._graphed[0].is_refused
        return fused_layers(model) if graphed else nullcontext()

    def _share_of_loss(self, model: Module, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, int]:
        """This process's share of the whole batch's loss, times the number of processes; and the whole batch's size.

        `DistributedDataParallel` takes the mean of the gradients over the processes, whose shards may differ in size.
        """
        examples = torch.tensor(len(batch[-1]))
        counting: Any = distributed.all_reduce(examples, async_op=True)  # while the layers compute
        if self._parallel is None or self._parallel.module.model is not model:
            if not self.is_initialized(model):  # where a chapter has a fit of its own
                self.init(model, batch)
            self._parallel = DistributedDataParallel(_TrainingStep(model))
        loss = self._parallel(batch)
        counting.wait()
        total = int(examples)
        return loss * (self.processes.world_size * len(batch[-1]) / max(total, 1)), total

    def model_state(self, model: Module) -> dict[str, torch.Tensor]:
        """``model.state_dict()``."""
        return model.state_dict()

    def load_model_state(self, model: Module, state: Mapping[str, np.ndarray]) -> None:
        """``model.load_state_dict``."""
        model.load_state_dict({name: torch.tensor(array) for name, array in state.items()})

    def optimizer_state(self, model: Module, optimizer: Any) -> OptimizerState:
        """``optimizer.state_dict()``, which one written by hand may have, too; and its schedulers'."""
        schedulers = self._schedulers(optimizer)
        own = {id(scheduler) for scheduler in schedulers.values()}
        states = {
            name: {key: value for key, value in scheduler.state_dict().items() if id(value) not in own}
            for name, scheduler in schedulers.items()
        }
        has_state = hasattr(optimizer, "state_dict")
        return OptimizerState(
            type(optimizer).__name__,
            optimizer.state_dict() if has_state else None,
            is_complete=type(optimizer) is SGD or has_state,
            schedulers=states,
            # Loading a scheduler's state replaces its settings, those that have been changed since, too.
            settings={
                f"{name} {setting}": value
                for name, state in states.items()
                if not state.get("last_epoch")  # one that has taken steps in an earlier run has counts beside them
                for setting, value in state.items()
                if isinstance(value, (int, float, str)) and value == value  # nan is equal to nothing
            },
            held=[optimizer, *schedulers.values()],
        )

    def load_optimizer_state(self, model: Module, optimizer: Any, saved: OptimizerState, path: Path) -> None:
        """``load_state_dict`` of the optimizer and of its schedulers."""
        schedulers = self._schedulers(optimizer)
        if saved.state is not None:
            _load_state_dict(optimizer, _tensors(saved.state), path)
        for name, state in saved.schedulers.items():
            schedulers[name].load_state_dict(_tensors(state))

    def _schedulers(self, optimizer: Any) -> dict[str, LRScheduler]:
        """All schedulers of the optimizer, by their names in a checkpoint, the oldest of a class first.

        They are looked for once and, as long as there are none, whenever PyTorch has counted steps for one.
        """
        made_since = hasattr(getattr(optimizer, "step", None), "_wrapped_by_lr_sched")
        known, found = self._found or (None, {})
        if known is not optimizer or (made_since and not found):
            found = schedulers_of(optimizer)
            self._found = optimizer, found
        return found

    def rng_state(self) -> list[list[int]]:
        """The bytes of the CPU's generator and of each GPU's in use."""
        states = torch.get_rng_state(), *map(rng_state, self.gpus)
        return [state.tolist() for state in states]

    def load_rng_state(self, state: list[list[int]]) -> None:
        """Set these generators; those of more GPUs, or of another kind, are left alone."""
        cpu_state, *gpu_states = (torch.tensor(numbers, dtype=torch.uint8) for numbers in state)
        torch.set_rng_state(cpu_state)
        for device, gpu_state in zip(self.gpus, gpu_states, strict=False):  # the run may have been on a CPU
            set_rng_state(device, gpu_state)

    def seed(self, seed: int) -> None:
        """``torch.manual_seed``."""
        torch.manual_seed(seed)


def _tensors(tree: Any) -> Any:
    """A tree with tensors in the place of NumPy's arrays."""
    return tree_map_only(np.ndarray, torch.tensor, tree)


def _load_state_dict(optimizer: Any, state: Any, path: Path) -> None:
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        raise CheckpointError(
            f"{path} does not fit this optimizer: {error}. Groups of parameters that are added in a run have to be "
            "there when it is resumed: have configure_optimizers add them"
        ) from error
    if type(optimizer) in BY_WEIGHT:
        for weight, entries in optimizer.state.items():
            there = {name: x for name, x in entries.items() if isinstance(x, torch.Tensor) and x.ndim}
            check_fits(path, there, dict.fromkeys(there, weight.detach()), "optimizer")


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
    input_checks.check_loss(model, loss, torch.Tensor)
    return loss
