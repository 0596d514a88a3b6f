"""No odd output costs the book: each is shown, or there is a text in its place, and what follows it is where it was."""

import base64
import html
import io
import re
from pathlib import Path

import books
import nbformat
import outputs
import pytest
from nbformat import NotebookNode, from_dict
from PIL import Image
from test_pdf import missing

from book import latex_outputs as printing
from book.curves import with_curves
from book.latex_outputs import NO_SVG, printable
from book.rst_outputs import RST, with_rst
from book.sanitize_outputs import Safe, sanitized
from book.section import Executed
from book.slides import deck
from book.truncate_outputs import LINES
from d2l.mime import CURVES_MIME

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


@pytest.fixture(scope="session")
def safe() -> dict[str, list[NotebookNode] | Exception]:
    """By the names of all outputs, what `sanitized` makes of each: one output, none, or what it raises."""

    def made_safe(output: NotebookNode) -> list[NotebookNode] | Exception:
        try:
            return sanitized(notebook_of([output])).cells[0].outputs
        except Exception as error:
            return error

    return {case.name: made_safe(case.output) for case in outputs.cases()}


def shown_as(safe: list[NotebookNode] | Exception) -> str:
    """How a page shows an output: see `outputs.Case`."""
    if isinstance(safe, Exception):
        return f"{type(safe).__name__}: {safe}"
    if not safe:
        return "nothing"
    (output,) = safe
    data = output.get("data", {})
    if CURVES_MIME in data and len(with_curves(notebook_of(safe)).cells[0].outputs) == 3:
        return "curves"
    if "text/html" in data:
        return "html"
    if any(media.startswith("image/") for media in data):
        return "picture"
    text = output.get("text") or "".join(output.get("traceback", [])) or data["text/plain"]
    return "note" if " is not shown: " in text else "text"


def test_each_output_is_shown_or_there_is_a_note_in_its_place(safe):
    shown = {case.name: (shown_as(safe[case.name]), case.shows) for case in outputs.cases()}
    assert len(shown) > 800
    assert {name: f"{found}, not {due}" for name, (found, due) in shown.items() if found != due} == {}


def test_what_nbconvert_is_given_has_no_markup_in_it(safe):
    page = with_rst(with_curves(notebook_of(*safe.values())))
    shown = [output for cell in page.cells for output in cell.outputs]
    texts = [output.data[RST] for output in shown if RST in output.data]
    assert len(texts) > 500
    assert [text for text in texts if not re.fullmatch(r"\.\. shown-(text|html)::\n(\n    [\w+/=]+)+", text)] == []
    nbformat.validate(page)


def test_a_deck_of_them_is_a_notebook_that_jupyter_opens(safe):
    notebook = notebook_of(*safe.values())
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Title\n\n[**Mark**]"))
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    slides = deck(Safe(Executed("chapter_hostile/all", "pytorch", notebook)))
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


def printed(output: NotebookNode) -> NotebookNode:
    """An output as a PDF has it."""
    (kept,) = printable(sanitized(notebook_of([from_dict(output)]))).cells[0].outputs
    return kept


@pytest.mark.fault("An output of a PDF is a picture or a table that its programs fail at or take hours for")
def test_what_cannot_be_printed_has_a_note_in_its_place(monkeypatch, sees):
    if reason := missing():
        pytest.skip(reason)
    monkeypatch.setattr(printing, "SECONDS", 5)
    huge = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text font-size="1e30">a</text></svg>'
    assert printed(outputs.display({"image/svg+xml": huge})).data == {"text/plain": NO_SVG}
    wide = "<table>" + ("<tr>" + "<td>1</td>" * 1000 + "</tr>") * 40 + "</table>"
    note = printed(outputs.display({"text/html": wide})).data["text/plain"]
    assert note == "This output is not printed: it is HTML that takes too much to make text of it."
    sees(f"In its place in the PDF: {NO_SVG}")


def test_printed_texts_are_as_short_as_others():
    lines = "\n".join(map(str, range(3_000)))
    for output in (
        outputs.stream(lines),
        outputs.display({"text/plain": lines, "text/html": "<p>a"}),
        {"output_type": "error", "ename": "", "evalue": "", "traceback": [lines]},
    ):
        kept, note = printable(sanitized(notebook_of([from_dict(output)]))).cells[0].outputs
        text = kept.get("text") or "".join(kept.get("traceback", [])) or kept.data["text/plain"]
        assert len(text.splitlines()) == LINES
        assert re.fullmatch(r"… [\d,]+ more characters\n", note.text)


def test_printed_pictures_have_a_size_or_none():
    """Of those that have an odd one the pixels stay; where width and height are odd, the picture's own count."""
    for case in outputs.cases("sized_pixels"):
        before = sanitized(notebook_of([case.output])).cells[0].outputs[0]
        after = printed(case.output)
        assert not after.metadata, case.name
        if "image/svg+xml" in before.data:
            assert after.data == before.data, case.name
            continue
        (one, other) = (Image.open(io.BytesIO(base64.b64decode(*data.values()))) for data in (before.data, after.data))
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes(), case.name
        assert round(other.info.get("dpi", (72,))[0]) == 72 and "aspect" not in other.info, case.name


def test_pdf_of_every_eighth_is_made(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    some = [case.output for case in outputs.cases()][::8]
    books.make_book(tmp_path / "book", {"some": [[output for output in some for _ in books.TABS]]})
    done = books.render_book(tmp_path / "book", "pytorch")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "book" / "_build" / "pdf" / "alexnet-pytorch.pdf").exists()


FLATTENED = "The document tree is too deep"  # as Firefox reports what both browsers do


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
        wrong += [f"{name}: {problem}" for problem in page.problems if not problem.startswith(FLATTENED)]
        page.problems.clear()
        if page.title() != title:
            wrong.append(f"{name}: a script has run")
    assert wrong == []


IN_PLACE = """() => [...document.querySelectorAll(".chart .plot > svg")].flatMap((svg) => {
    const { left, right } = svg.getBoundingClientRect();
    const outside = (text) => text.getBoundingClientRect().left < left - 1;
    const wrong = [...svg.querySelectorAll("text:not(.title)")].filter(outside).map((text) => text.textContent);
    const places = [...svg.querySelectorAll("*")].flatMap((element) => [...element.attributes]);
    return [...wrong, ...places.map(({ value }) => value).filter((value) => /NaN|Infinity/.test(value))];
})"""


def test_charts_of_values_far_out_can_be_read(book, page):
    page.goto((book / "_build" / "html" / "chapter_hostile" / "far_curves.html").as_uri())
    assert page.evaluate(IN_PLACE) == []
    chart = page.locator(".chart:visible").first
    assert chart.locator(".reading td").first.inner_text() == "2.500"
    assert "1e308" in chart.locator(".plot text").all_text_contents()
    chart.get_by_role("slider").press("Home")
    assert chart.locator(".reading td").first.inner_text() == "1.000e308"
    ticks = "(svg) => [...svg.querySelectorAll('text[text-anchor=end]')].map((text) => text.textContent)"
    for plot in page.locator(".chart:visible .plot > svg[role=img]").all():
        texts = plot.evaluate(ticks)
        assert max(map(len, texts)) <= 12 and len(texts) >= 4
