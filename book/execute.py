"""Run compiled notebooks, and keep their outputs as long as the code that made them is the same."""

import copy
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from tqdm import tqdm

from .kernel import Client
from .source import BUILD, FRAMEWORKS, NOTEBOOKS, ROOT, BookError, Section, read_kept, write_notebook
from .stale import bare, bare_file, contents_hash, shows_code

CACHE = BUILD / "cache"


def run(section: Section, profile: str) -> NotebookNode:
    """Execute a section in a fresh kernel.

    Args:
        profile: The value of ``D2L_PROFILE`` to run under.

    Returns:
        A copy of the section's notebook with outputs.

    Raises:
        BookError: A cell failed or the kernel died; names section, tab and cell, and has the traceback.
    """
    notebook = copy.deepcopy(section.notebook)
    folder = (NOTEBOOKS / section.tab / section.name).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(section.code_cells), unit="cell", desc=str(section), bar_format=_BAR) as bar:
        client = Client(notebook, folder, on_progress=bar.set_postfix_str, on_cell_executed=lambda **_: bar.update())
        try:
            client.run(profile)
        except CellExecutionError as error:
            raise BookError(f"{section}: cell {bar.n} of {bar.total} failed\n{error}") from None
        except RuntimeError as error:
            raise BookError(f"{section}: the kernel died in cell {bar.n + 1} of {bar.total}: {error}") from None
        bar.set_postfix_str("")
    return notebook


def run_cached(section: Section) -> NotebookNode:
    """The section's outputs of a smoke run, from the cache if its code and the helper's have not changed.

    Raises:
        BookError: See `run`.
    """
    if not section.code_cells:
        return section.notebook
    path = CACHE / section.tab / f"{section.name.replace('/', '-')}-{run_code(section)[:16]}.ipynb"
    if read_kept(path):
        return with_outputs(section, nbformat.read(path, as_version=4))
    notebook = run(section, "smoke")
    write_notebook(notebook, path)
    return notebook


def with_outputs(section: Section, executed: NotebookNode) -> NotebookNode:
    """The section's notebook with the outputs of an execution of the same code cells."""
    notebook = copy.deepcopy(section.notebook)
    done = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(done)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return notebook


def cell_code(notebook: NotebookNode) -> str:
    """Hash of a notebook's code: comments, docstrings and layout do not count where no cell may show them."""
    sources = _sources(notebook)
    return _hash(sources if shows_code(sources) else map(bare, sources))


def _sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def helper_code(tab: str, content_of: Callable[[Path], bytes] = bare_file) -> str:
    """Hash of the helper that a tab runs, with its folders and data. Comments, docstrings and layout do not count.

    Args:
        content_of: Gives what counts of a file, where this is another thing.
    """
    folder = ROOT / "d2l"
    others = {folder / f"{module}.py" for name, module in FRAMEWORKS.items() if name != tab}
    return contents_hash(ROOT, (path for path in folder.rglob("*") if path not in others), content_of=content_of)


def run_code(section: Section) -> str:
    """Hash of all that a smoke run of the section depends on: its cells, the helper with its images, the versions."""
    versions = bare_file(ROOT / "constraints.txt").decode()
    whole = (Path.read_bytes,) if shows_code(_sources(section.notebook)) else ()
    return _hash([cell_code(section.notebook), helper_code(section.tab, *whole), versions])


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


_BAR = "{desc}: {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"
