"""The decks: a title, the marked sentences in order, and the code."""

import nbformat
import pytest

from book.slides import write_decks
from book.source import Section


@pytest.fixture(scope="module")
def deck(sections: list[Section], tmp_path_factory) -> nbformat.NotebookNode:
    """The deck of the AlexNet section for PyTorch."""
    section = next(s for s in sections if (s.name, s.tab) == ("chapter_cnn/alexnet", "pytorch"))
    before = nbformat.writes(section.notebook)
    (path,) = write_decks([(section, section.notebook)], tmp_path_factory.mktemp("slides"))
    assert nbformat.writes(section.notebook) == before
    return nbformat.read(path, as_version=4)


def test_deck_begins_with_the_title_and_has_the_marked_sentences(deck):
    texts = [cell.source for cell in deck.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# Deep Convolutional Neural Networks (AlexNet)")
    assert "Training takes ten epochs" in texts
    assert not any("**" in text or ":numref:" in text or ":cite:" in text for text in texts)
    slides = [cell for cell in deck.cells if cell.metadata.get("slideshow", {}).get("slide_type") == "slide"]
    assert len(slides) >= 5


def test_deck_has_the_code_of_its_framework(deck):
    code = "\n".join(cell.source for cell in deck.cells if cell.cell_type == "code")
    assert "class AlexNet(d2l.Classifier):" in code and "trainer.fit(model, data)" in code
    assert "tf.keras" not in code and "#@save" not in code


def test_section_without_marks_has_no_deck(sections, tmp_path):
    index = next(s for s in sections if s.name == "index")
    assert write_decks([(index, index.notebook)], tmp_path) == []
