"""Photograph the built pages for the README: ``python img/page.py`` after ``make book``, with Chromium installed."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
CHAPTER = FOLDER.parent / "_build" / "html" / "chapter_cnn"


def photograph(section: str, place: str, height: int, theme: str, switches: str, picture: Path) -> None:
    """Save what a reader sees of a place on a screen 1280 pixels wide, with some switches on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=theme)
        page.goto((CHAPTER / f"{section}.html").as_uri())
        for switch in page.locator(switches).all():
            switch.check()
        page.evaluate(f"document.querySelector('{place}').scrollIntoView()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    every_framework = ".curves:visible [type=checkbox]"
    photograph("lenet", "#training", 960, "light", every_framework, FOLDER / "page.png")
    photograph("alexnet", "#explorer", 830, "dark", "#none", FOLDER / "explorer.png")
