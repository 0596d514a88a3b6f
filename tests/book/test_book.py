"""The build: sources are checked, code decides what runs again, failures and stale recordings are named."""

import asyncio
import contextlib
import copy
import dataclasses
import errno
import itertools
import json
import os
import queue
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from nbconvert.exporters import templateexporter
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book import cache, commands, execute_notebooks, pandoc, recordings
from book.build_lock import alone
from book.cache import cached_notebook, forget
from book.compile_notebooks import TOOLS, compile_sections, compile_source, source_notebook
from book.errors import BookError
from book.execute_notebooks import cell_code, has_to_run, helper_code, run, run_all, run_code, smoke_run, with_outputs
from book.export_notebooks import export
from book.files import BUILD, NOTEBOOKS, ROOT, atomic_write, write_notebook
from book.frameworks import is_installed
from book.notebook_client import _asked_again
from book.pages import HELPER, SHARED, SHARED_INPUTS, STEPS, STORED, TEXTS, _copy_in_place, render
from book.recordings import load_recording, show_results
from book.reference_numbers import numbers_hash, reference_path
from book.section import Compiled, Executed
from book.source import (
    Source,
    check_contents,
    check_names,
    check_pictures,
    check_source,
    check_sources,
    configured_tabs,
    source_files,
)
from book.stale import code_files, contents_hash
from book.truncate_outputs import CHARACTERS, LINES, truncated
from book.verbs import run_here
from book.versions import VERSIONS, chosen_versions
from d2l.data_error import DataError
from d2l.mime import CURVES_MIME, RUN_MIME
from d2l.smoke_profile import Profile

TABS = configured_tabs()


def small_section(*cells: str) -> Compiled:
    """A section of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return Compiled("chapter_test/small", "pytorch", notebook)


def source_file(tmp_path, monkeypatch, text: str):
    """A source with the given text in a repository of its own."""
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    monkeypatch.setattr("book.d2lbook_adapter.ROOT", tmp_path)
    path = tmp_path / "chapter.md"
    path.write_text(text)
    return path


def pins(path: str, python: str = "3.11") -> dict[str, str]:
    """Exact versions in a constraints file, for a version of Python."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / path).read_text("utf-8").splitlines())
    exact = [one for one in map(Requirement, filter(None, lines)) if applies(one, python)]
    assert len({canonicalize_name(one.name) for one in exact}) == len(exact)
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in exact}


def applies(requirement: Requirement, python: str) -> bool:
    """Whether a requirement is one for a version of Python, on Linux."""
    environment = {"python_version": python, "sys_platform": "linux", "platform_machine": "x86_64", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def test_environment_yml_and_constraints_agree():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    listed = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    constraints = pins("constraints.txt")
    exact = dict(line.partition(" ")[0].split("==") for line in listed if "==" in line)
    assert {"d2lbook", "jupyter", "torch", "mxnet", "tensorflow", "matplotlib", "nbval"} <= exact.keys()
    assert {name: constraints.get(name) for name in exact} == exact


@pytest.mark.parametrize(
    ("versions", "python"),
    [(versions, f"3.{minor}") for versions in VERSIONS for minor in (11, 12, 13) if (3, minor) < versions.before],
    ids=lambda value: getattr(value, "name", value),
)
def test_constraints_satisfy_every_requirement_of_the_package(versions, python):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints, extras = pins(versions.file, python), project["optional-dependencies"]
    assert set(TABS) | {"book", "test", "figures"} == set(extras)
    requirements = itertools.chain(project["dependencies"], *(extras[name] for name in versions.fitting(extras)))
    for requirement in (one for one in map(Requirement, requirements) if applies(one, python)):
        version = constraints.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no exact version"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_only_what_mxnet_holds_back_has_two_versions():
    with_mxnet, without = (pins(versions.file) for versions in VERSIONS)
    assert with_mxnet.keys() - without.keys() == {"mxnet", "graphviz"}
    others = {name for name in without.keys() & with_mxnet.keys() if without[name] != with_mxnet[name]}
    assert others == {"numpy", "jax", "jaxlib", "flax", "ml-dtypes"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "# T\n\n```{.python .input}\n%%tab pytorch, caffe\nx\n```\n",
            "chapter.md:4: unknown tab 'caffe'; known are pytorch, tensorflow, mxnet, jax, all",
            marks=pytest.mark.fault("A cell names an unknown tab"),
        ),
        ("```{.python .input}\n%%tab all\nif tab.selected('keras'):\n```\n", "chapter.md:3: unknown tab 'keras'"),
        ("text\n:begin_tab:`chainer`\ntext\n:end_tab:\n", "chapter.md:2: unknown tab 'chainer'"),
        pytest.param(
            "text\n\n```{.python .input}\n%%tab all\nx\n",
            "chapter.md:3: the code fence ``` that opens here is never closed",
            marks=pytest.mark.fault("A code fence is not closed"),
        ),
        ("```{.python .input}\nx\n\n```{.python .input}\ny\n```\n", "chapter.md:1: the code fence ``` that opens"),
        ("```{.python .input}\nx\n\ntext\n\n```toc\na\n```\n", "chapter.md:1: the code fence ``` that opens"),
        ("```{.python .input}\n# @tab caffe\n```\n", "chapter.md:2: unknown tab 'caffe'"),
        ("```{.python .input}\n%%tab\n```\n", "chapter.md:2: unknown tab ''"),
        ("```{.python .input}\ntab.interact_select(['keras'])\n```\n", "chapter.md:2: unknown tab 'keras'"),
        pytest.param(
            ":begin_tab:`mxnet`\ntext\n",
            "chapter.md:1: the tab block that begins here never ends",
            marks=pytest.mark.fault("A tab block is never ended"),
        ),
        ("text\n[**marked\n", "chapter.md:2: the slide mark [** that opens here is never closed by **]"),
        ("text\n:end_tab:\n", "chapter.md:2: a tab block ends that never began"),
        pytest.param(
            "# T\n\nThe mean\n$\\nosuch{1}$ is\n",
            r"chapter.md:4: the formula \nosuch{1} cannot be shown: Unknown LaTeX command: nosuch",
            marks=pytest.mark.fault("A formula has a command that pages do not know"),
        ),
        (
            "# T\n\n$x_1$ and\n\n$$\n\\frac{1}{\n$$\n",
            r"chapter.md:5: the formula \frac{1}{ cannot be shown: its braces are not in pairs",
        ),
        ("# T\n\n$x}$\n", "chapter.md:3: the formula x} cannot be shown: its braces are not in pairs"),
        ("# T\n\n$^2$\n", "chapter.md:3: the formula ^2 cannot be shown: the converter to MathML cannot read it"),
    ],
)
def test_malformed_source_is_named_by_file_and_line(tmp_path, monkeypatch, sees, text, message):
    path = source_file(tmp_path, monkeypatch, text)
    with pytest.raises(BookError, match=re.escape(message)) as caught:
        check_source(Source.read(path), TABS)
    sees(str(caught.value))


CELL = "```{.python .input}\nx = 1\n```\n"


def code(*lines: str) -> str:
    """A code cell in a source."""
    return "\n".join(["```{.python .input}", *lines, "```", ""])


