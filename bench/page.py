"""Measure the pages as Lighthouse sees them from a slow phone, beside the pages that d2lbook makes by itself."""

import configparser
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from book.cache import forget
from book.files import BUILD, ROOT
from book.pages import HTML, WHOLE
from book.pandoc import put_on_path
from book.source import source_files

LIGHTHOUSE = "lighthouse@12.8.2"
CHROME_FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking"
SCORES = ("performance", "accessibility", "best-practices", "seo")
STOCK_HTML = BUILD / "html_stock"
# What config.ini sets for the pages' own look.
OWN_SETTINGS = {"build": ("sphinx_extensions", "sphinx_configs"), "html": ("include_css", "include_js", "favicon")}
STOCK_BUILD = "import sys; from book.d2lbook_adapter import render_stock; render_stock(*sys.argv[1:])"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def measure() -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """What Lighthouse finds on each page, ours and d2lbook's: scores of 100, seconds to the first paint, bytes."""
    for program in ("npx", "chromium"):
        if not shutil.which(program):
            sys.exit(f"error: the part page needs {program}: Debian's packages npm and chromium")
    forget(WHOLE)  # the tests of the pages render into the same folders
    subprocess.run([sys.executable, "-m", "book", "book"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    _build_stock()
    for path in source_files():
        name = str(path.relative_to(ROOT).with_suffix(".html"))
        yield name, {"ours": _lighthouse(HTML, name), "d2lbook": _lighthouse(STOCK_HTML, name)}


def _build_stock() -> None:
    """The same notebooks, which ``make book`` has left behind, in d2lbook's own look."""
    config = configparser.ConfigParser()
    config.read(ROOT / "config.ini", encoding="utf-8")
    for section, names in OWN_SETTINGS.items():
        for name in names:
            config.remove_option(section, name)
    config["build"]["warning_is_error"] = "False"  # the explorer is the theme's own, and left out
    settings = BUILD / "stock.ini"
    with settings.open("w", encoding="utf-8") as file:
        config.write(file)
    shutil.rmtree(STOCK_HTML, ignore_errors=True)
    put_on_path(sys.executable)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        STOCK_BUILD,
        settings.relative_to(ROOT),
        STOCK_HTML.relative_to(ROOT),
    ]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _lighthouse(html: Path, name: str) -> dict[str, float]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{name}"
    print("$", LIGHTHOUSE, html.name, name, flush=True)
    try:
        run = subprocess.run(
            ["npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json", f"--chrome-flags={CHROME_FLAGS}"],
            env=os.environ | {"CHROME_PATH": shutil.which("chromium") or ""},  # empty: Lighthouse looks for one itself
            stdout=subprocess.PIPE,
            check=True,
        )
    finally:
        server.shutdown()
    report = json.loads(run.stdout)
    audits = report["audits"]
    return {name: round(100 * report["categories"][name]["score"]) for name in SCORES} | {
        "first_paint": audits["first-contentful-paint"]["numericValue"] / 1000,
        "bytes": audits["total-byte-weight"]["numericValue"],
    }
