"""What a source is made of. Where d2lbook would take something for another thing than it looks like, it is an error."""

import ast
import copy
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import nbformat
from nbformat import NotebookNode

from . import d2lbook_adapter
from .errors import BookError
from .formulas import check_formulas
from .import_order import IMPORTS, import_runs, imports_of, meaning, order_matters

# What some reader of Markdown takes for a fence, and what all of them do.
FENCE_LIKE = re.compile(r"(?:[^\w`~]|\d+[.)])*(?:`{3,}|~{3,})")
FENCE = re.compile(r"(`{3,})( *\{[^`]*\}|[^`{\s]*)")
CELL = re.compile(r" *\{ *\.python +\.input(?: +n=\d+)? *\}")
CELL_LIKE = re.compile(r"\.python\s*\.?input\b|\.input\s*\}", re.I)
HTML = re.compile(r" {0,3}<(?:(?P<comment>!--)|(?P<code>pre|script|style|textarea)\b|(?P<other>[/?!a-z]))", re.I)
HTML_ENDS = {
    "comment": re.compile("-->"),
    "code": re.compile("</(?:pre|script|style|textarea)>", re.I),
    "other": re.compile(r"^\s*$"),
}
BLOCK_BEGIN = re.compile(r":begin_tab:`([^`]*)`")
BLOCK_MARK = re.compile(r"[:\uff1a]\s*(?:begin|end)[\W_]*tab|\b(?:begin|end)[_-]tabs?\s*:", re.I)
BLOCK_NAMES = re.compile(r"\s*:?\w+[_-]\w+:(`[^`]*`)\s*")
CODE_INDENT = re.compile(r" {4}|\t")
CELL_TABS = re.compile(r"(?:%%tab|# *@tab)(?: +([^\t]*))?")
CELL_TABS_LIKE = re.compile(r"%%\s*tab|#\s*@\s*tab|^\s*%\s*tabs?\b", re.I)
# With nothing but frameworks' names in it, or behind a word, this is a mark as well.
CELL_NAMES = re.compile(r"\s*(?:%|#+\s*@|#[#%\s]*tabs?\b)", re.I)
SELECTED_TABS = re.compile(r"tab\.(?:selected|interact_select)\(([^)]*)\)")
MARK_ENDS = {"[**": "**]", "(**": "**)", "[~~": "~~]", "(~~": "~~)"}
SLIDE_MARK = re.compile("|".join(map(re.escape, [*MARK_ENDS, *MARK_ENDS.values()])))
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
ASKS = ("selected", "interact_select")
Located = ast.expr | ast.stmt  # a piece of code with lines
LOAD_MENU = "%load_ext d2lbook.tab"
LOADS_MENU = "get_ipython().run_line_magic('load_ext', 'd2lbook.tab')"  # the same, to Python
# What Python, unlike Markdown, takes for the end of a line, and what is no text.
CONTROL = re.compile("[\0\v\f\x1c-\x1e\x85\u2028\u2029]")

WRONG_BRANCH = (
    "d2lbook would compile this branch to other code: write `if tab.selected('NAME'):` alone in its line, below it "
    "what it decides, indented by four blanks more, and neither `else` nor another condition"
)
WRONG_IMPORTS = (
    "d2lbook sorts imports that follow each other, which would change what these do: write in two cells what has to be "
    "in this order, and give what has the same name another one"
)
WRONG_CODE = (
    "d2lbook would compile this cell to other code: no string in it may have blanks at the end of a line, or what in a "
    "cell is a mark or a branch"
)


@dataclass(frozen=True)
class Block:
    """A piece of a source: a code cell, code within the text (both without their fences), or text.

    Attributes:
        kind: ``cell``, ``fence`` or ``text``.
        first: The number of its first line in the source.
        tabs: The frameworks of the tab block that it is in; none outside of one.
        opening: For code, the line above it.
        lines: Its lines.
    """

    kind: str
    first: int
    tabs: tuple[str, ...] = ()
    opening: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def numbered(self) -> list[tuple[int, str]]:
        """Its lines, each with its number in the source; code within the text has its fences."""
        lines = list(enumerate(self.lines, self.first))
        if self.kind != "fence":
            return lines
        marks = self.opening[: len(self.opening) - len(self.opening.lstrip("`"))]
        return [(self.first - 1, self.opening), *lines, (self.first + len(lines), marks)]


