"""A window on convolution: a window of 3 by 3 weights that readers edit and slide over an image, in the page."""

import json
from typing import Any

from book.files import ROOT

from .live import LiveFigure

SIDE = 3  # of the window
PRESETS = {
    "Edges, across": ((1, 1, 1), (0, 0, 0), (-1, -1, -1)),
    "Edges, upright": ((1, 0, -1), (1, 0, -1), (1, 0, -1)),
    "Blur": ((0.0625, 0.125, 0.0625), (0.125, 0.25, 0.125), (0.0625, 0.125, 0.0625)),
    "Sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "Identity": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
}
STRIDES, PADDINGS = (1, 2, 3), (0, 1, 2)


class Convolution(LiveFigure):
    """``.. convolution::`` after a figure; `img/window.py` draws the picture, and gives the images."""

    template = "convolution.html"

    def facts(self) -> dict[str, Any]:
        """Return the images, the presets, and what can be chosen."""
        images = json.loads((ROOT / "img" / "window.json").read_text("utf-8"))
        return {"images": images, "presets": PRESETS, "side": SIDE, "strides": STRIDES, "paddings": PADDINGS}
