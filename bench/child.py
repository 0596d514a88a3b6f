"""Measurements in processes of their own: one changes nothing for the next, and each starts as a reader's run does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from book.files import ROOT

Run = Callable[..., Any]  # takes a module's name, its arguments and, by name, variables for its environment


def run_child(module: str, *arguments: str, timeout: float | None = None, **environment: str | None) -> Any:
    """What ``python -m bench.MODULE ARGUMENTS`` prints as its last line, which is JSON.

    Args:
        timeout: Seconds that it may take.
        environment: Variables that it has beside this process's own; ``None`` sets nothing.

    Raises:
        subprocess.CalledProcessError: It failed.
        subprocess.TimeoutExpired: It took longer.
    """
    run = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=ROOT,
        env=os.environ | {name: value for name, value in environment.items() if value},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=timeout,
    )
    return json.loads(run.stdout.splitlines()[-1])


def announced(module: str, *arguments: str, **environment: Any) -> Any:
    """`run_child`, with a line before it that says what is measured."""
    print("$", module, *arguments, flush=True)
    return run_child(module, *arguments, **environment)


class Countdown:
    """`run_child` within a time limit, with a line before it that says what is measured and about how long all take.

    Args:
        expected: Seconds that each of the measurements to come takes on most machines, in their order.
        limit: Seconds for all of them.
    """

    def __init__(self, expected: Iterable[float], limit: float):
        self._expected = list(expected)
        self._end = time.monotonic() + limit

    def __call__(self, module: str, *arguments: str, **environment: Any) -> Any:
        """Run the next measurement; raises as `run_child` does, also where the limit is over."""
        left = max(0.0, self._end - time.monotonic())
        seconds = round(min(left, sum(self._expected)))
        print(f"{' '.join((module, *arguments))}: about {seconds // 60}:{seconds % 60:02} left", flush=True)
        del self._expected[:1]
        return run_child(module, *arguments, timeout=left, **environment)