def menu(*tabs: str) -> str:
    """The cell in which one picks a framework."""
    return code("%load_ext d2lbook.tab", f"tab.interact_select({list(tabs)})")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(
            CELL.replace("1\n```", "1\n``` "),
            3,
            "not every program takes '``` ' for the end of the code that begins in chapter.md:1",
            marks=pytest.mark.fault("Blanks stand behind a code fence"),
        ),
        (CELL.replace("}", "} "), 1, "d2lbook takes no code from a fence like '```{.python .input} '"),
        (f"# T\n\n {CELL}", 3, "d2lbook takes no code from a fence like ' ```{.python .input}'"),
        (f"- a\n- {CELL}", 2, "d2lbook takes no code from a fence like '- ```{.python .input}'"),
        (f"> {CELL}", 1, "d2lbook takes no code from a fence like '> ```{.python .input}'"),
        ("~~~{.python .input}\nx\n~~~\n", 1, "d2lbook takes no code from a fence like '~~~{.python .input}'"),
        pytest.param(
            CELL.replace("```", "\xa0```"),
            1,
            r"d2lbook takes no code from a fence like '\xa0```{.python .input}'",
            marks=pytest.mark.fault("A blank that nobody sees stands before the fences of a cell"),
        ),
        *(
            (
                f"T\n{CELL.replace('```', f'{blank}```')}",
                2,
                f"d2lbook takes no code from a fence like {blank + '```'!r}"[:-1],
            )
            for blank in ("\u3000", "\u2009", "\u200b", "\u200d", "\u200e", "\xad", "\ufeff", "| ", "\\")
        ),
        *(
            (CELL.replace("```", fence), 1, "no code cell begins here: one begins with a line ```{.python .input}")
            for fence in ("Text: ```", "``", "\xb4\xb4\xb4", "'''", "")
        ),
        ("```x``` is code\n", 1, "d2lbook takes no code from a fence like '```x``` is code'"),
        (CELL.replace("\n```", "\n ```"), 3, "not every program takes ' ```' for the end"),
        ("```\n````\nx\n````\n```\n", 2, "not every program takes '````' for the end"),
        (CELL.replace(" .input", ""), 1, "{.python} is not known; a code cell begins with ```{.python .input}"),
        (CELL.replace("}", " x=1}"), 1, "{.python .input x=1} is not known"),
        (CELL.replace("{.python .input}", "input"), 1, "d2lbook finds another code cell here"),
        pytest.param(
            CELL[:-1],
            3,
            "the file ends without a line end, so d2lbook would not see this fence",
            marks=pytest.mark.fault("A file ends in a code fence without a line end"),
        ),
        (f"```{{.python .input}}\n```\n\n{CELL}", 1, "there is nothing between this code fence and its end"),
        (f"\ufeff{CELL}", 1, "begins with a byte-order mark; save it as UTF-8 without one"),
        pytest.param(
            "# T\n\nn\u00e4chste\n".encode("latin-1"),
            3,
            "the byte 0xe4 is not UTF-8; save the file as UTF-8",
            marks=pytest.mark.fault("A source has another encoding"),
        ),
        (CELL.encode("utf-16"), 1, "the byte 0xff is not UTF-8"),
        (f"T\f\n\n{CELL}", 1, "the character '\\x0c' is no text"),
        ("", 1, "the file is empty"),
        pytest.param(
            code("s = '''", "```", "text", "```", "'''"),
            2,
            "this cell is no Python: unterminated triple-quoted string",
            marks=pytest.mark.fault("A line of three backticks stands in a string of a cell"),
        ),
        (f"<!--\n{CELL}-->\n", 2, "d2lbook does not see that this is part of the HTML that begins in chapter.md:1"),
        (f"<div>\n{CELL}", 2, "d2lbook does not see that this is part of the HTML that begins in chapter.md:1"),
        pytest.param(
            "- a\n\n    its second paragraph\n",
            3,
            "d2lbook takes for code what is indented by four blanks or more below an empty line",
            marks=pytest.mark.fault("An item of a list has a second paragraph, indented by four blanks"),
        ),
        ("- a\n\n\t- b\n", 3, "d2lbook takes for code what is indented"),
        (f"{CELL}\n  - a\n  - b\n", 5, "d2lbook would make '- a' of this text"),
        pytest.param(
            "# T\n\nAs in `f(**x)`.\n",
            3,
            "d2lbook takes (** for a slide mark in code, too",
            marks=pytest.mark.fault("Code in the text has the signs of a slide mark"),
        ),
        ("`f(**x)` and `g(x**)`\n", 1, "d2lbook takes (** for a slide mark in code, too"),
        ("```python\nf(**x)\n```\n", 2, "d2lbook takes (** for a slide mark in code, too"),
        ("a (see **b**)\n", 1, "d2lbook takes **) for the end of a slide mark, but none is open"),
        ("[**a [**b**]**]\n", 1, "d2lbook takes no slide marks like those below"),
        ("[** **]\n", 1, "d2lbook takes no slide marks like those below: a sentence in them is empty"),
        (f"[**a\n\n{CELL}\nb**]\n", 1, "the slide mark [** that opens here is never closed by **]"),
        (" :begin_tab:`jax`\na\n:end_tab:\n", 1, "a tab block begins with a line :begin_tab:`NAME`"),
        (":begin_tab:`jax` a\nb\n:end_tab:\n", 1, "a tab block begins with a line :begin_tab:`NAME`"),
        (":begin_tab:`jax`\n:end_tab:\n", 1, "there is nothing in this tab block"),
        (f":begin_tab:`jax`\n{CELL}:end_tab:\n", 2, "a code cell inside the tab block that begins in chapter.md:1"),
        (":begin_tab:`jax`\na\nas if %%tab pytorch\n:end_tab:\n", 3, "d2lbook would make ':end_tab:' of this text"),
        (":begin_tab:`jax`\n```\n:end_tab:\n```\n:end_tab:\n", 3, "d2lbook takes this for the begin or end"),
        (code("x = 1", "%%tab jax"), 3, "a cell's mark is its first line, like %%tab pytorch, jax"),
        (code("x = 1  # @tab jax"), 2, "a cell's mark is its first line"),
        (code("%%tab\tjax", "x = 1"), 2, "a cell's mark is its first line"),
        pytest.param(
            code("%%tabs pytorch", "x = 1"),
            2,
            "a cell's mark is its first line, like %%tab pytorch, jax",
            marks=pytest.mark.fault("The mark of a cell is misspelt"),
        ),
        *(
            (code(mark, "x = 1"), 2, "a cell's mark is its first line, like %%tab pytorch, jax")
            for mark in (
                "%tab pytorch",
                "%%pytorch",
                "%%all",
                "#tab pytorch",
                "# tab: pytorch, jax",
                "# Tab all",
                "#@pytorch",
                "%%tab_pytorch",
                "# %tab jax",
                "%%tap pytorch, jax",
                "#@Tap jax",
                "%%\u200btab jax",
            )
        ),
        *(
            (f"{begin}`jax`\na\n{end}\n", 1, "a tab block begins with a line :begin_tab:`NAME`")
            for begin, end in (
                (":begin_tabs:", ":end_tabs:"),
                (":begin-tab:", ":end-tab:"),
                (":BEGIN_TAB:", ":END_TAB:"),
                (":begin_tab", ":end_tab"),
                ("begin_tab:", "end_tab:"),
                (":begin tab:", ":end tab:"),
                (":begin_tap:", ":end_tap:"),
                (":start_tab:", ":stop_tab:"),
                ("\uff1abegin_tab\uff1a", "\uff1aend_tab\uff1a"),
            )
        ),
        (":begin_tab:`jax`\na\n:end_tabs:\n", 3, "a tab block begins with a line :begin_tab:`NAME`"),
        *(
            (code(*lines), len(lines) + 1, "d2lbook does not see that this asks for the framework")
            for lines in (
                ["x = 1", "T = tab"],
                ["x = 1", "from d2lbook import tab as T"],
                ["import d2lbook.tab"],
                ["x = Tab.selected('jax')"],
                ["x = tab.select('jax')"],
                ["x = tab.tab == 'jax'"],
                ["x = getattr(tab, 'selected')('jax')"],
            )
        ),
        (code("%%tab all, jax", "x = 1"), 2, "`all` stands alone"),
        (code("x = 1") + code("%%tab jax", "x = 1"), 2, "a cell for all frameworks, or for one?"),
        pytest.param(
            code("x = 1") + code("y = 1", "from numpy import *", "from math import *"),
            6,
            "d2lbook sorts imports that follow each other, which would change what these do",
            marks=pytest.mark.fault("Two imports with a star follow each other, which d2lbook sorts"),
        ),
        (code("from b import x", "from a import x"), 2, "d2lbook sorts imports"),
        (code("from a import x", "import c as x"), 2, "d2lbook sorts imports"),
        (code("from a import x", "from b import x", "from a import x"), 2, "d2lbook sorts imports"),
        (code("from a import *", "import b"), 2, "d2lbook sorts imports"),
        (code("def f():", "    from b import x", "    from a import x"), 3, "d2lbook sorts imports"),
        (code("import sys", "sys.path.insert(0, 'x')", "import b", "import a"), 4, "d2lbook sorts imports"),
        (code("s = '''", "a  ", "'''"), 2, "d2lbook would compile this cell to other code"),
        (code("if mytab.selected('jax'):", "    x = 1"), 2, "d2lbook would compile this cell to other code"),
        (code("x = 1", "if d2l.USE_JAX:", "    x = 2"), 2, "d2lbook would compile this cell to other code"),
    ],
)
def test_what_d2lbook_would_take_for_something_else_is_named_by_file_and_line(
    tmp_path, monkeypatch, sees, text, line, message
):
    path = source_file(tmp_path, monkeypatch, "")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BookError, match=re.escape(f"chapter.md:{line}: {message}")) as caught:
        check_source(Source.read(path), TABS)
    sees(str(caught.value))


