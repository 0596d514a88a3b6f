"""The processes that train a model together: which shard of a batch is whose, and what they tell each other.

All that they exchange are sums of arrays of numbers, so nothing that comes from another process is ever unpickled.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .mime import as_json


def _identity(array: np.ndarray) -> np.ndarray:
    return array


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that train together. Each takes the same steps, with its shard of every batch.

    Attributes:
        rank: This process's number, from 0. Rank 0 draws, prints and saves.
        world_size: Number of processes.
        all_reduce_sum: Takes an array of each process, ``int64`` or ``float64`` and of the same shape in all, and gives
            each of them the sum. It blocks until all processes have called it.
    """

    rank: int = 0
    world_size: int = 1
    all_reduce_sum: Callable[[np.ndarray], np.ndarray] = _identity

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which draws, prints and saves."""
        return self.rank == 0

    @property
    def lost_peer(self) -> str:
        """What to say where another process does not answer."""
        return (
            f"Another of the {self.world_size} processes has ended, or cannot be reached; its own message says why. "
            "Start all of them again: resume=True goes on from the last checkpoint."
        )

    def all_reduce_numbers(self, numbers: list[float]) -> list[float]:
        """Sums over the processes of numbers that each has."""
        return self.all_reduce_sum(np.array(numbers, np.float64)).tolist()

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.all_reduce_sum(np.zeros(1))

    def shard(self, n: int) -> slice:
        """Which of a batch of ``n`` examples are this process's: as many as the others', or one less or more."""
        return slice(self.rank * n // self.world_size, (self.rank + 1) * n // self.world_size)

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """Rank 0's array of whole numbers, for each process to have; all call it with the same shape."""
        array = np.asarray(array)
        return self.all_reduce_sum((array if self.is_main else np.zeros_like(array)).astype(np.int64)).astype(
            array.dtype
        )

    def all_gather(self, text: str) -> list[str]:
        """The texts of all processes, by rank."""
        content = np.frombuffer(text.encode(), np.uint8)
        sizes = np.zeros(self.world_size, np.int64)
        sizes[self.rank] = len(content)
        sizes = self.all_reduce_sum(sizes)
        table = np.zeros((self.world_size, max(sizes.max(), 1)), np.int64)  # an empty all-reduce crashes TensorFlow
        table[self.rank, : len(content)] = content
        table = self.all_reduce_sum(table).astype(np.uint8)
        return [row[:size].tobytes().decode() for row, size in zip(table, sizes, strict=True)]

    def all_gather_json(self, value: Any) -> list[Any]:
        """What JSON can hold of each process, by rank; numbers may be NumPy's or a framework's."""
        return [json.loads(text) for text in self.all_gather(as_json(value))]