@dataclass(frozen=True)
class Cell:
    """A code cell.

    Attributes:
        file: The source's name.
        block: Its text.
        tabs: The frameworks that its mark names, or ``all``; none if it has no mark.
        tree: Its code.
    """

    file: str
    block: Block
    tabs: tuple[str, ...]
    tree: ast.Module

    @property
    def is_menu(self) -> bool:
        """Whether d2lbook leaves it out of the notebooks."""
        return any(LOAD_MENU in line for line in self.block.lines)

    def is_for(self, tab: str) -> bool:
        """Whether it is in the notebook of a framework; one without a mark is in all."""
        return not self.tabs or bool({tab, "all"} & set(self.tabs))

    def place(self, node: Located) -> str:
        """The file and the number of the line in which a piece of the code begins."""
        return f"{self.file}:{self.block.first + bool(self.tabs) + node.lineno - 1}"

    def calls(self, function: str) -> list[ast.Call]:
        """The calls of ``tab.selected`` or ``tab.interact_select``."""
        return [node for node in ast.walk(self.tree) if _calls(node, function)]

    def named(self, function: str) -> Iterator[tuple[str, str]]:
        """The frameworks that such calls name, each with its place.

        Raises:
            BookError: They are not written there.
        """
        for call in self.calls(function):
            try:
                names = _names(call)
            except ValueError:
                raise BookError(
                    f"{self.place(call)}: the frameworks have to be written here, like 'pytorch', 'jax'"
                ) from None
            yield from ((tab, self.place(call)) for tab in names)


def read_source(text: str, file: str, tabs: list[str]) -> list[str]:
    """Check a source; gives the frameworks that it has something for.

    Args:
        text: The source, whose lines end with ``\\n``.
        file: The file's name, for messages.
        tabs: The frameworks of the book.

    Raises:
        BookError: d2lbook would take something for another thing than it looks like. The message begins with ``file``
            and the number of a line.
    """
    if not text.strip():
        raise BookError(f"{file}:1: the file is empty")
    blocks = read_blocks(text, file, tabs)
    for block in (block for block in blocks if block.kind != "cell"):
        _check_slide_marks(block, file)
    for block in (block for block in blocks if block.kind == "text"):
        check_formulas("\n".join(block.lines), file, block.first)
    cells = [_read_cell(block, file, tabs) for block in blocks if block.kind == "cell"]
    for cell in cells:
        _check_branches(cell, tabs)
    mine = _section_tabs(blocks, cells, file, tabs)
    _check_compiled(text, blocks, cells, file, mine)
    _check_tab(cells, tabs)
    return mine


def check_tabs(found: Iterable[str], known: list[str], place: str) -> None:
    """Check names of frameworks.

    Raises:
        BookError: One is not among those known.
    """
    for tab in (name.strip() for name in found):
        if tab not in known:
            raise BookError(f"{place}: unknown tab '{tab}'; known are {', '.join(known)}")


