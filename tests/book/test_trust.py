"""Nothing here runs what it reads: no pickle from disk or network, no code out of data."""

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from book.compile_notebooks import source_notebook
from book.files import ROOT
from book.source import Source, sources

# What Ruff has no rule for: what may have pickles in it, and archives whose files could be written anywhere.
MAY_DO_HARM = re.compile(
    r"allow_pickle\s*=\s*(?!False)|\b(?:joblib|dill|cloudpickle)\b|safe_mode\s*=\s*False"
    r"|\btorch\.load\((?!.*weights_only=True)|\bfrom torch import .*\bload\b|\btorch\.hub\b"
    r"|(?:gather|broadcast|scatter|send|recv)_object|\bunpack_archive\(|\.extract\("
)


def cells() -> dict[str, str]:
    """The code of the chapter, and of the sections that the helper is tested with, for all frameworks."""
    chapters = (ROOT / "tests" / "chapters").glob("*.md")
    code = {}
    for source in [*sources(), *map(Source.read, chapters)]:
        notebook = source_notebook(source)
        written = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        lines = [line for text in written for line in text.splitlines() if not line.startswith("%")]
        code[source.name.replace("/", "-")] = "\n".join(lines)
    return code


def findings(code: dict[str, str], folder: Path) -> str:
    """What Ruff's security rules, as configured for this repository, find in code that is in no file of it."""
    for name, text in code.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--quiet",
        "--no-cache",
        "--no-preview",
        "--output-format",
        "concise",
    ]
    config = ["--config", str(ROOT / "pyproject.toml"), "--extend-ignore", "E,F,W,I,UP,B,SIM,RUF"]
    return subprocess.run([*ruff, *config, str(folder)], capture_output=True, text=True, check=False).stdout


def test_cells_run_nothing_that_they_read(tmp_path):
    code = cells()
    assert "class LeNet" in code["chapter_cnn-lenet"] and "def forward" in code["tests-chapters-mlp"]
    assert findings(code, tmp_path) == ""


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle\npickle.load(file)", "S301"),
        ("import marshal\nmarshal.loads(data)", "S302"),
        ("import yaml\nyaml.load(text)", "S506"),
        ("eval(text)", "S307"),
        ("exec(text)", "S102"),
        ("import tarfile\ntarfile.open(path).extractall()", "S202"),
        ("import subprocess\nsubprocess.run(text, shell=True)", "S602"),
    ],
)
def test_the_rules_find_what_would_run(tmp_path, code, rule):
    assert f" {rule} " in findings({"cell": code}, tmp_path)


def test_nothing_reads_pickles_in_other_formats_or_unpacks_archives():
    paths = chain.from_iterable(
        (ROOT / folder).rglob("*.py") for folder in ("d2l", "book", "qa", "bench", "theme", "img")
    )
    for place, text in {**{path: path.read_text("utf-8") for path in paths}, **cells()}.items():
        assert not MAY_DO_HARM.search(text), place


@pytest.mark.parametrize(
    "code",
    [
        "numpy.load(path, allow_pickle=True)",
        "import joblib",
        "torch.load(path)",
        "from torch import load",
        "torch.hub.load(name, model)",
        "torch.distributed.all_gather_object(found, mine)",
        "keras.models.load_model(path, safe_mode=False)",
        "shutil.unpack_archive(path)",
        "archive.extract(name)",
    ],
)
def test_pickles_in_other_formats_and_unpacked_archives_are_found(code):
    assert MAY_DO_HARM.search(code)
