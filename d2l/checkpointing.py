"""Checkpoints of a run: made as it goes on, and gone on from."""

import math
import os
import reprlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import OptimizerState
from .checkpoint_file import (
    Checkpoint,
    CheckpointError,
    CheckpointFolder,
    check_fits,
    pack,
    pack_entries,
    quoted,
    unpack,
)
from .data_modules import DataModule
from .installation import VERSION
from .object_state import attributes, counters
from .observers import Observer, learning_rate
from .plotting import to_numpy
from .run_state import RunState, check_alike, check_run_state, fitting, pending_loss
from .wrapped_loaders import BegunLoader, ResumedLoader, unwrapped

if TYPE_CHECKING:
    from .trainer import Trainer


@contextmanager
def checkpointing(trainer: "Trainer", resume: bool) -> Iterator["Checkpointing | None"]:
    """Have the trainer's folder of checkpoints, where there is one, for this run alone.

    Raises:
        ValueError: A run is to be resumed, and there is no folder.
        CheckpointError: It cannot be written to, another run uses it, or it has checkpoints that are not asked for.
    """
    if trainer.checkpoint_dir is None:
        if resume:
            raise ValueError("resume=True: give the trainer a checkpoint_dir to resume from")
        yield None
        return
    folder = CheckpointFolder(Path(os.path.expanduser(trainer.checkpoint_dir)), trainer.keep)
    with folder.locked(trainer.processes):
        yield Checkpointing(folder, _find_checkpoint(trainer, folder, resume))


def _find_checkpoint(trainer: "Trainer", folder: CheckpointFolder, resume: bool) -> Checkpoint | None:
    """The last checkpoint of the folder, to resume from; ``None`` if there is none."""
    if not resume:
        if trainer.processes.all_reduce_sum(np.array(len(folder.steps()))) > 0:
            raise CheckpointError(
                f"{trainer.checkpoint_dir} has checkpoints of an earlier run: go on from them with resume=True, or "
                "give another checkpoint_dir"
            )
        return None
    checkpoint = folder.newest(check_run_state)
    names = trainer.processes.all_gather(checkpoint.path.name if checkpoint else "none")
    if len(set(names)) > 1:
        raise CheckpointError(
            f"{trainer.checkpoint_dir}: the processes find different checkpoints there ({', '.join(names)}): "
            "give a folder that all machines share"
        )
    if checkpoint is None:
        trainer.backend.say(f"No checkpoint in {trainer.checkpoint_dir}: training starts from the beginning")
    return checkpoint


