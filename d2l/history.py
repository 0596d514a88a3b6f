"""A run's curves as a table with a row for each epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Curves = Mapping[str, Sequence[tuple[float, float]]]  # places in epochs, and values, by name such as "val_loss"


def by_epoch(curves: Curves) -> dict[str, list[float]]:
    """The mean of each curve's points in each epoch; ``nan`` where there is none.

    Args:
        curves: Curves of training, whose points lie in their epoch, and of validation (``val_...``), at its end.

    Returns:
        Columns by name, all as long as the run has epochs, the first one ``epoch``: 1, 2, ...
    """
    means: dict[str, dict[int, float]] = {}
    for label, points in curves.items():
        values: dict[int, list[float]] = {}
        for x, y in points:
            values.setdefault(round(x) if label.startswith("val_") else math.floor(x) + 1, []).append(y)
        means[label] = {epoch: sum(ys) / len(ys) for epoch, ys in values.items()}
    last = max((epoch for found in means.values() for epoch in found), default=0)
    epochs = range(1, last + 1)
    return {"epoch": [*epochs], **{name: [found.get(n, math.nan) for n in epochs] for name, found in means.items()}}


class Columns(dict[str, list[float]]):
    """Columns by name, which print as a table of a row for each epoch."""

    def __repr__(self) -> str:
        texts = [[name, *(f"{value:.4g}" for value in values)] for name, values in self.items()]
        widths = [max(map(len, column)) for column in texts]
        rows = zip(*texts, strict=True)
        return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def as_table(columns: dict[str, list[float]]) -> Any:
    """Columns as a `pandas.DataFrame` where pandas is installed, else as `Columns`."""
    try:
        import pandas  # a second or so: only for those who ask
    except ImportError:
        return Columns(columns)
    return pandas.DataFrame(columns)
