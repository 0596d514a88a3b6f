"""The stored outputs that the notebook tests compare with."""

import copy
import difflib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .compare_outputs import differences
from .errors import BookError
from .execute_notebooks import run
from .files import ROOT, write_notebook
from .frameworks import is_installed
from .reference_numbers import reference_path
from .section import Compiled, Executed


@dataclass(frozen=True)
class Update:
    """A section's new reference, and for each cell that is not as in the stored one, lines that say what changed."""

    path: Path
    notebook: NotebookNode
    changes: list[list[str]]


def update_references(sections: list[Compiled], write: bool) -> None:
    """Run every section and show what changed since its reference; write the new ones once that is agreed to.

    Nothing is written before all have run: a cell that fails, or Ctrl-C, leaves the references as they are.

    Args:
        write: Whether to write without asking. Otherwise a person at a terminal is asked.

    Raises:
        BookError: A cell failed; or something has changed, and there is nobody to ask.
    """
    updates = []
    for section in sections:
        if section.code_cells and is_installed(section.tab):
            update = compare(run(section, "smoke"))
            for lines in update.changes:
                print("\n".join(lines))
            changed = len(update.changes)
            print(
                f"{section}: {changed} of {len(section.code_cells)} cells changed"
                if changed
                else f"{section}: as stored"
            )
            updates += [update] if changed else []
    if not updates:
        return
    these = "this reference" if len(updates) == 1 else f"these {len(updates)} references"
    if not write and not sys.stdin.isatty():
        raise BookError(f"nothing is written, for nobody is there to ask; make reference WRITE=yes writes {these}")
    if not write and not _agreed(f"Write {these}? [y/N] "):
        print("Nothing is written.")
        return
    for update in updates:
        write_notebook(update.notebook, update.path)
        print(f"Stored {update.path.relative_to(ROOT)}")


def compare(section: Executed) -> Update:
    """What an execution of a section changes in its reference; what passes as equal keeps its stored outputs.

    So do curves and numbers of a cell that prints other words: rounded as on another machine, they would make
    recordings those of an earlier helper.
    """
    path = reference_path(section)
    if not path.exists():
        return Update(path, section.notebook, [[f"{section}: has no reference yet"]])
    notebook = copy.deepcopy(section.notebook)
    changes = []
    for old, new in _pairs(_code_cells(nbformat.read(path, as_version=4)), _code_cells(notebook)):
        code = list(difflib.unified_diff(old.source.splitlines(), new.source.splitlines(), n=1, lineterm=""))[2:]
        name = Path(section.name).name
        lines = code + differences(new.outputs, old.outputs, name)
        if lines:
            changes.append([f"{section}, In [{new.execution_count or old.execution_count}]:", *lines, ""])
            for output, stored in zip(new.outputs, old.outputs, strict=False):
                _keep_equal_data(output, stored, name)
        else:
            new.outputs = old.outputs
    return Update(path, notebook, changes)


def _keep_equal_data(output: NotebookNode, stored: NotebookNode, section: str) -> None:
    """Put stored data in the place of an output's that pass as equal, media type by media type."""
    data, old = output.get("data", {}), stored.get("data", {})
    for mime in data.keys() & old.keys():
        now, before = (nbformat.v4.new_output("display_data", {mime: bundle[mime]}) for bundle in (data, old))
        if not differences([now], [before], section):
            is_record = isinstance(data[mime], dict)  # which may have got more fields since
            data[mime] = {**data[mime], **old[mime]} if is_record else old[mime]


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _pairs(old: list[NotebookNode], new: list[NotebookNode]) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Stored and new cells side by side: those with the same code, and between them the others in their order."""
    sources = [[cell.source for cell in cells] for cells in (old, new)]
    for _, *span in difflib.SequenceMatcher(None, *sources, autojunk=False).get_opcodes():
        old_start, old_end, start, end = span
        yield from zip_longest(old[old_start:old_end], new[start:end], fillvalue=nbformat.v4.new_code_cell())


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False
