"""Builds beside each other, and folders that a build cannot write to."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from test_data import run_as_a_user

from book import build_lock
from book.build_lock import alone
from book.errors import BookError

TIME_LIMIT = 300
HOLD = """
import sys
from pathlib import Path
from filelock import FileLock
from book import build_lock
build_lock.BUILD = Path(sys.argv[1])
build_lock.LOCK = FileLock(build_lock.BUILD / "lock")
with build_lock.alone(), build_lock.alone():
    print("at work", flush=True)
    sys.stdin.readline()
    (build_lock.BUILD / "ended").touch()
"""
COMMAND = """
import sys
from pathlib import Path
from filelock import FileLock
from book import build_lock, commands
from book.verbs import run_here
build_lock.BUILD = Path(sys.argv.pop())
build_lock.LOCK = FileLock(build_lock.BUILD / "lock")


def compile_sections():
    print("compiled after the other" if (build_lock.BUILD / "ended").exists() else "compiled")
    sys.exit()


commands.compile_sections = compile_sections
sys.exit(run_here(["notebooks"]))
"""


def start(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that builds in a folder."""
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def start_two(folder: Path) -> tuple[subprocess.Popen[str], subprocess.Popen[str], str]:
    """Two processes that build in a folder, the first of which is at work, and what the second one says."""
    first = start(HOLD, folder)
    assert first.stdout.readline() == "at work\n"
    second = start(COMMAND, folder)
    return first, second, second.stdout.readline()


@pytest.mark.fault("Two builds run at once")
def test_second_build_says_that_it_waits_and_goes_on_when_the_first_has_ended(tmp_path, sees):
    first, second, said = start_two(tmp_path)
    assert said == "Another build is at work here; this one begins when it has ended. Ctrl-C ends the wait.\n"
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1)
    first.communicate("end\n", timeout=TIME_LIMIT)
    assert second.communicate(timeout=TIME_LIMIT) == ("compiled after the other\n", None)
    assert (first.returncode, second.returncode) == (0, 0)
    sees(said)


def test_lock_goes_with_its_process(tmp_path):
    first, second, _ = start_two(tmp_path)
    first.kill()
    first.communicate(timeout=TIME_LIMIT)
    assert second.communicate(timeout=TIME_LIMIT) == ("compiled\n", None)


def test_build_alone_says_nothing(tmp_path):
    for _ in range(2):
        assert start(HOLD, tmp_path / "new").communicate("end\n", timeout=TIME_LIMIT) == ("at work\n", None)


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    """A build by a user who may not write everywhere."""
    return run_as_a_user([sys.executable, "-c", COMMAND, str(folder)])


@pytest.mark.fault("The folder _build is read-only")
@pytest.mark.parametrize("inside", [False, True])
def test_folder_that_cannot_be_written_to_is_one_line(tmp_path, sees, inside):
    folder = tmp_path / "_build"
    locked = folder / "eval" if inside else folder
    locked.mkdir(parents=True)
    locked.chmod(0o555)
    done = built(folder)
    locked.chmod(0o755)
    place = os.path.relpath(locked, build_lock.ROOT)
    assert done.stderr == f"error: {place}: Permission denied: a build has to write there, and into all that is below\n"
    assert (done.returncode, done.stdout) == (1, "")
    if not inside:
        sees(done.stderr.replace(place, "_build"))


@pytest.mark.parametrize("error", [NotADirectoryError(errno.ENOTDIR, ""), PermissionError(errno.EACCES, "")])
def test_what_cannot_be_written_later_is_named(tmp_path, monkeypatch, error):
    monkeypatch.setattr(build_lock, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(build_lock, "LOCK", FileLock(tmp_path / "lock"))
    for place, raised in ((tmp_path / "_build" / "compiled" / "jax", BookError), (tmp_path / "d2l", type(error))):
        error.filename, error.strerror = str(place), os.strerror(error.errno)
        with pytest.raises(raised, match=f"{place.name}.*{error.strerror}|{error.strerror}.*{place.name}"), alone():
            raise error


def test_file_in_the_place_of_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(build_lock, "BUILD", tmp_path / "_build")
    (tmp_path / "_build").touch()
    with pytest.raises(BookError, match=r"_build: File exists: a build has to write there"), alone():
        pytest.fail("began")
