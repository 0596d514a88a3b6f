"""The notebooks that people work in read well in Jupyter."""

import re

import nbformat
import pytest

from book.handout import listing, readable
from book.source import ROOT, BookError, Section, source_files, source_notebook


def text_of(source: str, section: str = "chapter_cnn/alexnet") -> str:
    """The source as a notebook of the section shows it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    return readable(notebook, section).cells[0].source


def test_no_mark_of_d2lbook_is_left(sections: list[Section]):
    notebooks = [(section.notebook, section.name) for section in sections]
    notebooks += [(source_notebook(path), str(path.relative_to(ROOT).with_suffix(""))) for path in source_files()]
    for notebook, name in notebooks:
        for cell in readable(notebook, name).cells:
            if cell.cell_type == "markdown":
                assert re.findall(r":[a-z_]+:`|:end_tab:|\[\*\*|\(\*\*|\*\*\)|```", cell.source) == [], name


def test_links_lead_to_notebooks_and_pictures_that_are_there(sections: list[Section]):
    known = {section.name for section in sections}
    for section in sections:
        for cell in readable(section.notebook, section.name).cells:
            for target in re.findall(r"\]\((?!https?:)([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
                path = (ROOT / section.name).parent / target
                name = str(path.resolve().relative_to(ROOT).with_suffix(""))
                assert name in known if path.suffix == ".ipynb" else path.exists(), f"{section}: {target}"


def test_contents_list_what_the_framework_has():
    text = "Text.\n\n```toc\n:maxdepth: 2\n\nalexnet\nlenet\n```\n\nMore."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    for names, expected in [(["a/alexnet", "a/lenet"], text), (["a/lenet"], text.replace("alexnet\n", ""))]:
        assert listing(notebook, "a/index", names).cells[0].source == expected
    assert notebook.cells[0].source == text


def test_works_are_named_by_authors_and_year():
    assert text_of("Deep :cite:`krizhevsky2012imagenet,cortes1995support`.") == (
        "Deep (Krizhevsky et al., 2012; Cortes and Vapnik, 1995)."
    )
    assert text_of(":citet:`lowe2004distinctive` did.") == "Lowe, 2004 did."


def test_sections_are_linked_and_figures_counted():
    title = "Deep Convolutional Neural Networks (AlexNet)"
    assert text_of("See :numref:`sec_alexnet`.", "chapter_cnn/cost") == f"See [{title}](alexnet.ipynb)."
    assert text_of("See :numref:`sec_alexnet`.", "index") == f"See [{title}](chapter_cnn/alexnet.ipynb)."
    shown = text_of(
        "![Two networks.](../img/alexnet.svg)\n:width:`400px`\n:label:`fig_alexnet`\n\n:numref:`fig_alexnet`"
    )
    picture, caption, reference = shown.split("\n\n")
    assert picture == "![Two networks.](../img/alexnet.svg)"
    number = re.fullmatch(r"\*\*(Figure \d+)\.\*\* Two networks\.", caption)[1]
    assert reference == number


def test_prose_of_one_framework_says_so_where_all_are_together():
    assert text_of("Before.\n\n:begin_tab:`jax`\nIn Flax.\n:end_tab:\n\nAfter.").split("\n\n")[1] == "*jax:* In Flax."


@pytest.mark.parametrize("mark", [":numref:`sec_vgg`", ":cite:`nobody1999`"])
def test_reference_to_nothing_is_named(mark):
    with pytest.raises(BookError, match=re.escape(mark)):
        text_of(f"See {mark}.")


def test_notebook_that_is_compiled_stays_as_it_is(sections: list[Section]):
    section = next(s for s in sections if s.name == "chapter_cnn/alexnet")
    before = nbformat.writes(section.notebook)
    assert nbformat.writes(readable(section.notebook, section.name)) != before
    assert nbformat.writes(section.notebook) == before
