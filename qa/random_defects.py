"""Defects drawn at random: small changes of ``d2l``, ``book`` and ``qa``, to see which share the tests catch."""

import ast
import dataclasses
import functools
import json
import random
import re
import textwrap
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate, islice
from types import CodeType
from typing import Any

from tqdm import tqdm

from book.errors import BookError
from book.files import BUILD, ROOT, atomic_write

from .mutants import (
    Verdict,
    check_without_defect,
    copied_repository,
    first_failure,
    group_mutants,
    load_groups,
    stored,
    tried,
)

FILES = ("d2l/**/*.py", "book/**/*.py", "qa/**/*.py")
GENERATED = "#################   WARNING   ################"  # above what d2lbook writes into the helper's modules
TIMEOUT_SECONDS = 600  # for the tests of one argument, which take a minute on a machine that does nothing else
OPERATORS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),  # codespell:ignore notin
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.BitXor: ("^", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
Located = ast.expr | ast.stmt  # nodes with lines and columns


@dataclass(frozen=True)
class Change:
    """A defect: in ``file``, the bytes from ``start`` to ``end`` become ``new``.

    Attributes:
        kind: What is changed, such as a comparison.
        line: Where the change begins, counted from 1.
        old: The text that stands there.
    """

    file: str
    kind: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        old, new = (textwrap.shorten(text, 80) for text in (self.old, self.new))
        return f"{self.file}:{self.line}: {old} -> {new}"

    def made_in(self, source: bytes) -> bytes:
        """The source of the file with this change."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def try_random(count: int, seed: int, only: str) -> None:
    """Draw defects, try each with the tests of its file, and print which survive.

    What is known so far is in a file in ``_build``.

    Args:
        only: Draw from the files with this in their path.

    Raises:
        BookError: There are fewer changes than asked for, or a test fails without any defect.
    """
    changes = draw(count, seed, only)
    results = BUILD / f"random-defects-{seed}.json"
    found: dict[Change, Verdict] = {}
    for change, verdict in tried(try_change, changes):
        found[change] = verdict
        rows = [dataclasses.asdict(change) | dataclasses.asdict(found[change]) for change in changes if change in found]
        atomic_write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", results)
        tqdm.write(f"{change}: {verdict.caught_by or 'SURVIVES'} ({verdict.seconds} s)")
    check_without_defect([verdict.caught_by for verdict in found.values() if verdict.caught_by])
    survivors = [str(change) for change in changes if not found[change].caught_by]
    caught = count - len(survivors)
    print(f"Of {count} defects drawn with seed {seed}, {caught} are caught, {caught / count:.1%}: {results}")
    print("\n  ".join([f"{len(survivors)} survive:", *survivors]) if survivors else "None survives.")


def draw(count: int, seed: int, only: str = "") -> list[Change]:
    """Some of the changes that make other bytecode: every place in the code is equally likely.

    Raises:
        BookError: There are fewer.
    """
    files = sorted({path for pattern in FILES for path in ROOT.glob(pattern)})
    names = [name for name in (path.relative_to(ROOT).as_posix() for path in files) if only in name]
    rng = random.Random(seed)
    places = [place for name in names for place in _Finder(name).places]
    rng.shuffle(places)
    drawn = list(islice(filter(changes_bytecode, map(rng.choice, places)), count))
    if len(drawn) < count:
        raise BookError(f"RANDOM={count}: there are {len(drawn)} changes to draw from in {len(names)} files")
    return drawn


def changes_bytecode(change: Change) -> bool:
    """Whether the file can be compiled with this change, to something else."""
    source = (ROOT / change.file).read_bytes()
    try:
        changed = compile(change.made_in(source), change.file, "exec")
    except SyntaxError:
        return False
    return _bytecode(changed) != _bytecode(compile(source, change.file, "exec"))


def try_change(change: Change) -> Verdict:
    """Run the tests of a file in a copy of the repository where it is changed, until one fails.

    Raises:
        BookError: The file is no longer what the change was drawn from; or see `chosen_tests`.
    """
    start = time.monotonic()
    source = (ROOT / change.file).read_bytes()
    if source[change.start : change.end] != change.old.encode():
        raise BookError(f"{change.file} was edited meanwhile: begin anew")
    caught = _caught_in(change.file)
    with copied_repository() as copy:
        (copy / change.file).write_bytes(change.made_in(source))
        caught_by = first_failure(copy, chosen_tests(change.file), caught, TIMEOUT_SECONDS)
    return Verdict(caught_by, round(time.monotonic() - start))


def chosen_tests(file: str) -> list[str]:
    """What ``tests/mutants`` names for a file, what has caught the most first; else the tests that import the module.

    Raises:
        BookError: There are none.
    """
    named = dict.fromkeys(tests for group in _groups().get(file, []) for tests in group["tests"])
    if named:
        caught = Counter(test.partition("::")[0] for test in _caught_in(file).elements())
        return sorted(named, key=lambda tests: (tests.endswith(".ipynb"), -caught[tests.split()[0]]))
    package, module = file.removesuffix(".py").split("/", 1)
    imports = re.compile(rf"\bfrom {package}\.{module} import|\bfrom {package} import\b.*\b{module}\b")
    paths = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if imports.search(path.read_text("utf-8")))
    if not paths:
        raise BookError(f"{file}: no file in tests/mutants names tests for it, and none imports it")
    return [path.relative_to(ROOT).as_posix() for path in paths]


@functools.cache
def _groups() -> dict[str, list[dict[str, Any]]]:
    """The groups of ``tests/mutants`` by file: by those that their defects are in, or by the one that they name."""
    groups = defaultdict(list)
    for group in load_groups():
        for file in {group["file"]} if "file" in group else {mutant.place().file for mutant in group_mutants(group)}:
            groups[file].append(group)
    return groups


def _caught_in(file: str) -> Counter[str]:
    """The tests that have caught defects of a file, and how many each."""
    names = {name for group in _groups().get(file, []) for name in group["mutants"]}
    return Counter(verdict.caught_by for name, verdict in stored().items() if name in names)


def _bytecode(code: CodeType) -> tuple:
    """What a module does: its instructions with all that they name, without lines and columns."""
    constants = tuple(_bytecode(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


class _Finder(ast.NodeVisitor):
    """Finds the places of a file that can be changed, each as the list of its changes.

    Docstrings, annotations, ``__all__``, what is inside f-strings and what d2lbook generates are left alone.
    """

    def __init__(self, file: str):
        self.file = file
        self.places: list[list[Change]] = []
        self.source = (ROOT / file).read_bytes()
        self.generated = self.source.partition(GENERATED.encode())[0].count(b"\n") + 1
        # Columns are counted in bytes.
        self.starts = [0, *accumulate(map(len, self.source.splitlines(keepends=True)))]
        self.visit(ast.parse(self.source))

    def visit(self, node: ast.AST) -> None:
        if getattr(node, "lineno", 0) <= self.generated:
            super().visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self.visit(child)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Python 3.11 does not tell where in it its parts are."""

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            self._replace_operator("comparison", node, left, operator, right)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._replace_operator("arithmetic", node, node.left, node.op, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace_operator("arithmetic", node, node.target, node.op, node.value)
        self._remove("assignment", node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._replace_operator("and, or", node, left, node.op, right)
        self.generic_visit(node)

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        self._replace_condition(node.test)
        self.generic_visit(node)

    visit_While = visit_IfExp = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._replace_condition(condition)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._remove("call", node)
        else:
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        if ast.unparse(node).startswith("__all__ ="):
            return
        if node.value is not None:
            self._remove("assignment", node)

    visit_AnnAssign = visit_Assign

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self._replace("return value", node.value, "None")
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("constant", node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace("constant", node, repr(node.value + 1))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._replace_key(node.slice)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            self._replace_key(key)
        self.generic_visit(node)

    def _replace_key(self, node: ast.AST | None) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._replace("constant", node, repr(f"{node.value}_"))

    def _replace_condition(self, node: ast.expr) -> None:
        self._replace("condition", node, f"not ({self._text(node)})", "True", "False")

    def _remove(self, kind: str, node: ast.stmt) -> None:
        self._replace(kind, node, "pass")
        self.generic_visit(node)

    def _replace_operator(self, kind: str, node: Located, left: ast.expr, operator: ast.AST, right: ast.expr) -> None:
        old, new = OPERATORS[type(operator)]
        start, end = self._span(node)
        after, before = self._span(left)[1], self._span(right)[0]
        # Between the operands there may be brackets and comments, too.
        between = re.sub(rb"#.*", lambda comment: b" " * len(comment[0]), self.source[after:before])
        place = re.search(re.escape(old).replace(r"\ ", r"\s+").encode(), between)
        assert place, f"{self.file}:{node.lineno}: no {old} between the operands"
        changed = self.source[start : after + place.start()] + new.encode() + self.source[after + place.end() : end]
        self._replace(kind, node, changed.decode())

    def _replace(self, kind: str, node: Located, *news: str) -> None:
        """Take down a place; of its changes, one is drawn."""
        span, old = self._span(node), self._text(node)
        self.places.append([Change(self.file, kind, node.lineno, *span, old, new) for new in news])

    def _text(self, node: Located) -> str:
        start, end = self._span(node)
        return self.source[start:end].decode()

    def _span(self, node: Located) -> tuple[int, int]:
        assert node.end_lineno and node.end_col_offset  # which the parser gives to every node
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )
