"""What is uploaded: built without a warning, whole, attributed, and good for training in an environment of its own."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from book.files import ROOT
from d2l.installation import NAME, VERSION

pytestmark = [pytest.mark.slow, pytest.mark.helper]

SITE, REPOSITORY = "https://example.org/alexnet/", "https://github.com/owner/name"
STEM = f"{NAME.replace('-', '_')}-{VERSION}"
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a source archive and of the wheel that is made from it, and what was said meanwhile.

    They are those of a book that is published.
    """
    for tool in ("build", "setuptools"):
        pytest.importorskip(tool, reason=f"needs {tool}, of the extra test")
    folder = tmp_path_factory.mktemp("packages") / "a book"
    shutil.copytree(ROOT / "d2l", folder / "d2l", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "qa", folder / "tests")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    config = (ROOT / "config.ini").read_text("utf-8")
    config = re.sub("^site_url =.*", f"site_url = {SITE}", config, flags=re.M)
    config = re.sub("^repository =.*", f"repository = {REPOSITORY}", config, flags=re.M)
    (folder / "config.ini").write_text(config, "utf-8")
    command = [sys.executable, "-W", "default", "-m", "build", "--no-isolation"]
    # Where Python is told to write no bytecode, setuptools warns of it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist", done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built[0] / f"{STEM}-py3-none-any.whl"


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with ZipFile(wheel) as files:
        return Parser().parsestr(files.read(f"{STEM}.dist-info/METADATA").decode())


def helper_files() -> set[str]:
    """The helper's files, from the root of the repository."""
    files = {path.relative_to(ROOT) for path in (ROOT / "d2l").rglob("*") if path.is_file()}
    return {file.as_posix() for file in files if "__pycache__" not in file.parts}


def test_packages_are_built_without_a_warning(built):
    said = built[1]
    assert said.count("Successfully built") == 1
    assert [line for line in said.splitlines() if re.search(r"warn|deprecat|!!", line, re.I)] == []


def test_packages_pass_the_check_of_whoever_uploads_them(built):
    pytest.importorskip("twine", reason="needs twine, of the extra test")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built[0].iterdir())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_wheel_is_the_whole_helper_and_nothing_else(wheel):
    with ZipFile(wheel) as files:
        names = {name for name in files.namelist() if ".dist-info/" not in name}
    assert names == helper_files()
    assert "d2l/py.typed" in names


def test_source_archive_has_what_its_wheel_is_made_from_and_no_tests(built):
    with tarfile.open(built[0] / f"{STEM}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= helper_files() | {*FILES, "config.ini"}
    assert [name for name in names if name.startswith("tests")] == []


def test_metadata_are_those_of_the_project(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (metadata["Name"], metadata["Version"]) == (NAME, VERSION)
    assert metadata["Author"] == ", ".join(author["name"] for author in citation["authors"])
    assert metadata["Keywords"].split(",") == citation["keywords"]
    assert dict(entry.split(", ") for entry in metadata.get_all("Project-URL")) == {
        "Documentation": SITE,
        "Source": REPOSITORY,
        "Issues": f"{REPOSITORY}/issues",
        "Changelog": f"{REPOSITORY}/blob/HEAD/CHANGELOG.md",
    }
    assert metadata.get_all("Classifier") == project["classifiers"]
    versions = [entry.rpartition(" ")[2] for entry in project["classifiers"] if re.search(r":: 3\.\d+$", entry)]
    assert tuple(versions) == PYTHONS
    assert "Typing :: Typed" in project["classifiers"]


def test_description_shows_its_pictures_and_finds_its_links_elsewhere(metadata):
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = str(metadata.get_payload())
    linked = re.findall(r"\]\(([^)\s]+)\)", description)
    assert "https://raw.githubusercontent.com/owner/name/HEAD/img/page.png" in linked
    assert [link for link in linked if not link.startswith(("https://", "#"))] == []
    own = re.compile(rf"(?:{REPOSITORY}/blob|https://raw\.githubusercontent\.com/owner/name)/HEAD/(.*)")
    paths = [found[1] for found in map(own.fullmatch, linked) if found]
    assert len(paths) > 2
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_samples_say_whose_they_are_and_under_which_licence(metadata):
    folder = ROOT / "d2l" / "sample"
    words = (folder / "README.md").read_text("utf-8")
    patterns = re.findall(r"`([^`]*\.gz)`", words)
    assert {path for pattern in patterns for path in folder.glob(pattern)} == set(folder.glob("*.gz"))
    assert "Zalando" in words and "Alpaydin" in words
    assert metadata["License-Expression"] == "MIT AND CC-BY-4.0"
    assert {"d2l/sample/README.md", "d2l/sample/LICENSE-fashion-mnist"} < set(metadata.get_all("License-File"))


# In environments of their own: from the package index, in minutes, so only when asked for, as a nightly workflow does


@pytest.fixture
def base(version) -> str:
    """A Python of this version."""
    if "D2L_TEST_INSTALL" not in os.environ:
        pytest.skip("installs packages from the index, for minutes: D2L_TEST_INSTALL=yes asks for it")
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    program = shutil.which(f"python{version}")
    # What stands in for a Python that somebody has not chosen fails.
    if program is None or subprocess.run([program, "--version"], capture_output=True).returncode:
        pytest.skip(f"no Python {version} on this machine")
    return program


@pytest.mark.parametrize("version", PYTHONS)
def test_wheel_trains_in_an_empty_environment(base, wheel, tmp_path, measured, version):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"D2L_PROFILE": "smoke", "JAX_PLATFORMS": "cpu"}

    def said(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    start = time.monotonic()
    said(base, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    said(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints-numpy2.txt", f"{wheel}[jax]")
    assert str(tmp_path) in said(python, "-c", "import d2l; print(d2l.__file__)")
    result = said(python, "-m", "d2l.train", "jax", "--model", "lenet", "--epochs", "1")
    assert re.search(r"smoke run: train_loss \d\.\d+, .* after 1 of 1 epochs", result)
    measured(f"installed and trained on Python {version} in {time.monotonic() - start:.0f} s")
