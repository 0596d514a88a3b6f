"""Pictures of outputs: whether programs can show them, and the size that an SVG has on a page."""

import base64
import binascii
import io
import itertools
import math
import re
import warnings
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from PIL import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
SIDE = 16_384  # in pixels: more than this, neither browsers nor LaTeX are sure to show
PIXELS = 50_000_000
RATIO = 500  # of a picture's sides: beyond, LaTeX cannot count
DEPTH = 200  # libxml2, with which browsers read SVGs, gives up at 256

NAMESPACE = "http://www.w3.org/2000/svg"
SVG = f"{{{NAMESPACE}}}"
XLINK = "http://www.w3.org/1999/xlink"
# In pixels of CSS. Sizes in other units, such as percentages, depend on the page.
UNITS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4, "Q": 96 / 101.6}
LENGTH = re.compile(r"\s*(\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\s*")
PLAIN = re.compile(r"[1-9]\d*(?:\.\d+)?(?:px|pt)?")
OTHER_ENCODING = re.compile(r"<\?xml\b[^>]*\bencoding=(?!['\"]utf-8['\"])", re.I)
DEFAULT_SIZE = (300.0, 150.0)  # what browsers take for an SVG that says nothing of its size


class PictureError(Exception):
    """A picture that programs cannot show; the message says why, such as ``it is no PNG``."""


def check_pixels(kind: str, data: str) -> None:
    """Check that a picture of pixels is whole and not too large.

    Args:
        kind: Its media type, ``image/png`` or ``image/jpeg``.
        data: The file in base64.

    Raises:
        PictureError: It is none of this kind, is broken or cut off, or its sides are beyond `PIXELS`, `SIDE` or
            `RATIO`.
    """
    name = FORMATS[kind]
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("it is no base64") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's of large pictures; these have their limits here
        try:
            with Image.open(io.BytesIO(content), formats=[name]) as image:
                if max(image.size) > SIDE or math.prod(image.size) > PIXELS:
                    raise PictureError(f"its {image.width:,} x {image.height:,} pixels are too many")
                if max(image.size) > RATIO * min(image.size):
                    raise PictureError(f"its {image.width:,} x {image.height:,} pixels are a line")
                image.load()
        except (PictureError, MemoryError):
            raise
        except Image.DecompressionBombError:
            raise PictureError("its pixels are too many") from None
        except Exception:  # decoders raise whatever comes to them over a broken file
            begins = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8"}[name]
            problem = "it is broken or cut off" if content.startswith(begins) else f"it is no {name}"
            raise PictureError(problem) from None


def showable_svg(svg: str) -> str:
    """An SVG that says its own size in pixels or points, as programs other than browsers need it.

    One that does is left as it is. Else its size is that of its ``viewBox``, or the one that browsers take.

    Raises:
        PictureError: Its outermost element is no ``svg``, or its elements are nested too deep for browsers.
    """
    root = ET.fromstring(svg)
    if root.tag not in (f"{SVG}svg", "svg"):
        raise PictureError("it is no SVG")
    if any(depth > DEPTH for depth in _depths(svg)):
        raise PictureError(f"its elements are nested more than {DEPTH} deep")
    (width, height), box = svg_size(root), _view_box(root)
    longer, shorter = max(width, height), min(width, height)
    is_plain = all(PLAIN.fullmatch(root.get(side, "")) for side in ("width", "height"))
    is_plain = is_plain and longer <= SIDE and longer <= RATIO * shorter and (box or "viewBox" not in root.attrib)
    if is_plain and root.tag != "svg" and not OTHER_ENCODING.match(svg.lstrip()):
        return svg
    if box is None:
        root.set("viewBox", f"0 0 {width:g} {height:g}")
    scale = min(1.0, SIDE / longer)
    for name, side in (("width", width), ("height", height)):
        root.set(name, f"{max(1.0, scale * side, scale * longer / RATIO):g}")
    for element in root.iter():
        if not element.tag.startswith("{"):  # in a notebook, which is HTML, an SVG needs no namespace
            element.tag = SVG + element.tag
    ET.register_namespace("", NAMESPACE)
    ET.register_namespace("xlink", XLINK)
    return ET.tostring(root, "unicode")


def svg_size(root: ET.Element) -> tuple[float, float]:
    """The width and height of an SVG in pixels of CSS.

    A side that it does not say, or says in a unit that depends on the page, follows from the other one or from its
    ``viewBox``.
    """
    width, height, box = _length(root.get("width")), _length(root.get("height")), _view_box(root)
    ratio = box[0] / box[1] if box else DEFAULT_SIZE[0] / DEFAULT_SIZE[1]
    if width and height:
        return width, height
    if width:
        return width, width / ratio
    if height:
        return height * ratio, height
    return box or DEFAULT_SIZE


def _length(text: str | None) -> float | None:
    """A length in pixels; ``None`` where there is none above zero that does not depend on the page."""
    match = LENGTH.fullmatch(text or "")
    pixels = float(match[1]) * UNITS.get(match[2], 0) if match else 0
    return pixels if 0 < pixels < math.inf else None


def _view_box(root: ET.Element) -> tuple[float, float] | None:
    """The width and height of the part that an SVG shows, in its own units; ``None`` if it names none."""
    parts = re.split(r"[\s,]+", (root.get("viewBox") or "").strip())
    try:
        _, _, width, height = map(float, parts)
    except ValueError:
        return None
    return (width, height) if 0 < width < math.inf and 0 < height < math.inf else None


def _depths(svg: str) -> Iterator[int]:
    """How deep each element stands, in the order in which they begin and end."""
    parser = ET.XMLPullParser(["start", "end"])
    parser.feed(svg)
    return itertools.accumulate(1 if event == "start" else -1 for event, _ in parser.read_events())
