"""Known vulnerabilities from a database on this disk, for machines without network: records in the format of OSV.

Such a database is https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip, or a clone of
https://github.com/pypa/advisory-database.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from book.errors import BookError

SUFFIXES = (".json", ".yaml", ".yml")


def look_up(pins: Iterable[tuple[str, str]], database: Path) -> list[dict[str, Any]]:
    """What a database knows of some packages, in the form that pip-audit has for it.

    Args:
        pins: Names and versions.
        database: A folder, or a zip file, of records.

    Returns:
        Of each package ``name``, ``version`` and ``vulns``, which have ``id``, ``aliases`` and ``fix_versions``.

    Raises:
        BookError: There is no database, or it is broken.
    """
    packages = [{"name": name, "version": version, "vulns": []} for name, version in dict.fromkeys(pins)]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(canonicalize_name(package["name"]), []).append(package)
    count = 0
    for record in _records(database):
        for affected in record["affected"]:
            if affected.get("package", {}).get("ecosystem") != "PyPI":
                continue
            count += 1
            for package in by_name.get(canonicalize_name(affected["package"]["name"]), ()):
                if is_affected(package["version"], affected):
                    _add(package["vulns"], _finding(record, affected))
    if not count:
        raise BookError(f"{database}: no advisory in it is about a package of PyPI's")
    return packages


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Whether a version is among those that a record names one by one, or in one of its ranges."""
    if version in affected.get("versions", ()):
        return True
    ranges = (one["events"] for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM")
    try:
        return any(_is_in_range(Version(version), events) for events in ranges)
    except InvalidVersion:  # older than the rules for versions: such records name theirs one by one
        return False


def _is_in_range(version: Version, events: list[dict[str, str]]) -> bool:
    """Whether the last event up to a version, in their order, is one that introduces the vulnerability."""
    inside = False
    for kind, at in sorted((_event(event) for event in events), key=lambda event: event[1]):
        if version < at:
            break
        inside = kind == "introduced" or (kind == "last_affected" and version == at)
    return inside


def _event(event: dict[str, str]) -> tuple[str, Version]:
    (kind, at), *_ = event.items()
    return kind, Version(at)


def _finding(record: dict[str, Any], affected: dict[str, Any]) -> dict[str, Any]:
    events = [event for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM" for event in one["events"]]
    fixed = [event["fixed"] for event in events if "fixed" in event]
    return {"id": record["id"], "aliases": record.get("aliases", []), "fix_versions": list(dict.fromkeys(fixed))}


def _add(findings: list[dict[str, Any]], new: dict[str, Any]) -> None:
    """Add a finding, unless it is there already by another of its names, from whoever else has published it."""
    names = {new["id"], *new["aliases"]}
    if all(names.isdisjoint([old["id"], *old["aliases"]]) for old in findings):
        findings.append(new)


def _records(database: Path) -> Iterator[dict[str, Any]]:
    """The records in a database that stand, read file by file; other files of these kinds may lie among them."""
    if database.is_dir():
        files = ((path, path.read_text) for path in sorted(database.rglob("*")) if path.suffix in SUFFIXES)
    elif zipfile.is_zipfile(database):
        files = ((path, path.read_text) for path in zipfile.Path(database).iterdir() if path.suffix in SUFFIXES)
    else:
        raise BookError(f"{database}: neither a folder nor a zip file of advisories")
    for path, read in files:
        text = read(encoding="utf-8")
        try:
            record = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError) as error:
            raise BookError(f"{path}: not an advisory: {' '.join(str(error).split())}") from None
        if isinstance(record, dict) and "affected" in record and not record.get("withdrawn"):
            yield record