def read_blocks(text: str, file: str, tabs: list[str]) -> list[Block]:
    """The pieces of a source, in order.

    Raises:
        BookError: See `read_source`.
    """
    blocks = [Block("text", 1)]
    fence, begun, html, blank = None, None, None, False
    *lines, rest = text.split("\n")
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        place, block = f"{file}:{number}", blocks[-1]
        if match := CONTROL.search(line):
            raise BookError(f"{place}: the character {match[0]!a} is no text, or ends the line for some programs only")
        if fence is not None:
            if begun is not None and BLOCK_MARK.search(line):
                raise BookError(f"{place}: d2lbook takes this for the begin or end of a tab block in code, too")
            if not _closes(line, fence, place):
                block.lines.append(line)
                continue
            if not any(map(str.strip, block.lines)):
                raise BookError(f"{fence[1]}: there is nothing between this code fence and its end")
            if number > len(lines):
                raise BookError(f"{place}: the file ends without a line end, so d2lbook would not see this fence")
            blocks.append(Block("text", number + 1, block.tabs))
            fence = None
        elif html is not None and (FENCE_LIKE.match(line) or BLOCK_MARK.search(line)):
            raise BookError(f"{place}: d2lbook does not see that this is part of the HTML that begins in {html[0]}")
        elif FENCE_LIKE.match(line):
            kind, marks = _opening(line, place)
            if kind == "cell" and begun is not None:
                raise BookError(f"{place}: a code cell inside the tab block that begins in {begun}")
            blocks.append(Block(kind, number + 1, block.tabs, line))
            fence = (marks, place)
        elif CELL_LIKE.search(line):
            raise BookError(f"{place}: no code cell begins here: one begins with a line ```{{.python .input}}")
        elif BLOCK_MARK.search(line) or ((like := BLOCK_NAMES.fullmatch(line)) and _names_only(like[1], tabs)):
            match = BLOCK_BEGIN.fullmatch(line)
            if match is None and line != ":end_tab:":
                raise BookError(
                    f"{place}: a tab block begins with a line :begin_tab:`NAME` and ends with a line :end_tab:, "
                    "in which nothing else stands"
                )
            if match and begun is not None:
                raise BookError(f"{place}: a tab block begins inside the one of {begun}")
            if match is None and begun is None:
                raise BookError(f"{place}: a tab block ends that never began")
            if match is None and begun == f"{file}:{block.first - 1}" and not any(map(str.strip, block.lines)):
                raise BookError(f"{begun}: there is nothing in this tab block")
            names = match[1].split(",") if match else []
            check_tabs(names, tabs, place)
            begun = place if match else None
            blocks.append(Block("text", number + 1, tuple(name.strip() for name in names)))
        elif blank and CODE_INDENT.match(line):
            raise BookError(
                f"{place}: d2lbook takes for code what is indented by four blanks or more below an empty line; "
                "three blanks do for text in a list, and code wants a fence"
            )
        else:
            block.lines.append(line)
            if html is None and (match := HTML.match(line)):
                html = (place, HTML_ENDS[match.lastgroup or "other"])
            if html is not None and html[1].search(line):
                html = None
        blank = not line.strip()
    if fence is not None:
        raise BookError(_never_closed(fence))
    if begun is not None:
        raise BookError(f"{begun}: the tab block that begins here never ends")
    return blocks


def _names_only(text: str, known: list[str]) -> bool:
    """Whether a text names frameworks and nothing else, at least behind its first word."""
    first, *others = re.findall(r"\w+", text.lower()) or [""]
    return set(others or [first]) <= set(known)


def _never_closed(fence: tuple[str, str]) -> str:
    return f"{fence[1]}: the code fence {fence[0]} that opens here is never closed"


def _opening(line: str, place: str) -> tuple[str, str]:
    """What a fence opens, and the marks that close it."""
    match = FENCE.fullmatch(line)
    if match is None:
        raise BookError(
            f"{place}: d2lbook takes no code from a fence like {line!r}: it has to begin the line with ``` and a word "
            "or {.python .input}, with nothing behind"
        )
    if CELL.fullmatch(match[2]):
        return "cell", match[1]
    if "{" in match[2]:
        raise BookError(f"{place}: {match[2].strip()} is not known; a code cell begins with ```{{.python .input}}")
    return "fence", match[1]


def _closes(line: str, fence: tuple[str, str], place: str) -> bool:
    """Whether a line ends the code in a fence."""
    marks, opened = fence
    if line == marks:
        return True
    if re.fullmatch(rf" {{0,3}}`{{{len(marks)},}}\s*", line):
        raise BookError(
            f"{place}: not every program takes {line!r} for the end of the code that begins in {opened}; "
            f"it has to be {marks}, with no blanks around it, and other code needs longer fences around it"
        )
    same = re.match(rf"{marks}(?!`)", line)
    if same or (CELL.search(line) and line.startswith(marks)):
        raise BookError(_never_closed(fence))
    return False


