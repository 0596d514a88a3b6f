"""What this package is installed as, and whether its folder is its own.

Another project is published as ``d2l``, and installs its modules into a folder of the same name.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

VERSION = "0.1.0"
NAME = "alexnet-d2l"
PUBLISHED = "d2l"
# Modules that the published package has, too. Ours import others by their place in this folder.
SHARED = ("torch.py", "tensorflow.py", "mxnet.py", "jax.py", "paddle.py")
OURS = re.compile(rb"^from \.", re.M)


def installed() -> "list[Distribution]":
    """What is installed by this project's name, and by the name of the published package."""
    from importlib import metadata  # only now, since it takes longer than all else here

    return [found for name in (NAME, PUBLISHED) for found in metadata.distributions(name=name)]


def described(distributions: "list[Distribution]") -> str:
    """Names and versions of distributions, in words."""
    return " and ".join(dict.fromkeys(f"{found.name} {found.version}" for found in distributions)) or "neither"


def check_unmixed(folder: Path) -> None:
    """See that no module in this package's folder is one of the published package.

    Args:
        folder: The package's folder; nothing is looked for in one that is packed into a zip file.

    Raises:
        ImportError: Some are. The message names them, and says what to do.
    """
    if not folder.is_dir():
        return
    shared = [name for name in SHARED if (folder / name).exists()]
    foreign = [name for name in ("__init__.py", *shared) if not _is_ours(folder / name)]
    if foreign:
        raise ImportError(
            f"{folder} is half of {NAME} and half of the package published as {PUBLISHED}, which has the same folder: "
            f"not of {NAME}, or gone, are {', '.join(foreign)}. Installed: {described(installed())}. "
            f"Remove both with pip uninstall {NAME} {PUBLISHED}, and what is left of the folder. Then install the one "
            "you want; this one: pip install '.[pytorch]' in the folder of its repository."
        )


def check_found(folder: Path, found: "list[str]") -> None:
    """See that the package that Python has found under this name is the one that a module of it is from.

    Args:
        folder: The module's folder.
        found: The folders of the package.

    Raises:
        ImportError: Another package hides this one, all but the modules that it lacks.
    """
    if folder.absolute() not in [Path(path).absolute() for path in found]:
        raise ImportError(
            f"Python finds the package d2l in {', '.join(found)}, and {NAME} is in {folder}: another package of that "
            f"name hides it. Installed: {described(installed())}. Remove the other one with pip uninstall {PUBLISHED}, "
            "or take its folder off Python's path."
        )


def _is_ours(path: Path) -> bool:
    return path.is_file() and OURS.search(path.read_bytes()) is not None


check_unmixed(Path(__file__).parent)
check_found(Path(__file__).parent, list(sys.modules[str(__package__)].__path__))


def missing_framework(error: ModuleNotFoundError, packages: Sequence[str], extra: str, note: str = "") -> ImportError:
    """The error to raise when one of a framework's own packages is not installed."""
    if error.name not in packages:
        return error
    command = f"pip install '.[{extra}]' in the folder of this project's repository"
    return ImportError(f"{error.name} is not installed here: {command}. {note}".rstrip())
