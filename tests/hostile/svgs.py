"""SVGs that try to run something, to ask another host, or to draw without end; and some that only draw.

What could run or ask asks for `ASKED`, so that a browser's requests tell whether it did.
"""

import base64
import io
from collections.abc import Iterator

from PIL import Image

ASKED = "https://other.host/asked"
RUN = f"fetch('{ASKED}')"
SIZE = ' width="9" height="9"'
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"' + SIZE
DRAWN = '<path id="a" d="M 0 0 L 9 9"/>'
EVENTS = ("onload", "ONLOAD", "onclick", "onmouseover", "onfocusin", "onbegin", "onerror", "onunload")
ADDRESSES = (ASKED, "//other.host/asked", "other.svg#a", f"javascript:{RUN}", " javascript:0", "file:///etc/hosts#a")
ADDRESSES += ("data:image/svg+xml;base64,AAAA", "data:text/html,<script>0</script>", "DATA:image/png;base64,AAAA")
LINKS = ("image", "use", "a", "script", "feImage", "textPath", "linearGradient", "pattern")
ELEMENTS = (
    "script",
    "foreignObject",
    "iframe",
    "a",
    "animate",
    "set",
    "handler",
    "listener",
    "audio",
    "video",
    "embed",
)
STYLES = (
    f"@import '{ASKED}';",
    f"@import url({ASKED});",
    f"* {{fill: url({ASKED})}}",
    f"* {{fill: URL( '{ASKED}' )}}",
    f"* {{fill: u\\72l({ASKED})}}",
    f"* {{mask: image-set('{ASKED}' 1x)}}",
    f"* {{mask: -webkit-image-set('{ASKED}' 1x)}}",
    f"* {{mask: image('{ASKED}')}}",
    f"@font-face {{font-family: x; src: src('{ASKED}')}} * {{font-family: x}}",
    f"* {{cursor: url({ASKED}), auto}}",
)
# What the first two signs begin is no comment, in a string or an address, and hides nothing from a browser.
NO_COMMENTS = (
    f'a {{font-family: "/*"}} path {{mask: url({ASKED})}} a {{font-family: "*/"}}',
    f'a {{font-family: "/*"}} path {{mask: url({ASKED})}}',
    f"a {{fill: url(#/*)}} @font-face {{font-family: x; src: url({ASKED})}} text {{font-family: x}} /* */",
    f'@charset "/*"; @import "{ASKED}"; a {{font-family: "*/"}}',
    f'@namespace x "/*"; path {{fill: url({ASKED})}}',
    f"font-family: '/*'; mask: url({ASKED}); font-family: '*/'",
    f"fill: url(#/*); mask: url({ASKED}); x: 1/**/",
)
SIZES = {  # each with the width and the height that it is shown with
    "": ("300", "150"),
    'width="100%" height="100%"': ("300", "150"),
    'width="0" height="-9"': ("300", "150"),
    'width="nan" height="1e999"': ("300", "150"),
    'viewBox="0 0 0 0"': ("300", "150"),
    'viewBox="nothing"': ("300", "150"),
    'width="400"': ("400", "150"),
    'width="96px" height="1IN"': ("96", "96"),
    'width="2.54cm" height="6pc"': ("96", "96"),
    'width="9pt" height="9.5pt"': ("9pt", "9.5pt"),
    'viewBox="-5 -5 80.5 60"': ("80.5", "60"),
    'viewBox="0,0,800,600" width="100%" height="100%"': ("800", "600"),
    'viewBox="0 0 800 600" width="400"': ("400", "300"),
    'viewBox="0 0 800 600" height="25.4mm"': ("128", "96"),
    'width="1e9" height="1e9"': ("10000", "10000"),
    'viewBox="0 0 4 2" width="20000" height="10000"': ("10000", "5000"),
    'viewBox="0 0 1e308 1e-308"': ("300", "150"),
    'width="0.001" height="0.001"': ("1", "1"),
}
DECLARATIONS = (
    f'<!ATTLIST svg onload CDATA "{RUN}">',
    f"<!ENTITY ran '<script>{RUN}</script>'>",
    f"<!ENTITY % more \"<!ATTLIST svg onload CDATA '{RUN}'>\"> %more;",
    f"<!ENTITY % more SYSTEM '{ASKED}'> %more;",
    f"<!ENTITY ran SYSTEM '{ASKED}'>",
    "<!ENTITY ran SYSTEM 'file:///etc/passwd'>",
    "<!NOTATION n SYSTEM 'n'><!ENTITY ran SYSTEM 'r' NDATA n>",
    "<!ELEMENT svg ANY>",
    "<!-- nothing -->",
    "<?xml-stylesheet href='x.css'?>",
)


