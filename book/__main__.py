"""Build the book: ``python -m book COMMAND``. The Makefile names the commands that people use."""

import argparse
import sys
from pathlib import Path

from nbformat.sign import NotebookNotary

from .build_lock import alone
from .command_errors import run_command
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
    print(f"The decks: {NOTEBOOKS / 'slides'}\nTo show one: make lab, open it, and press the button RISE above it")


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


def main() -> int:
    """Parse the command line and run a command."""
    parser = argparse.ArgumentParser(prog="python -m book", description="Build the book from its Markdown sources.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    goes_on = "finished notebooks are kept, the next run goes on from there."
    for command in (data, notebooks, slides, site, lib):
        commands.add_parser(command.__name__, help=command.__doc__).set_defaults(run=lambda args, run=command: run())
    builder = commands.add_parser("build", help=build.__doc__)
    builder.add_argument("tabs", nargs="*", help="such as pytorch jax")
    builder.set_defaults(run=lambda args: build(args.tabs))
    for name in ("build", "slides"):
        commands.choices[name].set_defaults(interrupted=goes_on)
    recorder = commands.add_parser("record", help=record.__doc__)
    recorder.add_argument("tab")
    recorder.add_argument("limits", nargs="*", help="such as epochs=1 images=6000")
    recorder.add_argument("--section", default="", help="one section only, such as alexnet")
    recorder.set_defaults(
        run=lambda args: record(args.tab, args.limits, args.section),
        interrupted="finished recordings are kept; SECTION=... records one of the others.",
    )
    renewer = commands.add_parser("reference", help=reference.__doc__)
    renewer.add_argument("--write", choices=("yes", ""), default="", help="yes: without asking")
    renewer.add_argument("--section", default="", help="one section only, such as alexnet")
    renewer.set_defaults(
        run=lambda args: reference(bool(args.write), args.section),
        interrupted="references are renewed at the end only.",
    )
    printer = commands.add_parser("pdf", help=pdf.__doc__)
    printer.add_argument("tab", nargs="?", default="")
    printer.set_defaults(run=lambda args: pdf(args.tab), interrupted=goes_on)
    lister = commands.add_parser("links", help=links.__doc__)
    lister.add_argument("--check", action="store_true", help="ask for each, in minutes; it needs the network")
    lister.set_defaults(run=lambda args: links(args.check))
    return run_command(parser)


if __name__ == "__main__":
    sys.exit(main())
