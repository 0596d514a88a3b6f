"""Time the section's training cell as a reader runs it, in a notebook: ``python -m bench.fit TAB``.

``D2L_PROFILE`` may shorten the run, as it does everywhere.
"""

import copy
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from book.compile_notebooks import compile_source
from book.files import BUILD, ROOT
from book.notebook_client import Client
from book.section import Compiled
from book.source import Source
from d2l.compiler_caches import VARIABLES
from d2l.mime import RUN_MIME

CACHES = (*VARIABLES, "CUDA_CACHE_PATH")  # folders of what is compiled


def measure(tab: str, section: str = "alexnet") -> dict[str, dict[str, Any]]:
    """What `timed` finds ``first``, with nothing compiled before, and ``again``, with what has been compiled then."""
    compiled = compile_source(Source.read(ROOT / "chapter_cnn" / f"{section}.md"), tab)
    assert compiled, f"{section} has no cells for {tab}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {variable: str(Path(folder, variable)) for variable in CACHES}
        return {when: timed(compiled) for when in ("first", "again")}


def timed(section: Compiled) -> dict[str, Any]:
    """Run a section's notebook in a new kernel, as far as the cell that trains.

    Returns:
        ``profile``: the run's; ``seconds``: from the cell's start to its end, all compilation in them; ``epochs``; and
        ``val_acc``: the last validation accuracy.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook, starts, ends = copy.deepcopy(section.notebook), [], []
    last = max(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and "trainer.fit(" in cell.source)
    del notebook.cells[last + 1 :]
    profile = os.environ.get("D2L_PROFILE") or "full"
    BUILD.mkdir(exist_ok=True)
    Client(
        notebook,
        BUILD,
        on_cell_execute=lambda **_: starts.append(time.perf_counter()),
        on_cell_executed=lambda **_: ends.append(time.perf_counter()),
    ).run(profile)
    run = next(output.data[RUN_MIME] for output in notebook.cells[last].outputs if RUN_MIME in output.get("data", {}))
    return {
        "profile": profile,
        "seconds": ends[-1] - starts[-1],
        "epochs": run["epochs"],
        "val_acc": run["metrics"]["val_acc"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
