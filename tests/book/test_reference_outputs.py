"""References are renewed only after what changed was shown and agreed to."""

import copy
import io
import shlex

import nbformat
import pytest
from nbformat import NotebookNode

from book import reference_outputs
from book.files import ROOT
from book.section import Compiled, Executed
from book.verbs import run_here
from d2l.mime import CURVES_MIME, RUN_MIME

pytestmark = pytest.mark.quick

SHAPES = "conv1 (1, 96, 54, 54)\nconv2 (1, 256, 26, 26)\ndense (1, 10)\n"


def stream(text: str) -> NotebookNode:
    """A printed output."""
    return nbformat.v4.new_output("stream", text=text)


def trained(loss: float, words: str = "", **more: object) -> NotebookNode:
    """The last output of a training run, which may say more in words and in its data."""
    run = {"metrics": {"val_loss": loss}, "epochs": 1, "max_epochs": 1, "examples_per_epoch": 256, **more}
    board = {"xlabel": "epoch", "curves": {"val_loss": [[1, loss]]}}
    data = {RUN_MIME: run, CURVES_MIME: board, "text/plain": f"{loss}{words}"}
    return nbformat.v4.new_output("display_data", data)


def executed(name: str, **outputs: NotebookNode) -> NotebookNode:
    """A notebook with a cell of code for each output."""
    cells = [nbformat.v4.new_code_cell(code, outputs=[output]) for code, output in outputs.items()]
    for number, cell in enumerate(cells, 1):
        cell.execution_count, cell.id = number, f"{name}-{number}"
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Text.", id="text"), *cells])


class Terminal(io.StringIO):
    """What a person types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def renew(monkeypatch, tmp_path):
    """Stores references of three sections; gives what runs `make reference` with changed outputs, and the files."""
    stored = {
        name: executed(name, layers=stream(SHAPES), speed=stream("20 images/s"), fit=trained(2.2951))
        for name in ("one", "two", "three")
    }
    now = copy.deepcopy(stored)
    sections = [Compiled(f"chapter_test/{name}", "pytorch", notebook) for name, notebook in stored.items()]
    monkeypatch.setattr("book.reference_numbers.REFERENCES", tmp_path)
    monkeypatch.setattr(reference_outputs, "ROOT", tmp_path)
    monkeypatch.setattr(reference_outputs, "is_installed", lambda tab: True)
    monkeypatch.setattr("book.commands.compile_sections", lambda: sections)
    for section in sections:
        reference_outputs.write_notebook(
            stored[section.name.removeprefix("chapter_test/")], reference_outputs.reference_path(section)
        )

    def run(section: Compiled, profile: str) -> Executed:
        assert profile == "smoke"
        result = now[section.name.removeprefix("chapter_test/")]
        if result is None:
            raise KeyboardInterrupt
        return Executed(section.name, section.tab, result)

    monkeypatch.setattr(reference_outputs, "run", run)

    recipe = next(line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "$(BOOK) reference" in line)

    def renew(write: str = "", stdin: io.StringIO | None = None, section: str = "") -> int:
        arguments = recipe.partition("$(BOOK)")[2].replace("$(WRITE)", write).replace("$(SECTION)", section)
        monkeypatch.setattr("sys.stdin", stdin or io.StringIO())
        return run_here(shlex.split(arguments))

    renew.now = now
    renew.files = lambda: {path.stem: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    return renew


def change(renew) -> None:
    """Other outputs in two sections, and in all of them another speed, which is none."""
    for notebook in renew.now.values():
        notebook.cells[2].outputs = [stream("45 images/s")]
    renew.now["one"].cells[1].outputs = [stream(SHAPES.replace("96", "64"))]
    renew.now["three"].cells[3].outputs = [trained(2.294)]


def test_difference_is_shown_cell_by_cell_in_the_terms_of_the_comparison(renew, capsys):
    change(renew)
    assert renew() == 1
    assert (
        capsys.readouterr().out
        == """\
pytorch chapter_test/one, In [1]:
@@ -1,3 +1,3 @@
 [stdout]
-conv1 (1, 96, 54, 54)
+conv1 (1, 64, 54, 54)
 conv2 (1, 256, 26, 26)

