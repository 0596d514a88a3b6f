"""Measure how long the book takes to compile, to render, to run, to find unchanged, and to test."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from book.cache import CACHE, forget
from book.files import BUILD, ROOT
from book.pages import HTML, WHOLE

COMPILE_AND_RENDER = f"""
import shutil
from pathlib import Path
from book.cache import CACHE, forget
from book.export_notebooks import export_all
from book.pages import SHARED, render
from book.compile_notebooks import compile_sections
from book.execute_notebooks import with_outputs
forget(SHARED)
for step in ("compiled", "readable"):
    shutil.rmtree(CACHE / step, ignore_errors=True)
sections = compile_sections()
export_all(sections)
render([with_outputs(section, section.notebook) for section in sections], Path({str(BUILD / "html_bench")!r}))
"""
MAKE_BOOK = (sys.executable, "-m", "book", "book")


def measure() -> Iterator[tuple[str, float]]:
    """Seconds of each, with the start of a new process."""
    yield "compile all tabs and render the pages, nothing executed", _seconds(sys.executable, "-c", COMPILE_AND_RENDER)
    first, end = _first_build()
    yield "make book, nothing built before but the environment: to the first page", first
    yield "make book, nothing built before but the environment: to the end", end
    yield "make book, nothing changed", _seconds(*MAKE_BOOK)
    # As if this section had been another at the last build.
    forget(WHOLE)
    known = (path for step in ("compiled", "readable") for path in (CACHE / step).rglob("alexnet.json"))
    for path in (BUILD / "eval" / "chapter_cnn" / "alexnet.ipynb", *known):
        path.unlink()
    yield "make book, the text of one section changed", _seconds(*MAKE_BOOK)
    notebooks = [sys.executable, "-m", "pytest", "-q", "tests/reference"]
    yield "every notebook against its stored outputs", _seconds(*notebooks)


def _first_build() -> tuple[float, float]:
    """Seconds to the line that says where the page is, and to the end, when the notebooks have run."""
    for folder in (CACHE, HTML):
        shutil.rmtree(folder, ignore_errors=True)
    print("$ make book", flush=True)
    start, first = time.perf_counter(), 0.0
    with subprocess.Popen(MAKE_BOOK, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") as build:
        for line in build.stdout or ():
            if line.startswith("The page, from stored outputs"):
                first = time.perf_counter() - start
    if build.returncode:
        raise subprocess.CalledProcessError(build.returncode, build.args)
    return first, time.perf_counter() - start


def _seconds(*command: str) -> float:
    print("$", *command[:4], flush=True)
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
