"""The commands of qa, as make calls them."""

import functools
import re
import shlex

import pytest

from book.files import ROOT
from qa import __main__
from qa.__main__ import main

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("verb", "handed_over"),
    [("chapters", ()), ("faults", ()), ("audit", ("all.zip",)), ("mutants", ("resize", "40", "7"))],
)
def test_every_verb_of_make_hands_over_its_variables(monkeypatch, verb, handed_over):
    text = (ROOT / "Makefile").read_text("utf-8")
    for variable, value in {"ONLY": "resize", "RANDOM": "40", "SEED": "7", "DATABASE": "all.zip"}.items():
        text = text.replace(f"$({variable})", value)
    recipe = next(line for line in text.splitlines() if re.search(rf"\$\(QA\) {verb}\b", line))
    called = []

    @functools.wraps(getattr(__main__, verb))
    def called_instead(*arguments: object) -> None:
        called.append(arguments)

    monkeypatch.setattr(__main__, verb, called_instead)
    monkeypatch.setattr("sys.argv", ["qa", *shlex.split(recipe.partition("$(QA)")[2])])
    assert main() == 0
    assert called == [handed_over]