def _read_cell(block: Block, file: str, tabs: list[str]) -> Cell:
    """A code cell with its mark and its code.

    Raises:
        BookError: An unknown framework, a mark that d2lbook would see in another way, or no Python.
    """
    first, *_ = block.lines
    mark = CELL_TABS.fullmatch(first.rstrip())
    named = tuple(tab.strip() for tab in (mark[1] or "").split(",")) if mark else ()
    for number, line in block.numbered:
        named_like = CELL_NAMES.match(line) and _names_only(line, [*tabs, "all"])
        if (CELL_TABS_LIKE.search(line) or named_like) and not (mark and number == block.first):
            raise BookError(f"{file}:{number}: a cell's mark is its first line, like %%tab pytorch, jax")
    if mark:
        check_tabs(named, [*tabs, "all"], f"{file}:{block.first}")
        if "all" in named and len(named) > 1:
            raise BookError(f"{file}:{block.first}: `all` stands alone; d2lbook would pass it over beside other tabs")
        if not any(line.strip() for line in block.lines[1:]):
            raise BookError(f"{file}:{block.first}: there is nothing below the mark of this cell")
    for number, line in block.numbered:
        for match in SELECTED_TABS.finditer(line):
            check_tabs(re.findall(r"['\"]([^'\"]*)['\"]", match[1]), tabs, f"{file}:{number}")
    try:
        return Cell(file, block, named, _parsed("\n".join(block.lines[len(named) > 0 :])))
    except SyntaxError as error:
        number = block.first + bool(named) + (error.lineno or 1) - 1
        raise BookError(f"{file}:{number}: this cell is no Python: {error.msg}") from None


