"""Builds beside each other, and folders that a build cannot write to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_data import run_as_a_user

from book import lock
from book.errors import BookError
from book.lock import alone

TIME_LIMIT = 300
HOLD = """
import sys, time
from pathlib import Path
from filelock import FileLock
from book import lock
lock.BUILD = Path(sys.argv[1])
lock.LOCK = FileLock(lock.BUILD / "lock")
with lock.alone(), lock.alone():
    print("at work", flush=True)
    time.sleep(float(sys.argv[2]))
"""
COMMAND = """
import sys
from pathlib import Path
from filelock import FileLock
from book import __main__, lock
lock.BUILD = Path(sys.argv.pop())
lock.LOCK = FileLock(lock.BUILD / "lock")


def notebooks():
    print("compiled")


__main__.notebooks = notebooks
sys.argv = ["book", "notebooks"]
sys.exit(__main__.main())
"""


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that builds in a folder for so long."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, str(seconds)], text=True, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.fault("Two builds run at once")
def test_second_build_says_that_it_waits_and_goes_on_when_the_first_has_ended(tmp_path, sees):
    first = hold(tmp_path, 600)
    second = subprocess.Popen([sys.executable, "-c", COMMAND, tmp_path], text=True, stdout=subprocess.PIPE)
    said = second.stdout.readline()
    assert said == "Another build is at work here; this one begins when it has ended. Ctrl-C ends the wait.\n"
    first.kill()  # a lock goes with its process
    first.wait(TIME_LIMIT)
    assert second.communicate(timeout=TIME_LIMIT) == ("compiled\n", None)
    assert second.returncode == 0
    sees(said)


def test_build_alone_says_nothing(tmp_path):
    for _ in range(2):
        assert hold(tmp_path / "new", 0).communicate(timeout=TIME_LIMIT) == ("", None)


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
    place = os.path.relpath(locked, lock.ROOT)
    assert done.stderr == f"error: {place}: Permission denied: a build has to write there, and into all that is below\n"
    assert (done.returncode, done.stdout) == (1, "")
    if not inside:
        sees(done.stderr.replace(place, "_build"))


def test_file_in_the_place_of_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BUILD", tmp_path / "_build")
    (tmp_path / "_build").touch()
    with pytest.raises(BookError, match=r"_build: File exists: a build has to write there"), alone():
        pytest.fail("began")
