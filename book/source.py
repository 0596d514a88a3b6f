"""The Markdown source: check it, and compile it through d2lbook into a notebook per section and tab."""

import configparser
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "_build"
COMPILED = BUILD / "compiled"
REMEMBERED = BUILD / "remembered"  # what earlier builds have made of the sources
NOTEBOOKS = BUILD / "notebooks"  # copies for people to work in

# What decides, besides its text, what a source becomes.
TOOLS = ("book/*.py", "config.ini", "constraints.txt", "references.bib")
# What a tab needs installed, and the module of the helper that it imports.
FRAMEWORKS = {"pytorch": "torch", "tensorflow": "tensorflow", "mxnet": "mxnet", "jax": "jax"}
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}

CELL_TABS = re.compile(r"^(?:%%tab|# *@tab)\b *(.*)$")
SELECTED_TABS = re.compile(r"tab\.(?:selected|interact_select)\(([^)]*)\)")
BLOCK_BEGIN = re.compile(r"^:begin_tab:`([^`]*)`")
BLOCK_END = re.compile(r"^:end_tab:")
MARK_ENDS = {"[**": "**]", "(**": "**)", "[~~": "~~]", "(~~": "~~)"}
SLIDE_MARK = re.compile("|".join(map(re.escape, [*MARK_ENDS, *MARK_ENDS.values()])))
FENCE = re.compile(r"^(`{3,}) *(.*)$")
LABEL = re.compile(r":(?:eq)?label:`([^`]+)`")
REFERENCE = re.compile(r":(?:num|eq)ref:`([^`]+)`")
CITATION = re.compile(r":citet?:`([^`]+)`")
ENTRY = re.compile(r"^@\w+\{\s*([^,\s]+)", re.M)


class BookError(Exception):
    """Something in the sources or the environment that the user has to mend. The message says what and where."""


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
    path = ROOT / "config.ini"
    config = configparser.ConfigParser()
    config.read(path, encoding="utf-8")
    if not config.get("build", "tabs", fallback=""):
        raise BookError("config.ini: section [build] names no tabs, such as tabs = pytorch, tensorflow")
    tabs = [tab.strip() for tab in config["build"]["tabs"].split(",")]
    line = next(n for n, text in enumerate(path.read_text("utf-8").splitlines(), 1) if re.match(r"\s*tabs\s*=", text))
    _check_tabs(tabs, list(FRAMEWORKS), f"config.ini:{line}")
    return tabs


def is_installed(tab: str) -> bool:
    """Whether the tab's framework can be imported here."""
    return importlib.util.find_spec(FRAMEWORKS[tab]) is not None


def source_files() -> list[Path]:
    """The book's Markdown files."""
    return [ROOT / "index.md", *sorted(ROOT.glob("chapter_*/*.md"))]


def section_name(source: Path) -> str:
    """The name of a source's section, such as ``chapter_cnn/alexnet``."""
    return str(source.relative_to(ROOT).with_suffix(""))


def check_source(path: Path, tabs: list[str]) -> None:
    """Check fences, tab marks and slide marks of one source.

    Raises:
        BookError: A fence, tab block or slide mark is not closed, or a mark names a tab that ``config.ini`` does not.
    """
    name = path.relative_to(ROOT)
    fence, block, opened = None, None, []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        place = f"{name}:{number}"
        if match := FENCE.match(line):
            # Fences of another length inside one are its text.
            if fence is not None and (match[2].startswith("{.python") or (match[2] and match[1] == fence[0])):
                raise BookError(f"{fence[1]}: the code fence {fence[0]} that opens here is never closed")
            if fence is None:
                fence = (match[1], place)
            elif match[1] == fence[0] and not match[2]:
                fence = None
        elif match := CELL_TABS.match(line):
            _check_tabs(match[1].split(","), [*tabs, "all"], place)
        elif match := BLOCK_BEGIN.match(line):
            if block is not None:
                raise BookError(f"{place}: a tab block begins inside the one of {block}")
            _check_tabs(match[1].split(","), tabs, place)
            block = place
        elif BLOCK_END.match(line):
            if block is None:
                raise BookError(f"{place}: a tab block ends that never began")
            block = None
        if fence is None:
            for mark in SLIDE_MARK.findall(line):
                if mark == MARK_ENDS.get(opened[-1][0] if opened else ""):
                    opened.pop()
                elif mark in MARK_ENDS:
                    opened.append((mark, place))
        for match in SELECTED_TABS.finditer(line):
            _check_tabs(re.findall(r"['\"]([^'\"]*)['\"]", match[1]), tabs, place)
    if fence is not None:
        raise BookError(f"{fence[1]}: the code fence {fence[0]} that opens here is never closed")
    if block is not None:
        raise BookError(f"{block}: the tab block that begins here never ends")
    for mark, place in opened:
        raise BookError(f"{place}: the slide mark {mark} that opens here is never closed by {MARK_ENDS[mark]}")


