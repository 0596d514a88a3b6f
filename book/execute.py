"""Run compiled notebooks, and keep their outputs as long as the code that made them is the same."""

import copy
from collections.abc import Callable
from pathlib import Path

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from tqdm import tqdm

from .cache import cached_notebook, digest
from .errors import BookError
from .files import NOTEBOOKS, ROOT
from .frameworks import FRAMEWORKS
from .kernel import Client
from .section import Compiled, Executed, Section
from .stale import bare, bare_file, contents_hash, shows_code


def run(section: Compiled, profile: str) -> Executed:
    """Execute a section in a fresh kernel.

    Args:
        profile: The value of ``D2L_PROFILE`` to run under.

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
    return Executed(section.name, section.tab, notebook)


def run_cached(section: Compiled) -> Executed:
    """The section's outputs of a smoke run, from the cache if its code and the helper's have not changed.

    Raises:
        BookError: See `run`.
    """
    if not section.code_cells:
        return with_outputs(section, section.notebook)
    code = run_code(section)
    name = f"executed/{section.tab}/{section.name}-{code[:16]}"  # of several states of the code, since a run takes long
    executed = cached_notebook(name, [code], lambda: run(section, "smoke").notebook)
    return with_outputs(section, executed)


def with_outputs(section: Section, executed: NotebookNode) -> Executed:
    """The section with the outputs that a notebook has in the same code cells."""
    notebook = copy.deepcopy(section.notebook)
    done = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(done)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
    return Executed(section.name, section.tab, notebook)


def cell_code(notebook: NotebookNode) -> str:
    """Hash of a notebook's code: comments, docstrings and layout do not count where no cell may show them."""
    sources = _sources(notebook)
    return digest(sources if shows_code(sources) else map(bare, sources))


def _sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def helper_code(tab: str, content_of: Callable[[Path], bytes] = bare_file) -> str:
    """Hash of the helper that a tab runs, with its folders and data. Comments, docstrings and layout do not count.

    Args:
        content_of: Gives what counts of a file, where this is another thing.
    """
    others = {framework.module for name, framework in FRAMEWORKS.items() if name != tab}
    files = (ROOT / "d2l").rglob("*")
    return contents_hash(ROOT, (path for path in files if _part_of_helper(path) not in others), content_of=content_of)


def _part_of_helper(path: Path) -> str:
    """Of a framework's module ``d2l/NAME.py``, and of its backend ``d2l/backends/NAME``, the name of the framework."""
    first, *rest = path.relative_to(ROOT / "d2l").with_suffix("").parts
    return rest[0] if first == "backends" and rest else first


def run_code(section: Section) -> str:
    """Hash of all that a smoke run of the section depends on: its cells, the helper with its images, the versions."""
    versions = bare_file(ROOT / "constraints.txt").decode()
    whole = (Path.read_bytes,) if shows_code(_sources(section.notebook)) else ()
    return digest([cell_code(section.notebook), helper_code(section.tab, *whole), versions])


_BAR = "{desc}: {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"
