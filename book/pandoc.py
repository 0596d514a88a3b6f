"""Pandoc, which nbconvert starts for every cell of text: found where its package keeps it, and asked once per text."""

import contextlib
import importlib.metadata
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pypandoc
from nbconvert.exporters import templateexporter

from .cache import cached, digest, keep


@contextlib.contextmanager
def cached_pandoc() -> Iterator[None]:
    """Within it, text that pandoc has converted in an earlier build is taken from there.

    A call takes several milliseconds, and the book has some seven hundred texts.
    """
    put_on_path(pypandoc.get_pandoc_path())
    version = importlib.metadata.version("pypandoc_binary")
    known = cached("pandoc", [version], dict)
    convert: Callable[[str, str, str], str] = templateexporter.default_filters["convert_pandoc"]

    def convert_once(text: str, source: str, target: str) -> str:
        key = digest([text, source, target])
        if key not in known:
            known[key] = convert(text, source, target)
        return known[key]

    templateexporter.default_filters["convert_pandoc"] = convert_once
    try:
        yield
    finally:
        templateexporter.default_filters["convert_pandoc"] = convert
        keep("pandoc", [version], known)


def put_on_path(program: str) -> None:
    """Let a program be found by its name."""
    folder = str(Path(program).parent)
    if folder not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])


def put_into_environment() -> None:
    """Put pandoc beside this environment's programs, where d2lbook's own command finds it, too."""
    program = Path(pypandoc.get_pandoc_path())
    place = Path(sysconfig.get_path("scripts"), program.name)
    place.unlink(missing_ok=True)
    try:
        os.link(program, place)  # which needs no rights on Windows, as a symbolic link does
    except OSError:  # another disk, or one that has no links
        shutil.copy2(program, place)


if __name__ == "__main__":
    put_into_environment()
