"""Outputs that are broken, odd or hostile, by kind. All are made by code, and the same in each run."""

import base64
import io
import itertools
import math
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from nbformat import NotebookNode, from_dict
from PIL import Image

from d2l.mime import CURVES_MIME, RUN_MIME


class Case(NamedTuple):
    """An output, and how it is to be shown.

    Attributes:
        name: Kind and number, such as ``png 3``.
        output: As a kernel or a file may bring it; it need not be valid.
        shows: ``text``, ``html``, ``picture``, ``curves`` or ``nothing``; ``note`` is a text that says what is wrong.
    """

    name: str
    output: NotebookNode
    shows: str


Made = Iterator[tuple[dict[str, Any], str]]
KINDS: list[Callable[[], Made]] = []


def kind(make: Callable[[], Made]) -> Callable[[], Made]:
    """Decorator for what makes the outputs of a kind."""
    KINDS.append(make)
    return make


def cases(*names: str) -> list[Case]:
    """All outputs, or those of some kinds."""
    return [
        Case(f"{make.__name__} {number}", from_dict(output), shows)
        for make in KINDS
        if not names or make.__name__ in names
        for number, (output, shows) in enumerate(make())
    ]


def display(data: Any, metadata: Any = None) -> dict[str, Any]:
    """An output with data of some media types."""
    return {"output_type": "display_data", "data": data, "metadata": {} if metadata is None else metadata}


def stream(text: Any) -> dict[str, Any]:
    """A printed text."""
    return {"output_type": "stream", "name": "stdout", "text": text}


# HTML


@kind
def blank_html() -> Made:
    """HTML that shows nothing, alone and with a text that is shown in its place."""
    blanks = ["", " ", "\n", "\n\n\t \n", "\r\n", "\u2028", "\x0c"]
    comments = ["<!---->", "<!-- a -->", "<!-- a -->\n<!-- b -->", "<!-- <p>a</p> -->", "\n<!-- a", "<!--", "<?php ?>"]
    for html in [*blanks, *comments, "<!DOCTYPE html>", "<!-- -- -->", "<!-->", "<!--->"]:
        yield display({"text/html": html}), "nothing"
        yield display({"text/html": html, "text/plain": "its text"}), "text"


PAYLOADS = [
    "<script>document.title = 'ran'</script>",
    "<img src=x onerror=\"document.title = 'ran'\">",
    "<svg onload=\"document.title = 'ran'\"></svg>",
    "<iframe srcdoc='<script>parent.document.title = 1</script>'></iframe>",
    "<style>* { display: none }</style>",
    "<link rel=stylesheet href=//other.host/x.css>",
    "<base href=//other.host/>",
    "<meta http-equiv=refresh content='0; url=//other.host'>",
    "<form action=//other.host><input></form>",
    "<object data=//other.host></object>",
    "<video src=//other.host onerror=x></video>",
    "<a href='javascript:document.title = 1'>a</a>",
    "<p onclick='x' id='search' class='panel tabs curves'>a</p>",
    "<p style='position: fixed; inset: 0; background: url(//other.host/x)'>a</p>",
    "<template><p>a</template>",
    "<math><mi xlink:href='javascript:x'>a</mi></math>",
    "<textarea><p>a",
    "<title><p>a",
    "<plaintext>a",
    "<noscript><p title='</noscript><img src=x>'>",
    "<select><option>a",
    "<details open ontoggle=x>a",
    "<table><p>a</p></table>",
    "<td>a</td></tr></table>",
    "</div></div></div></section></main></body></html>",
    "</p></p></pre></code>",
    "<div><div><div><p><pre>",
    "<b><p><i><div></b></i>",
    '<p a="\'><script>x</script>">',
    "<div class='shown'><div class='tabs'>",
    "<!-- --!><script>x</script>",
    "&lt;script&gt;&#0;&#xD800;&nosuch;",
    "<![CDATA[<script>x</script>]]>",
    '<a href="#pytorch-0-0">a</a>',
]


@kind
def markup() -> Made:
    """HTML that would run, load, hide or end something, in several surroundings."""
    around = ["{}", "<table><tr><td>{}</td></tr></table>", "<div>\n\n{}\n\n", "text {} text", "<pre>{}</pre>", "<em>{}"]
    for payload, template in itertools.product(PAYLOADS, around):
        yield display({"text/html": template.format(payload) + " shown"}), "html"


