"""The PDFs: what is missing is named, a failure keeps the last good one, and each has its framework's part only."""

import copy
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from book import pdf
from book.errors import BookError
from book.files import BUILD, ROOT
from book.frameworks import FRAMEWORKS
from book.latex_floats import protect_citations
from book.section import Executed
from book.verbs import run_here

# A formula, and what reads a file, runs a program, and ends what is around it.
LATEX = [
    r"$\displaystyle \sum_{i=1}^n x_i$",
    r"$\input{/etc/passwd}$",
    r"$\immediate\write18{touch ran}$",
    r"\end{split}\end{equation*}\newwrite\f\immediate\openout\f=ran.tex \begin{equation*}\begin{split}",
]

Shown = list[Executed]
# Signs that mean something to Sphinx or LaTeX, and signs that few fonts have.
SIGNS = r"""'one' "two" {three} \four ~ # $ % ^ & `five` |six| *seven* eight_ ✓ → × ≤ │┌ 100%|██████▏"""

RAW = "before\u2028\u2028.. raw:: latex\u2028\u2028   after"  # lines for docutils, which would take them for LaTeX


def missing() -> str:
    """What the PDF's tests lack here, in words; empty if nothing."""
    try:
        pdf.check_tools()
    except BookError as error:
        return str(error)
    return "" if shutil.which("pdftotext") else "no pdftotext on this machine (Debian package poppler-utils)"


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program of this name that runs a shell script."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def own_folders(monkeypatch) -> None:
    """The PDFs and what leads to them, away from those of `make pdf`; variables of the environment as they were."""
    monkeypatch.setattr(pdf, "PDF", BUILD / "test_pdf")
    monkeypatch.setattr(pdf, "LATEX", BUILD / "test_latex")
    for variable in ("LATEXOPTS", "LATEXMKOPTS", "MAKEFLAGS", "max_print_line", "openin_any", "openout_any"):
        monkeypatch.setenv(variable, "")


def test_what_is_missing_is_named_before_anything_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("book.build.results", lambda tabs: pytest.fail("ran the notebooks first"))
    assert run_here(["pdf", "pytorch"]) == 1
    message = capsys.readouterr().err
    assert "a PDF needs xelatex, latexmk, rsvg-convert" in message
    install = message.splitlines()[-1].split()
    readme = (ROOT / "README.md").read_text("utf-8")
    assert install[:3] == ["sudo", "apt-get", "install"] and "texlive-xetex" in install
    assert [package for package in install[4:] if package not in readme] == []


def test_only_what_is_missing_is_asked_for(tmp_path, monkeypatch):
    for name in ("xelatex", "rsvg-convert"):
        stand_in(tmp_path, name, "exit 0")
    for name in ("kpsewhich", "fc-list"):
        stand_in(tmp_path, name, "echo found")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BookError, match=r"a PDF needs latexmk, which .*\n.* --no-install-recommends latexmk$"):
        pdf.check_tools()
    stand_in(tmp_path, "latexmk", "exit 0")
    pdf.check_tools()


def test_unknown_tab_is_named_with_the_known_ones(monkeypatch, capsys):
    assert run_here(["pdf", "theano"]) == 1
    assert "TAB='theano': known tabs are pytorch, tensorflow, mxnet, jax" in capsys.readouterr().err


@pytest.mark.parametrize(("tab", "made"), [("mxnet", ["mxnet"]), ("", list(FRAMEWORKS))])
def test_make_pdf_makes_one_tab_or_all(monkeypatch, tab, made):
    recipe = next(line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "$(BOOK) pdf" in line)
    done = []
    monkeypatch.setattr(pdf, "check_tools", lambda: None)
    monkeypatch.setattr("book.build.results", lambda tabs: [])
    monkeypatch.setattr(pdf, "make_pdf", lambda shown, tab: done.append(tab))
    assert run_here(shlex.split(recipe.partition("$(BOOK)")[2].replace("$(TAB)", tab))) == 0
    assert done == made


