"""The notebooks that people work in: what d2lbook's marks mean on a page is said in them in plain Markdown."""

import base64
import copy
import functools
import itertools
import json
import mimetypes
import posixpath
import re
import shutil
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
from nbformat import NotebookNode

from .cache import cached_notebook
from .compile_notebooks import TOOLS, source_notebook
from .d2lbook_adapter import copy_resources, old_setuptools, without_slide_marks
from .errors import BookError
from .files import BUILD, NOTEBOOKS, ROOT, atomic_write, write_notebook
from .publication import Publication
from .section import Compiled
from .setup_cell import with_setup
from .source import configured_tabs, sources
from .stale import code_files, files_hash

COMPILED = BUILD / "compiled"  # what was handed out last
DOWNLOADS = BUILD / "downloads"

HEADING = re.compile(r"^#+ (?P<title>.+)\n:label:`(?P<label>[^`]+)`", re.M)
FIGURE = re.compile(
    r"!\[(?P<caption>[^\n]*?)\]\((?P<path>[^)]+)\)\n(?::width:`[^`]*`\n)?(?::label:`(?P<label>[^`]+)`)?"
)
PICTURE = re.compile(r"(?<=\S)\]\(([^):]+\.(?:svg|png))\)")
REFERENCE = re.compile(r":(?P<role>numref|cite|citet):`(?P<keys>[^`]+)`")
CONTENTS = re.compile(r"^```toc\n(?P<lines>.*?)```$", re.M | re.S)
TAB_BEGIN = re.compile(r"^:begin_tab:`(?P<tabs>[^`]+)`\n", re.M)
# An answer in a list: from its first word to the end of the exercise that it is of.
ANSWER = re.compile(r"^(?P<margin> +)\*\*Answer\.\*\*\s+(?P<text>.*?)\s*(?=^\S|\Z)", re.M | re.S)
BIBLIOGRAPHY = re.compile(r"^:bibliography:`[^`]*`$", re.M)
ONLY_FOR_PAGES = re.compile(r"^```eval_rst\n.*?```\n?|^:(?:label|width):`[^`]*`\n?|^:end_tab:\n?", re.M | re.S)


@dataclass(frozen=True)
class Target:
    """What a label stands for: its section's name, such as ``chapter_cnn/alexnet``, and what to call it."""

    section: str
    text: str


def export_all(sections: list[Compiled]) -> None:
    """Write every section into ``_build/notebooks/TAB``, and the sources with the cells of all tabs into ``all``.

    What the pages offer for download goes into ``_build/downloads``; it installs the helper by itself.

    Raises:
        BookError: See `Publication.configured`; or a text refers to nothing.
    """
    publication = Publication.configured()
    decides = [files_hash((*TOOLS, *code_files(ROOT, "book/export_notebooks.py"))), repr([_targets(), _titles()])]

    def made_readable(notebook: NotebookNode, tab: str, section: str) -> NotebookNode:
        made_from, make = [*decides, json.dumps(notebook)], functools.partial(readable, notebook, section)
        return cached_notebook(f"readable/{tab}/{section}", made_from, make)

    shutil.rmtree(DOWNLOADS, ignore_errors=True)
    for section in sections:
        name = Path(section.tab) / f"{section.name}.ipynb"
        names = {other.name for other in sections if other.tab == section.tab}
        notebook = made_readable(listing(section.notebook, section.name, names), section.tab, section.name)
        export(notebook, name)
        if section.code_cells:
            whole = with_setup(in_one_file(notebook, section.name), section.tab, publication)
            write_notebook(whole, DOWNLOADS / name)
    for source in sources():
        notebook = made_readable(source_notebook(source), "all", source.name)
        export(notebook, Path("all") / f"{source.name}.ipynb")
    for tab in [*configured_tabs(), "all"]:
        copy_resources(NOTEBOOKS / tab)


def export(notebook: NotebookNode, name: Path) -> None:
    """Write a notebook into ``_build/notebooks``. What people have run or edited there is kept under another name.

    One that was only opened and saved, which programs do each in their own layout, is not.
    """
    compiled, handed_out = COMPILED / name, NOTEBOOKS / name
    new = nbformat.writes(notebook)
    old = compiled.read_text("utf-8") if compiled.exists() else None
    if handed_out.exists() and old == new:
        return
    # Where an earlier run was cut off in between, the new one is there already.
    found = handed_out.read_text("utf-8", errors="replace") if handed_out.exists() else None
    if found not in (None, old, new) and _work_in(found) not in map(_work_in, (old, new)):
        names = (handed_out.with_suffix(f".yours{number or ''}.ipynb") for number in itertools.count())
        kept = next(path for path in names if not path.exists())
        handed_out.replace(kept)
        print(f"The source of {handed_out} has changed; your version is kept as {kept.name}")
    for path in (handed_out, compiled):
        atomic_write(new, path)


def listing(notebook: NotebookNode, section: str, names: Collection[str]) -> NotebookNode:
    """A copy of a section's notebook whose tables of contents list these sections only: a framework may lack some."""
    folder = PurePosixPath(section).parent

    def kept(match: re.Match) -> str:
        lines = match["lines"].splitlines()
        return "\n".join(
            ["```toc", *(line for line in lines if line[:1] in ("", ":") or str(folder / line.strip()) in names), "```"]
        )

    notebook = copy.deepcopy(notebook)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "markdown"):
        cell.source = CONTENTS.sub(kept, cell.source)
    return notebook


