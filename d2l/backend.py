"""What a framework has to do for a trainer: one protocol, which each of `d2l.backends` fills in.

A trainer knows models, optimizers and batches only as what it hands on to these methods. To add a framework, write
this class for it; the contributors' guide lists what else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import input_checks
from .batches import inputs_of
from .metrics import StepMetrics, recorded
from .modules import Classifier, Module
from .process_group import ProcessGroup
from .random_states import GeneratorKind
from .smoke_profile import current_profile

if TYPE_CHECKING:
    from .observers import Observer

Batch = Sequence[Any]  # tensors whose first axis counts the examples, the target last
Clip = Callable[[Any], Any]  # scales gradients, of a model or as they are, to the trainer's gradient_clip_val


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer keeps from step to step.

    Attributes:
        name: The optimizer's class.
        state: Dicts, lists and tuples of arrays and plain values; ``None`` if it has none.
        is_complete: Whether that is all it keeps; one written by hand may keep more.
        schedulers: The same of each learning-rate scheduler that is no part of the optimizer, by a name of each.
        settings: Settings of schedulers made for this run, which a run that resumes it has to have, too.
        held: The objects that this is of.
    """

    name: str
    state: Any = None
    is_complete: bool = True
    schedulers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    held: Sequence[Any] = ()


class Backend:
    """The devices of one framework, and what is computed on them for a trainer.

    Class attributes say what the framework can do and what its things are called:

    Attributes:
        name: The framework's package, such as ``"torch"``.
        module_type: The framework's `Module`.
        layer_type: The framework's own class of layers.
        precisions: Values that the trainer's ``precision`` may have.
        exposes_rng_state: Whether the framework's random state can be read; if not, `rng_state` seeds it anew.
        draws_alike: Whether all processes draw the same random numbers, those of the whole batch.
        draws_parameters: Whether each `fit` starts from parameters of its own, which are not in the model.
        metrics_are_global: Whether metrics are those of the whole batch in each process already.
        resumes_lr: Whether an optimizer goes on with the learning rate of a checkpoint, whatever its own is.
        generator_kinds: Random generators that models and data may have, beside Python's and NumPy's.
        tensor_types, tensors_name: What a batch consists of, and how it is called in a message.
        optimizer_methods, optimizer_example: Methods of an optimizer, and an example of one.
        schedule_example: How an optimizer is given a learning-rate schedule.
        constructor_advice: What to say of a model whose base class's constructor was not called.
    """

    name: ClassVar[str]
    module_type: ClassVar[type[Module]] = Module
    layer_type: ClassVar[type | tuple[type, ...]] = ()
    precisions: ClassVar[Sequence[str]] = ("auto", "float32")
    exposes_rng_state: ClassVar[bool] = True
    draws_alike: ClassVar[bool] = False
    draws_parameters: ClassVar[bool] = False
    metrics_are_global: ClassVar[bool] = False
    resumes_lr: ClassVar[bool] = True
    generator_kinds: ClassVar[Sequence[GeneratorKind]] = ()
    tensor_types: ClassVar[tuple[type, ...]] = (np.ndarray,)
    tensors_name: ClassVar[str] = "arrays of NumPy"
    optimizer_methods: ClassVar[Sequence[str]] = ()
    optimizer_example: ClassVar[str] = ""
    schedule_example: ClassVar[str] = ""
    constructor_advice: ClassVar[str] = "its __init__ has to call super().__init__() first"

    def __init_subclass__(cls, **options: Any):
        """Have models of the framework know what reads and writes their weights."""
        super().__init_subclass__(**options)
        if "module_type" in vars(cls):
            cls.module_type.backend_type = cls

    def __init__(self, num_gpus: int):
        """
        Args:
            num_gpus: GPUs that a trainer asks for.

        Raises:
            ValueError: This process cannot use so many.
        """
        self.requested_gpus = num_gpus
        self.say: Callable[[str], None] = print  # to the user, in one process: a trainer's
        self.processes = self.process_group()
        self.gpus: Sequence[Any] = self.choose_gpus(num_gpus)

    # Devices

    def process_group(self) -> ProcessGroup:
        """The processes that this one has been started with, to train together."""
        return ProcessGroup()

    def choose_gpus(self, num_gpus: int) -> Sequence[Any]:
        """The GPUs that this process trains on, at most so many, as the framework names them.

        Raises:
            ValueError: The processes and GPUs of this machine do not fit together.
        """
        return []

    @property
    def cpu(self) -> Any:
        """The machine's CPU, as the framework names it."""
        return "cpu"

    @property
    def device(self) -> Any:
        """The device that models are trained on, the first one if there are several."""
        return self.gpus[0] if self.gpus else self.cpu

    @property
    def on_gpu(self) -> bool:
        """Whether models are trained on a GPU."""
        return bool(self.gpus)

    @property
    def num_devices(self) -> int:
        """Devices that a batch is divided among, over all processes."""
        return self.processes.world_size * max(len(self.gpus), 1)

    @property
    def device_name(self) -> str:
        """What to call the device in a report."""
        return str(self.device)

    @property
    def supports_bfloat16(self) -> bool:
        """Whether the framework computes in ``bfloat16`` on the device, and gains by it."""
        return False

    @property
    def tf32(self) -> str:
        """What of ``float32`` the framework, unasked, computes on the device with factors rounded to TensorFloat-32.

        ``"products"``, or some of them, such as ``"convolutions"``; empty if nothing.
        """
        return ""

    @property
    def more_gpus_advice(self) -> str:
        """What to add to the line that says that fewer GPUs are in use than asked for."""
        return ""

    def precision_context(self, model: Module, precision: str) -> AbstractContextManager[Any]:
        """The settings for arithmetic while a model is trained.

        Args:
            precision: ``"float32"``, plain and the same on every machine; ``"bfloat16"``, for layers; ``"auto"``, what
                the framework does unasked.
        """
        return nullcontext()

    # Models and batches

    def place(self, batch: Batch) -> Batch:
        """A batch on the device, or its parts on the devices."""
        return batch

    def attach(self, model: Module) -> None:
        """Bring a model's parameters to the device or devices."""

    def is_initialized(self, model: Module) -> bool:
        """Whether all parameters have their shapes."""
        return True

    def init(self, model: Module, batch: Batch) -> None:
        """Give parameters that lack them their shapes from a batch, as it comes from `place`; nothing is trained.

        Raises:
            ValueError: The model has none, or the batch is too small for it.
        """

    def configure(self, model: Module) -> Any:
        """The optimizer that a model's ``configure_optimizers`` returns, ready for a run.

        Raises:
            TypeError: It is not an optimizer alone.
            ValueError: It is not one for this model, or not on these devices.
        """
        optimizer = configured_by(model)
        if type(optimizer) in (tuple, list, dict):
            raise TypeError(
                f"{type(model).__name__}.configure_optimizers returned {input_checks.describe(optimizer)}: return one "
                f"optimizer, such as {self.optimizer_example}. A schedule is an argument of it: "
                f"{self.schedule_example}"
            )
        check_optimizer(self, model, optimizer)
        return optimizer

    @property
    def observers(self) -> "Sequence[Observer]":
        """What else is to be told of a run's events, such as learning-rate schedules."""
        return ()

    # Steps

    def set_training(self, model: Module, training: bool) -> None:
        """Switch layers such as dropout between training and evaluation."""
        raise NotImplementedError

    def sync_statistics(self, model: Module) -> None:
        """Give all devices and processes the same statistics of layers, such as batch normalization's averages."""

    def train_step(self, model: Module, optimizer: Any, batch: Batch, clip: Clip | None) -> StepMetrics:
        """One step of training: loss, gradients, clipped if ``clip`` is given, and the optimizer's update.

        Args:
            batch: As it comes from `place`.

        Raises:
            TypeError, ValueError: The model's ``training_step`` returns no loss.
        """
        raise NotImplementedError

    def eval_step(self, model: Module, batch: Batch) -> StepMetrics:
        """One step of evaluation, without gradients, of a batch as it comes from `place`."""
        raise NotImplementedError

    def predict(self, model: Module, inputs: Sequence[Any]) -> Any:
        """The model's output, without gradients.

        Args:
            inputs: Tensors or arrays of NumPy, anywhere.
        """
        return model(*inputs)

    # State, as NumPy and JSON can hold it

    def model_state(self, model: Module) -> dict[str, Any]:
        """The model's arrays, by names that are the same in each model of its kind."""
        raise NotImplementedError

    def load_model_state(self, model: Module, state: Mapping[str, np.ndarray]) -> None:
        """Give the model's arrays, which have these shapes and dtypes, other values."""
        raise NotImplementedError

    def optimizer_state(self, model: Module, optimizer: Any) -> OptimizerState:
        """What the optimizer keeps from step to step."""
        raise NotImplementedError

    def load_optimizer_state(self, model: Module, optimizer: Any, saved: OptimizerState, path: Path) -> None:
        """Give the optimizer and its schedulers such a state, whose arrays are NumPy's.

        Args:
            path: The file that it comes from, for errors.

        Raises:
            CheckpointError: It is of another optimizer.
        """
        raise NotImplementedError

    def rng_state(self) -> Any:
        """What the framework draws random numbers from, as JSON can hold it; or a seed that it goes on from."""

    def load_rng_state(self, state: Any) -> None:
        """Have the framework draw from such a state."""

    def seed(self, seed: int) -> None:
        """Start the framework's random state from a number."""


