"""Processes that JAX's coordinator has joined, and what they do when one of them is gone."""

import atexit
import faulthandler
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ...lost_coordinator import speak_if_first_is_gone
from ...process_group import ProcessGroup

PATIENCE_SECONDS = 20  # for which a process whose run has failed, at its end, waits for the others


def process_group() -> ProcessGroup:
    """The processes that train together."""
    if jax.process_count() == 1:
        return ProcessGroup()
    processes = ProcessGroup(jax.process_index(), jax.process_count(), _all_reduce_sum)
    if not processes.is_main:
        _watch_first(processes)
    return processes


def _all_reduce_sum(array: np.ndarray) -> np.ndarray:
    return np.asarray(gather(array).sum(axis=0, dtype=array.dtype))


def gather(array: np.ndarray) -> np.ndarray:
    """The arrays of all processes, of the same shape and type, in the order of the processes.

    They go as bytes, since JAX would make numbers of 64 bits ones of 32, and between CPUs, where they need not wait for
    what a GPU has to do.
    """
    parted, make_whole = _gathering()
    content = np.frombuffer(array.tobytes(), np.uint8)
    whole = make_whole(jax.make_array_from_process_local_data(parted, content[None]))
    return np.asarray(whole).view(array.dtype).reshape(jax.process_count(), *array.shape)


@cache
def _gathering() -> tuple[NamedSharding, Callable[[jax.Array], jax.Array]]:
    """How an array is divided that has a row of each process, and what gives each of them all rows."""
    firsts = {device.process_index: device for device in reversed(jax.devices("cpu"))}
    mesh = Mesh([firsts[process] for process in range(jax.process_count())], ("process",))
    make_whole = jax.jit(lambda rows: rows, out_shardings=NamedSharding(mesh, PartitionSpec()))
    return NamedSharding(mesh, PartitionSpec("process")), make_whole


def gather_batch(part: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The whole of what each process has a part of, with so many rows."""
    padded = np.zeros((max(sizes), *part.shape[1:]), part.dtype)
    padded[: len(part)] = part
    return np.concatenate([rows[:size] for rows, size in zip(gather(padded), sizes, strict=True)])


@cache
def _watch_first(processes: ProcessGroup) -> None:
    """Have this process say so when the first one is gone, with which JAX ends it before Python can."""
    address = jax._src.distributed.global_state.coordinator_address  # which JAX may have found by itself
    speak_if_first_is_gone(address, processes.lost_peer)


@cache
def wait_shortly_at_exit() -> None:
    """Have this process not wait long for the others when it ends, since they may wait for it: JAX does for minutes."""
    atexit.register(_end_soon)


def _end_soon() -> None:
    sys.stdout.flush()
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, exit=True, file=nowhere)
