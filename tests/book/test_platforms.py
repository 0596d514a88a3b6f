"""The conda environment can be made on each system: its packages are there for it, in these versions."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
# As uv calls them, and as Python does there.
PLATFORMS = {
    "linux-64": ("x86_64-manylinux_2_28", {"sys_platform": "linux", "platform_machine": "x86_64"}),
    "osx-arm64": ("aarch64-apple-darwin", {"sys_platform": "darwin", "platform_machine": "arm64"}),
    "win-64": ("x86_64-pc-windows-msvc", {"sys_platform": "win32", "platform_machine": "AMD64"}),
}
NO_NETWORK = re.compile(r"(?i)\b(?:dns error|failed to fetch|connect(?:ion)? (?:error|refused)|tcp connect|timed out)")


@pytest.fixture(scope="module")
def listed() -> list[str]:
    """What environment.yml has pip install, as a file of requirements has it."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    return next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))


@pytest.fixture(params=PLATFORMS)
def platform(request) -> str:
    """One system after the other."""
    return request.param


@pytest.mark.quick
def test_mxnet_is_asked_for_where_it_has_packages(listed, platform):
    _, environment = PLATFORMS[platform]
    environment |= {"python_version": "3.11", "extra": "mxnet"}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["mxnet"]
    for lines in (listed, extra):
        requirements = [Requirement(line) for line in lines if not line.startswith("--")]
        asked = {one.name for one in requirements if one.marker is None or one.marker.evaluate(environment)}
        assert ("mxnet" in asked) == (platform == "linux-64")


@pytest.mark.slow
def test_every_package_is_there_for_the_system_in_its_version(listed, platform):
    if importlib.util.find_spec("uv") is None:
        pytest.skip("uv, which resolves for other systems, is not installed here: it comes with the extra test")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "-"]
    command += ["--python-version", "3.11.14", "--python-platform", PLATFORMS[platform][0]]
    found = subprocess.run(
        command,
        input="\n".join(line.partition(" #")[0] for line in listed),
        cwd=ROOT,
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"},  # the oldest that PyTorch has packages for
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    if found.returncode and (why := NO_NETWORK.search(found.stderr)):
        pytest.skip(f"the index of packages cannot be reached from here: {why[0]}")
    assert found.returncode == 0, found.stderr
    resolved = dict(re.findall(r"^([\w.-]+)==(\S+)", found.stdout, re.M))
    assert {"torch", "tensorflow", "jax", "d2lbook"} <= resolved.keys()
    assert ("mxnet" in resolved) == (platform == "linux-64")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.M))
    others = {name for name, version in resolved.items() if pinned.get(canonicalize_name(name), version) != version}
    assert others == set()
