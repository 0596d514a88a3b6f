"""No odd output costs the book: each is shown, or there is a text in its place, and what follows it is where it was."""

import html
import re
from pathlib import Path

import books
import nbformat
import outputs
import pytest
from nbformat import NotebookNode

from book.curves import with_curves
from book.rst import RST, with_rst
from book.sanitize import sanitized
from book.slides import deck
from book.source import Section
from d2l.media import CURVES_MIME

SECTIONS = {
    make.__name__: books.in_cells([case.output for case in outputs.cases(make.__name__)], 32) for make in outputs.KINDS
}
BROKEN_PICTURES = """async () => {
    const loaded = (image) => { image.loading = "eager"; return image.decode().then(() => [], () => [image.src]); };
    return (await Promise.all([...document.images].map(loaded))).flat();
}"""
WIDER = """() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll("main *")]
        .filter((element) => element.getBoundingClientRect().right > room + 1)
        .filter((element) => !element.parentElement.closest("pre, .shown, .chart, table.docutils"))
        .map((element) => element.outerHTML.slice(0, 80));
}"""


def notebook_of(*cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of cells with such outputs, which need not be valid."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("cell") for _ in cells])
    for cell, own in zip(notebook.cells, cells, strict=True):
        cell.outputs = own
    return notebook


def shown_as(output: NotebookNode) -> str:
    """How a page shows an output: see `outputs.Case`."""
    (cell,) = sanitized(notebook_of([output])).cells
    if not cell.outputs:
        return "nothing"
    (safe,) = cell.outputs
    data = safe.get("data", {})
    boxed = with_curves(notebook_of([safe])).cells[0].outputs
    if CURVES_MIME in data and len(boxed) == 3:
        return "curves"
    if "text/html" in data:
        return "html"
    if any(media.startswith("image/") for media in data):
        return "picture"
    text = safe.get("text") or "".join(safe.get("traceback", [])) or data["text/plain"]
    return "note" if " is not shown: " in text else "text"


def test_each_output_is_shown_or_there_is_a_note_in_its_place():
    wrong = []
    for case in outputs.cases():
        try:
            shows = shown_as(case.output)
        except Exception as error:
            shows = f"{type(error).__name__}: {error}"
        if shows != case.shows:
            wrong.append(f"{case.name}: {shows}, not {case.shows}")
    assert wrong == []


def test_what_nbconvert_is_given_has_no_markup_in_it():
    pages = [with_rst(with_curves(sanitized(notebook_of([case.output])))) for case in outputs.cases()]
    shown = [output for page in pages for output in page.cells[0].outputs]
    texts = [output.data[RST] for output in shown if RST in output.data]
    assert len(texts) > 500
    assert [text for text in texts if not re.fullmatch(r"\.\. shown-(text|html)::\n(\n    [\w+/=]+)+", text)] == []
    assert all(nbformat.validate(page) is None for page in pages)


def test_decks_are_notebooks_that_jupyter_opens():
    for name, cells in SECTIONS.items():
        notebook = notebook_of(*cells)
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Title\n\n[**Mark**]"))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        section = Section(f"chapter_hostile/{name}", "pytorch", notebook)
        slides = deck(section, sanitized(notebook))
        nbformat.validate(nbformat.reads(nbformat.writes(slides), as_version=4))


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """A book of all outputs, rendered."""
    folder = tmp_path_factory.mktemp("odd") / "book"
    books.make_book(folder, SECTIONS)
    done = books.render_book(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.mark.fault("An output is broken, such as a picture cut off or an error without a traceback")
def test_pages_of_odd_outputs_are_rendered(book, sees):
    pages = book / "_build" / "html" / "chapter_hostile"
    assert {page.stem for page in pages.glob("*.html")} == set(SECTIONS)
    text = (pages / "cut_pixels.html").read_text("utf-8")
    note = "This picture is not shown: it is broken or cut off."
    assert text.count(f">{note}</pre>") == len(outputs.cases("cut_pixels"))
    sees(f"In its place on the page: {note}")


def test_texts_are_shown_as_they_are(book):
    text = (book / "_build" / "html" / "chapter_hostile" / "texts.html").read_text("utf-8")
    text = html.unescape(text)
    for shown in (
        "red bold \N{REPLACEMENT CHARACTER}]8;;//other.host\N{REPLACEMENT CHARACTER}link",
        "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine",
        ".. image:: x.png\n   :alt: y\n   :width: 5",
        "   :alt: this line\n   and this one",
        ":label:``x`` :width:``5px`` :numref:``nothing`` :cite:``nobody`` :nosuch:``x``",
        "[**slide**] (**mark**)",
        "# @tab pytorch\n%%tab all\n:begin_tab:`jax`\n:end_tab:",
        "</pre></div></section><script>",
    ):
        assert text.count(shown) == 3, shown  # printed, displayed, and in a traceback


@pytest.mark.parametrize("width", [1280, 360])
def test_browser_shows_all_of_it_where_it_belongs(book, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    wrong = []
    for name, cells in SECTIONS.items():
        page.goto((book / "_build" / "html" / "chapter_hostile" / f"{name}.html").as_uri())
        title = page.title()
        if page.evaluate(books.FOUND_GROUPS) != books.groups(cells):
            wrong.append(f"{name}: outputs stand in other panels, or in none")
        for tab in books.TABS:
            page.evaluate("(tab) => document.querySelector(`[role=tab][data-framework=${tab}]`).click()", tab)
            wrong += [f"{name} {tab}: wider than the page: {element}" for element in page.evaluate(WIDER)]
        wrong += [f"{name}: {picture} is broken" for picture in page.evaluate(BROKEN_PICTURES)]
        wrong += [f"{name}: {problem}" for problem in page.problems]
        page.problems.clear()
        if page.title() != title:
            wrong.append(f"{name}: a script has run")
    assert wrong == []
