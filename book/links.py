"""The links that lead out of the book and its documents: where each stands, and whether it still leads anywhere."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import BookError
from .files import ROOT
from .source import read_text

# What has links, and how they are written there.
MARKDOWN = re.compile(r"\]\((https?://[^)\s]+)\)|<(https?://[^>\s]+)>")
LINKS = {
    "*.md": MARKDOWN,
    ".github/**/*.md": MARKDOWN,
    "chapter_*/*.md": MARKDOWN,
    "bench/*.md": MARKDOWN,
    "d2l/**/*.md": MARKDOWN,
    "tests/**/*.md": MARKDOWN,
    "references.bib": re.compile(r"^\s*(?:url\s*=\s*\{(https?://[^}]+)\}|doi\s*=\s*\{([^}]+)\})", re.M),
    "theme/*.html": re.compile(r'\bhref="(https?://[^"{]+)"'),
}
DOI = "https://doi.org/"
# What hosts answer that let people in and programs not.
REFUSALS = re.compile(r"^(?:401|403|405|406|418|429|999) ")
OPTIONS = {"root_doc": "links", "linkcheck_timeout": 30, "linkcheck_retries": 3, "linkcheck_workers": 5}


def external_links() -> dict[str, list[str]]:
    """All addresses on the web that the book, its bibliography, its pages' frame and the project's documents link to.

    Returns:
        By address, in order, the places where they stand, such as ``README.md:17``.
    """
    found: dict[str, list[str]] = {}
    for pattern, written in LINKS.items():
        for path in sorted(ROOT.glob(pattern)):
            for address, line in _links_in(read_text(path), written):
                found.setdefault(address, []).append(f"{path.relative_to(ROOT).as_posix()}:{line}")
    return dict(sorted(found.items()))


def _links_in(text: str, written: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    for match in written.finditer(text):
        address = next(filter(None, match.groups()))
        yield address if "://" in address else DOI + address, text.count("\n", 0, match.end()) + 1


def check_links(links: dict[str, list[str]]) -> list[str]:
    """Ask for all of these addresses, by Sphinx's `linkcheck`, which takes minutes.

    Returns:
        A line for each that has moved for good, and for each whose host answers people only.

    Raises:
        BookError: Some lead nowhere; the message says which and where they stand.
    """
    notes, broken = [], []
    for answer in _ask(list(links)):
        line = f"{answer['uri']} ({', '.join(links[answer['uri']])})"
        if answer["status"] == "redirected" and answer["code"] in (301, 308):
            notes.append(f"moved: {line} -> {answer['info']}")
        elif answer["status"] == "ignored" or REFUSALS.match(answer["info"]):
            notes.append(f"to be looked at by hand: {line}: {answer['info']}")
        elif answer["status"] == "broken":
            broken.append(f"{line}: {answer['info']}")
    if broken:
        raise BookError("\n".join([*notes, f"{len(broken)} of {len(links)} links lead nowhere:", *broken]))
    return notes


def _ask(addresses: list[str]) -> list[dict]:
    """What Sphinx says of each address: ``uri``, ``status``, ``code`` of a redirection, ``info``."""
    with tempfile.TemporaryDirectory() as folder:
        # An underscore at the end of an address would make it the name of another link.
        escaped = (address.replace("_", r"\_") for address in addresses)
        listed = (f"* `{number} <{address}>`__" for number, address in enumerate(escaped))
        Path(folder, "links.rst").write_text("\n".join(["Links", "=====", "", *listed, ""]), "utf-8")
        command = [sys.executable, "-m", "sphinx", "-q", "-C", "-b", "linkcheck"]
        command += [f"-D{name}={value}" for name, value in OPTIONS.items()]
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        done = subprocess.run([*command, folder, f"{folder}/out"], env=environment, capture_output=True, text=True)
        answers = Path(folder, "out", "output.json")
        if not answers.exists():
            raise BookError(f"Sphinx could not check the links: {done.stderr.strip()}")
        return [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
