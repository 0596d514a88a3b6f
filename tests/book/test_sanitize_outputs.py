"""What outputs may bring to a page, and what they may not."""

import base64
import copy
import dataclasses
import io
import re
from xml.etree import ElementTree as ET

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

from book.sanitize_outputs import NO_FORMULA, NOT_SHOWN, Safe, sanitized
from book.sanitize_svg import only_drawing
from book.section import Executed
from book.truncate_outputs import CHARACTERS
from d2l.layer_table import Layer, LayerTable
from d2l.mime import CURVES_MIME, RUN_MIME

NAMESPACE = "{http://www.w3.org/2000/svg}"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>{inside}</svg>'


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


def what_draws(svg: str) -> list[tuple]:
    """The elements of an SVG that are no description of it, with their attributes and texts."""
    elements = [element for element in ET.fromstring(svg).iter() if element.tag.startswith(NAMESPACE)]
    return [(element.tag, element.attrib, (element.text or "").strip()) for element in elements]


def drawing(inside: str, attributes: str = "") -> str:
    """An SVG."""
    return SVG.format(inside=inside, attributes=attributes)


def shows_something(output: nbformat.NotebookNode) -> bool:
    """Not what an output has been cleared of, such as a line of progress, nor the end of its line."""
    return bool(output.get("data") or output.get("text", "").strip() or output.output_type == "error")


def test_what_the_book_shows_stays_as_it_is(shown):
    for section in copy.deepcopy(shown):
        for before, after in zip(section.notebook.cells, Safe(section).notebook.cells, strict=True):
            shown_before = [output for output in before.get("outputs", []) if shows_something(output)]
            for output, safe in zip(shown_before, after.get("outputs", []), strict=True):
                if "image/svg+xml" in output.get("data", {}):
                    pictures = [data.pop("image/svg+xml") for data in (output.data, safe.data)]
                    assert what_draws(pictures[0]) == what_draws(pictures[1]), section
                if "text/html" not in output.get("data", {}):
                    assert safe == output, section


def test_nothing_but_the_sanitizer_makes_a_section_safe():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[])])
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/html": "<script>run()</script>a"})]
    executed = Executed("chapter_test/small", "pytorch", notebook)
    safe = Safe(executed)
    assert (safe.name, safe.tab) == ("chapter_test/small", "pytorch")
    assert "<script" not in str(safe.notebook) and "<script" in str(executed.notebook)
    with pytest.raises(TypeError):
        Safe(executed.name, executed.tab, notebook)
    with pytest.raises(TypeError):
        dataclasses.replace(safe, notebook=notebook)


def test_tables_of_layers_keep_their_look():
    table = LayerTable([Layer("conv <1>", (1, 96, 54, 54), 1, 2, 3, 4)])._repr_html_()
    safe = data_shown({"text/html": table})["text/html"]
    assert safe.replace(';"', '"') == table


def test_note_of_where_results_come_from_keeps_its_look():
    note = '<p class="provenance">computed on two cores</p>'
    assert data_shown({"text/html": note})["text/html"] == note


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


def test_scripts_are_left_out_and_data_for_the_page_stays():
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
    (name, note), *others = data_shown({"image/svg+xml": svg, "text/plain": "<Figure>"}).items()
    assert name == "text/plain" and note.startswith(NOT_SHOWN) and not others


def test_svg_that_only_draws_is_shown():
    inside = "<path id='a'/><use xlink:href='#a' clip-path='url(#p)'/><text>on \\\\ url(x)</text><style>* {}</style>"
    pixel = io.BytesIO()
    Image.new("1", (1, 1)).save(pixel, "png")
    data = base64.b64encode(pixel.getvalue()).decode()
    svg = drawing(inside + f"<image xlink:href='data:image/png;base64,{data}'/>", "width='9pt' height='9'")
    shown = data_shown({"image/svg+xml": svg})["image/svg+xml"]
    assert what_draws(shown) == what_draws(svg)
    assert only_drawing(shown) == shown


def test_of_an_svg_nothing_is_shown_but_what_was_looked_at():
    svg = (
        "<?xml version='1.0' encoding='utf-8' standalone='no'?><?edit with='care'?>"
        "<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd'>"
        "<!-- a comment -->"
        + drawing(
            "<metadata><edit:view href='https://other.host/'/></metadata><edit:view/><!-- another -->"
            "<text edit:onclick='run()' xml:base='https://other.host/' xml:space='preserve'>"
            "<![CDATA[<script>]]> 1</text>",
            "xmlns:edit='urn:edit' width='9pt' height='9pt'",
        )
    )
    shown = data_shown({"image/svg+xml": svg})["image/svg+xml"]
    assert "".join(shown.split("\n")) == (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" height="9pt">'
        '<metadata /><text xml:space="preserve">&lt;script&gt; 1</text></svg>'
    )


