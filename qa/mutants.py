"""The defects in ``tests/mutants``: put into copies of the repository one at a time, to see which test catches each."""

import dataclasses
import functools
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from tqdm import tqdm

from book.errors import BookError
from book.files import ROOT, atomic_write, markdown_table
from book.notebook_client import own_environment
from d2l.machine import usable_processors

from .places import Place, find_place, replaced

MUTANTS = ROOT / "tests" / "mutants"
RESULTS = MUTANTS / "results.json"
TABLE = MUTANTS / "README.md"
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")  # where pytest keeps what it is to run first
TIMEOUT_SECONDS = 1800
INTRODUCTION = """\
# Defects that the tests have to catch

Each is put into a copy of the repository by itself, and the tests named for its file are run until one fails: the one
that caught it last time before the others. Its place is a pattern of code in a function, in whichever file that
function is now. A defect in a section's code is compiled into its notebook and run against the stored outputs: that a
reference is stale does not count. `make mutants` does so with all of them and writes this table; `make mutants
ONLY=resize` with those that have the word in their name or their file's. `make test` tries the quickest.

`make mutants RANDOM=40 SEED=1` draws others at random from all of the code in `d2l`, `book` and `qa`: an operator,
a condition or a constant is changed, a call, an assignment or a returned value left out, every place as likely as any
other. It runs the tests that are named for the file here or, if there are none, those that import it; what it finds
is printed, and not in this table.

"""
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.M)  # in a log, more blanks follow
NOT_STARTED = (4, 5)  # pytest's exit statuses for arguments that it cannot use, and for no test at all
Defect = TypeVar("Defect")

# Run in a copy: a notebook's stored outputs stay, the code beside them is what its source compiles to now.
RECOMPILE = """
import sys
import nbformat
from book.execute_notebooks import with_outputs
from book.reference_numbers import reference_path
from book.files import ROOT, write_notebook
from book.compile_notebooks import compile_sections

for section in compile_sections():
    path = reference_path(section)
    if path == ROOT / sys.argv[1]:
        write_notebook(with_outputs(section, nbformat.read(path, as_version=4)).notebook, path)
"""


@dataclass(frozen=True)
class Mutant:
    """A defect: the code ``old``, of which there is one place in a room, becomes ``new``; see `find_place`.

    Attributes:
        name: What goes wrong, in words.
        room: Globs of the files that the place may be in.
        within: The function, method or class that it is in; empty for anywhere in the room.
        tests: Arguments of pytest, run one after the other until a test fails.
        fast: Whether `make test` tries it too.
        survives: Why no test can catch it, if none can.
    """

    name: str
    room: tuple[str, ...]
    within: str
    old: str
    new: str
    tests: tuple[str, ...]
    fast: bool = False
    survives: str = ""

    def place(self, root: Path = ROOT) -> Place:
        """Where it goes in the repository, or in a copy.

        Raises:
            BookError: There is no such place, or more than one.
        """
        try:
            return find_place(root, self.room, self.within, self.old)
        except BookError as error:
            raise BookError(f"tests/mutants: {self.name!r}: {error}") from None


@dataclass(frozen=True)
class Verdict:
    """The test that caught a mutant (none if it is empty), and the seconds until then."""

    caught_by: str
    seconds: int


def load_mutants() -> list[Mutant]:
    """All mutants, in the order of their files."""
    return [mutant for group in load_groups() for mutant in group_mutants(group)]


def group_mutants(group: dict[str, Any]) -> list[Mutant]:
    """The mutants of a group."""
    return [
        Mutant(
            name,
            (group["room"],) if isinstance(group["room"], str) else tuple(group["room"]),
            change.get("in", ""),
            **{"tests": group["tests"], **{key: value for key, value in change.items() if key != "in"}},
        )
        for name, change in group["mutants"].items()
    ]


@functools.cache
def load_groups() -> list[dict[str, Any]]:
    """The groups of mutants as they are written: of a room, or of a file without any, with the tests for them."""
    return [group for path in sorted(MUTANTS.glob("*.yml")) for group in yaml.safe_load(path.read_text("utf-8"))]


def try_all(only: str) -> None:
    """Try the mutants with the word ``only`` in their name or file, all if it is empty, and update the table.

    Interrupted, it keeps what it has found out.

    Raises:
        BookError: No mutant has that word, one has lost its place, one survives that should not, or a test fails
            without any defect.
    """
    mutants = [mutant for mutant in load_mutants() if only in mutant.name or only in mutant.place().file]
    if not mutants:
        raise BookError(f"ONLY={only!r}: no defect in tests/mutants has that in its name or file")
    found: dict[str, Verdict] = {}
    for mutant, verdict in tried(try_out, mutants):
        found[mutant.name] = verdict
        _store(found)
        tqdm.write(f"{mutant.name}: {verdict.caught_by or 'SURVIVES'} ({verdict.seconds} s)")
    check_without_defect([verdict.caught_by for verdict in found.values() if verdict.caught_by])
    if survivors := [mutant.name for mutant in mutants if not found[mutant.name].caught_by and not mutant.survives]:
        raise BookError("\n  ".join([f"No test catches {len(survivors)} of {len(mutants)} defects:", *survivors]))
    print(f"Every defect tried, of {len(mutants)}, is caught or explained: {TABLE.relative_to(ROOT)}")


