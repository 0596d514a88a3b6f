"""LeNet trained in the page, with sigmoids and with ReLUs: the HTML that `static/training.js` fills when asked to."""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from .live import TEMPLATES

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("network.js", "fashion-mnist.js", "training.js")
ACTIVATIONS = ("sigmoid", "ReLU")
RATES = (0.01, 0.03, 0.1, 0.3, 1)
DEFAULT_RATE = 0.1
INITIALIZATIONS = {"Glorot": "Glorot's variance", "He": "He's variance", "small": "a deviation of 0.01"}


def images() -> dict[str, Any]:
    """What the page's script of images holds: ``images``, packed, ``labels`` and the number of ``trainingImages``."""
    script = (STATIC / "fashion-mnist.js").read_text("utf-8")
    return json.loads(re.sub(r"^.*?= |;\n$", "", script, flags=re.S))


def to_html() -> str:
    """The offer to train, and what takes the picture's place then."""
    own = images()
    return TEMPLATES.get_template("training.html").render(
        megabytes=f"{sum((STATIC / name).stat().st_size for name in SCRIPTS) / 1e6:.1f}",
        training_images=f"{own['trainingImages']:,}",
        test_images=f"{len(own['labels']) - own['trainingImages']:,}",
        activations=ACTIVATIONS,
        rates=RATES,
        default_rate=DEFAULT_RATE,
        initializations=INITIALIZATIONS,
    )


class Training(Directive):
    """``.. training::`` after a picture: the offer to train what it shows, on a page; nothing elsewhere."""

    def run(self) -> list[nodes.Node]:
        """Return what stands in its place."""
        return [nodes.raw("", to_html(), format="html")]