def check_names(paths: list[Path]) -> None:
    """Check that each label of the book is given once, and that references and citations lead to something.

    Raises:
        BookError: Two things have the same label, a reference names no label, or a citation no entry.
    """
    labels: dict[str, str] = {}
    for label, place in _names(LABEL, paths):
        if label in labels:
            raise BookError(f"{place}: the label '{label}' is already that of {labels[label]}")
        labels[label] = place
    for label, place in _names(REFERENCE, paths):
        if label not in labels:
            raise BookError(f"{place}: a reference to '{label}', but nothing has this label")
    entries = ENTRY.findall((ROOT / "references.bib").read_text("utf-8"))
    for key, place in _names(CITATION, paths):
        if key not in entries:
            raise BookError(f"{place}: a citation of '{key}', but references.bib has no such entry")


def _names(mark: re.Pattern, paths: list[Path]) -> Iterator[tuple[str, str]]:
    """The names in all marks of a kind, each with its file and line."""
    for path in paths:
        text = path.read_text("utf-8")
        for match in mark.finditer(text):
            place = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            yield from ((name.strip(), place) for name in match[1].split(","))


@contextlib.contextmanager
def old_setuptools() -> Iterator[None]:
    """For imports of d2l-notedown and pybtex: both import pkg_resources, which says on import that it will go away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        yield


def d2lbook_build() -> ModuleType:
    """d2lbook's module ``build``, which takes seconds to import."""
    with old_setuptools():
        from d2lbook import build
    return build


@in_root
def compile_sections() -> list[Section]:
    """Check all sources and compile them for each tab; gives the sections tab by tab.

    Raises:
        BookError: See `configured_tabs`, `check_source` and `check_names`.
    """
    tabs = configured_tabs()
    for path in source_files():
        check_source(path, tabs)
    check_names(source_files())
    tools, sections = files_hash(TOOLS), []
    for tab in tabs:
        for source in source_files():
            name, made_from = section_name(source), [tools, source.read_text("utf-8")]
            notebook = remembered(f"compiled/{tab}/{name}", made_from, functools.partial(compile_source, source, tab))
            if notebook is not None:
                sections.append(Section(name, tab, notebook))
    return sections


@in_root
def compile_source(source: Path, tab: str) -> NotebookNode | None:
    """Compile one source for one tab; ``None`` if it has nothing for it."""
    build = d2lbook_build()
    with tempfile.TemporaryDirectory() as folder:  # one of its own, for several processes may compile
        target = Path(folder) / "d2lbook.ipynb"
        build._process_and_eval_notebook(None, str(source), str(target), False, build.Config(tab=tab))
        if not target.stat().st_size:  # how d2lbook says that there is nothing
            return None
        return _finish(nbformat.read(target, as_version=4), tab)


def remembered(name: str, made_from: Sequence[str], make: Callable[[], NotebookNode | None]) -> NotebookNode | None:
    """What ``make`` gives, or gave in an earlier build if all that it makes it from is the same.

    Args:
        name: Name of the result; there is one of that name, the last.
        made_from: Texts that say all that the result depends on.
    """
    key, path = hashlib.sha256(json.dumps(made_from).encode()).hexdigest(), REMEMBERED / f"{name}.json"
    if path.exists():
        known = json.loads(path.read_text("utf-8"))
        if known["key"] == key:
            return nbformat.from_dict(known["notebook"])
    notebook = make()
    write_whole(json.dumps({"key": key, "notebook": notebook}), path)
    return notebook


def files_hash(patterns: Sequence[str], *more: str) -> str:
    """Hash of the files of this repository that have such paths, and of more texts."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in (path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def write_whole(text: str, path: Path) -> None:
    """Write a file such that ``path`` holds the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # another process may write the same file
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_notebook(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook such that ``path`` holds the old one or the new one, never a part; whether it was another."""
    text = nbformat.writes(notebook) + "\n"
    if path.exists() and path.read_text("utf-8") == text:
        return False
    write_whole(text, path)
    return True


def source_notebook(path: Path) -> NotebookNode:
    """A source as one notebook with the cells of all tabs, which starts with a menu to choose the framework."""
    with old_setuptools():
        from d2lbook.notebook import read_markdown
    return _finish(read_markdown(path.read_text("utf-8")), "all")


def _finish(notebook: NotebookNode, tab: str) -> NotebookNode:
    """Name the kernel, and give the cells names that stay from one compilation to the next and differ between tabs."""
    notebook.metadata["kernelspec"] = KERNEL
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{tab}-{number}"
    return notebook


def _check_tabs(found: list[str], known: list[str], place: str) -> None:
    for tab in (name.strip() for name in found):
        if tab not in known:
            raise BookError(f"{place}: unknown tab '{tab}'; known are {', '.join(known)}")
