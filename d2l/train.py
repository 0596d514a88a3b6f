"""The chapter's training as a command, for jobs on a cluster: ``python -m d2l.train --help``."""

import argparse
import importlib
import math
import os
import platform
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from .run_log import RunLog

FASHION_MNIST = "fashion-mnist"
EPOCH = "epoch"
TOP_5_ABOVE = 10  # classes; of fewer, the five likeliest say little

EPILOG = """\
examples:
  On a laptop, the whole way in seconds: two epochs on 256 images that come with the package.

    D2L_PROFILE=smoke python -m d2l.train pytorch --model lenet

  The chapter's AlexNet on a GPU, with its curves in a file:

    python -m d2l.train pytorch --epochs 10 --log-file alexnet.jsonl

  ImageNet on a cluster. The job is sent SIGTERM before its time is up, saves a checkpoint, and ends. The same
  command goes on from there, in the next job as in the first:

    python -m d2l.train pytorch --data /data/imagenet --epochs 90 \\
        --checkpoint-dir run1 --checkpoint-every 1000 --resume --log-file run1.jsonl

  The same on eight GPUs, a process for each, which are started anew from the last checkpoint if one of them dies. The
  batch is divided among them; the framework may also be tensorflow, mxnet or jax, in one process that python starts:

    torchrun --nproc-per-node=8 --max-restarts=3 -m d2l.train pytorch --data /data/imagenet --epochs 90 --devices 8 \\
        --checkpoint-dir run1 --checkpoint-every 1000 --resume --log-file run1.jsonl

exit codes:
  0 the run is complete, 1 it failed, 2 the command is not right, 129 SIGHUP (the terminal was closed), 130 Ctrl-C,
  143 SIGTERM
"""

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


class Network(NamedTuple):
    """A network of the chapter: its class in the helper, the side of its images, and the chapter's learning rate."""

    name: str
    size: int
    lr: float


NETWORKS = {"alexnet": Network("AlexNet", 224, 0.01), "lenet": Network("LeNet", 28, 0.5)}


# The arguments of the trainer, and the options that they come from.
TRAINER_OPTIONS = {
    "max_epochs": "epochs",
    "num_gpus": "devices",
    "precision": "precision",
    "checkpoint_dir": "checkpoint_dir",
    "every": "checkpoint_every",
}
# How the helper's messages call what is an option here.
OPTIONS = {
    name: f"--{option.replace('_', '-')}"
    for name, option in (
        *TRAINER_OPTIONS.items(),
        *((name, name) for name in ("batch_size", "val_split", "decode_memory", "lr", "resume")),
    )
}
# Not within names of files. Some of these names are words, too, if no value follows them.
VALUE = re.compile(rf"(?<![\w/.-])({'|'.join(OPTIONS)})=(?>True\b|('[^']*'|[\w+-]+(?:\.\w+)*))(?!/)")
NAME = re.compile(
    r"(?<![\w/.-])(max_epochs|num_gpus|checkpoint_dir|batch_size|val_split|decode_memory|lr)(?![\w/=-]|\.\w)"
)
PHRASES = {
    "learning rate": "--lr",
    "SCRIPT.py": "-m d2l.train",
    "the model's number of weights": "--model's number of weights",
    "does not fit this model": "does not fit this --model",
}


class UsageError(Exception):
    """The command is not right. The message says what to give."""


class Stopped(KeyboardInterrupt):
    """A signal has come that ends the run."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        self.epochs = 0.0  # that were done
        self.told = False  # whether it is for another process to say so
        self.saved = False  # whether there is a checkpoint of this place


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with a message, and the exit code for wrong usage."""
        self.exit(2, f"{self.prog}: {message}. With --help it says more.\n")


