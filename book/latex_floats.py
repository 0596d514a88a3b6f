"""Let the captioned figures of a LaTeX file float to where there is room; `config.ini` has d2lbook start this."""

import re
import sys
from pathlib import Path

# The pictures that code shows have no caption, and stay where the code is.
FIXED = re.compile(r"(\\begin\{figure\})\[H\](\n\\centering\n\\capstart\b)")


def float_figures(text: str) -> str:
    """LaTeX's text with its captioned figures here if there is room, or at the top of one of the next pages."""
    return FIXED.sub(r"\1[!htbp]\2", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(float_figures(path.read_text("utf-8")), "utf-8")
