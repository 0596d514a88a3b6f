"""The two doors: `make VERB` and `python -m book VERB` have the same verbs, described alike, and do the same."""

import functools
import re
import shlex
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from book import __main__, commands, programs, verbs
from book.errors import BookError
from book.files import ROOT
from book.verbs import VERBS, parse, run_here
from qa import __main__ as qa

pytestmark = pytest.mark.quick

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VARIABLES = {
    "TAB": "mxnet",
    "TABS": "pytorch jax",
    "SECTION": "lenet",
    "LIMITS": "epochs=1 images=6000",
    "WRITE": "yes",
    "NOTEBOOK": "jax/chapter_cnn/lenet",
    "ARGS": "--allow-root --port=1",
    "PARTS": "gpu",
    "ONLY": "resize",
    "RANDOM": "40",
    "SEED": "7",
    "DATABASE": "all.zip",
    "CHECK": "yes",
    "or $(RUNS),6": "2",
    "UNDER": "taskset --cpu-list 0",
}


def recipe(verb: str, **variables: str) -> list[str]:
    """What `make` hands over to `python -m book` for a verb, with variables on its command line."""
    line = re.search(rf"^{verb}:.*\n\t@\$\(BOOK\) (.*)$", MAKEFILE, re.M)[1]
    line = line.replace("$(or $(RUNS),6)", variables.get("RUNS", "6"))
    return shlex.split(re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], ""), line))


