"""The helper under sections written as a book's chapters are: models and trainers extended, models of many kinds."""

import dataclasses

import pytest

from book.compile_notebooks import compile_source
from book.execute_notebooks import run
from book.frameworks import FRAMEWORKS, is_installed
from book.source import Source
from qa.run_chapters import CHAPTERS, SECTIONS, TABLE

pytestmark = pytest.mark.helper


@pytest.mark.parametrize("tab", FRAMEWORKS)
@pytest.mark.parametrize("name", SECTIONS)
def test_chapter_runs(name, tab):
    if not is_installed(tab):
        pytest.skip(f"the framework of the {tab} tab is not installed here")
    section = compile_source(Source.read(CHAPTERS / f"{name}.md"), tab)
    assert section is not None, f"{name} has no cells for {tab}"
    run(dataclasses.replace(section, name=f"chapters/{name}"), "smoke")


def test_table_says_of_every_section_that_it_passes():
    """Else: make chapters. That the sections do pass is for the tests above to show."""
    rows = TABLE.read_text("utf-8").splitlines()
    assert [row for row in rows if row.startswith("| [")] == [
        f"| [{name}]({name}.md) | {' | '.join(['pass'] * len(FRAMEWORKS))} |" for name in SECTIONS
    ]
