"""What an edit makes stale: which files a step reads, and what in them counts."""

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from .cache import digest
from .files import ROOT
from .versions import VERSIONS

# What readers see is made from these: texts, pictures but not the scripts that draw them, and stored outputs.
TEXTS = ("*.md", "chapter_*/*.md")
PICTURES = ("img/**/*.[!p]*", "img/**/*.p[!y]*")
STORED = ("recordings/**/*.ipynb", "tests/reference/**/*.ipynb")
# In the text that Python makes of a tree: strings, and lists without anything.
STRING_OR_EMPTY_LIST = re.compile(r"('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")|(?:, )?\w+=\[\]")
# By what a cell may show the text of code, with its comments, docstrings and layout.
SHOWS_CODE = re.compile(
    r"\bhelp\(|__doc__|\b(?:inspect|pydoc|doctest|traceback|linecache|getdoc|getsource\w*)\b|\b_?(?:In|_ih|_i\d*)\b"
    r"|%(?:p(?:info2?|doc|source|def|file|ycat)|hist|history|recall|rerun|save|macro)\b"
    r"|^[ \t]*\?|^[ \t%\w.]+\?[ \t]*$|\?\?",
    re.M,
)
# What programs keep for themselves: hidden files, compiled code, and copies of a file that is edited or merged.
KEPT_BY_PROGRAMS = re.compile(r"\.|__pycache__|#.*#$|.*(?:~|\.pyc|\.pyo|\.bak|\.orig|\.rej|\.part)$")
PINS_COMMENT = re.compile(rb"^[ \t]*(?:#.*)?\n|[ \t]+#.*$", re.M)
COMMENTS = {
    "config.ini": re.compile(rb"^[ \t]*[#;].*\n?", re.M),
    **{versions.file: PINS_COMMENT for versions in VERSIONS},
}


@functools.cache
def bare(source: str) -> str:
    """Code without comments, docstrings and layout. What only IPython understands stays as it is."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _documented(node):
            del node.body[0]
    # Which empty lists are written out depends on the version of Python.
    return STRING_OR_EMPTY_LIST.sub(lambda match: match[1] or "", ast.dump(tree))


def shows_code(sources: Iterable[str]) -> bool:
    """Whether one of some cells may show the text of code, such as by ``help(f)``."""
    return any(SHOWS_CODE.search(source) for source in sources)


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a piece of code begins with a docstring. The last string of a cell is one that is shown."""
    return ast.get_docstring(node) is not None and (len(node.body) > 1 or not isinstance(node, ast.Module))


def bare_file(path: Path) -> bytes:
    """A file's content, without comments where these are known to decide nothing."""
    if path.suffix == ".py":
        return bare(path.read_text("utf-8")).encode()
    content = path.read_bytes()
    if path.suffix == ".bib":
        return b"".join(_without_comments(content.splitlines(keepends=True)))
    return COMMENTS[path.name].sub(b"", content) if path.name in COMMENTS else content


def contents_hash(
    root: Path, paths: Iterable[Path], *more: str, content_of: Callable[[Path], bytes] = bare_file
) -> str:
    """Hash of files below ``root``, and of more texts. What programs keep for themselves does not count.

    Args:
        content_of: Gives what counts of a file.
    """
    parts: list[str | bytes] = [*more]
    for path in sorted({path for path in paths if path.is_file()}):
        name = path.relative_to(root)
        if not any(KEPT_BY_PROGRAMS.match(part) for part in name.parts):
            parts += [name.as_posix(), content_of(path)]
    return digest(parts)


def files_hash(patterns: Sequence[str], *more: str) -> str:
    """Hash of the files of this repository that have such paths, and of more texts. Comments in code do not count."""
    return contents_hash(ROOT, (path for pattern in patterns for path in ROOT.glob(pattern)), *more)


def _without_comments(lines: list[bytes]) -> Iterator[bytes]:
    """The lines of a bibliography; in an entry, a line may begin with a percent sign."""
    depth = 0
    for line in lines:
        if depth or not line.lstrip().startswith(b"%"):
            depth += line.count(b"{") - line.count(b"}")
            yield line


def code_files(root: Path, *starts: str) -> list[str]:
    """These files, and all that they import of the repository, by their paths from its root."""
    found, missing = set(), set(starts)
    while missing:
        found |= missing
        missing = {path for file in missing for path in _imports(root, PurePosixPath(file))} - found
    return sorted(found)


def _imports(root: Path, file: PurePosixPath) -> Iterator[str]:
    for node in ast.walk(ast.parse((root / file).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            package = file.parents[node.level - 1] if node.level else PurePosixPath()
            module = package.joinpath(*(node.module or "").split("."))
            names = [module, *(module / alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [PurePosixPath(*alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            paths = [f"{name}.py", *(f"{folder}/__init__.py" for folder in (name, *name.parents))]
            yield from (path for path in paths if (root / path).is_file())
