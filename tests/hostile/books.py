"""Small books made of outputs: rendered once, with the project's own code, in a folder of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict

from book.files import ROOT
from book.frameworks import FRAMEWORKS
from book.wheel import MADE_FROM

TABS = list(FRAMEWORKS)
NEEDED = ("book", "d2l", "theme", "config.ini", "constraints.txt", "references.bib", "CITATION.cff", *MADE_FROM[1:])
TIME_LIMIT = 600
RENDER = """
import json, sys
from pathlib import Path
import nbformat
from book.export_notebooks import export_all
from book.pages import render
from book.pdf import make_pdf
from book.compile_notebooks import compile_sections
from book.errors import BookError
from book.execute_notebooks import with_outputs

dealt, target = json.loads(Path("outputs.json").read_text("utf-8")), sys.argv[1]
sections, shown = compile_sections(), []
for section in sections:
    executed = with_outputs(section, section.notebook)
    for cell, outputs in zip(executed.code_cells, dealt.get(section.name, {}).get(section.tab, []), strict=True):
        cell.outputs = nbformat.from_dict(outputs)
    shown.append(executed)
try:
    if target == "html":
        export_all(sections)
        render(shown)
    else:
        make_pdf(shown, target)
except BookError as error:
    sys.exit(f"error: {error}")
"""


Sections = Mapping[str, Sequence[Sequence[NotebookNode]]]


def make_book(folder: Path, sections: Sections) -> None:
    """Write the sources of a book.

    Args:
        folder: A folder for it, which need not exist.
        sections: By their names, such as ``svgs``, the outputs of each cell. They are dealt out to the frameworks in
            turn: the first one of each cell is shown by PyTorch, the fifth as well. Behind each there is a mark.
    """
    chapter = folder / "chapter_hostile"
    chapter.mkdir(parents=True)
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    listed = "\n".join(f"chapter_hostile/{name}" for name in sections)
    (folder / "index.md").write_text(f"# Odd outputs\n\nText.\n\n```toc\n{listed}\n```\n", "utf-8")
    for name, cells in sections.items():
        # Cells without a text between them would be in one group of tabs.
        texts = (
            f"Cell {number}:\n\n```{{.python .input}}\n%%tab all\ncell = {number}\n```\n"
            for number in range(1, len(cells) + 1)
        )
        (chapter / f"{name}.md").write_text("\n".join([f"# Section {name}\n", *texts, "The end.\n"]), "utf-8")
    dealt = {}
    for name, cells in sections.items():
        marked = [
            [[output, text(mark)] for output, mark in zip(cell, own, strict=True)]
            for cell, own in zip(cells, marks(cells), strict=True)
        ]
        dealt[f"chapter_hostile/{name}"] = {
            tab: [list(chain.from_iterable(cell[i :: len(TABS)])) for cell in marked] for i, tab in enumerate(TABS)
        }
    (folder / "outputs.json").write_text(json.dumps(dealt), "utf-8")


def marks(cells: Sequence[Sequence[NotebookNode]]) -> list[list[str]]:
    """The text that stands behind each output of a section."""
    return [[f"after {number}.{i}" for i in range(len(cell))] for number, cell in enumerate(cells, 1)]


def groups(cells: Sequence[Sequence[NotebookNode]]) -> list[list[list[Any]]]:
    """For each cell of a section, each panel as a framework and the marks in it: what `FOUND_GROUPS` should give."""
    return [[[tab, own[i :: len(TABS)]] for i, tab in enumerate(TABS)] for own in marks(cells)]


# To be evaluated in a browser.
FOUND_GROUPS = """() => [...document.querySelectorAll(".tabs")].map((group) => {
    const panels = [...group.children].filter((child) => child.matches(".panel"));
    const texts = (panel) => [...panel.querySelectorAll(":scope > pre.output")].map((output) => output.textContent);
    const marks = (panel) => texts(panel).filter((text) => /^after [0-9.]+$/.test(text));
    return panels.map((panel) => [panel.dataset.framework, marks(panel)]);
})"""


def text(words: str) -> NotebookNode:
    """An output of text that stands alone."""
    return from_dict({"output_type": "display_data", "data": {"text/plain": words}, "metadata": {}})


def render_book(folder: Path, target: str = "html") -> subprocess.CompletedProcess[str]:
    """Render such a book: to pages, which are in ``_build/html`` then, or to the PDF of a framework."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", RENDER, target]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT)


def in_cells(outputs: Sequence[NotebookNode], size: int = 16) -> list[list[NotebookNode]]:
    """Outputs in cells of so many."""
    return [list(outputs[i : i + size]) for i in range(0, len(outputs), size)]
