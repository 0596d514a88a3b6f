"""The pinned packages, looked up in the database of known vulnerabilities."""

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from book.errors import BookError
from book.files import ROOT
from book.versions import VERSIONS

from .advisories import look_up

PINS = [ROOT / versions.file for versions in VERSIONS]
ACCEPTED = ROOT / "audit.toml"
WITHOUT_NETWORK = "make audit DATABASE=FOLDER reads one from the disk; SECURITY.md says which"


def audit(database: str = "") -> None:
    """Look every pinned package up, and say what was found; findings in ``audit.toml`` are accepted.

    Args:
        database: A folder or a zip file of advisories, which are looked at in place of the database at pypi.org.

    Raises:
        BookError: A package has a known vulnerability that is not accepted, or the database did not answer for all.
    """
    accepted = accepted_findings()
    packages = look_up(pins(), Path(database).expanduser()) if database else _ask()
    found = [(package, finding) for package in packages for finding in package["vulns"]]
    known = {name for _, finding in found for name in (finding["id"], *finding["aliases"])}
    new = []
    for package, finding in found:
        names = [finding["id"], *finding["aliases"]]
        why = next((accepted[name] for name in names if name in accepted), None)
        fixed = ", ".join(finding["fix_versions"]) or "no version"
        line = f"{package['name']} {package['version']}: {', '.join(names)}; fixed in {fixed}"
        if why is None:
            new.append(line)
        else:
            print(f"{line}; accepted: {why}")
    for name in accepted.keys() - known:
        print(f"{ACCEPTED.name}: {name} is not found any more, its line can go")
    if new:
        raise BookError("\n".join([*new, f"Renew these pins, or say in {ACCEPTED.name} why each does no harm here."]))
    print(f"{len(packages)} packages are pinned, and none has a known vulnerability that is not accepted.")


def accepted_findings() -> dict[str, str]:
    """The names of findings in ``audit.toml``, each with why it does no harm here.

    Raises:
        BookError: One has no reason.
    """
    accepted = tomllib.loads(ACCEPTED.read_text("utf-8"))["accepted"]
    if unexplained := [name for name, why in accepted.items() if not why.strip()]:
        raise BookError(f"{ACCEPTED.name}: say why {', '.join(unexplained)} is accepted")
    return accepted


def pins() -> list[tuple[str, str]]:
    """Names and versions of the packages that are pinned, for all Pythons."""
    lines = (line.partition("#")[0].strip() for file in PINS for line in file.read_text("utf-8").splitlines())
    pinned = map(Requirement, filter(None, lines))
    return list(dict.fromkeys((one.name, str(one.specifier).removeprefix("==")) for one in pinned))


def _ask() -> list[dict]:
    """What pip-audit says of each package that is pinned for this Python."""
    packages = [package for file in PINS for package in _ask_for(file)]
    return [package for number, package in enumerate(packages) if package not in packages[:number]]


def _ask_for(pins: Path) -> list[dict]:
    if importlib.util.find_spec("pip_audit") is None:
        raise BookError("pip-audit is not installed here; it comes with the extra test")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--aliases", "on", "--progress-spinner", "off"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except ValueError:
        reason = (run.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BookError(f"no database of vulnerabilities answers: {reason}. {WITHOUT_NETWORK}") from None
    if skipped := [package for package in packages if "skip_reason" in package]:
        raise BookError(
            f"no database of vulnerabilities answers for {len(skipped)} of {len(packages)} packages. {WITHOUT_NETWORK}"
        )
    return packages
