"""Measure what a training step consists of, with the framework's profiler: ``python -m bench.step TAB``."""

import json
import os
import sys
import time
from collections import defaultdict
from typing import Any

from .adapters import ADAPTERS, run_cells
from .kernel_times import PROFILERS, part_of
from .training_flop import BATCH_SIZE

GPU_BATCHES, CPU_BATCHES = 100, 2  # in an epoch


def measure(tab: str, section: str = "alexnet") -> dict[str, Any]:
    """Train in the section's own cells without validation: an epoch to warm up, one to be timed, one to be profiled.

    Returns:
        ``seconds``: of a step; ``parts``: seconds of a step that the device is busy with each part of it, by the names
        in `bench.kernel_times.PATTERNS`. Empty where there is no profiler that tells.
    """
    d2l: Any = ADAPTERS[tab]().d2l  # whose Trainer is replaced
    on_gpu = d2l.num_gpus() > 0
    profiled = PROFILERS.get((tab, on_gpu))
    if profiled is None:
        print(f"{tab} has no profiler here that tells what a step consists of.", file=sys.stderr)
        return {}
    batches = GPU_BATCHES if on_gpu else CPU_BATCHES
    os.environ["D2L_PROFILE"] = f"epochs=3,images={batches * BATCH_SIZE}"
    seconds, kernels = [], {}

    class Profiled(d2l.Trainer):
        def fit(self, model: Any, data: Any) -> None:
            data.val_dataloader = lambda: None
            super().fit(model, data)

        def fit_epoch(self) -> None:
            if self.epoch == 2:
                kernels.update(profiled(self._whole_epoch))
            else:
                start = time.perf_counter()
                self._whole_epoch()
                seconds.append(time.perf_counter() - start)

        def _whole_epoch(self) -> None:
            super().fit_epoch()
            self.model.board.flush_means()  # reads the results, so that work still queued is done

    d2l.Trainer = Profiled
    trainer = run_cells(tab, section, until="trainer")["trainer"]
    parts: dict[str, float] = defaultdict(float)
    for name, spent in kernels.items():
        parts[part_of(name)] += spent / trainer.num_train_batches
    return {"seconds": seconds[-1] / trainer.num_train_batches, "parts": parts}


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