@pytest.mark.parametrize(
    ("line", "cell"),
    [
        pytest.param(
            2,
            ["if not tab.selected('jax'):", "    x = 1"],
            marks=pytest.mark.fault("A branch asks for `not tab.selected`"),
        ),
        (2, ["if tab.selected('jax') and y:", "    x = 1"]),
        (2, ["if tab.selected('jax') or y:", "    x = 1"]),
        (5, ["if tab.selected('jax'):", "    x = 1", "else:", "    x = 2"]),
        (4, ["if tab.selected('jax'):", "    x = 1", "elif tab.selected('mxnet'):", "    x = 2"]),
        (4, ["if y:", "    x = 1", "elif tab.selected('mxnet'):", "    x = 2"]),
        (2, ["if tab.selected('jax'): x = 1"]),
        (2, ["if tab.selected(", "        'jax'):", "    x = 1"]),
        (3, ["x = 1", "y = tab.selected('jax')"]),
        (2, ["x = 1 if tab.selected('jax') else 2"]),
        (2, ["f'{tab.selected(\"jax\")}'"]),
        (2, ["f = tab.selected"]),
        (2, ["while tab.selected('jax'):", "    x = 1"]),
        (2, ["if tab.selected('jax'):", "  x = 1"]),
        (2, ["if tab.selected('jax'):", "\tx = 1"]),
        (2, ["if tab.selected('jax'):", "    s = '''", "a", "    '''"]),
        (2, ["if tab.selected('jax'):", "    x = 1", "# why", "    y = 1"]),
        (2, ["if tab.selected('jax'):  # not 'mxnet'", "    x = 1"]),
        (3, ["def f():", "    if tab.selected('jax'):", "        return 1"]),
        (
            2,
            [
                "if tab.selected('jax', 'mxnet'):",
                "    x = 1",
                "    if tab.selected('jax'):",
                "        y = 1",
                "    z = 1",
            ],
        ),
    ],
)
def test_branch_that_d2lbook_would_compile_wrongly_is_named_by_file_and_line(tmp_path, monkeypatch, sees, line, cell):
    path = source_file(tmp_path, monkeypatch, code(*cell))
    message = (
        f"chapter.md:{line}: d2lbook would compile this branch to other code: write `if tab.selected('NAME'):` alone"
    )
    with pytest.raises(BookError, match=f"^{re.escape(message)}") as caught:
        check_source(Source.read(path), TABS)
    sees(str(caught.value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            menu("pytorch", "jax") + code("%%tab pytorch", "x = 1"),
            "chapter.md:3: the menu names jax, but there is no cell for it",
            marks=pytest.mark.fault("A menu names a framework that has no cell"),
        ),
        (
            menu("pytorch", "jax") + code("%%tab pytorch", "if tab.selected('jax'):", "    x = 1"),
            "chapter.md:7: a branch for jax, but the mark of this cell does not name jax",
        ),
        pytest.param(
            menu("pytorch", "jax") + code("%%tab all", "if tab.selected('pytorch'):", "    x = 1"),
            "chapter.md:6: of this and all other cells, d2lbook would leave nothing for jax",
            marks=pytest.mark.fault("All cells of a section are for other frameworks than one that its menu names"),
        ),
        (
            code("if tab.selected('jax'):", "    x = 1"),
            "chapter.md:2: of this and all other cells, d2lbook would leave",
        ),
        (code("%%tab all"), "chapter.md:2: there is nothing below the mark of this cell"),
        (code("%%tab jax", "", ""), "chapter.md:2: there is nothing below the mark of this cell"),
        (f"# T\n\n{menu('jax')}", "chapter.md:5: the menu names jax, but there is no cell for it"),
        (
            menu("jax") + code("%%tab jax, mxnet", "x = 1"),
            "chapter.md:6: this is for mxnet, which the menu in chapter.md:3 does not name",
        ),
        (
            f"{menu('jax')}:begin_tab:`mxnet`\na\n:end_tab:\n{CELL}",
            "chapter.md:5: this is for mxnet, which the menu in chapter.md:3 does not name",
        ),
        (menu("jax") + menu("jax") + CELL, "chapter.md:7: a second menu; the first is in chapter.md:3"),
        (
            code("%load_ext d2lbook.tab", "import os", "tab.interact_select('jax')") + CELL,
            "chapter.md:3: beside %load_ext",
        ),
        (
            code("tab.interact_select('jax')") + CELL,
            "chapter.md:2: %load_ext d2lbook.tab and, below it, tab.interact_select",
        ),
        (
            code("%load_ext d2lbook.tab") + CELL,
            "chapter.md:2: %load_ext d2lbook.tab and, below it, tab.interact_select",
        ),
        (
            code("%load_ext d2lbook.tab", "tab.interact_select(", "    'keras')") + CELL,
            "chapter.md:3: unknown tab 'keras'; known are pytorch",
        ),
        (
            code("%load_ext d2lbook.tab", "tab.interact_select(TABS)") + CELL,
            "chapter.md:3: the frameworks have to be written here",
        ),
    ],
)
def test_menu_and_cells_that_do_not_agree_are_named_by_file_and_line(tmp_path, monkeypatch, sees, text, message):
    path = source_file(tmp_path, monkeypatch, text)
    with pytest.raises(BookError, match=f"^{re.escape(message)}") as caught:
        check_source(Source.read(path), TABS)
    sees(str(caught.value))


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        (CELL, {tab: ["x = 1"] for tab in TABS}),
        (code("%%tab all", "x = 1"), {tab: ["x = 1"] for tab in TABS}),
        (f"{CELL}:begin_tab:`jax`\na\n:end_tab:\n", {tab: ["x = 1"] for tab in TABS}),
        (menu("jax", "mxnet") + CELL, {"mxnet": ["x = 1"], "jax": ["x = 1"]}),
        (code("%%tab all", "x = 1") + code("#@tab mxnet", "y"), {"mxnet": ["x = 1", "y"]}),
        (CELL.replace("\n", "\r\n"), {tab: ["x = 1"] for tab in TABS}),
        (CELL.replace("{.python .input}", " {.python .input  n=1}"), {tab: ["x = 1"] for tab in TABS}),
        (f"````\n{CELL}````\n", {tab: [] for tab in TABS}),
        (
            "````{.python .input}\ns = '''\n```\n'''\n````\n",
            {tab: ["s = '''\n```\n'''"] for tab in TABS},
        ),
        (":begin_tab:`jax`\n```bash\npip\n```\n:end_tab:\n- a\n    - b\n\n   c\n", {tab: [] for tab in TABS}),
        (
            code("%matplotlib inline", "import b.d", "import a", "from c import z, y", "import b.c", "from c import y"),
            {tab: ["%matplotlib inline\nimport a\nimport b.c\nimport b.d\nfrom c import y, z"] for tab in TABS},
        ),
        (
            code("x = 1", "from a import z, y", "from b import x"),
            {tab: ["x = 1\nfrom a import y, z\nfrom b import x"] for tab in TABS},
        ),
        (
            code("# tab completion", "for tab in tables:  # tabs", "    tab.select(x % tab)  # @save"),
            {tab: ["# tab completion\nfor tab in tables:  # tabs\n    tab.select(x % tab)  # @save"] for tab in TABS},
        ),
        (
            code("%%tab all", "if tab.selected('mxnet'):", "    x = 1") + code("%%tab mxnet, jax", "y"),
            {"mxnet": ["x = 1", "y"], "jax": ["y"]},
        ),
        (code("!ls", "%time f?", "await f()"), {tab: ["!ls\n%time f?\nawait f()"] for tab in TABS}),
        (
            menu("jax", "mxnet")
            + code("%%tab all", "def f():", "    if tab.selected('jax'):", "        x = 1", "    y"),
            {"mxnet": ["def f():\n    y"], "jax": ["def f():\n    x = 1\n    y"]},
        ),
    ],
)
def test_cells_of_a_source_are_in_the_notebooks_of_their_frameworks(tmp_path, monkeypatch, text, cells):
    path = source_file(tmp_path, monkeypatch, "")
    path.write_bytes(text.encode())
    (tmp_path / "config.ini").write_text(f"[build]\ntabs = {', '.join(TABS)}\n")
    (tmp_path / "index.md").write_text("# T\n")
    notebooks = {tab: compile_source(Source.read(path), tab) for tab in TABS}
    found = {tab: [cell.source for cell in compiled.code_cells] for tab, compiled in notebooks.items() if compiled}
    assert found == cells


