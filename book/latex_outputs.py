"""Outputs as LaTeX and the programs that draw for it can print them."""

import base64
import copy
import io
import itertools
import os
import re
import shutil
import subprocess
from typing import Any
from xml.etree import ElementTree as ET

import pypandoc
from nbformat import NotebookNode
from PIL import Image

from .check_bitmaps import FORMATS, LARGEST, RATIO
from .rst_outputs import PICTURES
from .truncate_outputs import truncated

LONG_WORD = re.compile(r"\S{80}(?=\S)")
TAG = re.compile(r"<(/?)(\w+)")
HTML_DEPTH = 100  # beyond, pandoc takes minutes for tables in tables
NOT_PRINTED = "This output is not printed: it is HTML"
SVG = "image/svg+xml"
POINTS = 72  # in an inch
NO_SVG = "This picture is not printed: rsvg-convert cannot draw it, or takes too much for it."
SECONDS, MEMORY = 60, 4 << 30  # in bytes, that a program may take for one output


def printable(notebook: NotebookNode) -> NotebookNode:
    """A copy of a `sanitized` notebook that shows the text of what has HTML too, such as a table's: LaTeX has no HTML.

    Of what has nothing but HTML, it shows what pandoc writes of that in plain text. LaTeX breaks lines between words,
    and pages between outputs: words that are longer than a line are broken here, and the texts of a cell are
    `truncated`. A picture that cannot be drawn has a note in its place.
    """
    notebook = copy.deepcopy(notebook)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        for output in cell.outputs:
            if "data" in output:
                _make_printable(output)
        cell.outputs, _ = truncated(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = _broken(output.text)
            elif output.output_type == "error":
                output.traceback = list(map(_broken, output.traceback))
            elif "text/plain" in output.data:
                output.data["text/plain"] = _broken(output.data["text/plain"])
    return notebook


def _make_printable(output: NotebookNode) -> None:
    """Replace what LaTeX and the programs that draw for it cannot print of an output."""
    data = output.data
    html = data.pop("text/html", None)
    if html and not data.keys() & {"text/plain", *PICTURES}:
        data["text/plain"] = _text_of(html)
    if SVG in data and not _can_be_drawn(data[SVG]):
        del data[SVG]
        if not data.keys() & set(PICTURES):
            data["text/plain"] = NO_SVG
    if SVG in data:
        root = ET.fromstring(data[SVG])
        width, height = (float(root.attrib[name].removesuffix("pt")) for name in ("width", "height"))
        _keep_size_in_bounds(output, (width, height), output.metadata)
    for kind in FORMATS.keys() & data.keys():
        with Image.open(io.BytesIO(base64.b64decode(data[kind]))) as image:
            _keep_size_in_bounds(output, image.size, output.metadata | output.metadata.get(kind, {}))
            if not _has_size(image):
                del data[kind]
                data["image/png"] = _of_no_size(image)


def _is_size(width: float, height: float) -> bool:
    """Whether LaTeX can count with the sides of a picture."""
    return min(width, height) >= 1 and max(width, height) <= min(LARGEST, RATIO * min(width, height))


def _keep_size_in_bounds(output: NotebookNode, size: tuple[float, float], wanted: dict[str, Any]) -> None:
    """Forget the sides that are wanted for a picture of a size, where it could not be printed with them."""
    width, height = wanted.get("width"), wanted.get("height")
    scale = width / size[0] if width else height / size[1] if height else 1
    if not _is_size(width or scale * size[0], height or scale * size[1]):
        output.metadata = NotebookNode()


def _has_size(image: Image.Image) -> bool:
    """Whether the size in inches that a picture gives itself, if it does, is one."""
    densities = image.info.get("dpi", (POINTS, POINTS))
    sides = [POINTS * side / max(density, 1e-9) for side, density in zip(image.size, densities, strict=True)]
    return "aspect" not in image.info and _is_size(*sides)


def _of_no_size(image: Image.Image) -> str:
    """A picture as a PNG that says nothing of its size in inches."""
    plain = image.convert("RGB") if image.mode == "CMYK" else image.copy()
    plain.info.clear()  # else it is written again
    written = io.BytesIO()
    plain.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def _broken(text: str) -> str:
    return LONG_WORD.sub(r"\g<0>\n", text)


def _text_of(html: str) -> str:
    """Sanitized HTML as plain text; of what has none that can be had, a note."""
    steps = (-1 if end else 1 for end, tag in TAG.findall(html) if tag != "br")
    if max(itertools.accumulate(steps), default=0) > HTML_DEPTH:
        return f"{NOT_PRINTED} nested more than {HTML_DEPTH} deep."
    text = _made(pypandoc.get_pandoc_path(), "--from=html", "--to=plain", text=html)
    if text is None:
        return f"{NOT_PRINTED} that takes too much to make text of it."
    return text.decode().strip("\n") or f"{NOT_PRINTED} without text."


def _can_be_drawn(svg: str) -> bool:
    """Whether rsvg-convert can, which Sphinx will have draw it; where it is missing, `check_tools` says so."""
    program = "rsvg-convert"
    return shutil.which(program) is None or _made(program, "--format=pdf", text=svg) is not None


def _limit_memory() -> None:
    import resource  # which Windows lacks

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _made(*command: str, text: str) -> bytes | None:
    """What a program makes of a text; nothing if it fails, or takes more than `SECONDS` or `MEMORY`.

    Windows limits the seconds only.
    """
    limits: dict[str, Any] = {} if os.name == "nt" else {"preexec_fn": _limit_memory}
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SECONDS, **limits)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
