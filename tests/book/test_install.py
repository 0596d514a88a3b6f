"""The environment that make installs: what is in it, in which versions, with uv or pip, and what a second call does."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from book import install
from book.frameworks import FRAMEWORKS
from book.versions import VERSIONS

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent.parent
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
UV = """#!/bin/sh
echo "$@" >> asked
"""


@pytest.fixture(params=["uv", "pip"])
def tool(request, tmp_path, monkeypatch) -> str:
    """A repository without an environment, where uv is or is not; what is asked of either is noted down."""
    folder = tmp_path / "a book"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # Whichever those are that these tests run with.
    monkeypatch.setattr(install, "chosen_versions", lambda _: VERSIONS[0])
    for name in ("pyproject.toml", "constraints.txt"):
        Path(name).write_bytes((ROOT / name).read_bytes())
    Path(".venv").mkdir()
    programs = tmp_path / "programs"
    programs.mkdir()
    if request.param == "uv":
        (programs / "uv").write_text(UV)
        (programs / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin" if request.param == "uv" else "")
    return request.param


@pytest.fixture
def asked(tool, monkeypatch) -> list[list[str]]:
    """The commands that are run."""
    commands = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "d2l==0.1.0\n" if "list" in command else "")

    monkeypatch.setattr(install.subprocess, "run", run)
    monkeypatch.setattr(install, "has_triton", lambda: False)
    return commands


def call(monkeypatch, *arguments: str) -> int:
    """What the Makefile calls."""
    monkeypatch.setattr("sys.argv", ["environment", *arguments])
    return install.main()


def test_environment_is_made_and_filled_once(tool, asked, monkeypatch, capsys):
    arguments = ("book", "test", "figures", "--tabs", "pytorch")
    assert call(monkeypatch, *arguments) == 0
    python = str(Path(".venv/bin/python"))
    into = ["uv", "pip", "install", "--python", python]
    if tool == "pip":
        into = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    assert asked[0][-1] == ".venv" and asked[0][:2] == (["uv", "venv"] if tool == "uv" else [sys.executable, "-m"])
    # The same versions and extras, whichever it is.
    what = ["--quiet", "--constraint", "constraints.txt", "--editable", ".[pytorch,book,test,figures]"]
    assert asked[1:] == [[*into, *what]]
    said = capsys.readouterr().out
    assert said.startswith(f"Installing pytorch, book, test, figures into .venv with {tool}, once: ")
    asked.clear()
    assert call(monkeypatch, *arguments) == 0
    assert call(monkeypatch, "test", "--tabs", "pytorch") == 0  # an environment that has more stays as it is
    assert (asked, capsys.readouterr().out) == ([], "")


def extras_asked(asked: list[list[str]]) -> list[list[str]]:
    """The extras in each command that installs, and forget the commands."""
    found = [command[-1].strip(".[]").split(",") for command in asked if "install" in command]
    asked.clear()
    return found


def test_framework_that_is_asked_for_is_added_to_what_is_there(asked, monkeypatch):
    call(monkeypatch, "test", "--tabs", "pytorch")
    assert extras_asked(asked) == [["pytorch", "test"]]
    call(monkeypatch, "book", "test", "--tabs", "jax")
    assert extras_asked(asked) == [["pytorch", "test", "jax", "book"]]
    call(monkeypatch, "book", "test", "--tabs", "", "--keep")
    assert extras_asked(asked) == []
    call(monkeypatch, "book", "test", "--tabs", "")
    assert extras_asked(asked) == [["pytorch", "test", "jax", "book", "tensorflow", "mxnet"]]


def test_environment_of_make_quick_is_no_choice_of_frameworks(asked, monkeypatch):
    call(monkeypatch, "test", "--tabs", "pytorch")
    asked.clear()
    call(monkeypatch, "book", "test", "--keep")
    assert set(*extras_asked(asked)) == {*FRAMEWORKS, "book", "test"}


def test_triton_has_a_folder_of_its_own_beside_the_tests(tool, asked, monkeypatch):
    monkeypatch.setattr(install, "has_triton", lambda: True)
    call(monkeypatch, "book", "--tabs", "pytorch")
    assert len(asked) == 2
    call(monkeypatch, "test", "--tabs", "pytorch")
    what = ["--quiet", "--no-deps", "--constraint", "constraints.txt", "--target", ".venv/triton", "triton"]
    assert asked[-1][-len(what) :] == what
    assert ("uv" in asked[-1]) == (tool == "uv")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_renew_all_that_is_there(asked, monkeypatch, name):
    call(monkeypatch, "book", "--tabs", "pytorch,jax")
    asked.clear()
    with Path(name).open("a") as file:
        file.write("\n# another version\n")
    call(monkeypatch, "test", "--tabs", "pytorch")
    assert extras_asked(asked) == [["pytorch", "jax", "book", "test"]]


@pytest.mark.parametrize("stamp", ["", "\n"])
def test_stamp_of_an_older_environment_is_taken_for_none(asked, monkeypatch, stamp):
    Path(".venv/installed").write_text(stamp)
    call(monkeypatch, "test", "--tabs", "pytorch")
    assert extras_asked(asked) == [["pytorch", "test"]]


def test_environments_own_python_makes_no_other_and_removes_the_former_name(tool, asked, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(Path(".venv").resolve()))
    call(monkeypatch, "test", "--tabs", "pytorch")
    verbs = [next(word for word in ("venv", "list", "uninstall", "install") if word in command) for command in asked]
    assert verbs == ["list", "uninstall", "install"]
    assert asked[1][-2:] == ["--yes", "d2l"]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv"], indirect=True)
def test_uv_is_called_with_these_arguments(tool, monkeypatch):
    assert call(monkeypatch, "book", "--tabs", "pytorch") == 0
    assert Path("asked").read_text().splitlines() == [
        f"venv --quiet --seed --allow-existing --python {sys.executable} .venv",
        "pip install --python .venv/bin/python --quiet --constraint constraints.txt --editable .[pytorch,book]",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["uv"], indirect=True)
@pytest.mark.fault("The packages cannot be installed")
def test_failed_installation_is_tried_again(tool, tmp_path, monkeypatch, capsys, sees):
    uv = tmp_path / "programs" / "uv"
    uv.write_text(f"{UV}[ $1 = venv ]\n")
    arguments = ("book", "--tabs", "pytorch")
    assert call(monkeypatch, *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: could not be installed, as said above: uv pip install --python ")
    uv.write_text(UV)
    assert call(monkeypatch, *arguments) == 0
    assert Path("asked").read_text().count("pip install") == 2
    sees(said)


def test_unknown_framework_is_named_before_anything_is_installed(asked, monkeypatch, capsys):
    assert call(monkeypatch, "book", "--tabs", "pytorch caffe") == 1
    assert asked == []
    assert capsys.readouterr().err == "error: TABS='caffe': known tabs are pytorch, tensorflow, mxnet, jax\n"


def test_interrupted_installation_is_one_line(monkeypatch, tool, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install.subprocess, "run", interrupted)
    assert call(monkeypatch, "book") == 130
    assert capsys.readouterr().err == "\nInterrupted: the same command goes on with the installation.\n"


def test_make_asks_for_extras_that_there_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipes = re.findall(r"\$\(INSTALL\) (.*)", MAKEFILE)
    named = {word for recipe in recipes for word in shlex.split(recipe.partition("--tabs")[0])}
    assert named == {"book", "test", "figures"}
    assert named | set(FRAMEWORKS) == set(project["optional-dependencies"])


@pytest.mark.slow
def test_environment_is_installed_by_python_alone():
    """Without what is installed, as on a bare machine."""
    code = "import sys, book.install as e; print(sorted({m.partition('.')[0] for m in sys.modules} - {'book'}))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    others = set(re.findall(r"'(\w+)'", done.stdout)) - set(sys.stdlib_module_names) - {"__main__"}
    assert others == set()
