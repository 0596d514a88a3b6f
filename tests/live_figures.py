"""What holds for each figure that comes alive in the page."""

from pathlib import Path

from playwright.sync_api import Browser, Page


def check_picture_stands_in(html: Path, browser: Browser, live: Page, section: str, figure: str, alive: str) -> None:
    """See that the picture, hidden where the figure is alive, is there without scripts and on paper, with its caption.

    Args:
        html: The folder of the pages.
        live: A page with the figure alive, which is then as on paper.
        section: The name of the section's page.
        figure, alive: Selectors of the figure, and of what takes its picture's place.
    """
    picture = f"{figure} > a > img"
    assert not live.locator(picture).is_visible()
    live.emulate_media(media="print")
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto((html / "chapter_cnn" / f"{section}.html").as_uri())
    for shown in (plain, live):
        assert shown.locator(picture).is_visible()
        assert shown.locator(f"{figure} figcaption").is_visible()
        assert shown.locator(f"{alive}:visible").count() == 0
    context.close()
