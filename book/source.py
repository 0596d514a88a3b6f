"""The Markdown source: check it, and compile it through d2lbook into a notebook per section and tab."""

import codecs
import configparser
import contextlib
import functools
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbformat import NotebookNode

from .cache import cached_notebook
from .compiler import d2lbook
from .compiler import old_setuptools as old_setuptools
from .errors import BookError
from .files import ROOT
from .frameworks import FRAMEWORKS
from .stale import code_files, files_hash
from .svg import SvgError, only_drawing
from .syntax import Block, check_tabs, read_blocks, read_source

# What decides, besides its text, what a source becomes.
TOOLS = (*code_files(ROOT, "book/source.py"), "config.ini", "constraints.txt", "references.bib")
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}

LABEL = re.compile(r":(?:eq)?label:`([^`]+)`")
REFERENCE = re.compile(r":(?:num|eq)ref:`([^`]+)`")
CITATION = re.compile(r":citet?:`([^`]+)`")
PICTURE = re.compile(r"!\[[^\n]*?\]\(([^()\s]+\.svg)\)")
ENTRY = re.compile(r"^@\w+\{\s*([^,\s]+)", re.M)


@dataclass(frozen=True)
class Section:
    """One compiled source.

    Attributes:
        name: Path of the source without its ending, such as ``chapter_cnn/alexnet``.
        tab: The framework.
        notebook: The compiled notebook, without outputs.
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


def in_root(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for what uses d2lbook, which looks for ``config.ini`` in the current folder."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with contextlib.chdir(ROOT):
            return function(*args, **kwargs)

    return wrapper


def configured_tabs() -> list[str]:
    """The tabs that ``config.ini`` names.

    Raises:
        BookError: One of them is not a framework of this book.
    """
    text, config = read_text(ROOT / "config.ini"), configparser.ConfigParser()
    try:
        config.read_string(text, "config.ini")
    except configparser.Error as error:
        raise BookError(str(error)) from None
    if not config.get("build", "tabs", fallback=""):
        raise BookError("config.ini: section [build] names no tabs, such as tabs = pytorch, tensorflow")
    tabs = [tab.strip() for tab in config["build"]["tabs"].split(",")]
    line = next(n for n, text in enumerate(text.splitlines(), 1) if re.match(r"\s*tabs\s*=", text))
    check_tabs(tabs, list(FRAMEWORKS), f"config.ini:{line}")
    return tabs


def source_files() -> list[Path]:
    """The book's Markdown files. What begins with a dot is a copy that some program keeps."""
    return [ROOT / "index.md", *sorted(path for path in ROOT.glob("chapter_*/*.md") if path.name[0] != ".")]


def check_sources() -> list[str]:
    """Check all sources; gives the tabs of the book.

    Raises:
        BookError: See `configured_tabs`, `check_files`, `check_source`, `check_names` and `check_pictures`.
    """
    tabs, paths = configured_tabs(), source_files()
    check_files(paths)
    for path in paths:
        check_source(path, tabs)
    check_names(paths)
    check_pictures(paths)
    return tabs


def check_files(paths: list[Path]) -> None:
    """Check the names of the sources, and that there are no others that would be passed over.

    Raises:
        BookError: There is no ``index.md``, a name has blanks or signs, or a Markdown file is no source.
    """
    if not paths[0].exists():
        raise BookError("index.md: there is no such file, with which a book begins")
    for path in sorted(ROOT.glob("chapter_*/**/*")):
        name = file_name(path)
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path.suffix.lower() not in (".md", ".markdown"):
            continue
        if path not in paths:
            raise BookError(f"{name}: a Markdown file, but no source of the book: these are chapter_NAME/SECTION.md")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise BookError(f"{name}: the name of a source has letters, digits, dots, - and _ only")


def section_name(source: Path) -> str:
    """The name of a source's section, such as ``chapter_cnn/alexnet``."""
    return str(source.relative_to(ROOT).with_suffix(""))


def read_text(path: Path) -> str:
    """The text of a file of the book, with ``\\n`` at the ends of lines; none if there is no such file.

    Raises:
        BookError: It is not UTF-8, or begins with a byte-order mark.
    """
    data = path.read_bytes() if path.exists() else b""
    if data.startswith(codecs.BOM_UTF8):
        raise BookError(f"{file_name(path)}:1: begins with a byte-order mark; save it as UTF-8 without one")
    try:
        return io.TextIOWrapper(io.BytesIO(data), "utf-8").read()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise BookError(f"{file_name(path)}:{line}: the byte {byte} is not UTF-8; save the file as UTF-8") from None


