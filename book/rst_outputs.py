"""Outputs in reStructuredText, in letters and digits only: no program on the way takes what is in them for markup.

nbconvert writes an output as a directive, d2lbook edits the lines of that, and docutils reads them again. A blank
output would be a directive without a content, and a text with d2lbook's marks in it another text.
"""

import base64
import copy
from collections.abc import Iterator

import nbformat
from nbformat import NotebookNode

RST = "text/x-rst"  # what nbconvert copies into a page as it is
TEXT, HTML = "shown-text", "shown-html"  # directives of the pages' theme
PICTURES = ("text/latex", "image/svg+xml", "image/png", "image/jpeg")  # as nbconvert prefers them


def with_rst(notebook: NotebookNode) -> NotebookNode:
    """A copy of a `sanitized` notebook with each output as nbconvert is to write it: in one way only."""
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor  # takes a second to import

    notebook, coalesce = copy.deepcopy(notebook), CoalesceStreamsPreprocessor().preprocess_cell
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell, _ = coalesce(cell, {}, number)
            cell.outputs = [shown for output in cell.outputs for shown in _in_one_way(output)]
    return notebook


def html_output(html: str) -> NotebookNode:
    """An output that is HTML as it stands, such as the begin of an element around the outputs that follow."""
    return _directive(HTML, html)


def decoded(lines: list[str]) -> str:
    """The text in a directive's content."""
    return base64.b64decode("".join(lines)).decode("utf-8")


def _in_one_way(output: NotebookNode) -> Iterator[NotebookNode]:
    if output.output_type == "stream":
        yield _directive(TEXT, output.text)
    elif output.output_type == "error":
        yield _directive(TEXT, "\n".join(output.traceback))
    elif RST in output.data:
        yield output
    elif "text/html" in output.data:
        yield html_output(f'<div class="shown">{output.data["text/html"]}</div>')
    elif kind := next(filter(output.data.__contains__, PICTURES), None):
        yield nbformat.v4.new_output("display_data", {kind: output.data[kind]}, metadata=output.metadata)
    elif "text/plain" in output.data:
        yield _directive(TEXT, output.data["text/plain"])


def _directive(name: str, text: str) -> NotebookNode:
    lines = base64.encodebytes(text.encode()).decode().splitlines()
    return nbformat.v4.new_output("display_data", {RST: "\n    ".join([f".. {name}::\n", *lines])})
