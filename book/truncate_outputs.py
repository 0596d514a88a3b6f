"""Outputs as readers are shown them: a cell that prints without end makes no page without end."""

from collections.abc import Sequence

import nbformat
from nbformat import NotebookNode

LINES = 200
CHARACTERS = 20_000


def truncated(outputs: Sequence[NotebookNode]) -> tuple[list[NotebookNode], int]:
    """A cell's outputs with no more text than `LINES` and `CHARACTERS`, and the number of characters left out.

    A line says so where the text is cut. Pictures and HTML stay as they are.
    """
    shown, left_out, place = [], 0, 0
    lines, characters = LINES, CHARACTERS
    for output in outputs:
        text = _text(output)
        if text is None:
            shown.append(output)
            continue
        kept = "".join(text.splitlines(keepends=True)[:lines])[:characters]
        lines, characters = lines - len(kept.splitlines()), characters - len(kept)
        if kept:
            shown.append(_with_text(output, kept))
        if not left_out:
            place = len(shown)
        left_out += len(text) - len(kept)
    if left_out:
        shown.insert(place, nbformat.v4.new_output("stream", text=f"… {left_out:,} more characters\n"))
    return shown, left_out


def _text(output: NotebookNode) -> str | None:
    """The text that an output shows; ``None`` if it shows something else, for which its text only stands in."""
    lines = output.get("traceback")
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        return "\n".join(lines)
    data = output.get("data")
    text = data["text/plain"] if isinstance(data, dict) and set(data) == {"text/plain"} else output.get("text")
    return text if isinstance(text, str) else None


def _with_text(output: NotebookNode, text: str) -> NotebookNode:
    kept = {"traceback": [text]} if "traceback" in output else {"text": text} if "text" in output else None
    return NotebookNode(output | (kept or {"data": NotebookNode({"text/plain": text})}))
