"""Photograph the built pages for the README: ``python img/page.py`` after ``make book``, with Chromium installed."""

import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

FOLDER = Path(__file__).parent
CHAPTER = FOLDER.parent / "_build" / "html" / "chapter_cnn"


def show_every_framework(page: Page) -> None:
    """Have curves of all frameworks."""
    for switch in page.locator(".curves:visible [type=checkbox]").all():
        switch.check()


def choose_a_layer(page: Page) -> None:
    """Have the explorer show what leaves the third convolution."""
    page.get_by_role("option", name="Convolution 3").click()
    expect(page.locator(".maps .what")).to_contain_text("What leaves Convolution 3:")


def photograph(section: str, place: str, height: int, theme: str, act: Callable[[Page], None], picture: Path) -> None:
    """Save what a reader who has done something sees of a place on a screen 1280 pixels wide."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=theme)
        page.goto((CHAPTER / f"{section}.html").as_uri())
        act(page)
        page.evaluate(f"document.querySelector('{place}').scrollIntoView()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    photograph("lenet", "#training .tabs:has(.curves)", 960, "light", show_every_framework, FOLDER / "page.png")
    photograph("alexnet", ".explorer svg", 1160, "dark", choose_a_layer, FOLDER / "explorer.png")
