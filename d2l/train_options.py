"""The options of ``python -m d2l.train``: what they are, what is wrong with them, and messages in their words."""

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from . import recipes
from .recipes import ADAM_LR, NETWORKS, OPTIMIZERS, RECIPES

Group = argparse._ArgumentGroup  # which argparse has no public name for

FASHION_MNIST = "fashion-mnist"
EPOCH = "epoch"
DECODE_MEMORY = 1 << 30  # bytes
WEIGHTS_ENDING = ".safetensors"

EPILOG = """\
examples:
  On a laptop, the whole way in seconds: two epochs on 256 images that come with the package.

    D2L_PROFILE=smoke python -m d2l.train pytorch --model lenet

  The chapter's AlexNet on a GPU, with its curves in a file:

    python -m d2l.train pytorch --epochs 10 --log-file alexnet.jsonl

  The recipe of AlexNet's article, with the best epoch's weights in a file, to predict with:

    python -m d2l.train pytorch --recipe alexnet-2012 --data /data/imagenet --keep-best alexnet.safetensors

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


def option(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


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
    name: option(setting)
    for name, setting in (
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


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with a message, and the exit code for wrong usage."""
        self.exit(2, f"{self.prog}: {message}. With --help it says more.\n")


def make_parser(frameworks: Iterable[str]) -> Parser:
    """The command's arguments.

    Those of `d2l.recipes.SETTINGS` that are not given are ``None``, and `d2l.recipes.complete` says what they come to.
    """
    parser = Parser(
        "python -m d2l.train",
        description="Train a network of the helper with the Trainer of the notebooks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("framework", choices=[*frameworks], help="what to train with")

    _add_data(parser.add_argument_group("what is trained"))
    _add_recipe(parser.add_argument_group("how it is trained", description=_about_recipes()))
    _add_devices(parser.add_argument_group("on what"))
    _add_files(parser.add_argument_group("what is measured and kept"))
    return parser


def _add_data(group: Group) -> None:
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
        default=DECODE_MEMORY,
        help="of a FOLDER, what all threads together may decode images in (default: %(default)s)",
    )


def _add_recipe(group: Group) -> None:
    group.add_argument(
        "--recipe",
        choices=RECIPES,
        default="chapter",
        help="values for the options of this group; first weights are the network's own (default: %(default)s)",
    )
    group.add_argument("--epochs", type=_positive, help="passes over the training data")
    group.add_argument("--batch-size", type=_positive, help="images in a batch")
    group.add_argument("--optimizer", choices=OPTIMIZERS, help="what updates the weights")
    rates = ", ".join(f"{network.lr:g} for {name}" for name, network in NETWORKS.items())
    group.add_argument(
        "--lr", type=_rate, help=f"learning rate, the first one (default: {rates}; with adam or adamw {ADAM_LR:g})"
    )
    group.add_argument(
        "--momentum", type=_momentum, help="of sgd, the share of its velocity that stays from step to step (default: 0)"
    )
    group.add_argument(
        "--weight-decay",
        type=_decay,
        metavar="DECAY",
        help="of sgd, how much of a weight is added to its gradient (default: 0); of adamw, how much, times the rate, "
        f"is taken off the weight beside the update (default: {OPTIMIZERS['adamw']['weight_decay']:g})",
    )
    group.add_argument(
        "--lr-schedule",
        type=_schedule,
        metavar="SCHEDULE",
        help="constant; cosine, down towards 0 over the epochs; plateau, divided by ten when the validation accuracy "
        f"has got no better for {recipes.PLATEAU_PATIENCE} epochs, {recipes.PLATEAU_DROPS} times at most; or epochs "
        "such as 30,60,80, divided by ten after each",
    )
    group.add_argument("--seed", type=_seed, help="number to start all random states from (default: a new one)")


def _add_devices(group: Group) -> None:
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


def _add_files(group: Group) -> None:
    group.add_argument(
        "--top-k",
        type=_ranks,
        metavar="K",
        help="plot how often the class is among the K that the network finds likeliest, or several such as 3,5 "
        "(default: 5 if there are more than 10 classes)",
    )
    group.add_argument(
        "--keep-best",
        type=_path,
        metavar="FILE",
        help="keep the weights of the epoch with the best validation accuracy in a file, whose name ends with "
        f"{WEIGHTS_ENDING} (default: no file)",
    )
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


