"""The table of failure modes: what a user sees of each fault, as seen by the tests that make it happen."""

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from book.errors import BookError
from book.files import ROOT, atomic_write, markdown_table

from .pytest_reports import outcome, properties, run_tests

TESTS = ROOT / "tests"
TABLE = TESTS / "faults.md"
INTRODUCTION = """\
# Faults, and what the user sees of them

Each is made to happen by the tests beside it, as part of `make test`. `make faults` runs these by themselves and writes
this table. What differs between machines, such as folders and ports, is left out of the messages.

"""
HEAD = ["fault", "what the user sees", "tests"]


def update_table() -> None:
    """Run the tests of all faults, and write the table.

    Raises:
        BookError: A test failed, or a fault could not be made to happen here; the table says which.
    """
    tests = find_failure_modes()
    cases = run_tests("-m", "fault")
    seen = {fault: _seen([case for case in cases if fault in properties(case, "fault")]) for fault in tests}
    rows = [[fault, seen[fault], links(names)] for fault, names in tests.items()]
    atomic_write(INTRODUCTION + markdown_table(HEAD, rows), TABLE)
    print(f"Written to {TABLE.relative_to(ROOT)}")
    if missing := [f"{fault}: {text}" for fault, text in seen.items() if not text.startswith("`")]:
        raise BookError("\n".join(missing))


def find_failure_modes() -> dict[str, list[tuple[str, str]]]:
    """The tests, each as file and name, that carry a marker ``pytest.mark.fault``, by the fault that it names."""
    tests: dict[str, list[tuple[str, str]]] = {}
    for path in _test_files():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for fault in _faults(node):
                    tests.setdefault(fault, []).append((path.relative_to(TESTS).as_posix(), node.name))
    return tests


def links(tests: list[tuple[str, str]]) -> str:
    """What the table says of the tests of a fault."""
    return ", ".join(f"[{name}]({file})" for file, name in dict.fromkeys(tests))


def _test_files() -> list[Path]:
    return sorted(TESTS.rglob("test_*.py"))


def _faults(test: ast.FunctionDef) -> Iterator[str]:
    """The faults named in the decorators of a test, those in its parameters' marks included."""
    for decorator in test.decorator_list:
        for call in (part for part in ast.walk(decorator) if isinstance(part, ast.Call)):
            if ast.unparse(call.func) == "pytest.mark.fault":
                yield ast.literal_eval(call.args[0])


def _seen(cases: list[ElementTree.Element]) -> str:
    """What the tests of one fault have seen; else what became of them."""
    outcomes = {outcome(case) for case in cases}
    if "FAIL" in outcomes:
        return "FAIL"
    messages = dict.fromkeys(message for case in cases for message in properties(case, "sees"))
    return "<br>".join(map(_code, messages)) or "not made to happen here"


def _code(message: str) -> str:
    """A message as code in a cell of a table."""
    message = message.replace("|", r"\|")
    return f"`` {message} ``" if "`" in message else f"`{message}`"
