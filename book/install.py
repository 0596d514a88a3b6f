"""See that what a verb needs is installed: into .venv, in the root of the repository, unless this Python has it.

It runs before anything is installed: it needs Python alone, as does what it imports.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Literal

from .errors import BookError
from .frameworks import FRAMEWORKS, chosen_tabs
from .versions import chosen_versions

NAME = "alexnet-d2l"
VENV = Path(".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# Tests run a GPU's kernels with it. TensorFlow ends a process that imports both, so it has a folder of its own.
TRITON = VENV / "triton"
# In a line each, the hash of what decides on versions, and the extras that are installed in these.
INSTALLED = VENV / "installed"


@dataclass(frozen=True)
class Needs:
    """What a verb needs: nothing, where there are no extras.

    Attributes:
        extras: Of pyproject.toml.
        frameworks: Whether it needs those that are asked for besides, or "all" where none is; or is content with those
            that are "there".
    """

    extras: tuple[str, ...]
    frameworks: Literal["all", "there"] | None = None


def prepare(needs: Needs, tabs: Iterable[str]) -> str | None:
    """See that what a verb needs is there, and install it into .venv if it is not.

    An environment outside this folder, such as one of conda's, is its user's, and nothing is installed into it.

    Args:
        needs: What it needs.
        tabs: The frameworks that are asked for by name.

    Returns:
        The Python to run the verb with, if it is not this process as it is.

    Raises:
        BookError: It could not be installed, or an environment of the user's lacks something; the message says what.
    """
    if not needs.extras:
        return None
    if not _is_here() and (project := found(NAME)):
        check_environment(project, needs.extras)
        return None
    frameworks = []
    if needs.frameworks:
        frameworks = chosen_tabs(tabs if tabs or needs.frameworks == "all" else installed_tabs())
    try:
        renewed = install([*frameworks, *needs.extras])
    except subprocess.CalledProcessError as error:
        raise BookError(f"could not be installed, as said above: {' '.join(error.cmd)}") from None
    return str(PYTHON) if renewed or not _is_here() else None


def _is_here() -> bool:
    """Whether this Python is that of .venv."""
    return Path(sys.prefix).resolve().parent == Path.cwd().resolve()


def found(name: str) -> Distribution | None:
    """What is installed under a name for this Python; the notes that a build leaves in this folder are nothing."""
    folders = [folder for folder in sys.path if Path(folder).resolve() != Path.cwd().resolve()]
    return next(iter(distributions(name=name, path=folders)), None)


def check_environment(project: Distribution, extras: Iterable[str]) -> None:
    """See that this Python has what some extras of the project bring, on every machine alike.

    Raises:
        BookError: It lacks something; the message says how to install it.
    """
    lacking = []
    for requirement in project.requires or ():
        match = re.fullmatch(r"([\w.-]+)[^;]*;\s*extra == .(\w+).", requirement)
        if match and match[2] in extras and not found(match[1]):
            lacking.append(match[1])
    if lacking:
        raise BookError(
            f"{sys.prefix} lacks {', '.join(lacking)}: {sys.executable} -m pip install "
            f'--constraint {chosen_versions(Path(sys.prefix)).file} --editable ".[{",".join(extras)}]"'
        )


def install(extras: Collection[str]) -> bool:
    """Install those of these extras that are not there yet, in the chosen versions; whether any were not.

    What is there stays; it is renewed when these versions change.

    Raises:
        BookError: No such versions can be had.
        CalledProcessError: Something could not be installed.
    """
    chosen = chosen_versions(VENV)
    versions = hashlib.sha256(Path("pyproject.toml").read_bytes() + Path(chosen.file).read_bytes()).hexdigest()
    last, *there = _stamp()
    if last == versions and set(chosen.fitting(extras)) <= set(there):
        return False
    wanted = chosen.fitting(dict.fromkeys([*there, *extras]))
    tool = "uv" if shutil.which("uv") else "pip"
    size = "all of the frameworks take 5 to 9 GB and three to ten minutes"
    print(f"Installing {', '.join(wanted)} into {VENV} with {tool}, once: {size}.", flush=True)
    if left_out := set(extras) - set(chosen.fitting(extras)):
        print(f"Without {', '.join(left_out)}, which does not go with the versions in {chosen.file}.", flush=True)
    start = time.monotonic()
    if _is_here():
        _remove_former_name()
    else:
        subprocess.run(new_environment(), check=True)
    if unfit := set(there) - set(wanted):
        print(f"Removing {', '.join(unfit)}, which the versions in {chosen.file} leave out.", flush=True)
        modules = (FRAMEWORKS[extra].module for extra in unfit)
        subprocess.run(_pip("uninstall", "--quiet", "--yes", *modules), check=True)
    subprocess.run(installation(wanted), check=True)
    if "book" in wanted:
        subprocess.run([str(PYTHON), "-m", "book.pandoc"], check=True)
    if "test" in wanted and has_triton():
        subprocess.run(triton_installation(), check=True)
    chosen.remember(VENV)
    INSTALLED.write_text("\n".join([versions, *wanted]) + "\n", "utf-8", newline="\n")
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)
    return True


def installed_tabs() -> list[str]:
    """The frameworks that are installed beside what makes the book; none in an environment for `quick` alone."""
    _, *there = _stamp()
    return [tab for tab in FRAMEWORKS if tab in there and "book" in there]


def _stamp() -> list[str]:
    return (INSTALLED.read_text("utf-8").split() if INSTALLED.exists() else []) or [""]


def new_environment() -> list[str]:
    """The command that makes an environment with this Python, and with pip in it."""
    if shutil.which("uv"):
        return ["uv", "venv", "--quiet", "--seed", "--allow-existing", "--python", sys.executable, str(VENV)]
    return [sys.executable, "-m", "venv", str(VENV)]


def installation(extras: Collection[str]) -> list[str]:
    """The command that installs this repository with some extras."""
    constraints = chosen_versions(VENV).file
    return _pip("install", "--quiet", "--constraint", constraints, "--editable", f".[{','.join(extras)}]")


def has_triton() -> bool:
    """Whether there are packages of Triton for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def triton_installation() -> list[str]:
    """The command that installs Triton, in the version that PyTorch asks for on GPUs, where nothing else is."""
    options = ("--quiet", "--no-deps", "--constraint", chosen_versions(VENV).file, "--target", str(TRITON))
    return _pip("install", *options, "triton")


def _pip(verb: str, *arguments: str) -> list[str]:
    if shutil.which("uv"):
        return ["uv", "pip", verb, "--python", str(PYTHON), *arguments]
    return [str(PYTHON), "-m", "pip", verb, "--disable-pip-version-check", *arguments]


def _remove_former_name() -> None:
    """Remove this project from an older environment that has it as d2l, the name of the published package."""
    listed = _pip("list", "--editable", "--format", "freeze")
    if re.search("^d2l==", subprocess.run(listed, check=True, capture_output=True, text=True).stdout, re.M):
        subprocess.run(_pip("uninstall", "--quiet", "--yes", "d2l"), check=True)
        shutil.rmtree("d2l.egg-info", ignore_errors=True)