def tried(try_one: Callable[[Defect], Verdict], defects: Collection[Defect]) -> Iterator[tuple[Defect, Verdict]]:
    """Try defects, several at a time and under a bar; gives each as soon as its verdict is known."""
    with ThreadPoolExecutor(max_workers=min(usable_processors(), 4)) as pool:
        running = {pool.submit(try_one, defect): defect for defect in defects}
        try:
            for done in tqdm(as_completed(running), total=len(defects), unit="defect"):
                yield running[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def try_out(mutant: Mutant) -> Verdict:
    """Run a mutant's tests in a copy of the repository that has its defect, until one fails.

    Raises:
        BookError: It has lost its place, or pytest ran no test to its end.
    """
    start = time.monotonic()
    with copied_repository() as copy:
        place = mutant.place(copy)
        path = copy / place.file
        path.write_text(replaced(path.read_text("utf-8"), place, mutant.new), "utf-8", newline="\n")
        for notebook in (tests for tests in mutant.tests if tests.endswith(".ipynb")):
            _run(copy, "-c", RECOMPILE, notebook).check_returncode()
        last = stored().get(mutant.name, Verdict("", 0)).caught_by
        tests = sorted(mutant.tests, key=lambda tests: not last.startswith(tests.split()[0]))
        return Verdict(first_failure(copy, tests, [last]), round(time.monotonic() - start))


@contextmanager
def copied_repository() -> Iterator[Path]:
    """A copy, for a while, of the files that git knows, and of new ones that it does not ignore.

    Raises:
        BookError: There is no git, or it does not list them.
    """
    # The folder may be another user's, as in a container.
    git = ["git", "-c", f"safe.directory={ROOT}"]
    listed = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(listed, cwd=ROOT, env=own_environment(), capture_output=True, text=True, check=True)
        names = listing.stdout.split("\0")
    except FileNotFoundError:
        raise BookError("git is needed, to list the files of the repository") from None
    except subprocess.CalledProcessError as error:
        raise BookError(f"git does not list the files of the repository: {error.stderr.strip()}") from None
    # Kernels end a moment after the tests that were ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        copy = Path(folder).resolve() / "book"
        for name in (name for name in names if (ROOT / name).is_file()):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        for command in (["init", "--quiet"], ["add", "--all"]):  # its tests list the files that git knows
            subprocess.run(["git", *command], cwd=copy, env=own_environment(), check=True)
        yield copy


def table() -> str:
    """The stored verdicts as a page."""
    found = stored()
    tried = [mutant for mutant in load_mutants() if mutant.name in found]
    rows = [
        [
            f"`{mutant.place().file}`",
            mutant.name,
            f"`{caught_by}`" if caught_by else f"none: {mutant.survives}",
            str(seconds),
        ]
        for mutant in tried
        for caught_by, seconds in [dataclasses.astuple(found[mutant.name])]
    ]
    caught = sum(bool(found[mutant.name].caught_by) for mutant in tried)
    minutes = sum(found[mutant.name].seconds for mutant in tried) / 60
    summary = f"Of {len(tried)} defects, {caught} are caught. That took {minutes:.0f} minutes of a core's time.\n\n"
    return INTRODUCTION + summary + markdown_table(["file", "defect", "caught by", "seconds"], rows)


def stored() -> dict[str, Verdict]:
    """What is known of each mutant, by name."""
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return {name: Verdict(**verdict) for name, verdict in found.items()}


def _store(found: dict[str, Verdict]) -> None:
    """Put new verdicts beside those of earlier runs, without those of mutants that are no more; update the table."""
    verdicts = stored() | found
    known = [mutant.name for mutant in load_mutants() if mutant.name in verdicts]
    text = json.dumps({name: dataclasses.asdict(verdicts[name]) for name in known}, indent=1, ensure_ascii=False)
    atomic_write(text + "\n", RESULTS)
    atomic_write(table(), TABLE)


def first_failure(copy: Path, tests: Iterable[str], likely: Iterable[str] = (), timeout: int = TIMEOUT_SECONDS) -> str:
    """Run tests in a copy of the repository, one argument after the other, until one fails.

    Args:
        likely: Tests that are run before the others of their file.
        timeout: Seconds after which an argument's tests count as failed.

    Returns:
        The test as pytest names it, or what became of pytest itself; empty if all pass.

    Raises:
        BookError: There is no such test.
    """
    # A notebook's cells are run in their order.
    atomic_write(json.dumps({test: True for test in likely if ".py::" in test}), copy / LAST_FAILED)
    for chosen in tests:
        try:
            run = _run(copy, "-m", "pytest", "-x", "-q", "--failed-first", *shlex.split(chosen), timeout=timeout)
        except subprocess.TimeoutExpired:
            return f"{chosen}: no end after {timeout} s"
        if failed := FAILED.search(run.stdout):
            return failed[1]
        if run.returncode in NOT_STARTED and "while loading conftest" not in run.stderr:
            raise BookError(f"pytest {chosen} ran no test to its end:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        if run.returncode:
            return f"{chosen}: pytest ends with status {run.returncode}"
    return ""


def check_without_defect(caught_by: Collection[str]) -> None:
    """Run the tests that caught something once more, without any defect: all are to pass.

    Raises:
        BookError: One of them fails.
    """
    ended = re.compile(r"(.*): (?:no end after|pytest ends with) .*")
    whole = {match[1] for test in caught_by if (match := ended.fullmatch(test))}
    # A notebook is run as a whole.
    tests = {re.sub(r"(?<=\.ipynb)::.*", "", test) for test in caught_by if not ended.fullmatch(test)}
    with copied_repository() as copy:
        if failure := first_failure(copy, filter(None, [shlex.join(sorted(tests)), *sorted(whole)])):
            raise BookError(f"{failure} fails without any defect, so it has caught nothing")


def _run(copy: Path, *arguments: str, timeout: int = TIMEOUT_SECONDS) -> subprocess.CompletedProcess:
    """Run Python in a copy of the repository with the copy's modules, also in the kernels that it starts."""
    # One thread each, for as many run as there are cores.
    env = own_environment() | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=copy, env=env, **pipes) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it ends its kernels and other processes, if it can
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
