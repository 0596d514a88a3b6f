"""Outputs made safe to show: text and HTML keep within their cell, and nothing in them runs or asks another host."""

import copy
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from nbformat import NotebookNode
from nbformat.v4 import new_output

from d2l.media import CURVES_MIME, RUN_MIME

from .pictures import FORMATS, SIDE, PictureError, check_pixels, showable_svg

TEXT_TAGS = ["div", "p", "br", "pre", "code", "strong", "em"]
TABLE_TAGS = ["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"]
STYLES = ["font-weight", "overflow-x", "text-align"]
SPANS = ("colspan", "rowspan")
CLASSES = {"table": "layers", "p": "provenance"}  # others could be taken for parts of the page by its scripts
BETTER_THAN_TEXT = {"text/html", "text/latex", "image/svg+xml", *FORMATS}
SHOWN = {"text/plain", CURVES_MIME, RUN_MIME, *BETTER_THAN_TEXT}

SVG_TAG = re.compile(
    "svg|g|defs|symbol|use|path|rect|circle|ellipse|line|polyline|polygon|text|tspan|image|clipPath|mask|marker|pattern"
    "|linearGradient|radialGradient|stop|style|metadata|title|desc"
)
SVG = "{http://www.w3.org/2000/svg}"
ABOUT = ("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://purl.org/dc/", "{http://creativecommons.org/ns#}")
INSIDE = re.compile(r"#|data:image/(?:png|jpeg);base64,")
# An escape could hide the others.
OUTSIDE_IN_STYLE = re.compile(r"@import|(?:image-set|src)\(|url\((?!['\"]?#)|\\", re.I)
TAG = re.compile(r"<(/?)(\w+)")
HTML_DEPTH = 100  # browsers flatten what is nested more than some 500 deep, and would end the cell's own elements

# Each ends a line for one program or another.
LINE_END = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # for terminals
NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # neither HTML nor LaTeX can hold these


def sanitized(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook whose outputs can neither end their cell on the page nor run nor load anything there.

    What is no output as Jupyter has them, or cannot be shown, has a text in its place that says so. What shows nothing
    is left out.
    """
    from nbconvert.preprocessors.sanitize import SanitizeHTML  # takes a second to import

    notebook = copy.deepcopy(notebook)
    cleaner = SanitizeHTML(tags=TEXT_TAGS + TABLE_TAGS, attributes=_is_allowed, styles=STYLES)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [safe for output in cell.outputs for safe in _made_safe(output, cleaner)]
    return notebook


def _made_safe(output: NotebookNode, cleaner: Any) -> Iterator[NotebookNode]:
    kind = output.get("output_type")
    if kind == "stream":
        text, name = _text(output.get("text")), output.get("name")
        if text.strip():
            yield new_output(kind, text=text, name=name if name in ("stdout", "stderr") else "stdout")
    elif kind == "error":
        lines, name, value = (output.get(part) for part in ("traceback", "ename", "evalue"))
        name, value, lines = _text(name), _text(value), list(map(_text, lines if isinstance(lines, list) else [lines]))
        if not "".join(lines).strip():
            lines = [": ".join(filter(str.strip, (name, value))) or "An error without a message."]
        yield new_output(kind, ename=name, evalue=value, traceback=lines)
    elif kind in ("display_data", "execute_result"):
        data = output.get("data")
        safe = _safe_data(data if isinstance(data, dict) else {}, cleaner)
        if safe:
            count = output.get("execution_count")
            counted = {"execution_count": count if type(count) is int and count >= 0 else None}
            metadata = _sizes(output.get("metadata"))
            yield new_output(kind, safe, metadata=metadata, **(counted if kind == "execute_result" else {}))
    else:
        yield new_output("stream", text=f"This output is not shown: its type {kind!r} is not known.\n")


def _safe_data(data: dict[str, Any], cleaner: Any) -> dict[str, Any]:
    """Of an output's data, what can be shown, by media type; where that is nothing but text, with why."""
    safe = {kind: data[kind] for kind in (CURVES_MIME, RUN_MIME) if kind in data}
    problems = []
    safe |= {kind: text for kind in ("text/plain", "text/latex") if (text := _text(data.get(kind))).strip()}
    html = cleaner.sanitize_html_tags(_text(data.get("text/html")))
    if _depth(html) > HTML_DEPTH:
        problems.append(f"This HTML is not shown: its elements are nested more than {HTML_DEPTH} deep.")
    elif html.strip():
        safe["text/html"] = html
    for kind in ("image/svg+xml", *FORMATS):
        if kind in data:
            try:
                safe[kind] = _checked_picture(kind, _text(data[kind]))
            except PictureError as error:
                problems.append(f"This picture is not shown: {error}.")
    if others := sorted(data.keys() - SHOWN) if not safe else []:
        problems.append(f"This output is not shown: it is {' and '.join(map(repr, others))} only.")
    if problems and not BETTER_THAN_TEXT & safe.keys():
        safe["text/plain"] = "\n".join(problems)
    return safe


def _checked_picture(kind: str, data: str) -> str:
    if kind in FORMATS:
        check_pixels(kind, data)
        return data
    if not is_harmless(data):
        raise PictureError("it has parts that could run, or ask another host")
    return showable_svg(data)


def _text(value: Any) -> str:
    """A text with the ends of lines and the letters that all programs take for such; of what is no text, its JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)  # as files of notebooks have it
    if not isinstance(value, str):
        value = "" if value is None else json.dumps(value, default=str)
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", LINE_END.sub("\n", COLOUR.sub("", value)))


def _depth(html: str) -> int:
    """How deep the elements of HTML are nested that has an end for each."""
    steps = (-1 if end else 1 for end, tag in TAG.findall(html) if tag != "br")
    return max(itertools.accumulate(steps), default=0)


def _sizes(metadata: Any) -> dict[str, Any]:
    """Of an output's metadata, the sizes of its pictures in pixels; what else stands there becomes markup."""
    metadata = metadata if isinstance(metadata, dict) else {}
    return _size(metadata) | {kind: size for kind in FORMATS if (size := _size(metadata.get(kind)))}


def _size(metadata: Any) -> dict[str, int]:
    sides = {name: metadata.get(name) for name in ("width", "height")} if isinstance(metadata, dict) else {}
    return {name: side for name, side in sides.items() if type(side) is int and 0 < side <= SIDE}


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