def test_cell_whose_names_d2lbook_cannot_replace_is_named_by_file_and_line(tmp_path, monkeypatch, sees):
    path = source_file(tmp_path, monkeypatch, code("x = d2l.reshape(x, 3)", "!ls"))
    (tmp_path / "config.ini").write_text((ROOT / "config.ini").read_text("utf-8"), "utf-8")
    (tmp_path / "index.md").write_text("# T\n")
    with pytest.raises(BookError, match=r"^chapter.md:3: d2lbook cannot replace names such as d2l.reshape") as caught:
        compile_source(Source.read(path), "pytorch")
    sees(str(caught.value))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("chapter_a/b.MD", "# B\n", "chapter_a/b.MD: a Markdown file, but no source of the book"),
        ("chapter_a/c/b.md", "# B\n", "chapter_a/c/b.md: a Markdown file, but no source of the book"),
        ("chapter_a/b c.md", "# B\n", "chapter_a/b c.md: the name of a source has letters, digits, dots, - and _ only"),
        pytest.param(
            "chapter_a/b.md",
            "# B\n",
            "chapter_a/b.md:1: in no table of contents: list it between ```toc and ``` of another source",
            marks=pytest.mark.fault("A section is in no table of contents"),
        ),
        ("chapter_a/a.md", "a\n", "chapter_a/a.md:1: no title: a line that begins with `# `"),
        ("chapter_a/a.md", code("# a comment"), "chapter_a/a.md:1: no title: a line that begins with `# `"),
        ("index.md", "# T\n\n```toc\nchapter_a/b\n```\n", "index.md:4: the table of contents names b, but there is no"),
        ("index.md", None, "index.md: there is no such file, with which a book begins"),
        ("config.ini", "[build]\ntabs\n", "config.ini"),
    ],
)
def test_source_that_would_be_passed_over_is_named(tmp_path, monkeypatch, sees, name, text, message):
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    (tmp_path / "chapter_a" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "chapter_a" / "c").mkdir()
    sources = {
        "config.ini": f"[build]\ntabs = {', '.join(TABS)}\n",
        "index.md": "# T\n\n```toc\n:maxdepth: 2\n\nchapter_a/a\n```\n",
        "chapter_a/a.md": "# A\n",
        "chapter_a/._a.md": "what an archive of another system leaves",
        "chapter_a/.ipynb_checkpoints/a-checkpoint.md": "what Jupyter keeps",
    }
    for path, content in sources.items():
        (tmp_path / path).write_text(content)
    check_sources()
    check_contents()
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    with pytest.raises(BookError, match=re.escape(message)) as caught:
        check_sources()
        check_contents()
    sees(str(caught.value))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param(
            "# Two\n\n![A net.](net.svg)\n:label:`sec_one`\n",
            "two.md:4: the label 'sec_one' is already that of one.md:2",
            marks=pytest.mark.fault("Two things have the same label"),
        ),
        pytest.param(
            "# Two\n\nSee :numref:`sec_one`\nand :numref:`sec_three`.\n",
            "two.md:4: a reference to 'sec_three', but nothing has this label",
            marks=pytest.mark.fault("A reference leads to nothing"),
        ),
        pytest.param(
            "# Two\n\nAs in :cite:`lecun1998,nobody1999`.\n",
            "two.md:3: a citation of 'nobody1999', but references.bib has no such entry",
            marks=pytest.mark.fault("A citation has no entry in the bibliography"),
        ),
    ],
)
def test_name_that_is_taken_or_leads_nowhere_is_named_by_file_and_line(tmp_path, monkeypatch, sees, second, message):
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    (tmp_path / "references.bib").write_text("@article{lecun1998,\n  title = {Gradient-based learning},\n}\n")
    paths = [tmp_path / "one.md", tmp_path / "two.md"]
    paths[0].write_text("# One\n:label:`sec_one`\n\nAs in :citet:`lecun1998`.\n")
    paths[1].write_text("# Two\n\nSee :numref:`sec_one`.\n")
    check_names([Source.read(path) for path in paths])
    paths[1].write_text(second)
    with pytest.raises(BookError, match=f"^{re.escape(message)}$"):
        check_names([Source.read(path) for path in paths])
    sees(message)


@pytest.mark.fault("A picture in the text could run a script")
def test_picture_that_could_run_is_named_by_file_and_line(tmp_path, monkeypatch, sees):
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    path = tmp_path / "chapter_one" / "net.md"
    (tmp_path / "img").mkdir()
    path.parent.mkdir()
    path.write_text("# Net\n\n![One (a net) [1].](../img/net.svg)\n\nAnd ![two](../img/missing.svg).\n")
    head, drawn = '<?xml version="1.0" encoding="UTF-16"?>', "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"
    editors = "<e:view xmlns:e='http://www.inkscape.org/namespaces/inkscape'/><path d='M 0 0'/>"
    (tmp_path / "img" / "net.svg").write_text(head + drawn.format(editors), "utf-16")
    check_pictures([Source.read(path)])
    (tmp_path / "img" / "net.svg").write_text(drawn.format("<script>run()</script>"))
    with pytest.raises(BookError) as caught:
        check_pictures([Source.read(path)])
    message = str(caught.value)
    assert message.startswith(
        "chapter_one/net.md:3: the picture ../img/net.svg does more than draw: it has the element script"
    )
    sees(message)


def test_unknown_tab_in_config_is_named_by_file_and_line(tmp_path, monkeypatch):
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    (tmp_path / "config.ini").write_text("[build]\n# comment\ntabs = pytorch, caffe\n")
    with pytest.raises(BookError, match=r"config.ini:3: unknown tab 'caffe'; known are pytorch, tensorflow, mxnet"):
        configured_tabs()


def test_every_section_compiles_for_every_tab_without_marks(sections):
    with_code = [path for path in ROOT.glob("chapter_*/*.md") if "{.python" in path.read_text("utf-8")]
    names = {f"{path.parent.name}/{path.stem}" for path in with_code}
    assert {(s.name, s.tab) for s in sections if s.code_cells} == {(name, tab) for name in names for tab in TABS}
    for section in sections:
        for cell in section.code_cells:
            assert not re.search(r"%%tab|tab\.selected|load_ext", cell.source)


# Names by which a text for some tabs can be told from one for others.
LIBRARIES = {"pytorch": "PyTorch", "tensorflow": "TensorFlow|Keras", "mxnet": "MXNet|Gluon", "jax": "JAX|Flax|Optax"}


def test_text_for_a_tab_is_of_no_other_framework():
    blocks = re.compile(r"^:begin_tab:`([^`]*)`(.*?)^:end_tab:", re.M | re.S)
    texts = [match for path in source_files() for match in blocks.findall(path.read_text("utf-8"))]
    assert texts
    for tabs, text in texts:
        named = {tab for tab, names in LIBRARIES.items() if re.search(rf"\b(?:{names})\b", text)}
        assert named <= set(re.split(", *", tabs)), text


@pytest.mark.parametrize("tab", TABS)
def test_source_opened_as_a_notebook_runs_in_the_framework_picked(tab):
    if not is_installed(tab):
        pytest.skip(f"the framework of the {tab} tab is not installed here")
    notebook = source_notebook(Source.read(ROOT / "chapter_cnn" / "alexnet.md"))
    menu, *cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert f"tab.interact_select({TABS})" in menu.source
    # What the menu calls when a person picks an entry; the first one is chosen from the start.
    picked = [nbformat.v4.new_code_cell(f"tab.select_tab({tab!r})")] if tab != TABS[0] else []
    # Training is the notebook tests' part.
    notebook.cells = [menu, *picked, *(cell for cell in cells if "trainer.fit" not in cell.source)]
    executed = run(Compiled("chapter_cnn/alexnet", "all", notebook), "smoke").notebook
    text = "".join(output.get("text", "") for cell in executed.cells for output in cell.outputs)
    assert "output shape: (1, 10)" in text
    assert "43,040,778 parameters" in text


def test_references_are_what_the_sources_compile_to_now(sections):
    assert set((ROOT / "tests" / "reference").rglob("*.ipynb")) == {
        reference_path(section) for section in sections if section.code_cells
    }
    for section in sections:
        if section.code_cells:
            stored = nbformat.read(reference_path(section), as_version=4)
            code = [cell.source for cell in stored.cells if cell.cell_type == "code"]
            assert code == [cell.source for cell in section.code_cells], (
                f"{section}: the reference is stale, renew it with make reference"
            )


def test_prose_does_not_count_as_code_and_one_tab_does_not_touch_the_others(sections):
    before = {s.tab: run_code(s) for s in sections if s.code_cells}
    changed = {}
    for section in sections:
        if section.code_cells:
            markdown = next(cell for cell in section.notebook.cells if cell.cell_type == "markdown")
            old, markdown.source = markdown.source, markdown.source + " One more word."
            changed[section.tab] = run_code(section)
            markdown.source = old
    assert changed == before
    assert len(set(before.values())) == len(TABS)


