"""Where a defect goes: a pattern in a function, found in whichever file the function is now."""

import ast
import difflib
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from book.errors import BookError

TOKEN = re.compile(r"\w+|\S")
BLANK = r"(?:\s|#.*\n)"  # white space, or a comment of Python
LAST_COMMA = re.compile(r",(?=\s*[)\]}])")  # comes and goes as a call is wrapped


@dataclass(frozen=True)
class Place:
    """A match of a pattern: the characters from ``start`` to ``end`` of a file.

    Attributes:
        file: Path in the repository.
        line: Where it begins, counted from 1.
        function: Name of the innermost function or class around it; empty if there is none.
    """

    file: str
    start: int
    end: int
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function or 'in no function'})"


def find_place(root: Path, room: Iterable[str], within: str, old: str) -> Place:
    """The one place in a room where a pattern stands.

    Args:
        root: Folder of the repository.
        room: Globs of the files to look in.
        within: Name of a function, method or class of Python around the place; empty for anywhere.
        old: Code, compared token by token: how it is indented and wrapped, and comments between, make no difference.

    Raises:
        BookError: It stands there not at all, or more than once; with what comes close.
    """
    places = [place for file in _files(root, room) for place in _matches(root, file, old, within)]
    if len(places) == 1:
        return places[0]
    where = f"{f'{within} in ' if within else ''}{', '.join(room)}"
    if places:
        raise BookError(
            f"{old!r} stands {len(places)} times in {where}: {', '.join(map(str, places))}; "
            "name the function around the place in `in`, or more of its code in `old`"
        )
    raise BookError("; ".join([f"{old!r} does not stand in {where}", *_near_misses(root, room, within, old)]))


def replaced(text: str, place: Place, new: str) -> str:
    """A file's text with ``new`` at a place, its further lines indented as the line in which the place begins.

    A line of which nothing is left goes as a whole.
    """
    start, end = place.start, place.end
    line_start = text.rfind("\n", 0, start) + 1
    before = text[line_start:start]
    if not new and not before.strip() and text[end : end + 1] == "\n":
        return text[:line_start] + text[end + 1 :]
    indent = before[: len(before) - len(before.lstrip())]
    return text[:start] + re.sub(r"\n(?=.)", "\n" + indent, new) + text[end:]


def _near_misses(root: Path, room: Iterable[str], within: str, old: str) -> list[str]:
    """In words: the functions of that name in a room, with the line most like the pattern; the pattern elsewhere."""
    misses = []
    for file in _files(root, room):
        text = _read(root, file)
        for name, start, end in _definitions(file, text):
            if name == within:
                lines = [line.strip() for line in text[start:end].split("\n")]
                likest = difflib.get_close_matches(old.partition("\n")[0], lines, n=1)
                closest = f", which has {likest[0]!r}" if likest else ""
                misses.append(f"{within} is at {file}:{_line(text, start)}{closest}")
    if within and not misses:
        misses.append(f"there is no {within} in it")
    paths = map(PurePosixPath, room)
    around = _files(root, {f"{path.parts[0]}/**/*{path.suffix}" for path in paths})
    elsewhere = [str(place) for file in around for place in _matches(root, file, old)]
    return misses + [f"it stands at {', '.join(elsewhere)}"] * bool(elsewhere)


def _matches(root: Path, file: str, old: str, within: str = "") -> list[Place]:
    """All places where a pattern stands in a file, or in the functions of one name in it."""
    text = _read(root, file)
    spans = [span for name, *span in _definitions(file, text) if name == within] if within else [(0, len(text))]
    # Functions of one name may be in one another.
    found = sorted({match.span() for span in spans for match in _pattern(old).finditer(text, *span)})
    return [_place(file, text, *span) for span in found]


def _place(file: str, text: str, start: int, end: int) -> Place:
    around = [name for name, first, last in _definitions(file, text) if first <= start and end <= last]
    return Place(file, start, end, _line(text, start), around[-1] if around else "")


@functools.cache
def _pattern(old: str) -> re.Pattern[str]:
    """What finds code however it is wrapped."""
    tokens = TOKEN.findall(LAST_COMMA.sub("", old))
    pattern = re.escape(tokens[0])
    for left, right in pairwise(tokens):
        words = re.fullmatch(r"\w+", left + right)  # two words do not run together
        comma = f",?{BLANK}*" if right in ")]}" else ""
        pattern += f"{BLANK}{'+' if words else '*'}{comma}{re.escape(right)}"
    first, last = (r"\b" if re.match(r"\w", token) else "" for token in (tokens[0], tokens[-1]))
    return re.compile(first + pattern + last)


@functools.cache
def _definitions(file: str, text: str) -> list[tuple[str, int, int]]:
    """Functions and classes of a Python file, outer ones first: name, and the characters from start to end."""
    if not file.endswith(".py"):
        return []
    starts = [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(text, file)) if isinstance(node, kinds)]
    return [
        (
            node.name,
            starts[min([node.lineno, *(line.lineno for line in node.decorator_list)]) - 1],
            starts[node.end_lineno or node.lineno],
        )
        for node in nodes
    ]


def _files(root: Path, room: Iterable[str]) -> list[str]:
    return sorted({path.relative_to(root).as_posix() for pattern in room for path in root.glob(pattern)})


def _read(root: Path, file: str) -> str:
    return (root / file).read_text("utf-8")


def _line(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1
