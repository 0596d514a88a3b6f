"""Where the book's files are, and how they are written: a path holds the old content or the new, never a part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # verbs need this module before anything is installed
    from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "_build"
NOTEBOOKS = BUILD / "notebooks"  # copies for people to work in


def atomic_write(text: str, path: Path) -> None:
    """Write a file, and the folder that it is in, such that ``path`` holds the old text or the new one.

    Raises:
        UnicodeEncodeError: The text has what UTF-8 has not, such as half a character.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # another process may write the same file
    try:
        part.write_text(text, "utf-8", newline="\n")  # the same bytes on every system
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_notebook(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook as `atomic_write` does, if it is another than the one there; whether it was."""
    import nbformat

    text = nbformat.writes(notebook) + "\n"
    if path.exists() and path.read_text("utf-8") == text:
        return False
    atomic_write(text, path)
    return True


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
