"""Train one framework with three seeds in two precisions, and print the accuracies: ``python -m bench.accuracy TAB``.

``D2L_PROFILE`` may shorten the runs, as it does everywhere.
"""

import functools
import json
import sys
from typing import Any

from .adapters import ADAPTERS, run_cells

SEEDS = 3
PRECISIONS = ("auto", "float32")


def measure(tab: str) -> dict[str, list[float]]:
    """Final validation accuracies of the section's own cells, by precision, a seed each.

    Empty where the framework computes in plain ``float32`` by itself, so that the runs would be the same: not on a GPU,
    which may round products to TensorFloat-32.
    """
    framework = ADAPTERS[tab]()
    d2l: Any = framework.d2l  # whose Trainer is replaced
    if framework.dtype == "float32" and not d2l.num_gpus():
        print(f"{tab} computes in float32 by itself here: there is nothing to compare.", file=sys.stderr)
        return {}
    trainer, found = d2l.Trainer, {precision: [] for precision in PRECISIONS}
    for seed in range(SEEDS):
        for precision in PRECISIONS:
            d2l.Trainer = functools.partial(trainer, precision=precision)
            framework.seed(seed)
            curves = run_cells(tab)["model"].board.curves
            found[precision].append(curves["val_acc"][-1][1])
    return found


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
