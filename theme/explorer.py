"""The explorer of AlexNet: its layers as data, what each of them costs, and the HTML that scripts bring to life.

The data goes into the page, for the script. The rules are here for the table that everyone sees, and once more in the
script for what readers try; the tests hold both to the helper's table of layers.
"""

from collections.abc import Iterator
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive

from d2l.layer_table import COLUMNS, Layer, LayerTable

from .live import TEMPLATES, figure_before

SIZE, CHANNELS, CLASSES = 224, 1, 10  # of the images and the task in the chapter
SHOWN = ("ankle boot", "pullover", "dress", "bag")  # the test images, in the order of img/layers.py
SMALLEST_SIZE, LARGEST_SIZE, MOST_CLASSES = 67, 320, 10_000  # that readers can try


class Step(NamedTuple):
    """A layer as a window that slides over what comes in. The window of a dense layer covers all of it.

    Attributes:
        kind: What it is called.
        number: Which of its kind it is.
        channels: How many come out; None: as many as come in, for pooling, or as there are classes, for the last layer.
        window: Side of the window in pixels; None: of all that comes in.
        stride: Pixels from one place of the window to the next.
        padding: Pixels that are added on each side.
    """

    kind: str
    number: int
    channels: int | None = None
    window: int | None = None
    stride: int = 1
    padding: int = 0


STEPS = (
    Step("Convolution", 1, 96, window=11, stride=4),
    Step("Pooling", 1, window=3, stride=2),
    Step("Convolution", 2, 256, window=5, padding=2),
    Step("Pooling", 2, window=3, stride=2),
    Step("Convolution", 3, 384, window=3, padding=1),
    Step("Convolution", 4, 384, window=3, padding=1),
    Step("Convolution", 5, 256, window=3, padding=1),
    Step("Pooling", 3, window=3, stride=2),
    Step("Dense", 1, 4096),
    Step("Dense", 2, 4096),
    Step("Dense", 3),
)


def costs(size: int = SIZE, channels: int = CHANNELS, classes: int = CLASSES) -> LayerTable:
    """What each layer costs for one image of `size` by `size` pixels in `channels` channels."""

    def layers(size: int, channels: int) -> Iterator[Layer]:
        for step in STEPS:
            pools = step.kind == "Pooling"
            window = step.window or size
            side = (size + 2 * step.padding - window) // step.stride + 1
            made = step.channels or (channels if pools else classes)
            weights = 0 if pools else channels * made * window**2
            yield Layer(
                name=f"{step.kind} {step.number}",
                output_shape=(1, made, side, side) if step.window else (1, made),
                inputs=channels * size**2,
                outputs=made * side**2,
                parameters=0 if pools else weights + made,
                multiply_adds=weights * side**2,
            )
            size, channels = side, made

    return LayerTable(layers(size, channels))


def to_html(template: str) -> str:
    """A part of the explorer: ``explorer`` for those who can try it, ``explorer_table`` for all, on paper as well."""
    table = costs()
    return TEMPLATES.get_template(f"{template}.html").render(
        steps=[step._asdict() for step in STEPS],
        size=SIZE,
        channels=CHANNELS,
        classes=CLASSES,
        smallest_size=SMALLEST_SIZE,
        largest_size=LARGEST_SIZE,
        most_classes=MOST_CLASSES,
        images=SHOWN,
        columns=COLUMNS,
        rows=[(layer.name, " × ".join(map(str, layer.output_shape[1:])), *layer.cells()[2:]) for layer in table],
        total=table.total.cells()[2:],
    )


class Explorer(Directive):
    """``.. explorer::`` below a figure makes it one to explore; elsewhere than on a page it stays a picture."""

    def run(self) -> list[nodes.Node]:
        """Put the explorer into the figure above, which gets an address of its own."""
        figure = figure_before(self)
        parts = [nodes.raw("", to_html(name), format="html") for name in ("explorer", "explorer_table")]
        figure.insert(0, parts[0])
        figure.append(parts[1])
        figure["classes"].append("explorer")
        figure["ids"].insert(0, "explorer")
        return []
