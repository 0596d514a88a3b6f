"""Pictures on a page: how large they are, what they say to those who cannot see them, and how they look in the dark."""

import functools
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from PIL import Image
from sphinx.application import Sphinx

from book.figure_words import describe
from book.sanitize_svg import SVG, only_drawing

# A drawing with photographs in it: all of it turned round, and the photographs back. Browsers tell a picture the colour
# scheme of the place where it is shown, so that it follows the page.
DARK = (
    "<style>@media (prefers-color-scheme: dark) {"
    ":root { filter: invert(0.93) hue-rotate(180deg) } image { filter: invert(1) hue-rotate(180deg) } }</style>"
)


class Picture(NamedTuple):
    """A picture's size in pixels of the page, what it says to those who cannot see it, and its kind.

    The kind is ``drawn``, ``mixed`` for a drawing with photographs in it, or ``pixels``.
    """

    width: float
    height: float
    words: str
    kind: str


@functools.cache
def read_picture(path: Path) -> Picture:
    """What a page needs to know of a picture.

    Raises:
        OSError: There is no such file, or it is no picture.
        SvgError: It is no SVG that can be shown.
    """
    if path.suffix != ".svg":
        with Image.open(path) as image:
            return Picture(*image.size, "", "pixels")
    text = only_drawing(path.read_bytes())  # which gives it a size where it has none
    svg = ET.fromstring(text)
    own = [svg.findtext(f"{SVG}{tag}") for tag in ("title", "desc")]
    width, height = (_pixels(svg.attrib[side]) for side in ("width", "height"))
    kind = "drawn" if svg.find(f".//{SVG}image") is None else "mixed"
    return Picture(width, height, ". ".join(filter(None, own)) or describe(text), kind)


def _pixels(length: str) -> float:
    return float(length.removesuffix("pt")) * 4 / 3 if length.endswith("pt") else float(length)


def finish_pictures(app: Sphinx, problem: Exception | None) -> None:
    """Have the pictures that Sphinx has copied look well in the dark, and remove those of outputs that are no more."""
    if problem or app.builder.format != "html":
        return
    known = {name for _, name in app.env.images.values()}
    for path in Path(app.outdir, app.builder.imagedir).glob("*"):  # which a book without pictures does not have
        if path.name not in known:
            path.unlink()
        elif path.suffix == ".svg":
            text = path.read_text("utf-8")
            if "<image" in text and DARK not in text:
                start = text.index(">", text.index("<svg")) + 1
                path.write_text(text[:start] + DARK + text[start:], "utf-8", newline="\n")
