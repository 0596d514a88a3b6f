"""What the imports of a cell do, and whether their order matters: d2lbook sorts those that follow each other."""

import ast
import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

IMPORTS = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Imported:
    """What an import gives a name to: ``level``, ``module`` and ``name`` as they are written, and the name."""

    level: int
    module: str
    name: str
    given: str


def meaning(tree: ast.Module) -> str:
    """What a code does, whatever is the order in a run of imports, which d2lbook sorts."""

    class Sort(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            super().generic_visit(node)
            for body in _bodies(node):
                body[:] = itertools.chain(*(_sorted(run) if imports else run for imports, run in _runs(body)))
            return node

    return ast.dump(Sort().visit(copy.deepcopy(tree)))


def _bodies(node: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements in a piece of code."""
    bodies = (getattr(node, name, None) for name in ("body", "orelse", "finalbody"))
    return [body for body in bodies if isinstance(body, list)]


def _runs(body: list[ast.stmt]) -> Iterator[tuple[bool, list[ast.stmt]]]:
    """The statements that follow each other and are imports, or are none."""
    grouped = itertools.groupby(body, lambda node: isinstance(node, IMPORTS))
    return ((imports, list(run)) for imports, run in grouped)


def _sorted(run: list[ast.stmt]) -> list[ast.stmt]:
    """What stands for a run of imports whatever their order: a list of what they give names to."""
    return [ast.Expr(ast.Constant("\n".join(sorted({repr(imported) for imported in imports_of(run)}))))]


def imports_of(run: list[ast.stmt]) -> list[Imported]:
    """What a run of imports gives names to, in order."""
    given = []
    for node in run:
        if isinstance(node, ast.Import):
            given += [Imported(0, alias.name, "", alias.asname or "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            given += [Imported(node.level, module, alias.name, alias.asname or alias.name) for alias in node.names]
    return given


def import_runs(tree: ast.Module) -> Iterator[tuple[list[ast.stmt], bool]]:
    """The runs of imports in a code, and whether Python, not only IPython, has something to do above them."""
    for body in (body for node in ast.walk(tree) for body in _bodies(node)):
        below = False
        for imports, run in _runs(body):
            if imports:
                yield run, below
            below = below or (not imports and not all(_is_ipythons(node) for node in run))


def _is_ipythons(node: ast.stmt) -> bool:
    """Whether a statement is a text or a command of IPython."""
    return isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant) or ast.unparse(node).startswith("get_ipython().")
    )


def order_matters(run: list[ast.stmt], after: list[ast.stmt], below: bool) -> bool:
    """Whether a run of imports in another order may do something else.

    Args:
        run, after: The imports, and the same in the other order.
        below: Whether something stands above that may decide what they find.
    """
    written, made = imports_of(run), imports_of(after)
    if below and _modules(written) != _modules(made):
        return True
    # Of those that are there twice, the last one counts.
    last = [{imported: place for place, imported in enumerate(order)} for order in (written, made)]
    return any(
        one.name == "*" or other.name == "*" or _collide(one, other)
        for one, other in itertools.permutations(set(written), 2)
        if last[0][one] < last[0][other] and last[1][one] > last[1][other]
    )


def _modules(order: list[Imported]) -> list[tuple[int, str]]:
    return list(dict.fromkeys((imported.level, imported.module) for imported in order))


def _collide(one: Imported, other: Imported) -> bool:
    """Whether two imports give the same name to two things."""
    (name, thing), (other_name, other_thing) = map(_binding, (one, other))
    return name == other_name and thing != other_thing


def _binding(imported: Imported) -> tuple[str, str]:
    """The name that an import gives, and what to."""
    if not imported.given:  # import a.b, which gives a its name
        package = imported.module.partition(".")[0]
        return package, package
    path = "." * imported.level + ".".join(filter(None, (imported.module, imported.name)))
    return imported.given, path
