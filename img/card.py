"""Draw what stands for the book elsewhere: ``python img/card.py``, with Chromium installed.

`card.png` is shown where a page is linked to, and `theme/static/touch-icon.png` on the screens of phones. Both have the
layers of `theme/icon.svg`.
"""

import re
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
THEME = FOLDER.parent / "theme"
LAYERS = re.sub(r"^.*?/>|</svg>.*$", "", (THEME / "icon.svg").read_text("utf-8"), flags=re.S)  # all but the ground
GROUND = "#1f5f99"
CARD = f"""
<body style="margin: 0; background: {GROUND}; color: #ffffff; font-family: Helvetica, Arial, sans-serif">
<svg style="position: absolute; left: 0; top: 115px" width="480" height="400" viewBox="1 6 30 20">{LAYERS}</svg>
<div style="position: absolute; left: 500px; top: 168px; width: 660px">
<div style="font-size: 76px; font-weight: bold; line-height: 1.05">AlexNet,<br>executable</div>
<div style="font-size: 34px; line-height: 1.35; margin-top: 32px; color: #e3eefa">A chapter in which all code runs:<br>
PyTorch, TensorFlow, MXNet, JAX</div>
</div>
"""
# Phones round the corners by themselves.
ICON = f"""
<body style="margin: 0; background: {GROUND}">
<svg width="180" height="180" viewBox="0 0 32 32" style="display: block">{LAYERS}</svg>
"""


def draw(html: str, width: int, height: int, picture: Path) -> None:
    """Save what Chromium shows of some HTML on a screen of this size."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(html)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    draw(CARD, 1200, 630, FOLDER / "card.png")
    draw(ICON, 180, 180, THEME / "static" / "touch-icon.png")
