"""Programs that a verb runs: until they end, in the root of the repository, and the same on every system."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import BookError
from .files import ROOT


def script(name: str) -> str:
    """Where a program is that came with a package of this environment.

    Raises:
        BookError: It is not there.
    """
    scripts = sysconfig.get_path("scripts")
    path = shutil.which(name, path=scripts)
    if path is None:
        raise BookError(
            f"{name} is not in {scripts}: {sys.executable} -m pip install --constraint constraints.txt {name}"
        )
    return path


def run_all(commands: Iterable[Sequence[str]]) -> int:
    """Run programs one after the other, until one fails; the exit status of the last."""
    return next((status for command in commands if (status := run_program(command))), 0)


def run_program(command: Sequence[str], cwd: Path = ROOT, **environment: str | None) -> int:
    """Run a program to its end, which Ctrl-C leaves to it; SIGTERM is passed on.

    Args:
        command: The program and its arguments.
        cwd: The folder that it runs in.
        environment: What it has otherwise in its environment than this process; of None, nothing.

    Returns:
        Its exit status; 128 and the number of the signal that ended it, as shells have it.
    """
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    try:
        process = subprocess.Popen(command, cwd=cwd, env=variables)
    except FileNotFoundError:
        raise BookError(f"{command[0]} is not on this machine, or not on the PATH") from None
    # Not ignored, or the program would ignore it as well.
    handlers = {signal.SIGTERM: lambda *_: process.terminate()}
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        handlers[signal.SIGINT] = lambda *_: None  # it comes to the program, too
    kept = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        status = process.wait()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status