def svg(inside: str = DRAWN, attributes: str = "") -> str:
    """An SVG with these parts."""
    return f"{HEAD} {attributes}>{inside}</svg>"


def hostile() -> Iterator[tuple[str, object]]:
    """The SVGs that may not be shown, each with its name."""
    for event in EVENTS:
        yield f"{event} at the root", svg(attributes=f'{event}="{RUN}"')
        yield f"{event} inside", svg(f'<g {event}="{RUN}">{DRAWN}</g>')
    for address in ADDRESSES:
        for link in LINKS:
            for name in ("href", "xlink:href"):
                yield f"{link} {name} {address}", svg(f'<{link} {name}="{address}"/>')
    for element in ELEMENTS:
        yield element, svg(f"<{element}>{RUN}</{element}>")
        yield f"{element} of HTML", svg(f'<{element} xmlns="http://www.w3.org/1999/xhtml">{RUN}</{element}>')
        yield f"{element} in metadata", svg(f"<metadata><{element}>{RUN}</{element}></metadata>")
    for style in STYLES:
        yield f"style sheet {style}", svg(f"<style>{style}</style>{DRAWN}")
        yield f"style sheet in CDATA {style}", svg(f"<style><![CDATA[{style}]]></style>{DRAWN}")
    for style in STYLES[2:8]:
        value = style.removeprefix("* {").removesuffix("}").replace('"', "'")
        yield f"style {value}", svg(f'<path style="{value}"/>')
        yield f"attribute {value}", svg(f'<path fill="{value.partition(": ")[2]}"/>')
    yield "style sheet with an element", svg(f"<style><desc/>@import '{ASKED}';</style>")
    for number, declaration in enumerate(DECLARATIONS):
        yield f"declarations {number}", f"<!DOCTYPE svg [{declaration}]>{svg()}"
        public = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" '
        yield f"declarations {number} beside W3C's", f"{public}[{declaration}]>{svg()}"
    yield "entity that is used", f"<!DOCTYPE svg [{DECLARATIONS[1]}]>{svg('&ran;')}"
    yield "entities without end", laughs()
    yield "style sheet of XSLT", f"<?xml-stylesheet href='data:text/xsl;base64,AAAA' type='text/xsl'?>{svg()}"
    yield "style sheet of CSS behind the root", f"{svg()}<?xml-stylesheet href='{ASKED}'?>"
    yield "uses without end", uses(12)
    yield "patterns without end", uses(12, '<rect fill="url(#a{})"/>')
    yield "patterns without end by names in percents", uses(12, "<rect fill=\"url('#%61{}')\"/>")
    yield "uses of the first of two elements of a name", uses(12).replace("</svg>", '<g id="a11"/></svg>')
    yield "pattern in a style sheet", svg(f'<style>* {{fill: url(#p)}}</style><pattern id="p">{DRAWN}</pattern>')
    for name in ("HREF", "src", "srcset"):
        yield f"image {name}", svg(f'<desc><image {name}="{ASKED}"/></desc>')
    points = "M 0 0" + "L 9 9" * 50
    marker = f'<marker id="a{{}}"><path d="{points}" marker-mid="url(#a{{}})"/></marker>'
    yield "markers on markers", chain(marker, 4, f'<path d="{points}" marker-mid="url(#a3)"/>')
    many = f'<path marker-mid="url(#m)" d="{points * 1_000}"/>'
    yield "markers at each point of a path", svg(f'<marker id="m">{DRAWN * 100}</marker>{many}')
    squares = '<rect width="9" height="9"/>' * 20
    pattern = f'<pattern id="a{{}}"><g fill="url(#a{{}})">{squares}</g></pattern>'
    yield "patterns that elements inherit", chain(pattern, 6, f'<g fill="url(#a5)">{squares}</g>')
    yield "style sheet with the size of the picture", svg("<style>svg {width: 1e9px}</style>")
    for name, data in (
        ("none", "AAAA"),
        ("an SVG", base64.b64encode(svg().encode()).decode()),
        ("cut off", png(9, 9)[:60]),
    ):
        yield f"picture of pixels that is {name}", svg(f'<image href="data:image/png;base64,{data}"/>')
    yield "picture of too many pixels", svg(f'<image href="data:image/png;base64,{png(9_000, 9_000)}"/>')
    yield (
        "pictures of too many pixels together",
        svg("".join(f'<image href="data:image/png;base64,{png(4_000, 4_000 + i)}"/>' for i in range(4))),
    )
    yield "uses in a long chain", svg("".join(f'<g id="a{n}"><use href="#a{n - 1}"/></g>' for n in range(5_000)))
    for depth in (200, 100_000):
        yield f"{depth} groups", svg("<g>" * depth + "</g>" * depth)
    yield from broken()


