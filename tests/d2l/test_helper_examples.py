"""The examples of the helper's reference run in each framework, and give what they say."""

import ast
import operator

import pytest
from photographs import write_folder

from book.helper_examples import examples

pytestmark = [pytest.mark.helper, pytest.mark.slow]


def run(code, d2l):
    """Run an example; a comment behind an expression has to be what that gives."""
    names, lines = {"d2l": d2l, "__name__": "example"}, code.splitlines()
    for statement in ast.parse(code).body:
        first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
        source = "\n".join(lines[first - 1 : statement.end_lineno])
        _, _, said = lines[statement.end_lineno - 1][statement.end_col_offset :].partition("# ")
        if said:
            assert str(eval(source, names)) == said, source
        else:
            exec(source, names)


def test_what_an_example_says_is_compared():
    run("1 + 1  # 2", None)
    with pytest.raises(AssertionError):
        run("x = 1\nx + 1  # 3", None)


@pytest.mark.parametrize("name", examples())
def test_example_runs_and_gives_what_it_says(fw, tmp_path, monkeypatch, name):
    try:
        operator.attrgetter(name)(fw.d2l)
    except AttributeError:
        pytest.skip(f"{fw.name} has no {name}")
    code = examples()[name].get(fw.extra) or examples()[name][""]
    if "photographs" in code:
        write_folder(tmp_path / "photographs", train=4, val=1)
    monkeypatch.chdir(tmp_path)
    run(code, fw.d2l)