def _parsed(code: str) -> ast.Module:
    """The code of a cell; what only IPython understands is a call of it.

    Raises:
        SyntaxError: It is no code.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            return compile(code, "cell", "exec", flags)
        except SyntaxError:
            from IPython.core.inputtransformer2 import TransformerManager

            return compile(TransformerManager().transform_cell(code), "cell", "exec", flags)


def _is_tab(node: ast.AST, function: str) -> TypeGuard[ast.Attribute]:
    """Whether a piece of code is ``tab.selected`` or ``tab.interact_select``."""
    return isinstance(node, ast.Attribute) and ast.unparse(node) == f"tab.{function}"


def _calls(node: ast.AST, function: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and _is_tab(node.func, function)


def _names(call: ast.Call) -> list[str]:
    """The frameworks that a call names, one by one or in a list.

    Raises:
        ValueError: They are not written there.
    """
    names = ast.literal_eval(ast.Tuple(call.args))
    names = names[0] if len(names) == 1 and isinstance(names[0], list | tuple) else names
    if call.keywords or not names or not all(isinstance(name, str) for name in names):
        raise ValueError
    return list(names)


def _check_slide_marks(block: Block, file: str) -> None:
    """Check that the marks for slides in a text are in pairs, and that there are none in its code.

    Raises:
        BookError: They are not, or there is one.
    """
    text, opened = "\n".join(block.lines), []
    code = [(0, text)] if block.kind == "fence" else [(match.start(2), match[2]) for match in CODE_SPAN.finditer(text)]
    for start, part in code:
        if match := SLIDE_MARK.search(part):
            number = block.first + text.count("\n", 0, start + match.start())
            raise BookError(f"{file}:{number}: d2lbook takes {match[0]} for a slide mark in code, too")
    for number, line in enumerate(block.lines, block.first):
        for mark in SLIDE_MARK.findall(line):
            if mark == MARK_ENDS.get(opened[-1][0] if opened else ""):
                opened.pop()
            elif mark in MARK_ENDS:
                opened.append((mark, f"{file}:{number}"))
            else:
                raise BookError(f"{file}:{number}: d2lbook takes {mark} for the end of a slide mark, but none is open")
    for mark, place in opened:
        raise BookError(f"{place}: the slide mark {mark} that opens here is never closed by {MARK_ENDS[mark]}")
    try:
        d2lbook_adapter.check_slide_marks(text)
    except ValueError as error:
        raise BookError(f"{file}:{block.first}: d2lbook takes no slide marks like those below: {error}") from None


def _check_branches(cell: Cell, tabs: list[str]) -> None:
    """Check that all that asks for the framework is a branch of the form that d2lbook knows, or a menu.

    Raises:
        BookError: Something is not, or it names an unknown framework.
    """
    known = []
    for node in ast.walk(cell.tree):
        if isinstance(node, ast.If) and _calls(node.test, "selected"):
            if node.orelse or not node.test.end_lineno == node.lineno < node.body[0].lineno:
                raise BookError(f"{cell.place(node.orelse[0] if node.orelse else node)}: {WRONG_BRANCH}")
            known.append(node.test.func)
    for node in ast.walk(cell.tree):
        if _is_tab(node, "selected") and node not in known:
            raise BookError(f"{cell.place(node)}: {WRONG_BRANCH}")
    for function in ASKS:
        for tab, place in cell.named(function):
            check_tabs([tab], tabs, place)
            if not cell.is_for(tab):
                raise BookError(f"{place}: a branch for {tab}, but the mark of this cell does not name {tab}")
    others = [node for node in cell.tree.body if not _is_menus(node)]
    if cell.is_menu and others:
        raise BookError(f"{cell.place(others[0])}: beside {LOAD_MENU}, d2lbook leaves this out of all notebooks")
    if cell.is_menu != any(_is_tab(node, "interact_select") for node in ast.walk(cell.tree)):
        raise BookError(
            f"{cell.file}:{cell.block.first}: {LOAD_MENU} and, below it, tab.interact_select(...) make a menu, "
            "together in a cell of their own"
        )


def _check_tab(cells: list[Cell], tabs: list[str]) -> None:
    """Check that nothing asks for the framework in a way that d2lbook does not see, such as by another name.

    Raises:
        BookError: Something does.
    """
    nodes = [(cell, node) for cell in cells for node in ast.walk(cell.tree)]
    own = any(_binds_tab(node) for _, node in nodes)
    seen = [node.value for _, node in nodes for name in ASKS if _is_tab(node, name)]
    for cell, node in nodes:
        if isinstance(node, IMPORTS):
            other = any(imported.module.partition(".")[0] == "d2lbook" for imported in imports_of([node]))
        elif isinstance(node, ast.Call):
            named = any(isinstance(argument, ast.Constant) and argument.value in tabs for argument in node.args)
            asks = isinstance(node.func, ast.Attribute) and node.func.attr in ASKS and node.func.value not in seen
            other = named and asks
        else:
            other = isinstance(node, ast.Name) and node.id == "tab" and not own and node not in seen
        if other and isinstance(node, Located):
            raise BookError(
                f"{cell.place(node)}: d2lbook does not see that this asks for the framework: "
                "write `if tab.selected('NAME'):` alone in its line"
            )


def _binds_tab(node: ast.AST) -> bool:
    """Whether a source takes the name ``tab`` for something of its own, which is no question for the framework."""
    if isinstance(node, ast.Name):
        return node.id == "tab" and isinstance(node.ctx, ast.Store)
    names = (getattr(node, name, None) for name in ("arg", "name", "asname"))
    return not isinstance(node, ast.keyword) and "tab" in names


def _is_menus(node: ast.stmt) -> bool:
    """Whether a piece of code is what a menu's cell consists of."""
    return isinstance(node, ast.Expr) and (_calls(node.value, "interact_select") or ast.unparse(node) == LOADS_MENU)


def _section_tabs(blocks: list[Block], cells: list[Cell], file: str, tabs: list[str]) -> list[str]:
    """The frameworks that a source has something for: those of its menu, or else those that its cells are for.

    Raises:
        BookError: There is more than one menu, or menu and cells do not agree; or it is open whom a cell is for.
    """
    menus = [cell.place(call) for cell in cells for call in cell.calls("interact_select")]
    if len(menus) > 1:
        raise BookError(f"{menus[1]}: a second menu; the first is in {menus[0]}")
    menu = [named for cell in cells for named in cell.named("interact_select")]
    code = [cell for cell in cells if not cell.is_menu]
    marked = [(tab, f"{file}:{cell.block.first}") for cell in code for tab in cell.tabs if tab != "all"]
    if marked:
        for cell in (cell for cell in code if not cell.tabs):
            raise BookError(
                f"{file}:{cell.block.first}: a cell for all frameworks, or for one? Beside others with a mark, "
                "it needs one as well, such as %%tab all"
            )
    marked += [named for cell in code for named in cell.named("selected")] if marked else []
    texts = [(tab, f"{file}:{block.first - 1}") for block in blocks for tab in block.tabs]
    if not menu:
        return [tab for tab in tabs if not marked or tab in dict(marked + texts)]
    for tab, place in [*(named for cell in code for named in cell.named("selected")), *marked, *texts]:
        if tab not in dict(menu):
            raise BookError(f"{place}: this is for {tab}, which the menu in {menus[0]} does not name")
    for tab, place in menu:
        if not code or (marked and tab not in dict(marked)):
            raise BookError(f"{place}: the menu names {tab}, but there is no cell for it")
    return [tab for tab in tabs if tab in dict(menu)]


