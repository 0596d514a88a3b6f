"""A plugin of pytest: nbval finds notebooks and their cells, the build's client runs them, its comparison judges."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from nbclient.exceptions import CellTimeoutError
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile

from book.compare_outputs import differences
from book.notebook_client import TIMED_OUT, Client


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator[None]:
    """Put a `Notebook` in the place of what nbval has found, with ``--nbval`` or ``--nbval-lax``."""
    found = yield
    return [Notebook.from_parent(parent, path=file_path) if type(one) is IPyNbFile else one for one in found]


@dataclass(frozen=True)
class Run:
    """What became of a cell: its outputs at the end of the notebook, and what went wrong in it, if anything."""

    outputs: list[NotebookNode]
    problem: str = ""
    traceback: str = ""


class Cell(IPyNbCell):
    """A test of a cell, compared with its stored outputs once all cells of its notebook that are picked have run."""

    def runtest(self) -> None:
        """Compare the cell.

        Raises:
            NbCellError: It failed, took too long, or has other outputs.
        """
        if self.options["skip"]:
            pytest.skip()
        run = self.parent.runs[self]
        self.test_outputs = run.outputs  # for --nbdime
        if run.problem:
            self.raise_cell_error(run.problem, run.traceback)
        is_unrun = self.cell.execution_count is None
        if is_unrun and self.cell.outputs:
            self.raise_cell_error("Unrun reference cell has outputs")
        is_compared = self.options["check"] and not is_unrun
        if is_compared and (lines := differences(run.outputs, self.cell.outputs, self.parent.path.stem)):
            self.raise_cell_error("Cell outputs differ", "\n".join(lines))


class Notebook(IPyNbFile):
    """A notebook as nbval collects it.

    nbval runs and compares cell by cell, in one method without a seam; but a later cell may update what an earlier one
    has shown, and what is stored is how it was at the end. One thing is not as in the build: what libraries write to
    file descriptors, as XLA does on a slow machine, ipykernel leaves to pytest.
    """

    def setup(self) -> None:
        """Start no kernel: `runs` does."""

    def collect(self) -> Iterator[Cell]:
        """nbval's tests of cells, which are to be compared in another way."""
        for cell in super().collect():
            yield Cell.from_parent(self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options)

    @cached_property
    def runs(self) -> dict[Cell, Run]:
        """Every cell that is picked and not skipped, run in their order, those after one that fails as well."""
        mine = [item for item in self.session.items if isinstance(item, Cell) and item.parent is self]
        cells = [cell for cell in mine if not cell.options["skip"]]
        notebook = nbformat.v4.new_notebook(
            metadata=self.nb.metadata, cells=[nbformat.v4.new_code_cell(cell.cell.source) for cell in cells]
        )
        replies: dict[int, dict[str, Any]] = {}
        client = Client(
            notebook,
            self.path.parent,
            limit=math.ceil(self.config.option.nbval_cell_timeout),
            kernel_name=self._kernel_name(),
            allow_errors=True,
            raise_on_iopub_timeout=True,
            on_cell_executed=lambda cell, cell_index, execute_reply: replies.update(
                {cell_index: execute_reply["content"]}
            ),
        )
        ended = ""
        try:
            client.run("smoke")
        except (RuntimeError, CellTimeoutError) as error:
            ended = str(error)
        return {
            cell: _run(cell, executed.outputs, replies.get(number), ended)
            for number, (cell, executed) in enumerate(zip(cells, notebook.cells, strict=True))
        }

    def _kernel_name(self) -> str:
        """The kernel that nbval's options name; none if it is the notebook's own."""
        option = self.config.option
        return NATIVE_KERNEL_NAME if option.nbval_current_env else option.nbval_kernel_name or ""


def _run(cell: Cell, outputs: list[NotebookNode], reply: dict[str, Any] | None, ended: str) -> Run:
    """What became of a cell.

    Args:
        reply: The kernel's, if one came.
        ended: Why the kernel was left before the last cell, if it was.
    """
    if reply is None:
        return Run(outputs, ended)
    if reply["status"] != "error" or cell.options["check_exception"]:
        return Run(outputs)
    problem = reply["evalue"] if reply["ename"] == TIMED_OUT else "Cell execution caused an exception"
    return Run(outputs, problem, "\n".join(line for one in outputs for line in one.get("traceback", [])))
