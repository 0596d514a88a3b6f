"""Lecture slides: what the text marks for them, with the code and its outputs, as a deck per section and tab."""

import copy
from pathlib import Path

from nbformat import NotebookNode

from .source import NOTEBOOKS, Section, in_root

SLIDES = NOTEBOOKS / "slides"


@in_root
def write_decks(shown: list[tuple[Section, NotebookNode]], folder: Path = SLIDES) -> list[Path]:
    """Write the decks, as notebooks for RISE; gives their paths.

    Args:
        shown: Each section with the outputs to show.
        folder: Where to write them, as ``TAB/SECTION.ipynb``.
    """
    from d2lbook.config import Config
    from d2lbook.slides import Slides

    slides = Slides(Config())
    slides.config = Config()  # d2lbook keeps it only where a repository for the decks is configured
    decks = [folder / section.tab / f"{section.name}.ipynb" for section, _ in shown]
    for (_, notebook), deck in zip(shown, decks, strict=True):
        slides.generate(copy.deepcopy(notebook), str(deck))
    return [deck for deck in decks if deck.exists()]
