"""The audit accepts what is said to be harmless, and never takes silence for good news."""

import json
import zipfile

import pytest
import yaml

from book.errors import BookError
from qa import advisories, package_audit
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
    status, said = run([SAFE, SAFE | {"version": "1.16.0"}])
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
    assert said.startswith(
        "error: no database of vulnerabilities answers: ConnectionError: pypi.org. make audit DATABASE="
    )
    status, said = run([SAFE, {"name": "odd", "skip_reason": "not found"}])
    assert status == 1
    assert said.startswith("error: no database of vulnerabilities answers for 1 of 2 packages. make audit DATABASE=")
    assert said.count("\n") == 1


# A database on the disk


def advisory(name: str, *, events=(), versions=(), **more: object) -> dict:
    """A record as OSV has them."""
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "versions": list(versions)}
    affected["ranges"] = [
        {"type": "ECOSYSTEM", "events": list(events)},
        {"type": "GIT", "events": [{"introduced": "0"}]},
    ]
    return {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "affected": [affected]} | more


def vulnerabilities(tmp_path, version: str, *records: dict) -> list[dict]:
    """What a folder of records says of a version of a package."""
    for number, record in enumerate(records):
        (tmp_path / f"{number}.json").write_text(json.dumps(record), "utf-8")
    [package] = advisories.look_up([("Some.Name", version)], tmp_path)
    return package["vulns"]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        *(("0.9", False), ("1.0", True), ("1.9.9", True), ("2.0", False), ("2.4", False)),
        *(("3.0rc1", False), ("3.0", True), ("3.2", True), ("3.2.1", False), ("5.0.post1", True)),
    ],
)
def test_ranges_of_versions_are_read_as_osv_defines_them(tmp_path, version, affected):
    events = [{"last_affected": "3.2"}, {"introduced": "3.0"}, {"introduced": "1"}, {"fixed": "2"}]
    record = advisory("some_name", events=events, versions=["5.0.post1"])
    found = vulnerabilities(tmp_path, version, record)
    assert found == ([{"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2"]}] if affected else [])


def test_what_is_fixed_where_it_begins_again_is_affected_from_there(tmp_path):
    events = [{"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "1.7"}]
    record = advisory("some-name", events=events)
    assert [bool(vulnerabilities(tmp_path, version, record)) for version in ("1.0", "1.6", "1.7", "9")] == [
        *(True, False, True, True)
    ]


def test_one_vulnerability_by_two_names_is_one_and_a_withdrawn_one_is_none(tmp_path):
    events = [{"introduced": "0"}]
    twice = advisory("some-name", events=events, id="GHSA-aaaa", aliases=["CVE-2026-1", "PYSEC-2026-1"])
    withdrawn = advisory("some-name", events=events, id="PYSEC-2026-2", aliases=[], withdrawn="2026-01-02T00:00:00Z")
    found = vulnerabilities(tmp_path, "1.0", advisory("some-name", events=events), twice, withdrawn)
    assert [finding["id"] for finding in found] == ["PYSEC-2026-1"]


def test_other_packages_and_other_ecosystems_are_none_of_ours(tmp_path):
    elsewhere = advisory("some-name", events=[{"introduced": "0"}])
    elsewhere["affected"][0]["package"]["ecosystem"] = "npm"
    assert vulnerabilities(tmp_path, "1.0", elsewhere, advisory("another", events=[{"introduced": "0"}])) == []


@pytest.mark.parametrize("packed", [False, True])
def test_database_on_the_disk_needs_no_network(tmp_path, monkeypatch, capsys, packed):
    """Records as YAML in a folder, as PyPA has them, or as JSON in a zip file, as OSV has them."""
    monkeypatch.setattr(package_audit, "_ask", lambda: pytest.fail("asked the network"))
    (tmp_path / "pins.txt").write_text(
        "# Pins\nSome_Name==1.0; python_version < '3.12'\nSome_Name==2.0\nsafe==1 # why\n"
    )
    monkeypatch.setattr(package_audit, "PINS", [tmp_path / "pins.txt"])
    (tmp_path / "audit.toml").write_text("[accepted]\n")
    monkeypatch.setattr(package_audit, "ACCEPTED", tmp_path / "audit.toml")
    record = advisory("some-name", events=[{"introduced": "0"}, {"fixed": "1.5"}])
    database = tmp_path / "all.zip" if packed else tmp_path / "vulns"
    if packed:
        with zipfile.ZipFile(database, "w") as file:
            file.writestr("PYSEC-2026-1.json", json.dumps(record))
    else:
        (database / "some-name").mkdir(parents=True)
        (database / "some-name" / "PYSEC-2026-1.yaml").write_text(yaml.safe_dump(record), "utf-8")
        (database / "settings.yml").write_text("a: 1\n")
    monkeypatch.setattr("sys.argv", ["qa", "audit", str(database)])
    assert main() == 1
    assert capsys.readouterr().err.startswith("error: Some_Name 1.0: PYSEC-2026-1, CVE-2026-1; fixed in 1.5\nRenew")
    (tmp_path / "audit.toml").write_text("[accepted]\nCVE-2026-1 = 'no network here'\n")
    assert main() == 0
    assert capsys.readouterr().out.endswith(
        "3 packages are pinned, and none has a known vulnerability that is not accepted.\n"
    )


@pytest.mark.fault("make audit is given no database of advisories")
def test_what_is_no_database_is_named(tmp_path, sees):
    with pytest.raises(BookError, match="neither a folder nor a zip file of advisories") as caught:
        advisories.look_up([], tmp_path / "all.zip")
    sees(str(caught.value))
    with pytest.raises(BookError, match="no advisory in it is about a package of PyPI's"):
        advisories.look_up([], tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(BookError, match=r"broken\.json: not an advisory: "):
        advisories.look_up([], tmp_path)


def test_every_pin_of_every_python_is_looked_up():
    found = package_audit.pins()
    assert {version for name, version in found if name == "jax"} >= {"0.7.1", "0.10.2"}
    assert len({name for name, _ in found}) > 200
