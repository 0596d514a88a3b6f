"""Tables of the recorded results."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from book.files import atomic_write, markdown_table

from .accuracy import PRECISIONS
from .page import SCORES
from .scaling import BATCH_SIZE, predicted
from .work import training_flop

RESULTS = Path(__file__).parent / "results"
REPORT = Path(__file__).parent / "README.md"
INTRODUCTION = """\
# How fast it is

`make bench` measures, in minutes, and writes this page; the numbers are in `results/`, a file for each machine.
`make bench PARTS=accuracy` trains in full, several times: minutes on a GPU, days on a CPU, where a profile such as
`D2L_PROFILE=epochs=1,images=20000` makes it hours. Frameworks that compute in plain float32 anyway are passed over.

*Training* is the section's own cells through `trainer.fit`, validation included, in images per second of the second
epoch; on a CPU an epoch is 640 images with 106 to validate. *Plain* is the same model without the helper: images
resized one by one in workers, eager steps in float32 (JAX: compiled), MXNet with the threads that it takes by itself.
The *limit* is what the machine would train if every step ran as fast as a product of two large matrices does,
at {gflop:.2f} GFLOP for an image. *Batches* is the loader by itself, and what the plain one gives.

*Data parallel* training splits a batch of {batch} images among processes that share the processor's cores. *Predicted*
is the step of one process, and the all-reduce of the gradients; *without* is a step in which nobody sends anything.

`make bench PARTS=page` shows the pages to Lighthouse, as a slow phone would get them, and those that d2lbook makes of
the same notebooks by itself (in brackets). It needs Node.js and Chromium.
"""


def write() -> None:
    """Write the page from the recorded results."""
    atomic_write(page(), REPORT)


def page() -> str:
    """The page of all machines' tables."""
    machines = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    sections = [_machine(results) for results in machines]
    return "\n".join([INTRODUCTION.format(gflop=training_flop() / 1e9, batch=BATCH_SIZE), *sections])


def _machine(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [f"## {results['hardware']}\n", f"{results['date']}; {versions}\n"]
    for part, table in (
        ("speed", _speed),
        ("accuracy", _accuracy),
        ("imports", _imports),
        ("build", _build),
        ("scaling", _scaling),
        ("page", _page),
    ):
        if part in results:
            parts.append(table(results[part]))
    return "\n".join(parts)


def _speed(speed: dict[str, Any]) -> str:
    rows = []
    for tab, (helper, plain) in speed.items():
        rate, plain_rate = (side["images"] / side["epoch"] for side in (helper, plain))
        limit = max(side["flops"] for side in (helper, plain)) / training_flop()
        memory = f"{helper['memory'] / 1e9:.1f} GB"
        if helper["gpu_memory"]:
            memory += f", {helper['gpu_memory'] / 1e9:.1f} GB on the GPU"
        rows.append(
            {
                "images per second": tab,
                "training": f"{rate:,.1f}",
                "plain": f"{plain_rate:,.1f}",
                "ratio": f"{rate / plain_rate:.2f}",
                "limit": f"{limit:,.1f} ({helper['dtype']})",
                "share of it": f"{rate / limit:.0%}",
                "first epoch longer by": f"{helper['first_epoch'] - helper['epoch']:.1f} s",
                "batches": f"{helper['batches']:,.0f}",
                "plain batches": f"{plain['batches']:,.0f}",
                "peak memory": memory,
            }
        )
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows])


def _accuracy(accuracy: dict[str, Any]) -> str:
    rows = [
        [
            tab,
            found["profile"],
            *(f"{mean(found[side]):.3f} ± {stdev(found[side]):.3f}" for side in PRECISIONS),
        ]
        for tab, found in accuracy.items()
    ]
    return markdown_table(
        ["validation accuracy, mean and deviation over seeds", "run", "as it comes", "plain float32"], rows
    )


def _imports(imports: dict[str, Any]) -> str:
    rows = [
        [tab, f"{found['framework']:.2f}", f"{found['helper']:.2f}", f"{found['helper'] / found['framework']:.2f}"]
        for tab, found in imports.items()
    ]
    return markdown_table(["seconds to import", "framework and matplotlib", "helper", "ratio"], rows)


def _build(build: dict[str, float]) -> str:
    return markdown_table(
        ["building and testing", "seconds"], [[what, f"{seconds:.1f}"] for what, seconds in build.items()]
    )


def _scaling(scaling: dict[str, list[dict[str, float]]]) -> str:
    rows = []
    for network, results in scaling.items():
        for found in results:
            processes = int(found["processes"])
            seconds = predicted(results, processes)
            rows.append(
                [
                    f"{network}, {found['bytes'] / 2**20:.1f} MiB of gradients",
                    str(processes),
                    *(f"{found[name]:.2f}" for name in ("alone", "all_reduce")),
                    *(f"{seconds:.2f}", f"{found['step']:.2f}", f"{found['step'] / seconds:.2f}"),
                ]
            )
    return markdown_table(
        ["seconds, data parallel", "processes", "without", "all-reduce", "predicted", "measured", "ratio"], rows
    )


def _page(page: dict[str, dict[str, dict[str, float]]]) -> str:
    rows = []
    for name, sides in page.items():
        scores = [f"{sides['ours'][score]} ({sides['d2lbook'][score]})" for score in SCORES]
        paint = f"{sides['ours']['first_paint']:.1f} s ({sides['d2lbook']['first_paint']:.1f} s)"
        weight = f"{sides['ours']['bytes'] / 1000:,.0f} kB ({sides['d2lbook']['bytes'] / 1000:,.0f} kB)"
        rows.append([name, *scores, paint, weight])
    return markdown_table(["Lighthouse, mobile: ours (d2lbook's)", *SCORES, "first paint", "weight"], rows)