@kind
def nested_html() -> Made:
    """Elements in elements, deeper than browsers keep them apart, or other programs get through."""
    for tag, depth in itertools.product(("div", "em", "table><tr><td", "strong><em"), (15, 400, 700, 3000)):
        yield display({"text/html": f"<{tag}>" * depth + "deep"}), "html"
    yield display({"text/html": "<p>" * 3000 + "flat"}), "html"
    yield display({"text/html": "<br>" * 300 + "long"}), "html"


@kind
def long_html() -> Made:
    """HTML that takes minutes to read."""
    for html in ("<p>word " * 70_000, "x" * 5_000_000, "<table><tr>" + "<td>1</td>" * 60_000, "<!--" * 200_000):
        yield display({"text/html": html}), "note"
        yield display({"text/html": html, "text/plain": "its text"}), "note"


@kind
def spans() -> Made:
    """Cells over more columns and rows than there are."""
    for span in ("1000", "1000000000", "-1", "0", "nan", "1e9", "٣", ""):
        yield display({"text/html": f'<table><tr><td colspan="{span}" rowspan="{span}">a</td></tr></table>'}), "html"


@kind
def wide_html() -> Made:
    """What is wider than a page."""
    for columns in (30, 300):
        cells = "".join(f"<td>column {i}</td>" for i in range(columns))
        for attribute in ("", " border='1'", " class='layers'", " class='dataframe'"):
            yield display({"text/html": f"<table{attribute}><tr>{cells}</tr></table>"}), "html"
    for length in (1000, 20_000):
        for tag in ("p", "div", "pre", "code", "table><tr><th"):
            yield display({"text/html": f"<{tag}>{'x' * length}</{tag}>"}), "html"


# SVG


SIZES = (
    None,
    "100%",
    "50%",
    "12em",
    "3cm",
    "40mm",
    "2in",
    "30pt",
    "5pc",
    "80Q",
    "120",
    "90px",
    "",
    "auto",
    "calc(1px)",
)
SIZES += ("0", "-7", "NaN", "inf", "1e400", "1e9", "1e-9", "12 px", " 70 ", "+33.", "1,5", "9vw", "5wide", "\u0663")
BOXES = (None, "0 0 40 20", "0,0,40,20", "0 0 0 0", "0 0 -5 5", "1 2 3", "a b c d", "0 0 1e300 1", "0 0 NaN NaN", "")


def drawing(attributes: str = "", inside: str = "<circle cx='9' cy='9' r='7'/>") -> str:
    """An SVG."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{inside}</svg>'


@kind
def sizes_of_svgs() -> Made:
    """SVGs of all sizes and none."""
    chance = random.Random(27)
    pairs = [(width, width) for width in SIZES] + [(chance.choice(SIZES), chance.choice(SIZES)) for _ in range(60)]
    for number, (width, height) in enumerate(pairs):
        named = {"width": width, "height": height, "viewBox": BOXES[number % len(BOXES)]}
        attributes = " ".join(f'{name}="{value}"' for name, value in named.items() if value is not None)
        yield display({"image/svg+xml": drawing(attributes), "text/plain": "a drawing"}), "picture"


@kind
def odd_svgs() -> Made:
    """SVGs that are no files of their own, and texts that are none."""
    box = 'viewBox="0 0 20 20"'
    for svg in (
        f"<svg {box}><circle cx='9' cy='9' r='7'/></svg>",
        f'<?xml version="1.0" encoding="utf-16"?>{drawing(box)}',
        f'<?xml version="1.0" encoding="latin-1"?>{drawing(box, "<text>ä</text>")}',
        f'<?xml version="1.0" encoding="no-such"?>{drawing(box)}',
        f"\n{drawing(box)}\n",
        drawing(box, "<svg width='100%' height='100%'/>"),
        drawing(box, ""),
        drawing(f"{box} width='20' height='20'", "<g>" * 90 + "</g>" * 90),
        drawing(f"{box} width='20' height='20'", "<text>" + "x" * 5000 + "</text>"),
        drawing(f"{box} width='1e4' height='1'"),
    ):
        yield display({"image/svg+xml": svg}), "picture"
    for svg in ("", " ", "text", "<svg", "<p/>", '<g xmlns="http://www.w3.org/2000/svg"/>', "<circle/>", "\ud800"):
        yield display({"image/svg+xml": svg}), "note"
    for depth in (250, 2000, 50_000):
        yield display({"image/svg+xml": drawing(box, "<g>" * depth + "</g>" * depth)}), "note"


# Pictures of pixels


def encoded(format: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    """A picture of noise, as a file."""
    width, height = size
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, format, **options)
    return file.getvalue()


def in_base64(content: bytes) -> str:
    """A file as an output has it."""
    return base64.b64encode(content).decode()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header names a size, without the pixels."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        parts += [struct.pack(">I", len(content)), name, content, checksum]
    return b"".join(parts)


@kind
def pixels() -> Made:
    """Pictures in the modes and sizes that programs write."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield display({"image/png": in_base64(encoded(mode=mode))}), "picture"
    for mode in ("L", "RGB", "CMYK"):
        yield display({"image/jpeg": in_base64(encoded("JPEG", mode=mode))}), "picture"
    for size in ((1, 1), (3, 900), (3000, 10)):
        yield display({"image/png": in_base64(encoded(size=size))}), "picture"
    text = in_base64(encoded())
    for base in ("\n".join(text[i : i + 76] for i in range(0, len(text), 76)), f" {text}\n"):
        yield display({"image/png": base}), "picture"


