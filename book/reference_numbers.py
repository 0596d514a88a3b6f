"""What the regression net knows of a section: the stored outputs of its smoke run, and the numbers in them."""

import functools
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .cache import digest
from .compare_outputs import numbers
from .execute_notebooks import cell_code
from .files import ROOT
from .section import Section

REFERENCES = ROOT / "tests" / "reference"


def reference_path(section: Section) -> Path:
    """Where a section's reference is kept."""
    return REFERENCES / section.tab / f"{section.name}.ipynb"


def stored_run(section: Section) -> NotebookNode | None:
    """A section's reference, if there is one of today's cells."""
    path = reference_path(section)
    if not path.exists():
        return None
    notebook = nbformat.read(path, as_version=4)
    return notebook if cell_code(notebook) == cell_code(section.notebook) else None


def numbers_hash(section: Section) -> str | None:
    """Hash of all numbers that a section's reference shows, cell by cell; ``None`` if it has no reference.

    While it stays, the helper computes the same for the section: references are compared with each test of the
    notebooks, and outputs that pass as equal stay in them. Words and names are not in it.
    """
    path = reference_path(section)
    return _numbers_hash(path.read_text("utf-8")) if path.exists() else None


@functools.cache
def _numbers_hash(reference: str) -> str:
    """The hash of the numbers in a notebook, which takes a second for the longest, and is asked for more than once."""
    cells = (cell for cell in nbformat.reads(reference, as_version=4).cells if cell.cell_type == "code")
    return digest(" ".join(numbers(cell.outputs)) for cell in cells)
