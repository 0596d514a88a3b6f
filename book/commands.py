"""The verbs that make the book, with what they need installed; `book.verbs` has all."""

from pathlib import Path

from nbformat.sign import NotebookNotary

from .build_lock import alone
from .compile_notebooks import compile_sections
from .files import NOTEBOOKS, ROOT, atomic_write
from .frameworks import chosen_tabs


# Most of the commands import what they need only then, since it takes a second.
@alone()
def build(tabs: list[str]) -> None:
    """Make the pages, from stored outputs first, and run what changed, in all tabs or these."""
    from .build import make_pages

    make_pages(chosen_tabs(tabs))


@alone()
def slides() -> None:
    """Make a deck of slides per section and framework, from the marks in the text."""
    from .build import results
    from .downloads import keep_printed
    from .export_notebooks import export
    from .sanitize_outputs import Safe
    from .slides import deck

    for section in results():
        if slides := deck(Safe(section)):
            export(slides, Path("slides") / section.tab / f"{section.name}.ipynb")
            NotebookNotary().sign(slides)  # JupyterLab shows the pictures of trusted notebooks only
    keep_printed("slides")
    print(f"The decks: {NOTEBOOKS / 'slides'}")
    print("To show one: python -m book lab, open it, and press the button RISE above it")


@alone()
def pdf(tab: str) -> None:
    """Make a PDF of one framework's code, text and outputs, or one per framework."""
    from .build import results
    from .downloads import keep_printed
    from .pdf import check_tools, chosen_tab, make_pdf

    tabs = chosen_tab(tab)
    check_tools()
    shown = results(tabs)
    for tab in tabs:
        print(f"The PDF: {make_pdf(shown, tab)}")
        keep_printed(f"pdf/{tab}")


@alone()
def site() -> None:
    """Copy the pages, with what a static host needs besides, into a folder that can be uploaded."""
    from .site import make_site

    print(make_site())


def data() -> None:
    """Look for Fashion-MNIST, and fetch it if it is not here."""
    from .build import fetch_images

    fetch_images()


@alone()
def notebooks() -> None:
    """Compile the sources into notebooks without outputs."""
    from .export_notebooks import export_all

    export_all(compile_sections())
    print(f"A notebook per section and framework: {NOTEBOOKS}")


def record(tab: str, limits: list[str], section: str) -> None:
    """Run one tab in full and store its outputs."""
    from .recordings import record

    record(compile_sections(), tab, ",".join(" ".join(limits).replace(",", " ").split()) or "full", section)


def reference(write: bool, section: str) -> None:
    """Show what changed since the outputs that the tests compare the notebooks with, and renew these."""
    from .reference_outputs import update_references
    from .section import sections_named

    update_references(sections_named(section, compile_sections()), write)


def lib() -> None:
    """Take what the chapter marks #@save, and the aliases of config.ini, into the helper."""
    from .library import library

    for module, text in library().items():
        if module.read_text("utf-8") != text:
            atomic_write(text, module)
            print(f"Renewed {module.relative_to(ROOT)}")


def links(check: bool) -> None:
    """List the links that lead out of the book and its documents, each with where it stands, or check them."""
    from .links import check_links, external_links

    found = external_links()
    if check:
        print(*check_links(found), f"{len(found)} links were checked.", sep="\n")
    else:
        print(*(f"{address}  {', '.join(places)}" for address, places in found.items()), sep="\n")
