"""The audit accepts what is said to be harmless, and never takes silence for good news."""

import json

import pytest

from qa import package_audit
from qa.__main__ import main

pytestmark = pytest.mark.quick

SAFE = {"name": "six", "version": "1.17.0", "vulns": []}
UNSAFE = {
    "name": "old",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2020-1", "aliases": ["GHSA-aaaa"], "fix_versions": ["1.1"], "description": "..."}],
}
FOUND = "old 1.0: PYSEC-2020-1, GHSA-aaaa; fixed in 1.1"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the audit with what pip-audit answers and what is accepted; gives the exit status and what is said."""

    def run(packages: list[dict] | None, accepted: str = "", error: str = "") -> tuple[int, str]:
        answer = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
        # Stands in for pip-audit, which asks the network; it exits 1 for findings and for errors alike.
        module = f"import sys\nprint({answer!r})\nprint({error!r}, file=sys.stderr)\nsys.exit(1)\n"
        (tmp_path / "pip_audit.py").write_text(module)
        (tmp_path / "audit.toml").write_text(f"[accepted]\n{accepted}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(package_audit, "ACCEPTED", tmp_path / "audit.toml")
        monkeypatch.setattr("sys.argv", ["book", "audit"])
        return main(), "".join(capsys.readouterr())

    return run


def test_nothing_known_is_good(run):
    status, said = run([SAFE, SAFE])
    assert status == 0
    assert said == "2 packages are pinned, and none has a known vulnerability that is not accepted.\n"


def test_finding_fails_with_what_mends_it(run):
    status, said = run([SAFE, UNSAFE])
    assert status == 1
    assert FOUND in said


@pytest.mark.parametrize("name", ["PYSEC-2020-1", "GHSA-aaaa"])
def test_accepted_finding_passes_and_is_named_with_the_reason(run, name):
    status, said = run([UNSAFE], f'{name} = "no network here"')
    assert status == 0
    assert f"{FOUND}; accepted: no network here" in said


def test_accepted_finding_needs_a_reason_and_goes_when_it_is_mended(run):
    assert run([UNSAFE], 'GHSA-aaaa = " "') == (1, "error: audit.toml: say why GHSA-aaaa is accepted\n")
    status, said = run([SAFE], 'GHSA-aaaa = "why"')
    assert status == 0
    assert "GHSA-aaaa is not found any more" in said


def test_database_that_does_not_answer_is_no_good_news(run):
    status, said = run(None, error="Traceback\nConnectionError: pypi.org")
    assert status == 1
    assert "could not be asked, so nothing is known: ConnectionError: pypi.org" in said
    status, said = run([SAFE, {"name": "odd", "skip_reason": "not found"}])
    assert status == 1
    assert "could not be asked about 1 of 2 packages, so nothing is known of them; the first: not found" in said