@kind
def sized_pixels() -> Made:
    """Pictures that give themselves a size in inches that LaTeX cannot count with."""
    for format, media in (("PNG", "image/png"), ("JPEG", "image/jpeg")):
        for dpi in ((1, 1), (1, 300), (5, 5), (72, 72), (60_000, 60_000)):
            yield display({media: in_base64(encoded(format, (900, 600), dpi=dpi))}), "picture"
    content, place = encoded(size=(900, 600)), len(b"\x89PNG\r\n\x1a\n") + 25  # behind the first chunk
    for density in (struct.pack(">2IB", *parts) for parts in ((0, 0, 1), (1, 1, 0), (1, 4_000_000_000, 1), (1, 1, 1))):
        chunk = struct.pack(">I", len(density)) + b"pHYs" + density + struct.pack(">I", zlib.crc32(b"pHYs" + density))
        yield display({"image/png": in_base64(content[:place] + chunk + content[place:])}), "picture"
    for size in ({"width": 1, "height": 9000}, {"width": 9000, "height": 1}, {"width": 9000}):
        yield display({"image/png": in_base64(encoded(size=(4, 900)))}, size), "picture"
        yield display({"image/svg+xml": drawing('width="4" height="900"')}, size), "picture"


@kind
def no_pixels() -> Made:
    """What says that it is a picture, and is none; alone and with a text."""
    png, jpeg = encoded(), encoded("JPEG")
    for base in (
        "",
        " ",
        "AAAA",
        "no base64!",
        "ä",
        "=",
        "A",
        in_base64(b"text"),
        in_base64(jpeg),
        in_base64(b"\x89PNG"),
    ):
        yield display({"image/png": base, "text/plain": "<Figure>"}), "note"
    for base in ("AAAA", in_base64(png), in_base64(encoded("GIF")), in_base64(drawing().encode())):
        yield display({"image/jpeg": base}), "note"
    for value in (None, 5, {"a": 1}, [], [1], True):
        yield display({"image/png": value}), "note"


@kind
def cut_pixels() -> Made:
    """Pictures of which a part is missing."""
    for format, media in (("PNG", "image/png"), ("JPEG", "image/jpeg")):
        content = encoded(format, (60, 60))
        for share in (0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9):
            yield display({media: in_base64(content[: int(share * len(content))])}), "note"


@kind
def huge_pixels() -> Made:
    """Headers that ask for more memory than there is, and pictures that are lines."""
    for size in (
        (2**31 - 1, 2**31 - 1),
        (100_000, 100_000),
        (20_000, 20_000),
        (16_000, 16_000),
        (1, 2**30),
        (2**20, 1),
    ):
        yield display({"image/png": in_base64(png_of_size(*size))}), "note"
    for size in ((0, 0), (0, 5), (500, 500)):
        yield display({"image/png": in_base64(png_of_size(*size))}), "note"
    for size in ((1, 9000), (9000, 1)):
        yield display({"image/png": in_base64(encoded(size=size))}), "note"


