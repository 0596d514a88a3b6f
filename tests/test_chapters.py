"""The helper under sections written as a book's chapters are: models and trainers extended, models of many kinds."""

from pathlib import Path

import pytest

from book.execute import run
from book.source import FRAMEWORKS, Section, compile_source, is_installed

CHAPTERS = Path(__file__).parent / "chapters"
SECTIONS = sorted(path.stem for path in CHAPTERS.glob("*.md") if path.stem != "README")


@pytest.mark.parametrize("tab", FRAMEWORKS)
@pytest.mark.parametrize("name", SECTIONS)
def test_chapter_runs(name, tab):
    if not is_installed(tab):
        pytest.skip(f"the framework of the {tab} tab is not installed here")
    notebook = compile_source(CHAPTERS / f"{name}.md", tab)
    assert notebook is not None, f"{name} has no cells for {tab}"
    run(Section(f"chapters/{name}", tab, notebook), "smoke")