def configured_by(model: Module) -> Any:
    """What a model's ``configure_optimizers`` returns; to errors in it is added what they most likely come from."""
    with input_checks.configuring(model):
        return model.configure_optimizers()


def check_optimizer(backend: Backend, model: Module, optimizer: Any) -> None:
    """See that a model has returned an optimizer.

    Raises:
        TypeError: It has not.
    """
    if backend.optimizer_methods:
        input_checks.check_optimizer(model, optimizer, backend.optimizer_methods, backend.optimizer_example)


def forward_once(model: Module, batch: Batch, **options: Any) -> None:
    """Call the model with a batch's inputs or, if it is not made for that, have its step of training do so."""
    try:
        model(*inputs_of(batch), **options)
    except Exception:
        with suppress(Exception), recorded():
            model.training_step(batch)
            return
        raise


def choose_precision(precision: str, model: Module, backend: Backend) -> str:
    """What a trainer's ``precision`` comes to for this model, device and run."""
    if precision != "auto":
        return precision
    if current_profile().smoke:
        return "float32"
    return "bfloat16" if isinstance(model, Classifier) and backend.supports_bfloat16 else "auto"


def describe_precision(precision: str, model: Module, backend: Backend) -> str:
    """What layers compute in with a trainer's ``precision``, such as ``bfloat16`` or ``float32 with TF32 products``.

    What a user has done to the model counts: the dtype of its parameters, or Keras's policy, which differs from that.
    """
    chosen = choose_precision(precision, model, backend)
    if chosen == "bfloat16":
        return chosen
    policy = getattr(model, "compute_dtype", None)
    kinds = [policy] if policy else [array.dtype for array in backend.model_state(model).values()]
    found = {match[0] for kind in kinds if (match := re.search(r"b?float\d+", str(kind)))} or {"float32"}
    words = " and ".join(sorted(found))
    rounded = "float32" in found and chosen == "auto" and backend.tf32
    return f"{words} with TF32 {rounded}" if rounded else words


def describe_devices(backend: Backend) -> str:
    """The devices in use, such as ``2 x cuda``, or one of them by its whole name."""
    name = backend.device_name
    return f"{backend.num_devices} x {re.split(r'[:(]', name)[0]}" if backend.num_devices > 1 else name
