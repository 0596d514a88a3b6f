"""The chapter's training as a command, for jobs on a cluster: ``python -m d2l.train --help``."""

import argparse
import importlib
import os
import platform
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .recipes import NETWORKS, SETTINGS, OptimizerSettings, distinctions
from .train_options import (
    FASHION_MNIST,
    TRAINER_OPTIONS,
    UsageError,
    check,
    complete,
    in_options,
    in_words,
    make_parser,
    option,
)

if TYPE_CHECKING:
    from .run_log import RunLog

TOP_5_ABOVE = 10  # classes; of fewer, the five likeliest say little

# The signals that end a run; on Windows no terminal sends SIGHUP.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Framework(NamedTuple):
    """What the command has to know of a framework.

    Attributes:
        module: Its module of the helper.
        seed: Sets the random state of its own, given that module and a number.
        place: Where the model is to be made, given that module and the number of devices.
    """

    module: str
    seed: Callable[[Any, int], Any] = lambda d2l, number: None
    place: Callable[[Any, int], AbstractContextManager[Any]] = lambda d2l, devices: nullcontext()


FRAMEWORKS = {
    "pytorch": Framework("torch", seed=lambda d2l, number: d2l.torch.manual_seed(number)),
    "tensorflow": Framework(
        "tensorflow",
        seed=lambda d2l, number: d2l.tf.keras.utils.set_random_seed(number),
        place=lambda d2l, devices: d2l.try_gpu() if devices else d2l.cpu(),
    ),
    "mxnet": Framework("mxnet", seed=lambda d2l, number: d2l.mx.random.seed(number)),
    "jax": Framework("jax"),  # whose keys are drawn from Python's random state
}


class Stopped(KeyboardInterrupt):
    """A signal has come that ends the run."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        self.epochs = 0.0  # that were done
        self.told = False  # whether it is for another process to say so
        self.saved = False  # whether there is a checkpoint of this place


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; what becomes of it is said in a line, and by the exit code that ``--help`` explains."""
    parser = make_parser(FRAMEWORKS)
    options = parser.parse_args(arguments)
    try:
        check(options)
        complete(options)
        with _on_signals(_raise):
            return _run(options)
    except UsageError as error:
        parser.error(in_options(str(error), options))
    except Stopped as stopped:
        place = "there" if stopped.saved else "the last checkpoint, if there is one"
        kept = f"the same command with --resume goes on from {place}"
        if options.checkpoint_dir is None:
            kept = "no checkpoint was asked for"
        if not stopped.told:
            print(f"Stopped by {stopped} after {stopped.epochs:.2f} epochs; {kept}", file=sys.stderr)
        return stopped.exit_code


def train(options: argparse.Namespace, log: "RunLog") -> None:
    """Train as the options say.

    Raises:
        UsageError: The framework lacks the precision, ``D2L_PROFILE`` is no profile, or there are too few classes.
        ImportError: The framework is not installed, or another package is installed over this one.
        ValueError: The run cannot be as asked for on this machine.
        DataError, CheckpointError, FloatingPointError: As `d2l.data_modules.ImageFolder` and `d2l.trainer.Trainer.fit`
            say.
        Stopped: A signal has come.
    """
    import numpy as np

    from .backend import describe_precision
    from .installation import VERSION
    from .rate_schedule import RateSchedule
    from .run_log import LogObserver
    from .smoke_profile import current_profile

    start = time.monotonic()
    framework, network = FRAMEWORKS[options.framework], NETWORKS[options.model]
    try:
        d2l = importlib.import_module(f"d2l.{framework.module}")
        optimizers = importlib.import_module(f"d2l.backends.{framework.module}.optimizers")
        trainer = _make_trainer(d2l, options)
        schedule = RateSchedule(options.lr_schedule, options.lr, optimizers.set_learning_rate, log)
        trainer.observers = [*trainer.observers, LogObserver(log), schedule]
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not trainer.processes.is_main:
        log.close()
    if options.seed is not None:
        random.seed(options.seed)
        np.random.seed(options.seed)
        framework.seed(d2l, options.seed)
    data, classes = _load(d2l, options, network.size)
    options.top_k = _ranks(options.top_k, classes)
    data.on_corrupt = lambda images: log.write(event="corrupt", images=images)
    with framework.place(d2l, options.devices), _on_signals(trainer.stop):
        model = getattr(d2l, network.name)(lr=options.lr, **{network.classes: classes})
        settings = OptimizerSettings(
            options.optimizer, options.lr, options.momentum or 0.0, options.weight_decay or 0.0
        )
        model.configure_optimizers = partial(optimizers.make_optimizer, model, settings)
        model.top_k = options.top_k
        model.board = d2l.ProgressBoard(xlabel="epoch", display=False)
        trainer.backend.say(f"Training {options.model} by the recipe {options.recipe}: {in_words(_settings(options))}")
        log.prepare(
            event="start",
            settings=vars(options),
            classes=classes,
            profile=str(current_profile()),
            device=str(trainer.device),
            versions={
                "python": platform.python_version(),
                "d2l": VERSION,
                trainer.backend.name: sys.modules[trainer.backend.name].__version__,
            },
        )
        try:
            trainer.fit(model, data, resume=options.resume)
        except KeyboardInterrupt as reason:
            # Without a signal of its own, this process stops for one that another has got.
            stopped = reason if isinstance(reason, Stopped) else Stopped(signal.SIGTERM)
            stopped.epochs, stopped.told = trainer.epochs_done, not trainer.processes.is_main
            # One that has come a second time has not waited for a checkpoint.
            stopped.saved = reason is not stopped or (
                trainer.checkpointing is not None and reason is trainer.checkpointing.stop_reason
            )
            raise stopped from None
        precision = describe_precision(trainer.precision, model, trainer.backend)
    log.write(
        event="end",
        metrics=model.board.last,
        epochs=round(trainer.epochs_done),
        seconds=time.monotonic() - start,
        precision=precision,
    )


