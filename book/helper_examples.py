"""The examples of the helper's reference, which stand in one file: most are the same in all frameworks."""

import functools
import re

from .errors import BookError
from .files import ROOT
from .frameworks import FRAMEWORKS

EXAMPLES = ROOT / "chapter_helper" / "examples.py"
EXAMPLE = re.compile(r"^# %% ([\w.]+)(?: \[(\w+)\])?\n(.*?)(?=^# %%|\Z)", re.M | re.S)


@functools.cache
def examples() -> dict[str, dict[str, str]]:
    """The code of the examples, by name and tab; under an empty tab, what is the same in all frameworks.

    Raises:
        BookError: A framework is unknown.
    """
    found: dict[str, dict[str, str]] = {}
    for name, tab, code in EXAMPLE.findall(EXAMPLES.read_text("utf-8")):
        if tab and tab not in FRAMEWORKS:
            raise BookError(f"{EXAMPLES.name}: {tab!r} in the heading of {name} is none of {', '.join(FRAMEWORKS)}")
        found.setdefault(name, {})[tab] = code.strip()
    return found
