"""Install what a verb of make needs into .venv: ``python -m book.install EXTRA ... --tabs "pytorch jax"``.

It runs in the root of the repository, before anything is installed: it needs Python alone, as does what it imports.
"""

import argparse
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from .errors import BookError
from .frameworks import FRAMEWORKS, chosen_tabs
from .versions import chosen_versions

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
# Tests run a GPU's kernels with it. TensorFlow ends a process that imports both, so it has a folder of its own.
TRITON = VENV / "triton"
# In a line each, the hash of what decides on versions, and the extras that are installed in these.
INSTALLED = VENV / "installed"


def install(extras: Collection[str]) -> None:
    """Install those of these extras that are not there yet, in the versions that are chosen (`chosen_versions`).

    What is there stays; it is renewed when these versions change.

    Raises:
        BookError: No such versions can be had.
        CalledProcessError: Something could not be installed.
    """
    chosen = chosen_versions(VENV)
    versions = hashlib.sha256(Path("pyproject.toml").read_bytes() + Path(chosen.file).read_bytes()).hexdigest()
    last, *there = _stamp()
    if last == versions and set(chosen.fitting(extras)) <= set(there):
        return
    wanted = chosen.fitting(dict.fromkeys([*there, *extras]))
    tool = "uv" if shutil.which("uv") else "pip"
    size = "all of the frameworks take 5 to 9 GB and three to ten minutes"
    print(f"Installing {', '.join(wanted)} into {VENV} with {tool}, once: {size}.", flush=True)
    if left_out := set(extras) - set(chosen.fitting(extras)):
        print(f"Without {', '.join(left_out)}, which does not go with the versions in {chosen.file}.", flush=True)
    start = time.monotonic()
    if Path(sys.prefix).resolve() == VENV.resolve():
        _remove_former_name()
    else:
        subprocess.run(new_environment(), check=True)
    if unfit := set(there) - set(wanted):
        print(f"Removing {', '.join(unfit)}, which the versions in {chosen.file} leave out.", flush=True)
        subprocess.run(
            _pip("uninstall", "--quiet", "--yes", *(FRAMEWORKS[extra].module for extra in unfit)), check=True
        )
    subprocess.run(installation(wanted), check=True)
    if "test" in wanted and has_triton():
        subprocess.run(triton_installation(), check=True)
    chosen.remember(VENV)
    INSTALLED.write_text("\n".join([versions, *wanted]) + "\n", "utf-8")
    print(f"Installed in {time.monotonic() - start:.0f} s.")


def installed_tabs() -> list[str]:
    """The frameworks that are installed beside what makes the book; none in an environment for `make quick` alone."""
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
    return _pip(
        "install", "--quiet", "--constraint", chosen_versions(VENV).file, "--editable", f".[{','.join(extras)}]"
    )


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


def main() -> int:
    """Parse the command line and install."""
    parser = argparse.ArgumentParser(prog="python -m book.install", description="Install what make needs.")
    parser.add_argument("extras", nargs="*", help="such as book test")
    parser.add_argument("--tabs", default="", help="frameworks, such as 'pytorch jax'; all if there are none")
    parser.add_argument("--keep", action="store_true", help="without --tabs, those that are there will do")
    args = parser.parse_args()
    tabs = [args.tabs] if args.tabs or not args.keep else installed_tabs()
    try:
        install([*chosen_tabs(tabs), *args.extras])
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: could not be installed, as said above: {' '.join(error.cmd)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the same command goes on with the installation.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