def test_both_doors_have_the_same_verbs_with_the_same_descriptions():
    lines = dict(re.findall(r"^([a-z]+): ## (.*)$", MAKEFILE, re.M))
    assert lines.pop("help")
    of_make = {verb: line.partition(f": make {verb} ")[0] for verb, line in lines.items()}
    assert of_make == {verb: run.__doc__ for verb, (run, *_) in VERBS.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_make_calls_the_verb_of_its_name_and_its_variables_may_be_unset(verb):
    words = recipe(verb, TAB="pytorch")
    assert words[0] == verb
    assert parse(words).run is VERBS[verb][0]


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The programs that verbs start, without their Python."""
    started = []
    monkeypatch.setattr(verbs, "run_program", lambda command, **_: started.append(command[1:]) or 0)
    return started


@pytest.mark.parametrize(
    ("verb", "command", "handed_over"),
    [
        *((verb, verb, ()) for verb in ("data", "notebooks", "slides", "lib")),
        ("book", "build", (["pytorch", "jax"],)),
        ("site", "build", (["pytorch", "jax"],)),
        ("site", "site", ()),
        ("serve", "build", (["pytorch", "jax"],)),
        ("lab", "notebooks", ()),
        ("record", "record", ("mxnet", ["epochs=1", "images=6000"], "lenet")),
        ("reference", "reference", (True, "lenet")),
        ("pdf", "pdf", ("mxnet",)),
        ("links", "links", (True,)),
    ],
)
def test_variables_of_make_reach_the_command(monkeypatch, started, verb, command, handed_over):
    called = {}
    for name in {"build", "site", "notebooks", command}:
        monkeypatch.setattr(commands, name, lambda *arguments, name=name: called.setdefault(name, arguments))
    assert run_here(recipe(verb, **VARIABLES)) == 0
    assert called[command] == handed_over


@pytest.mark.parametrize(
    ("verb", "ends_with"),
    [
        ("lab", ["jax/chapter_cnn/lenet.ipynb", "--allow-root", "--port=1"]),
        ("serve", ["_build/html", "8000"]),
        ("bench", ["-m", "bench", "gpu"]),
        ("contract", ["-m", "contract.interface"]),
        ("figures", ["img/layers.py"]),
        ("mutants", ["-m", "qa", "mutants", "--random", "40", "--seed", "7", "resize"]),
    ],
)
def test_variables_of_make_reach_the_program(monkeypatch, started, verb, ends_with):
    for name in ("build", "notebooks"):
        monkeypatch.setattr(commands, name, lambda *_: None)
    assert run_here(recipe(verb, **VARIABLES)) == 0
    last = [Path(word).as_posix() for word in started[-1]]
    assert all(word.endswith(end) for word, end in zip(last[-len(ends_with) :], ends_with, strict=True))


@pytest.mark.parametrize(
    ("verb", "handed_over"),
    [("chapters", ()), ("faults", ()), ("audit", ("all.zip",)), ("mutants", ("resize", "40", "7"))],
)
def test_what_judges_the_work_gets_the_variables_of_make(monkeypatch, started, verb, handed_over):
    run_here(recipe(verb, **VARIABLES))
    called = []

    @functools.wraps(getattr(qa, verb))
    def called_instead(*arguments: object) -> None:
        called.append(arguments)

    monkeypatch.setattr(qa, verb, called_instead)
    monkeypatch.setattr("sys.argv", started[0][1:])
    assert qa.main() == 0
    assert called == [handed_over]


def test_lint_ends_the_tests_at_the_first_that_fails(monkeypatch):
    started = []
    monkeypatch.setattr(verbs, "script", lambda name: name)
    monkeypatch.setattr(programs, "run_program", lambda command: started.append(command) or int("codespell" in command))
    monkeypatch.setattr(verbs, "run_program", lambda command: pytest.fail("ran the tests"))
    assert run_here(["quick"]) == 1
    assert started == [["ruff", "check"], ["ruff", "format", "--check"], ["codespell"]]


def test_soak_runs_all_tests_in_clones_until_one_fails(monkeypatch):
    started = []

    def run(command: list[str], cwd: Path = ROOT, **environment: None) -> int:
        started.append((command, cwd, environment))
        return int(len(started) == 4)

    monkeypatch.setattr(verbs, "run_program", run)
    assert run_here(recipe("soak", **VARIABLES, RUNS="3")) == 1
    clone, tests, *others = started
    assert clone[0][:4] == ["git", "clone", "--quiet", str(ROOT)] and clone[0][4] == str(tests[1])
    assert tests[0][:3] == ["taskset", "--cpu-list", "0"] and tests[0][4:] == ["-m", "book", "test"]
    assert tests[2] == {"D2L_DATA": None, "PYTHONPATH": None}
    assert len(others) == 2
    assert not tests[1].parent.exists()


def test_clean_leaves_what_people_work_in(tmp_path, monkeypatch):
    monkeypatch.setattr(verbs, "BUILD", tmp_path)
    for name in ("notebooks", "compiled", "html"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "lock").touch()
    (tmp_path / "other").touch()
    assert run_here(["clean"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "lock", "notebooks"]


# JupyterLab's options


@pytest.mark.parametrize(("user", "options"), [(0, []), (0, ["--", "--allow-root"]), (1000, []), (None, [])])
@pytest.mark.fault("JupyterLab is started by root, as in a container")
def test_root_is_told_how_jupyterlab_starts(monkeypatch, capsys, sees, user, options):
    monkeypatch.setattr(commands, "notebooks", lambda: None)
    monkeypatch.setattr(verbs, "run_program", lambda command: 1)
    if user is None:
        monkeypatch.delattr(verbs.os, "geteuid", raising=False)
    else:
        monkeypatch.setattr(verbs.os, "geteuid", lambda: user, raising=False)
    assert run_here(["lab", *options]) == 1
    said = capsys.readouterr().err
    assert ("make lab ARGS=--allow-root, or python -m book lab -- --allow-root" in said) == (user == 0 and not options)
    if said:
        sees(said)


def test_verb_that_hands_nothing_on_says_so(capsys):
    with pytest.raises(SystemExit):
        parse(["test", "--", "-k", "name"])
    assert "test hands on no options, and was given -k after --" in capsys.readouterr().err


# The environment that a verb runs in


@pytest.fixture
def entered(monkeypatch) -> list[list[str]]:
    """The Python that `python -m book clean` is handed over to."""
    entered = []
    monkeypatch.setattr("sys.argv", ["book", "clean"])
    monkeypatch.setattr(verbs, "run_here", lambda words: entered.append(words) or 0)
    monkeypatch.setattr(verbs, "run_program", lambda command: entered.append(command) or 3)
    return entered


def test_verb_runs_in_the_environment_that_has_been_prepared(monkeypatch, entered):
    monkeypatch.setattr(verbs, "prepare", lambda needs, tabs: "its/python")
    assert __main__.main() == 3
    assert entered == [["its/python", "-m", "book", "clean"]]


@pytest.mark.parametrize(("encoding", "is_this"), [("UTF-8", True), ("cp1252", False)])
def test_verb_runs_anew_where_files_are_not_utf_8(monkeypatch, entered, encoding, is_this):
    monkeypatch.setattr(verbs.sys, "flags", Namespace(utf8_mode=0))
    monkeypatch.setattr(verbs.locale, "getencoding", lambda: encoding)
    __main__.main()
    assert entered == [["clean"]] if is_this else [[sys.executable, "-m", "book", "clean"]]


# Programs


def test_status_of_a_program_is_that_of_the_verb():
    assert programs.run_program([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    with pytest.raises(BookError, match="no-such-program is not on this machine"):
        programs.run_program(["no-such-program"])


def test_variables_are_set_and_taken_away_for_a_program_alone(monkeypatch):
    monkeypatch.setenv("D2L_DATA", "elsewhere")
    code = "import os, sys; sys.exit(('D2L_DATA' in os.environ) + 2 * (os.environ.get('D2L_NEW') != 'ü'))"
    assert programs.run_program([sys.executable, "-c", code], D2L_DATA=None, D2L_NEW="ü") == 0


# Has a program started that reads to the end of its input, and says so once signals are passed on to it.
PASSING_ON = """
import signal, sys
from book.programs import run_program

def announced(number, handler, set_handler=signal.signal):
    before = set_handler(number, handler)
    if number == signal.SIGINT:
        print("started", flush=True)
    return before

signal.signal = announced
sys.exit(run_program([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(5)"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 128 + signal.SIGTERM), ("SIGINT", 5)])
def test_sigterm_is_passed_on_and_ctrl_c_is_the_programs_own(name, status):
    command = [sys.executable, "-c", PASSING_ON]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **streams) as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(getattr(signal, name))
        process.communicate(timeout=600)
    assert process.returncode == status
