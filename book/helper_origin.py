"""Which helper the notebooks import: this repository's, and no other package of the same name."""

import os
import sys
from importlib.machinery import PathFinder
from importlib.metadata import Distribution
from pathlib import Path

from d2l.installation import described, installed

from .errors import BookError
from .files import ROOT


def check_helper() -> None:
    """See that kernels, which start in the folders of their notebooks, import the helper of this repository.

    Raises:
        BookError: They would import another package named d2l, such as the published one.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = [folder for folder in sys.path if Path(folder).resolve() != ROOT]  # this program's own way to the repository
    spec = PathFinder.find_spec("d2l", [*filter(None, given), *own])
    if spec is None or spec.origin is None:  # then it is installed as editable, which comes last
        return
    found = Path(spec.origin).parent
    if found.resolve() == (ROOT / "d2l").resolve():
        return
    distributions = installed()
    owner = next((one.name for one in distributions if _has(one, Path(spec.origin))), None)
    remedy = f"{sys.executable} -m pip uninstall {owner}" if owner else f"take {found.parent} off PYTHONPATH"
    raise BookError(
        f"{found}: notebooks here would import this package named d2l and not the helper of this repository. "
        f"Installed: {described(distributions)}. Make way for the helper: {remedy}; if it is not installed then, "
        f"{sys.executable} -m pip install --editable . in {ROOT}"
    )


def _has(distribution: Distribution, path: Path) -> bool:
    """Whether a file is one that a distribution has installed."""
    return any(Path(str(distribution.locate_file(file))) == path for file in distribution.files or ())
