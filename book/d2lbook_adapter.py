"""All that this book has of d2lbook: no other module imports it, calls its private functions, or changes its parts."""

import contextlib
import functools
import importlib
import os
import shlex
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbformat import NotebookNode

from .errors import BookError
from .files import ROOT

PAGE_PARTS = ("copybutton_js", "discourse_js", "google_tracker", "replace_qr", "shorten_sec_num", "tabbar_js")
PAGE_PARTS += ("copybutton_css", "hide_bibkey_css", "limit_output_length_css", "tabbar_css")


@contextlib.contextmanager
def old_setuptools() -> Iterator[None]:
    """For imports of d2lbook, d2l-notedown and pybtex, which are older than what Python now warns of.

    The last two import pkg_resources, which says on import that it will go away.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        # Of patterns that d2lbook and others write in ordinary strings; Python 3.12 and later say so when they compile.
        warnings.simplefilter("ignore", SyntaxWarning)
        yield


def _d2lbook(module: str) -> ModuleType:
    """One of d2lbook's modules, such as ``build``, which takes seconds to import."""
    with old_setuptools():
        return importlib.import_module(f"d2lbook.{module}")


def in_root(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for what has d2lbook read and write files, which it looks for from the current folder."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with contextlib.chdir(ROOT):
            return function(*args, **kwargs)

    return wrapper


@in_root
def settings(tab: str | None = None, file: str = "config.ini") -> Any:
    """What ``config.ini`` sets, as d2lbook reads it for a tab, or for ``all``."""
    return _d2lbook("config").Config(tab=tab, config_fname=file)


# From a source to notebooks


def read_markdown(text: str) -> NotebookNode:
    """A source as a notebook of the cells of all frameworks."""
    return _d2lbook("notebook").read_markdown(text)


def split_tab_blocks(notebook: NotebookNode) -> NotebookNode:
    """A notebook from `read_markdown` with a cell of its own for each tab block of a text."""
    return _d2lbook("notebook").split_markdown_cell(notebook)


def for_tab(notebook: NotebookNode, tab: str) -> NotebookNode | None:
    """The cells of one framework, those without a mark among them; ``None`` if there are none.

    Raises:
        AssertionError: There are tabs in a branch.
        IndexError: There are branches in a text.
    """
    return _d2lbook("notebook").get_tab_notebook(notebook, tab, tab)


def with_first_tab_chosen(code: str) -> str:
    """A cell's code whose menu, if it has one, starts with its first framework chosen; d2lbook's has none chosen.

    d2lbook also notes the last choice in /tmp, which all users of a machine share and Windows has not.
    """
    menu = "tab.interact_select("
    first = "tab._LAST_TAB_FILE, tab.select_tab.__defaults__ = os.devnull, None  # the first framework is chosen"
    return code.replace(menu, f"import os\n\n{first}\n{menu}", 1)


def with_own_names(notebook: NotebookNode, tab: str) -> NotebookNode:
    """A notebook with a framework's functions in place of the names that ``config.ini`` gives them, formatted.

    Raises:
        SyntaxError: A cell has such names beside what only IPython understands.
    """
    library = _d2lbook("library")
    return library.format_code_nb(library.replace_alias(notebook, settings(tab).library.get(tab, {})))


def formatted(code: str) -> str:
    """A cell's code with its imports sorted, and otherwise laid out as d2lbook does it.

    Raises:
        SyntaxError: It is no code.
    """
    return _d2lbook("library").format_code(code)


# Marks for slides


def check_slide_marks(text: str) -> None:
    """Check that d2lbook takes the marks for slides in a text.

    Raises:
        ValueError: It does not; the message says why.
    """
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    try:
        _d2lbook("slides")._generate_slides(notebook)
    except IndexError:
        raise ValueError("a sentence in them is empty") from None
    except AssertionError as error:
        raise ValueError(str(error)) from None


def without_slide_marks(notebook: NotebookNode) -> NotebookNode:
    """A notebook without the marks for slides; its cells of text are others, with other ids."""
    return _d2lbook("slides").remove_slide_marks(notebook)


def slides(notebook: NotebookNode) -> NotebookNode | None:
    """A notebook of slides for RISE; ``None`` if nothing is marked for them."""
    maker = _d2lbook("slides").Slides(settings())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deck.ipynb"
        maker.generate(notebook, str(path))
        return nbformat.read(path, as_version=4) if path.exists() else None


# What the helper takes from the chapter


@in_root
def with_saved_code(modules: dict[str, Path]) -> dict[str, str]:
    """The text of the helper's modules, by tab, with what sources mark ``#@save`` and the names of ``config.ini``.

    Raises:
        BookError: A module has no place for what d2lbook writes.
    """
    build, config = _d2lbook("build"), settings()
    with tempfile.TemporaryDirectory() as folder:
        copies = {tab: Path(folder) / module.name for tab, module in modules.items()}
        for tab, module in modules.items():
            text = module.read_text("utf-8")
            if build.library.HEADER not in text:
                # d2lbook would overwrite all of it.
                raise BookError(f"{module}: no line {build.library.HEADER.strip()!r} above the part that is generated")
            copies[tab].write_text(text, "utf-8")
            config.library[tab]["lib_file"] = str(copies[tab])
        for tab in modules:
            config.tabs, config.default_tab = [tab], tab  # to d2lbook, whose a cell without a mark is
            build.Builder(config).lib()
        return {tab: copy.read_text("utf-8") for tab, copy in copies.items()}


# From notebooks to pages and PDFs


@in_root
def copy_resources(folder: Path) -> None:
    """Copy pictures and what else ``config.ini`` names as resources into a folder."""
    _d2lbook("build").Builder(settings())._copy_resources(".", str(folder))


def as_shown(notebook: NotebookNode) -> NotebookNode:
    """A notebook with the cells that d2lbook hands on to nbconvert."""
    return _d2lbook("rst")._process_nb(notebook)


@in_root
def page_builder(html: Path, doctrees: Path, context: dict[str, str]) -> Any:
    """What renders the pages of all frameworks, with the options of Sphinx as ``sphinx_opts``, by its ``html()``.

    Args:
        html, doctrees: Folders below the root for the pages and for what Sphinx has read.
        context: What the templates are told.
    """
    sphinx_template = _d2lbook("sphinx_template")
    # The folder theme/ has scripts and styles of its own; some of these ask other hosts, to count visits for instance.
    for part in PAGE_PARTS:
        setattr(sphinx_template, part, "")
    config = settings("all")
    config.html_dir = html.relative_to(ROOT).as_posix()  # d2lbook does not quote it for the shell
    for files in ("include_css", "include_js"):
        config.html[files] = _in_order(config.html[files])
    builder = _d2lbook("build").Builder(config)
    options = "".join(f" -A {name}={_quoted(value)}" for name, value in context.items())
    builder.sphinx_opts += f" -q -d {doctrees.relative_to(ROOT).as_posix()}{options}"
    # The notebooks for Colab are those that the pages offer. Both steps would first copy all notebooks for nothing.
    builder.colab = builder.sagemaker = lambda: None
    return builder


def _quoted(value: str) -> str:
    """A value as one word for the shell that d2lbook starts Sphinx with; it has no quotes itself on Windows."""
    return f'"{value}"' if os.name == "nt" else shlex.quote(value)


def _in_order(patterns: str) -> str:
    """The files that patterns of ``config.ini`` stand for, those that others build on first.

    d2lbook takes them in the order in which the file system lists them.
    """
    files = {path for pattern in patterns.split() for path in ROOT.glob(pattern)}
    ordered = sorted(files, key=lambda path: (path.stem != "book", path))
    return " ".join(path.relative_to(ROOT).as_posix() for path in ordered)


@in_root
def pdf_builder(tab: str, title: str, folder: Path) -> Any:
    """What makes a framework's PDF of the notebooks in ``config.eval_dir``, by its ``pdf()``.

    Args:
        title: Of the framework, to follow that of the book.
        folder: A folder below the root for all that is written on the way, apart from those of the pages.
    """
    config = settings(tab)
    # Relative, since d2lbook does not quote them for the shell.
    folder = folder.relative_to(ROOT)
    config.eval_dir, config.rst_dir, config.pdf_dir = ((folder / part).as_posix() for part in ("eval", "rst", "tex"))
    config._set_target()  # the name of the LaTeX file follows from that of the folder
    config.project["title"] += f": {title}"
    config.build["sphinx_configs"] += "\n" + config.pdf["sphinx_configs"]
    builder = _d2lbook("build").Builder(config)
    builder.sphinx_opts += " -q"
    return builder


def render_stock(file: str, html: str) -> None:
    """Render the last build's notebooks as d2lbook does by itself, to compare with.

    Args:
        file, html: Paths from the root to the settings and to the folder for the pages.
    """
    config = settings("all", file)
    config.html_dir = html
    in_root(_d2lbook("build").Builder(config).html)()