def test_tables_are_printed_as_text(shown: Shown):
    html = 0
    for notebook in (section.notebook for section in shown):
        before = nbformat.writes(notebook)
        printed = pdf.printable(notebook)
        assert nbformat.writes(notebook) == before
        for old, new in zip(notebook.cells, printed.cells, strict=True):
            for output, kept in zip(old.get("outputs", []), new.get("outputs", []), strict=True):
                html += "text/html" in output.get("data", {})
                assert "text/html" not in kept.get("data", {})
                old_data, data = ({**one.get("data", {}), "text/html": ""} for one in (output, kept))
                for one in (old_data, data):  # without the breaks in long words
                    one["text/plain"] = one.get("text/plain", "").replace("\n", "")
                assert old_data == data
    assert html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<table><tr><td>a</td><td>b</td></tr></table>", r"  -+ -+\n  a   b\n  -+ -+"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div></div>", "This output is not printed: it is HTML without text."),
        (
            "<table><tr><td>" * 400 + "</td></tr></table>" * 400,
            r"This output is not printed: it is HTML nested more than .*",
        ),
    ],
)
def test_html_that_nothing_stands_for_is_printed_as_text(html, text):
    output = nbformat.v4.new_output("display_data", data={"text/html": html})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    (printed,) = pdf.printable(notebook).cells[0].outputs
    assert re.fullmatch(text, printed.data["text/plain"]), printed.data


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("./book.tex:7: Undefined control sequence.\nl.7 \\\\oops\nOutput written", "book.tex:7: Undefined control"),
        ("", "latexmk has no idea"),
    ],
)
def test_failing_latex_keeps_the_last_good_pdf(shown: Shown, tmp_path, monkeypatch, log, message):
    own_folders(monkeypatch)
    stand_in(tmp_path, "rsvg-convert", 'for word; do case $word in --output=*) : >"${word#--output=}" ;; esac; done')
    write_log = f"printf '{log}' >alexnet-executable.log; " if log else ""
    stand_in(tmp_path, "latexmk", f"{write_log}echo latexmk has no idea; exit 12")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    good = BUILD / "test_pdf" / "alexnet-jax.pdf"
    good.parent.mkdir(parents=True, exist_ok=True)
    good.write_text("the last good one")
    with pytest.raises(BookError, match=r"LaTeX failed: _build/test_latex/jax/tex/alexnet-executable\.") as failure:
        pdf.make_pdf(shown, "jax")
    assert message in str(failure.value) and "Output written" not in str(failure.value)
    assert good.read_text("utf-8") == "the last good one"


@pytest.fixture(scope="module")
def text(shown: Shown) -> str:
    """The text of the PDF for PyTorch as it stands on the pages, with more outputs: signs, markup, and formulas."""
    if reason := missing():
        pytest.skip(reason)
    shown = copy.deepcopy(shown)
    lenet = next(section for section in shown if str(section) == "pytorch chapter_cnn/lenet")
    code = lenet.code_cells
    code[-1].outputs.append(nbformat.v4.new_output("stream", name="stdout", text=SIGNS))
    code[0].outputs.append(nbformat.v4.new_output("stream", name="stdout", text=RAW))
    odd = [nbformat.v4.new_output("stream", text=text) for text in ("x" * 4_000, "a\x00b\x1b[1mc")]
    code[0].outputs += [*odd, nbformat.v4.new_output("display_data", data={"image/svg+xml": "<svg><g/></svg>"})]
    code[0].outputs += [nbformat.v4.new_output("display_data", data={"text/latex": latex}) for latex in LATEX]
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_folders(monkeypatch)
        path = pdf.make_pdf(shown, "pytorch")
    return subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True).stdout


def test_latex_has_nothing_to_say(text):
    log = (BUILD / "test_latex" / "pytorch" / "tex" / "alexnet-executable.log").read_text("utf-8", errors="replace")
    assert "Output written on" in log
    assert pdf.FLAW.findall(log) == []


def test_pdf_has_text_references_and_outputs(text):
    words = " ".join(text.split())
    assert "AlexNet, executable: PyTorch" in words
    assert "1.3 Deep Convolutional Neural Networks (AlexNet)" in words
    assert "(Krizhevsky et al., 2012)" in words and "Krizhevsky, A., Sutskever, I., & Hinton, G. E. (2012)" in words
    assert "(Fig. 1.3.1)" in words and "Fig. 1.3.1: Two ways from an image to a class." in words
    assert "43,040,778 parameters" in words and "Recorded on" in words and "smoke run" not in words


