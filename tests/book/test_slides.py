"""The decks: a title, the marked sentences in order, and the code."""

import re

import nbformat
import pytest

from book.execute_notebooks import with_outputs
from book.sanitize_outputs import Safe
from book.section import Compiled
from book.slides import deck


def safe(section: Compiled) -> Safe:
    """The section without outputs."""
    return Safe(with_outputs(section, section.notebook))


@pytest.fixture(scope="module")
def alexnet(sections: list[Compiled]) -> nbformat.NotebookNode:
    """The deck of the AlexNet section for PyTorch."""
    section = next(s for s in sections if (s.name, s.tab) == ("chapter_cnn/alexnet", "pytorch"))
    before = nbformat.writes(section.notebook)
    slides = deck(safe(section))
    assert nbformat.writes(section.notebook) == before
    return slides


def test_deck_begins_with_the_title_and_has_the_marked_sentences(alexnet):
    texts = [cell.source for cell in alexnet.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# Deep Convolutional Neural Networks (AlexNet)")
    assert "## Training takes ten epochs" in texts
    slides = [cell for cell in alexnet.cells if cell.metadata.get("slideshow", {}).get("slide_type") == "slide"]
    assert len(slides) >= 5


def test_deck_of_the_same_section_is_the_same(alexnet, sections):
    """Else one that somebody has worked in would be taken for that of another source."""
    section = next(s for s in sections if (s.name, s.tab) == ("chapter_cnn/alexnet", "pytorch"))
    assert nbformat.writes(deck(safe(section))) == nbformat.writes(alexnet)


def test_deck_has_the_code_of_its_framework(alexnet):
    code = "\n".join(cell.source for cell in alexnet.cells if cell.cell_type == "code")
    assert "class AlexNet(d2l.Classifier):" in code and "trainer.fit(model, data)" in code
    assert "tf.keras" not in code and "#@save" not in code


def test_every_section_with_code_has_a_deck_without_marks(sections: list[Compiled]):
    for section in sections:
        slides = deck(safe(section))
        assert (slides is not None) == bool(section.code_cells), section
        for cell in slides.cells if slides else []:
            if cell.cell_type == "markdown":
                assert re.findall(r":[a-z_]+:`|\*\*[\])]|[\[(]\*\*", cell.source) == [], section


def test_strings_with_a_hash_are_whole_in_a_deck():
    cells = [nbformat.v4.new_markdown_cell("[**Mark**]"), nbformat.v4.new_code_cell('x = "a # b"  # why\ny = f"# {x}"')]
    section = Compiled("chapter_test/small", "pytorch", nbformat.v4.new_notebook(cells=cells))
    assert deck(safe(section)).cells[-1].source == 'x = "a # b"\ny = f"# {x}"'
