"""Which versions are installed: the choice, what it leaves out, and what later commands keep to."""

import shutil
import sys
from pathlib import Path

import pytest

from book import install
from book.errors import BookError
from book.files import ROOT
from book.versions import SETTING, VERSIONS, chosen_versions

pytestmark = pytest.mark.quick

NUMPY1, NUMPY2 = VERSIONS


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)


@pytest.fixture
def on_python(monkeypatch):
    return lambda minor: monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))


@pytest.mark.parametrize(("minor", "default"), [(11, NUMPY1), (12, NUMPY1), (13, NUMPY2)])
def test_default_is_what_mxnet_works_with_where_this_python_can_have_that(on_python, tmp_path, minor, default):
    on_python(minor)
    assert chosen_versions(tmp_path) == default


def test_choice_is_kept_to_until_there_is_another(on_python, monkeypatch, tmp_path):
    on_python(11)
    monkeypatch.setenv(SETTING, "numpy2")
    chosen_versions(tmp_path).remember(tmp_path)
    monkeypatch.delenv(SETTING)
    assert chosen_versions(tmp_path) == NUMPY2
    monkeypatch.setenv(SETTING, "numpy1")
    assert chosen_versions(tmp_path) == NUMPY1


@pytest.mark.fault("D2L_VERSIONS names no versions that there are")
def test_unknown_versions_are_named_with_those_that_there_are(monkeypatch, tmp_path, sees):
    monkeypatch.setenv(SETTING, "newest")
    with pytest.raises(BookError) as caught:
        chosen_versions(tmp_path)
    assert str(caught.value) == (
        "D2L_VERSIONS=newest: there are numpy1 (constraints.txt) and numpy2 (constraints-numpy2.txt)"
    )
    sees(str(caught.value))


@pytest.mark.fault("D2L_VERSIONS asks for versions that this Python has no packages of")
def test_versions_that_this_python_cannot_have_are_refused_with_those_that_it_can(
    on_python, monkeypatch, tmp_path, sees
):
    on_python(13)
    monkeypatch.setenv(SETTING, "numpy1")
    with pytest.raises(BookError, match=r"for Python 3\.13; D2L_VERSIONS=numpy2 takes those in ") as caught:
        chosen_versions(tmp_path)
    sees(str(caught.value))


@pytest.mark.parametrize("minor", [10, 14])
def test_python_that_the_book_does_not_run_on_is_told_so(on_python, tmp_path, minor):
    on_python(minor)
    with pytest.raises(BookError, match=r"needs Python 3\.11, 3\.12 or 3\.13, and "):
        chosen_versions(tmp_path)


def test_what_holds_them_back_is_left_out():
    assert NUMPY2.fitting(["pytorch", "mxnet", "book"]) == ["pytorch", "book"]
    assert NUMPY1.fitting(["pytorch", "mxnet"]) == ["pytorch", "mxnet"]


def test_environment_has_the_versions_that_are_chosen(on_python, monkeypatch, tmp_path, capsys):
    """What does not go with them is removed from it; a later installation takes the same."""
    on_python(11)
    monkeypatch.chdir(tmp_path)
    Path(".venv").mkdir()
    for name in ("pyproject.toml", NUMPY1.file, NUMPY2.file):
        shutil.copy(ROOT / name, name)
    commands = []
    monkeypatch.setattr(install.subprocess, "run", lambda command, **_: commands.append(" ".join(command)))
    install.install(["mxnet", "jax", "book"])
    assert f"--constraint {NUMPY1.file} --editable .[mxnet,jax,book]" in commands[-2]
    monkeypatch.setenv(SETTING, "numpy2")
    install.install(["mxnet", "jax", "book"])
    assert "uninstall" in commands[-3] and commands[-3].endswith(" mxnet")
    assert f"--constraint {NUMPY2.file} --editable .[jax,book]" in commands[-2]
    said = capsys.readouterr().out
    assert "Without mxnet, which does not go with the versions in constraints-numpy2.txt." in said
    assert "Removing mxnet, which the versions in constraints-numpy2.txt leave out." in said
    monkeypatch.delenv(SETTING)
    count = len(commands)
    install.install(["mxnet", "jax"])
    assert len(commands) == count
    install.install(["test"])
    assert f"--constraint {NUMPY2.file} " in commands[count + 1]
