"""Render the executed sections through d2lbook and Sphinx."""

import contextlib
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nbformat import NotebookNode
from nbformat.warnings import DuplicateCellId

from .cache import forget, is_kept, keep
from .curves import with_curves
from .errors import BookError
from .files import BUILD, ROOT, write_notebook
from .handout import DOWNLOADS
from .lock import alone
from .pandoc import put_on_path, remembered_pandoc
from .rst import with_rst
from .sanitize import sanitized
from .source import TOOLS, Section, configured_tabs, d2lbook_build, fill_with_nothing, in_root
from .stale import code_files, files_hash
from .structure import check_pages

HTML = BUILD / "html"
WHOLE = "pages/whole"  # in the cache: that the pages are made from all that they are made from now
SHARED = "pages/shared"  # and from what each of them is made from: a page that changes alone is read alone
TEXTS = ("*.md", "chapter_*/*.md")
PICTURES = ("img/**/*.[!p]*", "img/**/*.p[!y]*")  # all but the scripts that draw them
SHARED_INPUTS = (*TOOLS, *code_files(ROOT, "book/pages.py", "theme/__init__.py"), *PICTURES, "theme/**/*")
HELPER = ("d2l/**/*",)
STEPS = code_files(ROOT, "book/execute.py", "book/handout.py", "book/recordings.py")  # what else makes the pages

D2LBOOK_PAGE_PARTS = ("copybutton_js", "discourse_js", "google_tracker", "replace_qr", "shorten_sec_num", "tabbar_js")
D2LBOOK_PAGE_PARTS += ("copybutton_css", "hide_bibkey_css", "limit_output_length_css", "tabbar_css")


@in_root
@alone()
def render(shown: list[tuple[Section, NotebookNode]], html: Path = HTML) -> None:
    """Merge the tabs' notebooks and render them to pages. A failure leaves the last good pages.

    Args:
        shown: Each section with the outputs to show; it has been handed out.
        html: Folder of the pages.

    Raises:
        BookError: Sphinx found an error or gave a warning; its output says which. Or what a cell shows is not in its
            place on the page; the message names section, tab and cell.
    """
    from d2lbook import sphinx_template

    # The folder theme/ has scripts and styles of its own; some of these ask other hosts, to count visits for instance.
    for part in D2LBOOK_PAGE_PARTS:
        setattr(sphinx_template, part, "")

    tabs = configured_tabs()
    eval_folders = {tab: BUILD / ("eval" if tab == tabs[0] else f"eval_{tab}") for tab in tabs}
    merged, doctrees, fresh = BUILD / "eval_all", BUILD / "doctrees", BUILD / "html_fresh"
    build = d2lbook_build()
    config = build.Config(tab="all")
    config.html_dir = str(fresh.relative_to(ROOT))  # d2lbook does not quote it for the shell
    builder = build.Builder(config)
    builder.sphinx_opts += f" -q -d {doctrees.relative_to(ROOT)}" + _colab_options(builder)
    shared = [files_hash(SHARED_INPUTS), builder.sphinx_opts, *(str(section) for section, _ in shown)]
    if not is_kept(SHARED, shared):
        for folder in [*eval_folders.values(), merged, BUILD / "rst_all", doctrees, fresh]:
            shutil.rmtree(folder, ignore_errors=True)
    forget(SHARED)
    given = [(section, with_rst(with_curves(sanitized(notebook)))) for section, notebook in shown]
    for section, notebook in given:
        if write_notebook(notebook, eval_folders[section.tab] / f"{section.name}.ipynb"):
            # d2lbook looks only at the first tab's to see what has changed.
            (merged / f"{section.name}.ipynb").unlink(missing_ok=True)
    for folder in eval_folders.values():
        fill_with_nothing(folder)
    shutil.copytree(DOWNLOADS, fresh / "notebooks", dirs_exist_ok=True)
    # The theme links to Colab in its own way. Both steps left out would first copy all notebooks for nothing.
    builder._colab.add_button = lambda html_dir: None
    builder.sagemaker = lambda: None
    if not builder._colab.valid():
        builder.colab = lambda: None
    with running_sphinx("Sphinx could not render the pages; its messages are above"):
        builder.html()
    check_pages(fresh, given)
    keep(SHARED, shared)
    _copy_in_place(fresh, html)


def _copy_in_place(fresh: Path, html: Path) -> None:
    """Have a copy of the fresh pages take the place of the last ones: what is there at any moment is of one build."""
    repair(html)
    copied, last = _beside(html)
    for folder in (copied, last):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fresh, copied)
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
    put_on_path(sys.executable)  # where sphinx-build is
    # pybtex says so in Sphinx's process; the kernels of later runs have nothing to hide.
    environment = patch.dict(os.environ, PYTHONWARNINGS="ignore:pkg_resources is deprecated:UserWarning")
    with environment, warnings.catch_warnings(), remembered_pandoc():
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
    return files_hash((*TEXTS, *SHARED_INPUTS, *STEPS, *HELPER, "recordings/**/*.ipynb"))
