"""Measure the import of each helper against that of its framework with matplotlib."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from book.frameworks import FRAMEWORKS, is_installed

RUNS = 5


def measure() -> Iterator[tuple[str, dict[str, float]]]:
    """Median seconds by framework and by what is imported; the two sides run in turn, each in a new process."""
    for tab in filter(is_installed, FRAMEWORKS):
        framework = FRAMEWORKS[tab]
        codes = {
            "framework": f"{framework.to_import}; import matplotlib.pyplot",
            "helper": f"import d2l.{framework.module}",
        }
        print("$", codes["helper"], flush=True)
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
