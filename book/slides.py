"""Lecture slides: what the text marks for them, with the code and its outputs, as a deck per section and tab."""

import contextlib
import copy
import io
import tokenize

from nbformat import NotebookNode

from . import d2lbook_adapter
from .export_notebooks import readable
from .sanitize_outputs import Safe

JOINER = "\N{WORD JOINER}"


def deck(section: Safe) -> NotebookNode | None:
    """The section as a notebook of slides for RISE; ``None`` if nothing in it is marked for them."""
    notebook = copy.deepcopy(section.notebook)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.source = _kept_apart(cell.source)
    slides = d2lbook_adapter.slides(notebook)
    if slides is None:
        return None
    made = readable(slides, section.name)
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
