"""Build the book: ``python -m book COMMAND``. The Makefile names the commands that people use."""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path

from nbformat.sign import NotebookNotary

from .commands import run_command
from .compile import compile_sections
from .errors import BookError
from .files import NOTEBOOKS, ROOT, atomic_write
from .frameworks import FRAMEWORKS, is_installed
from .lock import alone
from .section import Executed
from .source import check_contents


@alone()
def build() -> None:
    """Compile, run what changed, render; go on past a section that fails and name it at the end."""
    from .cache import forget, is_kept, keep
    from .pages import HTML, WHOLE, inputs_hash, render, repair

    repair(HTML)
    page = HTML / "index.html"
    inputs = [inputs_hash()]
    if page.exists() and is_kept(WHOLE, inputs):
        print(f"Nothing has changed. The page: {page}")
        return
    forget(WHOLE)
    if not page.exists():
        try:
            data()
        except BookError as error:
            print(f"{error}\nThe build goes on without: it runs the notebooks on the sample in the package.")
    shown, failures = results()
    kept = failures and page.exists()
    if not kept:
        render(shown)
    if failures:
        state = "The last good page is kept" if kept else "The page is built without their outputs"
        raise BookError("\n\n".join([*failures, f"{len(failures)} of {len(shown)} notebooks failed. {state}: {page}"]))
    keep(WHOLE, inputs)
    print(f"The page: {page}")


def results(tabs: Collection[str] = tuple(FRAMEWORKS)) -> tuple[list[Executed], list[str]]:
    """Compile and hand out every section of these tabs, and run those whose code has changed.

    Returns:
        Each section with the outputs to show, and a message for each that failed.
    """
    # Only now, since they take a second to import.
    from .execute import run_cached, with_outputs
    from .handout import hand_out_all
    from .recordings import show_results

    shown, failures = [], []
    check_contents()
    sections = [section for section in compile_sections() if section.tab in tabs]
    hand_out_all(sections)
    for section in sections:
        smoke = with_outputs(section, section.notebook)
        if is_installed(section.tab):
            try:
                smoke = run_cached(section)
            except BookError as error:
                failures.append(str(error))
        elif section.code_cells:
            print(f"{section}: not run, its framework is not installed here; what is recorded is shown")
        shown.append(show_results(smoke))
    return shown, failures


@alone()
def slides() -> None:
    """Make a deck of slides per section and framework, from the marks in the text."""
    from .handout import hand_out
    from .sanitize import Safe
    from .slides import deck

    shown, failures = results()
    if failures:
        raise BookError("\n\n".join(failures))
    for section in shown:
        if slides := deck(Safe(section)):
            hand_out(slides, Path("slides") / section.tab / f"{section.name}.ipynb")
            NotebookNotary().sign(slides)  # JupyterLab shows the pictures of trusted notebooks only
    print(f"The decks: {NOTEBOOKS / 'slides'}\nTo show one: make lab, open it, and press the button RISE above it")


@alone()
def pdf(tab: str) -> None:
    """Make a PDF of one framework's code, text and outputs, or one per framework."""
    from .pdf import check_tools, chosen_tabs, make_pdf

    tabs = chosen_tabs(tab)
    check_tools()
    shown, failures = results(tabs)
    if failures:
        raise BookError("\n\n".join(failures))
    for tab in tabs:
        print(f"The PDF: {make_pdf(shown, tab)}")


def data() -> None:
    """Look for Fashion-MNIST, and fetch it if it is not here."""
    from d2l.data import DataError, load_fashion_mnist
    from d2l.run_profile import Profile

    try:
        load_fashion_mnist(ROOT / "data", Profile())
    except DataError as error:
        raise BookError(str(error)) from None
    print("Fashion-MNIST is here, whole.")


@alone()
def notebooks() -> None:
    """Compile the sources into notebooks without outputs."""
    from .handout import hand_out_all

    hand_out_all(compile_sections())
    print(f"A notebook per section and framework: {NOTEBOOKS}")


def record(tab: str, limits: list[str], section: str) -> None:
    """Run one tab in full and store its outputs."""
    from .recordings import record

    record(compile_sections(), tab, ",".join(" ".join(limits).replace(",", " ").split()) or "full", section)


def reference(write: bool) -> None:
    """Show what changed since the outputs that the tests compare the notebooks with, and renew these."""
    from .reference import update_references

    update_references(compile_sections(), write)


def lib() -> None:
    """Take what the chapter marks #@save, and the aliases of config.ini, into the helper."""
    from .library import library

    for module, text in library().items():
        if module.read_text("utf-8") != text:
            atomic_write(text, module)
            print(f"Renewed {module.relative_to(ROOT)}")


def main() -> int:
    """Parse the command line and run a command."""
    parser = argparse.ArgumentParser(prog="python -m book", description="Build the book from its Markdown sources.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    goes_on = "finished notebooks are kept, the next run goes on from there."
    for command in (build, data, notebooks, slides, lib):
        commands.add_parser(command.__name__, help=command.__doc__).set_defaults(run=lambda args, run=command: run())
    for name in ("build", "slides"):
        commands.choices[name].set_defaults(interrupted=goes_on)
    for name in ("build", "notebooks", "slides"):
        commands.choices[name].set_defaults(at_work=alone)
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
    renewer.set_defaults(
        run=lambda args: reference(bool(args.write)), interrupted="references are renewed at the end only."
    )
    printer = commands.add_parser("pdf", help=pdf.__doc__)
    printer.add_argument("tab", nargs="?", default="")
    printer.set_defaults(run=lambda args: pdf(args.tab), interrupted=goes_on)
    return run_command(parser)


if __name__ == "__main__":
    sys.exit(main())
