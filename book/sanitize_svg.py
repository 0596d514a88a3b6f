"""SVGs that only draw. Pages link to the file of a picture, and a browser that opens one may run scripts in it."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from .check_bitmaps import LARGEST, PIXELS, RATIO, PictureError, check_image

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"
NAMESPACES = {"xmlns": "http://www.w3.org/2000/svg", "xmlns:xlink": "http://www.w3.org/1999/xlink"}
# How attributes are written that have a namespace. Others than these say nothing to a browser.
QUALIFIED = {
    "{http://www.w3.org/1999/xlink}href": "xlink:href",
    "{http://www.w3.org/XML/1998/namespace}space": "xml:space",
    "{http://www.w3.org/XML/1998/namespace}lang": "xml:lang",
}
TAGS = {"svg", "g", "defs", "symbol", "use", "title", "desc", "metadata", "style"}
TAGS |= {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "image"}
TAGS |= {"clipPath", "mask", "marker", "pattern", "linearGradient", "radialGradient", "stop"}
INSIDE = re.compile(r"#|data:(image/(?:png|jpeg));base64,")
# By these a browser finds more: in XML where they are written so, in HTML always.
LINKS = ("href", "xlink:href")
HTML_LINKS = {"href", "src", "srcset"}
# An escape could hide the others.
OUTSIDE_IN_STYLE = re.compile(r"@import|(?:image|image-set|src)\(|url\((?!['\"]?#)|\\", re.I)
# What no style has when it is looked at: in a string or an address it would be no comment, and hide what follows.
COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.S)
# The size of a picture is that of its root's attributes, unless a style says another.
SIZE_IN_STYLES = re.compile(r"(?<![\w-])(?:width|height)\s*:\s*\+?[\d.]", re.I)
REFERENCE = re.compile(r"(?:^|url\(['\"]?)#([^'\")]+)", re.I)
POINTS = ("d", "points")
DRAWN_ONCE = {*LINKS, "clip-path", "mask"}  # the others are inherited by all elements within
GRADIENTS = ("linearGradient", "radialGradient")
UNITS = {"px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4, "em": 16, "ex": 8}
LENGTH = re.compile(rf"\s*(\+?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)({'|'.join(UNITS)})?\s*", re.I | re.A)
PLAIN_LENGTH = re.compile(r"\d+(?:\.\d+)?(?:pt)?", re.A)
DEFAULT_SIZE = (300, 150)  # of browsers
DEPTH = 100
DRAWN = 1_000_000  # elements, each as often as it is drawn


class SvgError(ValueError):
    """An SVG does more than draw, or is none. The message says what it has, to follow the picture's name."""


class _Parser(DefusedXMLParser):
    """Ends at what tells how to read the rest of a document: declarations of its own, and style sheets."""

    def __init__(self) -> None:
        super().__init__(forbid_dtd=True)
        self.parser.ProcessingInstructionHandler = self._refuse_style_sheet

    def defused_start_doctype_decl(self, name: str, sysid: str, pubid: str, has_internal_subset: bool) -> None:
        if has_internal_subset:
            raise SvgError("its document type has declarations of its own")

    def _refuse_style_sheet(self, target: str, data: str) -> None:
        if target == "xml-stylesheet":
            raise SvgError("it asks for a style sheet")


def only_drawing(svg: str | bytes) -> str:
    """An SVG, written anew from its elements that draw and their attributes, with a width and a height.

    Nothing else is in it: no document type, comments or instructions, and nothing of other namespaces, such as what
    programs write down about a picture.

    Raises:
        SvgError: It is none; it could run something, ask another host, or draw without end.
    """
    try:
        root = ET.fromstring(svg, _Parser())
    except SvgError:
        raise
    except (ET.ParseError, DefusedXmlException, LookupError, ValueError, TypeError) as error:
        raise SvgError(f"it is no XML that can be read ({error})") from None
    if root.tag.removeprefix(SVG) != "svg":
        raise SvgError(f"it begins with {root.tag[:40]} and not with svg")
    drawing = _copied(root, 1)
    _check_extent(drawing)
    _check_images(drawing)
    drawing.attrib = NAMESPACES | _sized(_with_sizes_of_style(drawing.attrib))
    return ET.tostring(drawing, encoding="unicode")


def _copied(element: ET.Element, depth: int) -> ET.Element:
    tag = element.tag.removeprefix(SVG)
    if tag not in TAGS:
        raise SvgError(f"it has the element {tag.removeprefix(XHTML)[:40]}, which is not among those that draw")
    if depth > DEPTH:
        raise SvgError(f"its elements are nested more than {DEPTH} deep")
    names = ((QUALIFIED.get(name, name), value) for name, value in element.items())
    copy = ET.Element(tag, {name: _checked(name, value) for name, value in names if "{" not in name})
    copy.text, copy.tail = element.text, element.tail
    if tag == "style":
        # What stands behind an element in a style sheet belongs to it as well.
        if len(element):
            raise SvgError("its style sheet has more than styles")
        copy.text = _checked_styles(element.text or "")
    copy.extend([_copied(child, depth + 1) for child in element if _is_known(child.tag)])
    return copy


def _checked_styles(styles: str) -> str:
    """A style sheet without its comments."""
    styles = COMMENT.sub(" ", styles)
    if OUTSIDE_IN_STYLE.search(styles):
        raise SvgError("its style sheet has more than styles")
    if SIZE_IN_STYLES.search(styles):
        raise SvgError("its style sheet has sizes, which belong to its elements")
    return styles


