"""The curves of training runs on a page: as data beside their picture, for the script that draws a chart of them."""

import copy
import html
import json
import sys
from typing import Any

from nbformat import NotebookNode

from d2l.mime import CURVES_MIME, RUN_MIME, json_safe
from d2l.smoke_profile import Profile

from .rst_outputs import html_output

DIGITS = 8  # so many more than are shown that these are rounded as the recorded ones would be


def with_curves(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook in which each picture of curves stands in one box with the numbers it was drawn from.

    Numbers that are no curves, see `CURVES_MIME`, have a line below their picture that says so.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            data = (output.get("data", {}) for output in cell.outputs)
            runs = [one[RUN_MIME] for one in data if _is_run(one.get(RUN_MIME))]
            cell.outputs = [part for output in cell.outputs for part in _in_box(output, runs)]
    return notebook


def script_element(board: dict[str, Any], run: dict[str, Any] | None = None) -> str:
    """What a board has drawn, as data in a page; whatever its labels say, it ends where the element ends.

    Args:
        board: The curves by their labels, and what they are drawn over.
        run: The run that drew them, if it is known: how far it went, and whether it was shortened.
    """
    drawn = json_safe(board["curves"])
    curves = {label: [[_short(x), _short(y)] for x, y in points] for label, points in drawn.items()}
    page = {"xlabel": board.get("xlabel"), "curves": curves}
    if run is not None:
        page["run"] = {"epochs": run["epochs"], "note": _note(run)}
    data = json.dumps(page, separators=(",", ":"), allow_nan=False)
    # "<" can stand in the strings of JSON only, and there this is another way to write it.
    data = data.replace("<", r"\u003c")
    return f'<script type="application/json">{data}</script>'


def _in_box(output: NotebookNode, runs: list[dict[str, Any]]) -> list[NotebookNode]:
    board = output.get("data", {}).get(CURVES_MIME)
    if board is None:
        return [output]
    if not _is_board(board):
        return [output, html_output('<p class="provenance">The numbers of these curves cannot be read.</p>')]
    last = {label: points[-1][1] for label, points in board["curves"].items() if points}
    run = next((run for run in runs if run["metrics"] == last), None)
    return [
        html_output('<div class="curves">'),
        output,
        html_output(f"{_caption(run)}{script_element(board, run)}</div>"),
    ]


def _is_board(board: Any) -> bool:
    """Whether an output's data are curves, as `CURVES_MIME` says."""
    return (
        isinstance(board, dict)
        and isinstance(board.get("xlabel"), str | None)
        and isinstance(board.get("curves"), dict)
        and all(isinstance(points, list) and all(map(_is_point, points)) for points in board["curves"].values())
    )


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(value is None or _is_number(value) for value in point)


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)


def _is_run(run: Any) -> bool:
    """Whether an output's data are those of a run's last line, see `RUN_MIME`."""
    counts = ("epochs", "max_epochs", "examples_per_epoch")
    return (
        isinstance(run, dict)
        and isinstance(run.get("profile"), str)
        and isinstance(run.get("metrics"), dict)
        and all(type(run.get(name)) is int for name in counts)
    )


def _note(run: dict[str, Any]) -> str:
    """What a reader has to know of a run that is no full one."""
    return "" if run["profile"] == str(Profile()) else run["profile"]


def _caption(run: dict[str, Any] | None) -> str:
    """A line under the picture of a run that is no full one, for where the picture is all there is."""
    if run is None or not _note(run):
        return ""
    words = (
        f"{_note(run)}: {run['epochs']} of {run['max_epochs']} epochs, each of {run['examples_per_epoch']:,} examples"
    )
    return f'<p class="caption">{html.escape(words.capitalize())}</p>'


def _short(number: float | None) -> float | None:
    """A number, unless training has lost it, without the digits that nobody sees."""
    return None if number is None else float(f"{number:.{DIGITS}g}")
