"""Nobody else's code is run out of the folders in which frameworks keep what they have compiled."""

import os
import sys
import types
from pathlib import Path

import pytest

from d2l import compiler_caches as caches
from d2l.compiler_caches import INDUCTOR, check_caches

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system's files have no users by number")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder for temporary files, in a process with PyTorch."""
    for variable in caches.VARIABLES:
        monkeypatch.setenv(variable, "")  # so that it is as before afterwards
        monkeypatch.delenv(variable)
    monkeypatch.setattr(caches.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(caches.getpass, "getuser", lambda: "me")
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    return tmp_path


def of_another(monkeypatch, path):
    """Have a folder belong to another user."""
    lstat = Path.lstat

    def other(self):
        status = lstat(self)
        return os.stat_result([*status[:4], 4711, *status[5:]]) if self == path else status

    monkeypatch.setattr(Path, "lstat", other)


def said_of():
    said = []
    check_caches(said.append)
    return said


def test_own_folder_is_made_before_others_can_and_stays(folder):
    assert said_of() == said_of() == []
    status = (folder / "torchinductor_me").stat()
    assert status.st_mode & 0o777 == 0o700
    assert INDUCTOR not in os.environ


def test_without_pytorch_nothing_is_made(folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert said_of() == []
    assert list(folder.iterdir()) == []


@pytest.mark.fault("Somebody else has made the folder in which PyTorch keeps compiled code")
def test_folder_of_another_is_not_used(folder, monkeypatch, sees):
    theirs = folder / "torchinductor_me"
    theirs.mkdir()
    of_another(monkeypatch, theirs)
    (line,) = said_of()
    new = Path(os.environ[INDUCTOR])
    assert (
        line == f"{theirs} belongs to another user (number 4711): PyTorch keeps what it compiles in {new} in its place"
    )
    assert new.parent == folder and new != theirs and new.stat().st_mode & 0o777 == 0o700
    assert said_of() == []
    sees(line.replace(new.name, "torchinductor_a1b2c3d4"))


def test_link_of_another_is_not_followed(folder, monkeypatch):
    (folder / "torchinductor_me").symlink_to(folder)
    of_another(monkeypatch, folder / "torchinductor_me")
    (line,) = said_of()
    assert "belongs to another user" in line


def test_folder_that_all_can_write_to_is_not_used(folder):
    (folder / "torchinductor_me").mkdir()
    (folder / "torchinductor_me").chmod(0o777)
    (line,) = said_of()
    assert "can be written to by all users: PyTorch keeps what it compiles in" in line


@pytest.mark.parametrize("variable", caches.VARIABLES)
def test_folder_of_another_in_the_environment_is_named(folder, monkeypatch, variable):
    (folder / "cache").mkdir()
    monkeypatch.setenv(variable, str(folder / "cache"))
    assert said_of() == []
    of_another(monkeypatch, folder / "cache")
    (line,) = said_of()
    assert line.startswith(f"{variable}={folder / 'cache'} belongs to another user (number 4711), who can have this")
    assert os.environ[variable] == str(folder / "cache")
