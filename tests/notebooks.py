"""nbval's runs of notebooks, with the outputs that the build would store and with the book's comparison."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.client import CellExecutionComplete
from nbformat import NotebookNode
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

from book.comparison import differences

run_cell = IPyNbCell.runtest
next_message = IPyNbFile.get_kernel_message


class Outputs:
    """The outputs of a notebook's cells, as the build's client makes them of a kernel's messages.

    Args:
        cells: The cells of code that are run.
    """

    def __init__(self, cells: Sequence[NotebookNode]):
        notebook = nbformat.v4.new_notebook(cells=[copy.deepcopy(cell) for cell in cells])
        self._client = NotebookClient(notebook, record_timing=False)

    def __getitem__(self, number: int) -> list[NotebookNode]:
        return self._client.nb.cells[number].outputs

    def begin(self, number: int) -> None:
        """Take the messages that follow for those of this cell."""
        self._number = number
        self[number].clear()
        self._client.clear_before_next_output = False

    def take(self, message: dict[str, Any]) -> None:
        """Put what a message brings into the outputs of its cell; updates go where their display was shown."""
        with suppress(CellExecutionComplete):
            self._client.process_message(copy.deepcopy(message), self._client.nb.cells[self._number], self._number)


def run_and_compare(cell: IPyNbCell) -> None:
    """Compare a cell with its stored outputs, once all cells of its notebook that are picked have run.

    A later cell may update what an earlier one has shown, and what is stored is how it was at the end.
    """
    notebook = cell.parent
    if not hasattr(notebook, "errors"):
        _run(notebook, [item for item in cell.session.items if item.parent is notebook])
    if cell in notebook.errors:
        raise notebook.errors[cell]
    if cell.options["check"] and cell.cell.execution_count is not None:
        number = notebook.cells.index(cell)
        if lines := differences(notebook.outputs[number], notebook.stored[number], notebook.path.stem):
            cell.raise_cell_error("Cell outputs differ", "\n".join(lines))


def _run(notebook: IPyNbFile, cells: list[IPyNbCell]) -> None:
    """Run cells; what one of them raises is kept, and the next are run nevertheless."""
    notebook.cells, notebook.errors = cells, {}
    notebook.outputs = Outputs([cell.cell for cell in cells])
    notebook.stored = [copy.deepcopy(cell.cell.outputs) for cell in cells]  # nbval joins the texts in them
    for number, cell in enumerate(cells):
        notebook.outputs.begin(number)
        try:
            run_cell(cell)
        except (Exception, pytest.skip.Exception) as error:
            notebook.errors[cell] = error
    # nbval expects the cells after one that took too long to fail; all of these are still to be reported.
    notebook.timed_out = False


def get_kernel_message(notebook: IPyNbFile, timeout: float | None = None, stream: str = "iopub") -> dict[str, Any]:
    """The kernel's next message that nbval knows."""
    while True:
        message = next_message(notebook, timeout=timeout, stream=stream)
        if message["parent_header"].get("msg_id") == notebook.kernel.asked:
            notebook.outputs.take(message)
        if message["msg_type"] not in ("update_display_data", "clear_output"):
            return message


def execute_cell_input(kernel: RunningKernel, cell_input: str, allow_stdin: bool | None = None) -> str:
    """Run a cell as in a notebook, with history: without it IPython shows what a closing semicolon should hide."""
    flags = {"allow_stdin": allow_stdin, "stop_on_error": False}
    kernel.asked = kernel.kc.execute(cell_input, silent=False, store_history=True, **flags)
    return kernel.asked


def install() -> None:
    """Have nbval run and compare notebooks in this way."""
    IPyNbCell.runtest = run_and_compare
    IPyNbCell.compare_outputs = lambda cell, test, reference, skip_compare=None: True  # too early, see above
    IPyNbFile.get_kernel_message = get_kernel_message
    RunningKernel.execute_cell_input = execute_cell_input
    # By then the client has waited for the kernel to be ready. This would wait again, for no more than ten seconds.
    RunningKernel._ensure_iopub_up = lambda kernel: None
