"""Tables of the recorded results."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from book.files import atomic_write, markdown_table

from .accuracy import PRECISIONS
from .kernel_times import PATTERNS, THE_REST
from .network import CONVNETJS, ROUNDS, SECONDS
from .page import SCORES
from .scaling import BATCH_SIZE, predicted
from .training_flop import BATCH_SIZE as STEP_SIZE
from .training_flop import training_flop

RESULTS = Path(__file__).parent / "results"
REPORT = Path(__file__).parent / "README.md"
INTRODUCTION = """\
# How fast it is

`make bench` measures, in minutes, and writes this page; the numbers are in `results/`, a file for each machine.
`make bench PARTS=accuracy` trains in full, several times: minutes on a GPU, days on a CPU, where a profile such as
`D2L_PROFILE=epochs=1,images=20000` makes it hours. Frameworks that compute in plain float32 anyway are passed over.

`make bench PARTS=gpu` measures on a GPU, in eight minutes at most, training, the training cell, and what a step
consists of, in each framework that can use the GPU. The parts by themselves are `speed`, `fit` and `step`.

*Training* is the section's own cells through `trainer.fit`, validation included, in images per second of the second
epoch; on a CPU an epoch is 640 images with 106 to validate. *Plain* is the same model without the helper: images
resized one by one in workers, eager steps in float32 (JAX: compiled), MXNet with the threads that it takes by itself.
The *limit* is what the machine would train if every step ran as fast as a product of two large matrices does,
at {gflop:.2f} GFLOP for an image. *Batches* is the loader by itself, and what the plain one gives.

*The training cell* is the section's, in a notebook, from its start to its last line: first with empty folders for
what frameworks compile, then in a new process with what the first has left there. *A step* is one of training by
itself. Its parts are the time that a GPU is busy with each, kernel by kernel, or a CPU, operator by operator. A kernel
that does several things is counted once, as pooling before ReLU, and ReLU before the bias. What the step takes beyond
all of them is waiting for the host.

*Data parallel* training splits a batch of {batch} images among processes that share the processor's cores. *Predicted*
is the step of one process, and the all-reduce of the gradients; *without* is a step in which nobody sends anything.

`make bench PARTS=page` shows the pages to Lighthouse, as a slow phone would get them, and those that d2lbook makes of
the same notebooks by itself (in brackets). It needs Node.js and Chromium.

`make bench PARTS=network` trains LeNet in a page of Chromium, on batches of 32 images, with the page's own network and
with {convnetjs}, which npm fetches for it: in turns, on one core, the best of {rounds} rounds. ConvNetJS pools by
maxima, where ours averages. *Side by side* is what a reader gets who presses the button of the section and waits for
{seconds} seconds: sigmoids and ReLUs, in a worker each. *Longest task* is how long the page has kept anyone waiting
meanwhile, where that was more than 50 ms.
"""


def write() -> None:
    """Write the page from the recorded results."""
    atomic_write(page(), REPORT)


def page() -> str:
    """The page of all machines' tables."""
    machines = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    sections = [_machine(results) for results in machines]
    return "\n".join([_introduction(), *sections])


def _introduction() -> str:
    return INTRODUCTION.format(
        gflop=training_flop() / 1e9,
        batch=BATCH_SIZE,
        convnetjs=CONVNETJS.replace("convnetjs@", "ConvNetJS "),
        rounds=ROUNDS,
        seconds=SECONDS,
    )


def tables(results: dict[str, Any], parts: Collection[str]) -> str:
    """A machine's tables of these parts, of what there is of them."""
    return "\n".join(TABLES[part](results[part]) for part in TABLES if part in parts and part in results)


def _machine(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    head = f"## {results['hardware']}\n\n{results['date']}; {versions}\n"
    return f"{head}\n{tables(results, TABLES)}"


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


def _fit(fit: dict[str, Any]) -> str:
    rows = [
        [
            tab,
            found["first"]["profile"],
            str(found["first"]["epochs"]),
            *(f"{found[state]['seconds']:.1f}" for state in ("first", "again")),
            f"{found['again']['val_acc']:.3f}",
        ]
        for tab, found in fit.items()
    ]
    head = ["seconds of the training cell", "run", "epochs", "nothing compiled before", "again", "validation accuracy"]
    return markdown_table(head, rows)


def _step(step: dict[str, Any]) -> str:
    busy = {tab: sum(found["parts"].values()) for tab, found in step.items()}
    rows = [
        [part, *(f"{1e3 * found['parts'].get(part, 0):.2f}" for found in step.values())]
        for part in (*PATTERNS, THE_REST)
        if any(part in found["parts"] for found in step.values())
    ]
    rows.append(["**all of them**", *(f"{1e3 * busy[tab]:.2f}" for tab in step)])
    rows.append(["the step, not profiled", *(f"{1e3 * found['seconds']:.2f}" for found in step.values())])
    return markdown_table([f"milliseconds of a step of {STEP_SIZE} images", *step], rows)


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


def _network(network: dict[str, Any]) -> str:
    rows = [
        [
            activation,
            *(f"{found[side]:,.0f}" for side in ("ours", "convnetjs")),
            f"{found['ours'] / found['convnetjs']:.2f}",
            f"{found['rate']:,.0f}",
            f"{found['accuracy']:.0%} after {found['epochs']:.1f} epochs",
            f"{found['longest_task']:.0f} ms" if found["longest_task"] else "none",
        ]
        for activation, found in network.items()
    ]
    head = ["LeNet in the page, images per second", "alone", "ConvNetJS", "ratio", "both side by side"]
    return markdown_table([*head, f"accuracy after {SECONDS} s", "longest task"], rows)


TABLES: dict[str, Callable[[Any], str]] = {
    "speed": _speed,
    "fit": _fit,
    "step": _step,
    "accuracy": _accuracy,
    "imports": _imports,
    "build": _build,
    "scaling": _scaling,
    "page": _page,
    "network": _network,
}
