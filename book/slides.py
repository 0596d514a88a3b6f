"""Lecture slides: what the text marks for them, with the code and its outputs, as a deck per section and tab."""

import copy
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .compiler import d2lbook
from .handout import readable
from .source import Section, in_root


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
        slides.generate(copy.deepcopy(notebook), str(path))
        if not path.exists():
            return None
        made = readable(nbformat.read(path, as_version=4), section.name)
    for number, cell in enumerate(made.cells):
        cell.id = f"slide-{number}"  # d2lbook gives its own cells other names each time
        begins = cell.metadata.get("slideshow", {}).get("slide_type") == "slide"
        if begins and not cell.source.startswith("#") and "\n" not in cell.source:
            cell.source = f"## {cell.source}"
    return made