def test_svg_of_no_namespace_is_shown_as_notebooks_show_it():
    shown = data_shown({"image/svg+xml": "<svg width='9' height='9'><path d='M 0 0 L 9 9'/></svg>"})["image/svg+xml"]
    assert [element.tag for element in ET.fromstring(shown).iter()] == [f"{NAMESPACE}svg", f"{NAMESPACE}path"]


@pytest.mark.fault("A picture that code shows could run a script")
def test_note_in_the_place_of_a_picture_says_why(sees):
    note = data_shown({"image/svg+xml": drawing("<script>alert(1)</script>")})["text/plain"]
    assert note == f"{NOT_SHOWN} it has the element script, which is not among those that draw."
    sees(note)


@pytest.mark.parametrize(
    ("latex", "written"),
    [
        (r"$\displaystyle \frac12$", r"\frac{1}{2}"),
        (r"$$x_n^\mathrm{T}$$", r"x_{n}^{\mathrm{T}}"),
        (r"\[\sqrt[3]x\]", r"\sqrt[3]{x}"),
        ("\\begin{align*}\na &= b \\\\[2pt]\n[c] &= d\n\\end{align*}", r"a & =b \\ {}[c] & =d"),
        (r"\begin{cases} x & \text{for}\: x > 0 \\ 0 & \text{else} \end{cases}",
         r"\begin{cases} x & \text{for}\: x>0 \\ 0 & \text{else} \end{cases}"),
        (r"\left( \frac12 \right]", r"\left( \frac{1}{2}\right] "),
        (r"a \$", r"a\$ "),
        (":nowrap: x", "{}:nowrap:x"),
    ],
)  # fmt: skip
def test_formula_is_written_anew_from_what_mathematics_needs(latex, written):
    assert data_shown({"text/latex": latex, "text/plain": "x"}) == {"text/latex": f"$$ {written} $$", "text/plain": "x"}


@pytest.mark.fault("A formula that code shows has a command of LaTeX that is none of mathematics")
def test_formula_with_other_commands_is_text_with_a_note(sees):
    latex = r"$x \input{/etc/passwd}$"
    shown = data_shown({"text/latex": latex, "text/plain": "<IPython.core.display.Latex object>"})
    assert shown == {"text/plain": f"{latex}\n{NO_FORMULA} \\input is not among what is known here."}
    sees(shown["text/plain"])


def test_markdown_is_shown_as_it_is_written():
    markdown = "**bold** $x$ <script>alert(1)</script>"
    for plain in ({}, {"text/plain": "<IPython.core.display.Markdown object>"}):
        assert data_shown({"text/markdown": markdown} | plain) == {"text/plain": markdown}
    first, rest = made_safe(nbformat.v4.new_output("display_data", data={"text/markdown": "word " * 10_000}))
    assert len(first.data["text/plain"]) == CHARACTERS and rest.text == "… 30,000 more characters\n"


@pytest.mark.parametrize("end", ["\r\n", *"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"])
def test_every_end_of_a_line_is_seen_by_what_indents_lines(end):
    text = f"one{end}two\tthree"
    stream = nbformat.v4.new_output("stream", text=text)
    error = nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[text])
    stream, error = made_safe(stream, error)
    assert {stream.text, *error.traceback, *data_shown({"text/plain": text}).values()} == {"one\ntwo\tthree"}


def test_what_is_no_text_is_left_out_of_it():
    text = "\x1b[1;31mred\x1b[0m a\x00b\x08c\x7fd\x9fe\udc80f\uffffg\th"
    stream = nbformat.v4.new_output("stream", text=text)
    error = nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[text])
    stream, error = made_safe(stream, error)
    shown = {stream.text, *error.traceback, *data_shown({"text/plain": text}).values()}
    assert shown == {"red a\N{REPLACEMENT CHARACTER}b�c�d�e�f�g\th"}


def test_sizes_of_pictures_are_numbers():
    metadata = {"image/png": {"width": 640, "height": "9\n\n.. raw:: html"}, "height": 480, "width": "9", "note": []}
    (shown,) = made_safe(nbformat.v4.new_output("display_data", data={"image/png": "AAAA"}, metadata=metadata))
    assert shown.metadata == {"image/png": {"width": 640}, "height": 480}
