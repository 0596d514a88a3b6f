"""The notebooks that people work in read well in Jupyter."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from book.compile_notebooks import source_notebook
from book.errors import BookError
from book.export_notebooks import export, listing, readable
from book.files import ROOT
from book.section import Section
from book.source import sources


def text_of(source: str, section: str = "chapter_cnn/alexnet") -> str:
    """The source as a notebook of the section shows it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(source)])
    return readable(notebook, section).cells[0].source


def test_no_mark_of_d2lbook_is_left(sections: list[Section]):
    notebooks = [(section.notebook, section.name) for section in sections]
    notebooks += [(source_notebook(source), source.name) for source in sources()]
    for notebook, name in notebooks:
        for cell in readable(notebook, name).cells:
            if cell.cell_type == "markdown":
                marks = r":[a-z_]+:`|:end_tab:|\[\*\*|\(\*\*|\*\*\)|^```[{t].*"
                assert re.findall(marks, cell.source, re.M) == [], name


def test_links_lead_to_notebooks_and_pictures_that_are_there(sections: list[Section]):
    known = {section.name for section in sections}
    for section in sections:
        for cell in readable(section.notebook, section.name).cells:
            for target in re.findall(r"\]\((?!https?:)([^)]+)\)", cell.source if cell.cell_type == "markdown" else ""):
                path = (ROOT / section.name).parent / target
                name = str(path.resolve().relative_to(ROOT).with_suffix(""))
                assert name in known if path.suffix == ".ipynb" else path.exists(), f"{section}: {target}"


def test_contents_list_what_the_framework_has():
    text = "Text.\n\n```toc\n:maxdepth: 2\n\nalexnet\nlenet\n```\n\nMore."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    for names, expected in [(["a/alexnet", "a/lenet"], text), (["a/lenet"], text.replace("alexnet\n", ""))]:
        assert listing(notebook, "a/index", names).cells[0].source == expected
    assert notebook.cells[0].source == text


def test_works_are_named_by_authors_and_year():
    assert text_of("Deep :cite:`krizhevsky2012imagenet,cortes1995support`.") == (
        "Deep (Krizhevsky et al., 2012; Cortes and Vapnik, 1995)."
    )
    assert text_of(":citet:`lowe2004distinctive` did.") == "Lowe, 2004 did."


def test_the_references_are_a_list():
    lines = text_of(":bibliography:`references.bib`", "references").splitlines()
    assert len(lines) == (ROOT / "references.bib").read_text("utf-8").count("\n@") + 1
    work = next(line for line in lines if "One weird trick" in line).replace("\\", "")
    assert work.startswith("- Krizhevsky, A. (2014). One weird trick for parallelizing")


def test_sections_are_linked_and_figures_counted():
    title = "Deep Convolutional Neural Networks (AlexNet)"
    assert text_of("See :numref:`sec_alexnet`.", "chapter_cnn/cost") == f"See [{title}](alexnet.ipynb)."
    assert text_of("See :numref:`sec_alexnet`.", "index") == f"See [{title}](chapter_cnn/alexnet.ipynb)."
    shown = text_of(
        "![Two networks.](../img/alexnet.svg)\n:width:`400px`\n:label:`fig_alexnet`\n\n:numref:`fig_alexnet`"
    )
    picture, caption, reference = shown.split("\n\n")
    assert picture == "![Two networks.](../img/alexnet.svg)"
    number = re.fullmatch(r"\*\*(Figure \d+)\.\*\* Two networks\.", caption)[1]
    assert reference == number


def test_prose_of_one_framework_says_so_where_all_are_together():
    assert text_of("Before.\n\n:begin_tab:`jax`\nIn Flax.\n:end_tab:\n\nAfter.").split("\n\n")[1] == "*jax:* In Flax."


def test_answer_beside_an_exercise_is_folded_up_to_the_end_of_the_exercise():
    exercises = "1. Why?\n\n   **Answer.** Since\n   it is so.\n\n   $$x$$\n1. And why?\n\n   **Answer.** So."
    folded = "   <details><summary>Answer</summary>\n\n   {}\n\n   </details>"
    first, second = folded.format("Since\n   it is so.\n\n   $$x$$"), folded.format("So.")
    assert text_of(exercises) == f"1. Why?\n\n{first}\n\n1. And why?\n\n{second}"


@pytest.mark.parametrize("mark", [":numref:`sec_vgg`", ":cite:`nobody1999`"])
def test_reference_to_nothing_is_named(mark):
    with pytest.raises(BookError, match=re.escape(mark)):
        text_of(f"See {mark}.")


def test_notebook_that_is_compiled_stays_as_it_is(sections: list[Section]):
    section = next(s for s in sections if s.name == "chapter_cnn/alexnet")
    before = nbformat.writes(section.notebook)
    assert nbformat.writes(readable(section.notebook, section.name)) != before
    assert nbformat.writes(section.notebook) == before


def of(code: str) -> nbformat.NotebookNode:
    """A notebook as a source is compiled to, with this code, and a picture shown by another cell."""
    shown = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg>\n</svg>", "text/plain": "one\ntwo"})
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\nText.", id="jax-0"),
        nbformat.v4.new_code_cell(f"import jax\n{code}", id="jax-1"),
        nbformat.v4.new_code_cell("show()", id="jax-2", outputs=[shown]),
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "P"}})


