"""Run compiled notebooks, and keep their outputs as long as the code that made them is the same."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from tqdm import tqdm

from d2l.machine import physical_memory, usable_processors

from .cache import digest, is_kept, keep, kept_notebook
from .errors import BookError
from .files import NOTEBOOKS, ROOT
from .frameworks import FRAMEWORKS
from .install import VENV
from .notebook_client import Client, run_clients
from .section import Compiled, Executed, Section
from .stale import bare, bare_file, contents_hash, shows_code
from .versions import chosen_versions

MEMORY = 4 * 2**30  # bytes that a smoke run may take; those of MXNet take the most


class Run:
    """A section in a fresh kernel.

    Args:
        on_cell: Called after each cell, in the thread that runs it.
        on_progress: Called with the progress line that a cell shows, each time that it moves.
    """

    def __init__(
        self,
        section: Compiled,
        on_cell: Callable[[], object],
        on_progress: Callable[[str], object] = lambda line: None,
    ):
        self.section = section
        self._notebook = copy.deepcopy(section.notebook)
        self._done = 0
        folder = (NOTEBOOKS / section.tab / section.name).parent
        folder.mkdir(parents=True, exist_ok=True)

        def count(**_: object) -> None:
            self._done += 1
            on_cell()

        self.client = Client(self._notebook, folder, on_progress=on_progress, on_cell_executed=count)

    def result(self, error: BaseException | None) -> Executed:
        """The section with its outputs.

        Args:
            error: What the client has raised, if anything.

        Raises:
            BookError: A cell failed or the kernel died; names section, tab and cell, and has the traceback.
        """
        total = len(self.section.code_cells)
        if isinstance(error, CellExecutionError):
            raise BookError(f"{self.section}: cell {self._done} of {total} failed\n{error}")
        if isinstance(error, RuntimeError):
            raise BookError(f"{self.section}: the kernel died in cell {self._done + 1} of {total}: {error}")
        if error:
            raise error
        return Executed(self.section.name, self.section.tab, self._notebook)


def run(section: Compiled, profile: str) -> Executed:
    """Execute a section in a fresh kernel.

    Args:
        profile: The value of ``D2L_PROFILE`` to run under.

    Raises:
        BookError: See `Run.result`.
    """
    with tqdm(total=len(section.code_cells), unit="cell", desc=str(section), bar_format=_BAR) as bar:
        one = Run(section, bar.update, bar.set_postfix_str)
        try:
            one.client.run(profile)
        except Exception as error:
            one.result(error)
        bar.set_postfix_str("")
    return one.result(None)


def run_all(sections: Sequence[Compiled]) -> list[str]:
    """Give sections their smoke runs, some at a time, and keep the outputs, for `smoke_run`, as each ends.

    Returns:
        A message for each that failed, see `Run.result`; the others run all the same.
    """
    failures = []
    names, total = [_run_name(section) for section in sections], sum(len(section.code_cells) for section in sections)
    with tqdm(total=total, unit="cell", smoothing=0, bar_format=_BAR_OF_ALL) as bar:

        def one_cell() -> None:
            with bar.get_lock():
                bar.update()

        def ended(number: int, error: BaseException | None) -> None:
            try:
                keep(*names[number], runs[number].result(error).notebook)
            except BookError as failure:
                failures.append(str(failure))

        runs = [Run(section, one_cell) for section in sections]
        run_clients([one.client for one in runs], "smoke", ended, at_a_time())
    return failures


def at_a_time() -> int:
    """How many notebooks run beside each other: two, where there are processors and memory for two."""
    return max(1, int(min(2, usable_processors(), physical_memory() / MEMORY)))


def has_to_run(section: Section) -> bool:
    """Whether a section has code, and none of its runs had all of today's: its own and the helper's."""
    return bool(section.code_cells) and not is_kept(*_run_name(section))


def smoke_run(section: Section) -> NotebookNode | None:
    """A section's notebook as its last smoke run left it, if its code and the helper's are the same since."""
    return kept_notebook(*_run_name(section))


def _run_name(section: Section) -> tuple[str, list[str]]:
    """The name of a section's smoke run in the cache, and what it is made from."""
    code = run_code(section)
    return f"executed/{section.tab}/{section.name}-{code[:16]}", [code]  # of several states of the code: runs take long


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
    versions = bare_file(ROOT / chosen_versions(ROOT / VENV).file).decode()
    whole = (Path.read_bytes,) if shows_code(_sources(section.notebook)) else ()
    return digest([cell_code(section.notebook), helper_code(section.tab, *whole), versions])


_BAR = "{desc}: {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]"
_BAR_OF_ALL = "Notebooks: {n_fmt}/{total_fmt} cells [{elapsed}, {remaining} left]"
