"""What holds for all tests: the smoke profile, no GPU, and notebooks compared by what their outputs mean."""

import windows  # noqa: F401, first, since it decides what others find here

# isort: split
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import firefox
import matplotlib
import nbformat
import pytest
from jupyter_client.connect import LocalPortCache
from matplotlib import pyplot as plt
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from processes import free_ports

from book.build_lock import alone
from book.cache import is_kept, keep
from book.compile_notebooks import compile_sections
from book.errors import BookError
from book.execute_notebooks import with_outputs
from book.export_notebooks import export_all
from book.files import BUILD
from book.frameworks import is_installed
from book.helper_origin import check_helper
from book.notebook_client import own_environment
from book.recordings import show_results
from book.reference_numbers import reference_path
from book.section import Compiled, Executed
from d2l import machine

BROWSERS = {
    "chromium": ("Chromium", "chromium", ("chromium", "chromium-browser", "google-chrome")),
    "firefox": ("Firefox", "firefox-esr", ("firefox-esr", "firefox")),
}

pytest_plugins = ["contract.fixtures", "notebooks"]

environment = own_environment()
os.environ.clear()
os.environ.update(environment)
os.environ["D2L_PROFILE"] = "smoke"
os.environ["no_proxy"] = "127.0.0.1,localhost"  # processes on this machine reach each other without a proxy
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("D2L_TEST_GPUS", "")
if not os.environ["CUDA_VISIBLE_DEVICES"]:
    os.environ["JAX_PLATFORMS"] = "cpu"  # without it JAX warns where there is a GPU
matplotlib.rcdefaults()
matplotlib.use("agg")
# A shell starts jobs in the background with Ctrl-C ignored, and tests of it would wait for what never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Full runs, too, are compared with others to the last digits.
machine.CPU_INFO = Path("of a processor without bfloat16")


@pytest.fixture
def sees(record_property, tmp_path) -> Callable[[str], None]:
    """Takes down, for the table of faults, what the user sees: in one line that is the same on every machine."""

    def take_down(message: str) -> None:
        line = " / ".join(filter(None, map(str.strip, message.replace(str(tmp_path), "…").splitlines())))
        line = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", line)  # a checksum
        record_property("sees", re.sub(r"127\.0\.0\.1:\d+", "SERVER", line))

    return take_down


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    """Have pyplot forget the figures that a test, or a training in it, has opened."""
    yield
    plt.close("all")


@pytest.fixture
def measured(record_property) -> Callable[[str], None]:
    """Takes down a line with a figure that a test has measured, for the end of the output."""
    return lambda line: record_property("measured", line)


@pytest.fixture(scope="session")
def sections() -> list[Compiled]:
    """Every section, compiled for every tab from today's sources."""
    return compile_sections()


@pytest.fixture(scope="session")
def shown(sections: list[Compiled]) -> list[Executed]:
    """Every section with the outputs that readers see, from recordings and the stored references: nothing is run."""
    executed = []
    for section in sections:
        stored = nbformat.read(reference_path(section), as_version=4) if section.code_cells else section.notebook
        executed.append(show_results(with_outputs(section, stored)))
    return executed


@pytest.fixture(scope="session")
def html(sections: list[Compiled], shown: list[Executed], testrun_uid: str) -> Path:
    """The pages, rendered from the stored outputs by the first worker that asks; any warning of Sphinx fails here."""
    from book.pages import render  # which needs what comes with the extra book

    pages = BUILD / "test_html"
    with alone():
        if not is_kept("tests/html", [testrun_uid]):
            export_all(sections)
            render(shown, pages)
            keep("tests/html", [testrun_uid])
    return pages


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What drives both browsers."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(request, playwright, tmp_path_factory) -> Iterator[Browser]:
    """Chromium, and then Firefox, as this machine's own packages bring them.

    All that a page does can differ between them, so tests run in both; those that read what the build has written, ask
    the same script for many numbers, or need what one of them lacks are marked `only_in` the other.
    """
    name, package, programs = BROWSERS[request.param]
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        pytest.skip(f"no {name} on this machine (Debian package {package})")
    if request.param == "firefox":
        browser = firefox.launch(playwright, program, tmp_path_factory.mktemp("firefox"))
    else:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A new page, whose errors and requests to other hosts are collected; of Firefox's files, no requests are known."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else page.problems.append(r.url))
    # What is not there fails in another way than what is broken off because the test has gone to the next page.
    broken_off = ("net::ERR_ABORTED", "NS_BINDING_ABORTED")
    page.on(
        "requestfailed",
        lambda r: None if r.failure in broken_off else page.problems.append(f"{r.failure}: {r.url}"),
    )
    yield page
    context.close()


# Other workers' kernels take other ports, and write their histories elsewhere.
LocalPortCache.find_available_port = lambda cache, ip: free_ports(1)[0]
os.environ["IPYTHONDIR"] = str(BUILD / "ipython" / os.environ.get("PYTEST_XDIST_WORKER", "alone"))
Path(os.environ["IPYTHONDIR"]).mkdir(parents=True, exist_ok=True)


def pytest_configure(config: pytest.Config) -> None:
    """See that the kernels find this helper."""
    try:
        check_helper()
    except BookError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have tests of pages run in both browsers, or in that which they are marked with."""
    if "browser" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only_in")
        names = [only.args[0]] if only else [*BROWSERS]
        browsers = [pytest.param(name, id=pytest.HIDDEN_PARAM if name == "chromium" else name) for name in names]
        metafunc.parametrize("browser", browsers, indirect=True, scope="session")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m MARKER``, leave files alone that have none of it: they may import what is not installed here."""
    marker = re.match(r"(?!not\b)\w+", config.option.markexpr)
    if marker is None or collection_path.is_dir():
        return None
    return collection_path.suffix != ".py" or not carries(collection_path, marker[0]) or None


def carries(file: Path, marker: str) -> bool:
    """Whether a file of tests has a marker: in its text, or by the fixture `fw`, whose tests with PyTorch are quick."""
    text = file.read_text("utf-8")
    return f"mark.{marker}" in text or (
        marker == "quick" and re.search(r"^def test_\w+\(.*\bfw\b", text, re.M) is not None
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the notebooks of frameworks that are not installed, and say so; a test's report names its faults.

    Tests with a browser come last: once it has run, Playwright keeps the thread's event loop. They and what takes the
    compiled book are slow.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))
    for item in items:
        item.user_properties += [("fault", *marker.args) for marker in item.iter_markers("fault")]
        if {"sections", "browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    references = Path(__file__).parent / "reference"
    for item in items:
        if references in item.path.parents:
            tab = item.path.relative_to(references).parts[0]
            if not is_installed(tab):
                item.add_marker(pytest.mark.skip(reason=f"the framework of the {tab} tab is not installed here"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests have measured."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [line for report in reports for name, line in report.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have tests run beside each other by file, all but those that write in the book's build folder."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "book" if _is_of_book(config.rootpath / file) else file

    return ByFile(config, log)


@cache
def _is_of_book(path: Path) -> bool:
    """Whether a file's tests import the steps of the build, or take what these make, and are not about its pages."""
    if path.parent.name == "theme":
        return False
    taken = re.compile(r"^(from|import) book\b|^def test_.*\b(sections|shown|html)\b", re.M)
    return path.suffix == ".py" and taken.search(path.read_text("utf-8")) is not None
