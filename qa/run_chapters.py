"""The sections in ``tests/chapters``, which the helper is tested with: run them and write down what passes."""

from importlib.metadata import PackageNotFoundError, version
from xml.etree import ElementTree

from book.errors import BookError
from book.files import ROOT, atomic_write, markdown_table
from book.frameworks import FRAMEWORKS

from .pytest_reports import outcome, run_tests

CHAPTERS = ROOT / "tests" / "chapters"
SECTIONS = sorted(path.stem for path in CHAPTERS.glob("*.md") if path.stem != "README")
TABLE = CHAPTERS / "README.md"
INTRODUCTION = """\
# Sections that the helper is tested with

Each is written as a chapter of a book is, in every framework, and runs in the smoke profile as part of `make test`.
`make chapters` runs them by themselves and writes this table.

"""


def update_table() -> None:
    """Run every section in every tab, and write the table.

    Raises:
        BookError: A section failed; the table says which.
    """
    found = _results()
    atomic_write(INTRODUCTION + _table(found), TABLE)
    print(f"Written to {TABLE.relative_to(ROOT)}")
    failed = [f"{tab} {name}" for (name, tab), result in found.items() if result == "FAIL"]
    if failed:
        raise BookError(f"{len(failed)} sections failed: {', '.join(failed)}")


def _results() -> dict[tuple[str, str], str]:
    """What became of each section in each tab: ``pass``, ``FAIL`` or ``skipped``."""
    tests = str(ROOT / "tests" / "qa" / "test_chapters.py")
    return {_names(case): outcome(case) for case in run_tests(tests, "-k", "test_chapter_runs")}


def _table(results: dict[tuple[str, str], str]) -> str:
    """A row for each section, a column for each tab, with the versions of the frameworks."""
    head = ["section", *(f"{tab} {_version(FRAMEWORKS[tab].module)}" for tab in FRAMEWORKS)]
    rows = [[f"[{name}]({name}.md)", *(results.get((name, tab), "not run") for tab in FRAMEWORKS)] for name in SECTIONS]
    return markdown_table(head, rows)


def _names(case: ElementTree.Element) -> tuple[str, str]:
    parameters = case.get("name", "").partition("[")[2].removesuffix("]")
    name, _, tab = parameters.rpartition("-")
    return name, tab


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "(not installed)"