def test_a_section_is_run_again_when_its_code_or_the_helper_has_changed_and_for_nothing_else(tmp_path, monkeypatch):
    runs, helper = [], {"pytorch": "a", "jax": "a"}

    def fake_run(clients, profile, ended, at_a_time):
        for number, client in enumerate(clients):
            runs.append(profile)
            client.nb.cells[-1].outputs = [nbformat.v4.new_output("stream", text=f"run {len(runs)}")]
            ended(number, None)

    def result(*cells, tab="pytorch", prose="Text."):
        section = dataclasses.replace(small_section(*cells), tab=tab)
        section.notebook.cells.insert(0, nbformat.v4.new_markdown_cell(prose))
        assert run_all([section] if has_to_run(section) else []) == []
        shown = with_outputs(section, smoke_run(section)).notebook
        assert shown.cells[0].source == prose
        return shown.cells[-1].outputs[0].text

    monkeypatch.setattr(cache, "CACHE", tmp_path)
    monkeypatch.setattr(execute_notebooks, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(execute_notebooks, "run_clients", fake_run)
    monkeypatch.setattr(execute_notebooks, "helper_code", helper.__getitem__)
    assert result("fit()") == result("fit()  # a comment", prose="Another text.") == "run 1"
    assert result("fit(lr=1)") == "run 2"
    assert result("fit()", tab="jax") == "run 3"
    helper["pytorch"] = "b"
    assert result("fit()") == "run 4"
    assert result("fit()", tab="jax") == "run 3"
    assert runs == ["smoke"] * 4


def test_helper_code_ignores_comments_and_other_tabs(tmp_path, monkeypatch):
    helper = tmp_path / "d2l"
    helper.mkdir()
    for name, text in {"core": "x = 1", "torch": "y = 1", "mxnet": "y = 2", "tensorflow": "y = 3"}.items():
        (helper / f"{name}.py").write_text(text + "\n")
    monkeypatch.setattr("book.execute_notebooks.ROOT", tmp_path)
    before = {tab: helper_code(tab) for tab in TABS}
    (helper / "core.py").write_text('"""A docstring."""\n\nx = 1  # a comment\n')
    assert {tab: helper_code(tab) for tab in TABS} == before
    (helper / "mxnet.py").write_text("y = 4\n")
    assert [tab for tab in TABS if helper_code(tab) != before[tab]] == ["mxnet"]
    (helper / "backends" / "jax").mkdir(parents=True)
    (helper / "backends" / "jax" / "data.py").write_text("z = 1\n")
    assert [tab for tab in TABS if helper_code(tab) != before[tab]] == ["mxnet", "jax"]
    (helper / "core.py").write_text("x = 2\n")
    assert all(helper_code(tab) != before[tab] for tab in TABS)


def test_helper_code_covers_folders_and_data(tmp_path, monkeypatch):
    monkeypatch.setattr("book.execute_notebooks.ROOT", tmp_path)
    found = set()
    for name, text in {
        "core.py": "x = 1",
        "layers/conv.py": "x = 1",
        "layers/pool.py": "x = 1",
        "sample/images.gz": "1",
        "sample/deep/images.gz": "2",
    }.items():
        path = tmp_path / "d2l" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for content in (text, f"{text}0"):
            path.write_text(content)
            assert len({helper_code(tab) for tab in TABS}) == 1
            found.add(helper_code("jax"))
    assert len(found) == 10
    (tmp_path / "d2l" / "__pycache__").mkdir()
    (tmp_path / "d2l" / "__pycache__" / "core.pyc").write_text("x")
    assert helper_code("jax") in found


@pytest.mark.parametrize(
    ("name", "text", "same", "other"),
    [
        ("config.ini", "[a]\nb = 1\n  # c\n  2\n", "# d\n[a]\nb = 1\n  2\n; e\n", "[a]\nb = 1 # c\n  2\n"),
        *((versions.file, "a==1\nb==2\n", "# c\n\na==1  # d\nb==2\n", "a==1#\nb==2\n") for versions in VERSIONS),
        ("references.bib", "@a{b,\n t = {c\n% d}\n}\n", "% e\n@a{b,\n t = {c\n% d}\n}\n", "@a{b,\n t = {c\n% e}\n}\n"),
        ("sample/data.txt", "# a\n", "# a\n", "# b\n"),
    ],
)
def test_comments_in_other_files_than_code_make_nothing_stale(tmp_path, name, text, same, other):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    hashes = []
    for content in (text, same, other):
        path.write_text(content)
        hashes.append(contents_hash(tmp_path, [path]))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", ["core.py~", "#core.py#", "core.pyc", ".core.py.swp", "core.py.orig", "core.py.bak"])
def test_what_editors_leave_makes_nothing_stale(tmp_path, monkeypatch, name):
    monkeypatch.setattr("book.execute_notebooks.ROOT", tmp_path)
    (tmp_path / "d2l").mkdir()
    (tmp_path / "d2l" / "core.py").write_text("x = 1")
    before = helper_code("jax")
    (tmp_path / "d2l" / name).write_text("x = 2")
    assert helper_code("jax") == before


def test_step_reads_what_it_imports_and_what_that_imports(tmp_path):
    for name, text in {
        "tools/__init__.py": "",
        "tools/step.py": "import os\nfrom .first import f\n\ndef late():\n    import lib.deep as deep",
        "tools/first.py": "from . import second\nfrom lib import third",
        "tools/second.py": "from tools import step",
        "tools/other.py": "from .step import late",
        "lib/__init__.py": "",
        "lib/deep.py": "",
        "lib/third.py": "",
        "lib/fourth.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    tools, lib = (f"tools/{name}.py" for name in ("first", "second", "step")), ("lib/deep.py", "lib/third.py")
    assert code_files(tmp_path, "tools/step.py") == sorted([*tools, *lib, "tools/__init__.py", "lib/__init__.py"])


def test_tool_that_makes_no_page_makes_none_stale():
    inputs = {str(path.relative_to(ROOT)) for name in (*SHARED_INPUTS, *STEPS) for path in ROOT.glob(name)}
    others = {f"book/{name}.py" for name in ("__main__", "commands", "reference")}
    assert not inputs & {*others, "book/pdf.py", "book/slides.py", "img/alexnet.py"}
    assert not {name for name in (*inputs, *TOOLS) if name.startswith("qa/")}
    assert inputs >= {
        "book/syntax.py",
        "book/curves.py",
        "book/truncate_outputs.py",
        "theme/explorer.py",
        "img/alexnet.svg",
    }
    assert inputs >= {
        "book/frameworks.py",
        "d2l/layer_table.py",
        "img/filters.png",
    }  # which the theme and the sources read
    assert not set(TOOLS) & {*others, "book/pages.py", "book/execute_notebooks.py"}


def test_failing_cell_is_named_with_section_tab_number_and_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("book.execute_notebooks.NOTEBOOKS", tmp_path)
    (tmp_path / "pytorch" / "chapter_test").mkdir(parents=True)
    with pytest.raises(BookError) as error:
        run(small_section("x = 1", "x / 0"), "smoke")
    assert "pytorch chapter_test/small: cell 2 of 2 failed" in str(error.value)
    assert "ZeroDivisionError" in str(error.value)


def test_figures_are_the_books_whatever_the_user_has_set_for_other_programs(tmp_path, monkeypatch):
    monkeypatch.setattr("book.execute_notebooks.NOTEBOOKS", tmp_path)
    section = small_section("from matplotlib import pyplot as plt", "plt.plot([1, 2]);")
    expected = run(section, "smoke").notebook.cells[1].outputs
    assert "image/png" in expected[0].data
    (tmp_path / "matplotlibrc").write_text("figure.figsize: 1, 1\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert run(section, "smoke").notebook.cells[1].outputs == expected


@pytest.mark.fault("A cell displays data that no notebook can hold")
@pytest.mark.parametrize("data", ["{'text/plain': 5}", "{'text/plain': 'a', 'video/mp4': [1]}", "{'text/html': None}"])
def test_output_that_no_notebook_can_hold_has_a_note_in_its_place(data, capsys, sees):
    notebook = run(
        small_section("from IPython.display import display", f"display({data}, raw=True)", "1 + 1"), "smoke"
    ).notebook
    (note,), (last,) = (cell.outputs for cell in notebook.cells[1:])
    assert note.text.startswith("This output is not shown: no notebook can hold it, since ")
    assert last.data == {"text/plain": "2"}
    nbformat.validate(notebook)
    assert "Traceback" not in capsys.readouterr().err
    sees(note.text)


@pytest.mark.parametrize("step", ["copytree", "rmtree"])
def test_pages_are_of_one_build_whenever_it_is_stopped(tmp_path, monkeypatch, step):
    html, fresh = tmp_path / "html", tmp_path / "fresh"
    for folder in (html, fresh):
        folder.mkdir()
        for name in "ab":
            (folder / name).write_text(folder.name)

    def copied_in_part(source: Path, target: Path, **options: object) -> None:
        target.mkdir()
        raise KeyboardInterrupt

    def removed_in_part(folder: Path, ignore_errors: bool) -> None:
        if folder.exists():
            (folder / "a").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(f"shutil.{step}", copied_in_part if step == "copytree" else removed_in_part)
        _copy_in_place(fresh, html)
    assert [(html / name).read_text("utf-8") for name in "ab"] in (["html"] * 2, ["fresh"] * 2)
    _copy_in_place(fresh, html)
    assert [(html / name).read_text("utf-8") for name in "ab"] == ["fresh"] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"html", "fresh"}


@pytest.mark.fault("A cell prints megabytes")
def test_cell_that_prints_megabytes_is_shown_in_part(tmp_path, monkeypatch, capsys, sees):
    monkeypatch.setattr("book.execute_notebooks.NOTEBOOKS", tmp_path)
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path)
    section = small_section("'all'", "for i in range(50_000):\n    print(i, 'x' * 60)")
    executed = run(section, "smoke")
    whole = "".join(output.text for output in executed.code_cells[1].outputs)
    assert len(whole) > 3_000_000
    short, long = show_results(executed).code_cells
    assert short.outputs[0].data == {"text/plain": "'all'"}
    *parts, note, _ = (output.get("text", "") for output in long.outputs)
    beginning = "".join(parts)
    assert beginning == "".join(whole.splitlines(keepends=True)[:LINES])
    left_out = f"{len(whole) - len(beginning):,}"
    assert note == f"… {left_out} more characters\n"
    said = capsys.readouterr().out.splitlines()[-1]
    cell = "pytorch chapter_test/small: cell 2"
    assert said == f"{cell} prints too much to be shown; {left_out} characters of it are left out"
    assert "".join(output.text for output in executed.code_cells[1].outputs) == whole
    sees(said)


def test_text_is_cut_where_a_cell_has_had_its_share_and_pictures_stay():
    picture = nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": "x" * 2 * CHARACTERS})
    few, line, many = (
        nbformat.v4.new_output("stream", text="first\n"),
        nbformat.v4.new_output("execute_result", {"text/plain": "x" * 2 * CHARACTERS}),
        nbformat.v4.new_output("stream", name="stderr", text="last\n" * 2 * LINES),
    )
    assert truncated([few, picture]) == ([few, picture], 0)
    shown, left_out = truncated([few, line, picture, many])
    assert left_out == CHARACTERS + len(few.text) + len(many.text)
    assert [output.output_type for output in shown] == ["stream", "execute_result", "stream", "display_data"]
    assert shown[1].data["text/plain"] == "x" * (CHARACTERS - len(few.text))
    assert (shown[2].text, shown[3]) == (f"… {left_out:,} more characters\n", picture)
    assert len(line.data["text/plain"]) == 2 * CHARACTERS


@pytest.mark.parametrize("damaged", [b"", b'{"key": ', b"\0" * 100, b"\xff", b"[]", b"{}"])
def test_what_is_remembered_is_made_again_where_its_file_is_damaged(tmp_path, monkeypatch, damaged):
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    made = []

    def make():
        made.append(nbformat.v4.new_notebook())
        return made[-1]

    for _ in range(2):
        cached_notebook("a", ["text"], make)
    assert len(made) == 1
    (tmp_path / "a.json").write_bytes(damaged)
    assert cached_notebook("a", ["text"], make) == made[-1]
    assert len(made) == 2


def test_traceback_is_cut_as_other_texts_are():
    error = nbformat.v4.new_output("error", ename="E", evalue="e", traceback=["first", "x\n" * LINES])
    (shown, note), left_out = truncated([error])
    assert (shown.ename, shown.traceback) == ("E", ["first\n" + "x\n" * (LINES - 1)])
    assert (note.text, left_out) == ("… 2 more characters\n", 2)


def test_a_boards_last_points_are_shown_when_the_cell_ends():
    """A loop that is over before the board would draw a second picture, and another in the next cell."""
    section = small_section(
        "from d2l.board import ProgressBoard",
        "board = ProgressBoard('x')\nfor x in range(100):\n    board.draw(x, x**2, 'square')",
        "board.draw(100, 10_000, 'square')\nboard.draw(101, 10_201, 'square')",
    )
    cells = run(section, "smoke").notebook.cells
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) == 1
    assert outputs[0].data[CURVES_MIME]["curves"]["square"] == [[x, x**2] for x in range(102)]


