"""Render the executed sections through d2lbook and Sphinx."""

import contextlib
import hashlib
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.warnings import DuplicateCellId

from .curves import with_curves
from .handout import downloadable
from .pandoc import put_on_path, remembered_pandoc
from .source import BUILD, ROOT, BookError, Section, configured_tabs, in_root, write_notebook

HTML = BUILD / "html"
STAMP = BUILD / "html.stamp"
INPUTS = ("*.md", "chapter_*/*.md", "config.ini", "references.bib", "constraints.txt")
INPUTS += ("img/*", "theme/*", "d2l/*.py", "d2l/sample/*", "book/*.py")

D2LBOOK_PAGE_PARTS = ("copybutton_js", "discourse_js", "google_tracker", "replace_qr", "shorten_sec_num", "tabbar_js")
D2LBOOK_PAGE_PARTS += ("copybutton_css", "hide_bibkey_css", "limit_output_length_css", "tabbar_css")


@in_root
def render(shown: list[tuple[Section, NotebookNode]], html: Path = HTML) -> None:
    """Merge the tabs' notebooks and render them to pages. A failure leaves the last good pages.

    Args:
        shown: Each section with the outputs to show.
        html: Folder of the pages.

    Raises:
        BookError: Sphinx found an error or gave a warning; its output says which.
    """
    from d2lbook import sphinx_template
    from d2lbook.build import Builder
    from d2lbook.config import Config

    # The folder theme/ has scripts and styles of its own; some of these ask other hosts, to count visits for instance.
    for part in D2LBOOK_PAGE_PARTS:
        setattr(sphinx_template, part, "")

    tabs = configured_tabs()
    eval_folders = {tab: BUILD / ("eval" if tab == tabs[0] else f"eval_{tab}") for tab in tabs}
    for folder in [*eval_folders.values(), BUILD / "eval_all", BUILD / "rst_all"]:
        shutil.rmtree(folder, ignore_errors=True)
    for section, notebook in shown:
        write_notebook(with_curves(notebook), eval_folders[section.tab] / f"{section.name}.ipynb")
    config = Config(tab="all")
    fresh = BUILD / "html_fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    config.html_dir = str(fresh.relative_to(ROOT))  # d2lbook does not quote it for the shell
    for section in (section for section, _ in shown if section.code_cells):
        download = fresh / "notebooks" / section.tab / f"{section.name}.ipynb"
        write_notebook(downloadable(section.notebook, section.name), download)
    builder = Builder(config)
    builder.sphinx_opts += " -q" + _colab_options(builder)
    # The theme links to Colab in its own way.
    builder._colab.add_button = lambda html_dir: None
    with running_sphinx("Sphinx could not render the pages; its messages are above"):
        builder.html()
    shutil.rmtree(html, ignore_errors=True)
    fresh.rename(html)


@contextlib.contextmanager
def running_sphinx(problem: str) -> Iterator[None]:
    """For d2lbook's steps that start Sphinx.

    Raises:
        BookError: d2lbook gave up; the message is ``problem``.
    """
    put_on_path(sys.executable)  # where sphinx-build is
    with warnings.catch_warnings(), remembered_pandoc():
        # d2lbook makes several cells of one that has texts for single tabs, all with its name; nbformat renames them.
        warnings.simplefilter("ignore", DuplicateCellId)
        try:
            yield
        except SystemExit:
            raise BookError(problem) from None


def _colab_options(builder: Any) -> str:
    """Options that tell the templates each tab's repository for Colab; none while config.ini names no repository."""
    if not builder._colab.valid():
        return ""
    return "".join(f" -A colab_{tab}={shlex.quote(builder._colab.git_repo(tab))}" for tab in configured_tabs())


def inputs_hash() -> str:
    """Hash of every file that the pages are made from."""
    digest = hashlib.sha256()
    for path in _inputs():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _inputs() -> Iterator[Path]:
    for pattern in (*INPUTS, "recordings/**/*.ipynb"):
        yield from sorted(path for path in ROOT.glob(pattern) if path.is_file())