def _is_known(tag: str) -> bool:
    """Whether an element means something in a browser: of other namespaces, those of HTML do."""
    return "{" not in tag or tag.startswith((SVG, XHTML))


def _checked(name: str, value: str) -> str:
    """The value of an attribute; of one that may have styles, which are many, without comments."""
    if name not in LINKS:
        value = COMMENT.sub(" ", value)
    known = INSIDE.match(value) if name in LINKS else not OUTSIDE_IN_STYLE.search(value)
    runs = name.lower().startswith("on")
    if not known or runs or (name.lower() in HTML_LINKS and name not in LINKS):
        raise SvgError(f"it has the attribute {name}={value[:40]!r}")
    return value


def _with_sizes_of_style(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes of the root with the width and the height that its style has, which would count before them."""
    sizes, styles = {}, []
    for style in attributes.get("style", "").split(";"):
        name, _, value = style.partition(":")
        if name.strip().lower() in ("width", "height"):
            sizes[name.strip().lower()] = value.partition("!")[0].strip()
        else:
            styles.append(style)
    return attributes | sizes | {"style": ";".join(styles)} if sizes else attributes


def _check_images(drawing: ET.Element) -> None:
    """Check the pictures of pixels within.

    Raises:
        SvgError: Programs cannot show one, or they are too large, together as well.
    """
    total = 0
    for value in {element.get(name, "") for element in drawing.iter() for name in LINKS}:
        if (match := INSIDE.match(value)) and match[1]:
            try:
                width, height = check_image(match[1], unquote(value[match.end() :]))
            except PictureError as error:
                raise SvgError(f"of a picture in it, {error}") from None
            total += width * height
    if total > PIXELS:
        raise SvgError(f"the {total:,} pixels of the pictures in it are too many")


def _sized(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes of the root with a width and a height that every program can read, in pixels or points.

    What is missing, or no length, such as a percentage, is that of the box that the picture is drawn in.
    """
    lengths = [attributes.get(name, "") for name in ("width", "height")]
    width, height = map(_pixels, lengths)
    known = width and height and min(width, height) >= 1 and max(width, height) <= LARGEST
    sides = re.split(r"[\s,]+", attributes.get("viewBox", "").strip())[2:]
    box = [side for side in map(_pixels, sides) if side is not None]
    has_box = len(box) == len(sides) == 2
    if known and all(map(PLAIN_LENGTH.fullmatch, lengths)) and (has_box or "viewBox" not in attributes):
        return attributes
    if not has_box:
        box = [width or DEFAULT_SIZE[0], height or DEFAULT_SIZE[1]]
        attributes = attributes | {"viewBox": f"0 0 {box[0]:g} {box[1]:g}"}
    if width is None:
        width = box[0] if height is None else height * box[0] / box[1]
    if height is None:
        height = width * box[1] / box[0]
    scale = LARGEST / max(width, height, LARGEST)
    least = max(1.0, scale * max(width, height) / RATIO)
    return attributes | {"width": f"{max(width * scale, least):g}", "height": f"{max(height * scale, least):g}"}


def _pixels(length: str) -> float | None:
    """A length in pixels, if it is one that can be reckoned with."""
    match = LENGTH.fullmatch(length)
    pixels = float(match[1]) * UNITS[(match[2] or "px").lower()] if match else 0
    return pixels if 1e-9 <= pixels <= 1e9 else None


def _check_extent(drawing: ET.Element) -> None:
    """Count what is drawn: elements that refer to others, in several steps, may draw without end.

    What an element is painted with is drawn for each element in it, and a marker at each point of a path.

    Raises:
        SvgError: It is too much, or too many steps.
    """
    elements = list(drawing.iter())
    named = {element.get("id"): element for element in reversed(elements)}  # of several, browsers take the first
    for element in (element for element in elements if element.tag == "style"):
        for name in _references(element.text or ""):
            # How often such a style is used, only a browser knows.
            if name in named and named[name].tag not in GRADIENTS:
                raise SvgError(f"its style sheet refers to #{name}, which is no gradient")
    has_markers = any(element.tag == "marker" for element in elements)
    counts: dict[ET.Element, int] = {}

    def count(element: ET.Element, depth: int) -> int:
        if depth > 2 * DEPTH:
            raise SvgError(f"its elements refer to others in more than {DEPTH} steps")
        if element not in counts:
            counts[element] = 0  # for an element that refers to what it is in, which is not drawn
            points = sum(len(element.get(name, "")) for name in POINTS) if has_markers else 0  # at most
            drawn, painted = 1 + points + sum(count(child, depth + 1) for child in element), 1
            for attribute, value in element.items():
                for other in (named[name] for name in _references(value) if name in named):
                    if attribute in DRAWN_ONCE:
                        drawn += count(other, depth + 1)
                    else:
                        painted += count(other, depth + 1)
            counts[element] = drawn * painted
        return counts[element]

    if (drawn := count(drawing, 1)) > DRAWN:
        raise SvgError(f"it draws {drawn:,} elements")


def _references(text: str) -> list[str]:
    """The names of elements that an attribute or a style sheet refers to."""
    return [unquote(name.strip()) for name in REFERENCE.findall(text)]
