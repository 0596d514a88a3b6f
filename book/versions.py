"""The exact versions of the packages: those that MXNet works with, or newer ones without it.

``D2L_VERSIONS`` in the environment chooses; later commands keep to what is installed. It needs Python alone.
"""

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import BookError

SETTING = "D2L_VERSIONS"


@dataclass(frozen=True)
class Versions:
    """A set of versions that are known to work together.

    Attributes:
        name: What ``D2L_VERSIONS`` calls it.
        file: The file of them, as pip takes constraints, in the root of the repository.
        before: The first Python that lacks packages in these versions.
        without: The extras that do not go with them.
    """

    name: str
    file: str
    before: tuple[int, int]
    without: tuple[str, ...] = ()

    def fitting(self, extras: Iterable[str]) -> list[str]:
        """Those of these extras that go with these versions."""
        return [extra for extra in extras if extra not in self.without]

    def remember(self, environment: Path) -> None:
        """Have later commands keep to these versions in an environment."""
        _note(environment).write_text(f"{self.name}\n", "utf-8", newline="\n")


# The first that this Python can have is the default.
VERSIONS = (
    Versions("numpy1", "constraints.txt", before=(3, 13)),
    Versions("numpy2", "constraints-numpy2.txt", before=(3, 14), without=("mxnet",)),
)


def chosen_versions(environment: Path) -> Versions:
    """The versions that are asked for, or else those that an environment has, or else this Python's default.

    Raises:
        BookError: There are none of this name, or none for this Python; the message says what there is.
    """
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    fitting = [versions for versions in VERSIONS if (3, 11) <= sys.version_info[:2] < versions.before]
    if not fitting:
        ask = "py -3.12" if os.name == "nt" else "python3.12"
        raise BookError(
            f"the book needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {platform.python_version()}: "
            f"{ask} -m book, or python -m book in an environment of conda's"
        )
    note = _note(environment)
    name = os.environ.get(SETTING) or (note.read_text("utf-8").strip() if note.exists() else fitting[0].name)
    found = next((versions for versions in VERSIONS if versions.name == name), None)
    if found is None:
        known = " and ".join(f"{versions.name} ({versions.file})" for versions in VERSIONS)
        raise BookError(f"{SETTING}={name}: there are {known}")
    if found not in fitting:
        raise BookError(
            f"{SETTING}={name}: there are no packages of all versions in {found.file} for {python}; "
            f"{SETTING}={fitting[0].name} takes those in {fitting[0].file}"
        )
    return found


def _note(environment: Path) -> Path:
    return environment / "versions"
