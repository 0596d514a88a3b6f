"""The defects in tests/mutants fit the code of today, the quickest are caught, and the table says of all what does.

Others, drawn at random, are real changes of the code, and every file has tests to try them with.
"""

import ast
import json
import subprocess
from types import SimpleNamespace

import pytest

from book.errors import BookError
from book.files import ROOT
from qa import mutants, random_defects
from qa.__main__ import main
from qa.mutants import TABLE, Mutant, Verdict, copied_repository, load_mutants, stored, table, try_all, try_out
from qa.places import replaced
from qa.random_defects import Change, changes_bytecode, chosen_tests, draw, try_change, try_random

pytestmark = pytest.mark.quick

FAST = [mutant for mutant in load_mutants() if mutant.fast]


def put_in(mutant):
    """The file that a defect is in, and its text without and with it."""
    place = mutant.place()
    before = (ROOT / place.file).read_text("utf-8")
    return place.file, before, replaced(before, place, mutant.new)


def test_every_defect_has_its_place_in_the_code():
    wrong = []
    for mutant in load_mutants():
        try:
            _, before, after = put_in(mutant)
        except BookError as error:
            wrong.append(str(error))
        else:
            if before.split() == after.split():
                wrong.append(f"{mutant.name}: changes nothing")
    assert wrong == []


@pytest.mark.slow
def test_every_defect_leaves_code_that_python_can_read():
    """Else any test would catch it."""
    for mutant in load_mutants():
        file, _, after = put_in(mutant)
        if file.endswith(".py"):
            compile(after, mutant.name, "exec")


def test_every_defect_has_a_name_of_its_own_and_tests_that_are_there():
    names = [mutant.name for mutant in load_mutants()]
    assert len(set(names)) == len(names)
    files = {tests.split()[0] for mutant in load_mutants() for tests in mutant.tests}
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_table_says_of_every_defect_what_catches_it():
    """Else: make mutants."""
    found = stored()
    assert [mutant.name for mutant in load_mutants() if mutant.name not in found] == []
    assert [mutant.name for mutant in load_mutants() if not found[mutant.name].caught_by and not mutant.survives] == []
    assert TABLE.read_text("utf-8") == table()


def test_tests_that_catch_defects_are_there():
    """Else: make mutants ONLY=the defects whose tests have other names now."""
    tests = {
        verdict.caught_by.partition("[")[0].partition("::")[::2] for verdict in stored().values() if verdict.caught_by
    }
    texts = {file: (ROOT / file).read_text("utf-8") for file, _ in tests}
    assert [name for file, name in tests if file.endswith(".py") and f"def {name}(" not in texts[file]] == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", FAST, ids=lambda mutant: mutant.name)
def test_quick_defects_are_caught(mutant):
    assert try_out(mutant).caught_by == stored()[mutant.name].caught_by


def harmless_mutant(tests):
    return Mutant("another comment", ("d2l/*.py",), "HyperParameters", '"""Base class', '"""The base class', (tests,))


@pytest.mark.slow
def test_what_is_no_defect_survives_and_the_code_stays_as_it_is():
    path = ROOT / "d2l" / "hyperparameters.py"
    before = path.read_text("utf-8")
    harmless = harmless_mutant("tests/d2l/test_layers.py")
    assert try_out(harmless).caught_by == ""
    assert path.read_text("utf-8") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("test_memory_in_words[256-1.0 KiB]", "test_memory_in_words[256-1.0 KiB]"),
        ("test_that_is_no_more", "test_text_has_a_line_for_each_layer_and_one_of_sums"),
    ],
)
def test_test_that_caught_a_defect_last_time_is_run_first(monkeypatch, last, first):
    wrong = Mutant("another unit", ("d2l/layer_table.py",), "", '"KiB"', '"kB"', ("tests/d2l/test_layers.py",))
    monkeypatch.setattr(mutants, "stored", lambda: {wrong.name: Verdict(f"tests/d2l/test_layers.py::{last}", 1)})
    assert try_out(wrong).caught_by == f"tests/d2l/test_layers.py::{first}"


def test_git_knows_the_files_of_a_copy():
    """Tests that list them would fail there without any defect."""
    listed = ["git", "ls-files", "tests/qa"]
    with copied_repository() as copy:
        known = subprocess.run(listed, cwd=copy, capture_output=True, text=True, check=True).stdout.split()
    assert "tests/qa/test_mutants.py" in known


