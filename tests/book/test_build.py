"""The build: pages come before the notebooks run, and what stands on them when these fail or are stopped."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from processes import TIME_LIMIT
from test_book import disk_full, small_section

from book import build, execute_notebooks
from book.errors import BookError
from book.execute_notebooks import with_outputs
from book.files import ROOT
from book.frameworks import FRAMEWORKS, chosen_tabs
from book.notebook_client import run_clients
from book.pages import repair
from book.recordings import recording_path
from book.reference_numbers import reference_path
from book.section import Compiled, Executed
from book.verbs import run_here

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def small_book(tmp_path, monkeypatch) -> Callable[..., int]:
    """The build's command, with files of its own: sections are given to it, and their page is a line of text."""
    for name in (
        "execute_notebooks.NOTEBOOKS",
        "cache.CACHE",
        "recordings.RECORDINGS",
        "reference_numbers.REFERENCES",
        "build.HTML",
    ):
        monkeypatch.setattr(f"book.{name}", tmp_path / name.partition(".")[2].lower())
    page = tmp_path / "html" / "index.html"
    page.parent.mkdir()
    monkeypatch.setattr(build, "render", lambda shown: page.write_text(f"{len(shown)} notebooks"))
    monkeypatch.setattr(build, "fetch_images", lambda: None)
    monkeypatch.setattr(build, "is_installed", lambda tab: True)
    monkeypatch.setattr(build, "export_all", lambda sections: None)

    def build_book(*sections: Compiled, tabs: str = "") -> int:
        monkeypatch.setattr(build, "compile_sections", lambda: sections)
        return run_here(["book", *tabs.split()])

    return build_book


# In which order things happen


def text_of(notebook: nbformat.NotebookNode) -> str:
    """What a notebook's last cell has printed."""
    return "".join(output.get("text", "") for output in notebook.cells[-1].outputs)


def store(section: Compiled, path: Path, text: str) -> None:
    """Store a section with a printed text as its output, as a recording or a reference."""
    notebook = with_outputs(section, section.notebook).notebook
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text=text)]
    notebook.metadata["recording"] = {"numbers": None, "date": "", "seconds": 1, "hardware": "", "versions": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@pytest.fixture
def happens(small_book, tmp_path, monkeypatch) -> list[str]:
    """What a build does, in order: pages with the texts on them, runs, and the look for images.

    A notebook that is run prints ``ran``. One whose only cell is ``fail`` fails, at ``Ctrl-C`` the build is stopped.
    """
    events = []

    def render(shown: list[Executed]) -> None:
        events.append(f"page: {', '.join(text_of(section.notebook) or 'nothing' for section in shown)}")
        (tmp_path / "html" / "index.html").write_text(events[-1])

    def run(clients, profile, ended, at_a_time) -> None:
        for number, client in enumerate(clients):
            events.append(f"run, {profile}: {client.nb.cells[-1].source}")
            if client.nb.cells[-1].source == "Ctrl-C":
                raise KeyboardInterrupt
            client.nb.cells[-1].outputs = [nbformat.v4.new_output("stream", text="ran")]
            ended(number, RuntimeError("it was killed") if client.nb.cells[-1].source == "fail" else None)

    monkeypatch.setattr(build, "render", render)
    monkeypatch.setattr(build, "fetch_images", lambda: events.append("images"))
    monkeypatch.setattr(execute_notebooks, "run_clients", run)
    return events


@pytest.mark.parametrize(
    ("recorded", "referred", "first", "renewed"),
    [
        (None, "ran", "ran", False),
        (None, "stored", "stored", True),
        ("recorded", "stored", "recorded", False),
        (None, None, "nothing", True),
    ],
)
def test_page_comes_before_notebooks_and_images_and_is_renewed_only_if_it_shows_something_else(
    small_book, happens, tmp_path, capsys, recorded, referred, first, renewed
):
    section, page = small_section("x"), tmp_path / "html" / "index.html"
    for text, path in ((recorded, recording_path(section)), (referred, reference_path(section))):
        if text:
            store(section, path, text)
    assert small_book(section) == 0
    assert happens == [f"page: {first}", "images", "run, smoke: x", *["page: ran"] * renewed]
    end = "The page is renewed (pytorch chapter_test/small)" if renewed else "The page is as it was"
    said = [line for line in capsys.readouterr().out.splitlines() if "recorded with" not in line]
    assert [*said[:2], said[-1]] == [
        f"The page, from stored outputs: {page}",
        f"Now 1 of 1 notebooks run, {execute_notebooks.at_a_time()} at a time",
        f"{end}: {page}",
    ]
    happens.clear()
    assert small_book(section) == 0
    assert happens == []
    assert capsys.readouterr().out == f"Nothing has changed. The page: {page}\n"


def test_good_page_stays_until_there_are_outputs_of_new_code(small_book, happens, tmp_path, monkeypatch, capsys):
    page = tmp_path / "html" / "index.html"
    assert small_book(small_section("x")) == 0
    happens.clear()
    capsys.readouterr()
    monkeypatch.setattr(build, "inputs_hash", lambda: "other")
    assert small_book(small_section("y")) == 0
    assert happens == ["run, smoke: y", "page: ran"]
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[-1]) == (
        f"The last good page, until the notebooks have run: {page}",
        f"The page is renewed (pytorch chapter_test/small): {page}",
    )


