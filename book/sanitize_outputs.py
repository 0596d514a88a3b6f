"""Outputs made safe to show: text and HTML keep within their cell, and nothing in them runs or asks another host."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

from d2l.mime import CURVES_MIME, RUN_MIME

from .check_bitmaps import FORMATS, LARGEST, PictureError, check_pixels
from .formulas import FormulaError
from .sanitize_latex import LENGTH, allowed_formula
from .sanitize_svg import SvgError, only_drawing
from .section import Executed, Section
from .truncate_outputs import truncated

TEXT_TAGS = ["div", "p", "br", "pre", "code", "strong", "em"]
TABLE_TAGS = ["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"]
STYLES = ["font-weight", "overflow-x", "text-align"]
SPANS = ("colspan", "rowspan")
SPAN = re.compile(r"[1-9]\d?", re.A)  # programs make as many columns as are spanned
HTML_LENGTH = 500_000  # characters: to read as many takes seconds
CLASSES = {"table": "layers", "p": "provenance"}  # others could be taken for parts of the page by its scripts

TEXT_MIME, HTML_MIME, SVG_MIME = "text/plain", "text/html", "image/svg+xml"
LATEX_MIME, MARKDOWN_MIME = "text/latex", "text/markdown"
BETTER_THAN_TEXT = {HTML_MIME, LATEX_MIME, SVG_MIME, *FORMATS}
DATA = (CURVES_MIME, RUN_MIME)

# Each ends a line for one program or another.
LINE_END = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# What LaTeX and browsers do not take for text.
NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# What IPython says of an object that it shows in another way.
PLACEHOLDER = re.compile(r"(?:<IPython\.core\.display\.\w+ object>)?")
NO_FORMULA = "This formula is shown as text:"
NOT_SHOWN = "This picture is not shown:"
HTML_NOT_SHOWN = "This HTML is not shown:"


class Safe(Section):
    """A section whose outputs were made safe to show. It is made by that, and by nothing else."""

    def __init__(self, executed: Executed):
        super().__init__(executed.name, executed.tab, sanitized(executed.notebook))


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
        data = data if isinstance(data, dict) else {}
        if _is_markdown_alone(data):
            yield from truncated([new_output("display_data", {TEXT_MIME: _text(data[MARKDOWN_MIME])})])[0]
        elif safe := _safe_data(data, cleaner):
            count = output.get("execution_count")
            counted = {"execution_count": count if type(count) is int and count >= 0 else None}
            metadata = _sizes(output.get("metadata"))
            yield new_output(kind, safe, metadata=metadata, **(counted if kind == "execute_result" else {}))
    else:
        yield new_output("stream", text=f"This output is not shown: its type {kind!r} is not known.\n")


def _is_markdown_alone(data: dict[str, Any]) -> bool:
    """Whether there is Markdown, which is shown as it is written, and nothing else that stands for it."""
    others = data.keys() - {MARKDOWN_MIME, TEXT_MIME}
    is_text = bool(_text(data.get(MARKDOWN_MIME)).strip())
    return is_text and not others and PLACEHOLDER.fullmatch(_text(data.get(TEXT_MIME))) is not None


def _safe_data(data: dict[str, Any], cleaner: Any) -> dict[str, Any]:
    """Of an output's data, what can be shown, by media type; where that is nothing but text, with why."""
    safe, notes = {kind: data[kind] for kind in DATA if kind in data}, []
    if (text := _text(data.get(TEXT_MIME))).strip():
        safe[TEXT_MIME] = text
    if len(html := _text(data.get(HTML_MIME))) > HTML_LENGTH:
        problem = f"{HTML_NOT_SHOWN} it has {len(html):,} characters, and {HTML_LENGTH:,} at most are shown."
        notes.append("\n".join(filter(None, (text[:LENGTH], problem))))
    elif (html := cleaner.sanitize_html_tags(html)).strip():
        safe[HTML_MIME] = html
    if LATEX_MIME in data:
        try:
            safe[LATEX_MIME] = f"$$ {allowed_formula(data[LATEX_MIME])} $$"
        except FormulaError as error:
            notes.append(f"{_text(str(data[LATEX_MIME]))[:LENGTH]}\n{NO_FORMULA} {error}.")
    for kind in (SVG_MIME, *FORMATS):
        if kind in data:
            try:
                safe[kind] = _safe_picture(kind, data[kind])
            except (PictureError, SvgError) as error:
                notes.append(f"{NOT_SHOWN} {error}.")
    known = {TEXT_MIME, *BETTER_THAN_TEXT}
    if others := sorted(data.keys() - known) if not safe else []:
        notes.append(f"This output is not shown: it is {' and '.join(map(repr, others))} only.")
    if notes and not BETTER_THAN_TEXT & safe.keys():
        safe[TEXT_MIME] = "\n".join(notes)
    return safe


def _safe_picture(kind: str, data: Any) -> str:
    if kind == SVG_MIME:
        return only_drawing(data)
    check_pixels(kind, data)
    return data


def _text(value: Any) -> str:
    """A text with ``\\n`` at the ends of its lines, and without colours and other orders to a terminal.

    Of what is no text, it is the JSON.
    """
    from nbconvert.filters import strip_ansi

    if not isinstance(value, str):
        value = "" if value is None else json.dumps(value, default=str)
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", LINE_END.sub("\n", strip_ansi(value)))


def _sizes(metadata: Any) -> dict[str, Any]:
    """Of an output's metadata, the sizes of its pictures in pixels; what else stands there becomes markup."""
    metadata = metadata if isinstance(metadata, dict) else {}
    return _size(metadata) | {kind: size for kind in FORMATS if (size := _size(metadata.get(kind)))}


def _size(metadata: Any) -> dict[str, int]:
    sides = {name: metadata.get(name) for name in ("width", "height")} if isinstance(metadata, dict) else {}
    return {name: side for name, side in sides.items() if type(side) is int and 0 < side <= LARGEST}


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if name in SPANS:
        return SPAN.fullmatch(value) is not None
    return name == "style" or (name == "class" and value == CLASSES.get(tag))
