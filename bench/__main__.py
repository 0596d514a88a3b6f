"""Measure, record and write the tables: ``python -m bench [PART ...]``; without, those that need nothing else."""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from book.files import ROOT, atomic_write
from book.frameworks import FRAMEWORKS, is_installed
from book.recordings import hardware
from d2l.machine import usable_processors
from d2l.run_profile import current_profile

from . import build, imports, page, report, scaling

# MXNet by itself uses as many threads as a processor would have cores were each shown to the system twice.
PLAIN_THREADS = {"mxnet": str(max(1, usable_processors() // 2))}


def measure_speed() -> Iterator[tuple[str, Any]]:
    """Both sides of each framework, the helper and the plain recipe, one after the other."""
    for tab in filter(is_installed, FRAMEWORKS):
        helper = _child("speed", tab, "helper")
        yield tab, [helper, _child("speed", tab, "plain", OMP_NUM_THREADS=PLAIN_THREADS.get(tab))]


def measure_accuracy() -> Iterator[tuple[str, Any]]:
    """Accuracies with three seeds, as it comes and in plain ``float32``, of each framework where these differ."""
    for tab in filter(is_installed, FRAMEWORKS):
        if found := _child("accuracy", tab):
            yield tab, {"profile": os.environ.get("D2L_PROFILE", "full"), **found}


PARTS = {
    "speed": measure_speed,
    "imports": imports.measure,
    "build": build.measure,
    "scaling": scaling.measure,
    "page": page.measure,
    "accuracy": measure_accuracy,
}


def main() -> int:
    """Run the parts asked for, and add their results to the machine's file."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure how fast the book is.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; without, all but accuracy and page"
    )
    parts = parser.parse_args().parts or [part for part in PARTS if part not in ("accuracy", "page")]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}: known are {', '.join(PARTS)}")
    try:
        current_profile()
    except ValueError as error:
        parser.error(str(error))
    machine = hardware()
    path = report.RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', machine.lower())}.json"
    modules = [framework.module for tab, framework in FRAMEWORKS.items() if is_installed(tab)]
    versions = {module: version(module) for module in modules}
    versions["python"] = platform.python_version()
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if results.get("versions") != versions:
        results = {"hardware": machine, "versions": versions}
    results["date"] = datetime.date.today().isoformat()
    for part in parts:
        for name, found in PARTS[part]():
            results.setdefault(part, {})[name] = found
            atomic_write(json.dumps(results, indent=1) + "\n", path)
            report.write()
    print(f"Written to {path.relative_to(ROOT)} and {report.REPORT.relative_to(ROOT)}")
    return 0


def _child(module: str, *arguments: str, **environment: str | None) -> Any:
    """What ``python -m bench.MODULE`` prints as its last line, run in a process of its own."""
    print(f"$ {module} {' '.join(arguments)}", flush=True)
    env = os.environ | {name: value for name, value in environment.items() if value}
    run = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted: what was measured is written down.", file=sys.stderr)
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd[1:])} ended with status {error.returncode}")
