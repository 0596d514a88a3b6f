"""The sections in ``tests/chapters``, which the helper is tested with: run them and write down what passes."""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from xml.etree import ElementTree

from .source import FRAMEWORKS, ROOT, BookError, markdown_table, write_whole

CHAPTERS = ROOT / "tests" / "chapters"
SECTIONS = sorted(path.stem for path in CHAPTERS.glob("*.md") if path.stem != "README")
TABLE = CHAPTERS / "README.md"
INTRODUCTION = """\
# Sections that the helper is tested with

Each is written as a chapter of a book is, in every framework, and runs in the smoke profile as part of `make test`.
`make chapters` runs them by themselves and writes this table.

"""


def renew_table() -> None:
    """Run every section in every tab, and write the table.

    Raises:
        BookError: A section failed; the table says which.
    """
    found = _results()
    write_whole(INTRODUCTION + _table(found), TABLE)
    print(f"Written to {TABLE.relative_to(ROOT)}")
    failed = [f"{tab} {name}" for (name, tab), outcome in found.items() if outcome == "FAIL"]
    if failed:
        raise BookError(f"{len(failed)} sections failed: {', '.join(failed)}")


def _results() -> dict[tuple[str, str], str]:
    """What became of each section in each tab: ``pass``, ``FAIL`` or ``skipped``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = str(ROOT / "tests" / "test_chapters.py")
        subprocess.run(
            [sys.executable, "-m", "pytest", tests, "-k", "test_chapter_runs", f"--junitxml={report}"],
            cwd=ROOT,
            check=False,
        )
        cases = ElementTree.parse(report).iter("testcase")
        return {_names(case): _outcome(case) for case in cases}


def _table(results: dict[tuple[str, str], str]) -> str:
    """A row for each section, a column for each tab, with the versions of the frameworks."""
    head = ["section", *(f"{tab} {_version(FRAMEWORKS[tab])}" for tab in FRAMEWORKS)]
    rows = [[f"[{name}]({name}.md)", *(results.get((name, tab), "not run") for tab in FRAMEWORKS)] for name in SECTIONS]
    return markdown_table(head, rows)


def _names(case: ElementTree.Element) -> tuple[str, str]:
    name, _, tab = re.search(r"\[(.*)\]", case.get("name"))[1].rpartition("-")
    return name, tab


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    return "FAIL" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "pass"


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "(not installed)"
