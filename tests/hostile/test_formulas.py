"""Formulas that code shows get to a page and to LaTeX as mathematics, or as text; and so do those of the sources."""

import json
import os
import re
import shutil
import subprocess

import nbformat
import pypandoc
import pytest
from docutils.core import publish_doctree
from docutils.nodes import literal_block, math_block
from formulas import broken, drawn, good, hostile
from nbconvert import RSTExporter
from sphinx.util.math import wrap_displaymath

from book.errors import BookError
from book.formulas import FORMULA, check_formulas, mathml
from book.sanitize_latex import SYMBOLS, FormulaError, allowed_formula
from book.sanitize_outputs import NO_FORMULA, sanitized

MIME = "text/latex"
COMMAND = re.compile(r"\\[A-Za-z]+")


def made_safe(formulas: list[object]) -> nbformat.NotebookNode:
    """A notebook with these formulas as outputs, as the pages show them."""
    outputs = [nbformat.v4.new_output("display_data", data={"text/plain": "<Latex>"}) for _ in formulas]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    for output, formula in zip(notebook.cells[0].outputs, formulas, strict=True):
        output.data[MIME] = formula  # such as one that is no text, which a kernel may send
    return sanitized(notebook)


def let_through(formulas: list[object]) -> list[str]:
    """What is shown of these formulas as one."""
    return [output.data[MIME] for output in made_safe(formulas).cells[0].outputs if MIME in output.data]


def test_what_is_none_of_mathematics_is_shown_as_text():
    formulas = [*hostile(), *broken()]
    assert len(formulas) > 200
    assert let_through(formulas) == []
    for formula, output in zip(formulas, made_safe(formulas).cells[0].outputs, strict=True):
        *source, note = output.data["text/plain"].split("\n")
        assert note.startswith(NO_FORMULA) and len(note) < 200, formula
        if str(formula).isprintable():  # else with another sign where one is no text
            assert source == [str(formula)[:5_000]]


def test_what_mathematics_needs_is_shown_as_a_formula():
    formulas = list(good())
    plain = [output.data["text/plain"] for output in made_safe(formulas).cells[0].outputs if MIME not in output.data]
    assert plain == []


def test_formulas_drawn_at_random_are_what_they_were_when_they_are_looked_at_again():
    formulas = let_through(list(drawn(2_000, seed=1)))
    assert len(formulas) > 100
    for formula in formulas:
        assert allowed_formula(formula) == formula.removeprefix("$$ ").removesuffix(" $$")
        assert formula.count("{") - formula.count(r"\{") == formula.count("}") - formula.count(r"\}")
    used = set(COMMAND.findall(" ".join(formulas)))
    assert used & {r"\input", r"\write", r"\openout", r"\def", r"\catcode", r"\csname", r"\href", r"\x"} == set()


def test_each_is_one_block_of_its_cell_for_docutils():
    formulas = [
        *hostile(),
        *good(),
        *(formula for formula in broken() if isinstance(formula, str) and formula.isprintable()),
    ]
    notebook = made_safe(formulas)
    text, _ = RSTExporter().from_notebook_node(notebook)
    text = text.replace(".. parsed-literal::", "::")  # as the pages have it
    blocks = publish_doctree(text, settings_overrides={"report_level": 5}).children
    shown = [MIME in output.data for output in notebook.cells[0].outputs]
    assert [type(block) for block in blocks] == [math_block if formula else literal_block for formula in shown]


def test_every_command_is_known_to_the_converter():
    unknown = []
    for symbol in sorted(SYMBOLS):
        try:
            mathml(f"a {symbol} b", inline=False)
        except FormulaError:
            unknown.append(symbol)
    assert unknown == []


def test_those_of_the_sources_are_shown_or_named_by_file_and_line():
    named = 0
    for formula in (formula for formula in (*hostile(), *broken(), *good()) if isinstance(formula, str)):
        try:
            check_formulas(f"Text\nand\n$${formula}$$\n", "chapter.md", first=7)
        except BookError as error:
            named += 1
            assert re.match(
                r"chapter\.md:9: the (formula .+ cannot be shown: .|command \\\w+ stands)", str(error), re.S
            )
    assert named > 200