class Checkpointing(Observer):
    """Makes checkpoints of a run, and ends it with one where it is asked to stop.

    Args:
        folder: Where they are, which this run has for itself.
        checkpoint: The one to go on from.
    """

    def __init__(self, folder: CheckpointFolder, checkpoint: Checkpoint | None):
        self.folder, self.checkpoint = folder, checkpoint
        self.stop_reason: BaseException | None = None
        self._done = 0  # training batches of the epoch
        self._epoch_random: Any = None  # the random states that the epoch began with
        self._resumed: ResumedLoader | None = None
        self._has_named_lost = False

    def attach(self, trainer: "Trainer", data: DataModule) -> None:
        """See what the run consists of, once it is set up, and have it go on from the checkpoint.

        Raises:
            CheckpointError: The checkpoint is of another run.
        """
        optimizer = trainer.backend.optimizer_state(trainer.model, trainer.optim)
        self.run_fingerprint = _run_fingerprint(trainer, data, optimizer)
        self._owners = owners(trainer, data)
        self._counters = counters(self._owners)
        self._first_schedulers = list(optimizer.schedulers)
        if not optimizer.is_complete:
            trainer.backend.say(
                f"Checkpoints lack what {optimizer.name}, an optimizer written by hand, keeps from one step to the next"
            )
        if self.checkpoint is not None:
            with fitting(self.checkpoint):
                self._restore(trainer, self.checkpoint)

    def before_pass(self, trainer: "Trainer", train: bool) -> None:
        """Note the random states that an epoch begins with, unless it is gone on with."""
        if not train:
            return
        self._done = self._resumed.skip if self._resumed else 0
        if not self._done:
            self._epoch_random = trainer.random_states.get()

    def before_batch(self, trainer: "Trainer", train: bool, batch: Any) -> None:
        """End the run before a batch of validation, if it is to end."""
        if not train:
            self._stop_if_asked(trainer, trainer.num_train_batches)

    def after_batch(self, trainer: "Trainer", train: bool) -> None:
        """Make a checkpoint if it is time to; end the run if it is to end."""
        if not train:
            return
        self._done += 1
        if trainer.every != "epoch" and (trainer.epoch * trainer.num_train_batches + self._done) % trainer.every == 0:
            self.save(trainer, trainer.epoch, self._done)
        self._stop_if_asked(trainer, self._done)

    def after_epoch(self, trainer: "Trainer") -> None:
        """Make a checkpoint if it is time to."""
        if trainer.every == "epoch" or trainer.epoch + 1 == trainer.num_epochs:
            self.save(trainer, trainer.epoch + 1, 0)

    def save(self, trainer: "Trainer", epoch: int, batch: int) -> None:
        """Make a checkpoint from which a run goes on in ``epoch`` after so many of its batches."""
        with trainer.progress.paused():
            trainer.backend.sync_statistics(trainer.model)
            board = _without_validation(trainer.model.board.state(), epoch)
            if not math.isfinite(pending_loss(board)):
                return  # the run is about to be stopped; the last good checkpoints are to be kept
            arrays, state = self._capture(trainer, epoch, batch, board)
            if trainer.processes.is_main:
                self.folder.save(epoch * trainer.num_train_batches + batch, arrays, state.as_dict())
            trainer.processes.barrier()  # the others go on when it is there

    def _capture(
        self, trainer: "Trainer", epoch: int, batch: int, board: Mapping[str, Any]
    ) -> tuple[dict[str, Any], RunState]:
        """The arrays and the state of now; what they lack is named once in a run."""
        backend, model = trainer.backend, trainer.model
        optimizer = backend.optimizer_state(model, trainer.optim)
        lost = [] if self._has_named_lost else self._find_unsaved(backend.layer_type, optimizer)
        lost += [
            f"{name}, which the model makes after the run has begun (configure_optimizers can)"
            for name in optimizer.schedulers
            if name not in self._first_schedulers
        ]
        arrays: dict[str, Any] = {f"model/{name}": to_numpy(x) for name, x in backend.model_state(model).items()}
        hyperparameters = {**getattr(trainer, "hparams", {}), **getattr(model, "hparams", {})}
        state = RunState(
            run=self.run_fingerprint,
            epoch=epoch,
            batch=batch,
            optimizer=pack(optimizer.state, "optimizer", arrays),
            schedulers={
                name: pack_entries(optimizer.schedulers[name], name, arrays, lost) for name in self._first_schedulers
            },
            epoch_random=trainer.processes.all_gather_json(self._epoch_random),
            random=trainer.processes.all_gather_json(trainer.random_states.get()),
            board=board,
            progress={
                "train_examples": trainer.progress.train_examples,
                "train_seconds": trainer.progress.train_seconds,
            },
            model=type(model).__name__,
            hyperparameters={name: reprlib.repr(value) for name, value in hyperparameters.items()},
            versions={"d2l": VERSION, backend.name: sys.modules[backend.name].__version__},
        )
        if lost and not self._has_named_lost:
            self._has_named_lost = True
            backend.say(f"Checkpoints cannot hold {', '.join(lost)}: a resumed run has this as it is made anew")
        return arrays, state

    def _find_unsaved(self, layer_type: type | tuple[type, ...], optimizer: OptimizerState) -> list[str]:
        """What the run depends on and no checkpoint holds, in words: counts, and objects with a state of their own."""
        now = counters(self._owners, optimizer.held)
        lost = {name: number for name, number in now.items() if self._counters.get(name, number) != number}
        for name, value in attributes(self._owners, optimizer.held):
            if hasattr(value, "state_dict") and not isinstance(value, layer_type):
                lost[name] = value
        named = [f"{name} ({type(value).__name__})" for name, value in lost.items()]
        if getattr(self._owners["train_dataloader"], "persistent_workers", False):
            named.append("the random states of train_dataloader's persistent workers")
        return named

    def _restore(self, trainer: "Trainer", checkpoint: Checkpoint) -> None:
        """Have the run go on from a checkpoint."""
        state = RunState.of(checkpoint)
        if isinstance(trainer.train_dataloader, BegunLoader):
            trainer.train_dataloader = trainer.train_dataloader.loader
        self._check_same_run(trainer, checkpoint, state)
        load_model_state(trainer, checkpoint)
        _load_optimizer_state(trainer, checkpoint, state)
        trainer.first_epoch = state.epoch
        trainer.train_batch_idx = state.epoch * trainer.num_train_batches + state.batch
        trainer.val_batch_idx = state.epoch * trainer.num_val_batches
        trainer.model.board.set_state(state.board)
        trainer.progress.resume(trainer.train_batch_idx + trainer.val_batch_idx, **state.progress)
        rank = trainer.processes.rank
        if rank < len(state.random):  # else the run has more processes now, and this one a new state
            self._epoch_random, resumed_random = state.epoch_random[rank], state.random[rank]
            own = trainer.random_states.get()
            for saved in filter(None, (self._epoch_random, resumed_random)):
                check_alike(checkpoint.path, saved["framework"], own["framework"], "random/framework")
        else:
            self._epoch_random = resumed_random = trainer.random_states.get()
        trainer.random_states.set(resumed_random)
        if state.batch:
            trainer.train_dataloader = self._resumed = ResumedLoader(
                trainer.train_dataloader, state.batch, self._epoch_random, resumed_random, trainer.random_states
            )
        if state.epoch < trainer.num_epochs:
            place = f"epoch {state.epoch + 1}, after {state.batch} of {trainer.num_train_batches} batches"
            trainer.backend.say(f"Resuming from {checkpoint.path}: {place}")
        else:
            trainer.backend.set_training(trainer.model, False)
            trainer.backend.say(
                f"Nothing to do: {checkpoint.path} is of a run that has finished its {state.epoch} epochs"
            )

    def _check_same_run(self, trainer: "Trainer", checkpoint: Checkpoint, state: RunState) -> None:
        there, here = state.run, self.run_fingerprint
        # A setting may be missing on one side, and is not set there; a fact that one side lacks says nothing.
        names = [name for name in here if name in there or name in trainer.run_settings]
        names += [name for name in trainer.run_settings if name in there and name not in here]
        other = [
            f"{name} is {quoted(str(there.get(name, 'not set')))} there and {here.get(name, 'not set')} here"
            for name in names
            if there.get(name) != here.get(name)
        ]
        if other:
            saved, own = map(_count_weights, (checkpoint.weights, trainer.backend.model_state(trainer.model)))
            if saved != own:
                other.insert(0, f"the model's number of weights is {saved} there and {own} here")
            raise CheckpointError(f"{checkpoint.path} is of another run: {', '.join(other)}")
        if state.batch > trainer.num_train_batches:
            raise ValueError(f"it is after {state.batch} of {trainer.num_train_batches} batches of an epoch")

    def _stop_if_asked(self, trainer: "Trainer", batch: int) -> None:
        """End the run after so many training batches of the epoch, if it is to end."""
        asked = self.stop_reason is not None
        if trainer.processes.world_size > 1:  # they stop after the same step
            asked = trainer.processes.all_reduce_sum(np.array(int(asked))) > 0
        if asked:
            self.save(trainer, trainer.epoch, batch)
            raise self.stop_reason or KeyboardInterrupt("another process of the run was asked to stop")