@kind
def metadata() -> Made:
    """What stands where a picture's size should."""
    png = {"image/png": in_base64(encoded())}
    odd = (None, "640", "9\n\n.. raw:: html", -5, 0, 10**30, 10**6, 1.5, math.nan, math.inf, True, [640], {"px": 1}, {})
    for value in odd:
        yield display(png, {"width": value, "height": value}), "picture"
        yield display(png, {"image/png": {"width": value, "height": value}}), "picture"
        yield display(png, {"image/png": value}), "picture"
    for other in ([], "text", 5, {"filenames": {"image/png": "/etc/passwd"}}, {"filename": "../../x.png"}):
        yield display(png, other), "picture"
    nested: dict[str, Any] = {}
    for _ in range(300):
        nested = {"image/png": nested}
    yield display(png, nested), "picture"
    yield display(png, {"image/png": {"width": 20}, "height": 9000}), "picture"


# Text


TEXTS = [
    "\x1b[31mred\x1b[0m \x1b[1;4mbold\x1b[m \x1b[2K\x1b]8;;//other.host\x07link",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "nul\0nul",
    "one\r\ntwo\rthree\x0bfour\x0cfive\x1csix\x85seven\u2028eight\u2029nine",
    "\ud800 \udfff \ufffe \uffff",
    "\u202ereversed\u202c \u200b\u200d\ufeff",
    "e" + "\u0301" * 500,
    "\U0001f600 \U000e0041 \U0010fffd",
    "\t\ttabs\tand   blanks   \n   \n\n\n\tend",
    ".. raw:: html\n\n   <script>x</script>",
    ".. image:: x.png\n   :alt: y\n   :width: 5",
    "   :alt: this line\n   and this one\n",
    ":label:``x`` :width:``5px`` :numref:``nothing`` :cite:``nobody`` :nosuch:``x``",
    ":eqlabel:``a``\n:bibliography:``b``",
    "   .. code:: toc\n   .. table:: t\nTable: label:x",
    "Table: label:`` ``x``",
    "======\ntitle\n======\n\n----\n\n.. _label:",
    "+---+\n| a |\n+---+",
    "|sub| `role` ``code`` *a* **b** [1]_ name_ __ \\",
    "```eval_rst\n.. raw:: html\n```",
    "# @tab pytorch\n%%tab all\n:begin_tab:`jax`\n:end_tab:",
    "[**slide**] (**mark**)",
    "</pre></div></section><script>document.title = 'ran'</script>",
    "{{ nb }} {% raw %} {# #}",
    r"\end{sphinxVerbatim} \input{/etc/passwd} % # $ & _ { } ~ ^",
    "x" * 20_000,
    "word " * 4_000,
    "\n".join("x" * i for i in range(150)),
    "\n" * 150 + "end",
    "=" * 80,
    "::",
    "..",
    ">>> 1 + 1\n2",
]


@kind
def texts() -> Made:
    """Texts that are markup for one of the programs that make a page, or hold what such programs cannot."""
    for text in TEXTS:
        yield stream(text), "text"
        yield display({"text/plain": text}), "text"
        yield {"output_type": "error", "ename": "E", "evalue": "e", "traceback": [text, "last line"]}, "text"


@kind
def blank_texts() -> Made:
    """Texts without a letter."""
    for text in ("", " ", "\n", "\n\n  \n", "\t", "\r\n", "\x0c", "\u2028", "\x1b[0m", "\x1b[31m\n\x1b[0m"):
        yield stream(text), "nothing"
        yield display({"text/plain": text}), "nothing"


@kind
def blank_errors() -> Made:
    """Errors without a traceback."""
    for lines in ([], [""], [" "], ["", "\n", " "], ["\x1b[0m"], None, "", [None], [[]]):
        for name, value in (("ValueError", "wrong"), ("KeyboardInterrupt", ""), ("", ""), (None, None)):
            yield {"output_type": "error", "ename": name, "evalue": value, "traceback": lines}, "text"
    yield {"output_type": "error"}, "text"


@kind
def no_outputs() -> Made:
    """What no kernel should send."""
    yield {"output_type": "nosuch", "data": {}}, "note"
    yield {"output_type": None}, "note"
    yield {}, "note"
    for value in (None, [], "text", 5):
        yield display(value), "nothing"
    yield {"output_type": "display_data"}, "nothing"
    yield {"output_type": "execute_result"}, "nothing"
    for value in (5, 1.5, True, {"a": [1]}, ["a", "b"], ["a", 5], {"deep": {"deeper": None}}):
        yield stream(value), "text"
        yield display({"text/plain": value}), "text"
        yield display({"text/html": value}), "html"
    yield stream(None), "nothing"
    yield display({"text/plain": None, "text/html": None}), "nothing"


