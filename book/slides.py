"""Lecture slides: what the text marks for them, with the code and its outputs, as a deck per section and tab."""

import contextlib
import copy
import io
import tempfile
import tokenize
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .compiler import d2lbook
from .handout import readable
from .source import Section, in_root

JOINER = "\N{WORD JOINER}"


@in_root
def deck(section: Section, notebook: NotebookNode) -> NotebookNode | None:
    """The section as a notebook of slides for RISE; ``None`` if nothing in it is marked for them.

    Args:
        notebook: The section with the outputs to show.
    """
    config = d2lbook("config").Config()
    slides = d2lbook("slides").Slides(config)
    slides.config = config  # d2lbook keeps it only where a repository for the decks is configured
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deck.ipynb"
        notebook = copy.deepcopy(notebook)
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.source = _kept_apart(cell.source)
        slides.generate(notebook, str(path))
        if not path.exists():
            return None
        made = readable(nbformat.read(path, as_version=4), section.name)
    for number, cell in enumerate(made.cells):
        cell.id = f"slide-{number}"  # d2lbook gives its own cells other names each time
        cell.source = cell.source.replace(JOINER, "")
        begins = cell.metadata.get("slideshow", {}).get("slide_type") == "slide"
        if begins and not cell.source.startswith("#") and "\n" not in cell.source:
            cell.source = f"## {cell.source}"
    return made


def _kept_apart(code: str) -> str:
    """Code in whose strings a sign that is not seen keeps ``#`` and blank apart: d2lbook takes these for a comment."""
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # of what only IPython understands
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type != tokenize.COMMENT and "# " in token.string:
                code = code.replace(token.string, token.string.replace("# ", f"#{JOINER} "))
    return code
