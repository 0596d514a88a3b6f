"""The environment that verbs install: what is in it, in which versions, with uv or pip, and what a second call does."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from book import install
from book.errors import BookError
from book.frameworks import FRAMEWORKS
from book.install import PYTHON, TRITON, Needs, prepare
from book.verbs import VERBS, main
from book.versions import VERSIONS, chosen_versions

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent.parent
ALL, THERE = (Needs(("book", "test", "figures"), frameworks) for frameworks in ("all", "there"))
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
    monkeypatch.setattr(install, "found", lambda name: None)  # in the Python that runs the tests
    programs = tmp_path / "programs"
    programs.mkdir()
    PYTHON.parent.mkdir(parents=True)
    for program in (programs / "uv", PYTHON) if request.param == "uv" else ():
        program.write_text(UV, "utf-8")
        program.chmod(0o755)
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


def test_environment_is_made_and_filled_once(tool, asked, capsys):
    assert prepare(ALL, ["pytorch"]) == str(PYTHON)
    into = ["uv", "pip", "install", "--python", str(PYTHON)]
    if tool == "pip":
        into = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    assert asked[0][-1] == ".venv" and asked[0][:2] == (["uv", "venv"] if tool == "uv" else [sys.executable, "-m"])
    # The same versions and extras, whichever it is.
    what = ["--quiet", "--constraint", "constraints.txt", "--editable", ".[pytorch,book,test,figures]"]
    assert asked[1:] == [[*into, *what], [str(PYTHON), "-m", "book.pandoc"]]
    said = capsys.readouterr().out
    assert said.startswith(f"Installing pytorch, book, test, figures into .venv with {tool}, once: ")
    asked.clear()
    assert prepare(ALL, ["pytorch"]) == str(PYTHON)
    assert prepare(Needs(("pytorch", "test")), []) == str(PYTHON)  # an environment that has more stays as it is
    assert (asked, capsys.readouterr().out) == ([], "")


def extras_asked(asked: list[list[str]]) -> list[list[str]]:
    """The extras in each command that installs, and forget the commands."""
    found = [command[-1].strip(".[]").split(",") for command in asked if "install" in command]
    asked.clear()
    return found


def test_framework_that_is_asked_for_is_added_to_what_is_there(asked):
    prepare(Needs(("pytorch", "test")), [])
    assert extras_asked(asked) == [["pytorch", "test"]]
    prepare(Needs(("book", "test"), "all"), ["jax"])
    assert extras_asked(asked) == [["pytorch", "test", "jax", "book"]]
    prepare(Needs(("book", "test"), "there"), [])
    assert extras_asked(asked) == []
    prepare(Needs(("book", "test"), "all"), [])
    assert extras_asked(asked) == [["pytorch", "test", "jax", "book", "tensorflow", "mxnet"]]


def test_environment_of_quick_tests_is_no_choice_of_frameworks(asked):
    prepare(Needs(("pytorch", "test")), [])
    asked.clear()
    prepare(THERE, [])
    assert set(*extras_asked(asked)) == {*FRAMEWORKS, "book", "test", "figures"}


def test_verb_that_needs_python_alone_installs_nothing(asked):
    assert prepare(Needs(()), []) is None
    assert asked == []


def test_triton_has_a_folder_of_its_own_beside_the_tests(tool, asked, monkeypatch):
    monkeypatch.setattr(install, "has_triton", lambda: True)
    prepare(Needs(("pytorch", "book")), [])
    assert not any("triton" in command for command in asked)
    prepare(Needs(("pytorch", "test")), [])
    what = ["--quiet", "--no-deps", "--constraint", "constraints.txt", "--target", str(TRITON), "triton"]
    assert asked[-1][-len(what) :] == what
    assert ("uv" in asked[-1]) == (tool == "uv")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_renew_all_that_is_there(asked, name):
    prepare(Needs(("book",), "all"), ["pytorch,jax"])
    asked.clear()
    with Path(name).open("a", encoding="utf-8") as file:
        file.write("\n# another version\n")
    prepare(Needs(("pytorch", "test")), [])
    assert extras_asked(asked) == [["pytorch", "jax", "book", "test"]]


@pytest.mark.parametrize("stamp", ["", "\n"])
def test_stamp_of_an_older_environment_is_taken_for_none(asked, stamp):
    Path(".venv/installed").write_text(stamp, "utf-8")
    prepare(Needs(("pytorch", "test")), [])
    assert extras_asked(asked) == [["pytorch", "test"]]


def test_environments_own_python_makes_no_other_and_removes_the_former_name(tool, asked, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(Path(".venv").resolve()))
    needs = Needs(("pytorch", "test"))
    assert prepare(needs, []) == str(PYTHON)  # anew, with what has been installed
    assert prepare(needs, []) is None
    verbs = [next(word for word in ("venv", "list", "uninstall", "install") if word in command) for command in asked]
    assert verbs == ["list", "uninstall", "install"]
    assert asked[1][-2:] == ["--yes", "d2l"]


# An environment of the user's


REQUIREMENTS = ["numpy>=1.26", 'd2lbook==1.0.3; extra == "book"', 'torch>=2.6; extra == "pytorch"']
REQUIREMENTS += ['mxnet==1.9.1; sys_platform == "linux" and extra == "mxnet"', 'ruff; extra == "test"']


@pytest.fixture
def lacking(monkeypatch) -> set[str]:
    """What the user's own environment, which has the project, lacks."""
    lacking = set()
    project = SimpleNamespace(requires=REQUIREMENTS)
    monkeypatch.setattr(install, "found", lambda name: None if name in lacking else project)
    return lacking


