"""Runs of pytest, and what their reports say: the tables in ``tests`` are made from these."""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from book.errors import BookError
from book.files import ROOT


def run_tests(*arguments: str) -> list[ElementTree.Element]:
    """Run pytest with these arguments; gives its report's test cases, in the order they ran in.

    Raises:
        BookError: pytest did not get as far as to run a test.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run([sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"], cwd=ROOT, check=False)
        if not report.exists():
            raise BookError("pytest ran no test; what it says is above")
        return list(ElementTree.parse(report).iter("testcase"))


def outcome(case: ElementTree.Element) -> str:
    """What became of a test: ``pass``, ``FAIL`` or ``skipped``."""
    kinds = {child.tag for child in case}
    return "FAIL" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "pass"


def properties(case: ElementTree.Element, name: str) -> list[str]:
    """What a test has recorded under a name."""
    return [item.get("value", "") for item in case.iter("property") if item.get("name") == name]
