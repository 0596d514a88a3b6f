"""Measure data parallel training in several processes of this machine, on its processor, beside what is predicted.

``python -m torch.distributed.run --nproc-per-node=2 -m bench.scaling AlexNet`` measures one network in two processes,
of which the first prints the result as JSON.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from book.files import ROOT
from book.frameworks import is_installed
from d2l.machine import usable_processors

from .adapters import run_cells
from .training_flop import IMAGE

NETWORKS = ("AlexNet", "slim AlexNet")
PROCESSES = (1, 2, 4)
BATCH_SIZE = 32  # of all processes together
RUNS = 3
REPEATS = 3  # in a run

Result = dict[str, float]


def measure() -> Iterator[tuple[str, list[Result]]]:
    """What `measure_here` finds of each network for each number of processes, the medians of runs that take turns."""
    if is_installed("pytorch"):
        for network in NETWORKS:
            runs = [[_run(network, processes) for processes in PROCESSES] for _ in range(RUNS)]
            yield network, [_medians(found) for found in zip(*runs, strict=True)]


def predicted(results: list[Result], processes: int) -> float:
    """Seconds of a step in several processes: of the same batch in one of them, and of the all-reduce.

    This supposes that the batch keeps all cores busy for the same time, whether one process has it or each a share.
    """
    found = {result["processes"]: result for result in results}
    return found[1]["alone"] + found[processes]["all_reduce"]


def networks() -> dict[str, type]:
    """The section's two networks, as classes of PyTorch, by their names there."""
    names = run_cells("pytorch", "scaling", until="SlimAlexNet")
    return dict(zip(NETWORKS, (names["d2l"].AlexNet, names["SlimAlexNet"]), strict=True))


def measure_here(model: Any) -> Result:
    """Measure a network in this process, while the others of its group do the same.

    Returns:
        ``processes``: in the group; ``bytes``: of the gradients; and medians of seconds. ``alone``: of a step in which
        each process trains by itself on its share of the batch; ``all_reduce``: of as many numbers as the gradients
        have; ``step``: of one in which they train together.
    """
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    processes = distributed.get_world_size()
    share = BATCH_SIZE // processes
    X, y = torch.rand(share, 1, *IMAGE), torch.arange(share) % 10
    model.apply_init([X])
    together = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    gradients = torch.zeros(sum(parameter.numel() for parameter in model.parameters()))

    def step(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        optimizer.zero_grad()
        model.loss(network(X), y).backward()
        optimizer.step()

    actions = {
        "alone": lambda: step(model),
        "all_reduce": lambda: distributed.all_reduce(gradients),
        "step": lambda: step(together),
    }
    seconds = {name: [] for name in actions}
    for _ in range(1 + REPEATS):
        for name, action in actions.items():
            distributed.barrier()
            start = time.perf_counter()
            action()
            distributed.barrier()  # a step is done when the last process has done it
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return {"processes": processes, "bytes": gradients.nbytes, **medians}


def _medians(runs: Sequence[Result]) -> Result:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _run(network: str, processes: int) -> Result:
    """What `measure_here` finds in this many processes that share the cores."""
    print(f"$ scaling {network}, {processes} processes", flush=True)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
            *("-m", "bench.scaling", network),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(max(1, usable_processors() // processes))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def _main(network: str) -> None:
    from torch import distributed

    distributed.init_process_group("gloo")
    found = measure_here(networks()[network]())
    if distributed.get_rank() == 0:
        print(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    _main(*sys.argv[1:])