def _run(options: argparse.Namespace) -> int:
    """Train with a log, which says how it ended; return the exit code."""
    try:
        from . import installation  # noqa: F401, which sees that this package is whole
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    # Only now, since they take a second to import.
    from .checkpoint_file import CheckpointError
    from .data_error import DataError
    from .run_log import RunLog
    from .step_errors import is_out_of_memory

    try:
        log = RunLog(options.log_file)
    except OSError as error:
        print(
            f"--log-file {options.log_file}: no log can be written here ({error.strerror}): give a file that can be "
            "written, in a folder that is there",
            file=sys.stderr,
        )
        return 1
    except ValueError as error:
        raise UsageError(f"--log-file {error}") from error
    with log:
        try:
            train(options, log)
        except Stopped as stopped:
            log.conclude(event="stopped", signal=str(stopped), epoch=stopped.epochs)
            raise
        except Exception as error:
            message = in_options(str(error), options)
            log.conclude(event="failed", error=f"{type(error).__name__}: {message}")
            error.__notes__ = notes = [in_options(note, options) for note in getattr(error, "__notes__", ())]
            named = isinstance(error, (ImportError, DataError, CheckpointError, FloatingPointError))
            if not (named or _is_of_ours(error) or is_out_of_memory(error)):
                raise
            print(message, *notes, sep="\n", file=sys.stderr)
            return 1
    return 0


def _make_trainer(d2l: Any, options: argparse.Namespace) -> Any:
    """The framework's trainer, which speaks of options."""

    class CommandTrainer(d2l.Trainer):
        def _say(self, line: str) -> None:
            super()._say(in_options(line, options))

    callbacks = [] if options.keep_best is None else [d2l.KeepBest(options.keep_best)]
    arguments = {argument: getattr(options, name) for argument, name in TRAINER_OPTIONS.items()}
    trainer = CommandTrainer(**arguments, callbacks=callbacks)
    found = distinctions(_settings(options), trainer.num_epochs)
    trainer.run_settings = {option(name): fact for name, fact in found.items()}
    return trainer


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the model is trained with."""
    return {name: getattr(options, name) for name in SETTINGS}


def _ranks(asked_for: Sequence[int] | None, classes: int) -> Sequence[int]:
    """The K for which it is plotted how often a class is among the K likeliest.

    Raises:
        UsageError: Every class is among so many.
    """
    if asked_for is None:
        return [5] if classes > TOP_5_ABOVE else []
    if asked_for[-1] >= classes:
        raise UsageError(f"--top-k {asked_for[-1]}: of {classes} classes, each is among the {asked_for[-1]} likeliest")
    return asked_for


def _is_of_ours(error: Exception) -> bool:
    """Whether it is the helper that finds a value wrong, and not a framework that it has called."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, (ValueError, FileNotFoundError)) and frame.f_globals["__name__"].startswith(
        f"{__package__}."
    )


def _load(d2l: Any, options: argparse.Namespace, size: int) -> tuple[Any, int]:
    """The data, in images with sides of ``size``, and their number of classes."""
    if options.data == FASHION_MNIST:
        from .fashion_mnist import CLASSES

        return d2l.FashionMNIST(options.batch_size, resize=(size, size), root="data"), len(CLASSES)
    # As much more than what is cut out of it as in AlexNet's 256 and 224.
    data = d2l.ImageFolder(
        options.data,
        options.batch_size,
        resize=size * 8 // 7,
        crop=size,
        val_split=options.val_split,
        decode_memory=options.decode_memory,
    )
    return data, data.num_classes


_handlers: list[Callable[[int, Any], None]] = []  # of signals, in use now


@contextmanager
def _on_signals(stop: Callable[[Stopped], None]) -> Iterator[None]:
    """Have ``stop`` called when Ctrl-C comes, SIGTERM, which a cluster sends before it kills, or SIGHUP.

    SIGHUP comes when a terminal is closed. Where it is ignored, as after nohup, it stays so.
    """
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def on_signal(number: int, _: Any) -> None:
        if number == getattr(signal, "SIGHUP", None):
            signal.signal(number, signal.SIG_IGN)  # for the shell sends it again, which asks for nothing more
            _leave(terminals)
        stop(Stopped(number))

    numbers = [number for number in ENDING if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    kept = {number: signal.signal(number, on_signal) for number in numbers}
    _handlers.append(on_signal)
    try:
        yield
    finally:
        _handlers.remove(on_signal)
        for number, handler in kept.items():
            if signal.getsignal(number) == on_signal or handler not in _handlers:  # else one that came is ignored on
                signal.signal(number, handler)


def _leave(terminals: Sequence[int]) -> None:
    """Write nothing more to terminals that are closed, where it would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _raise(stopped: Stopped) -> NoReturn:
    raise stopped


if __name__ == "__main__":
    sys.exit(main())
