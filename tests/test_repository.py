"""What a newcomer is told is so: rooms and what they import, verbs, links, markers, versions, workflows and forms."""

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.frameworks import FRAMEWORKS
from book.publication import PAGES_BRANCH
from book.verbs import LINT, VERBS, parse
from d2l.installation import VERSION

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


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


def test_one_module_imports_d2lbook():
    files = (path for room in ("book", "qa", "bench", "theme", "img") for path in (ROOT / room).rglob("*.py"))
    imports = re.compile(r"\b(?:import|from) d2lbook\b|import_module\([^)]*d2lbook")
    assert [path.name for path in files if imports.search(path.read_text("utf-8"))] == ["d2lbook_adapter.py"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_verb_is_explained():
    """In the README, or for those who work on the book, in CONTRIBUTING.md."""
    text = "".join(page.read_text("utf-8") for page in PAGES[:2])
    assert [verb for verb in VERBS if f"make {verb}" not in text] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "CHANGELOG"], ids=lambda page: page.name)
def test_every_verb_that_is_named_is_one(page):
    named = set(re.findall(r"(?:`|^    )(?:make|python -m book) ([a-z]+)", page.read_text("utf-8"), re.M))
    assert named - {*VERBS, "build", "help"} == set()


def test_citation_is_of_this_version_and_of_no_single_person():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == VERSION
    assert f"## {VERSION}" in PAGES[2].read_text("utf-8")
    assert [list(author) for author in citation["authors"]] == [["name"]]


def test_every_framework_has_all_that_its_entry_stands_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(FRAMEWORKS) <= {*extras}
    assert [one for one in FRAMEWORKS.values() if not (ROOT / "d2l" / f"{one.module}.py").is_file()] == []
    for attribute in ("module", "title", "colours", "mark"):
        assert len({getattr(framework, attribute) for framework in FRAMEWORKS.values()}) == len(FRAMEWORKS), attribute


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_may_only_read_and_ends(workflow):
    """All but the job that publishes the pages: it writes a branch, and runs no code of the repository."""
    content = yaml.safe_load(workflow.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert all(0 < job["timeout-minutes"] <= 180 for job in content["jobs"].values())
    writing = {name: job for name, job in content["jobs"].items() if "permissions" in job}
    assert list(writing) == (["publish"] if workflow.stem == "pages" else [])
    for job in writing.values():
        assert job["permissions"] == {"contents": "write"}
        assert [step.get("uses", "").partition("@")[0] for step in job["steps"]] == ["actions/download-artifact", ""]


def test_pages_are_published_where_notebooks_are_looked_for():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text("utf-8"))["jobs"]
    assert ".ci/run make install pdf slides site TABS=pytorch" in [step.get("run") for step in jobs["build"]["steps"]]
    kept = next(step["with"] for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert kept["path"] == "_build/site"
    assert kept["include-hidden-files"] and kept["if-no-files-found"] == "error"
    assert f"--initial-branch {PAGES_BRANCH}" in jobs["publish"]["steps"][-1]["run"]
    assert f"{PAGES_BRANCH}\n" in jobs["publish"]["steps"][-1]["run"]


def test_workflows_run_what_is_run_here():
    workflows = [yaml.safe_load(path.read_text("utf-8")) for path in WORKFLOWS]
    runs = [step.get("run") for content in workflows for job in content["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in runs and ".ci/run ${{ matrix.under }} make test" in runs
    called = [words for words in map(str.split, filter(None, runs)) if words[:3] == ["python", "-m", "book"]]
    assert {words[3] for words in called} >= {"quick", "book"}
    assert [words for words in called if parse(words[3:]).run is None] == []
    assert os.name != "posix" or os.access(ROOT / ".ci" / "run", os.X_OK)


def test_commits_are_checked_as_make_quick_does():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    entries = [hook["entry"].removesuffix(" --force-exclude") for repo in repos for hook in repo["hooks"]]
    assert entries == [f".venv/bin/{check}" for check in LINT]


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


def test_types_are_found_to_be_the_same_whichever_frameworks_are_installed():
    """PyTorch always is; each other one has a stub, else the helper's module of its name would be taken for it."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    others = content["project"]["optional-dependencies"].keys() - {"pytorch", "book", "test", "figures"}
    assert {path.stem for path in (ROOT / content["tool"]["pyright"]["stubPath"]).glob("*.pyi")} == others


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
        ("fault", ("each.py", "pictures.py", "some.ipynb")),
    ],
)
def test_files_without_the_marker_are_not_imported(conftest, tmp_path, chosen, left_alone):
    (tmp_path / "each.py").write_text("def test_in_each_framework(sees, fw): pass\n")
    (tmp_path / "pictures.py").write_text("pytestmark = pytest.mark.quick\n")
    (tmp_path / "book.py").write_text("import d2lbook\n\n@pytest.mark.fault('A fault')\ndef test(): pass\n")
    (tmp_path / "some.ipynb").write_text("{}")
    config = SimpleNamespace(option=SimpleNamespace(markexpr=chosen))
    files = sorted(tmp_path.iterdir())
    assert tuple(path.name for path in files if conftest.pytest_ignore_collect(path, config)) == left_alone
    assert not conftest.pytest_ignore_collect(tmp_path, config)


def imported_at_once(file: Path) -> Iterator[str]:
    """The modules that a file imports when it is imported itself, and what it takes from them, by their full names."""
    nodes = list(ast.parse(file.read_text("utf-8")).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1].relative_to(ROOT).parts if node.level else ()
            module = ".".join([*folder, *filter(None, [node.module])])
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += ast.iter_child_nodes(node)


def others_needed(files: Iterable[Path]) -> dict[str, Path]:
    """The packages of others that these files need, and the files here that they import; each with who imports it."""
    needed: dict[str, Path] = {}
    found, missing = set(), list(files)
    while missing:
        file = missing.pop()
        found.add(file)
        for name in imported_at_once(file):
            path = Path(*name.split("."))
            folders = (ROOT, ROOT / "tests", file.parent)
            own = [folder / part for folder in folders for part in (path.with_suffix(".py"), path / "__init__.py")]
            missing += {one for one in own if one.is_file()} - found
            if not any(
                (folder / path.parts[0]).is_dir() or (folder / f"{path.parts[0]}.py").is_file() for folder in folders
            ):
                needed.setdefault(path.parts[0], file)
    return needed


def brought(names: Iterable[str]) -> set[str]:
    """These distributions, and those that come with them."""
    found, missing = set(), set(map(canonicalize_name, names))
    while missing:
        found.add(name := missing.pop())
        try:
            requirements = map(Requirement, requires(name) or ())
        except PackageNotFoundError:
            continue
        here = (one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""}))
        missing |= set(map(canonicalize_name, here)) - found
    return found


def test_quick_tests_need_no_package_but_those_of_their_extras(conftest):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        *project["dependencies"],
        *(one for name in ("pytorch", "test") for one in project["optional-dependencies"][name]),
    ]
    there = brought(Requirement(requirement).name for requirement in extras)
    files = [path for path in (ROOT / "tests").rglob("*.py") if conftest.carries(path, "quick")]
    assert len(files) > 10
    needed = others_needed([ROOT / "tests" / "conftest.py", *files])
    distributions = packages_distributions()
    lacking = [
        f"{name}, imported by {file.relative_to(ROOT)}"
        for name, file in needed.items()
        if name not in sys.stdlib_module_names and not there & set(map(canonicalize_name, distributions.get(name, [])))
    ]
    assert lacking == []
