"""A section on its way from a source to a page, for one framework.

    Source -> Compiled -> Executed -> Safe -> Page

Each is made from the one before: `Source` by `book.source`, `Compiled` by `book.compile_notebooks`, `Executed` by
`book.execute_notebooks` or `book.recordings`, `Safe` by `book.sanitize_outputs` alone, `Page` by `book.pages`.
"""

from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from .errors import BookError


@dataclass(frozen=True)
class Section:
    """What all of them but sources and pages have.

    Attributes:
        name: Path of the source without its ending, such as ``chapter_cnn/alexnet``.
        tab: The framework.
        notebook: The text and the cells of the framework.
    """

    name: str
    tab: str
    notebook: NotebookNode

    @property
    def code_cells(self) -> list[NotebookNode]:
        """The cells that run, in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    def __str__(self) -> str:
        return f"{self.tab} {self.name}"


class Compiled(Section):
    """A source as a notebook without outputs."""


class Executed(Section):
    """A section with the outputs of a run, or of a recording. Whatever the code has printed may be in them."""


def sections_named(name: str, sections: list[Compiled]) -> list[Compiled]:
    """Those of one file, such as ``alexnet``, in each framework; all if the name is empty.

    Raises:
        BookError: There is none of this name.
    """
    known = dict.fromkeys(Path(section.name).name for section in sections if section.code_cells)
    if name and name not in known:
        raise BookError(f"SECTION={name!r}: known sections are {', '.join(known)}")
    return [section for section in sections if name in ("", Path(section.name).name)]