@pytest.fixture
def kept(tmp_path, monkeypatch, capsys) -> Callable[[Callable[[str], str]], list[str]]:
    """Hands a notebook out, changes its file, and hands out another; gives the files kept beside it."""
    monkeypatch.setattr("book.export_notebooks.COMPILED", tmp_path / "compiled")
    monkeypatch.setattr("book.export_notebooks.NOTEBOOKS", tmp_path / "notebooks")

    def kept(change: Callable[[str], str]) -> list[str]:
        path = tmp_path / "notebooks" / "a.ipynb"
        export(of("x = 1"), Path("a.ipynb"))
        changed = change(path.read_text("utf-8"))
        path.write_text(changed, "utf-8")
        export(of("x = 1"), Path("a.ipynb"))
        assert path.read_text("utf-8") == changed, "nothing has changed in the source"
        export(of("x = 2"), Path("a.ipynb"))
        assert "x = 2" in path.read_text("utf-8")
        others = [other for other in path.parent.iterdir() if other != path]
        assert [other.read_text("utf-8") for other in others] in ([], [changed])
        assert ("your version is kept" in capsys.readouterr().out) == bool(others)
        return [other.name for other in others]

    return kept


def saved(change: Callable[[dict], None], **layout: object) -> Callable[[str], str]:
    """A program's way to save a notebook: what it changes in it, and its layout."""

    def save(text: str) -> str:
        notebook = json.loads(text)
        change(notebook)
        return json.dumps(notebook, **layout) + "\n"

    return save


def by_jupyterlab(notebook: dict) -> None:
    notebook["metadata"]["language_info"] = {"name": "python", "version": "3.11.9"}
    notebook["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    for cell in notebook["cells"]:
        cell["metadata"] |= {"editable": True, "slideshow": {"slide_type": ""}, "jupyter": {"outputs_hidden": True}}
        cell["source"] = "".join(cell["source"])
        for output in cell.get("outputs", []):
            output["metadata"] = {"image/svg+xml": {"isolated": True}}


def by_classic_notebook(notebook: dict) -> None:
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]
        cell["metadata"] |= {"collapsed": True, "scrolled": False}
        if cell["cell_type"] == "code":
            cell["execution_count"] = 7


def by_vs_code(notebook: dict) -> None:
    notebook["metadata"] |= {"vscode": {"interpreter": {"hash": "0"}}, "orig_nbformat": 4}
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"{number:08x}"
        cell["attachments"] = {}
        cell["source"] = "".join(cell["source"]).splitlines(keepends=True)
        for output in cell.get("outputs", []):
            output["data"] = {name: "".join(text) for name, text in reversed(output["data"].items())}


def in_windows(notebook: dict) -> None:
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")


def with_blanks(notebook: dict) -> None:
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]) + "\n\n"
    empty = {"cell_type": "code", "id": "empty", "source": [], "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].append(empty)


def without_ids(notebook: dict) -> None:
    for cell in notebook["cells"]:
        del cell["id"]


@pytest.mark.parametrize(
    "save",
    [
        str,
        lambda text: f"{text}\n",
        saved(by_jupyterlab, indent=1, ensure_ascii=False),
        saved(by_classic_notebook, indent=1, sort_keys=True),
        saved(by_vs_code, indent=2),
        saved(without_ids, separators=(",", ":")),
        saved(in_windows),
        lambda text: f"\ufeff{text}",
        saved(with_blanks),
    ],
    ids=[
        "as it is",
        "another line end",
        "JupyterLab",
        "classic",
        "VS Code",
        "without ids",
        "Windows",
        "byte-order mark",
        "blanks",
    ],
)
def test_notebook_that_was_only_opened_and_saved_is_not_kept(kept, save):
    assert kept(save) == []


def edited(change: Callable[[list[dict]], None]) -> Callable[[str], str]:
    return saved(lambda notebook: change(notebook["cells"]), indent=1)


PRINTED = {"output_type": "stream", "name": "stdout", "text": ["1\n"]}


@pytest.mark.parametrize(
    "work",
    [
        edited(lambda cells: cells[1].update(source=["import jax\n", "x = 10"])),
        edited(lambda cells: cells[0].update(source=["My notes."])),
        edited(lambda cells: cells[0].update(attachments={"a.png": {"image/png": "AAAA"}})),
        edited(lambda cells: cells[1].update(outputs=[PRINTED], execution_count=1)),
        edited(lambda cells: cells[2].update(outputs=[])),
        edited(lambda cells: cells[2]["outputs"][0]["data"].update({"text/plain": "three"})),
        edited(lambda cells: cells.append(copy.deepcopy(cells[0]) | {"id": "new"})),
        edited(lambda cells: cells.pop()),
        edited(lambda cells: cells.reverse()),
        edited(lambda cells: cells[0].update(cell_type="raw")),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
    ],
)
def test_notebook_with_other_cells_or_outputs_is_kept(kept, work):
    assert kept(work) == ["a.yours.ipynb"]
