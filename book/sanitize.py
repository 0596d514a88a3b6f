"""Outputs made safe to show: text and HTML keep within their cell, and nothing in them runs or asks another host."""

import copy
import re
from xml.etree import ElementTree as ET

from nbformat import NotebookNode

from d2l.media import CURVES_MIME, RUN_MIME

TEXT_TAGS = ["div", "p", "br", "pre", "code", "strong", "em"]
TABLE_TAGS = ["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"]
STYLES = ["font-weight", "overflow-x", "text-align"]
SPANS = ("colspan", "rowspan")
CLASSES = {"table": "layers", "p": "provenance"}  # others could be taken for parts of the page by its scripts
SHOWN = {"text/plain", "text/latex", "image/svg+xml", "image/png", "image/jpeg", CURVES_MIME, RUN_MIME}

SVG_TAG = re.compile(
    "svg|g|defs|symbol|use|path|rect|circle|ellipse|line|polyline|polygon|text|tspan|image|clipPath|mask|marker|pattern"
    "|linearGradient|radialGradient|stop|style|metadata|title|desc"
)
SVG = "{http://www.w3.org/2000/svg}"
ABOUT = ("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://purl.org/dc/", "{http://creativecommons.org/ns#}")
INSIDE = re.compile(r"#|data:image/(?:png|jpeg);base64,")
# An escape could hide the others.
OUTSIDE_IN_STYLE = re.compile(r"@import|(?:image-set|src)\(|url\((?!['\"]?#)|\\", re.I)
# Each ends a line for docutils, and not for nbconvert, which indents line by line what belongs to a cell.
LINE_END = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
NOT_SHOWN = "This picture is not shown: it has parts that could run, or ask another host."


def sanitized(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook whose outputs can neither end their cell on the page nor run nor load anything there."""
    from nbconvert.preprocessors.sanitize import SanitizeHTML  # takes a second to import

    notebook = copy.deepcopy(notebook)
    cleaner = SanitizeHTML(
        tags=TEXT_TAGS + TABLE_TAGS,
        attributes=_is_allowed,
        styles=STYLES,
        safe_output_keys=SHOWN,
        sanitized_output_types={"text/html"},
    )
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cleaner.sanitize_code_outputs(cell.outputs):
                _make_safe(output)
    return notebook


def _make_safe(output: NotebookNode) -> None:
    if output.output_type == "stream":
        output.text = LINE_END.sub("\n", output.text)
    elif output.output_type == "error":
        output.traceback = [LINE_END.sub("\n", line) for line in output.traceback]
    else:
        output.metadata = _sizes(output.metadata)
        if "image/svg+xml" in output.data and not is_harmless(output.data["image/svg+xml"]):
            del output.data["image/svg+xml"]
            output.data["text/plain"] = NOT_SHOWN
        output.data |= {
            name: LINE_END.sub("\n", text) for name, text in output.data.items() if name.startswith("text/")
        }


def _sizes(metadata: dict) -> dict:
    """The whole numbers in an output's metadata, such as a picture's width; what else stands there becomes markup."""
    nested = {name: _sizes(value) if isinstance(value, dict) else value for name, value in metadata.items()}
    return {name: value for name, value in nested.items() if isinstance(value, int | dict)}


def is_harmless(svg: str) -> bool:
    """Whether an SVG only draws. The page links to the file itself, and a file that is opened may run scripts."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError:
        return False
    return "<?xml-stylesheet" not in svg and all(map(_only_draws, root.iter()))


def _only_draws(element: ET.Element) -> bool:
    if element.tag.startswith(ABOUT):
        return True
    tag = element.tag.removeprefix(SVG)
    if not SVG_TAG.fullmatch(tag):
        return False
    # What stands behind an element in a style sheet belongs to it as well.
    if tag == "style" and (len(element) or OUTSIDE_IN_STYLE.search(element.text or "")):
        return False
    return all(map(_is_inside, element.attrib, element.attrib.values()))


def _is_inside(name: str, value: str) -> bool:
    name = name.rpartition("}")[2].lower()
    if name == "href":
        return INSIDE.match(value) is not None
    return not name.startswith("on") and not OUTSIDE_IN_STYLE.search(value)


def _is_allowed(tag: str, name: str, value: str) -> bool:
    return name == "style" or name in SPANS or (name == "class" and value == CLASSES.get(tag))
