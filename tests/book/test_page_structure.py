"""Pages in which something does not stand in its place are found, and the cell is named."""

import functools
import re
from collections.abc import Callable

import nbformat
import pytest

from book.errors import BookError
from book.frameworks import FRAMEWORKS
from book.page_structure import check_page
from book.pages import pages_of, render
from book.sanitize_outputs import Safe
from book.section import Executed

TABS = tuple(FRAMEWORKS)
CODE = '<div class="highlight-python notranslate"><div class="highlight"><pre><span></span>{}\n</pre></div></div>'
TEXT = '<pre class="output">{}</pre>\n'
HTML = '<div class="shown"><table><tr><td>{}</td></tr></table></div>'
PICTURE = '<figure><img src="x.svg" alt="" /></figure>'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="2"/>'


def panel(tab: str, number: int = 1) -> str:
    """What a cell shows: its code, a text, HTML, and a picture."""
    shown = CODE.format(f"x = {number}") + TEXT.format(f"{tab} {number}") + HTML.format(f"{tab} {number}") + PICTURE
    return f'<div class="panel" id="{tab}-{number}" data-framework="{tab}"><p>{tab}</p>\n{shown}</div>\n'


def page(*groups: str) -> str:
    """A page of such groups of panels."""
    return f"<!DOCTYPE html><html><body><main>{'<p>Text.<br></p>'.join(groups)}</main></body></html>"


def group(number: int) -> str:
    """A group of tabs."""
    return f'<div class="tabs">\n{"".join(panel(tab, number) for tab in TABS)}</div>\n'


@pytest.fixture
def check() -> Callable[[str], None]:
    """Checks a page that should show two cells."""

    def cell(tab: str, number: int) -> nbformat.NotebookNode:
        data = (
            {"text/plain": f"{tab} {number}"},
            {"text/html": HTML.format(f"{tab} {number}")},
            {"image/svg+xml": SVG},
        )
        outputs = [nbformat.v4.new_output("display_data", one) for one in data]
        return nbformat.v4.new_code_cell(f"x = {number}", outputs=outputs)

    books = {tab: nbformat.v4.new_notebook(cells=[cell(tab, 1), cell(tab, 2)]) for tab in TABS}
    (made,) = pages_of([Safe(Executed("a", tab, book)) for tab, book in books.items()])

    return functools.partial(check_page, panels=made.panels)


def test_whole_page_passes(check):
    check(page(group(1), group(2)))


def test_cells_that_follow_each_other_stand_in_one_block(check):
    merged = group(1).replace(CODE.format("x = 1"), CODE.format("y = 0\n\nx = 1"))
    with pytest.raises(BookError):
        check(page(merged, group(2)))
    check(page(group(1) + CODE.format("of the text") + PICTURE, group(2)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TEXT.format("mxnet 2"), "", "mxnet a: the page does not have in its place what cell 2 shows"),
        (TEXT.format("jax 1"), TEXT.format("jax 1 more"), "jax a: the page does not have in its place what cell 1"),
        (HTML.format("jax 1"), HTML.format(""), "jax a: the page does not have in its place what cell 1"),
        (CODE.format("x = 2"), "", "pytorch a: the page does not have in its place what cell 2"),
        (PICTURE, "", "pytorch a: the page does not have in its place what cell 1"),
        (panel("mxnet", 1), "", "jax a: the page's tabs end in disorder at cell"),
        (panel("jax", 2), "", "mxnet a: the page's tabs end in disorder at cell 2: a group of tabs has panels for"),
        (panel("mxnet", 2), panel("jax", 2), "jax a: the page's tabs end in disorder at cell 2: a group of tabs has"),
        (TEXT.format("mxnet 2"), TEXT.format("mxnet 2") + "</div>", "mxnet a: the page's tabs end in disorder at cell"),
        (TEXT.format("mxnet 1"), TEXT.format("mxnet 1") + "<div>", "a panel stands outside of its group of tabs"),
        (TEXT.format("mxnet 1"), TEXT.format("mxnet 1") + "<p>", "mxnet a: the page's tabs end in disorder at cell"),
        (TEXT.format("jax 1"), TEXT.format("jax 1") + "</section>", "at cell 1: </section> ends what <div> began"),
        (TEXT.format("jax 2"), group(1) + TEXT.format("jax 2"), "a group of tabs begins within another"),
    ],
)
def test_what_is_not_in_its_place_is_named_by_section_tab_and_cell(check, old, new, message):
    whole = page(group(1), group(2))
    assert old in whole
    with pytest.raises(BookError, match=re.escape(message)):
        check(whole.replace(old, new))


@pytest.mark.fault("What a cell shows is not in its place on the page")
def test_texts_of_two_frameworks_are_not_mistaken_for_each_other(check, sees):
    whole = page(group(1), group(2))
    for tab, other in (("mxnet", "jax"), ("jax", "mxnet")):
        whole = whole.replace(TEXT.format(f"{tab} 2"), TEXT.format(f"of {other} 2"))
    with pytest.raises(BookError, match="mxnet a: the page does not have in its place what cell 2 shows") as caught:
        check(whole.replace("of ", ""))
    sees(str(caught.value))


def test_pages_are_checked_when_they_are_rendered(shown, html, tmp_path, monkeypatch):
    def found(page: str, panels: tuple) -> None:
        raise BookError(f"{len(panels)} panels")

    monkeypatch.setattr("book.pages.check_page", found)
    with pytest.raises(BookError, match=rf"^{len(TABS)} panels$"):
        render(shown, tmp_path / "html")
    assert not (tmp_path / "html").exists()
