"""Measure the import of each helper against that of its framework with matplotlib."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from book.source import FRAMEWORKS, is_installed

PACKAGES = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    # MXNet 1.9.1 cannot be imported beside NumPy 1.24 or later without the missing name.
    "mxnet": "numpy; numpy.bool = bool; import mxnet",
    "jax": "jax, flax.linen, optax",
}
RUNS = 5


def measure() -> Iterator[tuple[str, dict[str, float]]]:
    """Median seconds by framework and by what is imported; the two sides run in turn, each in a new process."""
    for tab in filter(is_installed, FRAMEWORKS):
        print(f"$ import d2l.{FRAMEWORKS[tab]}", flush=True)
        codes = {
            "framework": f"import {PACKAGES[tab]}; import matplotlib.pyplot",
            "helper": f"import d2l.{FRAMEWORKS[tab]}",
        }
        seconds = {side: [] for side in codes}
        for _ in range(RUNS):
            for side, code in codes.items():
                seconds[side].append(_seconds(code))
        yield tab, {side: statistics.median(values) for side, values in seconds.items()}


def _seconds(code: str) -> float:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start
