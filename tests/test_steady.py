"""The runs of all tests under unlike conditions: each bears what it says, and one that fails ends the row."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from book import steady
from book.source import BookError

# In place of the tests: tells where and as what it runs, and ends as pytest does.
SHOW = """
echo "folder: $PWD"
echo "cores: $(sed -n "s/^Cpus_allowed_list:[[:space:]]*//p" /proc/self/status)"
echo "charset: $(locale charmap)"
echo "offset: $(date +%z)"
echo "user: $(id -u)"
[ -n "$D2L_DATA" ] && [ ! -w "$D2L_DATA" ] && echo "data: read-only"
siblings=$(grep -ls "^PPid:[[:space:]]*$PPID$" /proc/[0-9]*/status)
echo "beside: $(grep -as '[w]hile True: pass' $(echo "$siblings" | sed 's/status$/cmdline/') | wc -l)"
echo "===== 3 passed, 1 skipped in 0.02s ====="
"""
FAIL = "echo '===== 1 failed, 2 passed in 0.02s ====='; exit 1"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    try:
        steady.check_programs()
    except BookError as error:
        pytest.skip(str(error))
    for name, path in {"ROOT": "repository", "LOGS": "logs", "RESULTS": "steady.json", "TABLE": "steady.md"}.items():
        monkeypatch.setattr(steady, name, tmp_path / path)
    monkeypatch.setattr(steady, "COMMAND", ("sh", "-c", SHOW))
    # Hooks and signatures that the user has asked for are not for this commit.
    for name, value in {"GLOBAL": os.devnull, "NOSYSTEM": "1"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "init", "--quiet", "repository"], cwd=tmp_path, check=True)
    subprocess.run(
        [*git, "commit", "--quiet", "--allow-empty", "--message=Empty"], cwd=tmp_path / "repository", check=True
    )
    return tmp_path


def test_each_condition_is_that_of_its_name(folder, monkeypatch):
    monkeypatch.setenv("D2L_DATA", str(folder))
    steady.add_runs(len(steady.CONDITIONS))
    logs = [(folder / "logs" / f"{i}.log").read_text() for i in range(1, len(steady.CONDITIONS) + 1)]
    german, nobody, blanks, beside, one_core, plain = (
        dict(line.split(": ", 1) for line in log.splitlines() if ": " in line) for log in logs
    )
    cores = re.search(r"^Cpus_allowed_list:\s*(\S+)", Path("/proc/self/status").read_text(), re.M)[1]
    assert (one_core["cores"], plain["cores"]) == (steady.CORE, cores)
    assert [run["beside"] for run in (german, nobody, blanks, beside, one_core, plain)] == [*"000100"]
    assert german["charset"] == "ISO-8859-1"
    assert german["offset"] in ("+1245", "+1345")
    assert blanks["folder"].endswith("/Größe & Maß des Buchs")
    assert nobody["user"] == (steady.NOBODY if os.geteuid() == 0 else str(os.geteuid()))
    assert nobody["data"] == "read-only"
    assert {run["folder"].rpartition("/")[2] for run in (german, nobody, beside, one_core, plain)} == {"book"}
    assert all("data" not in run for run in (german, blanks, beside, one_core, plain))


def test_table_has_the_row_since_a_run_failed(folder, monkeypatch, capsys):
    steady.add_runs(1)
    monkeypatch.setattr(steady, "COMMAND", ("sh", "-c", FAIL))
    with pytest.raises(BookError, match=r"The run not as root, data read-only failed; its output is in .*/logs/2\.log"):
        steady.add_runs(3)
    assert "The last 0 passed.\n" in (folder / "steady.md").read_text()
    monkeypatch.setattr(steady, "COMMAND", ("sh", "-c", SHOW))
    steady.add_runs(2)
    runs = json.loads((folder / "steady.json").read_text())
    for run, seconds in zip(runs, (600, 60, 1200, 900), strict=True):
        run["seconds"] = seconds
    (folder / "steady.json").write_text(json.dumps(runs))
    page = steady.table()
    assert "The last 2 passed: the shortest took 15.0 minutes, the longest 20.0.\n" in page
    rows = [line.split(" | ") for line in page.splitlines()[-4:]]
    assert [row[3] for row in rows] == ["3 passed, 1 skipped", "1 failed, 2 passed", *["3 passed, 1 skipped"] * 2]
    assert [row[1] for row in rows] == [condition.name for condition in steady.CONDITIONS[:4]]
    assert re.search(r"1/3 not as root, data read-only \.\.\. 1 failed, 2 passed, \d\.\d min", capsys.readouterr().out)


def test_command_that_runs_no_test_has_not_passed(monkeypatch):
    monkeypatch.setattr(steady, "COMMAND", ("true",))
    with pytest.raises(BookError, match="failed"):
        steady.add_runs(1)
    assert steady.stored()[0].outcome == "no test ran, exit status 0"


def test_interrupted_run_ends_all_that_it_has_started(folder, monkeypatch):
    class Process(subprocess.Popen):
        def wait(self, *args, **kwargs):
            if "sh" in self.args:
                (folder / "waited for").touch()
            return super().wait(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setenv("FOLDER", str(folder))
    trap = 'end() { touch "$FOLDER/ended"; exit; }; trap end TERM'
    wait = 'until [ -e "$FOLDER/waited for" ]; do sleep 0.01; done'
    command = f"{trap}; {wait}; kill -INT {os.getpid()}; while true; do sleep 0.1; done"
    monkeypatch.setattr(steady, "COMMAND", ("sh", "-c", f"sh -c '{command}' & wait"))
    with pytest.raises(KeyboardInterrupt):
        steady.add_runs(1)
    deadline = time.monotonic() + 120
    while not (folder / "ended").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (folder / "ended").exists()
    assert not steady.RESULTS.exists()


def test_stored_table_is_that_of_the_stored_runs(monkeypatch):
    """Else: make steady."""
    monkeypatch.undo()
    assert steady.TABLE.read_text("utf-8") == steady.table()
    assert [run.condition for run in steady.stored() if run.condition not in {c.name for c in steady.CONDITIONS}] == []
