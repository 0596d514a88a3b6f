"""From sources to pages, which come first, from stored outputs; then notebooks run, and what they change is renewed.

Stored are recordings, the outputs of earlier smoke runs of the same code, and the references of the tests.
"""

from collections.abc import Collection
from pathlib import Path

from .cache import forget, keep, kept
from .compile_notebooks import compile_sections
from .errors import BookError
from .execute_notebooks import at_a_time, has_to_run, run_all, smoke_run, with_outputs
from .export_notebooks import export_all
from .files import ROOT
from .frameworks import FRAMEWORKS, is_installed
from .pages import HTML, WHOLE, inputs_hash, render, repair
from .recordings import load_recording, show
from .reference_numbers import stored_run
from .section import Compiled, Executed
from .source import check_contents


class Shown:
    """A section, and what readers are shown of it.

    Attributes:
        executed: The section with the outputs that are stored of it: of its recording, or else of a smoke run.
        has_outputs: Whether there are any, or need to be none.
    """

    def __init__(self, section: Compiled):
        self.section = section
        self._recorded = load_recording(section)
        self._look()

    def _look(self) -> None:
        smoke = None if self._recorded else smoke_run(self.section) or stored_run(self.section)
        self.has_outputs = bool(self._recorded or smoke or not self.section.code_cells)
        self.executed = show(with_outputs(self.section, smoke or self.section.notebook), self._recorded)

    def renew(self) -> bool:
        """Take what a run has left since; whether that is something else."""
        before = self.executed
        if not self._recorded:
            self._look()
        return self.executed != before


def make_pages(tabs: Collection[str]) -> None:
    """Make the pages, run the notebooks of these tabs whose code has changed, and make the pages anew if need be.

    Raises:
        BookError: Sphinx found an error. Or notebooks failed; the message names each, with its cell, and says what the
            pages show.
    """
    repair(HTML)
    page = HTML / "index.html"
    inputs, installed = [inputs_hash()], set(filter(is_installed, tabs))
    done = kept(WHOLE, inputs)
    if page.exists() and done is not None and installed <= set(done):
        print(f"Nothing has changed. The page: {page}")
        return
    forget(WHOLE)
    shown = stored_results()
    if missing := to_run(shown, tabs):
        _render_and_run(shown, missing, page)
    else:
        render([one.executed for one in shown])
        print(f"The page: {page}")
    keep(WHOLE, inputs, sorted(installed.union(done or ())))


def _render_and_run(shown: list[Shown], missing: list[Shown], page: Path) -> None:
    """Show what is stored, run what is missing, and show that.

    Where nothing is stored of what the pages have to show, the last good ones stay until all has run.
    """
    is_first = not page.exists()
    waits = not is_first and not all(one.has_outputs for one in shown)
    if not waits:
        render([one.executed for one in shown])
    state = "The last good page, until the notebooks have run" if waits else "The page, from stored outputs"
    print(f"{state}: {page}\nNow {len(missing)} of {len(shown)} notebooks run, {at_a_time()} at a time", flush=True)
    if is_first:
        try:
            fetch_images()
        except BookError as error:
            print(f"{error}\nThe build goes on without: it runs the notebooks on the sample in the package.")
    failures = run_all([one.section for one in missing])
    changed = [str(one.section) for one in missing if one.renew()]
    if waits and failures:
        raise _failed(failures, shown, f"The last good page is kept: {page}")
    if waits or changed:
        render([one.executed for one in shown])
    if failures:
        state = (
            "shows their stored outputs" if all(one.has_outputs for one in shown) else "is built without their outputs"
        )
        raise _failed(failures, shown, f"The page {state}: {page}")
    names = f" ({', '.join(changed)})" if changed else ""
    print(f"The page is {'renewed' if waits or changed else 'as it was'}{names}: {page}")


def _failed(failures: list[str], shown: list[Shown], state: str) -> BookError:
    return BookError("\n\n".join([*failures, f"{len(failures)} of {len(shown)} notebooks failed. {state}"]))


def results(tabs: Collection[str] = tuple(FRAMEWORKS)) -> list[Executed]:
    """The sections of these tabs with the outputs to show; those whose code has changed are run.

    Raises:
        BookError: Notebooks failed; the message names each, with its cell.
    """
    shown = stored_results(tabs)
    missing = to_run(shown, tabs)
    failures = run_all([one.section for one in missing])
    if failures:
        raise BookError("\n\n".join(failures))
    for one in missing:
        one.renew()
    return [one.executed for one in shown]


def stored_results(tabs: Collection[str] = tuple(FRAMEWORKS)) -> list[Shown]:
    """Compile and export the sections of these tabs, with what is stored of each."""
    check_contents()
    sections = [section for section in compile_sections() if section.tab in tabs]
    export_all(sections)
    return [Shown(section) for section in sections]


def to_run(shown: list[Shown], tabs: Collection[str]) -> list[Shown]:
    """Those of these tabs that have code to run and were not run with it; says which frameworks are passed over."""
    passed_over = [
        f"{framework.title} ({'not installed here' if tab in tabs else 'not asked for'})"
        for tab, framework in FRAMEWORKS.items()
        if tab not in tabs or not is_installed(tab)
    ]
    if passed_over:
        print(f"Not run, shown from stored outputs: {', '.join(passed_over)}")
    tabs = set(filter(is_installed, tabs))
    return [one for one in shown if one.section.tab in tabs and has_to_run(one.section)]


def fetch_images() -> None:
    """Look for Fashion-MNIST, and fetch it if it is not here.

    Raises:
        BookError: It is not to be had; the message says why.
    """
    from d2l.data_error import DataError
    from d2l.fashion_mnist import load_fashion_mnist
    from d2l.smoke_profile import Profile

    try:
        load_fashion_mnist(ROOT / "data", Profile())
    except DataError as error:
        raise BookError(str(error)) from None
    print("Fashion-MNIST is here, whole.")
