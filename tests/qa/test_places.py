"""Defects keep their places as code is moved, indented and wrapped anew; one that has lost its place says so."""

import ast
import shutil
import textwrap

import pytest

from book.errors import BookError
from book.files import ROOT
from qa.mutants import load_mutants
from qa.places import find_place, replaced

pytestmark = pytest.mark.quick

ROOM = ["d2l/**/*.py"]
CODE = """\
LIMIT = 3


def clip(values, low, high):
    if low > high:
        raise ValueError
    return [min(max(value, low), high) for value in values]


class Counter:
    def add(self, n):
        self.total += n
        self.calls += 1
        return self.total

    def reset(self):
        self.total = 0
"""


@pytest.fixture
def folder(tmp_path):
    """A repository with a module."""
    (tmp_path / "d2l").mkdir()
    (tmp_path / "d2l" / "first.py").write_text(CODE, "utf-8")
    return tmp_path


def changed(folder, within, old, new):
    """The file of a place, and its text with a defect."""
    place = find_place(folder, ROOM, within, old)
    return place.file, replaced((folder / place.file).read_text("utf-8"), place, new)


WRAPPED = "min(\n        max(\n            value, low\n        ),\n        high,\n    )"


@pytest.mark.parametrize(
    ("written", "old"),
    [
        ("min(max(value,low),high)", "min(max(value, low), high)"),
        (WRAPPED, "min(max(value, low), high)"),
        ("min(max(value, low), high)", WRAPPED),
        (
            "min(\n        max(value, low),  # not below\n        # nor above\n        high)",
            "min(max(value, low), high)",
        ),
    ],
    ids=["blanks", "wrapped", "unwrapped", "commented"],
)
def test_code_is_found_however_it_is_wrapped(folder, written, old):
    (folder / "d2l" / "first.py").write_text(CODE.replace("min(max(value, low), high)", written), "utf-8")
    assert changed(folder, "clip", old, "low")[1] == CODE.replace("min(max(value, low), high)", "low")


@pytest.mark.parametrize(
    ("old", "found"), [("value", "stands 2 times"), ("call", "does not stand"), ("otal", "does not")]
)
def test_words_are_whole(folder, old, found):
    with pytest.raises(BookError, match=found):
        find_place(folder, ROOM, "", old)


def test_defect_has_the_indentation_of_its_place(folder):
    new = "if n:\n    self.total += n\nelse:\n\n    return 0"
    _, text = changed(folder, "add", "self.total += n", new)
    assert text == CODE.replace("        self.total += n\n", textwrap.indent(new, " " * 8) + "\n")


def test_line_of_which_nothing_is_left_goes(folder):
    assert changed(folder, "add", "self.calls += 1", "")[1] == CODE.replace("        self.calls += 1\n", "")
    assert changed(folder, "clip", "for value in values", "")[1] == CODE.replace("for value in values", "")


def test_function_class_or_neither_is_around_a_place(folder):
    assert str(find_place(folder, ROOM, "", "LIMIT = 3")) == "d2l/first.py:1 (in no function)"
    assert str(find_place(folder, ROOM, "Counter", "calls")) == "d2l/first.py:13 (add)"
    assert str(find_place(folder, ROOM, "add", "def add")) == "d2l/first.py:11 (add)"


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("resize off by half a pixel", "d2l/arrays/grids.py"),
        ("JAX: an interrupted step loses the parameters", "d2l/backends/jax/steps.py"),
        ("PyTorch: gradient clipping ignored", "d2l/backends/torch/steps.py"),
        ("a look at the first batch moves the random states", "d2l/states/random.py"),
    ],
)
def test_defect_stays_with_a_function_that_moves_to_a_class_in_another_file(tmp_path, name, to):
    mutant = next(mutant for mutant in load_mutants() if mutant.name == name)
    shutil.copytree(ROOT / "d2l", tmp_path / "d2l", ignore=shutil.ignore_patterns("__pycache__"))
    place = mutant.place(tmp_path)
    text = (tmp_path / place.file).read_text("utf-8")
    function = function_named(mutant.within, text, place.line)
    lines = text.split("\n")
    first = min(node.lineno for node in [function, *function.decorator_list]) - 1
    body = textwrap.dedent("\n".join(lines[first : function.end_lineno]))
    lines[first : function.end_lineno] = [" " * function.col_offset + "moved = None"]
    (tmp_path / place.file).write_text("\n".join(lines), "utf-8")
    (tmp_path / to).parent.mkdir(exist_ok=True)
    (tmp_path / to).write_text(f"if True:\n    class Elsewhere:\n{textwrap.indent(body, ' ' * 8)}\n", "utf-8")
    moved = mutant.place(tmp_path)
    assert (moved.file, moved.function) == (to, mutant.within)
    before = function_named(mutant.within, replaced(text, place, mutant.new), place.line)
    after = function_named(mutant.within, replaced((tmp_path / to).read_text("utf-8"), moved, mutant.new), moved.line)
    assert statements(after) == statements(before) != statements(function)


def statements(function):
    """Of a function, without its docstring, which is indented as its place."""
    return [ast.dump(node) for node in function.body[1:]]


def function_named(name, text, line):
    """The definition that has a line in it."""
    definitions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return next(node for node in definitions if node.lineno <= line <= node.end_lineno)


def test_defect_without_its_function_says_where_its_code_is(folder):
    with pytest.raises(BookError) as error:
        find_place(folder, ROOM, "increase", "self.calls += 1")
    assert str(error.value) == (
        "'self.calls += 1' does not stand in increase in d2l/**/*.py; there is no increase in it; "
        "it stands at d2l/first.py:13 (add)"
    )


def test_defect_without_its_code_says_where_its_function_is_and_what_it_has(folder):
    with pytest.raises(BookError) as error:
        find_place(folder, ROOM, "add", "self.called += 1")
    assert str(error.value) == (
        "'self.called += 1' does not stand in add in d2l/**/*.py; "
        "add is at d2l/first.py:11, which has 'self.calls += 1'"
    )


def test_defect_out_of_its_room_says_where_it_is(folder):
    with pytest.raises(BookError, match=r"there is no add in it; it stands at d2l/first\.py:13 \(add\)"):
        find_place(folder, ["d2l/second.py"], "add", "self.calls += 1")


def test_defect_with_two_places_names_both(folder):
    (folder / "d2l" / "second.py").write_text(CODE, "utf-8")
    with pytest.raises(BookError) as error:
        find_place(folder, ROOM, "add", "self.calls += 1")
    assert str(error.value) == (
        "'self.calls += 1' stands 2 times in add in d2l/**/*.py: d2l/first.py:13 (add), d2l/second.py:13 (add); "
        "name the function around the place in `in`, or more of its code in `old`"
    )
