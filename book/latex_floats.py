"""Let the captioned figures of a LaTeX file float to where there is room, and their captions cite.

`config.ini` has d2lbook start this.
"""

import re
import sys
from pathlib import Path

# The pictures that code shows have no caption, and stay where the code is.
FIXED = re.compile(r"(\\begin\{figure\})\[H\](\n\\centering\n\\capstart\b)")
# LaTeX writes captions to a file as well, where a link to an entry of the bibliography would be taken apart.
FRAGILE = re.compile(r"(?<!\\protect)\\hyperlink\{cite\.")


def float_figures(text: str) -> str:
    """LaTeX's text with its captioned figures here if there is room, or at the top of one of the next pages."""
    return FIXED.sub(r"\1[!htbp]\2", text)


def protect_citations(text: str) -> str:
    """LaTeX's text with citations that may stand in captions."""
    return FRAGILE.sub(r"\\protect\\hyperlink{cite.", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(protect_citations(float_figures(path.read_text("utf-8"))), "utf-8")