def recorded(section: Compiled, tmp_path, monkeypatch, **changes: str) -> None:
    """Store a recording of a section, with provenance changed as given."""
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path)
    notebook = with_outputs(section, section.notebook).notebook
    output = nbformat.v4.new_output("display_data", {RUN_MIME: {}, "text/plain": "val_acc 0.9 after 10 of 10 epochs"})
    notebook.cells[0].outputs = [output]
    notebook.metadata["recording"] = {
        "numbers": numbers_hash(section),
        "date": "2026-01-31",
        "seconds": 1234,
        "hardware": "a processor, 2 cores, no GPU",
        "versions": {"torch": "2.13.0"},
    } | changes
    path = recordings.recording_path(section)
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def smoke_outputs(section: Compiled) -> Executed:
    """The section as a smoke run leaves it."""
    smoke = with_outputs(section, section.notebook)
    run_data = {RUN_MIME: {}, "text/plain": "smoke run: val_acc 0.1"}
    smoke.code_cells[0].outputs = [nbformat.v4.new_output("display_data", run_data)]
    return smoke


def test_current_recording_is_shown_with_its_provenance(tmp_path, monkeypatch):
    section = small_section("fit()")
    recorded(section, tmp_path, monkeypatch)
    shown = str(show_results(smoke_outputs(section)).code_cells[0].outputs)
    assert "val_acc 0.9 after 10 of 10 epochs" in shown
    assert "Recorded on 2026-01-31 in 1,234 s on a processor, 2 cores, no GPU; torch 2.13.0" in shown
    assert "earlier version" not in shown
    assert "computed in" not in shown  # runs recorded before they said it
    assert "smoke run" not in shown


def test_provenance_has_what_the_runs_say_that_they_computed_in(tmp_path, monkeypatch):
    section = small_section("fit()", "fit()", "fit()", "fit()")
    recorded(section, tmp_path, monkeypatch)
    path = recordings.recording_path(section)
    notebook = nbformat.read(path, as_version=4)
    odd = [{"precision": 5}, 5]
    for cell, run_data in zip(notebook.cells, [{"precision": "float32"}, {"precision": "bfloat16"}, *odd], strict=True):
        cell.outputs = [nbformat.v4.new_output("display_data", {RUN_MIME: run_data, "text/plain": "val_acc 0.9"})]
    nbformat.write(notebook, path)
    shown = str(show_results(smoke_outputs(section)).code_cells[0].outputs)
    assert "on a processor, 2 cores, no GPU; computed in bfloat16 and float32; torch 2.13.0" in shown


def test_recording_of_other_cells_is_not_shown_and_named_stale(tmp_path, monkeypatch, capsys):
    section = small_section("fit()")
    recorded(small_section("fit(epochs=1)"), tmp_path, monkeypatch)
    shown = str(show_results(smoke_outputs(section)).code_cells[0].outputs)
    assert "val_acc 0.9" not in shown and "smoke run" not in shown
    assert "No full run is recorded here. To record one: make record TAB=pytorch SECTION=small" in shown
    assert "the recording is stale" in capsys.readouterr().out


def test_what_follows_from_a_smoke_run_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path)
    section = small_section("import d2l", "fit()", "print(accuracy)")
    smoke = with_outputs(section, section.notebook)
    text = nbformat.v4.new_output("stream", text="0.1")
    smoke.code_cells[0].outputs, smoke.code_cells[2].outputs = [text], [text]
    smoke.code_cells[1].outputs = [nbformat.v4.new_output("display_data", {RUN_MIME: {}, "text/plain": "smoke run"})]
    before, fit, after = show_results(smoke).code_cells
    assert (before.outputs, after.outputs) == ([text], [])
    assert "No full run" in str(fit.outputs)


def test_recording_without_training_has_its_provenance_at_the_end(tmp_path, monkeypatch):
    section = small_section("measure()", "plot()")
    recorded(section, tmp_path, monkeypatch)
    path = recordings.recording_path(section)
    path.write_text(path.read_text("utf-8").replace(RUN_MIME, "text/html"))
    measured, plotted = show_results(with_outputs(section, section.notebook)).code_cells
    assert "Recorded on" not in str(measured.outputs)
    assert "Recorded on 2026-01-31" in str(plotted.outputs)


def test_recording_of_cells_with_other_comments_is_shown(tmp_path, monkeypatch):
    recorded(small_section("fit()"), tmp_path, monkeypatch)
    assert load_recording(small_section("fit()  #@save")) is not None


