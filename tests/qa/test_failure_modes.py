"""The table of faults and the tests that make them happen name the same ones."""

from xml.etree import ElementTree

import pytest

from qa import failure_modes
from qa.failure_modes import INTRODUCTION, TABLE, BookError, find_failure_modes, links, update_table

pytestmark = pytest.mark.quick


def rows() -> list[list[str]]:
    """The table's rows: fault, what the user sees, tests."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").replace(r"\|", "\0").split(" | ") for line in lines[2:]]


def test_table_has_a_row_for_every_fault_with_its_tests():
    """Else: make faults."""
    expected = [[fault, links(tests)] for fault, tests in find_failure_modes().items()]
    assert [[fault, tests] for fault, _, tests in rows()] == expected


def test_table_begins_by_saying_what_it_is():
    assert TABLE.read_text("utf-8").startswith(INTRODUCTION)


def test_table_says_of_every_fault_what_the_user_sees():
    assert [fault for fault, seen, _ in rows() if not seen.startswith("`")] == []


def case(fault: str, *seen: str, outcome: str = "") -> ElementTree.Element:
    """A test of a fault in pytest's report."""
    values = {"fault": [fault], "sees": seen}
    properties = "".join(f'<property name="{name}" value="{value}"/>' for name in values for value in values[name])
    return ElementTree.fromstring(f"<testcase><properties>{properties}</properties>{outcome}</testcase>")


def test_table_is_written_with_each_message_once_and_what_did_not_happen_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(failure_modes, "ROOT", tmp_path)
    monkeypatch.setattr(failure_modes, "TABLE", tmp_path / "faults.md")
    made = {name: [("test_a.py", f"test_{name}")] for name in ("full", "skipped", "failed")}
    monkeypatch.setattr(failure_modes, "find_failure_modes", lambda: made)
    cases = [
        case("full", "no room", "a | b"),
        case("full", "no room"),
        case("skipped", outcome="<skipped/>"),
        case("failed", "no", outcome="<failure/>"),
    ]
    monkeypatch.setattr(failure_modes, "run_tests", lambda *_: cases)
    with pytest.raises(BookError, match="skipped: not made to happen here\nfailed: FAIL"):
        update_table()
    text = failure_modes.TABLE.read_text("utf-8")
    assert "| full | `no room`<br>`a \\| b` | [test_full](test_a.py) |" in text
