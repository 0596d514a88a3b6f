"""LeNet, live: the network of its section computes in the page what it makes of an image or of a drawing."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx

from book.files import ROOT

from .live import LiveFigure

DATA = ROOT / "img" / "lenet.json"  # written by img/lenet.py


class Maps(NamedTuple):
    """A layer as it is shown.

    Attributes:
        name: What it is called.
        source: Whose numbers are shown, as theme/static/network.js calls it; None: those of the image.
        count: How many maps it has; its units are one map if it is dense.
        rows, columns: Of a map.
        across: How many maps stand side by side.
        activation: What makes the numbers shown of the sums; none after pooling.
    """

    name: str
    source: str | None
    count: int
    rows: int
    columns: int
    across: int = 1
    activation: str = ""


LAYERS = (
    Maps("Image", None, 1, 28, 28),
    Maps("Convolution 1", "sigmoid 1", 6, 28, 28, across=6, activation="sigmoid"),
    Maps("Pooling 1", "pooling 1", 6, 14, 14, across=6),
    Maps("Convolution 2", "sigmoid 2", 16, 10, 10, across=8, activation="sigmoid"),
    Maps("Pooling 2", "pooling 2", 16, 5, 5, across=8),
    Maps("Dense 1", "sigmoid 3", 1, 4, 30, activation="sigmoid"),
    Maps("Dense 2", "sigmoid 4", 1, 3, 28, activation="sigmoid"),
    Maps("Dense 3", "dense 3", 1, 10, 1, activation="softmax"),
)


class LeNet(LiveFigure):
    """``.. lenet::`` after a figure; `img/lenet.py` draws the picture, and trains the network."""

    template = "lenet.html"

    def facts(self) -> dict[str, Any]:
        """Return the layers, the names of the classes, and which images there are."""
        data = json.loads(DATA.read_text("utf-8"))
        images = [data["classes"][image["label"]] for image in data["images"]]
        return {"layers": [layer._asdict() for layer in LAYERS], "classes": data["classes"], "images": images}


def write_data(app: Sphinx, problem: Exception | None) -> None:
    """A script with the network's numbers, which also a page opened from a folder can load.

    A book without pictures has none.
    """
    if problem or app.builder.format != "html" or not DATA.exists():
        return
    data = json.loads(DATA.read_text("utf-8"))
    script = f"globalThis.lenetData = {json.dumps(data)};\n"
    Path(app.outdir, "_static", "lenet-data.js").write_text(script, encoding="utf-8", newline="\n")
