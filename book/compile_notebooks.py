"""From sources to notebooks without outputs: one per section and framework."""

import functools

import nbformat
from nbformat import NotebookNode

from . import d2lbook_adapter
from .cache import cached_notebook
from .errors import BookError
from .files import ROOT
from .section import Compiled
from .source import Source, check_source, check_sources, configured_tabs, sources
from .stale import code_files, files_hash

# What decides, besides its text, what a source becomes.
TOOLS = (*code_files(ROOT, "book/compile_notebooks.py"), "config.ini", "constraints*.txt", "references.bib")
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def compile_sections() -> list[Compiled]:
    """Check all sources and compile them for each tab; gives the sections tab by tab.

    Raises:
        BookError: See `check_sources`.
    """
    tabs = check_sources()
    tools, sections = files_hash(TOOLS), []
    for tab in tabs:
        for source in sources():
            made_from, make = [tools, source.text], functools.partial(_notebook, source, tab)
            notebook = cached_notebook(f"compiled/{tab}/{source.name}", made_from, make)
            if notebook is not None:
                sections.append(Compiled(source.name, tab, notebook))
    return sections


def compile_source(source: Source, tab: str) -> Compiled | None:
    """Compile one source for one tab; ``None`` if it has nothing for it.

    Raises:
        BookError: See `check_source`; or d2lbook cannot replace the names that ``config.ini`` gives to functions.
    """
    if tab not in check_source(source, configured_tabs()):
        return None
    whole = d2lbook_adapter.split_tab_blocks(d2lbook_adapter.read_markdown(source.text))
    notebook = d2lbook_adapter.for_tab(whole, tab)
    assert notebook, f"{source.file} has cells or text for {tab}, as `check_source` says"
    try:
        notebook = d2lbook_adapter.with_own_names(notebook, tab)
    except SyntaxError as error:
        wrong = (error.text or "").strip()
        line = next((n for n, line in enumerate(source.text.split("\n"), 1) if line.strip() == wrong), 1)
        raise BookError(
            f"{source.file}:{line}: d2lbook cannot replace names such as d2l.reshape beside what only IPython "
            "understands: put this in a cell of its own"
        ) from None
    # Of a cell with branches for others only, nothing is left.
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or cell.source]
    notebook.metadata["language_info"] = {"name": "python"}
    return Compiled(source.name, tab, _finish(nbformat.reads(nbformat.writes(notebook), as_version=4), tab))


def _notebook(source: Source, tab: str) -> NotebookNode | None:
    compiled = compile_source(source, tab)
    return compiled.notebook if compiled else None


def source_notebook(source: Source) -> NotebookNode:
    """A source as one notebook with the cells of all tabs, which starts with a menu to choose the framework."""
    notebook = d2lbook_adapter.read_markdown(source.text)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = d2lbook_adapter.with_first_tab_chosen(cell.source)
    return _finish(notebook, "all")


def _finish(notebook: NotebookNode, tab: str) -> NotebookNode:
    """Name the kernel, and give the cells names that stay from one compilation to the next and differ between tabs."""
    notebook.metadata["kernelspec"] = KERNEL
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{tab}-{number}"
    return notebook
