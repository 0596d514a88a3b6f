"""Runs of all tests, one after another, under the conditions of unlike machines: none of them may fail."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from .execute import own_environment
from .source import BUILD, ROOT, BookError, markdown_table, write_whole

RESULTS = ROOT / "tests" / "steady.json"
TABLE = ROOT / "tests" / "steady.md"
LOGS = BUILD / "steady"
COMMAND = ("make", "test")
NOBODY = "65534"
OURS = ("D2L_", "MAKE", "MFLAGS", "PYTHONUTF8")  # what this repository's make has set for itself
# One that this process may use; other systems than Linux lack what the conditions need.
CORE = str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "0"
LOCALE, CHARSET = "de_DE", "ISO-8859-1"
INTRODUCTION = """\
# Runs of all tests, one after another

Each is `make test` in a new clone of what was committed, with an environment of its own, whose making counts.
`make steady RUNS=6` adds six runs, under the next conditions in turn, and stops at one that fails.

"""
HEAD = ["run", "condition", "commit", "outcome", "minutes"]
SUMMARY = re.compile(r"^=+ (.*\b(?:passed|failed|error)\b.*) in \d.*=+$", re.M)


@dataclass(frozen=True)
class Condition:
    """What a run is to bear.

    Attributes:
        name: In words.
        start: What the command is started with.
        env: Set in its environment.
        folder: Where the clone is.
        beside: Whether a process beside it never rests.
    """

    name: str
    start: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "book"
    beside: bool = False


CONDITIONS = [
    Condition(
        "in German, Latin-1, on Chatham's time",
        env={"LC_ALL": LOCALE, "LOCPATH": "{place}", "TZ": "Pacific/Chatham"},
    ),
    Condition(
        "not as root, data read-only",
        start=("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.geteuid() == 0 else (),
        # USER, too: pytest names the folder of its tests' files for it.
        env={"D2L_DATA": "{place}/data", "HOME": "{place}/home", "USER": "nobody", "LOGNAME": "nobody"},
    ),
    Condition("in a folder with blanks and umlauts", folder="Größe & Maß des Buchs"),
    Condition("beside a process that never rests", beside=True),
    Condition("on one core", start=("taskset", "--cpu-list", CORE)),
    Condition("on all cores"),
]


@dataclass(frozen=True)
class Run:
    """What became of a run: its condition, the commit, the test runner's summary, and how long it took."""

    condition: str
    commit: str
    outcome: str
    seconds: int
    passed: bool


def add_runs(count: int) -> None:
    """Run all tests so many times more, each time under the next condition, and write down how long each took.

    Raises:
        BookError: A run failed, its output is kept; or a program is missing that a condition needs.
    """
    check_programs()
    runs = stored()
    for number in range(1, count + 1):
        condition = CONDITIONS[len(runs) % len(CONDITIONS)]
        print(f"{number}/{count} {condition.name} ...", end=" ", flush=True)
        log = LOGS / f"{len(runs) + 1}.log"
        run = try_run(condition, log)
        print(f"{run.outcome}, {run.seconds / 60:.1f} min", flush=True)
        runs.append(run)
        write_whole(json.dumps([dataclasses.asdict(run) for run in runs], indent=1) + "\n", RESULTS)
        write_whole(table(), TABLE)
        if not run.passed:
            raise BookError(f"The run {condition.name} failed; its output is in {log}")


def check_programs() -> None:
    """See that there is what the conditions need.

    Raises:
        BookError: Something is missing; the message says which Debian package has it.
    """
    packages = {"git": "git", "taskset": "util-linux", "setpriv": "util-linux", "localedef": "libc-bin"}
    missing = {f"{name} ({package})" for name, package in packages.items() if not shutil.which(name)}
    if not Path("/usr/share/i18n/locales", LOCALE).exists():
        missing.add(f"the sources of {LOCALE} (locales)")
    if missing:
        raise BookError(f"not on this machine: {', '.join(sorted(missing))}; in brackets, the Debian package")


def try_run(condition: Condition, log: Path) -> Run:
    """Run the tests in a new clone, under a condition, with their output in ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Kernels end a moment after the tests that were interrupted.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        clone = place / condition.folder
        git = {"env": own_environment(), "stdout": subprocess.PIPE, "text": True, "check": True}
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], **git)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=clone, **git).stdout.strip()
        env = _environment(condition, place)
        start = time.monotonic()
        with _process_beside() if condition.beside else nullcontext(), log.open("wb") as output:
            command = [*condition.start, *COMMAND]
            code = _run(command, cwd=clone, env=env, stdout=output)
        seconds = round(time.monotonic() - start)
    summary = SUMMARY.search(log.read_text("utf-8", errors="replace"))
    outcome = summary[1] if summary else f"no test ran, exit status {code}"
    return Run(condition.name, commit, outcome, seconds, code == 0 and summary is not None)


def _run(command: list[str], **options: Any) -> int:
    """Run a command, and end all that it has started if it is interrupted; gives its exit status."""
    with subprocess.Popen(command, stderr=subprocess.STDOUT, start_new_session=True, **options) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGTERM)
            raise


def stored() -> list[Run]:
    """The runs so far, the first one first."""
    return [Run(**run) for run in json.loads(RESULTS.read_text("utf-8"))] if RESULTS.exists() else []


def table() -> str:
    """The stored runs as a page, with the row of those that passed since one failed."""
    runs = stored()
    times = sorted(run.seconds / 60 for run in takewhile(lambda run: run.passed, reversed(runs)))
    extremes = f": the shortest took {times[0]:.1f} minutes, the longest {times[-1]:.1f}" if times else ""
    summary = f"The last {len(times)} passed{extremes}.\n\n"
    cells = [
        [str(i), run.condition, f"`{run.commit}`", run.outcome, f"{run.seconds / 60:.1f}"]
        for i, run in enumerate(runs, 1)
    ]
    return INTRODUCTION + summary + markdown_table(HEAD, cells)


def _environment(condition: Condition, place: Path) -> dict[str, str]:
    """The environment of a run whose files are in ``place``, which are its user's."""
    (place / "data").mkdir()
    (place / "home").mkdir()
    own = {name: value for name, value in own_environment().items() if not name.startswith(OURS)}
    env = own | {name: value.format(place=place) for name, value in condition.env.items()}
    if "LOCPATH" in condition.env:
        subprocess.run(["localedef", "--no-archive", "-i", LOCALE, "-f", CHARSET, place / LOCALE], check=True)
    if "setpriv" in condition.start:
        for path in (place, *place.rglob("*")):
            os.chown(path, int(NOBODY), int(NOBODY), follow_symlinks=False)
    (place / "data").chmod(0o555)
    return env


@contextmanager
def _process_beside() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