def test_pdf_has_its_frameworks_code_and_no_marks_of_the_sources(text):
    assert "nn.LazyConv2d(96, kernel_size=11, stride=4), nn.ReLU()," in text
    for other in ("tf.keras", "npx.set_np", "from flax", "MXNet multiplies a matrix", "Choose a framework above"):
        assert other not in text
    for mark in ("[**", "**]", "(**", "**)", ":numref:", ":cite:", ":label:", "%%tab", "<table"):
        assert mark not in text.replace("(**arguments)", "")


def test_figures_with_a_caption_float_and_outputs_stay(text):
    latex = (BUILD / "test_latex" / "pytorch" / "tex" / "alexnet-executable.tex").read_text("utf-8")
    figures = re.findall(r"\\begin\{figure\}\[(.*?)\](.*?)\\end\{figure\}", latex, re.S)
    assert {("\\caption{" in figure, place) for place, figure in figures} == {(True, "!htbp"), (False, "H")}


def test_citations_may_stand_in_captions():
    cited = r"\caption{Errors (\hyperlink{cite.index:id1}{He \emph{et al.}, 2016}).} \hyperlink{other}{there}"
    protected = protect_citations(cited)
    assert protected == cited.replace(r"\hyperlink{cite", r"\protect\hyperlink{cite")
    assert protect_citations(protected) == protected


def test_table_of_layers_is_whole(text, shown: Shown):
    section = next(section for section in shown if str(section) == "pytorch chapter_cnn/cost")
    data = [output.data for cell in section.notebook.cells for output in cell.get("outputs", []) if "data" in output]
    table = next(data["text/plain"] for data in data if "text/html" in data)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert [line for line in table.splitlines() if " ".join(line.split()) not in lines] == []


def test_word_longer_than_the_page_and_what_is_no_text_are_printed(text):
    assert text.count("x" * 80) == 50
    assert "a\N{REPLACEMENT CHARACTER}bc" in text


def test_formulas_are_all_that_outputs_bring_to_latex(text):
    folder = BUILD / "test_latex" / "pytorch" / "tex"
    latex = (folder / "alexnet-executable.tex").read_text("utf-8")
    assert r"\begin{split}\sum _{i=1}^{n}x_{i}\end{split}" in latex
    for command in (r"\input{/etc", r"\immediate", r"\write18", r"\newwrite", r"\openout"):
        assert command not in latex
    words = " ".join(text.split())
    assert all(formula in words for formula in LATEX[1:3])
    assert "This formula is shown as text: \\input is not among what is known here." in words
    assert list(folder.glob("ran*")) == []


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"\input{/etc/hostname}", "Not reading from /etc/hostname"),
        (r"\input{../outside}", "Not reading from ../outside"),
        (r"\newwrite\f\immediate\openout\f=../outside.tex ", "Not writing to ../outside.tex"),
        (r"\immediate\write18{touch ran}", "runsystem(touch ran)...disabled"),
    ],
)
def test_latex_starts_no_program_and_has_no_files_of_others(tmp_path, latex, said):
    if reason := missing():
        pytest.skip(reason)
    (tmp_path / "tex").mkdir()
    (tmp_path / "outside.tex").write_text("outside")
    text = rf"\documentclass{{article}}\begin{{document}}{latex}x\end{{document}}"
    (tmp_path / "tex" / "book.tex").write_text(text)
    command = ["xelatex", *pdf.LATEX_SETTINGS["LATEXOPTS"].split(), "book"]
    environment = os.environ | pdf.LATEX_SETTINGS
    done = subprocess.run(command, cwd=tmp_path / "tex", env=environment, capture_output=True, text=True, timeout=300)
    log = (tmp_path / "tex" / "book.log").read_text("utf-8", errors="replace")
    assert said in done.stdout + done.stderr + log
    assert (tmp_path / "outside.tex").read_text("utf-8") == "outside" and not (tmp_path / "tex" / "ran").exists()


def test_outputs_are_taken_literally(text):
    assert SIGNS in " ".join(text.split())
    assert ".. raw:: latex" in text