def _about_recipes() -> str:
    """What the recipes set, in options."""
    told = "".join(f"\n  {name:<13} {in_words(recipe)}" for name, recipe in RECIPES.items())
    return f"Options of this group that are not given are as the recipe has them:{told}"


def in_words(settings: dict[str, Any]) -> str:
    """Settings as one would give them to the command."""
    given = {name: f"{x:g}" if isinstance(x, float) else x for name, x in settings.items() if x is not None}
    return " ".join(f"{option(name)} {value}" for name, value in given.items())


def complete(options: argparse.Namespace) -> None:
    """Give each setting that is left open its value, and see that those given can have an effect.

    Raises:
        UsageError: One cannot.
    """
    given, settings = vars(options).copy(), recipes.complete(vars(options))
    vars(options).update(settings)
    optimizer, epochs, schedule = (settings[name] for name in ("optimizer", "epochs", "lr_schedule"))
    for name in ("momentum", "weight_decay"):
        having = [other for other, own in OPTIMIZERS.items() if name in own]
        if given[name] is not None and optimizer not in having:
            raise UsageError(
                f"{option(name)}: {optimizer} has none; leave it out, or give --optimizer {_either(having)}"
            )
    least = recipes.least_epochs(schedule)
    if given["lr_schedule"] is not None and epochs < least:
        raise UsageError(f"--lr-schedule {schedule}: it takes {least} epochs or more, and --epochs is {epochs}")


def check(options: argparse.Namespace) -> None:
    """Find what is wrong without importing a framework, which takes seconds.

    Raises:
        UsageError: Something is.
    """
    if options.data != FASHION_MNIST and not Path(options.data).is_dir():
        wrong = "this is no folder" if Path(options.data).exists() else "there is no such folder"
        raise UsageError(f"--data {options.data}: {wrong}; for Fashion-MNIST, give {FASHION_MNIST}")
    if options.checkpoint_dir is not None and options.checkpoint_dir.exists() and not options.checkpoint_dir.is_dir():
        raise UsageError(f"--checkpoint-dir {options.checkpoint_dir}: this is no folder")
    if options.log_file is not None and options.log_file.is_dir():
        raise UsageError(f"--log-file {options.log_file}: this is a folder; give a file")
    if options.keep_best is not None:
        _check_weights_file(options.keep_best)
    if options.data == FASHION_MNIST and options.val_split is not None:
        raise UsageError("--val-split: give a folder of images, too, with --data; Fashion-MNIST has images to test on")
    if options.data == FASHION_MNIST and options.decode_memory != DECODE_MEMORY:
        raise UsageError("--decode-memory: give a folder of images, too, with --data; Fashion-MNIST is not decoded")
    if options.checkpoint_dir is None:
        for name, given in (("--resume", options.resume), ("--checkpoint-every", options.checkpoint_every != EPOCH)):
            if given:
                raise UsageError(f"{name}: give the folder of the checkpoints, too, with --checkpoint-dir")


def _check_weights_file(path: Path) -> None:
    if path.suffix != WEIGHTS_ENDING:
        raise UsageError(f"--keep-best {path}: give a file whose name ends with {WEIGHTS_ENDING}")
    if path.is_dir():
        raise UsageError(f"--keep-best {path}: this is a folder; give a file")
    if not path.parent.is_dir():
        raise UsageError(f"--keep-best {path}: there is no folder {path.parent}")


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def in_options(message: str, options: argparse.Namespace) -> str:
    """A message of the helper in the words of the command: with options in the place of arguments."""
    named = (options.data, options.checkpoint_dir, options.log_file, options.keep_best)
    paths = [str(path) for path in named if path is not None]
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


def _ranks(text: str) -> list[int]:
    return sorted({_whole(part, 2) for part in text.split(",")})


def _schedule(text: str) -> str:
    try:
        recipes.least_epochs(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give constant, cosine, plateau, or rising numbers of epochs such as 30,60,80"
        ) from None
    return text


def _number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number {expected}")
    return number


def _rate(text: str) -> float:
    return _number(text, lambda x: 0 < x < math.inf, "above 0")


def _decay(text: str) -> float:
    return _number(text, lambda x: 0 <= x < math.inf, "from 0 on")


def _momentum(text: str) -> float:
    return _number(text, lambda x: 0 <= x < 1, "from 0 on and below 1")


def _share(text: str) -> float:
    return _number(text, lambda x: 0 < x < 1, "above 0 and below 1")