def make_parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        "python -m d2l.train",
        description="Train a network of the chapter with the Trainer of its notebooks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("framework", choices=FRAMEWORKS, help="what to train with")

    group = parser.add_argument_group("what is trained")
    group.add_argument("--model", choices=NETWORKS, default="alexnet", help="the network (default: %(default)s)")
    group.add_argument(
        "--data",
        type=_data,
        default=FASHION_MNIST,
        help=f"{FASHION_MNIST}, or a FOLDER of images: FOLDER/train/CLASS/*.jpg and FOLDER/val/CLASS/*.jpg, or "
        "WebDataset shards FOLDER/train/*.tar and FOLDER/val/*.tar (default: %(default)s)",
    )
    group.add_argument(
        "--val-split",
        type=_share,
        metavar="SHARE",
        help="of a FOLDER without val, the share of the training images to validate on, such as 0.1 (default: none)",
    )
    group.add_argument(
        "--decode-memory",
        type=_positive,
        metavar="BYTES",
        default=1 << 30,
        help="of a FOLDER, what all threads together may decode images in (default: %(default)s)",
    )

    group = parser.add_argument_group("how it is trained")
    group.add_argument(
        "--epochs", type=_positive, default=10, help="passes over the training data (default: %(default)s)"
    )
    group.add_argument("--batch-size", type=_positive, default=128, help="images in a batch (default: %(default)s)")
    rates = ", ".join(f"{network.lr} for {name}" for name, network in NETWORKS.items())
    group.add_argument("--lr", type=_rate, help=f"learning rate (default: the chapter's, {rates})")
    group.add_argument("--seed", type=_seed, help="number to start all random states from (default: a new one)")

    group = parser.add_argument_group("on what")
    group.add_argument(
        "--devices",
        type=_count,
        default=1,
        help="GPUs to use, as far as there are any; 0 is the CPU (default: %(default)s)",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="what layers compute in; auto is bfloat16 on devices that have it (default: %(default)s)",
    )

    group = parser.add_argument_group("what is kept")
    group.add_argument(
        "--checkpoint-dir",
        type=_path,
        metavar="FOLDER",
        help="save the run here as it goes on, and when SIGTERM, SIGHUP or Ctrl-C ends it (default: nowhere)",
    )
    group.add_argument(
        "--checkpoint-every",
        type=_every,
        default=EPOCH,
        metavar="BATCHES",
        help="training batches from one checkpoint to the next, or %(default)s (default: %(default)s)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint, or start if there is none (default: start)",
    )
    group.add_argument(
        "--log-file",
        type=_path,
        metavar="FILE",
        help="append lines of JSON to it: the settings, each point of a curve, corrupt images, how the run ended "
        "(default: no log)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; what becomes of it is said in a line, and by the exit code that ``--help`` explains."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        _check(options)
        with _on_signals(_raise):
            return _run(options)
    except UsageError as error:
        parser.error(_in_options(str(error), options))
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
        UsageError: The framework lacks the precision, or ``D2L_PROFILE`` is no profile.
        ImportError: The framework is not installed, or another package is installed over this one.
        ValueError: The run cannot be as asked for on this machine.
        DataError, CheckpointError, FloatingPointError: As `d2l.data_modules.ImageFolder` and `d2l.trainer.Trainer.fit`
            say.
        Stopped: A signal has come.
    """
    import numpy as np

    from .backend import describe_precision
    from .installation import VERSION
    from .run_log import LogObserver
    from .smoke_profile import current_profile

    start = time.monotonic()
    framework, network = FRAMEWORKS[options.framework], NETWORKS[options.model]
    try:
        d2l = importlib.import_module(f"d2l.{framework.module}")
        trainer = _make_trainer(d2l, options)
        trainer.observers = [LogObserver(log)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not trainer.processes.is_main:
        log.close()
    if options.seed is not None:
        random.seed(options.seed)
        np.random.seed(options.seed)
        framework.seed(d2l, options.seed)
    data, classes = _load(d2l, options, network.size)
    data.on_corrupt = lambda images: log.write(event="corrupt", images=images)
    with framework.place(d2l, options.devices), _on_signals(trainer.stop):
        model = getattr(d2l, network.name)(lr=options.lr or network.lr, num_classes=classes)
        model.top_k = (5,) if classes > TOP_5_ABOVE else ()
        model.board = d2l.ProgressBoard(xlabel="epoch", display=False)
        log.prepare(
            event="start",
            settings={**vars(options), "lr": model.lr},
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
            message = _in_options(str(error), options)
            log.conclude(event="failed", error=f"{type(error).__name__}: {message}")
            error.__notes__ = notes = [_in_options(note, options) for note in getattr(error, "__notes__", ())]
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
            super()._say(_in_options(line, options))

    return CommandTrainer(**{name: getattr(options, option) for name, option in TRAINER_OPTIONS.items()})


def _in_options(message: str, options: argparse.Namespace) -> str:
    """A message of the helper in the words of the command: with options in the place of arguments."""
    paths = [str(path) for path in (options.data, options.checkpoint_dir, options.log_file) if path is not None]
    parts = re.split(
        rf"(?<!\w)({'|'.join(map(re.escape, paths))})(?!\w)", message
    )  # what the user has named stays as it is
    for i, text in enumerate(parts[::2]):
        text = VALUE.sub(lambda match: " ".join(filter(None, (OPTIONS[match[1]], (match[2] or "").strip("'")))), text)
        text = NAME.sub(lambda match: OPTIONS[match[1]], text)
        for phrase, words in PHRASES.items():
            text = text.replace(phrase, words)
        parts[2 * i] = text
    return "".join(parts)


def _is_of_ours(error: Exception) -> bool:
    """Whether it is the helper that finds a value wrong, and not a framework that it has called."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, ValueError) and frame.f_globals["__name__"].startswith(f"{__package__}.")


def _check(options: argparse.Namespace) -> None:
    """Find what is wrong without importing a framework, which takes seconds."""
    if options.data != FASHION_MNIST and not Path(options.data).is_dir():
        wrong = "this is no folder" if Path(options.data).exists() else "there is no such folder"
        raise UsageError(f"--data {options.data}: {wrong}; for Fashion-MNIST, give {FASHION_MNIST}")
    if options.checkpoint_dir is not None and options.checkpoint_dir.exists() and not options.checkpoint_dir.is_dir():
        raise UsageError(f"--checkpoint-dir {options.checkpoint_dir}: this is no folder")
    if options.log_file is not None and options.log_file.is_dir():
        raise UsageError(f"--log-file {options.log_file}: this is a folder; give a file")
    if options.data == FASHION_MNIST and options.val_split is not None:
        raise UsageError("--val-split: give a folder of images, too, with --data; Fashion-MNIST has images to test on")
    if options.checkpoint_dir is None:
        for name, given in (("--resume", options.resume), ("--checkpoint-every", options.checkpoint_every != EPOCH)):
            if given:
                raise UsageError(f"{name}: give the folder of the checkpoints, too, with --checkpoint-dir")


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


def _data(text: str) -> str:
    return text if text == FASHION_MNIST else str(_path(text))


def _whole(text: str, least: int, most: float = math.inf) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        limits = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, {limits}")
    return int(text)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # which a shell leaves to the program in --log-file=~/run.jsonl


def _count(text: str) -> int:
    return _whole(text, 0)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**31 - 1)


def _every(text: str) -> int | str:
    return text if text == EPOCH else _positive(text)


def _number(text: str, most: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < most:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number {expected}")
    return number


def _rate(text: str) -> float:
    return _number(text, math.inf, "above 0")


def _share(text: str) -> float:
    return _number(text, 1, "above 0 and below 1")


if __name__ == "__main__":
    sys.exit(main())