def test_defect_without_a_place_is_named():
    lost = Mutant("a lost place", ("d2l/trainer.py",), "fit", "no such text", "", ("tests/d2l/test_layers.py",))
    with pytest.raises(BookError, match=r"'a lost place': 'no such text' does not stand in fit in d2l/trainer\.py"):
        try_out(lost)


@pytest.mark.slow
def test_tests_that_do_not_run_catch_nothing():
    wrong = harmless_mutant("tests/no_such.py")
    with pytest.raises(BookError, match=r"pytest tests/no_such\.py ran no test"):
        try_out(wrong)


def test_unknown_word_is_named():
    with pytest.raises(BookError, match="ONLY='no such defect'"):
        try_all("no such defect")


def test_new_verdicts_stand_beside_those_of_earlier_runs(monkeypatch, tmp_path):
    """Those of defects that are no more are gone."""
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(mutants, "TABLE", tmp_path / "README.md")
    first, second, *_ = load_mutants()
    earlier = {first.name: vars(Verdict("tests/a.py::test", 3)), "of long ago": vars(Verdict("tests/b.py::test", 4))}
    mutants.RESULTS.write_text(json.dumps(earlier), "utf-8")
    monkeypatch.setattr(mutants, "tried", lambda _, defects: [(defects[0], Verdict("tests/c.py::test", 5))])
    monkeypatch.setattr(mutants, "check_without_defect", list)
    try_all(second.name)
    assert stored() == {first.name: Verdict("tests/a.py::test", 3), second.name: Verdict("tests/c.py::test", 5)}
    assert mutants.TABLE.read_text("utf-8") == table()
    assert "`tests/c.py::test` | 5" in table()


@pytest.mark.slow
def test_chance_draws_the_same_real_changes_for_the_same_seed():
    drawn = draw(50, 1)
    assert drawn == draw(50, 1)
    assert len(set(drawn)) == 50
    assert len(set(drawn) & set(draw(50, 2))) < 10  # some are drawn twice, by chance
    for change in drawn:
        source = (ROOT / change.file).read_bytes()
        assert source[change.start : change.end].decode() == change.old != change.new
        assert source.count(b"\n", 0, change.start) == change.line - 1
        ast.parse(change.made_in(source))
        assert changes_bytecode(change)
    assert {change.file.partition("/")[0] for change in draw(200, 1)} == {"d2l", "book", "qa"}


SOURCE = '''"""Text."""

__all__ = ["f"]
LIMIT: int = 3


def f(x: "int | None" = 1, *, keys=("a",)) -> "int | str":
    """Text."""
    if x is not None and (x) < (  # <
        2
    ) or x in keys:
        print(f"{x + 1}")
    x += keys["ä"] * 1.5
    return x if True else -x


#################   WARNING   ################
LATER = 1
'''
CHANGES = """\
4 assignment: LIMIT: int = 3 -> pass
4 constant: 3 -> 4
7 constant: 1 -> 2
9 condition: x is not None and (x) < ( # < 2 ) or x in keys -> not (x is not None and (x) < ( # < 2 ) or x in keys)
9 condition: x is not None and (x) < ( # < 2 ) or x in keys -> True
9 condition: x is not None and (x) < ( # < 2 ) or x in keys -> False
9 and, or: x is not None and (x) < ( # < 2 ) or x in keys -> x is not None and (x) < ( # < 2 ) and x in keys
9 and, or: x is not None and (x) < ( # < 2 ) -> x is not None or (x) < ( # < 2 )
9 comparison: x is not None -> x is None
9 comparison: (x) < ( # < 2 ) -> (x) <= ( # < 2 )
10 constant: 2 -> 3
11 comparison: x in keys -> x not in keys
12 call: print(f"{x + 1}") -> pass
13 arithmetic: x += keys["ä"] * 1.5 -> x -= keys["ä"] * 1.5
13 assignment: x += keys["ä"] * 1.5 -> pass
13 arithmetic: keys["ä"] * 1.5 -> keys["ä"] / 1.5
13 constant: "ä" -> 'ä_'
13 constant: 1.5 -> 2.5
14 return value: x if True else -x -> None
14 condition: True -> not (True)
14 condition: True -> True
14 condition: True -> False
14 constant: True -> False
"""