def test_environment_of_the_users_is_taken_as_it_is(asked, lacking):
    lacking |= {"torch", "mxnet"}  # which are not run then
    assert prepare(ALL, []) is None
    assert asked == []


def test_notes_of_a_build_in_this_folder_are_no_installation(tmp_path, monkeypatch):
    for folder in (tmp_path / "packages", tmp_path / "book"):
        (folder / "some.egg-info").mkdir(parents=True)
        (folder / "some.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: some\n", "utf-8")
    monkeypatch.chdir(tmp_path / "book")
    monkeypatch.setattr("sys.path", ["", str(tmp_path / "book")])
    assert install.found("some") is None
    monkeypatch.setattr("sys.path", ["", str(tmp_path / "packages")])
    assert install.found("some") is not None


@pytest.mark.fault("An environment of the user's own lacks what a verb needs")
def test_what_an_environment_of_the_users_lacks_is_named_with_the_command_for_it(asked, lacking, sees):
    lacking |= {"d2lbook", "ruff"}
    with pytest.raises(BookError, match=r" lacks d2lbook, ruff: .* --editable \"\.\[book,test,figures\]\"$") as error:
        prepare(ALL, [])
    assert asked == []
    sees(f"error: {error.value}".replace(sys.executable, "python").replace(sys.prefix, "ENVIRONMENT"))


@pytest.mark.fault("There is no environment yet, and Python is too new for the book")
def test_python_that_the_book_does_not_run_with_makes_no_environment(asked, monkeypatch, sees):
    monkeypatch.setattr(install, "chosen_versions", chosen_versions)
    monkeypatch.setattr("sys.version_info", (3, 14, 0))
    monkeypatch.setattr("platform.python_version", lambda: "3.14.0")
    with pytest.raises(
        BookError, match=r"needs Python 3.11, 3.12 or 3.13, and .* is 3\.14\.0: .*3\.12 -m book"
    ) as error:
        prepare(ALL, [])
    assert asked == []
    sees(f"error: {error.value}".replace(sys.executable, "python"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="uv is a shell script here")
@pytest.mark.parametrize("tool", ["uv"], indirect=True)
def test_uv_is_called_with_these_arguments(tool):
    prepare(Needs(("pytorch", "book")), [])
    assert Path("asked").read_text("utf-8").splitlines() == [
        f"venv --quiet --seed --allow-existing --python {sys.executable} .venv",
        "pip install --python .venv/bin/python --quiet --constraint constraints.txt --editable .[pytorch,book]",
        "-m book.pandoc",
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="uv is a shell script here")
@pytest.mark.parametrize("tool", ["uv"], indirect=True)
@pytest.mark.fault("The packages cannot be installed")
def test_failed_installation_is_tried_again(tool, tmp_path, sees):
    uv = tmp_path / "programs" / "uv"
    uv.write_text(f"{UV}[ $1 = venv ]\n", "utf-8")
    needs = Needs(("pytorch", "book"))
    with pytest.raises(BookError, match=r"^could not be installed, as said above: uv pip install --python ") as error:
        prepare(needs, [])
    uv.write_text(UV, "utf-8")
    assert prepare(needs, []) == str(PYTHON)
    assert Path("asked").read_text("utf-8").count("pip install") == 2
    sees(f"error: {error.value}")


def test_unknown_framework_is_named_before_anything_is_installed(asked):
    with pytest.raises(BookError, match="TABS='caffe': known tabs are pytorch, tensorflow, mxnet, jax"):
        prepare(ALL, ["pytorch", "caffe"])
    assert asked == []


def test_interrupted_installation_is_one_line(monkeypatch, tool, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install.subprocess, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["book", "notebooks"])
    assert main() == 130
    assert capsys.readouterr().err == "\nInterrupted: the same command goes on with the installation.\n"


def test_verbs_need_extras_that_there_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = {extra for _, needs, *_ in VERBS.values() for extra in needs.extras}
    assert named | set(FRAMEWORKS) == set(project["optional-dependencies"])


@pytest.mark.slow
def test_environment_is_installed_by_python_alone():
    """Without what is installed, as on a bare machine."""
    code = "import sys, book.verbs; print(sorted({m.partition('.')[0] for m in sys.modules} - {'book', 'd2l'}))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    others = set(re.findall(r"'(\w+)'", done.stdout)) - set(sys.stdlib_module_names) - {"__main__"}
    assert others == set()