def test_change_of_text_alone_runs_nothing(small_book, happens, tmp_path, monkeypatch, capsys):
    assert small_book(small_section("x")) == 0
    happens.clear()
    capsys.readouterr()
    monkeypatch.setattr(build, "inputs_hash", lambda: "other")
    assert small_book(small_section("x")) == 0
    assert happens == ["page: ran"]
    assert capsys.readouterr().out == f"The page: {tmp_path / 'html' / 'index.html'}\n"


@pytest.mark.parametrize("referred", ["stored", None])
def test_page_from_stored_outputs_stays_where_a_notebook_fails(small_book, happens, tmp_path, capsys, referred):
    failing, whole = small_section("fail"), dataclasses.replace(small_section("x"), tab="jax")
    if referred:
        store(failing, reference_path(failing), referred)
    assert small_book(failing, whole) == 1
    first = referred or "nothing"
    assert happens == [
        f"page: {first}, nothing",
        "images",
        "run, smoke: fail",
        "run, smoke: x",
        f"page: {first}, ran",
    ]
    state = "shows their stored outputs" if referred else "is built without their outputs"
    page = tmp_path / "html" / "index.html"
    said = capsys.readouterr().err
    assert "error: pytorch chapter_test/small: the kernel died in cell 1 of 1: it was killed\n" in said
    assert said.endswith(f"1 of 2 notebooks failed. The page {state}: {page}\n")
    happens.clear()
    assert small_book(failing, whole) == 1
    assert "run, smoke: fail" in happens and "run, smoke: x" not in happens


def test_first_page_stays_when_the_runs_are_stopped(small_book, happens, tmp_path, capsys):
    section = small_section("Ctrl-C")
    store(section, reference_path(section), "stored")
    assert small_book(section) == 130
    assert happens == ["page: stored", "images", "run, smoke: Ctrl-C"]
    assert (tmp_path / "html" / "index.html").read_text("utf-8") == "page: stored"
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "Interrupted: finished notebooks are kept, the next run goes on from there."


def test_build_without_the_images_goes_on(small_book, happens, monkeypatch, capsys):
    def fails() -> None:
        raise BookError("no network")

    monkeypatch.setattr(build, "fetch_images", fails)
    assert small_book(small_section("x")) == 0
    assert happens == ["page: nothing", "run, smoke: x", "page: ran"]
    assert "no network\nThe build goes on without" in capsys.readouterr().out


# The frameworks that are run


def test_tabs_that_are_asked_for_are_run_and_the_others_shown_from_what_is_stored(small_book, happens, capsys):
    sections = [dataclasses.replace(small_section(tab), tab=tab) for tab in FRAMEWORKS]
    for section in sections:
        store(section, reference_path(section), "stored")
    assert small_book(*sections, tabs="pytorch") == 0
    assert happens == [
        "page: stored, stored, stored, stored",
        "images",
        "run, smoke: pytorch",
        "page: ran, stored, stored, stored",
    ]
    others = "TensorFlow (not asked for), MXNet (not asked for), JAX (not asked for)"
    assert f"Not run, shown from stored outputs: {others}\n" in capsys.readouterr().out
    for tabs, run in (("pytorch", []), ("pytorch,jax", ["jax"]), ("", ["tensorflow", "mxnet"]), ("mxnet", [])):
        happens.clear()
        assert small_book(*sections, tabs=tabs) == 0
        assert [event for event in happens if event.startswith("run")] == [f"run, smoke: {tab}" for tab in run]


