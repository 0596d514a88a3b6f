"""The loop that fits a model to data, in every framework."""

import json
import math
import os
import random
import re
import reprlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from . import validation
from .arguments import check_whole, is_whole
from .caches import check_caches
from .checkpoint import (
    Checkpoint,
    CheckpointError,
    CheckpointFolder,
    as_json,
    check_fits,
    generator_state,
    pack,
    pack_entries,
    quoted,
    random_states,
    read,
    set_generator_state,
    set_random_states,
    unpack,
)
from .data import as_batch, inputs_of
from .datasets import DataModule
from .distribution import VERSION
from .hyperparameters import HyperParameters
from .inspection import attributes, counters
from .loaders import BegunLoader, CheckpointedLoader, StoppableLoader, TrainersLoader, is_own, sharded
from .media import RUN_MIME, finite
from .modules import Classifier, Module
from .notebook import in_notebook
from .plotting import to_numpy
from .profile import current_profile
from .progress import CountedLoader, Progress
from .runstate import check_alike, check_run_state, fitting
from .workers import Workers

# How the frameworks say it.
OUT_OF_MEMORY = re.compile(
    r"out of memory|RESOURCE_EXHAUSTED|OOM when|(can't|unable to|failed to) allocate|bad_alloc|memory exhausted", re.I
)
# And what they say in one process when another, with which it trains, is gone.
OTHER_GONE = re.compile(
    r"connection (was )?(reset|closed|refused)|socket closed|broken pipe|NCCL|heartbeat|UNAVAILABLE", re.I
)
# And on a GPU, of an index out of range or another check that has failed there.
LOST_GPU = re.compile(r"device-side assert", re.I)


class _Captured(threading.local):
    """What a thread logs instead of drawing it. A step on several devices may be compiled in a thread for each."""

    metrics: dict[str, Any] | None = None


