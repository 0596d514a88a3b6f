"""The curves of training runs on a page: as data beside their picture, for the script that draws a chart of them."""

import copy
import json
from typing import Any

import nbformat
from nbformat import NotebookNode

from d2l.media import CURVES_MIME, finite

DIGITS = 8  # so many more than are shown that these are rounded as the recorded ones would be


def with_curves(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook in which each picture of curves stands in one box with the numbers it was drawn from."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [part for output in cell.outputs for part in _in_box(output)]
    return notebook


def script_element(board: dict[str, Any]) -> str:
    """What a board has drawn, as data in a page; whatever its labels say, it ends where the element ends."""
    curves = {label: [[_short(x), _short(y)] for x, y in points] for label, points in finite(board["curves"]).items()}
    data = json.dumps({"xlabel": board["xlabel"], "curves": curves}, separators=(",", ":"), allow_nan=False)
    # "<" can stand in the strings of JSON only, and there this is another way to write it.
    data = data.replace("<", r"\u003c")
    return f'<script type="application/json">{data}</script>'


def _in_box(output: NotebookNode) -> list[NotebookNode]:
    board = output.get("data", {}).get(CURVES_MIME)
    if board is None:
        return [output]
    return [_html('<div class="curves">'), output, _html(f"{script_element(board)}</div>")]


def _html(text: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={"text/html": text})


def _short(number: float | None) -> float | None:
    """A number, unless training has lost it, without the digits that nobody sees."""
    return None if number is None else float(f"{number:.{DIGITS}g}")