@kind
def others() -> Made:
    """Media types that a page does not show."""
    for media in (
        "application/javascript",
        "text/markdown",
        "text/x-rst",
        "application/pdf",
        "video/mp4",
        "",
        "no type",
    ):
        yield display({media: "alert(1)"}), "text" if media == "text/markdown" else "note"
        yield display({media: "alert(1)", "text/plain": "its text"}), "text"


# Curves


def board(curves: Any, xlabel: Any = "epoch") -> dict[str, Any]:
    """What a board has drawn, with its picture."""
    svg = drawing('width="40" height="20"')
    return display({CURVES_MIME: {"xlabel": xlabel, "curves": curves}, "image/svg+xml": svg, "text/plain": "curves"})


def points(*ys: Any) -> list[list[Any]]:
    """A curve through these heights."""
    return [[x, y] for x, y in enumerate(ys, 1)]


@kind
def odd_curves() -> Made:
    """Curves that can be drawn, or of which there is nothing to draw."""
    yield board({"": points(1.0, 2.0)}), "curves"
    yield board({"": []}, ""), "curves"
    yield board({}), "curves"
    yield board({"loss": points(1.0, 2.0)}, None), "curves"
    for ys in itertools.product((math.nan, math.inf, -math.inf, None, 2.5), repeat=2):
        yield board({"train_loss": points(*ys, 1.0)}), "curves"
        yield board({"train_loss": points(*ys)}), "curves"
    for x in (math.nan, math.inf, None, -5, 1e308, 10**300, 0.001):
        yield board({"val_acc": [[x, 0.5], [2, 0.6]]}), "curves"
    for name in (
        "x" * 400,
        "word " * 80,
        "</script><script>x",
        "<!--",
        "a_b_c",
        "__proto__",
        "constructor",
        "\u202e",
        "_",
    ):
        yield board({name: points(1.0, 2.0)}, name), "curves"
    yield board({f"quantity {i}": points(i, i + 1) for i in range(12)}), "curves"
    yield board({f"train_{i}_loss": points(i, i + 1) for i in range(40)}), "curves"
    yield board({"val_loss": points(*range(30_000))}), "curves"


@kind
def far_curves() -> Made:
    """Values at the end of what numbers can be."""
    most = 1.7976931348623157e308
    for ys in (
        (1e308, 2.5),
        (-1e308, 1e308),
        (-most, most),
        (most, most),
        (-most, -most),
        (5e-324, 1e-323),
        (0.0, 5e-324),
        (1e-300, 2e-300),
        (0.0, 0.0),
        (-0.0, 0.0),
        (1e21, 1e22),
        (1e15, 1e15 + 1),
        (123456.7, 123456.8),
        (99_999, 100_001),
        (0.00001, 0.00002),
        (1e-7, 1e7),
        (10**300, -(10**300)),
        (2**63, 2**64),
    ):
        yield board({"train_loss": points(*ys)}), "curves"
        yield board({"train_loss": points(*ys), "val_acc": points(0.5, 0.6)}), "curves"


@kind
def no_curves() -> Made:
    """What says that it is curves, and is none: the picture is shown."""
    for data in (
        None,
        5,
        "text",
        [],
        {},
        {"curves": None},
        {"curves": []},
        {"curves": {"a": None}},
        {"curves": {"a": [1, 2]}},
        {"curves": {"a": [[1]]}},
        {"curves": {"a": [[1, 2, 3]]}},
        {"curves": {"a": [["1", "2"]]}},
        {"curves": {"a": [[1, True]]}},
        {"curves": {"a": [[1, 10**400]]}},
        {"curves": {"a": [[1, [2]]]}},
        {"xlabel": 5, "curves": {"a": [[1, 2]]}},
        {"xlabel": ["a"], "curves": {}},
    ):
        yield display({CURVES_MIME: data, "image/svg+xml": drawing('width="40" height="20"')}), "picture"


@kind
def odd_runs() -> Made:
    """What stands where a run's last line should."""
    run = {"profile": "full", "epochs": 1, "max_epochs": 2, "examples_per_epoch": 3, "metrics": {"train_loss": 1}}
    for data in (None, 5, [], {}, "text", *({**run, name: odd} for name in run for odd in (None, [], {"a": 1}, 1.5))):
        yield display({RUN_MIME: data, "text/plain": "line"}), "text"