def file_name(path: Path) -> str:
    """A file's path from the root of the book, for messages."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def check_source(path: Path, tabs: list[str]) -> list[str]:
    """Check that d2lbook takes a source for what it looks like; gives the tabs that it has something for.

    Raises:
        BookError: Cells, tab blocks, branches or slide marks are not as d2lbook needs them, or a mark names a tab that
            ``config.ini`` does not. The message begins with the file and the line.
    """
    return list(_tabs_of(read_text(path), file_name(path), tuple(tabs)))


@functools.cache
def _tabs_of(text: str, file: str, tabs: tuple[str, ...]) -> list[str]:
    return read_source(text, file, list(tabs))


def check_contents() -> None:
    """Check that each section has a title and a place in a table of contents, which readers find it by.

    Raises:
        BookError: One has none.
    """
    listed = {path for source in source_files() for _, path in contents(source)}
    for path in source_files():
        if title(path) is None:
            raise BookError(f"{file_name(path)}:1: no title: a line that begins with `# `")
        if path not in listed and path != ROOT / "index.md":
            raise BookError(
                f"{file_name(path)}:1: in no table of contents: list it between ```toc and ``` of another source"
            )


def title(path: Path) -> str | None:
    """The title of a source, if it has one."""
    lines = (line for block in _blocks(path) if block.kind == "text" for line in block.lines)
    return next((line[2:] for line in lines if line.startswith("# ")), None)


def contents(path: Path) -> Iterator[tuple[str, Path]]:
    """What the tables of contents in a source list, each with its place."""
    for block in (block for block in _blocks(path) if block.opening == "```toc"):
        for number, line in enumerate(block.lines, block.first):
            if line.strip() and not line.startswith(":"):
                yield f"{file_name(path)}:{number}", Path(os.path.normpath(path.parent / f"{line.strip()}.md"))


def _blocks(path: Path) -> list[Block]:
    return read_blocks(read_text(path), file_name(path), list(FRAMEWORKS))


def check_names(paths: list[Path]) -> None:
    """Check that each label of the book is given once, and that references, citations and contents lead to something.

    Raises:
        BookError: Two things have the same label, a reference names no label, a citation no entry, or a table of
            contents no section.
    """
    for place, path in (entry for source in paths for entry in contents(source)):
        if path not in paths:
            raise BookError(f"{place}: the table of contents names {path.stem}, but there is no {file_name(path)}")
    labels: dict[str, str] = {}
    for label, place in _names(LABEL, paths):
        if label in labels:
            raise BookError(f"{place}: the label '{label}' is already that of {labels[label]}")
        labels[label] = place
    for label, place in _names(REFERENCE, paths):
        if label not in labels:
            raise BookError(f"{place}: a reference to '{label}', but nothing has this label")
    entries = ENTRY.findall(read_text(ROOT / "references.bib"))
    for key, place in _names(CITATION, paths):
        if key not in entries:
            raise BookError(f"{place}: a citation of '{key}', but references.bib has no such entry")


def check_pictures(paths: list[Path]) -> None:
    """Check that the SVGs in the text only draw: pages link to their files, and a browser runs what is in these.

    Raises:
        BookError: One does more.
    """
    for picture, place in _names(PICTURE, paths):
        path = (ROOT / place.partition(":")[0]).parent / picture
        if path.is_file():
            try:
                only_drawing(path.read_bytes())
            except SvgError as error:
                raise BookError(f"{place}: the picture {picture} does more than draw: {error}") from None


def _names(mark: re.Pattern, paths: list[Path]) -> Iterator[tuple[str, str]]:
    """The names in all marks of a kind, each with its file and line."""
    for path in paths:
        text = read_text(path)
        for match in mark.finditer(text):
            place = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            yield from ((name.strip(), place) for name in match[1].split(","))


def d2lbook_build() -> ModuleType:
    """d2lbook's module ``build``, which takes seconds to import."""
    return d2lbook("build")


@in_root
def compile_sections() -> list[Section]:
    """Check all sources and compile them for each tab; gives the sections tab by tab.

    Raises:
        BookError: See `check_sources`.
    """
    tabs = check_sources()
    tools, sections = files_hash(TOOLS), []
    for tab in tabs:
        for source in source_files():
            name, made_from = section_name(source), [tools, read_text(source)]
            notebook = cached_notebook(
                f"compiled/{tab}/{name}", made_from, functools.partial(compile_source, source, tab)
            )
            if notebook is not None:
                sections.append(Section(name, tab, notebook))
    return sections


@in_root
def compile_source(source: Path, tab: str) -> NotebookNode | None:
    """Compile one source for one tab; ``None`` if it has nothing for it.

    Raises:
        BookError: See `check_source`; or d2lbook cannot replace the names that ``config.ini`` gives to functions.
    """
    if tab not in check_source(source, configured_tabs()):
        return None
    compiler, library, settings = d2lbook("notebook"), d2lbook("library"), d2lbook("config").Config(tab=tab)
    notebook = compiler.split_markdown_cell(compiler.read_markdown(read_text(source)))
    notebook = compiler.get_tab_notebook(notebook, tab, tab)  # a cell without a mark is for the second of them: for all
    try:
        notebook = library.format_code_nb(library.replace_alias(notebook, settings.library.get(tab, {})))
    except SyntaxError as error:
        wrong = (error.text or "").strip()
        line = next((n for n, line in enumerate(read_text(source).split("\n"), 1) if line.strip() == wrong), 1)
        raise BookError(
            f"{file_name(source)}:{line}: d2lbook cannot replace names such as d2l.reshape beside what only IPython "
            "understands: put this in a cell of its own"
        ) from None
    # Of a cell with branches for others only, nothing is left.
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type != "code" or cell.source]
    notebook.metadata["language_info"] = {"name": "python"}
    return _finish(nbformat.reads(nbformat.writes(notebook), as_version=4), tab)


def fill_with_nothing(folder: Path) -> None:
    """Where a folder has no notebook of a section, have an empty file say so: d2lbook would compile one of its own."""
    for path in (folder / f"{section_name(source)}.ipynb" for source in source_files()):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()


def source_notebook(path: Path) -> NotebookNode:
    """A source as one notebook with the cells of all tabs, which starts with a menu to choose the framework."""
    return _finish(d2lbook("notebook").read_markdown(read_text(path)), "all")


def _finish(notebook: NotebookNode, tab: str) -> NotebookNode:
    """Name the kernel, and give the cells names that stay from one compilation to the next and differ between tabs."""
    notebook.metadata["kernelspec"] = KERNEL
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{tab}-{number}"
    return notebook
