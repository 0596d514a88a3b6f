"""What sections written for the helper use of it: read off the code in their sources, nothing is run."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCES = [*sorted(ROOT.glob("chapter_*/*.md")), *sorted((ROOT / "tests" / "chapters").glob("*.md"))]
# What stands before the dot, and what it is an object of; `d2l` is the helper's module.
OWNERS = {
    "d2l": r"d2l",
    "Trainer": r"(\w+\.)*trainer",
    "Module": r"((self|trainer)\.)?model",
    "DataModule": r"(self\.)?\w*data",
    "ProgressBoard": r"(\w+\.)*board",
    "TrainState": r"((self|trainer|\w+\.trainer)\.)?state",
}
CLASSES = {"Trainer": "Trainer", "Module": "Module", "Classifier": "Module", "DataModule": "DataModule"}
EXTENDED = {"Module", "DataModule"}  # those that sections give attributes of their own, such as layers and tensors


def used(tab: str) -> dict[str, set[str]]:
    """The attributes that a tab's cells use of the helper's module, and of objects of its classes, by class.

    Left out is what the sections' own models and data sets define.
    """
    found: dict[str, set[str]] = defaultdict(set)
    own: set[str] = set()
    for source in SOURCES:
        for tree in _cells(source.read_text("utf-8"), tab):
            for node in ast.walk(tree):
                own |= _defined(node)
                if isinstance(node, ast.Attribute):
                    for owner, pattern in OWNERS.items():
                        if re.fullmatch(pattern, ast.unparse(node.value)):
                            found[owner].add(node.attr)
                for owner, method in _methods(node):
                    found[owner] |= {
                        part.attr
                        for part in ast.walk(method)
                        if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self"
                    }
    return {owner: names - own if owner in EXTENDED else names for owner, names in found.items()}


def _cells(text: str, tab: str) -> Iterator[ast.AST]:
    """The cells of a tab, without what ``tab.selected`` leaves to the others."""
    for body in re.findall(r"^```\{\.python \.input[^\n]*\n(.*?)^```", text, re.M | re.S):
        mark = re.match(r"%%tab (.*)", body)
        tabs = mark[1].replace(" ", "").split(",") if mark else ["all"]
        if {"all", tab} & set(tabs):
            yield _Selected(tab).visit(ast.parse(re.sub(r"^%.*", "", body, flags=re.M)))


class _Selected(ast.NodeTransformer):
    """Leaves of ``if tab.selected(...)`` what is for one tab."""

    def __init__(self, tab: str):
        self.tab = tab

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Call) and ast.unparse(node.test.func) == "tab.selected":
            tabs = [ast.literal_eval(argument) for argument in node.test.args]
            return node.body if self.tab in tabs else node.orelse
        return node


def _defined(node: ast.AST) -> set[str]:
    """The names of attributes that a node defines: methods, arguments that are saved, fields, and what is assigned."""
    if isinstance(node, ast.FunctionDef):
        replaces = any("add_to_class(d2l." in ast.unparse(decorator) for decorator in node.decorator_list)
        names = {argument.arg for argument in node.args.args} if node.name == "__init__" and not replaces else set()
        return names if replaces else {*names, node.name}
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
        return {node.attr}
    if isinstance(node, ast.ClassDef):
        return {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
    return set()


def _methods(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Classes that extend the helper's, and methods that replace theirs, with the class that ``self`` is of."""
    named = r"(?:d2l\.)?(\w+)"
    if isinstance(node, ast.ClassDef):
        matches = [re.fullmatch(named, ast.unparse(base)) for base in node.bases]
    elif isinstance(node, ast.FunctionDef):
        matches = [re.fullmatch(rf"d2l\.add_to_class\({named}\)", ast.unparse(part)) for part in node.decorator_list]
    else:
        matches = []
    yield from ((CLASSES[match[1]], node) for match in matches if match and match[1] in CLASSES)