def _check_compiled(text: str, blocks: list[Block], cells: list[Cell], file: str, tabs: list[str]) -> None:
    """Check that d2lbook finds these pieces, and no others, and makes of each what it looks like.

    Raises:
        BookError: It does not.
    """
    notebook = d2lbook_adapter.read_markdown(text)
    found = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for cell, source in itertools.zip_longest(cells, found):
        if cell is None or source != "\n".join(cell.block.lines):
            opening = cell.block.first - 1 if cell else text.count("\n", 0, text.index(source))
            raise BookError(f"{file}:{opening}: d2lbook finds another code cell here than the one that is written")
    notebook = d2lbook_adapter.split_tab_blocks(notebook)
    left = {}
    for tab in tabs:
        _check_text(notebook, blocks, file, tab)
        mine = [cell for cell in cells if not cell.is_menu and cell.is_for(tab)]
        left[tab] = [(cell, _check_code(cell, tab)) for cell in mine]
    for tab, mine in left.items():
        if mine and not any(made for _, made in mine):
            raise BookError(
                f"{file}:{mine[0][0].block.first}: of this and all other cells, d2lbook would leave nothing for {tab}: "
                "name in their marks the frameworks that they are for, like %%tab pytorch, jax"
            )


def _check_text(notebook: NotebookNode, blocks: list[Block], file: str, tab: str) -> None:
    texts = [block for block in blocks if block.kind != "cell" and (not block.tabs or tab in block.tabs)]
    written = [(number, line.rstrip()) for block in texts for number, line in block.numbered if line.strip()]
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    made = "\n".join(_for_tab(cell, tab) for cell in cells).splitlines()
    made = [line.rstrip() for line in made if line.strip()]
    for (number, line), compiled in itertools.zip_longest(written, made, fillvalue=(texts[-1].first, "")):
        if line != compiled:
            raise BookError(f"{file}:{number}: d2lbook would make {compiled!r} of this text for {tab}")


def _check_code(cell: Cell, tab: str) -> str:
    """Check what d2lbook makes of a cell for a framework, and give it.

    Raises:
        BookError: It does something else than the cell's code.
    """
    code = _taken(cell.tree, tab)
    try:
        text = _for_tab(nbformat.v4.new_code_cell("\n".join(cell.block.lines)), tab)
        made = _parsed(d2lbook_adapter.formatted(text))
    except SyntaxError:  # of half a branch
        made = None
    if made is None or meaning(made) != meaning(code):
        branches = [place for _, place in cell.named("selected")]
        place = branches[0] if branches else f"{cell.file}:{cell.block.first}"
        raise BookError(f"{place}: {WRONG_BRANCH if branches else WRONG_CODE}")
    for (run, below), (after, _) in zip(import_runs(code), import_runs(made), strict=True):
        if order_matters(run, after, below):
            raise BookError(f"{cell.place(run[0])}: {WRONG_IMPORTS}")
    return text.strip()


def _for_tab(cell: NotebookNode, tab: str) -> str:
    """What d2lbook makes of a cell for a framework; one without a mark is for all."""
    try:
        made = d2lbook_adapter.for_tab(nbformat.v4.new_notebook(cells=[cell]), tab)
    except (AssertionError, IndexError):  # of tabs in a branch, and of branches in text
        return ""
    return "\n".join(cell.source for cell in made.cells) if made else ""


def _taken(tree: ast.Module, tab: str) -> ast.Module:
    """A copy of a cell's code with the branches of one framework in their places, and without those of others."""

    class Take(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> Any:
            self.generic_visit(node)
            if not _calls(node.test, "selected"):
                return node
            return node.body if tab in _names(node.test) else []

    return Take().visit(copy.deepcopy(tree))
