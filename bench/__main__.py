"""Measure, record and write the tables: ``python -m bench [PART ...]``; without, those that need nothing else."""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from book.files import ROOT, atomic_write
from book.frameworks import FRAMEWORKS, is_installed
from book.recordings import hardware
from d2l.machine import usable_processors
from d2l.smoke_profile import current_profile

from . import build, imports, network, page, report, scaling
from .child import Countdown, Run, announced, run_child

# MXNet by itself uses as many threads as a processor would have cores were each shown to the system twice.
PLAIN_THREADS = {"mxnet": str(max(1, usable_processors() // 2))}


def measure_speed(tab: str, run: Run) -> list[dict[str, Any]]:
    """Both sides of a framework, the helper and the plain recipe, one after the other."""
    return [run("speed", tab, "helper"), run("speed", tab, "plain", OMP_NUM_THREADS=PLAIN_THREADS.get(tab))]


def measure_fit(tab: str, run: Run) -> dict[str, dict[str, Any]]:
    """The training cell, with nothing compiled before and again."""
    return run("fit", tab)


def measure_step(tab: str, run: Run) -> dict[str, Any]:
    """What a training step consists of."""
    return run("step", tab)


def measure_accuracy(tab: str, run: Run) -> dict[str, Any]:
    """Accuracies with three seeds, as it comes and in plain ``float32``, where these differ."""
    found = run("accuracy", tab)
    return found and {"profile": os.environ.get("D2L_PROFILE", "full"), **found}


# What is measured framework by framework, in processes of their own; nothing of one where it has nothing to show.
OF_FRAMEWORKS = {"speed": measure_speed, "fit": measure_fit, "step": measure_step, "accuracy": measure_accuracy}
OF_THE_BOOK = {
    "imports": imports.measure,
    "build": build.measure,
    "scaling": scaling.measure,
    "page": page.measure,
    "network": network.measure,
}
DEFAULT = ("speed", "imports", "build", "scaling")
PARTS = (*OF_FRAMEWORKS, *OF_THE_BOOK)

GPU = "gpu"  # stands for the parts of GPU_SECONDS, which are measured on a GPU within a limit
GPU_LIMIT = 8 * 60
# What each of a part's processes takes for a framework on a GPU of a data centre.
GPU_SECONDS = {"speed": (25, 40), "fit": (90,), "step": (25,)}


def measured(part: str, tabs: Iterable[str], run: Run) -> Iterator[tuple[str, Any]]:
    """A part's results by their names, one after the other."""
    if part in OF_THE_BOOK:
        yield from OF_THE_BOOK[part]()
        return
    for tab in tabs:
        if found := OF_FRAMEWORKS[part](tab, run):
            yield tab, found


def main() -> int:
    """Run the parts asked for, add their results to the machine's file, and print its tables of them."""
    parts = asked_for()
    tabs, run = [tab for tab in FRAMEWORKS if is_installed(tab)], announced
    if GPU in parts:
        parts, tabs = list(GPU_SECONDS), [tab for tab in tabs if run_child("adapters", tab)]
        if not tabs:
            sys.exit(f"error: {GPU} needs a GPU that a framework installed here can use; nothing is measured without")
        run = Countdown([seconds for part in parts for _ in tabs for seconds in GPU_SECONDS[part]], GPU_LIMIT)
    results, path = results_here()
    for part in parts:
        for name, found in measured(part, tabs, run):
            results.setdefault(part, {})[name] = found
            atomic_write(json.dumps(results, indent=1) + "\n", path)
            report.write()
    print(f"\n{report.tables(results, parts)}")
    print(f"Written to {path.relative_to(ROOT)} and {report.REPORT.relative_to(ROOT)}")
    return 0


def asked_for() -> Sequence[str]:
    """The parts that the command line names. Ends the program where it, or the run profile, is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure how fast the book is.")
    known = ", ".join((GPU, *PARTS))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {known}; without, {', '.join(DEFAULT)}")
    parts = parser.parse_args().parts or DEFAULT
    if unknown := set(parts) - {GPU, *PARTS}:
        parser.error(f"unknown part {', '.join(sorted(unknown))}: known are {known}")
    if GPU in parts and len(parts) > 1:
        parser.error(f"{GPU} stands alone: it is {', '.join(GPU_SECONDS)}, within {GPU_LIMIT // 60} minutes")
    try:
        current_profile()
    except ValueError as error:
        parser.error(str(error))
    return parts


def results_here() -> tuple[dict[str, Any], Path]:
    """This machine's results so far, if they are of the versions installed, and the file for them."""
    machine = hardware()
    path = report.RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', machine.lower())}.json"
    modules = [framework.module for tab, framework in FRAMEWORKS.items() if is_installed(tab)]
    versions = {module: version(module) for module in modules} | {"python": platform.python_version()}
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if results.get("versions") != versions:
        results = {"hardware": machine, "versions": versions}
    return results | {"date": datetime.date.today().isoformat()}, path


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted: what was measured is written down.", file=sys.stderr)
        sys.exit(130)
    except subprocess.TimeoutExpired as error:
        sys.exit(f"error: {GPU_LIMIT // 60} minutes are over in {' '.join(error.cmd[2:])}; the rest is written down")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd[1:])} ended with status {error.returncode}")