class Trainer(HyperParameters):
    """Fit a model to data.

    Methods may be replaced one by one, also those that `fit` calls.
    The run profile in ``D2L_PROFILE`` may shorten the run; its last line then says so.

    Args:
        max_epochs: Passes over the training data.
        num_gpus: GPUs to use; if the machine has fewer, it says so and uses what there is.
        gradient_clip_val: Largest L2 norm of all gradients together; 0 does not clip.
        precision: What layers compute in; parameters, their updates and losses are ``float32`` in any case.
            With ``"auto"``, classifiers compute in ``bfloat16`` on a GPU that has it (PyTorch, JAX) and on a processor
            that has it (PyTorch, TensorFlow), and all else as the framework does unasked: in ``float32``, whose
            products a GPU may round to TensorFloat-32. ``"float32"`` is plain ``float32``, and so is a smoke run,
            whose numbers are to be the same on every machine. ``"bfloat16"`` asks for it on any device (PyTorch, JAX).
        checkpoint_dir: A folder for checkpoints, from which `fit` resumes an interrupted run; ``None`` makes none. A
            leading ``~`` is the home folder.
        every: When to make one: after each ``"epoch"``, or after so many training batches and at the end.
        keep: Checkpoints to keep, the last ones.

    Raises:
        ValueError: A count is not a whole number, an argument is negative, or the framework lacks the precision.
    """

    framework: str = ""
    precisions = ("auto", "float32")
    # A constructor written anew, as chapters do, may leave these out.
    precision: str = "auto"
    checkpoint_dir: str | os.PathLike[str] | None = None
    every: int | str = "epoch"
    keep: int = 2
    gpus: Sequence[Any] = ()
    workers: Workers = Workers()
    progress: Progress | None = None
    _resumes_lr = True  # whether an optimizer goes on with the learning rate of a checkpoint, whatever its own is
    _schedule_example = ""  # how an optimizer is given a learning-rate schedule
    generator_types: tuple[type, ...] = (random.Random, np.random.Generator, np.random.RandomState)
    _generators: Mapping[str, Any] = {}  # random generators that model and data have of their own, by name
    _exposes_random_state = True  # whether the framework's random state can be read and set
    _checkpoints: CheckpointFolder | None = None
    _epoch_random: Any = None  # the random states that an epoch with checkpoints began with
    epoch: int = 0
    train_batch_idx: int = 0
    num_train_batches: int = 0
    _stop: BaseException | None = None
    _own_batches: bool = True  # whether batches are those of a loader of our own, which may leave out corrupt images
    _begun: tuple[Iterator[Any], Iterator[Any]] | None = None  # an epoch that has been looked into: see `_begin`
    _in_step = False
    # What to say of a model whose base class's constructor was not called.
    _constructor_advice = "its __init__ has to call super().__init__() first"
    # What of the framework's own a batch consists of, what an optimizer can do, and an example of one.
    tensors: tuple[type, ...] = ()
    tensors_name = ""
    optimizer_methods: Sequence[str] = ()
    optimizer_example = ""
    _captured = _Captured()

    def __init__(
        self,
        max_epochs: int,
        num_gpus: int = 0,
        gradient_clip_val: float = 0,
        precision: str = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        every: int | str = "epoch",
        keep: int = 2,
    ):
        check_whole("max_epochs", max_epochs, 0)
        check_whole("num_gpus", num_gpus, 0)
        if not (isinstance(gradient_clip_val, Real) and gradient_clip_val >= 0):
            raise ValueError(f"gradient_clip_val={gradient_clip_val!r}: give a number, 0 or more")
        if precision not in self.precisions:
            raise ValueError(f"precision={precision!r}: give one of {', '.join(map(repr, self.precisions))}")
        if every != "epoch" and not is_whole(every, 1):
            raise ValueError(f"every={every!r}: give 'epoch' or a number of training batches, 1 or more")
        check_whole("keep", keep, 1)
        if not (checkpoint_dir is None or (isinstance(checkpoint_dir, (str, os.PathLike)) and str(checkpoint_dir))):
            raise TypeError(f"checkpoint_dir={checkpoint_dir!r}: give the path of a folder, or None")
        max_epochs, num_gpus = int(max_epochs), int(num_gpus)  # also where they are NumPy's, which JSON cannot hold
        self.save_hyperparameters()
        self.workers = self._find_workers()
        self.gpus = self._choose_gpus()
        if num_gpus > self.num_devices or (num_gpus and not self.gpus):
            used = f"{len(self.gpus) or 'no'} GPU in use, training on {self._devices_name()}"
            self._say(f"num_gpus={num_gpus}: {used}{self._how_to_use_more()}")

    @property
    def num_epochs(self) -> int:
        """Passes over the training data that the run profile leaves of ``max_epochs``."""
        return min(self.max_epochs, current_profile().epochs or self.max_epochs)

    @property
    def device(self) -> Any:
        """The device that models are trained on."""
        return self.gpus[0] if self.gpus else self._cpu()

    @property
    def num_devices(self) -> int:
        """Devices that a batch is divided among, over all processes."""
        return self.workers.count * max(len(self.gpus), 1)

    @property
    def epochs_done(self) -> float:
        """Passes over the training data so far, with what is done of the one at hand."""
        return self.train_batch_idx / max(self.num_train_batches, 1)

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches.

        Raises:
            TypeError: A loader is none, or does not know how many batches it has.
            ValueError: A loader has no batches.
        """
        data._device, data._workers = self.device, self.workers
        try:
            self.train_dataloader = data.train_dataloader()
            self.val_dataloader = data.val_dataloader()
        finally:
            data._device, data._workers = None, Workers()
        self.num_train_batches = validation.count_batches(data, "train_dataloader", self.train_dataloader)
        self.num_val_batches = 0
        if self.val_dataloader is not None:
            self.num_val_batches = validation.count_batches(data, "val_dataloader", self.val_dataloader)
        if not self.num_train_batches:
            raise ValueError("the training set is empty: its loader has no batches")
        if self.val_dataloader is not None and not self.num_val_batches:
            raise ValueError("the validation set is empty: its loader has no batches; without one, give None for it")

    def prepare_model(self, model: Module) -> None:
        """Join model and trainer, and set up the board.

        Raises:
            ValueError: A number of points is not a positive whole one.
        """
        for points in ("plot_train_per_epoch", "plot_valid_per_epoch"):
            check_whole(f"{type(model).__name__}.{points}", getattr(model, points), 1)
        model.trainer = self
        model.board.xlim = [0, self.num_epochs]
        model.board.add_up = self._add_up
        self.model = model

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Bring a batch to the device."""
        return batch

    def fit(self, model: Module, data: DataModule, *, resume: bool = False) -> None:
        """Train ``model`` on ``data`` for the epochs asked for, validating after each.

        Interrupted, it leaves the model with its weights so far and the board with its curves; it can be called again.
        To an error in a step is added which step it was, and what batch.

        Resumed, a run goes on from the last whole checkpoint of the trainer's folder, with its weights, optimizer,
        random states, curves, and place in the epoch: on a CPU, to the same numbers as without the interruption,
        where each draw of a random number comes from the random state of Python, of NumPy or of the framework.
        A loader of one's own has to give the same batches from the same random states. TensorFlow and MXNet do not
        tell theirs: after a `stop` between two checkpoints, later epochs are drawn anew. What an optimizer written by
        hand keeps from step to step is not in a checkpoint, which is said, unless it has the methods or variables by
        which the framework's own give theirs. Learning-rate schedules are in it, and so are random
        generators that model, loader or data set have of their own; what is not, such as numbers that a model counts
        in, is named when the first checkpoint is made.

        Several processes, where the framework has been started in them, divide each batch among them, and their run is
        that of one process with the same batches. Batch normalization takes the statistics of a process's part.
        A loader of one's own is gone through whole by each process, which takes its part of each batch.

        Args:
            model: The model; resumed, one like that of the checkpoint.
            data: The data; resumed, the same.
            resume: Whether to resume; without a checkpoint there, the run starts from the beginning and says so.

        Raises:
            FloatingPointError: The training loss is no finite number, and the message names the first such step; or the
                validation loss is none, and it names the epoch.
            CheckpointError: There are checkpoints but none is whole, they are of another model, optimizer, learning
                rate or data, they are there and ``resume`` was not asked for, one cannot be saved, or another run uses
                the folder.
            TypeError: Model or data are something else, or a step or ``configure_optimizers`` returns something else
                than a loss or an optimizer; the message names it.
        """
        self._check_given("fit(model, data)", model, data)
        check_caches(self._say)
        with self._open_checkpoints(resume) as checkpoint:
            self._fit(model, data, checkpoint)

    def _fit(self, model: Module, data: DataModule, checkpoint: Checkpoint | None) -> None:
        """Train, from the beginning or from a checkpoint."""
        self._part_random_states(data)
        self.prepare_data(data)
        loaders = self.train_dataloader, self.val_dataloader
        self._own_batches = is_own(self.train_dataloader)
        self._part_batches()
        model.board.clear()
        self.prepare_model(model)
        self._generators = self._find_generators(data)
        self._prepare_optimizer()
        self.train_batch_idx = self.val_batch_idx = self._first_epoch = 0
        total = self.num_epochs * (self.num_train_batches + self.num_val_batches)
        self.progress = Progress(total, not self._on_gpu(), after_batch=model.board.refresh, shown=self.workers.first)
        if self._checkpoints is not None:
            self._use_checkpoints(data, checkpoint)
        with self.progress, self._arithmetic(), model.board.by_step():
            self.train_dataloader = CountedLoader(self.train_dataloader, self.progress, train=True)
            if self.val_dataloader is not None:
                self.val_dataloader = CountedLoader(self.val_dataloader, self.progress, train=False)
            try:
                for epoch in range(self._first_epoch, self.num_epochs):
                    self.epoch = epoch
                    examples, validated = self.progress.train_examples, self.progress.val_examples
                    self.progress.describe(f"epoch {epoch + 1}/{self.num_epochs}")
                    self.fit_epoch()
                    self._check_used_up("training", examples, self.progress.train_examples)
                    self._check_used_up("validation", validated, self.progress.val_examples)
                    model.board.settle()
                    self._check_loss()
                    self._check_validation_loss()
                    self._step_schedulers()
                    if self._checkpoints is not None and (self.every == "epoch" or epoch + 1 == self.num_epochs):
                        self._save(epoch + 1, 0)
            except BaseException as error:
                model.board.add_up = list  # the other processes may have ended
                if self.workers.count > 1 and OTHER_GONE.search(str(error)):
                    error.add_note(self.workers.other_gone)
                raise
            finally:
                model.board.flush()
                model.board.add_up = list
                self.train_dataloader, self.val_dataloader = loaders
        if self._first_epoch < self.num_epochs and self.workers.first:
            self._report()
        if self.max_epochs == 0:
            self._say("Nothing to do: max_epochs is 0, and the model stays as it is")

    def stop(self, reason: BaseException) -> None:
        """Have `fit` end with an exception, from a signal's handler.

        A run with checkpoints ends when the step that it is in is done, with a checkpoint of that place. One without
        ends at once, and so does one that is asked a second time, but for one in several processes: what has started
        them passes on what each has got already.

        Args:
            reason: The exception for `fit` to raise.
        """
        if self._checkpoints is None or (self._stop is not None and self.workers.count == 1):
            raise reason
        self._stop = reason

    def fit_epoch(self) -> None:
        """Go once through the training data, then once through the validation data."""
        self._set_training(True)
        for batch in self.train_dataloader:
            if self.train_batch_idx == 0:
                self._say_layout(batch)
            with self._named_in_errors("training", self.train_batch_idx, batch):
                self._train(self.prepare_batch(batch))
            self.train_batch_idx += 1
        self._check_length()
        self.train_batch_idx = (self.epoch + 1) * self.num_train_batches  # also where a batch had no image in it
        self._set_training(False)
        if self.val_dataloader is None:
            return
        for batch in self.val_dataloader:
            with self._named_in_errors("validation", self.val_batch_idx, batch):
                self._validate(self.prepare_batch(batch))
            self.val_batch_idx += 1

    def _check_used_up(self, phase: str, before: int, now: int) -> None:
        """See that a loader has given examples in this epoch, too, given their number before it and now."""
        if self.epoch > self._first_epoch and 0 < before == now:
            raise ValueError(
                f"no {phase} batch in epoch {self.epoch + 1}: the {phase} loader can be gone through only once; have "
                "its __iter__ begin anew"
            )

    def _check_length(self) -> None:
        """Say once in a run that a loader of the reader's own has given more or fewer batches than it says it has."""
        given = self.train_batch_idx - self.epoch * self.num_train_batches
        if given != self.num_train_batches and not self._own_batches:
            self._own_batches = True
            self._say(
                f"The training loader says that it has {self.num_train_batches} batches, and gave {given} in epoch "
                f"{self.epoch + 1}: the curves' places are wrong until its __len__ is right"
            )

    def load_weights(self, model: Module, data: DataModule, path: str | os.PathLike[str]) -> None:
        """Give ``model`` the weights of a checkpoint, to predict with it or to train it further.

        It draws no random number, and of several processes it concerns only the one that calls it.

        Args:
            model: A model like that of the checkpoint.
            data: Data that give layers their shapes, where the model has not been used yet.
            path: The checkpoint's file; a leading ``~`` is the home folder.

        Raises:
            CheckpointError: The file is not whole, or has other arrays than the model: names, shapes and types that
                differ are listed, and the weights stay as they were.
        """
        self._check_given("load_weights(model, data, path)", model, data)
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"load_weights got {validation.describe(path)} for the path: give a checkpoint's file")
        checkpoint = read(Path(os.path.expanduser(path)))
        workers, self.workers = self.workers, Workers()  # the other processes may be busy, or not call this at all
        try:
            with self._random_states_kept():
                self.prepare_data(data)
            self.prepare_model(model)
            self._generators = self._find_generators(data)
            with self._random_states_kept():
                self._init_parameters(self._example_batch)
            self._take_weights(checkpoint)
            self._set_training(False)
            model.board.add_up = list
        finally:
            self.workers, self._begun = workers, None

    def log(self, key: str, value: Any, train: bool) -> None:
        """Take a scalar of the current step to the board.

        Raises:
            ValueError: It is not one number.
        """
        shape = getattr(value, "shape", None)
        if not isinstance(key, str) or (shape is None and not isinstance(value, Real)):
            raise TypeError(
                f"{type(self.model).__name__} plots {validation.describe(value)} as {key!r}: give a name and one "
                "number, a scalar tensor" + (", which its loss has to return" if key == "loss" else "")
            )
        if any(n != 1 for n in shape or ()):
            raise ValueError(
                f"{key} has the shape {tuple(shape)}, and is to be one number: take its mean over the batch"
            )
        if self._captured.metrics is not None:
            self._captured.metrics[key] = value
            return
        if train:
            x = self.train_batch_idx / self.num_train_batches
            points, batches = self.model.plot_train_per_epoch, self.num_train_batches
        else:
            x = self.epoch + 1
            points, batches = self.model.plot_valid_per_epoch, self.num_val_batches
        label = ("train_" if train else "val_") + key
        weight = self.progress.examples if self.progress else 1
        self.model.board.draw(x, value, label, every_n=-(-batches // points), weight=weight)
        self._check_loss()

    def _check_loss(self) -> None:
        """Stop a training whose loss is lost. It is noticed when a point is drawn, so that no step waits for it."""
        x = self.model.board.lost.get("train_loss")
        if x is None:
            return
        epoch, step = divmod(round(x * self.num_train_batches), self.num_train_batches)
        lr = self._learning_rate()
        rate = "" if lr is None else f", which is {lr:g} now"
        raise FloatingPointError(
            f"the training loss is nan or infinite since step {step + 1} of epoch {epoch + 1}: try a lower learning "
            f"rate{rate}. Labels that are no class number, and inputs that are nan, give such a loss too."
        )

    def _learning_rate(self) -> float | None:
        """The model's learning rate, if it has one and no schedule in its place."""
        lr = getattr(self.model, "lr", None)
        return lr if isinstance(lr, Real) else None

    def _check_validation_loss(self) -> None:
        """Stop after an epoch whose validation loss is lost, though the training loss, looked at before it, is not."""
        epoch = self.model.board.lost.get("val_loss")
        if epoch is not None:
            raise FloatingPointError(
                f"the validation loss of epoch {round(epoch)} is nan or infinite, and the training loss is not: look "
                "for labels that are no class number, and inputs that are nan, among the validation examples."
            )

    @contextmanager
    def _named_in_errors(self, phase: str, index: int, batch: Sequence[Any]) -> Iterator[None]:
        """Add to an error in a step what the framework does not say: the step, the batch, and what to try."""
        self._in_step = True
        try:
            yield
        except FloatingPointError:  # which names the step that it comes from
            raise
        except Exception as cause:
            error = self._clearer(cause, batch)
            parts = [part for part in batch if hasattr(part, "shape")] if isinstance(batch, (tuple, list)) else []
            shapes = ", ".join(f"{tuple(part.shape)} {part.dtype}" for part in parts)
            given = f", with a batch of {shapes}" if parts else ""
            error.add_note(f"In {phase} step {index + 1} of the run{given}.")
            for hint in validation.hints(error, self.model, [part.shape for part in parts]):
                error.add_note(hint)
            if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
                size = validation.count_examples(batch)
                error.add_note(
                    f"The memory does not hold it: try a batch_size of {max(size // 2, 1)} instead of {size}."
                )
            if LOST_GPU.search(str(error)):
                error.add_note(
                    "Most likely an index, such as a label, is out of range, in this step or shortly before it. The "
                    "GPU is lost to this process: restart the process (in a notebook, the kernel)."
                )
            if error is cause:
                raise
            raise error from cause
        finally:
            self._in_step = False

    def _say_layout(self, batch: Any) -> None:
        """Say so if the first batch has images whose axes are in another order than layers take them in."""
        shape = getattr(batch[0], "shape", ()) if isinstance(batch, (tuple, list)) and batch else ()
        note = validation.layout(shape, self.model.channel_axis) if len(shape) == 4 else None
        if note:
            self._say(note)

    def _clearer(self, error: Exception, batch: Any) -> Exception:
        """An error that names the mistake which a framework's error in a step comes from, if that is a known one."""
        ours = type(self).prepare_batch.__module__.startswith("d2l.")  # another may take any batch
        mistake = validation.mistake_in_batch(batch, self.tensors, self.tensors_name) if ours else None
        mistake = mistake or validation.mistake_in_signature(error, self.model, self._module())
        return TypeError(mistake) if mistake else error

    def _module(self) -> type:
        """The class of the framework's models."""
        return getattr(sys.modules.get(validation.home(self)), "Module", Module)

    def _check_given(self, call: str, model: Any, data: Any) -> None:
        """See that model and data are what a trainer fits, and that it is not in the middle of that."""
        if self._in_step:
            raise RuntimeError(
                f"a step of {type(self.model).__name__} calls {call}, and its trainer is in the middle of fit"
            )
        if not hasattr(self, "max_epochs"):
            raise AttributeError(f"{type(self).__name__}.__init__ has to call super().__init__(max_epochs) first")
        validation.check_given(call, model, data, self._module(), self._constructor_advice)

    @contextmanager
    def _capture(self) -> Iterator[dict[str, Any]]:
        """Collect what is logged instead of drawing it: for steps that a framework compiles."""
        self._captured.metrics = captured = {}
        try:
            yield captured
        finally:
            self._captured.metrics = None

    def _compiled(self, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        """A step in compiled form, made once for model and optimizer; as it is, if it cannot be compiled.

        Numbers that the optimizer has as attributes are constants in it, so with others it is made anew.
        """
        steps = vars(self).setdefault("_steps", {})
        own = vars(self.optim) if hasattr(self.optim, "__dict__") else {}
        numbers = {name: value for name, value in own.items() if type(value) in (int, float)}
        model, optim, known, compiled = steps.get(step.__name__, (None, None, None, None))
        if model is not self.model or optim is not self.optim or known != numbers:
            try:
                compiled = self._compile(step, *arguments)
            except Exception as error:  # whatever a model's own code may raise
                compiled = self._uncompiled(step, type(error).__name__)
            steps[step.__name__] = self.model, self.optim, numbers, compiled
        return compiled

    def _uncompiled(self, step: Callable[..., Any], reason: str) -> Callable[..., Any]:
        """A step as it is, which says so when it has gone through once: an error of its own says more."""
        lines = [f"A step that cannot be compiled runs as it is, slower ({reason})"]

        def run(*arguments: Any) -> Any:
            result = step(*arguments)
            while lines:
                self._say(lines.pop())
            return result

        return run

    def _compile(self, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        """Compile a step for arguments like these."""
        raise NotImplementedError

    @contextmanager
    def _open_checkpoints(self, resume: bool) -> Iterator[Checkpoint | None]:
        """Have the folder of checkpoints, where there is one, for this run alone; the last one, to resume from."""
        self._checkpoints = self._stop = None
        if self.checkpoint_dir is None:
            if resume:
                raise ValueError("resume=True: give the trainer a checkpoint_dir to resume from")
            yield None
            return
        self._checkpoints = CheckpointFolder(Path(os.path.expanduser(self.checkpoint_dir)), self.keep)
        with self._checkpoints.locked(self.workers):
            yield self._find_checkpoint(resume)

    def _find_checkpoint(self, resume: bool) -> Checkpoint | None:
        """The last checkpoint of the folder, to resume from; ``None`` if there is none."""
        if not resume:
            if self.workers.add_up(np.array(len(self._checkpoints.steps()))) > 0:
                raise CheckpointError(
                    f"{self.checkpoint_dir} has checkpoints of an earlier run: go on from them with resume=True, or "
                    "give another checkpoint_dir"
                )
            return None
        checkpoint = self._checkpoints.newest(check_run_state)
        names = self.workers.gather(checkpoint.path.name if checkpoint else "none")
        if len(set(names)) > 1:
            raise CheckpointError(
                f"{self.checkpoint_dir}: the processes find different checkpoints there ({', '.join(names)}): "
                "give a folder that all machines share"
            )
        if checkpoint is None:
            self._say(f"No checkpoint in {self.checkpoint_dir}: training starts from the beginning")
        return checkpoint

    def _use_checkpoints(self, data: DataModule, checkpoint: Checkpoint | None) -> None:
        """Have checkpoints made of this run, and have it go on from one."""
        facts = {
            "framework": self.framework,
            "optimizer": self._optimizer_name(),
            "lr": self._learning_rate() if self._resumes_lr else None,
            "batch_size": getattr(data, "batch_size", None),
            "training examples": getattr(self.train_dataloader, "examples", None),
            "training batches per epoch": self.num_train_batches,
            "validation batches per epoch": self.num_val_batches,
        }
        self._run = {name: fact for name, fact in facts.items() if fact is not None} | self._schedule_facts()
        self._skip = 0
        self._owners = self._find_owners(data)
        self._counters = counters(self._owners)
        self._first_schedulers = list(self._scheduler_states())
        self._said_lost = False
        if not self._keeps_optimizer():
            name = self._optimizer_name()
            self._say(f"Checkpoints lack what {name}, an optimizer written by hand, keeps from one step to the next")
        if checkpoint is not None:
            with fitting(checkpoint):
                self._take_up(checkpoint)
        self.train_dataloader = CheckpointedLoader(self.train_dataloader, self)
        if self.val_dataloader is not None:
            self.val_dataloader = StoppableLoader(self.val_dataloader, self)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        state = checkpoint.state
        if isinstance(self.train_dataloader, BegunLoader):
            self.train_dataloader = self.train_dataloader.loader
        other = [
            f"{name} is {quoted(str(state['run'][name]))} there and {fact} here"
            for name, fact in self._run.items()
            if state["run"].get(name, fact) != fact
        ]
        if other:
            there, here = map(_number_of_weights, (checkpoint.weights, self._weights()))
            if there != here:
                other.insert(0, f"the model's number of weights is {there} there and {here} here")
            raise CheckpointError(f"{checkpoint.path} is of another run: {', '.join(other)}")
        if state["batch"] > self.num_train_batches:
            raise ValueError(f"it is after {state['batch']} of {self.num_train_batches} batches of an epoch")
        self._take_weights(checkpoint)
        optimizer = unpack(state["optimizer"], checkpoint.arrays, self._tensor)
        check_alike(checkpoint.path, optimizer, self._optimizer_state(), "optimizer")
        self._set_optimizer_state(optimizer, checkpoint.path)
        self._restore_schedulers(checkpoint)
        self._first_epoch, self._skip = state["epoch"], state["batch"]
        self.train_batch_idx = self._first_epoch * self.num_train_batches + self._skip
        self.val_batch_idx = self._first_epoch * self.num_val_batches
        self.model.board.set_state(state["board"])
        self.progress.resume(self.train_batch_idx + self.val_batch_idx, **state["progress"])
        if self.workers.rank < len(state["random"]):  # else the run has more processes now, and this one a new state
            self._epoch_random = state["epoch_random"][self.workers.rank]
            self._resumed_random = state["random"][self.workers.rank]
        else:
            self._epoch_random = self._resumed_random = self._random()
        self._set_random(self._resumed_random)
        if self._first_epoch < self.num_epochs:
            place = f"epoch {self._first_epoch + 1}, after {self._skip} of {self.num_train_batches} batches"
            self._say(f"Resuming from {checkpoint.path}: {place}")
        else:
            self._set_training(False)
            self._say(f"Nothing to do: {checkpoint.path} is of a run that has finished its {self._first_epoch} epochs")

    def _restore_schedulers(self, checkpoint: Checkpoint) -> None:
        """Have learning-rate schedulers go on from a checkpoint."""
        saved, own = checkpoint.state.get("schedulers"), self._scheduler_states()
        if saved is None:
            if own:
                self._say(
                    f"{checkpoint.path} is of an earlier version of d2l, which saved less of learning-rate schedulers: "
                    f"{', '.join(own)} may give other rates than without the interruption"
                )
            return
        if saved.keys() != own.keys():
            there, here = (quoted(", ".join(names)) or "none" for names in (saved, own))
            raise CheckpointError(
                f"{checkpoint.path} is of another run: learning-rate schedulers are {there} there and {here} here"
            )
        for name, entries in saved.items():
            unpacked = {key: unpack(entry, checkpoint.arrays, self._tensor) for key, entry in entries.items()}
            check_alike(checkpoint.path, unpacked, own[name], name)
            self._set_scheduler_state(name, own[name] | unpacked)

    def _take_weights(self, checkpoint: Checkpoint) -> None:
        """Give the model a checkpoint's weights, if they are weights for it."""
        check_fits(checkpoint.path, checkpoint.weights, self._weights(), "model")
        self._set_weights(checkpoint.weights)

    def _save(self, epoch: int, batch: int) -> None:
        """Make a checkpoint from which a run goes on in ``epoch`` after so many of its batches."""
        with self.progress.paused():
            self._save_now(epoch, batch)

    def _save_now(self, epoch: int, batch: int) -> None:
        board = _without_validation(self.model.board.state(), epoch)
        loss = board["pending"].get("train_loss", {"y": 0.0})["y"]
        if not math.isfinite(loss):  # the run is about to be stopped; the last good checkpoints are to be kept
            return
        lost = [] if self._said_lost else self._find_unsaved()
        schedulers = self._scheduler_states()
        lost += [
            f"{name}, which the model makes after the run has begun (configure_optimizers can)"
            for name in schedulers
            if name not in self._first_schedulers
        ]
        arrays: dict[str, Any] = {f"model/{name}": to_numpy(weight) for name, weight in self._weights().items()}
        hyperparameters = {**getattr(self, "hparams", {}), **getattr(self.model, "hparams", {})}
        state = {
            "run": self._run,
            "epoch": epoch,
            "batch": batch,
            "optimizer": pack(self._optimizer_state(), "optimizer", arrays),
            "schedulers": {name: pack_entries(schedulers[name], name, arrays, lost) for name in self._first_schedulers},
            "epoch_random": self._of_all(self._epoch_random),
            "random": self._of_all(self._random()),
            "board": board,
            "progress": {
                "train_examples": self.progress.train_examples,
                "train_seconds": self.progress.train_seconds,
            },
            "model": type(self.model).__name__,
            "hyperparameters": {name: reprlib.repr(value) for name, value in hyperparameters.items()},
            "versions": {"d2l": VERSION, self.framework: sys.modules[self.framework].__version__},
        }
        self._say_lost(lost)
        if self.workers.first:
            self._checkpoints.save(epoch * self.num_train_batches + batch, arrays, state)
        self.workers.add_up(np.zeros(1))  # the others go on when it is there

    def _find_owners(self, data: DataModule) -> dict[str, Any]:
        """What may keep a state of its own, by name: the model, the data, and what gives batches."""
        loader = self.train_dataloader
        while isinstance(loader, TrainersLoader):
            loader = loader.loader
        return {type(self.model).__name__: self.model, "data": data, "train_dataloader": loader}

    def _find_generators(self, data: DataModule) -> dict[str, Any]:
        """The random generators that model and data have of their own, by name."""
        found = attributes(self._find_owners(data))
        return {name: value for name, value in found if isinstance(value, self.generator_types)}

    def _generator_states(self) -> dict[str, Any]:
        """The states of these generators, as JSON can hold them."""
        return {name: self._generator_state(generator) for name, generator in self._generators.items()}

    def _set_generator_states(self, states: Mapping[str, Any]) -> None:
        """Have these generators go on from such states, as far as there are any."""
        for name in self._generators.keys() & states.keys():
            self._set_generator_state(self._generators[name], states[name])

    def _find_unsaved(self) -> list[str]:
        """What the run depends on and no checkpoint holds, in words: numbers that model and data count in."""
        now = counters(self._owners, self._held())
        return [
            f"{name} ({type(number).__name__})"
            for name, number in now.items()
            if self._counters.get(name, number) != number
        ]

    def _held(self) -> list[Any]:
        """Objects whose state is in a checkpoint."""
        return [self.optim]

    def _say_lost(self, lost: Sequence[str]) -> None:
        """Say once in a run what its checkpoints cannot hold."""
        if lost and not self._said_lost:
            self._said_lost = True
            self._say(f"Checkpoints cannot hold {', '.join(lost)}: a resumed run has this as it is made anew")

    def _stop_if_asked(self, batch: int) -> None:
        """End the run after so many training batches of the epoch, if it is to end."""
        asked = self._stop is not None
        if self.workers.count > 1:  # they stop after the same step
            asked = self.workers.add_up(np.array(int(asked))) > 0
        if asked:
            self._save(self.epoch, batch)
            raise self._stop or KeyboardInterrupt("another process of the run was asked to stop")

    def _of_all(self, state: Any) -> list[Any]:
        """What JSON can hold of each process."""
        return [json.loads(text) for text in self.workers.gather(as_json(state))]

    def _say(self, line: str) -> None:
        """Print a line, in one process of those that train."""
        if self.workers.first:
            print(line)

    def _random(self) -> dict[str, Any]:
        """The random states of now, as JSON can hold them."""
        return {**random_states(), "framework": self._random_state(), "generators": self._generator_states()}

    def _set_random(self, states: Mapping[str, Any]) -> None:
        """Go on from such random states."""
        set_random_states(states)
        self._set_random_state(states["framework"])
        self._set_generator_states(states.get("generators", {}))

    def _part_random_states(self, data: DataModule) -> None:
        """Have each process draw random numbers of its own, such as those of dropout; the first, as it would alone."""
        if not self.workers.first:
            seed = (data._draw_seed() + self.workers.rank) % 2**31
            random.seed(seed)
            np.random.seed(seed)
            self._seed(seed)

    def _part_batches(self) -> None:
        """Have each process take its part of the batches of loaders other than our own."""
        if self.workers.count > 1:
            self.train_dataloader = sharded(self.train_dataloader, self)
            self.val_dataloader = sharded(self.val_dataloader, self)

    def _report(self) -> None:
        """State the run's last numbers in one line."""
        profile = current_profile()
        final = self.model.board.last
        run = {
            "profile": str(profile),
            "epochs": self.num_epochs,
            "max_epochs": self.max_epochs,
            "examples_per_epoch": self.progress.train_examples // self.num_epochs,
            "examples_per_second": self.progress.examples_per_second,
            "device": self._devices_name(),
            "metrics": final,
        }
        line = ", ".join(f"{quoted(label)} {value:.3f}" for label, value in final.items())
        line += f" after {run['epochs']} of {run['max_epochs']} epochs, each of {run['examples_per_epoch']:,} examples"
        line += f"; {run['examples_per_second']:,.0f} examples/s on {run['device']}"
        if not profile.full:
            line = f"{profile}: {line}"
        if in_notebook():
            self.progress.output.show({"text/plain": line, RUN_MIME: finite(run)})
        else:
            print(line)

    def _chosen_precision(self) -> str:
        """What ``precision`` comes to for this model, device and run."""
        if self.precision != "auto":
            return self.precision
        if current_profile().smoke:
            return "float32"
        return "bfloat16" if isinstance(self.model, Classifier) and self._has_bfloat16() else "auto"

    def _has_bfloat16(self) -> bool:
        """Whether the framework computes in ``bfloat16`` on the device, and gains by it."""
        return False

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """The framework's settings for arithmetic while a model is trained."""
        return nullcontext()

    def _find_workers(self) -> Workers:
        """The processes that this one has been started with, to train together."""
        return Workers()

    def _add_up(self, numbers: list[float]) -> list[float]:
        """Sums over the processes of numbers that a step of each gives for its part of the batch.

        Where a step gives each process the numbers of the whole batch, there is nothing to add.
        """
        return numbers

    def _seed(self, seed: int) -> None:
        """Set the framework's random state."""

    def _choose_gpus(self) -> list[Any]:
        """The GPUs that this process trains on."""
        return self._find_gpus()[: self.num_gpus]

    def _on_gpu(self) -> bool:
        """Whether the model is trained on a GPU."""
        return bool(self.gpus)

    def _how_to_use_more(self) -> str:
        """What to add to the line that says that fewer GPUs are in use than asked for."""
        return ""

    def _find_gpus(self) -> list[Any]:
        """The machine's GPUs."""
        raise NotImplementedError

    def _cpu(self) -> Any:
        """The machine's CPU."""
        raise NotImplementedError

    def _devices_name(self) -> str:
        name = self._device_name()
        return (
            f"{self.num_devices} x {re.split(r'[:(]', name)[0]}" if self.num_devices > 1 else name
        )  # without a number

    def _device_name(self) -> str:
        return str(self.device)

    def _prepare_optimizer(self) -> None:
        """Get the optimizer, which may need the parameters, and what a step of it needs."""
        # What steps do may have changed since the last fit, also where model and optimizer are the same.
        self._steps: dict[str, tuple[Any, ...]] = {}
        self._look_ahead()
        self._configure_optimizer()

    def _configure_optimizer(self) -> None:
        """Get the optimizer from the model."""
        with validation.configuring(self.model):
            configured = self.model.configure_optimizers()
        self.optim = self._configured_optimizer(configured)
        self._check_optimizer()

    def _look_ahead(self) -> None:
        """Give lazy layers their parameters before the first step, whose random numbers stay those that they were.

        Drawn after what an epoch draws before its first batch, parameters are those that the first step would draw.
        """
        if self._is_built():
            return
        with self._random_states_kept():
            self._init_parameters(self._first_batch if self._exposes_random_state else self._example_batch)
            go_on = self._random_states_of_now()
        (begun, _), self._begun = self._begun or (None, None), None
        self.train_dataloader = BegunLoader(self.train_dataloader, self, go_on, begun)

    def _init_parameters(self, example: Callable[[], Sequence[Any]]) -> None:
        """Give layers that lack them the shapes of their parameters, which ``example`` gives a batch for."""
        if self._is_built():
            return
        batch = example()
        with self._named_in_errors("training", 0, batch):
            self._build(self.prepare_batch(batch))

    def _run_once(self, batch: Sequence[Any], **options: Any) -> None:
        """Call the model with a batch's inputs or, if it is not made for that, have its step of training do so."""
        try:
            self.model(*inputs_of(batch), **options)
        except Exception:
            with suppress(Exception), self._capture():
                self.model.training_step(batch)
                return
            raise

    def _first_batch(self) -> Sequence[Any]:
        """A batch like the first of an epoch that begins now, after drawing all that is drawn until then."""
        loader = self.train_dataloader
        if is_own(loader):
            loader.draw()
            return loader.example()
        return self._begin()

    def _begin(self) -> Sequence[Any]:
        """The first batch of the training loader; ``_begun`` has all of them, and the iterator that has the rest."""
        batches = iter(self.train_dataloader)
        first = next(batches)
        self._begun = chain([first], batches), batches
        return as_batch(first)

    def _example_batch(self) -> Sequence[Any]:
        """A batch with the shapes of training, which loaders of our own give without reading or drawing anything."""
        for loader in (self.train_dataloader, self.val_dataloader):
            if is_own(loader):
                return loader.example()
        return self._first_batch()

    @contextmanager
    def _random_states_kept(self) -> Iterator[None]:
        """Have the random states afterwards as they are now, those that can be read."""
        restore = self._random_states_of_now()
        try:
            yield
        finally:
            restore()

    def _random_states_of_now(self) -> Callable[[], None]:
        """A function that brings back the random states as they are now, those that can be read."""
        if self._exposes_random_state:
            return partial(self._set_random, self._random())
        own, generators = random_states(), self._generator_states()

        def restore() -> None:
            set_random_states(own)
            self._set_generator_states(generators)

        return restore

    def _configured_optimizer(self, configured: Any) -> Any:
        """The optimizer in what the model's ``configure_optimizers`` has returned.

        Raises:
            TypeError: It is not an optimizer alone.
        """
        if type(configured) in (tuple, list, dict):
            raise TypeError(
                f"{type(self.model).__name__}.configure_optimizers returned {validation.describe(configured)}: return "
                f"one optimizer, such as {self.optimizer_example}. A schedule is an argument of it: "
                f"{self._schedule_example}"
            )
        return configured

    def _step_schedulers(self) -> None:
        """Have learning-rate schedulers of their own go on by an epoch, where the framework has such."""

    def _check_optimizer(self) -> None:
        """See that the model has given an optimizer, and one for its parameters."""
        if self.optimizer_methods:
            validation.check_optimizer(self.model, self.optim, self.optimizer_methods, self.optimizer_example)

    def _generator_state(self, generator: Any) -> Any:
        """The state of a random generator, as JSON can hold it."""
        return generator_state(generator)

    def _set_generator_state(self, generator: Any, state: Any) -> None:
        """Have a random generator go on from such a state."""
        set_generator_state(generator, state)

    def _set_training(self, training: bool) -> None:
        """Switch layers such as dropout between training and validation."""
        raise NotImplementedError

    def _train(self, batch: Sequence[Any]) -> None:
        """One step of training: loss, gradients, update."""
        raise NotImplementedError

    def _validate(self, batch: Sequence[Any]) -> None:
        """One step of validation, without gradients."""
        raise NotImplementedError

    def _is_built(self) -> bool:
        """Whether all parameters have their shapes."""
        return True

    def _build(self, batch: Sequence[Any]) -> None:
        """Give layers that take their shapes from a batch their parameters."""
        raise NotImplementedError

    def _weights(self) -> dict[str, Any]:
        """The model's arrays, by names that are the same in each model of its kind."""
        raise NotImplementedError

    def _set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Give the model's arrays, which have these shapes, other values."""
        raise NotImplementedError

    def _optimizer_name(self) -> str:
        return type(self.optim).__name__

    def _keeps_optimizer(self) -> bool:
        """Whether all that the optimizer keeps from step to step is in its state."""
        return True

    def _optimizer_state(self) -> Any:
        """What the optimizer keeps from step to step, in dicts, lists and tuples."""
        raise NotImplementedError

    def _set_optimizer_state(self, state: Any, path: Path) -> None:
        """Give the optimizer such a state; ``path`` is where it comes from."""
        raise NotImplementedError

    def _schedule_facts(self) -> dict[str, Any]:
        """Settings of schedulers made for this run, which one that resumes it is to have, too."""
        return {}

    def _scheduler_states(self) -> dict[str, dict[str, Any]]:
        """What learning-rate schedulers outside of the optimizer's state keep, by a name of each."""
        return {}

    def _set_scheduler_state(self, name: str, state: dict[str, Any]) -> None:
        """Give one of them such a state."""
        raise NotImplementedError

    def _tensor(self, array: np.ndarray) -> Any:
        """An array of an optimizer's state as the framework has it."""
        return array

    def _random_state(self) -> Any:
        """What the framework draws random numbers from, besides Python's and NumPy's random states."""

    def _set_random_state(self, state: Any) -> None:
        """Have the framework draw from such a state."""


def _number_of_weights(weights: Mapping[str, Any]) -> int:
    return sum(math.prod(array.shape) for array in weights.values())


def _without_validation(board: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """A board's state without what a validation has drawn that is to be done again, that of an epoch not yet over."""

    def stays(label: str, x: float) -> bool:
        return not label.startswith("val_") or x <= epoch

    curves = {label: [(x, y) for x, y in points if stays(label, x)] for label, points in board["curves"].items()}
    pending = {label: average for label, average in board["pending"].items() if stays(label, average["points"][0][0])}
    return {**board, "curves": {label: points for label, points in curves.items() if points}, "pending": pending}
