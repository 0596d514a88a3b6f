"""The table of faults and the tests that make them happen name the same ones."""

import pytest

from qa.faults import INTRODUCTION, TABLE, faults_made, links

pytestmark = pytest.mark.quick


def rows() -> list[list[str]]:
    """The table's rows: fault, what the user sees, tests."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").replace(r"\|", "\0").split(" | ") for line in lines[2:]]


def test_table_has_a_row_for_every_fault_with_its_tests():
    """Else: make faults."""
    expected = [[fault, links(tests)] for fault, tests in faults_made().items()]
    assert [[fault, tests] for fault, _, tests in rows()] == expected


def test_table_begins_by_saying_what_it_is():
    assert TABLE.read_text("utf-8").startswith(INTRODUCTION)


def test_table_says_of_every_fault_what_the_user_sees():
    assert [fault for fault, seen, _ in rows() if not seen.startswith("`")] == []
