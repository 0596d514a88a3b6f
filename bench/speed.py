"""Measure one framework in this process and print the result as JSON: ``python -m bench.speed TAB helper|plain``."""

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable
from typing import Any

from book.files import ROOT
from d2l.fashion_mnist import load_fashion_mnist
from d2l.plotting import to_numpy
from d2l.smoke_profile import Profile

from .adapters import ADAPTERS, run_cells
from .training_flop import BATCH_SIZE, IMAGE

EPOCHS = 2  # the first has the compilation in it
CPU_BATCHES = 5
VALIDATION_SHARE = 6  # Fashion-MNIST has a validation image for every six of training


def measure(tab: str, recipe: str) -> dict[str, Any]:
    """Rates of one framework, with the helper or without it.

    Returns:
        ``images``: in an epoch; ``first_epoch``, ``epoch``: seconds with validation; ``memory``, ``gpu_memory``: peaks
        in bytes; ``batches``: images per second that the loader alone gives; ``flops``: FLOP/s of a product of
        matrices of ``dtype`` in this process.
    """
    framework = ADAPTERS[tab]()
    on_gpu = framework.d2l.num_gpus() > 0
    images = None if on_gpu else CPU_BATCHES * BATCH_SIZE
    seconds, loader = (_helper if recipe == "helper" else _plain)(tab, framework, images)
    return {
        "images": images or 60_000,
        "first_epoch": seconds[0],
        "epoch": seconds[-1],
        "memory": peak_memory(),
        "gpu_memory": framework.gpu_memory(),
        "batches": batches_rate(loader),
        "dtype": framework.dtype,
        "flops": matrix_product(framework, 16384 if on_gpu else 3072),
    }


def peak_memory() -> int:
    """Bytes of memory that this process has had at most."""
    if sys.platform == "win32":
        import psutil  # which comes with Jupyter's kernel

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def matrix_product(framework: Any, n: int) -> float:
    """FLOP/s of a product of matrices (n, n) of random numbers, the best of ten: of equal ones, GPUs are faster."""
    multiply, seconds = framework.product(n), []
    for _ in range(11):
        start = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds[1:])


def batches_rate(loader: Iterable[Any]) -> float:
    """Images per second of a loader by itself: the median of three times forty batches, or of what there is."""
    rates = []
    for _ in range(3):
        batches = iter(loader)
        next(batches)
        count, start = 0, time.perf_counter()
        for X, y in itertools.islice(batches, 40):
            to_numpy(X[:1])
            count += len(y)
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def _helper(tab: str, framework: Any, images: int | None) -> tuple[list[float], Iterable[Any]]:
    """Run the section's own cells with a trainer that keeps the times of its epochs."""
    d2l = framework.d2l
    os.environ["D2L_PROFILE"] = f"epochs={EPOCHS}" + (f",images={images}" if images else "")
    seconds: list[float] = []

    class Timed(d2l.Trainer):
        def fit(self, model: Any, data: Any) -> None:
            data.val = data.val.first(len(data.train) // VALIDATION_SHARE)
            super().fit(model, data)

        def fit_epoch(self) -> None:
            start = time.perf_counter()
            super().fit_epoch()
            self.model.board.flush_means()  # reads the results, so that work still queued is done
            seconds.append(time.perf_counter() - start)

    d2l.Trainer = Timed
    trainer = run_cells(tab)["trainer"]
    del os.environ["D2L_PROFILE"]
    data = d2l.FashionMNIST(batch_size=BATCH_SIZE, resize=IMAGE)
    trainer.prepare_data(data)
    return seconds, trainer.train_dataloader


def _plain(tab: str, framework: Any, images: int | None) -> tuple[list[float], Iterable[Any]]:
    """Train the same model for as long without the helper."""
    everything, val = load_fashion_mnist(ROOT / "data", Profile())
    train = everything.first(images)
    val = val.first(len(train) // VALIDATION_SHARE)
    step, validate = framework.recipe()
    train_loader = framework.loader(train.images, train.labels, train=True)
    val_loader = framework.loader(val.images, val.labels, train=False)
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for batch in train_loader:
            step(batch)
        for batch in val_loader:
            validate(batch)
        seconds.append(time.perf_counter() - start)
    return seconds, framework.loader(everything.images, everything.labels, train=True)


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
