"""Formulas as browsers show them, and those of the sources, looked at before anything is built."""

import re

from docutils.utils.math.latex2mathml import tex2mathml

from .errors import BookError

# A span of code or an escaped sign, which hide dollars, or what pandoc takes for a formula.
FORMULA = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|\\."
    r"|\$\$(?P<display>(?:(?!\n\s*\n)(?:\\.|[^\\$]))+)\$\$"
    r"|\$(?P<inline>(?=[^\s$])(?:(?!\n\s*\n)(?:\\.|[^\\$]))+)(?<!\s)\$(?!\d)",
    re.S,
)


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
    try:
        return tex2mathml(formula, inline=inline)
    except SyntaxError as error:
        raise FormulaError(str(error)) from None
    except Exception:  # what else it meets, such as a bracket too many, it does not expect
        raise FormulaError("the converter to MathML cannot read it") from None


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
        formula = inline or display
        if not formula:
            continue
        try:
            mathml(formula, inline=bool(inline))
        except FormulaError as error:
            line = first + text.count("\n", 0, match.start())
            raise BookError(
                f"{file}:{line}: the formula {' '.join(formula.split())} cannot be shown: {error}"
            ) from None
