"""Time the import of each helper against that of its framework with matplotlib: ``python tests/import_time.py``.

Each import runs in a process of its own, the two sides in turn, nine times; the medians are compared.
"""

import os
import statistics
import subprocess
import sys
import time

FRAMEWORKS = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "mxnet": "mxnet",
    "jax": "jax, flax.linen, optax",
}
# MXNet 1.9.1 cannot be imported beside NumPy 1.24 or later without this.
SHIMS = {"mxnet": "import numpy; numpy.bool = bool; "}
RUNS = 9


def seconds(code: str) -> float:
    """Seconds that a new Python process takes to run ``code``."""
    start = time.perf_counter()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Print a line for each framework."""
    for name, packages in FRAMEWORKS.items():
        codes = {
            "framework": f"{SHIMS.get(name, '')}import {packages}, matplotlib.pyplot",
            "helper": f"import d2l.{name}",
        }
        times = {side: [] for side in codes}
        for _ in range(RUNS):
            for side, code in codes.items():
                times[side].append(seconds(code))
        framework, helper = (statistics.median(times[side]) for side in codes)
        print(f"{name:<11} {framework:5.2f} s, d2l.{name:<11} {helper:5.2f} s: {helper / framework:.2f} times")


if __name__ == "__main__":
    main()
