"""Photograph the built page for the README: ``python img/page.py`` after ``make book``, with Chromium installed."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "_build" / "html" / "chapter_cnn" / "alexnet.html"


def photograph(page: Path, picture: Path) -> None:
    """Save what a reader sees of the training section on a 1280 by 1180 screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1180})
        tab.goto(page.as_uri())
        tab.evaluate("document.getElementById('training').scrollIntoView()")
        tab.wait_for_timeout(500)
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    photograph(PAGE, FOLDER / "page.png")
