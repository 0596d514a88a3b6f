"""What outputs may bring to a page, and what they may not."""

import re

import nbformat
import pytest
from nbformat import NotebookNode

from book.sanitize import is_harmless, sanitized
from d2l.layers import Layer, LayerTable
from d2l.media import CURVES_MIME, RUN_MIME

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>{inside}</svg>'
NOT_SHOWN = "This picture is not shown: it has parts that could run, or ask another host."


def made_safe(*outputs: NotebookNode) -> list[NotebookNode]:
    """A cell's outputs, made safe."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=list(outputs))])
    before = nbformat.writes(notebook)
    shown = sanitized(notebook).cells[0].outputs
    assert nbformat.writes(notebook) == before
    return shown


def data_shown(data: dict) -> dict:
    """An output's data, made safe."""
    (shown,) = made_safe(nbformat.v4.new_output("display_data", data=data))
    return shown.data


def drawing(inside: str, attributes: str = "") -> str:
    """An SVG."""
    return SVG.format(inside=inside, attributes=attributes)


def test_what_the_book_shows_stays_as_it_is(shown):
    for section, notebook in shown:
        for before, after in zip(notebook.cells, sanitized(notebook).cells, strict=True):
            for output, safe in zip(before.get("outputs", []), after.get("outputs", []), strict=True):
                if "text/html" not in output.get("data", {}):
                    assert safe == output, section


def test_tables_of_layers_keep_their_look():
    table = LayerTable([Layer("conv <1>", (1, 96, 54, 54), 1, 2, 3, 4)])._repr_html_()
    safe = data_shown({"text/html": table})["text/html"]
    assert safe.replace(';"', '"') == table


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<style>* {display: none}</style>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<a href='javascript:alert(1)'>link</a>",
        "<p onclick='alert(1)'>text</p>",
        "<p id='search' class='curves'>text</p>",
        "<p style='position: fixed; background: url(//other.host/x)'>text</p>",
        "<svg><script>alert(1)</script></svg>",
        "</div></section></main>",
        "<table><tr><td><div>",
        "<!-- ",
        "<p",
    ],
)
def test_html_is_left_with_closed_harmless_elements(html):
    safe = data_shown({"text/html": f"before {html} after"})["text/html"]
    for danger in ("<script", "<img", "<style", "<iframe", "<a", "<svg", "<!--", "</main", "</section"):
        assert danger not in safe
    for tag in ("div", "p", "table", "td"):
        assert len(re.findall(f"<{tag}[ >]", safe)) == safe.count(f"</{tag}>")
    for attribute in ("<p onclick", "<p id", "<p class", "position", "url("):
        assert attribute not in safe


def test_scripts_and_markdown_are_left_out_and_data_for_the_page_stays():
    data = {"application/javascript": "alert(1)", "text/markdown": "[x](javascript:alert(1))", "text/plain": "<b>"}
    kept = {CURVES_MIME: {"xlabel": "</script>", "curves": {}}, RUN_MIME: {"epochs": 1}}
    assert data_shown(data | kept) == {"text/plain": "<b>"} | kept


@pytest.mark.parametrize(
    "svg",
    [
        drawing("<script>alert(1)</script>"),
        drawing("", "onload='alert(1)'"),
        drawing("<g ONLOAD='alert(1)'/>"),
        drawing("<a href='javascript:alert(1)'><text>click</text></a>"),
        drawing("<image xlink:href='https://other.host/count.png'/>"),
        drawing("<image href='data:image/svg+xml;base64,AAAA'/>"),
        drawing("<use xlink:href='other.svg#a'/>"),
        drawing("<foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>text</p></foreignObject>"),
        drawing("<metadata><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script></metadata>"),
        drawing("<set attributeName='href' to='javascript:alert(1)'/>"),
        drawing("<style>@import '//other.host/x.css';</style>"),
        drawing("<style>* {fill: url(//other.host/x)}</style>"),
        drawing("<style><desc/>@import '//other.host/x.css';</style>"),
        drawing("<style>* {mask: image-set('//other.host/x' 1x)}</style>"),
        drawing("<path style='fill: u\\72l(//other.host/x)'/>"),
        "<?xml-stylesheet href='data:text/xsl;base64,AAAA'?>" + drawing(""),
        "<!DOCTYPE svg [<!ATTLIST svg onload CDATA 'alert(1)'>]>" + drawing(""),
        "<!DOCTYPE svg [<!ENTITY ran '<script/>'>]>" + drawing("&ran;"),
        "no picture",
    ],
)
def test_svg_that_could_run_or_ask_another_host_is_not_shown(svg):
    assert not is_harmless(svg)
    assert data_shown({"image/svg+xml": svg, "text/plain": "<Figure>"}) == {"text/plain": NOT_SHOWN}


def test_svg_that_only_draws_is_shown():
    inside = "<path id='a'/><use xlink:href='#a' clip-path='url(#p)'/><text>on \\\\ url(x)</text><style>* {}</style>"
    assert is_harmless(drawing(inside + "<image xlink:href='data:image/png;base64,AAAA'/>"))


@pytest.mark.parametrize("end", ["\r\n", *"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"])
def test_every_end_of_a_line_is_seen_by_what_indents_lines(end):
    text = f"one{end}two\tthree"
    stream = nbformat.v4.new_output("stream", text=text)
    error = nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[text])
    stream, error = made_safe(stream, error)
    assert {stream.text, *error.traceback, *data_shown({"text/plain": text}).values()} == {"one\ntwo\tthree"}


def test_sizes_of_pictures_are_numbers():
    metadata = {"image/png": {"width": 640, "height": "9\n\n.. raw:: html"}, "height": 480, "width": "9", "note": []}
    (shown,) = made_safe(nbformat.v4.new_output("display_data", data={"image/png": "AAAA"}, metadata=metadata))
    assert shown.metadata == {"image/png": {"width": 640}, "height": 480}
