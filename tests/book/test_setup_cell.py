"""A notebook that is taken elsewhere runs there by itself: its first cell installs the helper, or says what to do."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellExecutionError

from book.errors import BookError
from book.export_notebooks import DOWNLOADS, export_all
from book.files import NOTEBOOKS, ROOT
from book.frameworks import FRAMEWORKS, is_installed
from book.notebook_client import Client
from book.publication import Publication
from book.setup_cell import helper_address, with_setup
from book.source import configured_tabs
from book.wheel import WHEEL, make_wheel
from d2l.installation import NAME, VERSION


def environment_without_helper(folder: Path, tab: str | None) -> Path:
    """An environment with all that is installed here but the helper, and of the frameworks this one only.

    Returns:
        Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    packages = folder / "packages"
    packages.mkdir()
    others = {framework.module for name, framework in FRAMEWORKS.items() if name != tab}
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        is_helper = NAME.replace("-", "_") in path.name
        if path.suffix != ".pth" and path.name not in others and not is_helper:
            (packages / path.name).symlink_to(path)
    python = folder / "venv" / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True).stdout.strip()
    # Paths in such a file are looked in, and files of this kind that lie there are not read.
    Path(own, "others.pth").write_text(f"{packages}\n", encoding="utf-8")
    return python


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Callable[..., Client]:
    """Makes what runs a notebook in an empty folder, in an environment without the helper, and without network."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def client(notebook: nbformat.NotebookNode, tab: str | None = None) -> Client:
        python = environment_without_helper(tmp_path, tab)
        kernel = tmp_path / "jupyter" / "kernels" / "elsewhere"
        kernel.mkdir(parents=True)
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Elsewhere"}))
        (tmp_path / "an empty folder").mkdir()
        return Client(notebook, tmp_path / "an empty folder", kernel_name="elsewhere")

    return client


@pytest.fixture(scope="module")
def downloads(sections) -> Path:
    """The notebooks that the pages offer."""
    export_all(sections)
    return DOWNLOADS


@pytest.mark.slow
@pytest.mark.parametrize("tab", configured_tabs())
def test_downloaded_notebook_runs_in_an_empty_folder_up_to_its_first_training(elsewhere, downloads, tmp_path, tab):
    if not is_installed(tab):
        pytest.skip(f"the framework of the {tab} tab is not installed here")
    notebook = nbformat.read(downloads / tab / "chapter_cnn" / "lenet.ipynb", as_version=4)
    first = next(number for number, cell in enumerate(notebook.cells) if ".fit(" in cell.source)
    notebook.cells = [cell for cell in notebook.cells[: first + 1] if cell.cell_type == "code"]
    where = nbformat.v4.new_code_cell("import d2l; print(d2l.__file__)")
    notebook.cells.append(where)
    client = elsewhere(notebook, tab)
    # What the page links to beside the notebook.
    (tmp_path / "an empty folder" / WHEEL).write_bytes(make_wheel().read_bytes())
    client.run("smoke")
    assert where.outputs[0].text.startswith(str(tmp_path / "venv"))
    assert any("train_loss" in json.dumps(output) for output in notebook.cells[-2].outputs)


@pytest.fixture
def served(tmp_path) -> Iterator[str]:
    """The address of a host that has the wheel, and nothing else."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / WHEEL).write_bytes(make_wheel().read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def setup_cell(publication: Publication) -> nbformat.NotebookNode:
    """A notebook of the setup alone, which says at its end which helper is there."""
    where = nbformat.v4.new_code_cell("import d2l; print(d2l.__version__, d2l.__file__)")
    return with_setup(nbformat.v4.new_notebook(cells=[where]), "pytorch", publication)


