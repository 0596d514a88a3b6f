"""What a newcomer is told is so: rooms and what they import, verbs, links, markers, versions, workflows and forms."""

import ast
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from d2l.distribution import VERSION

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def rooms() -> dict[str, set[str]]:
    """The rooms that CONTRIBUTING.md names, with those that each of them may import."""
    rows = re.findall(r"^\| (`.*?) \|.*\| (.*?) ?\|$", PAGES[1].read_text("utf-8"), re.M)
    return {room: set(re.findall(r"`(\w+)`", may)) for names, may in rows for room in re.findall(r"`(\S+)/`", names)}


def imported(path: Path) -> set[str]:
    """The packages that a file of Python imports, by their first names."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names}


def test_every_room_is_there_and_every_package_is_one():
    assert [room for room in rooms() if not (ROOT / room).is_dir()] == []
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - set(rooms()) == set()


@pytest.mark.parametrize("room", ["d2l", "book", "theme", "bench", "img", "qa"])
def test_room_imports_only_from_the_rooms_that_it_may(room):
    files = list((ROOT / room).rglob("*.py"))
    assert len(files) > 1
    others = (set(rooms()) | {"tests"}) - {room}
    found = {f"{path.relative_to(ROOT).as_posix()}: {name}" for path in files for name in imported(path) & others}
    assert [arrow for arrow in sorted(found) if arrow.partition(": ")[2] not in rooms()[room]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_verb_of_make_is_in_the_help_and_in_the_readme():
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", MAKEFILE, re.M)[1].replace("\\", "").split()
    helped = re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.M)
    assert sorted(phony) == sorted(helped)
    readme = PAGES[0].read_text("utf-8")
    assert [verb for verb in phony if f"make {verb}" not in readme] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "CHANGELOG"], ids=lambda page: page.name)
def test_every_verb_that_is_named_is_one(page):
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)", page.read_text("utf-8"), re.M))
    assert named - set(re.findall(r"^([a-z]+):", MAKEFILE, re.M)) == set()


def test_citation_is_of_this_version_and_of_no_single_person():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == VERSION
    assert f"## {VERSION}" in PAGES[2].read_text("utf-8")
    assert [list(author) for author in citation["authors"]] == [["name"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_only_read_and_ends(workflow):
    content = yaml.safe_load(workflow.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert all(0 < job["timeout-minutes"] <= 180 for job in content["jobs"].values())


def test_workflows_run_what_is_run_here():
    workflows = [yaml.safe_load(path.read_text("utf-8")) for path in WORKFLOWS]
    runs = [step.get("run") for content in workflows for job in content["jobs"].values() for step in job["steps"]]
    chosen = re.search(r'-m "(.*)"', MAKEFILE)[1]
    assert ".ci/run" in runs and ".ci/run ${{ matrix.under }} make test" in runs
    assert f'python -m pytest --numprocesses auto -m "{chosen}"' in runs
    assert os.name != "posix" or os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_form_asks_for_what_github_can_show(form):
    content = yaml.safe_load(form.read_text("utf-8"))
    assert {"name", "description", "body"} == content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert (
        len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields}) == len(fields)
    )
    assert all(field["attributes"]["options"] for field in fields if field["type"] == "dropdown")
    assert any(field["validations"]["required"] for field in fields if "validations" in field)


# The markers that choose tests


@pytest.fixture
def conftest(request):
    plugins = request.config.pluginmanager.get_plugins()
    return next(plugin for plugin in plugins if getattr(plugin, "check_helper", None))


@pytest.mark.parametrize(
    ("chosen", "left_alone"),
    [
        ("", ()),
        ("not slow", ()),
        ("quick and not slow", ("book.py", "some.ipynb")),
        ("fault", ("pictures.py", "some.ipynb")),
    ],
)
def test_files_without_the_marker_are_not_imported(conftest, tmp_path, chosen, left_alone):
    (tmp_path / "pictures.py").write_text("pytestmark = pytest.mark.quick\n")
    (tmp_path / "book.py").write_text("import d2lbook\n\n@pytest.mark.fault('A fault')\ndef test(): pass\n")
    (tmp_path / "some.ipynb").write_text("{}")
    config = SimpleNamespace(option=SimpleNamespace(markexpr=chosen))
    files = sorted(tmp_path.iterdir())
    assert tuple(path.name for path in files if conftest.pytest_ignore_collect(path, config)) == left_alone
    assert not conftest.pytest_ignore_collect(tmp_path, config)
