"""The structure of rendered pages: each group of tabs with its panels, and in each panel what its cells show."""

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import NamedTuple

from nbformat import NotebookNode

from .d2lbook_adapter import as_shown
from .errors import BookError
from .frameworks import FRAMEWORKS
from .rst_outputs import PICTURES, RST, TEXT, decoded
from .section import Section

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
GROUPS = {"tabs", "some-tabs"}
DIRECTIVE = re.compile(r"\.\. ([\w-]+)::\s+(.*)", re.S)


class Part(NamedTuple):
    """Something that a cell shows.

    Attributes:
        kind: ``code``, ``text``, ``html`` or ``picture``.
        text: Its letters without blanks; of a picture none.
    """

    kind: str
    text: str = ""


class StructureError(Exception):
    """Elements of a page do not stand where they belong; the message says which and in which line."""


def check_page(html: str, panels: Sequence[Section]) -> None:
    """Check that a page has as many panels in a group of tabs as there are frameworks, and all that its cells show.

    Args:
        html: The rendered page.
        panels: The section of each framework, with the outputs as they were given to nbconvert, see `book.rst_outputs`.

    Raises:
        BookError: It has not; the message names section, tab and cell.
    """
    parser, problem = _Panels([section.tab for section in panels]), ""
    try:
        parser.feed(html)
    except StructureError as error:
        problem = str(error)
    for section in panels:
        cell, is_whole = _last_shown(as_shown(section.notebook), parser.parts[section.tab])
        if problem and section.tab == parser.framework:
            raise BookError(f"{section}: the page's tabs end in disorder at cell {cell}: {problem}")
        if not problem and not is_whole:
            raise BookError(f"{section}: the page does not have in its place what cell {cell} shows")
    if problem:
        raise BookError(f"{panels[0]}: the page's elements are in disorder: {problem}")


def _last_shown(notebook: NotebookNode, found: Sequence[Part]) -> tuple[int, bool]:
    """The number of the last cell that is looked for in a page, and whether all are there, in their order.

    Between them there may be others: code and pictures of the text.
    """
    number, rest = 0, iter(found)
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    open_code = ""
    for number, cell in enumerate(cells, 1):
        for part in _parts(cell):
            # d2lbook makes one block of cells that follow each other.
            if part.kind == "code" and open_code.startswith(part.text):
                open_code = open_code.removeprefix(part.text)
                continue
            match = next((other for other in rest if _begins(other, part)), None)
            if match is None:
                return number, False
            open_code = match.text.removeprefix(part.text) if part.kind == "code" else ""
    return number, True


def _begins(found: Part, part: Part) -> bool:
    if found.kind == part.kind == "code":
        return found.text.startswith(part.text)
    return found == part


def _parts(cell: NotebookNode) -> Iterator[Part]:
    """What a cell shows, in order."""
    if cell.source.strip():
        yield Part("code", _letters(cell.source))
    for output in cell.outputs:
        if match := DIRECTIVE.fullmatch(output.data.get(RST, "")):
            text = decoded(match[2].split())
            if match[1] == TEXT:
                yield Part("text", _letters(text))
            elif text.startswith('<div class="shown">'):
                yield from _parts_of_html(text)
        elif any(kind.startswith("image/") for kind in output.data.keys() & set(PICTURES)):
            yield Part("picture")


def _parts_of_html(html: str) -> list[Part]:
    parser = _Panels([""])
    parser.feed(html)
    return parser.parts[""]


def _letters(text: str) -> str:
    return "".join(text.split())


class _Panels(HTMLParser):
    """Reads a page, element by element.

    Attributes:
        parts: What stands in the panels of each tab, and outside of all panels.
        framework: That of the last panel.
    """

    def __init__(self, tabs: Sequence[str]):
        super().__init__()
        self.parts: dict[str, list[Part]] = {tab: [] for tab in tabs}
        self.framework = ""
        self._open: list[tuple[str, set[str]]] = []  # elements with their classes
        self._panels: list[str] = []  # of the group that is open
        self._part: tuple[str, int, list[str]] | None = None  # kind, depth and text of the part that is open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a part, a panel or a group."""
        attributes = dict(attrs)
        classes = set((attributes.get("class") or "").split())
        if tag == "img":
            self._add(Part("picture"))
        if tag in VOID:
            return
        if "panel" in classes and "id" in attributes:  # others have the links to notebooks
            if not (self._open and GROUPS & self._open[-1][1]):
                self._fail("a panel stands outside of its group of tabs")
            self.framework = attributes["data-framework"] or ""
            self._panels.append(self.framework)
        elif GROUPS & classes:
            if self._within(GROUPS):
                self._fail("a group of tabs begins within another")
            self._panels = []
        self._open.append((tag, classes))
        kind = _kind(tag, classes)
        if kind and self._part is None:
            self._part = (kind, len(self._open), [])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of an element without content, only its picture counts."""
        if tag in VOID:
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        """Take in the text of a part."""
        if self._part:
            self._part[2].append(data)

    def handle_endtag(self, tag: str) -> None:
        """End what has begun last."""
        if tag in VOID:
            return
        if not self._open or self._open[-1][0] != tag:
            self._fail(f"</{tag}> ends what <{self._open[-1][0] if self._open else ''}> began")
        if self._part and self._part[1] == len(self._open):
            self._add(Part(self._part[0], _letters("".join(self._part[2]))))
            self._part = None
        _, classes = self._open.pop()
        if "tabs" in classes and self._panels != list(FRAMEWORKS):
            self._fail(f"a group of tabs has panels for {', '.join(self._panels) or 'none'}")

    def _add(self, part: Part) -> None:
        for tab in [self.framework] if self._within({"panel"}) else self.parts:
            self.parts.setdefault(tab, []).append(part)

    def _within(self, classes: set[str]) -> bool:
        return any(classes & own for _, own in self._open)

    def _fail(self, problem: str) -> None:
        raise StructureError(f"{problem} (line {self.getpos()[0]})")


def _kind(tag: str, classes: set[str]) -> str | None:
    if any(name.startswith("highlight-") for name in classes):
        return "code"
    if tag == "pre" and "output" in classes:
        return "text"
    return "html" if "shown" in classes else None