@pytest.fixture
def refer(tmp_path, monkeypatch) -> Callable[..., None]:
    """Stores a section's reference: a printed text, a run's loss and the curve of another."""
    monkeypatch.setattr("book.reference_numbers.REFERENCES", tmp_path / "reference")

    def refer(section: Compiled, text: str, loss: float = 2.25, indent: int = 1, **outputs: nbformat.NotebookNode):
        executed = with_outputs(section, section.notebook)
        run_data = {"metrics": {"val_loss": loss}, "epochs": 1, "max_epochs": 1, "examples_per_epoch": 256}
        executed.code_cells[0].outputs = [
            nbformat.v4.new_output("stream", text=text),
            nbformat.v4.new_output("display_data", {RUN_MIME: run_data, "text/plain": f"val_loss {loss:.3f}"}),
        ]
        path = reference_path(section)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(executed.notebook, indent=indent), "utf-8")

    return refer


COUNTED = "num_gpus=1: no GPU in use\nConv2d: 43,040,778 parameters\n"


@pytest.mark.parametrize(
    ("change", "current"),
    [
        ({}, True),
        ({"indent": 4}, True),
        ({"text": "trained on the processor\nConvolution: parameters 43,040,778\n"}, True),
        ({"text": COUNTED.replace("778", "779")}, False),
        ({"text": COUNTED + "12 more\n"}, False),
        ({"loss": 2.2501}, False),
    ],
    ids=["same", "layout", "words", "count", "another", "loss"],
)
def test_recording_is_current_as_long_as_the_reference_has_the_same_numbers(
    tmp_path, monkeypatch, capsys, refer, change, current
):
    section = small_section("fit()")
    refer(section, COUNTED)
    recorded(section, tmp_path, monkeypatch)
    refer(section, **{"text": COUNTED} | change)
    shown = str(show_results(smoke_outputs(section)).code_cells[0].outputs)
    assert "val_acc 0.9" in shown
    assert ("earlier version of the helper" in shown) != current
    assert ("earlier version of the helper" in capsys.readouterr().out) != current


def test_change_of_the_helper_that_computes_the_same_leaves_recordings_current(tmp_path, monkeypatch, refer):
    section = small_section("fit()")
    refer(section, COUNTED)
    recorded(section, tmp_path, monkeypatch)
    monkeypatch.setattr("book.execute_notebooks.ROOT", tmp_path)
    (tmp_path / "d2l").mkdir()
    (tmp_path / "d2l" / "trainer.py").write_text("renamed = 1")
    assert "earlier version" not in str(show_results(smoke_outputs(section)).notebook)


def test_recording_keeps_what_its_reference_was(tmp_path, monkeypatch, refer):
    section = small_section("print(1)")
    refer(section, COUNTED)
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path)
    monkeypatch.setattr(recordings, "ROOT", tmp_path)
    monkeypatch.setattr(recordings, "run", lambda section, profile: with_outputs(section, section.notebook))
    recordings.record([section], "pytorch", "full")
    kept = load_recording(section).metadata["recording"]
    assert kept["numbers"] == numbers_hash(section) is not None


def test_recording_with_another_helper_is_shown_and_named(tmp_path, monkeypatch, capsys):
    section = small_section("fit()")
    recorded(section, tmp_path, monkeypatch, numbers="of another day")
    shown = str(show_results(smoke_outputs(section)).code_cells[0].outputs)
    assert "val_acc 0.9" in shown
    assert "; with an earlier version of the helper" in shown
    assert "recorded with an earlier version of the helper" in capsys.readouterr().out


