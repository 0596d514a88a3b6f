"""Formulas as browsers show them, and those of the sources, looked at before anything is built."""

import itertools
import re
from xml.etree import ElementTree as ET

from docutils.utils.math.latex2mathml import tex2mathml

from .errors import BookError

# A span of code or an escaped sign, which hide dollars; what pandoc takes for a formula, or for LaTeX outside of one.
FORMULA = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|\\(?P<outside>[A-Za-z]+)|\\."
    r"|\$\$(?P<display>(?:(?!\n\s*\n)(?:\\.|[^\\$]))+)\$\$"
    r"|\$(?P<inline>(?=[^\s$])(?:(?!\n\s*\n)(?:\\.|[^\\$]))+)(?<!(?<!\\)\s)\$(?!\d)",
    re.S,
)
BRACE = re.compile(r"\\.|[{}]", re.S)  # or an escaped sign
ENTITY = re.compile(r"&\w+;")  # of HTML, such as that for a blank
PAIRS = (("left", "right"), ("begin", "end"))
COMMAND = re.compile(r"\\(?:([A-Za-z]+)|.)", re.S)
# How many children these have to have.
CHILDREN = dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2) | {"msubsup": 3, "munderover": 3}
DEEPER = {"{": 1, "}": -1}


class FormulaError(ValueError):
    """A formula cannot be shown. The message says what stands in the way, to follow the formula."""


def mathml(formula: str, inline: bool) -> str:
    """A formula as MathML.

    Args:
        formula: LaTeX, without the dollars around it.
        inline: Whether it stands in a line of text.

    Raises:
        FormulaError: The converter does not know something in it.
    """
    depths = list(itertools.accumulate((DEEPER.get(brace, 0) for brace in BRACE.findall(formula)), initial=0))
    if min(depths) < 0 or depths[-1]:  # which the converter lets pass, and LaTeX does not
        raise FormulaError("its braces are not in pairs")
    commands = COMMAND.findall(formula)
    for begin, end in PAIRS:
        if commands.count(begin) != commands.count(end):
            raise FormulaError(rf"its \{begin} and \{end} are not in pairs")
    try:
        # The stubs are those of a newer docutils.
        written = tex2mathml(formula, inline=inline)  # pyright: ignore[reportCallIssue]
        elements = ET.fromstring(ENTITY.sub("", written)).iter()
    except ET.ParseError:  # of signs that are none in XML
        raise FormulaError("the converter to MathML cannot write it") from None
    except SyntaxError as error:
        raise FormulaError(str(error)) from None
    except Exception:  # such as an IndexError, of what it does not expect
        raise FormulaError("the converter to MathML cannot read it") from None
    for element in elements:
        if len(element) < CHILDREN.get(element.tag.rpartition("}")[2], 0):
            raise FormulaError("something is missing in it, such as the second part of a fraction")
    return written


def check_formulas(text: str, file: str, first: int) -> None:
    """Check that pages can show the formulas in a text of a source.

    Args:
        file: The source's name, for messages.
        first: The number of the text's first line in it.

    Raises:
        BookError: They cannot show one of them.
    """
    for match in FORMULA.finditer(text):
        inline, display = match["inline"], match["display"]
        line = first + text.count("\n", 0, match.start())
        begins_with = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if (command := match["outside"]) and not begins_with.startswith(("    ", "\t")):  # which is code
            raise BookError(
                rf"{file}:{line}: the command \{command} stands outside of a formula, where pages cannot show it: put "
                "dollars around it, or ticks"
            )
        formula = inline or display
        if not formula:
            continue
        try:
            mathml(formula.strip(), inline=bool(inline))
        except FormulaError as error:
            raise BookError(
                f"{file}:{line}: the formula {' '.join(formula.split())} cannot be shown: {error}"
            ) from None