def test_framework_that_is_not_installed_is_said_and_run_once_it_is(small_book, happens, monkeypatch, capsys):
    sections = [dataclasses.replace(small_section(tab), tab=tab) for tab in ("pytorch", "jax")]
    for section in sections:
        store(section, reference_path(section), "stored")
    with monkeypatch.context() as patch:
        patch.setattr(build, "is_installed", lambda tab: tab != "jax")
        assert small_book(*sections) == 0
    assert "Not run, shown from stored outputs: JAX (not installed here)\n" in capsys.readouterr().out
    assert happens[-1] == "page: ran, stored"
    assert small_book(*sections) == 0
    assert happens[-1] == "page: ran, ran"


def test_tabs_may_be_parted_by_blanks_or_commas_and_come_in_the_books_order():
    assert chosen_tabs([]) == chosen_tabs([""]) == list(FRAMEWORKS)
    assert chosen_tabs(["jax", "pytorch"]) == chosen_tabs(["jax,pytorch"]) == chosen_tabs(["jax, pytorch"])
    assert chosen_tabs(["jax", "pytorch"]) == ["pytorch", "jax"]


@pytest.mark.fault("TABS names a framework that is not one of the book's")
def test_unknown_tab_is_named_with_those_that_are_known(small_book, happens, capsys, sees):
    assert small_book(small_section("x"), tabs="pytorch caffe") == 1
    assert happens == []
    said = capsys.readouterr().err
    assert said == "error: TABS='caffe': known tabs are pytorch, tensorflow, mxnet, jax\n"
    sees(said)


# Notebooks beside each other


class Beside:
    """In place of a client: its run ends once as many as there should be run beside each other, and counts them."""

    together = threading.Barrier(2, timeout=TIME_LIMIT)
    running = most = 0
    lock = threading.Lock()

    def run_in_this_thread(self, profile: str) -> None:
        with self.lock:
            Beside.running += 1
            Beside.most = max(Beside.most, Beside.running)
        self.together.wait()
        time.sleep(0.2)  # in which a third would begin
        with self.lock:
            Beside.running -= 1


def test_two_notebooks_run_beside_each_other_and_no_more():
    ended = []
    run_clients([Beside() for _ in range(6)], "smoke", lambda number, error: ended.append((number, error)), 2)
    assert sorted(ended) == [(number, None) for number in range(6)]
    assert Beside.most == 2


@pytest.mark.parametrize(
    ("processors", "memory", "expected"),
    [(1, 64, 1), (2, 64, 2), (64, 64, 2), (64, 7, 1), (64, 2, 1), (2, float("inf"), 2)],
)
def test_as_many_notebooks_run_beside_each_other_as_the_machine_has_room_for(monkeypatch, processors, memory, expected):
    monkeypatch.setattr(execute_notebooks, "usable_processors", lambda: processors)
    monkeypatch.setattr(execute_notebooks, "physical_memory", lambda: memory * 2**30)
    assert execute_notebooks.at_a_time() == expected


# What fails, and what stops it


@pytest.mark.fault("A notebook's kernel is killed during the build")
@pytest.mark.parametrize("last", ["the last good page", ""])
def test_build_goes_on_past_a_killed_kernel_and_keeps_the_last_good_page(small_book, tmp_path, capsys, sees, last):
    killed, whole = small_section("x = 1", KILL, "x"), small_section("x = 1", "print(x + 1)")
    page = tmp_path / "html" / "index.html"
    if last:
        page.write_text(last)
    assert small_book(killed, dataclasses.replace(whole, tab="jax")) == 1
    said = capsys.readouterr().err
    said = said[said.index("error: ") :]  # behind the progress bars
    assert "pytorch chapter_test/small: the kernel died in cell 2 of 3" in said
    state = "The last good page is kept" if last else "The page is built without their outputs"
    assert f"1 of 2 notebooks failed. {state}: {page}" in said
    assert page.read_text("utf-8") == (last or "2 notebooks")
    (run,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())  # so the next build tries again
    assert run.relative_to(tmp_path / "cache").parts[:2] == ("executed", "jax")
    assert json.loads(run.read_text("utf-8"))["value"]["cells"][1]["outputs"][0]["text"] == "2\n"
    sees(said)