@pytest.mark.parametrize(
    "text",
    [
        *(r"$\frac{1}$", r"$\left( x$", r"$\begin{matrix} x$", r"$$x^$$", r"$\hat$", r"$x\ $"),
        *(r"\begin{align}x\end{align}", r"\textbf{x}", r"> a \nosuch b", r"* a $x$ \alpha"),
    ],
)
def test_formula_that_lacks_a_part_and_latex_outside_of_formulas_are_named(text):
    with pytest.raises(BookError, match=r"chapter\.md:9: the (formula|command) .* cannot be shown|where pages cannot"):
        check_formulas(f"Text\nand\n{text}\n", "chapter.md", first=7)


def test_code_and_escaped_signs_are_no_latex_outside_of_formulas():
    for text in (
        r"`\alpha` \$ \* \_ \\ $\alpha$",
        "Code:\n\n    \\alpha\n\n\t\\alpha",
        r"$$\begin{matrix}x\end{matrix}$$",
    ):
        check_formulas(text, "chapter.md", first=1)


def test_formulas_of_the_sources_are_those_that_pandoc_finds():
    texts = [
        *(
            "$x$",
            "a$x$b",
            "$x$,$y$",
            "$x$$y$",
            "costs $5 and $6",
            "$20,000 and $30,000",
            "$x$1",
            "1$x$2",
            "$5$",
            "$-x$",
        ),
        *("$ x$", "$x $", "$x\n y$", "$x\n\ny$", "$$x$$", "$$ x $$", "$$\nx\n$$", "$$x\n\ny$$", "a $$ b", "$", "$$"),
        *(
            r"\$x$ and $y$",
            r"$a\$b$",
            r"$x\$",
            r"$x\ $ a $y$",
            "`$x$` and $y$",
            "``$x` $``",
            "$c`d$ `e$f`",
            "$`x`$",
            "$x$ $$y$$",
            "$${x}$$",
        ),
        *(
            "**$x$**",
            "[$x$](a)",
            "# $x$",
            "- $x$\n- $y$",
            "> $x$",
            "(**takes $x$**)",
            "[**$x$**]",
            "$x$-y",
            "$x_i$ is $y_j$",
        ),
    ]
    blocks = json.loads(pypandoc.convert_text("\n\n---\n\n".join(texts), "json", format="markdown"))["blocks"]
    found = [[]]
    for block in blocks:
        if block["t"] == "HorizontalRule":
            found.append([])
        texts_in_json = re.findall(r'"t": "\w+Math"}, ("[^"]*")', json.dumps(block))
        found[-1] += [json.loads(formula).strip() for formula in texts_in_json]
    for text, formulas in zip(texts, found, strict=True):
        mine = [match["inline"] or match["display"] for match in FORMULA.finditer(text)]
        assert [formula.strip() for formula in mine if formula] == formulas, text


def test_browser_shows_all_that_is_let_through_and_nothing_else(page, tmp_path):
    formulas = let_through([*hostile(), *broken(), *good(), *drawn(2_000, seed=3)])
    inside = "\n".join(mathml(formula.strip("$"), inline=False) for formula in formulas)
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>t</title>{inside}", "utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("math").count() == len(formulas) > 200
    assert page.locator("body *:not(math):not(math *)").count() == 0
    assert page.problems == []


def test_latex_takes_all_that_is_let_through(tmp_path):
    """As Sphinx writes it, with the packages of mathematics that Sphinx has, and no rights."""
    if shutil.which("xelatex") is None:
        pytest.skip("no xelatex on this machine (Debian package texlive-xetex)")
    formulas = let_through(
        [*hostile(), *good(), *broken(), *drawn(2_000, seed=2), *(f"a {name} b" for name in SYMBOLS)]
    )
    displays = [wrap_displaymath(formula.strip("$"), None, False) for formula in formulas]
    head = r"\documentclass{report}\usepackage{amsmath,amssymb,fontspec}\begin{document}"
    text = "\n".join([head, *displays, r"\end{document}"])
    (tmp_path / "formulas.tex").write_text(text, "utf-8")
    command = ["xelatex", "-no-shell-escape", "-interaction=nonstopmode", "-file-line-error", "formulas"]
    environment = os.environ | {"openin_any": "p", "openout_any": "p", "max_print_line": "1000"}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    log = (tmp_path / "formulas.log").read_text("utf-8", errors="replace")
    lines = text.split("\n")
    wrong = re.findall(r"^\./formulas\.tex:(\d+): (.*)$", log, re.M)
    assert [f"{message} {lines[int(number) - 1]}" for number, message in wrong] == []
    assert "Output written on" in log
