"""The defects in tests/mutants fit the code of today, the quickest are caught, and the table says of all what does."""

import pytest

from book import mutants
from book.mutants import TABLE, Mutant, Verdict, load_mutants, stored, table, try_all, try_out
from book.source import ROOT, BookError

FAST = [mutant for mutant in load_mutants() if mutant.fast]


def test_every_defect_has_its_place_in_the_code():
    wrong = [
        mutant.name
        for mutant in load_mutants()
        if mutant.new == mutant.old or (ROOT / mutant.file).read_text("utf-8").count(mutant.old) != 1
    ]
    assert wrong == []


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


@pytest.mark.parametrize("mutant", FAST, ids=lambda mutant: mutant.name)
def test_quick_defects_are_caught(mutant):
    assert try_out(mutant).caught_by == stored()[mutant.name].caught_by


def test_what_is_no_defect_survives_and_the_code_stays_as_it_is():
    path = ROOT / "d2l" / "hyperparameters.py"
    before = path.read_text("utf-8")
    harmless = Mutant(
        "another comment", "d2l/hyperparameters.py", '"""Base class', '"""The base class', ("tests/test_layers.py",)
    )
    assert try_out(harmless).caught_by == ""
    assert path.read_text("utf-8") == before


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("test_memory_in_words[256-1.0 KiB]", "test_memory_in_words[256-1.0 KiB]"),
        ("test_that_is_no_more", "test_text_has_a_line_for_each_layer_and_one_of_sums"),
    ],
)
def test_test_that_caught_a_defect_last_time_is_run_first(monkeypatch, last, first):
    wrong = Mutant("another unit", "d2l/layers.py", '"KiB"', '"kB"', ("tests/test_layers.py",))
    monkeypatch.setattr(mutants, "stored", lambda: {wrong.name: Verdict(f"tests/test_layers.py::{last}", 1)})
    assert try_out(wrong).caught_by == f"tests/test_layers.py::{first}"


def test_defect_without_a_place_is_named():
    lost = Mutant("a lost place", "d2l/core.py", "no such text", "", ("tests/test_layers.py",))
    with pytest.raises(BookError, match=r"'a lost place': 'no such text' stands 0 times in d2l/core\.py"):
        try_out(lost)


def test_tests_that_do_not_run_catch_nothing():
    wrong = Mutant("no tests", "d2l/hyperparameters.py", '"""Base class', '"""The base class', ("tests/no_such.py",))
    with pytest.raises(BookError, match=r"pytest tests/no_such\.py ran no test"):
        try_out(wrong)


def test_unknown_word_is_named():
    with pytest.raises(BookError, match="ONLY='no such defect'"):
        try_all("no such defect")
