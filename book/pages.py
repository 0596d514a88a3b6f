"""Render the executed sections through d2lbook and Sphinx."""

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

from nbformat.warnings import DuplicateCellId

from .build_lock import alone
from .cache import forget, is_kept, keep
from .compile_notebooks import TOOLS
from .curves import with_curves
from .d2lbook_adapter import in_root, page_builder
from .downloads import PRINTED, copy_downloads, printed
from .errors import BookError
from .files import BUILD, ROOT, write_notebook
from .page_structure import check_page
from .pandoc import cached_pandoc, put_on_path
from .programs import script
from .publication import Publication
from .rst_outputs import with_rst
from .sanitize_outputs import Safe
from .section import Executed, Section
from .source import configured_tabs, fill_with_nothing
from .stale import PICTURES, STORED, TEXTS, code_files, contents_hash, files_hash
from .wheel import MADE_FROM

HTML = BUILD / "html"
WHOLE = "pages/whole"  # in the cache: that the pages are made from all that they are made from now
SHARED = "pages/shared"  # and from what each of them is made from: a page that changes alone is read alone
SHARED_INPUTS = (
    *TOOLS,
    *code_files(ROOT, "book/pages.py", "theme/__init__.py"),
    *PICTURES,
    "theme/**/*",
    "CITATION.cff",
)
HELPER = MADE_FROM
OF_SPHINX = (".buildinfo", "objects.inv", "pygments.css")  # what it makes beside the pages, and no page asks for
STEPS = code_files(ROOT, "book/build.py")  # what else makes the pages


@dataclass(frozen=True)
class Page:
    """A page, as what nbconvert and Sphinx render it from.

    Attributes:
        name: That of the section, such as ``chapter_cnn/alexnet``.
        panels: The section of each framework that has it, with its outputs as nbconvert is to write them.
    """

    name: str
    panels: tuple[Section, ...]


def pages_of(sections: list[Safe]) -> list[Page]:
    """The page of each section, from what is safe to show of it in each framework."""
    panels: dict[str, list[Section]] = {}
    for section in sections:
        panel = Section(section.name, section.tab, with_rst(with_curves(section.notebook)))
        panels.setdefault(section.name, []).append(panel)
    return [Page(name, tuple(own)) for name, own in panels.items()]


@in_root
@alone()
def render(shown: list[Executed], html: Path = HTML) -> None:
    """Merge the tabs' notebooks and render them to pages. A failure leaves the last good pages.

    Args:
        shown: The sections with the outputs to show; they have been handed out.
        html: Folder of the pages.

    Raises:
        BookError: Sphinx found an error or gave a warning; its output says which. Or what a cell shows is not in its
            place on the page; the message names section, tab and cell.
    """
    tabs = configured_tabs()
    eval_folders = {tab: BUILD / ("eval" if tab == tabs[0] else f"eval_{tab}") for tab in tabs}
    merged, doctrees, fresh = BUILD / "eval_all", BUILD / "doctrees", BUILD / "html_fresh"
    publication = Publication.configured()
    builder = page_builder(fresh, doctrees, asdict(publication))
    # Pages name each other, and link to what was printed.
    shared = [files_hash(SHARED_INPUTS), builder.sphinx_opts, *map(str, shown), *printed()[0]]
    if not is_kept(SHARED, shared):
        for folder in [*eval_folders.values(), merged, BUILD / "rst_all", doctrees, fresh]:
            shutil.rmtree(folder, ignore_errors=True)
    forget(SHARED)
    pages = pages_of([Safe(section) for section in shown])
    for panel in (panel for page in pages for panel in page.panels):
        if write_notebook(panel.notebook, eval_folders[panel.tab] / f"{panel.name}.ipynb"):
            # d2lbook looks only at the first tab's to see what has changed.
            (merged / f"{panel.name}.ipynb").unlink(missing_ok=True)
    for folder in eval_folders.values():
        fill_with_nothing(folder)
    copy_downloads(fresh, publication)
    with running_sphinx("Sphinx could not render the pages; its messages are above"):
        builder.html()
    for page in pages:
        check_page((fresh / f"{page.name}.html").read_text("utf-8"), page.panels)
    keep(SHARED, shared)
    _copy_in_place(fresh, html)


def _copy_in_place(fresh: Path, html: Path) -> None:
    """Have a copy of the fresh pages take the place of the last ones: what is there at any moment is of one build."""
    repair(html)
    copied, last = _beside(html)
    for folder in (copied, last):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fresh, copied, ignore=shutil.ignore_patterns(*OF_SPHINX))
    if html.exists():
        html.replace(last)
    copied.replace(html)
    shutil.rmtree(last, ignore_errors=True)


def repair(html: Path) -> None:
    """Put the pages in place where a build was killed between its two renames: there are none, and a whole copy."""
    copied, last = _beside(html)
    if copied.exists() and last.exists() and not html.exists():
        copied.replace(html)


def _beside(html: Path) -> tuple[Path, Path]:
    """Where the fresh pages are copied to, and where the last ones are put."""
    return html.with_name(f"{html.name}_copied"), html.with_name(f"{html.name}_last")


@contextlib.contextmanager
def running_sphinx(problem: str) -> Iterator[None]:
    """For d2lbook's steps that start Sphinx.

    Raises:
        BookError: d2lbook gave up; the message is ``problem``.
    """
    put_on_path(script("sphinx-build"))
    # Older packages say so in Sphinx's process; the kernels of later runs have nothing to hide.
    ignored = "ignore:pkg_resources is deprecated:UserWarning,ignore::SyntaxWarning"
    environment = patch.dict(os.environ, PYTHONWARNINGS=ignored)
    with environment, warnings.catch_warnings(), cached_pandoc():
        # d2lbook makes several cells of one that has texts for single tabs, all with its name; nbformat renames them.
        warnings.simplefilter("ignore", DuplicateCellId)
        try:
            yield
        except SystemExit:
            raise BookError(problem) from None


def inputs_hash() -> str:
    """Hash of every file that the pages are made from."""
    docstrings = contents_hash(ROOT, ROOT.glob(HELPER[0]), content_of=Path.read_bytes)  # which the reference is made of
    return files_hash((*TEXTS, *SHARED_INPUTS, *STEPS, *HELPER, *STORED, *PRINTED), docstrings)