def test_recording_names_the_processor(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: A Processor 9000\n" * 2)
    monkeypatch.setattr(recordings, "Path", lambda _: info)
    assert recordings.hardware().startswith("A Processor 9000, ")


def test_every_section_has_a_recording_of_todays_cells(sections):
    missing = [str(section) for section in sections if section.code_cells and load_recording(section) is None]
    assert missing == []


def test_recorded_curves_of_alexnet_show_what_the_discussion_says_of_them(sections):
    """No overfitting after three epochs, and none after ten, which took less than a minute on a GPU."""
    ten_epochs = []
    for section in (section for section in sections if section.name == "chapter_cnn/alexnet"):
        recorded = load_recording(section)
        outputs = itertools.chain.from_iterable(cell.get("outputs", []) for cell in recorded.cells)
        (curves,) = (o["data"][CURVES_MIME]["curves"] for o in outputs if CURVES_MIME in o.get("data", {}))
        train, val = dict(curves["train_loss"]), dict(curves["val_loss"])
        assert val[3] < min(loss for epoch, loss in train.items() if epoch < 3), section
        assert val[max(val)] == min(val.values()), section
        if len(val) == 10:
            ten_epochs.append(section.tab)
            assert abs(val[10] - train[max(train)]) < 0.01, section
            assert recorded.metadata["recording"]["seconds"] < 60, section
            assert "no GPU" not in recorded.metadata["recording"]["hardware"], section
    assert ten_epochs == ["pytorch", "jax"]


@pytest.mark.parametrize(("limits", "message"), [("smoke", "a smoke run is no result"), ("epochs=many", "epochs=many")])
def test_only_runs_with_results_can_be_recorded(limits, message):
    with pytest.raises(BookError, match=message):
        recordings.record([small_section("fit()")], "pytorch", limits)


def test_limits_may_be_parted_by_blanks_or_commas(monkeypatch):
    called = []
    monkeypatch.setattr(commands, "compile_sections", list)
    monkeypatch.setattr(recordings, "record", lambda *arguments: called.append(arguments))
    for limits in (["epochs=1", "images=6000"], ["epochs=1,images=6000"], []):
        commands.record("mxnet", limits, "lenet")
    assert called == [([], "mxnet", limits, "lenet") for limits in (*["epochs=1,images=6000"] * 2, "full")]


def test_make_data_says_whether_the_images_are_here(monkeypatch, capsys):
    monkeypatch.setattr("d2l.fashion_mnist.load_fashion_mnist", lambda folder, profile: None)
    assert run_here(["data"]) == 0
    assert capsys.readouterr() == ("Fashion-MNIST is here, whole.\n", "")

    def fails(folder: Path, profile: Profile) -> None:
        assert (folder, profile) == (ROOT / "data", Profile())
        raise DataError("no network")

    monkeypatch.setattr("d2l.fashion_mnist.load_fashion_mnist", fails)
    assert run_here(["data"]) == 1
    assert capsys.readouterr() == ("", "error: no network\n")


def test_make_notebooks_and_lib_say_what_they_have_written(tmp_path, monkeypatch, capsys):
    sections = [small_section("x = 1")]
    handed_out = []
    monkeypatch.setattr(commands, "compile_sections", lambda: sections)
    monkeypatch.setattr("book.export_notebooks.export_all", handed_out.append)
    assert run_here(["notebooks"]) == 0
    assert handed_out == [sections]
    assert capsys.readouterr().out == f"A notebook per section and framework: {NOTEBOOKS}\n"
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    for module in (old, new):
        module.write_text("x = 1\n")
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    monkeypatch.setattr("book.library.library", lambda: {old: "x = 1\n", new: "x = 2\n"})
    assert run_here(["lib"]) == 0
    assert capsys.readouterr().out == "Renewed new.py\n"
    assert (old.read_text("utf-8"), new.read_text("utf-8")) == ("x = 1\n", "x = 2\n")


def test_only_known_sections_can_be_recorded():
    with pytest.raises(BookError, match="SECTION='vgg': known sections are small"):
        recordings.record([small_section("fit()")], "pytorch", "full", "vgg")


@pytest.mark.parametrize("limit", [None, 5])
def test_reply_that_asyncio_was_not_told_of_is_read(limit):
    asked = []

    async def get_msg(timeout=None):
        asked.append(timeout)
        if len(asked) < 3:
            raise queue.Empty
        return {"msg_type": "execute_reply"}

    assert asyncio.run(_asked_again(get_msg)(timeout=limit)) == {"msg_type": "execute_reply"}
    assert asked == [1, 1, 1]


def test_wait_for_a_reply_with_a_limit_ends():
    async def get_msg(timeout=None):
        raise queue.Empty

    with pytest.raises(queue.Empty):
        asyncio.run(_asked_again(get_msg)(timeout=5))


def test_a_notebook_that_somebody_worked_in_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("book.export_notebooks.COMPILED", tmp_path / "compiled")
    monkeypatch.setattr("book.export_notebooks.NOTEBOOKS", tmp_path / "notebooks")
    path = tmp_path / "notebooks" / "a.ipynb"
    export(small_section("x = 1").notebook, Path("a.ipynb"))
    path.write_text(path.read_text("utf-8").replace("x = 1", "x = 10"))
    notebook = small_section("x = 2").notebook
    export(notebook, Path("a.ipynb"))
    export(notebook, Path("a.ipynb"))
    assert "x = 2" in path.read_text("utf-8")
    assert "x = 10" in path.with_suffix(".yours.ipynb").read_text("utf-8")
    assert "your version is kept as a.yours.ipynb" in capsys.readouterr().out
    path.write_text(path.read_text("utf-8").replace("x = 2", "x = 20"))
    export(small_section("x = 3").notebook, Path("a.ipynb"))
    assert "x = 20" in path.with_suffix(".yours1.ipynb").read_text("utf-8")
    assert "x = 10" in path.with_suffix(".yours.ipynb").read_text("utf-8")


def test_a_notebook_that_could_not_be_written_is_written_by_the_next_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("book.export_notebooks.COMPILED", tmp_path / "compiled")
    monkeypatch.setattr("book.export_notebooks.NOTEBOOKS", tmp_path / "notebooks")
    old, new = (small_section(code).notebook for code in ("x = 1", "x = 2"))
    export(old, Path("a.ipynb"))
    for full in ("notebooks", "compiled"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", disk_full(tmp_path / full))
            with pytest.raises(OSError, match="No space left"):
                export(new, Path("a.ipynb"))
        export(new, Path("a.ipynb"))
        assert "x = 2" in (tmp_path / "notebooks" / "a.ipynb").read_text("utf-8")
        export(old, Path("a.ipynb"))
    assert capsys.readouterr().out == ""


def disk_full(folder: Path) -> Callable[..., int]:
    """In place of ``Path.write_text``: writes half of what is to go into a folder."""
    write_text = Path.write_text

    def write(path: Path, text: str, *args: str, **options: str) -> int:
        if not path.is_relative_to(folder):
            return write_text(path, text, *args, **options)
        write_text(path, text[: len(text) // 2], *args, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write


def test_every_source_counts_as_an_input_of_the_page():
    inputs = {path for pattern in (*TEXTS, *SHARED_INPUTS, *HELPER, *STORED) for path in ROOT.glob(pattern)}
    for name in (
        "index.md",
        "chapter_cnn/alexnet.md",
        "config.ini",
        "references.bib",
        "theme/book.js",
        "d2l/trainer.py",
        "recordings/jax/chapter_cnn/alexnet.ipynb",
        "tests/reference/jax/chapter_cnn/alexnet.ipynb",
    ):
        assert ROOT / name in inputs


def test_code_is_told_apart_by_what_it_does_and_not_by_comments_or_docstrings():
    assert (
        len({cell_code(small_section(code).notebook) for code in ["1", "2", "'a'", "'b'", "x = 'a=[]'", "x = 'b=[]'"]})
        == 6
    )
    same = ["def f(x):\n    return x", "# why\ndef f(x):\n    '''What.'''\n    return  x"]
    assert len({cell_code(small_section(code).notebook) for code in same}) == 1
    other = ["def f(x):\n    return -x", "def f(x=1):\n    return x", "def f(x):\n    return [x]", "%magic"]
    assert len({cell_code(small_section(code).notebook) for code in [*same, *other]}) == 5


@pytest.mark.parametrize(
    "shows",
    ["help(f)", "print(f.__doc__)", "f?", "?f", "f??", "import inspect", "%pinfo f", "from inspect import getsource"],
)
def test_comments_and_docstrings_are_code_where_a_cell_may_show_them(tmp_path, monkeypatch, shows):
    cells = ["def f(x):\n    return x", "def f(x):\n    '''What.'''\n    return x", "def f(x):\n    return x  # why"]
    assert len({cell_code(small_section(cell, shows).notebook) for cell in cells}) == len(cells)
    monkeypatch.setattr("book.execute_notebooks.ROOT", tmp_path)
    (tmp_path / "d2l").mkdir()
    (tmp_path / chosen_versions(tmp_path).file).write_text("a==1\n")
    found = []
    for cell in cells:
        (tmp_path / "d2l" / "core.py").write_text(cell)
        found.append((run_code(small_section("# why?\nd2l.f")), run_code(small_section("from d2l import f", shows))))
    assert [len(set(hashes)) for hashes in zip(*found, strict=True)] == [1, len(cells)]


def test_pandoc_is_asked_once_for_a_text(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    monkeypatch.setitem(templateexporter.default_filters, "convert_pandoc", lambda *text: asked.append(text) or "*x*")
    for _ in range(2):
        with pandoc.cached_pandoc():
            convert = templateexporter.default_filters["convert_pandoc"]
            assert [convert("_x_", "markdown", "rst") for _ in range(2)] == ["*x*", "*x*"]
    with pandoc.cached_pandoc():
        templateexporter.default_filters["convert_pandoc"]("_x_", "markdown", "html")
    assert asked == [("_x_", "markdown", "rst"), ("_x_", "markdown", "html")]


@pytest.mark.parametrize(
    ("name", "old", "new", "seen_elsewhere"),
    [
        ("chapter_cnn/alexnet", "In 2012 the best entry", "In that year the best entry", False),
        ("chapter_cnn/index", "lenet\ningredients", "ingredients\nlenet", True),
    ],
    ids=["text", "order"],
)
def test_pages_built_after_a_change_are_those_of_a_new_build(shown, html, name, old, new, seen_elsewhere):
    """Where one text has changed, only that page is written, and the others if they show what has changed."""

    def files(folder: Path) -> dict[str, bytes]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".buildinfo")
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    changed = copy.deepcopy(shown)
    for notebook in (section.notebook for section in changed if section.name == name):
        cell = next(cell for cell in notebook.cells if old in cell.source)
        cell.source = cell.source.replace(old, new)
    with alone():  # other tests render as well
        render(shown, BUILD / "test_changed")
        before = files(BUILD / "test_changed")
        other = BUILD / "html_fresh" / "chapter_cnn" / "cost.html"
        written = other.stat().st_mtime_ns
        render(changed, BUILD / "test_changed")
        assert (other.stat().st_mtime_ns != written) == seen_elsewhere
        forget(SHARED)
        render(changed, BUILD / "test_new")
    assert before != files(BUILD / "test_changed") == files(BUILD / "test_new")


def test_only_what_has_changed_is_compiled(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    monkeypatch.setattr("book.d2lbook_adapter.ROOT", tmp_path)
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("book.stale.ROOT", tmp_path)
    notebook = small_section("x = 1").notebook

    def compile_source(source: Source, tab: str) -> Compiled | None:
        compiled.append((source.path.stem, tab))
        return Compiled(source.name, tab, notebook) if tab == "jax" else None

    monkeypatch.setattr("book.compile_notebooks.compile_source", compile_source)
    (tmp_path / "config.ini").write_text("[build]\ntabs = pytorch, jax\n")
    (tmp_path / "references.bib").touch()
    (tmp_path / "chapter_a").mkdir()
    (tmp_path / "book").mkdir()
    paths = [tmp_path / "index.md", tmp_path / "chapter_a" / "a.md"]
    for path in paths:
        path.write_text("Text.\n")
    everything = [(path.stem, tab) for tab in ("pytorch", "jax") for path in paths]
    for change, expected in [
        (lambda: None, everything),
        (lambda: None, []),
        (lambda: paths[1].write_text("Another text.\n"), [("a", "pytorch"), ("a", "jax")]),
        (lambda: (tmp_path / "constraints.txt").write_text("d2lbook==2\n"), everything),
        (lambda: (tmp_path / "book" / "syntax.py").write_text("x = 2\n"), everything),
        (lambda: (tmp_path / "book" / "syntax.py").write_text("x = 2  # why\n"), []),
        (lambda: (tmp_path / "book" / "audit.py").write_text("x = 2\n"), []),
    ]:
        compiled.clear()
        change()
        sections = compile_sections()
        assert compiled == expected
        assert sections == [Compiled(name, "jax", notebook) for name in ("index", "chapter_a/a")]


def test_what_is_remembered_is_what_was_made(sections):
    """The first time in this session or an earlier one, it was compiled and kept; here it is compiled again."""
    for tab in TABS:
        section = next(section for section in sections if (section.name, section.tab) == ("chapter_cnn/alexnet", tab))
        assert section == compile_source(Source.read(ROOT / "chapter_cnn" / "alexnet.md"), tab)


def test_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    path = tmp_path / "table.md"
    atomic_write("old", path)
    with pytest.raises(UnicodeEncodeError):
        atomic_write("new and then half a character \ud800", path)
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text("utf-8") == "old"


def test_notebook_is_written_if_it_is_another_than_the_one_there(tmp_path):
    """Only a page whose notebook was written is rendered again."""
    path = tmp_path / "a.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Text.", id="a")])
    assert write_notebook(notebook, path)
    assert not write_notebook(nbformat.read(path, as_version=4), path)
    notebook.cells[0].source = "Another text."
    assert write_notebook(notebook, path)
    assert nbformat.read(path, as_version=4) == notebook