def load_model_state(trainer: "Trainer", checkpoint: Checkpoint) -> None:
    """Give the trainer's model a checkpoint's weights.

    Raises:
        CheckpointError: They are not weights for it.
    """
    backend, model = trainer.backend, trainer.model
    check_fits(checkpoint.path, checkpoint.weights, backend.model_state(model), "model")
    backend.load_model_state(model, checkpoint.weights)


def owners(trainer: "Trainer", data: DataModule) -> dict[str, Any]:
    """What may keep a state of its own, by name: the model, the data, and what gives batches."""
    return {
        type(trainer.model).__name__: trainer.model,
        "data": data,
        "train_dataloader": unwrapped(trainer.train_dataloader),
    }


def _run_fingerprint(trainer: "Trainer", data: DataModule, optimizer: OptimizerState) -> dict[str, Any]:
    """What a run that resumes this one has to have in common with it, by name."""
    facts = {
        "framework": trainer.backend.name,
        "optimizer": optimizer.name,
        "lr": learning_rate(trainer.model) if trainer.backend.resumes_lr else None,
        "batch_size": getattr(data, "batch_size", None),
        "training examples": getattr(trainer.train_dataloader, "examples", None),
        "training batches per epoch": trainer.num_train_batches,
        "validation batches per epoch": trainer.num_val_batches,
        **trainer.run_settings,
    }
    return {name: fact for name, fact in facts.items() if fact is not None} | dict(optimizer.settings)


def _load_optimizer_state(trainer: "Trainer", checkpoint: Checkpoint, state: RunState) -> None:
    """Have the optimizer and learning-rate schedulers go on from a checkpoint."""
    backend, path = trainer.backend, checkpoint.path
    own = backend.optimizer_state(trainer.model, trainer.optim)
    optimizer = unpack(state.optimizer, checkpoint.arrays)
    check_alike(path, optimizer, own.state, "optimizer")
    schedulers = {}
    if state.schedulers is None:
        if own.schedulers:
            backend.say(
                f"{path} is of an earlier version of d2l, which saved less of learning-rate schedulers: "
                f"{', '.join(own.schedulers)} may give other rates than without the interruption"
            )
    elif state.schedulers.keys() != own.schedulers.keys():
        there, here = (quoted(", ".join(names)) or "none" for names in (state.schedulers, own.schedulers))
        raise CheckpointError(f"{path} is of another run: learning-rate schedulers are {there} there and {here} here")
    else:
        for name, entries in state.schedulers.items():
            saved = {key: unpack(entry, checkpoint.arrays) for key, entry in entries.items()}
            check_alike(path, saved, own.schedulers[name], name)
            schedulers[name] = own.schedulers[name] | saved
    backend.load_optimizer_state(
        trainer.model, trainer.optim, OptimizerState(own.name, optimizer, schedulers=schedulers), path
    )


def _count_weights(weights: Mapping[str, Any]) -> int:
    return sum(math.prod(array.shape) for array in weights.values())


def _without_validation(board: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """A board's state without what a validation has drawn that is to be done again, that of an epoch not yet over."""

    def stays(label: str, x: float) -> bool:
        return not label.startswith("val_") or x <= epoch

    curves = {label: [(x, y) for x, y in points if stays(label, x)] for label, points in board["curves"].items()}
    pending = {label: mean for label, mean in board["pending"].items() if stays(label, mean["points"][0][0])}
    return {**board, "curves": {label: points for label, points in curves.items() if points}, "pending": pending}