def _work_in(text: str | None) -> list[dict[str, Any]] | str | None:
    """What people make in a notebook: its cells, each with its source, attachments and outputs.

    Ids, counts, metadata, line ends, what is blank below a cell's text, and cells without anything are those of the
    program that saved it last. A file that is no notebook is its text.
    """
    if text is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ids that are missing, for example
            notebook = nbformat.reads(text.removeprefix("\ufeff"), as_version=4)
    except Exception:  # whatever nbformat says of a broken file
        return text
    cells = [
        {
            "cell_type": cell.cell_type,
            "source": "\n".join(line.rstrip("\r") for line in cell.source.split("\n")).rstrip(),
            "attachments": cell.get("attachments") or {},
            "outputs": [_without(output, "metadata", "execution_count") for output in cell.get("outputs", [])],
        }
        for cell in notebook.cells
    ]
    return [cell for cell in cells if cell["source"] or cell["attachments"] or cell["outputs"]]


def _without(output: NotebookNode, *names: str) -> dict[str, Any]:
    return {name: value for name, value in output.items() if name not in names}


def readable(notebook: NotebookNode, section: str) -> NotebookNode:
    """A copy of a section's notebook with its text such that Jupyter shows it as it is meant."""
    plain = without_slide_marks(copy.deepcopy(notebook))
    for cell, old in zip(plain.cells, notebook.cells, strict=True):
        cell.id, cell.metadata = old.id, copy.deepcopy(old.metadata)  # d2lbook makes the cells of text anew
        if cell.cell_type == "markdown":
            cell.source = _plain(cell.source, section)
    return plain


def in_one_file(notebook: NotebookNode, section: str) -> NotebookNode:
    """A copy of a section's `readable` notebook with its pictures in it."""
    whole = copy.deepcopy(notebook)
    folder = (ROOT / section).parent
    for cell in (cell for cell in whole.cells if cell.cell_type == "markdown"):
        for path in (folder / name for name in PICTURE.findall(cell.source)):
            data = base64.b64encode(path.read_bytes()).decode()
            cell.setdefault("attachments", {})[path.name] = {mimetypes.guess_type(path)[0]: data}
        cell.source = PICTURE.sub(lambda match: f"](attachment:{Path(match[1]).name})", cell.source)
    return whole


def _plain(text: str, section: str) -> str:
    folder = PurePosixPath(section).parent

    def link(target: Target) -> str:
        return f"[{target.text}]({posixpath.relpath(target.section, folder)}.ipynb)"

    def reference(match: re.Match) -> str:
        known = _targets() if match["role"] == "numref" else _bibliography()
        keys = [key.strip() for key in match["keys"].split(",")]
        if unknown := [key for key in keys if key not in known]:
            raise BookError(f"{section}: nothing has the name {unknown[0]!r} of {match[0]}")
        if match["role"] == "numref":
            target = known[keys[0]]
            return target.text if target.section == section else link(target)
        works = [_work(known[key]) for key in keys]
        return "; ".join(works) if match["role"] == "citet" else f"({'; '.join(works)})"

    def figure(match: re.Match) -> str:
        name = f"**{_targets()[match['label']].text}.** " if match["label"] else ""
        return f"![{match['caption']}]({match['path']})\n\n{name}{match['caption']}"

    def contents(match: re.Match) -> str:
        names = [line.strip() for line in match["lines"].splitlines() if line.strip() and not line.startswith(":")]
        return "\n".join(f"- {link(_titles()[str(folder / name)])}" for name in names)

    def answer(match: re.Match) -> str:
        parts = ("<details><summary>Answer</summary>", match["text"], "</details>\n\n")
        return "\n\n".join(match["margin"] + part for part in parts)

    for pattern, replacement in ((FIGURE, figure), (REFERENCE, reference), (CONTENTS, contents), (ANSWER, answer)):
        text = pattern.sub(replacement, text)
    text = TAB_BEGIN.sub(r"*\g<tabs>:* ", text)
    text = BIBLIOGRAPHY.sub(lambda match: _works(), text)
    return ONLY_FOR_PAGES.sub("", text).strip()


@functools.cache
def _targets() -> dict[str, Target]:
    """Every label of the book; figures are counted in their section."""
    targets = {}
    for source in sources():
        for match in HEADING.finditer(source.text):
            targets[match["label"]] = Target(source.name, match["title"])
        figures = (match for match in FIGURE.finditer(source.text) if match["label"])
        for number, match in enumerate(figures, 1):
            targets[match["label"]] = Target(source.name, f"Figure {number}")
    return targets


@functools.cache
def _titles() -> dict[str, Target]:
    """Every section by its own heading."""
    return {source.name: Target(source.name, source.title or source.name) for source in sources()}


@functools.cache
def _bibliography() -> dict[str, Any]:
    with old_setuptools():
        from pybtex.database import parse_file
    return parse_file(str(ROOT / "references.bib")).entries


def _works() -> str:
    """All works as a list, in the style that d2lbook gives them on pages."""
    with old_setuptools():
        from pybtex.plugin import find_plugin

        style: Any = find_plugin("pybtex.style.formatting", "apa")()
    backend = find_plugin("pybtex.backends", "markdown")()
    works = style.format_entries(style.sort(_bibliography().values()))
    return "\n".join(f"- {' '.join(work.text.render(backend).split())}" for work in works)


def _work(entry: Any) -> str:
    """Authors and year, such as ``LeCun et al., 1998``."""
    if "author" not in entry.persons or "year" not in entry.fields:
        raise BookError(f"references.bib: {entry.key} has no author or no year")
    people = entry.persons["author"]
    first, *others = [" ".join(map(str, person.rich_prelast_names + person.rich_last_names)) for person in people]
    authors = first if not others else f"{first} and {others[0]}" if len(others) == 1 else f"{first} et al."
    return f"{authors}, {entry.fields['year']}"