@pytest.mark.slow
def test_helper_is_installed_from_the_address_of_the_pages(elsewhere, served, tmp_path):
    notebook = setup_cell(Publication(served, "https://github.com/owner/name"))
    # What the framework would be is of no interest here, and pip would look for it in vain.
    notebook.cells[0].source = notebook.cells[0].source.replace("[pytorch]", "")
    elsewhere(notebook).run("smoke")
    version, file = notebook.cells[1].outputs[0].text.split(maxsplit=1)
    assert version == VERSION
    assert file.startswith(str(tmp_path / "venv"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("publication", "expected"),
    [
        pytest.param(
            Publication(),
            "put {wheel} from the book's pages into {folder}",
            marks=pytest.mark.fault("A downloaded notebook finds no helper, and knows of no address to get it from"),
        ),
        pytest.param(
            Publication("http://127.0.0.1:9/"),
            "mend what pip names above or put {wheel} from the book's pages into {folder}",
            marks=pytest.mark.fault("A downloaded notebook finds no helper, and there is no network"),
        ),
    ],
    ids=["no address", "no network"],
)
def test_what_cannot_be_installed_is_said_in_a_sentence(elsewhere, tmp_path, monkeypatch, sees, publication, expected):
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(CellExecutionError) as caught:
        elsewhere(setup_cell(publication)).run("smoke")
    remedy = expected.format(wheel=WHEEL, folder=tmp_path / "an empty folder")
    message = f"{NAME} {VERSION} is not installed: {remedy}, and run this cell again."
    assert caught.value.ename == "ImportError" and caught.value.evalue == message
    sees(f"ImportError: {message}")


@pytest.mark.slow
@pytest.mark.fault("A downloaded notebook finds PyPI's d2l, which is another book's helper")
def test_published_package_of_the_same_name_is_found_out_and_nothing_is_installed(
    elsewhere, tmp_path, monkeypatch, sees
):
    package = tmp_path / "published" / "d2l"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "1.0.3"\n')
    (package / "torch.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    notebook = setup_cell(Publication())
    client = elsewhere(notebook)
    (tmp_path / "an empty folder" / WHEEL).write_bytes(make_wheel().read_bytes())
    with pytest.raises(CellExecutionError) as caught:
        client.run("smoke")
    assert caught.value.evalue.startswith(f"{package} is another book's package d2l: ")
    assert "%pip uninstall --yes d2l" in caught.value.evalue
    assert list((tmp_path / "venv").rglob("alexnet_d2l*")) == []
    sees(f"ImportError: {caught.value.evalue}")


def run_here(publication: Publication) -> tuple[list[str], dict]:
    """Run the setup in this process, where the helper is; gives what pip is asked, and the names that are set."""
    asked: list[str] = []
    shell = SimpleNamespace(run_line_magic=lambda magic, line: asked.append(f"{magic} {line}"))
    names = {"get_ipython": lambda: shell}
    exec(TransformerManager().transform_cell(setup_cell(publication).cells[0].source), names)  # noqa: S102
    return asked, names


def test_helper_that_is_there_is_taken_and_another_version_of_it_is_not(monkeypatch):
    assert run_here(Publication("https://example.org/"))[0] == []
    monkeypatch.setattr("book.setup_cell.VERSION", "9.9")
    asked, names = run_here(Publication("https://example.org/"))
    assert asked == [f'pip install --quiet "{NAME}[pytorch] @ {{source}}"']
    assert names["source"] == f"https://example.org/{WHEEL}"


def test_wheel_in_a_folder_above_is_taken_before_that_of_an_address(tmp_path, monkeypatch):
    """As on Binder, where the pages lie above the notebooks."""
    (tmp_path / "a b" / "c").mkdir(parents=True)
    (tmp_path / "a b" / WHEEL).touch()
    monkeypatch.chdir(tmp_path / "a b" / "c")
    monkeypatch.setattr("book.setup_cell.VERSION", "9.9")
    _, names = run_here(Publication("https://example.org/"))
    assert names["source"] == (tmp_path / "a b" / WHEEL).as_uri()


def test_helper_of_a_book_without_pages_comes_from_its_repository():
    repository = "https://github.com/owner/name"
    assert helper_address(Publication("", repository)) == f"{repository}/archive/HEAD.zip"
    assert helper_address(Publication("https://example.org/a/", repository)) == f"https://example.org/a/{WHEEL}"
    assert helper_address(Publication()) == ""


def test_setup_is_the_first_code_of_each_download_and_of_no_other_notebook(downloads):
    for path in downloads.rglob("*.ipynb"):
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        tab = path.relative_to(downloads).parts[0]
        assert [cell.id for cell in code if "helper_version()" in cell.source] == [code[0].id] == [f"{tab}-setup"]
        worked_in = (NOTEBOOKS / path.relative_to(downloads)).read_text("utf-8")
        assert "helper_version()" not in worked_in


def test_wheel_has_the_whole_helper_and_is_made_anew_when_that_changes(tmp_path, monkeypatch):
    with zipfile.ZipFile(make_wheel()) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("d2l/")}
    files = (path.relative_to(ROOT) for path in (ROOT / "d2l").rglob("*") if path.is_file())
    assert packed == {path.as_posix() for path in files if "__pycache__" not in path.parts}
    monkeypatch.setattr(
        "book.wheel.subprocess.run", lambda *_, **__: pytest.fail("the same helper was packed a second time")
    )
    make_wheel()
    monkeypatch.setattr("book.wheel.MADE_FROM", ("d2l/**/*", "pyproject.toml", "README.md"))
    monkeypatch.setattr(
        "book.wheel.subprocess.run", lambda *_, **__: SimpleNamespace(returncode=1, stdout="", stderr="no")
    )
    with pytest.raises(BookError, match="The helper's wheel could not be made: no"):
        make_wheel()
