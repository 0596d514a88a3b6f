"""What each layer of a model costs, as a table: text in a terminal, a table in a notebook and on a page."""

from dataclasses import dataclass
from html import escape

NUMBER_BYTES = 4  # of a float32
UNITS = ("KiB", "MiB", "GiB")
COLUMNS = ("layer", "output shape", "parameters", "multiply-adds", "weights", "output")


@dataclass(frozen=True)
class Layer:
    """One layer's counts, for the whole batch it was given.

    Attributes:
        name: The framework's name of it.
        output_shape: Shape of its output, the batch first.
        inputs, outputs: Numbers that go in and come out.
        parameters: Numbers that training changes.
        multiply_adds: Multiplications with an addition each, in convolutions and matrix products.
    """

    name: str
    output_shape: tuple[int, ...]
    inputs: int
    outputs: int
    parameters: int
    multiply_adds: int

    @property
    def changes_size(self) -> bool:
        """Whether it is more than a function of single numbers, such as an activation, or another view of them."""
        return self.parameters > 0 or self.outputs != self.inputs

    def cells(self) -> tuple[str, ...]:
        """The texts of its row, in the order of the columns; weights and output as the memory of ``float32``."""
        return (
            self.name,
            str(self.output_shape),
            f"{self.parameters:,}",
            f"{self.multiply_adds:,}",
            memory(self.parameters),
            memory(self.outputs),
        )


class LayerTable(tuple[Layer, ...]):
    """Layers in the order of computation. Where it is shown, it is a table with a line of sums."""

    @property
    def total(self) -> Layer:
        """All layers as one."""
        sums = {name: sum(getattr(layer, name) for layer in self) for name in ("parameters", "multiply_adds")}
        outputs = sum(layer.outputs for layer in self)
        inputs, output_shape = (self[0].inputs, self[-1].output_shape) if self else (0, ())
        return Layer("total", output_shape, inputs, outputs, **sums)

    def rows(self) -> list[tuple[str, ...]]:
        """The texts of the table's rows; the last has the sums."""
        name, _, *sums = self.total.cells()
        return [*(layer.cells() for layer in self), (name, "", *sums)]

    def __repr__(self) -> str:
        rows = [COLUMNS, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for left, shape, *numbers in rows:
            texts = [left.ljust(widths[0]), shape.ljust(widths[1])]
            texts += [text.rjust(width) for text, width in zip(numbers, widths[2:], strict=True)]
            lines.append("  ".join(texts).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        *layers, total = self.rows()
        head, body = _html_row("th", COLUMNS), "".join(_html_row("td", row) for row in layers)
        foot = _html_row("td", total)
        return (
            '<div style="overflow-x: auto">'  # on a phone the table scrolls, the page does not
            f'<table class="layers"><thead>{head}</thead><tbody>{body}</tbody>'
            f'<tfoot style="font-weight: bold">{foot}</tfoot></table></div>'
        )


def memory(numbers: int) -> str:
    """The memory of ``float32`` numbers in words, such as ``1.1 MiB``."""
    size = numbers * NUMBER_BYTES
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, len(UNITS))
    return f"{size / 1024**power:,.1f} {UNITS[power - 1]}"


def _html_row(tag: str, texts: tuple[str, ...]) -> str:
    sides = ("left", "left", *["right"] * (len(COLUMNS) - 2))
    cells = (
        f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>' for side, text in zip(sides, texts, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"