def laughs() -> str:
    """Entities that each stand for ten of the one before."""
    entities = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    return f"<!DOCTYPE svg [<!ENTITY l0 'ha'>{entities}]>{svg('<text>&l11;</text>')}"


def uses(levels: int, reference: str = '<use href="#a{}"/>') -> str:
    """Elements that each refer to the one before ten times."""
    groups = (f'<g id="a{n}">{reference.format(n - 1) * 10}</g>' for n in range(1, levels))
    return svg(f'<g id="a0">{DRAWN}</g>{"".join(groups)}')


def chain(element: str, levels: int, drawn: str) -> str:
    """What is drawn with the last of elements that each refer to the one before."""
    elements = (element.format(n, n - 1) for n in range(1, levels))
    return svg(f'<g id="a0">{DRAWN}</g>{"".join(elements)}{drawn}')


def png(width: int, height: int) -> str:
    """A picture of pixels of one colour, in base64."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def broken() -> Iterator[tuple[str, object]]:
    """What is no SVG."""
    yield "nothing", ""
    yield "blank", " \n "
    yield "text", "no picture"
    yield "cut off", svg()[:-9]
    yield "two roots", svg() + svg()
    yield "HTML", "<html xmlns='http://www.w3.org/1999/xhtml'><script>0</script></html>"
    yield "group as the root", "<g xmlns='http://www.w3.org/2000/svg'/>"
    yield "half a letter", svg("<text>\ud800</text>")
    yield "character that is no text", svg("<text>\x00</text>")
    yield "reference to a character that is no text", svg("<text>&#0;</text>")
    yield "prefix of no namespace", svg("<x:path/>")
    yield "entity of HTML", svg("<text>&nbsp;</text>")
    yield "number", 5
    yield "list", [svg()]
    yield "nothing at all", None


def drawings() -> Iterator[tuple[str, str, list[str]]]:
    """The SVGs that are shown, each with its name, and what may not be in the picture on the page."""
    yield "plain", svg(), []
    yield "of no namespace", "<svg width='9' height='9'><path d='M 0 0 L 9 9'/></svg>", []
    yield "declaration", f"<?xml version='1.0' encoding='utf-16'?>{svg()}", ["<?xml"]
    yield "document type", f"<!DOCTYPE svg SYSTEM '{ASKED}'>{svg()}", ["<!DOCTYPE", ASKED]
    yield "comments", f"<!-- {RUN} -->{svg(f'<!-- {RUN} -->{DRAWN}')}<!-- {RUN} -->", ["<!--", RUN]
    yield "instructions", f"<?run {RUN}?>{svg(f'<?run {RUN}?>{DRAWN}')}", ["<?", RUN]
    yield "CDATA", svg(f"<text><![CDATA[<script>{RUN}</script>]]></text>"), ["<![CDATA", "<script"]
    yield "escaped", svg(f"<text>&lt;script&gt;{RUN}&lt;/script&gt;</text>"), ["<script"]
    yield "elements of others", svg(f'<e:run xmlns:e="urn:e">{RUN}</e:run>{DRAWN}'), [RUN, "urn:e"]
    yield "attributes of others", svg(f'<g xmlns:e="urn:e" e:onload="{RUN}">{DRAWN}</g>'), [RUN, "urn:e"]
    yield "base", svg('<use href="#a"/>' + DRAWN, f'xml:base="{ASKED}"'), [ASKED]
    yield "types of links", svg(f'<use xlink:href="#a" xlink:show="new" xlink:role="{ASKED}"/>{DRAWN}'), [ASKED]
    yield "picture", svg(f'<image xlink:href="data:image/png;base64,{png(9, 9)}"/>'), []
    yield (
        "picture in lines and percents",
        svg(f'<image href="data:image/png;base64,&#10;{png(9, 9).replace("+", "%2B")}"/>'),
        [],
    )
    arrow = '<marker id="m"><path d="M0 0L9 5L0 9z"/></marker>'
    yield "arrows", svg(arrow + '<path marker-end="url(#m)" d="M0 0C1 2 3 4 5 6"/>' * 300), []
    clip = '<clipPath id="c"><rect width="9" height="9"/></clipPath>'
    yield "clips in clips", svg(clip + '<g clip-path="url(#c)">' * 9 + DRAWN * 2_000 + "</g>" * 9), []
    yield (
        "style with a size",
        svg(attributes='style="fill: red; WIDTH : 1e9px !important; height:5px"'),
        ["1e9", "WIDTH"],
    )
    sizes = "svg {max-width: 9px; height: auto; stroke-width: 2}"
    yield "style sheet with sizes that are none", svg(f"<style>{sizes}</style>", 'viewBox="0 0 9 9"'), []
    yield "style sheet with comments", svg("<style>/* @import url(x) width: 9px */ g {fill: red}</style>"), []
    for styles in NO_COMMENTS[:5]:
        yield f"no comment in a style sheet {styles}", svg(f"<style>{styles}</style><text>a</text>{DRAWN}"), [ASKED]
    for styles in NO_COMMENTS[5:]:
        yield f"no comment in a style {styles}", svg(f'<path d="M 0 0 L 9 9" style="{styles}"/>'), [ASKED]
        yield f"no comment in the style of the root {styles}", svg(attributes=f'style="{styles}"'), [ASKED]
    yield "uses", uses(5), []
    yield "use of what it is in", svg('<g id="b"><use href="#b"/><path fill="url(#b)"/></g>'), []
    yield "clip", svg(f'<clipPath id="c">{DRAWN}</clipPath><g clip-path="url(#c)" style="mask: url(\'#c\')"/>'), []
    yield "gradient", svg('<style>* {fill: url(#g)}</style><linearGradient id="g"/>' + DRAWN), []
    yield "words about code", svg(f"<title>@import url({ASKED}) onload=1</title>{DRAWN}"), []
    yield "signs", svg("<text>&lt;&amp;&gt;&quot;&#x2028;\u2029]]&gt; é 漢</text>"), []
    yield "60 groups", svg("<g>" * 60 + "</g>" * 60), []
    for size in SIZES:
        yield f"size {size}", f"{HEAD.removesuffix(SIZE)} {size}>{DRAWN}</svg>", []
    for attributes in ('viewBox="0 0 9 9"', 'preserveAspectRatio="none"', 'role="img" aria-label="a &quot;plot&quot;"'):
        yield attributes, svg(attributes=attributes), []
