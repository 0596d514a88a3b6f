"""The loop that fits a model to data, in every framework."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar, Literal

from tqdm import tqdm

from . import input_checks
from .backend import Backend, describe_devices
from .checkpointing import Checkpointing
from .data_modules import DataModule, placed
from .hyperparameters import HyperParameters
from .inference import Inference
from .metrics import StepMetrics, record
from .modules import Module
from .observers import Observer, check_observers
from .process_group import ProcessGroup
from .progress import Progress
from .random_states import RandomStates
from .smoke_profile import current_profile
from .step_errors import explained
from .training_run import check_given, running


class Trainer(Inference, HyperParameters):
    """Fit a model to data.

    Methods may be replaced one by one, also those that `fit` calls. The variable ``D2L_PROFILE`` may shorten a run, and
    its last line then says so: ``smoke`` to two epochs of a few images, ``epochs=1,images=6000`` to these at most.

    Args:
        max_epochs: Passes over the training data.
        num_gpus: GPUs to use; if the machine has fewer, it says so and uses what there is.
        gradient_clip_val: Largest L2 norm of all gradients together; 0 does not clip.
        precision: What layers compute in; parameters, updates and losses are ``float32`` in any case. With ``"auto"``,
            classifiers compute in ``bfloat16`` on a GPU (PyTorch, JAX) or processor (PyTorch, TensorFlow) that has it,
            and all else as the framework does unasked: in ``float32``, whose products a GPU may round to
            TensorFloat-32. ``"float32"`` is plain ``float32``, as smoke runs are; ``"bfloat16"`` asks for it on any
            device (PyTorch, JAX).
        checkpoint_dir: A folder for checkpoints, which `fit` resumes from; ``None`` makes none. ``~`` is one's home.
        every: When to make one: after each ``"epoch"``, or after so many training batches and at the end.
        keep: Checkpoints to keep, the last ones.
        callbacks: What else is told of a run's events, such as `d2l.callbacks.EarlyStopping`, in this order: see
            `d2l.observers.Observer`. They are in ``observers``, too.

    Attributes:
        model, optim, train_dataloader, val_dataloader: The model, what its ``configure_optimizers`` gives, the loaders.
        epoch: The epoch at hand, counted from 0.
        train_batch_idx, val_batch_idx: Batches so far; an epoch has ``num_train_batches`` and ``num_val_batches``.
        observers: What is told of events, in this order; a list that may be added to before `fit`.
        should_stop: Set by an observer, `fit` returns after the epoch at hand.
        backend_type: The framework's class of what `backend` is.

    Raises:
        ValueError: A count is not a whole number, an argument is negative, or the framework lacks the precision.
    """

    backend_type: ClassVar[type[Backend]]
    # A constructor written anew, as chapters do, may leave these out.
    max_epochs: int
    num_gpus: int = 0
    gradient_clip_val: float = 0
    precision: str = "auto"
    checkpoint_dir: str | os.PathLike[str] | None = None
    every: int | Literal["epoch"] = "epoch"
    keep: int = 2
    run_settings: Mapping[str, Any] = {}  # what else a run that resumes this one has to share; None if it is not set
    model: Module
    optim: Any
    train_dataloader: Any
    val_dataloader: Any
    epoch = first_epoch = train_batch_idx = val_batch_idx = num_train_batches = num_val_batches = 0
    observers: Sequence[Observer] = ()
    should_stop = False
    progress: Progress  # of the last run; a loop written by a reader may have none
    random_states: RandomStates
    in_step = False
    checkpointing: Checkpointing | None = None

    def __init__(
        self,
        max_epochs: int,
        num_gpus: int = 0,
        gradient_clip_val: float = 0,
        precision: str = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        every: int | Literal["epoch"] = "epoch",
        keep: int = 2,
        callbacks: Sequence[Observer] = (),
    ):
        input_checks.check_trainer(max_epochs, num_gpus, gradient_clip_val, checkpoint_dir, every, keep)
        input_checks.check_precision(precision, self.backend_type.precisions)
        check_observers(callbacks)
        max_epochs, num_gpus = int(max_epochs), int(num_gpus)  # also where they are NumPy's, which JSON cannot hold
        self.save_hyperparameters()
        self.observers = [*callbacks]
        if num_gpus > self.num_devices or (num_gpus and not self.gpus):
            used = f"{len(self.gpus) or 'no'} GPU in use, training on {describe_devices(self.backend)}"
            self._say(f"num_gpus={num_gpus}: {used}{self.backend.more_gpus_advice}")

    @property
    def backend(self) -> Backend:
        """What the framework does for this trainer."""
        if "_backend" not in vars(self):
            self._backend = self.backend_type(self.num_gpus)
            self._backend.say = self._say
        return self._backend

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has, or a saved trainer: all but the backend, of which it makes one of its own."""
        return {name: value for name, value in vars(self).items() if name != "_backend"}

    @property
    def processes(self) -> ProcessGroup:
        """The processes that train together."""
        return self.backend.processes

    @property
    def gpus(self) -> Sequence[Any]:
        """The GPUs that this process trains on."""
        return self.backend.gpus

    @gpus.setter
    def gpus(self, gpus: Sequence[Any]) -> None:
        self.backend.gpus = gpus

    @property
    def device(self) -> Any:
        """The device that models are trained on."""
        return self.backend.device

    @property
    def num_devices(self) -> int:
        """Devices that a batch is divided among, over all processes."""
        return self.backend.num_devices

    @property
    def num_epochs(self) -> int:
        """Passes over the training data that the run profile leaves of ``max_epochs``."""
        return min(self.max_epochs, current_profile().epochs or self.max_epochs)

    @property
    def epochs_done(self) -> float:
        """Passes over the training data so far, with what is done of the one at hand."""
        return self.train_batch_idx / max(self.num_train_batches, 1)

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches, which are 1 or more."""
        with placed(data, self.device, self.processes):
            self.train_dataloader, self.val_dataloader = data.train_dataloader(), data.val_dataloader()
        self.num_train_batches = input_checks.count_batches(data, "train_dataloader", self.train_dataloader)
        self.num_val_batches = input_checks.count_batches(data, "val_dataloader", self.val_dataloader)

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, set up the board, and bring the model to the device.

        Raises:
            ValueError: A number of points is not a positive whole one.
        """
        input_checks.check_points(model)
        model.trainer = self
        model.board.xlim = [0, self.num_epochs]
        self.model = model
        self.backend.attach(model)

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch, a tuple of arrays or tensors, to the device: as a tuple of tensors of the same dtypes."""
        return self.backend.place(batch)

    def clip_gradients(self, grad_clip_val: float, gradients: Any) -> Any:
        """Scale all gradients together such that their L2 norm is at most ``grad_clip_val``, which is positive."""
        raise NotImplementedError

    def fit(self, model: Module, data: DataModule, *, resume: bool = False) -> None:
        """Train ``model`` on ``data`` for the epochs asked for, validating after each.

        Interrupted, it leaves the model with its weights so far and the board with its curves; it can be called again.
        To an error in a step is added which step it was, and what batch.

        Resumed, a run goes on from the last whole checkpoint of the trainer's folder: on a CPU, to the same numbers as
        without the interruption, as far as they come from the random states of Python, NumPy or the framework.
        `d2l.run_state.RunState` says what a checkpoint holds; what a run depends on beside it is named when the first
        one is made. TensorFlow and MXNet do not expose their RNG state: after a `stop` between two checkpoints, later
        epochs are drawn anew.

        Several processes, where the framework has been started in them, divide each batch among them, and their run is
        that of one process with the same batches; but batch normalization takes the statistics of a process's shard.

        Args:
            model: The model; resumed, one like that of the checkpoint.
            data: The data; resumed, the same.
            resume: Whether to resume; without a checkpoint there, the run starts from the beginning and says so.

        Raises:
            FloatingPointError: A loss is no finite number; the message names the first such training step, or epoch.
            CheckpointError: A checkpoint cannot be saved or gone on from, or is there without ``resume``.
            TypeError: Model, data, a step's loss or what ``configure_optimizers`` returns is none such, and is named.
        """
        check_given(self, "fit(model, data)", model, data)
        with running(self, model, data, resume) as tell:
            for self.epoch in self._epochs():  # noqa: B020
                tell("before_epoch")
                self.fit_epoch()
                tell("after_epoch")

    def _epochs(self) -> Iterator[int]:
        return takewhile(lambda _: not self.should_stop, range(self.first_epoch, self.num_epochs))

    def fit_epoch(self) -> None:
        """Go once through the training data, then once through the validation data."""
        backend, model = self.backend, self.model
        clip = partial(self.clip_gradients, self.gradient_clip_val) if self.gradient_clip_val > 0 else None
        backend.set_training(model, True)
        for batch in self.train_dataloader:
            with explained(self, "training", self.train_batch_idx, batch):
                metrics = backend.train_step(model, self.optim, self.prepare_batch(batch), clip)
                self._log_step(metrics, train=True)
            self.train_batch_idx += 1
        self.train_batch_idx = (self.epoch + 1) * self.num_train_batches  # also where a batch had no image in it
        backend.set_training(model, False)
        backend.sync_statistics(model)
        for batch in self.val_dataloader or ():
            with explained(self, "validation", self.val_batch_idx, batch):
                self._log_step(backend.eval_step(model, self.prepare_batch(batch)), train=False)
            self.val_batch_idx += 1

    def log(self, key: str, value: Any, train: bool) -> None:
        """Take a scalar of the current step to the board, or to what collects those of a step in progress.

        Args:
            key: Name of the quantity, such as ``loss``.
            value: A number or a tensor of one.
            train: Whether it is of training: the curve is then ``train_loss``, else ``val_loss``.
        """
        input_checks.check_metric(self.model, key, value)
        if not record(key, value):
            self._draw(key, value, train)

    def _draw(self, key: str, value: Any, train: bool) -> None:
        if train:
            x = self.train_batch_idx / self.num_train_batches
            points, batches = self.model.plot_train_per_epoch, self.num_train_batches
        else:
            x = self.epoch + 1
            points, batches = self.model.plot_valid_per_epoch, self.num_val_batches
        label = ("train_" if train else "val_") + key
        weight = self.progress.batch_examples if hasattr(self, "progress") else 1
        self.model.board.draw(x, value, label, every_n=-(-batches // points), weight=weight)

    def stop(self, reason: BaseException) -> None:
        """Have `fit` end with an exception, from a signal's handler.

        A run with checkpoints ends when the step that it is in is done, with a checkpoint of that place. One without
        ends at once, and so does one of a single process that is asked a second time.

        Args:
            reason: The exception for `fit` to raise.
        """
        waiting = self.checkpointing
        if waiting is None or (waiting.stop_reason is not None and self.processes.world_size == 1):
            raise reason
        waiting.stop_reason = reason

    def _log_step(self, metrics: StepMetrics, train: bool) -> None:
        """Take the metrics of a step to the board."""
        if hasattr(self, "progress"):
            self.progress.recount(metrics)
        for key, value in metrics.values.items():
            self._draw(key, value, train)

    def _say(self, line: str) -> None:
        """Print a line, in one process of those that train."""
        if self.processes.is_main:
            tqdm.write(line)  # above the line of progress, if there is one
