"""Outputs made safe to show: text and HTML keep within their cell, and nothing in them runs or asks another host."""

import copy
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

from d2l.media import CURVES_MIME, RUN_MIME

from .formulas import FormulaError
from .latex import LENGTH, allowed_formula
from .outputs import shortened
from .svg import SvgError, only_drawing

TEXT_TAGS = ["div", "p", "br", "pre", "code", "strong", "em"]
TABLE_TAGS = ["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"]
STYLES = ["font-weight", "overflow-x", "text-align"]
SPANS = ("colspan", "rowspan")
CLASSES = {"table": "layers", "p": "provenance"}  # others could be taken for parts of the page by its scripts
SVG_MIME, LATEX_MIME, MARKDOWN_MIME = "image/svg+xml", "text/latex", "text/markdown"
SHOWN = {"text/plain", LATEX_MIME, SVG_MIME, "image/png", "image/jpeg", CURVES_MIME, RUN_MIME}

# Each ends a line for docutils, and not for nbconvert, which indents line by line what belongs to a cell.
LINE_END = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# What LaTeX and browsers do not take for text.
NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# What IPython says of an object that it shows in another way.
PLACEHOLDER = re.compile(r"(?:<IPython\.core\.display\.\w+ object>)?")
NO_FORMULA = "This formula is shown as text:"
NOT_SHOWN = "This picture is not shown:"


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
            cell.outputs = [part for output in cell.outputs for part in _markdown_as_text(output)]
            for output in cleaner.sanitize_code_outputs(cell.outputs):
                _make_safe(output)
    return notebook


def _make_safe(output: NotebookNode) -> None:
    if output.output_type == "stream":
        output.text = _plain(output.text)
    elif output.output_type == "error":
        output.traceback = [_plain(line) for line in output.traceback]
    else:
        output.metadata = _sizes(output.metadata)
        _show_drawing(output.data)
        _show_formula(output.data)
        output.data |= {name: _plain(text) for name, text in output.data.items() if name.startswith("text/")}


def _plain(text: str) -> str:
    """A text with ``\\n`` at the ends of its lines, and without colours and other orders to a terminal."""
    from nbconvert.filters import strip_ansi

    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", LINE_END.sub("\n", strip_ansi(text)))


def _markdown_as_text(output: NotebookNode) -> list[NotebookNode]:
    """Markdown as it is written, and no more of it than of other text, where nothing else stands for it."""
    data = output.get("data", {})
    text = data.get(MARKDOWN_MIME)
    shown = data.keys() - {MARKDOWN_MIME, "text/plain"} or not PLACEHOLDER.fullmatch(data.get("text/plain", ""))
    if shown or not isinstance(text, str):
        return [output]
    return shortened([nbformat.v4.new_output("display_data", data={"text/plain": text})])[0]


def _show_drawing(data: dict[str, Any]) -> None:
    """An SVG as what it draws; one that does more is left out with a note."""
    if SVG_MIME in data:
        try:
            data[SVG_MIME] = only_drawing(data[SVG_MIME])
        except SvgError as error:
            del data[SVG_MIME]
            data["text/plain"] = f"{NOT_SHOWN} {error}."


def _show_formula(data: dict[str, Any]) -> None:
    """A formula as what it says in mathematics; one with other commands as text, with a note."""
    if LATEX_MIME in data:
        source = data.pop(LATEX_MIME)
        try:
            data[LATEX_MIME] = f"$$ {allowed_formula(source)} $$"
        except FormulaError as error:
            data["text/plain"] = f"{str(source)[:LENGTH]}\n{NO_FORMULA} {error}."


def _sizes(metadata: dict) -> dict:
    """The whole numbers in an output's metadata, such as a picture's width; what else stands there becomes markup."""
    nested = {name: _sizes(value) if isinstance(value, dict) else value for name, value in metadata.items()}
    return {name: value for name, value in nested.items() if isinstance(value, int | dict)}


def _is_allowed(tag: str, name: str, value: str) -> bool:
    return name == "style" or name in SPANS or (name == "class" and value == CLASSES.get(tag))