pytorch chapter_test/one: 1 of 3 cells changed
pytorch chapter_test/two: as stored
pytorch chapter_test/three, In [3]:
board 1, val_loss: 2.2951 -> 2.294, more than 0.0002 apart
run 1, final val_loss: 2.2951 -> 2.294, more than 0.0002 apart

pytorch chapter_test/three: 1 of 3 cells changed
"""
    )


@pytest.mark.parametrize(
    ("stdin", "typed", "status", "says"),
    [
        (io.StringIO, "y\n", 1, "nobody is there to ask; make reference WRITE=yes writes these 2 references"),
        (Terminal, "\n", 0, "Nothing is written."),
        (Terminal, "no\n", 0, "Write these 2 references? [y/N] Nothing is written."),
        (Terminal, "", 0, "Nothing is written."),
    ],
)
def test_nothing_is_written_that_nobody_agreed_to(renew, capsys, stdin, typed, status, says):
    change(renew)
    before = renew.files()
    assert renew(stdin=stdin(typed)) == status
    assert says in "".join(capsys.readouterr())
    assert renew.files() == before


@pytest.mark.parametrize(("write", "stdin", "typed"), [("", Terminal, "y\n"), ("yes", io.StringIO, "")])
def test_what_was_agreed_to_is_written_and_nothing_else(renew, write, stdin, typed):
    change(renew)
    before = renew.files()
    assert renew(write, stdin(typed)) == 0
    after = renew.files()
    assert [name for name in before if after[name] != before[name]] == ["one", "three"]
    assert b"64, 54, 54" in after["one"]
    assert b"20 images/s" in after["one"], "an output that passes as equal stays as it was"
    assert renew() == 0, "the new references are not up to date"


def test_one_section_is_run_and_renewed_alone(renew, capsys):
    change(renew)
    before = renew.files()
    assert renew("yes", section="three") == 0
    assert {name for name, content in renew.files().items() if content != before[name]} == {"three"}
    assert "chapter_test/one" not in capsys.readouterr().out
    assert renew("yes", section="four") == 1
    assert "SECTION='four': known sections are one, two, three" in capsys.readouterr().err


def test_interrupt_leaves_all_references(renew, capsys):
    change(renew)
    renew.now["three"] = None
    before = renew.files()
    assert renew("yes") == 130
    assert renew.files() == before
    assert "references are renewed at the end only" in capsys.readouterr().err


def test_cells_that_came_and_went_are_shown_with_their_code(renew, capsys):
    notebook = renew.now["two"]
    notebook.cells[1].source = "layers(2)"
    notebook.cells.append(nbformat.v4.new_code_cell("more", execution_count=4, outputs=[stream("new")]))
    assert renew("yes") == 0
    out = capsys.readouterr().out
    assert "In [1]:\n@@ -1 +1 @@\n-layers\n+layers(2)\n\n" in out
    assert "In [4]:\n@@ -0,0 +1 @@\n+more\n@@ -0,0 +1,2 @@\n+[stdout]\n+new\n" in out


def test_section_without_a_reference_gets_one(renew, capsys, tmp_path):
    before = renew.files()
    (tmp_path / "pytorch" / "chapter_test" / "two.ipynb").unlink()
    assert renew("yes") == 0
    assert "two: has no reference yet" in capsys.readouterr().out
    assert renew.files() == before


def test_other_words_leave_numbers_that_pass_as_equal_as_they_were(renew, capsys):
    """Else a reworded message, renewed on another machine, would make recordings those of an earlier helper."""
    renew.now["two"].cells[3].outputs = [trained(2.29511, " in float32", precision="float32")]
    assert renew("yes") == 0
    assert "two: 1 of 3 cells changed" in capsys.readouterr().out
    (output,) = nbformat.reads(renew.files()["two"].decode(), as_version=4).cells[3].outputs
    assert output.data["text/plain"] == "2.29511 in float32"
    assert output.data[RUN_MIME] == trained(2.2951, precision="float32").data[RUN_MIME]
    assert output.data[CURVES_MIME] == trained(2.2951).data[CURVES_MIME]
