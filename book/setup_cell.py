"""The first cell of a notebook that is taken elsewhere: it installs the helper where that is missing."""

import copy

import nbformat
from nbformat import NotebookNode

from d2l.installation import NAME, VERSION

from .publication import Publication
from .wheel import WHEEL

# A wheel in the notebook's folder or above comes first: it is there where the pages were copied as a whole, as on
# Binder, and where somebody has put it because there is no network.
CODE = """\
# The helper of this book, {name} {version}, is imported as d2l. Where it is missing, this cell installs it.
import importlib.util
import re
from pathlib import Path

wheel = "{wheel}"
address = "{address}"


def helper_version():
    importlib.invalidate_caches()
    package = importlib.util.find_spec("d2l")
    if package is None or package.origin is None:
        return None
    installation = Path(package.origin).with_name("installation.py")
    if not installation.exists():
        raise ImportError(
            f"{{installation.parent}} is another book's package d2l: take it away with %pip uninstall --yes d2l, "
            "restart the kernel, and run this cell again."
        )
    return re.search('VERSION = "(.*)"', installation.read_text("utf-8"))[1]


if helper_version() != "{version}":
    near = [folder / wheel for folder in (Path.cwd(), *Path.cwd().parents) if (folder / wheel).exists()]
    source = near[0].as_uri() if near else address
    if source:
        %pip install --quiet "{name}[{tab}] @ {{source}}"
    if helper_version() is None:
        remedies = ["mend what pip names above"] if source else []
        remedies += [] if near else [f"put {{wheel}} from the book's pages into {{Path.cwd()}}"]
        raise ImportError(f"{name} {version} is not installed: {{' or '.join(remedies)}}, and run this cell again.")
"""


def with_setup(notebook: NotebookNode, tab: str, publication: Publication) -> NotebookNode:
    """A copy of a framework's notebook in which this is the first cell of code, and which asks Colab for a GPU."""
    whole = copy.deepcopy(notebook)
    code = CODE.format(name=NAME, version=VERSION, wheel=WHEEL, address=helper_address(publication), tab=tab)
    first = next(number for number, cell in enumerate(whole.cells) if cell.cell_type == "code")
    whole.cells.insert(first, nbformat.v4.new_code_cell(code.rstrip(), id=f"{tab}-setup"))
    whole.metadata["accelerator"] = "GPU"
    return whole


def helper_address(publication: Publication) -> str:
    """Where pip finds the helper: beside the pages, or else in the repository; empty if the book is nowhere."""
    if publication.site_url:
        return publication.site_url + WHEEL
    return publication.repository and f"{publication.repository}/archive/HEAD.zip"
