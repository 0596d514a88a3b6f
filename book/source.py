"""The Markdown sources, and the checks that each is what it looks like and that they fit together."""

import codecs
import configparser
import functools
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .errors import BookError
from .files import ROOT
from .frameworks import FRAMEWORKS
from .sanitize_svg import SvgError, only_drawing
from .syntax import Block, check_tabs, read_blocks, read_source

LABEL = re.compile(r":(?:eq)?label:`([^`]+)`")
REFERENCE = re.compile(r":(?:num|eq)ref:`([^`]+)`")
CITATION = re.compile(r":citet?:`([^`]+)`")
PICTURE = re.compile(r"!\[[^\n]*?\]\(([^()\s]+\.svg)\)")
ENTRY = re.compile(r"^@\w+\{\s*([^,\s]+)", re.M)


@dataclass(frozen=True)
class Source:
    """A Markdown file of the book.

    Attributes:
        path: Where it is.
        text: What is in it, with ``\\n`` at the ends of lines.
    """

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The source in a file.

        Raises:
            BookError: It is not UTF-8, or begins with a byte-order mark.
        """
        return cls(path, read_text(path))

    @property
    def name(self) -> str:
        """The name of its section, such as ``chapter_cnn/alexnet``."""
        return self.path.relative_to(ROOT).with_suffix("").as_posix()

    @property
    def file(self) -> str:
        """The file's path from the root of the book, for messages."""
        return file_name(self.path)

    @functools.cached_property
    def blocks(self) -> list[Block]:
        """Its pieces: cells, code within the text, and text.

        Raises:
            BookError: See `read_blocks`.
        """
        return read_blocks(self.text, self.file, list(FRAMEWORKS))

    @property
    def title(self) -> str | None:
        """Its title, if it has one."""
        lines = (line for block in self.blocks if block.kind == "text" for line in block.lines)
        return next((line[2:] for line in lines if line.startswith("# ")), None)

    def contents(self) -> Iterator[tuple[str, Path]]:
        """What its tables of contents list, each with its place."""
        for block in (block for block in self.blocks if block.opening == "```toc"):
            for number, line in enumerate(block.lines, block.first):
                if line.strip() and not line.startswith(":"):
                    yield f"{self.file}:{number}", Path(os.path.normpath(self.path.parent / f"{line.strip()}.md"))


def configured_tabs() -> list[str]:
    """The tabs that ``config.ini`` names.

    Raises:
        BookError: One of them is not a framework of this book.
    """
    value, place = setting("build", "tabs")
    if not value:
        raise BookError("config.ini: section [build] names no tabs, such as tabs = pytorch, tensorflow")
    tabs = [tab.strip() for tab in value.split(",")]
    check_tabs(tabs, list(FRAMEWORKS), place)
    return tabs


def setting(section: str, name: str) -> tuple[str, str]:
    """What ``config.ini`` sets a name to, empty if to nothing, and the place where it does, such as ``config.ini:3``.

    Raises:
        BookError: The file cannot be read.
    """
    text, config = read_text(ROOT / "config.ini"), configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(text, "config.ini")
    except configparser.Error as error:
        raise BookError(str(error)) from None
    lines = (number for number, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*{name}\s*[=:]", line))
    return config.get(section, name, fallback=None) or "", f"config.ini:{next(lines, 1)}"


def source_files() -> list[Path]:
    """The book's Markdown files. What begins with a dot is a copy that some program keeps."""
    chapters = sorted(path for path in ROOT.glob("chapter_*/*.md") if path.name[0] != ".")
    return [ROOT / "index.md", *chapters, *ROOT.glob("references.md")]


def sources() -> list[Source]:
    """The book's sources.

    Raises:
        BookError: See `Source.read`.
    """
    return [Source.read(path) for path in source_files()]


def check_sources() -> list[str]:
    """Check all sources; gives the tabs of the book.

    Raises:
        BookError: See `configured_tabs`, `check_files`, `check_source`, `check_names` and `check_pictures`.
    """
    tabs, paths = configured_tabs(), source_files()
    check_files(paths)
    read = sources()
    for source in read:
        check_source(source, tabs)
    check_names(read)
    check_pictures(read)
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
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def check_source(source: Source, tabs: list[str]) -> list[str]:
    """Check that d2lbook takes a source for what it looks like; gives the tabs that it has something for.

    Raises:
        BookError: Cells, tab blocks, branches or slide marks are not as d2lbook needs them, or a mark names a tab that
            ``config.ini`` does not. The message begins with the file and the line.
    """
    return list(_tabs_of(source.text, source.file, tuple(tabs)))


@functools.cache
def _tabs_of(text: str, file: str, tabs: tuple[str, ...]) -> list[str]:
    return read_source(text, file, list(tabs))


def check_contents() -> None:
    """Check that each section has a title and a place in a table of contents, which readers find it by.

    Raises:
        BookError: One has none.
    """
    read = sources()
    listed = {path for source in read for _, path in source.contents()}
    for source in read:
        if source.title is None:
            raise BookError(f"{source.file}:1: no title: a line that begins with `# `")
        if source.path not in listed and source.path != ROOT / "index.md":
            raise BookError(
                f"{source.file}:1: in no table of contents: list it between ```toc and ``` of another source"
            )


def check_names(read: list[Source]) -> None:
    """Check that each label of the book is given once, and that references, citations and contents lead to something.

    Raises:
        BookError: Two things have the same label, a reference names no label, a citation no entry, or a table of
            contents no section.
    """
    paths = [source.path for source in read]
    for place, path in (entry for source in read for entry in source.contents()):
        if path not in paths:
            raise BookError(f"{place}: the table of contents names {path.stem}, but there is no {file_name(path)}")
    labels: dict[str, str] = {}
    for label, place in _names(LABEL, read):
        if label in labels:
            raise BookError(f"{place}: the label '{label}' is already that of {labels[label]}")
        labels[label] = place
    for label, place in _names(REFERENCE, read):
        if label not in labels:
            raise BookError(f"{place}: a reference to '{label}', but nothing has this label")
    entries = ENTRY.findall(read_text(ROOT / "references.bib"))
    for key, place in _names(CITATION, read):
        if key not in entries:
            raise BookError(f"{place}: a citation of '{key}', but references.bib has no such entry")


def check_pictures(read: list[Source]) -> None:
    """Check that the SVGs in the text only draw: pages link to their files, and a browser runs what is in these.

    Raises:
        BookError: One does more.
    """
    for picture, place in _names(PICTURE, read):
        path = (ROOT / place.partition(":")[0]).parent / picture
        if path.is_file():
            try:
                only_drawing(path.read_bytes())
            except SvgError as error:
                raise BookError(f"{place}: the picture {picture} does more than draw: {error}") from None


def _names(mark: re.Pattern, read: list[Source]) -> Iterator[tuple[str, str]]:
    """The names in all marks of a kind, each with its file and line."""
    for source in read:
        for match in mark.finditer(source.text):
            place = f"{source.file}:{source.text.count(chr(10), 0, match.start()) + 1}"
            yield from ((name.strip(), place) for name in match[1].split(","))


def fill_with_nothing(folder: Path) -> None:
    """Where a folder has no notebook of a section, have an empty file say so: d2lbook would compile one of its own."""
    for path in (folder / f"{source.name}.ipynb" for source in sources()):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()