def test_every_kind_of_change_is_made_where_it_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(random_defects, "ROOT", tmp_path)
    (tmp_path / "d2l").mkdir()
    (tmp_path / "d2l" / "some.py").write_text(SOURCE, "utf-8")
    places = random_defects._Finder("d2l/some.py").places
    changes = [
        f"{change.line} {change.kind}: {' '.join(change.old.split())} -> {' '.join(change.new.split())}"
        for place in places
        for change in place
    ]
    assert "\n".join(changes) + "\n" == CHANGES


def test_every_file_of_code_has_tests():
    files = {path.relative_to(ROOT).as_posix() for pattern in random_defects.FILES for path in ROOT.glob(pattern)}
    files = {file for file in files if random_defects._Finder(file).places}
    names = {tests.split()[0] for file in files for tests in chosen_tests(file)}
    assert len(files) > 40
    assert [name for name in names if not (ROOT / name).is_file()] == []


def first_change(file, old):
    places = random_defects._Finder(file).places
    return next(change for place in places for change in place if change.old == old)


@pytest.mark.slow
def test_share_caught_is_printed_and_each_survivor(tmp_path, monkeypatch, capsys):
    caught = first_change("d2l/layer_table.py", "1024")
    survives = Change("d2l/layer_table.py", "comment", 1, 3, 3, "", "Not caught. ")
    monkeypatch.setattr(random_defects, "draw", lambda count, seed, only: [caught, survives])
    monkeypatch.setattr(random_defects, "chosen_tests", lambda file: ["tests/d2l/test_layers.py"])
    monkeypatch.setattr(random_defects, "BUILD", tmp_path)
    try_random(2, 7, "")
    out = capsys.readouterr().out
    assert f"{caught}: tests/d2l/test_layers.py::" in out
    assert "Of 2 defects drawn with seed 7, 1 are caught, 50.0%" in out
    assert f"1 survive:\n  {survives}" in out
    assert len(json.loads((tmp_path / "random-defects-7.json").read_text("utf-8"))) == 2


@pytest.mark.parametrize(("count", "seed"), [("0", "1"), ("-1", "1"), ("many", "1"), ("40", ""), ("", "1"), ("4", "x")])
def test_numbers_that_draw_nothing_are_named(monkeypatch, capsys, count, seed):
    monkeypatch.setattr("sys.argv", ["book", "mutants", f"--random={count}", f"--seed={seed}", ""])
    assert main() == 1
    assert f"error: RANDOM={count} SEED={seed}: give how many defects to draw, one at least" in capsys.readouterr().err


def test_more_changes_than_there_are_is_named():
    with pytest.raises(BookError, match=r"RANDOM=1000: there are \d+ changes to draw from in 1 files"):
        draw(1000, 1, "d2l/mime.py")


def test_changes_are_drawn_from_the_files_that_are_picked():
    assert {change.file for change in draw(5, 1, "d2l/mime.py")} == {"d2l/mime.py"}


def test_file_that_was_edited_after_the_draw_is_named():
    with pytest.raises(BookError, match=r"d2l/layer_table\.py was edited meanwhile"):
        try_change(Change("d2l/layer_table.py", "constant", 1, 0, 4, "1024", "1025"))


@pytest.mark.slow
def test_tests_without_an_end_catch_a_defect(monkeypatch):
    monkeypatch.setattr(random_defects, "TIMEOUT_SECONDS", 1)
    change = first_change("d2l/layer_table.py", "1024")
    assert try_change(change).caught_by == "tests/d2l/test_layers.py: no end after 1 s"


@pytest.mark.slow
def test_defect_that_ends_the_test_runner_is_caught():
    change = Change("book/compare_outputs.py", "call", 1, 0, 0, "", "import os; os._exit(3)\n")
    assert try_change(change).caught_by == "tests/book/test_compare_outputs.py: pytest ends with status 3"


def test_verdict_has_the_seconds_until_a_test_fails(monkeypatch):
    monkeypatch.setattr(mutants, "time", SimpleNamespace(monotonic=iter([100.0, 107.2]).__next__))
    monkeypatch.setattr(mutants, "first_failure", lambda *_: "a test")
    assert try_out(next(mutant for mutant in load_mutants() if mutant.fast)) == Verdict("a test", 7)
