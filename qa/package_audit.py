"""The pinned packages, looked up in the database of known vulnerabilities."""

import importlib.util
import json
import subprocess
import sys
import tomllib

from book.errors import BookError
from book.files import ROOT

PINS = ROOT / "constraints.txt"
ACCEPTED = ROOT / "audit.toml"


def audit() -> None:
    """Look every pinned package up, and say what was found; findings in ``audit.toml`` are accepted.

    Raises:
        BookError: A package has a known vulnerability that is not accepted, or the database did not answer for all.
    """
    accepted = accepted_findings()
    packages = _look_up()
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


def _look_up() -> list[dict]:
    """What pip-audit says of each package."""
    if importlib.util.find_spec("pip_audit") is None:
        raise BookError("pip-audit is not installed here; it comes with the extra test")
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--aliases", "on", "--progress-spinner", "off"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except ValueError:
        reason = (run.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BookError(f"the database of vulnerabilities could not be asked, so nothing is known: {reason}") from None
    if skipped := [package for package in packages if "skip_reason" in package]:
        raise BookError(
            f"the database of vulnerabilities at pypi.org could not be asked about {len(skipped)} of {len(packages)}"
            f" packages, so nothing is known of them; the first: {skipped[0]['skip_reason']}"
        )
    return packages