@pytest.mark.fault("The disk is full during the build")
def test_build_on_a_full_disk_says_what_is_kept(small_book, tmp_path, monkeypatch, capsys, sees):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", disk_full(tmp_path / "cache"))
        assert small_book(small_section("print(1)")) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    kept = "finished notebooks are kept, the next run goes on from there."
    assert said == f"error: the disk is full. Make room on it: {kept}"
    assert list((tmp_path / "cache").rglob("*.*")) == []
    assert small_book(small_section("print(1)")) == 0
    sees(said)


@pytest.mark.fault("A build is killed between the two renames that put new pages in the place of the last ones")
def test_build_killed_between_its_renames_is_made_good_by_the_next(small_book, tmp_path, capsys, sees):
    html = tmp_path / "html"
    copied = shutil.copytree(html, tmp_path / "html_copied")
    (copied / "index.html").write_text("the new page")
    html.rename(tmp_path / "html_last")
    assert small_book(small_section("fail")) == 1  # of one that renders no pages, the last good ones are kept
    said = capsys.readouterr().err
    assert "The last good page is kept" in said
    assert (html / "index.html").read_text("utf-8") == "the new page" and not copied.exists()
    sees(said[said.index("1 of 1 notebooks") :])


@pytest.mark.parametrize("there", ["html_copied", "html_last"])
def test_what_one_folder_has_left_is_not_taken_for_whole_pages(small_book, tmp_path, there):
    (tmp_path / "html").rename(tmp_path / there)
    repair(tmp_path / "html")
    assert not (tmp_path / "html").exists()


STOPPED = """
import sys
from book import commands
from book.verbs import run_here
from test_build import Path, execute_notebooks, small_section

def build(tabs):
    "Run one cell, or cells of several sections beside each other."
    execute_notebooks.NOTEBOOKS = Path.cwd()
    execute_notebooks.at_a_time = lambda: 2
    sections = [small_section(cell) for cell in cells]
    execute_notebooks.run(*sections, "smoke") if len(sections) == 1 else execute_notebooks.run_all(sections)

_, verb, *cells = sys.argv
commands.build = build
sys.exit(run_here([verb]))
"""
STOP = """
import os, pathlib, signal, time
pathlib.Path(f"../../kernel{{os.getpid()}}").touch()
while len(list(pathlib.Path("../..").glob("kernel*"))) < {kernels}:
    time.sleep(0.1)
time.sleep({seconds})
os.kill(os.getppid(), signal.{name})
time.sleep(100)
pathlib.Path("../../ran on").touch()
"""
WAIT = """
import os, pathlib, time
pathlib.Path(f"../../kernel{os.getpid()}").touch()
time.sleep(100)
pathlib.Path("../../ran on").touch()
"""


@pytest.mark.fault("Ctrl-C or SIGTERM comes during the build")
@pytest.mark.parametrize("beside", [0, 1])  # other notebooks that run at the time
@pytest.mark.parametrize("seconds", [0, 0.95])  # nbclient looks at the kernel each full second
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_build_that_is_stopped_says_what_is_kept_and_ends_its_kernels(tmp_path, sees, name, seconds, beside):
    cells = [STOP.format(name=name, seconds=seconds, kernels=beside + 1), *[WAIT] * 3 * beside]
    command = [sys.executable, "-c", STOPPED, "build", *cells]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{ROOT / 'tests/book'}"}
    stopped = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert stopped.returncode == 130, stopped.stderr
    bar, message = stopped.stderr.rstrip().rsplit("\n", 1)
    assert "Traceback" not in bar
    assert message == "Interrupted: finished notebooks are kept, the next run goes on from there."
    kernels = [int(path.name.removeprefix("kernel")) for path in tmp_path.glob("kernel*")]
    assert len(kernels) == beside + 1 and not (tmp_path / "ran on").exists()
    for kernel in kernels:
        with pytest.raises(ProcessLookupError):
            os.kill(kernel, 0)
    sees(message)


def test_build_that_ignores_ctrl_c_as_in_the_background_of_a_script_goes_on(tmp_path):
    ignored = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{STOPPED}"
    cell = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(1.5)"
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{ROOT / 'tests/book'}"}
    command = [sys.executable, "-c", ignored, "build", cell]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=TIME_LIMIT)
    assert run.returncode == 0, run.stderr
