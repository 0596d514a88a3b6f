"""The package published as d2l has the same folder as this one: it is not mixed with it, nor hides it, unnoticed."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from book.errors import BookError
from book.files import ROOT
from book.helper_origin import check_helper
from book.verbs import run_here
from d2l.installation import NAME, VERSION, check_found, check_unmixed

pytestmark = pytest.mark.helper

PUBLISHED = {name: '"""Another project\'s."""\n__version__ = "1.0.3"\n' for name in ("__init__.py", "torch.py")}


def write_published(site: Path, *names: str) -> None:
    """Put files in place as an installation of the published package does."""
    info = site / "d2l-1.0.3.dist-info"
    info.mkdir(parents=True)
    (site / "d2l").mkdir(exist_ok=True)
    for name in names:
        (site / "d2l" / name).write_text(PUBLISHED[name])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: d2l\nVersion: 1.0.3\n")
    (info / "RECORD").write_text("".join(f"d2l/{name},,\n" for name in names))


@pytest.fixture
def site(tmp_path):
    """A folder on Python's path with this package, installed."""
    shutil.copytree(ROOT / "d2l", tmp_path / "site" / "d2l", ignore=shutil.ignore_patterns("__pycache__", "sample"))
    return tmp_path / "site"


def test_name_is_that_of_the_project_and_the_import_stays():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["name"] == NAME != "d2l"
    assert project["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "d2l.installation.VERSION"


def test_no_message_sends_anyone_to_the_published_package():
    for folder in ("d2l", "book", "qa", "bench", "tests", "chapter_cnn", "theme"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in (".py", ".md", ".js", ".html") and path != Path(__file__):
                assert "pip install d2l" not in path.read_text("utf-8")
                assert "d2l[" not in path.read_text("utf-8").replace("alexnet-d2l[", ""), path


@pytest.mark.parametrize("name", ["torch.py", "tensorflow.py", "mxnet.py", "jax.py", "paddle.py", "__init__.py"])
def test_a_module_of_the_other_package_is_named(site, name):
    check_unmixed(site / "d2l")
    (site / "d2l" / name).write_text(PUBLISHED["torch.py"])
    with pytest.raises(ImportError, match=rf"not of {NAME}, or gone, are {name}\. .*pip uninstall {NAME} d2l"):
        check_unmixed(site / "d2l")


def test_the_other_package_uninstalled_has_taken_files_along(site):
    (site / "d2l" / "__init__.py").unlink()
    with pytest.raises(ImportError, match=r"are __init__\.py\. "):
        check_unmixed(site / "d2l")


def test_a_new_framework_of_ones_own_is_no_other_package(site):
    (site / "d2l" / "paddle.py").write_text("import paddle\n\nfrom . import datasets, modules, trainer\n")
    check_unmixed(site / "d2l")


def installed_by(message):
    """What a message says is installed, with what the test's own Python has."""
    return re.search(r"Installed: (.*?)\. [A-Z]", message)[1]


@pytest.mark.parametrize("overwritten", PUBLISHED)
@pytest.mark.fault("The package published as d2l has overwritten modules of the helper")
def test_half_of_one_and_half_of_the_other_is_not_imported(site, sees, overwritten):
    write_published(site, overwritten)
    # From the package that is ours, or from a module of ours in a package that is not.
    code = "from d2l import jax"
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code]
    error = subprocess.run(command, env=environment, cwd=site, capture_output=True, text=True).stderr.splitlines()[-1]
    assert error.startswith(f"ImportError: {site / 'd2l'} is half of {NAME} and half of the package published as d2l")
    assert f"are {overwritten}. " in error
    here = installed_by(error)
    assert "d2l 1.0.3" in here.split(" and ")
    if overwritten == "torch.py":
        sees(error.replace(here, f"{NAME} {VERSION} and d2l 1.0.3"))


@pytest.mark.fault("Another package named d2l hides the helper, all but what it lacks")
def test_package_that_hides_the_helper_is_named(sees):
    check_found(Path("/site/d2l"), ["/site/d2l"])
    with pytest.raises(
        ImportError, match=r"Python finds the package d2l in /other/d2l, and alexnet-d2l is in"
    ) as raised:
        check_found(Path("/site/d2l"), ["/other/d2l"])
    message = f"ImportError: {raised.value}"
    sees(message.replace(installed_by(message), f"{NAME} {VERSION} and d2l 1.0.3"))


# The book


def only_on_path(monkeypatch, *folders):
    """Have Python's path be these folders, before those of the libraries, and the repository's."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", [str(ROOT), *map(str, folders)])


def test_helper_of_this_repository_is_found(monkeypatch, tmp_path):
    only_on_path(monkeypatch, tmp_path)
    check_helper()
    write_published(tmp_path, *PUBLISHED)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # which kernels are given, too
    check_helper()


@pytest.mark.parametrize("verb", [["build"], ["notebooks"], ["record", "pytorch"], ["reference"], ["lib"]])
@pytest.mark.fault("The package published as d2l is installed beside the helper, and hides it from the notebooks")
def test_published_package_that_hides_the_helper_stops_the_book(monkeypatch, tmp_path, capsys, sees, verb):
    write_published(tmp_path, *PUBLISHED)
    only_on_path(monkeypatch, tmp_path)
    assert run_here(verb) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"error: {tmp_path / 'd2l'}: notebooks here would import this package named d2l and not the")
    here = installed_by(said)
    assert "d2l 1.0.3" in here.split(" and ") and f"{sys.executable} -m pip uninstall d2l; " in said
    if verb == ["build"]:
        said = said.replace(f"Installed: {here}", f"Installed: {NAME} {VERSION} and d2l 1.0.3")
        sees(said.replace(sys.executable, "python").replace(str(ROOT), "the repository"))


def test_a_copy_that_no_distribution_owns_is_to_be_taken_off_the_path(monkeypatch, tmp_path):
    (tmp_path / "d2l").mkdir()
    (tmp_path / "d2l" / "__init__.py").write_text(PUBLISHED["__init__.py"])
    only_on_path(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BookError, match=rf"Installed: .*take {tmp_path} off PYTHONPATH"):
        check_helper()


def test_tests_stop_too(monkeypatch, tmp_path, request):
    write_published(tmp_path, *PUBLISHED)
    only_on_path(monkeypatch, tmp_path)
    conftest = next(p for p in request.config.pluginmanager.get_plugins() if getattr(p, "check_helper", None))
    with pytest.raises(pytest.UsageError, match="notebooks here would import this package named d2l"):
        conftest.pytest_configure(request.config)


def test_installed_distributions_are_looked_for_only_when_something_is_wrong(monkeypatch, site):
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: pytest.fail("looked for"))
    check_unmixed(site / "d2l")
