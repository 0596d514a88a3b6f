"""The processes that train a model together: which part of a batch is whose, and what they tell each other.

All that they exchange are sums of arrays of numbers, so nothing that comes from another process is ever unpickled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def _alone(array: np.ndarray) -> np.ndarray:
    return array


@dataclass(frozen=True)
class Workers:
    """This process among those that train together. Each does the same steps, with its part of every batch.

    Attributes:
        rank: This process's number, from 0. The first one draws, prints and saves.
        count: Number of processes.
        add_up: Takes an array of each process, ``int64`` or ``float64`` and of the same shape in all, and gives each of
            them the sum. It waits until all processes have called it.
    """

    rank: int = 0
    count: int = 1
    add_up: Callable[[np.ndarray], np.ndarray] = _alone

    @property
    def first(self) -> bool:
        """Whether this is the process that draws, prints and saves."""
        return self.rank == 0

    @property
    def other_gone(self) -> str:
        """What to say where another process does not answer."""
        return (
            f"Another of the {self.count} processes has ended, or cannot be reached; its own message says why. Start "
            "all of them again: resume=True goes on from the last checkpoint."
        )

    def part(self, n: int) -> slice:
        """Which of a batch of ``n`` examples are this process's: as many as the others', or one less or more."""
        return slice(self.rank * n // self.count, (self.rank + 1) * n // self.count)

    def from_first(self, array: np.ndarray) -> np.ndarray:
        """The first process's array of whole numbers, for each process to have; all call it with the same shape."""
        array = np.asarray(array)
        return self.add_up((array if self.first else np.zeros_like(array)).astype(np.int64)).astype(array.dtype)

    def gather(self, text: str) -> list[str]:
        """The texts of all processes, in the order of their numbers."""
        content = np.frombuffer(text.encode(), np.uint8)
        sizes = np.zeros(self.count, np.int64)
        sizes[self.rank] = len(content)
        sizes = self.add_up(sizes)
        table = np.zeros((self.count, max(sizes.max(), 1)), np.int64)  # TensorFlow does not survive adding up nothing
        table[self.rank, : len(content)] = content
        table = self.add_up(table).astype(np.uint8)
        return [row[:size].tobytes().decode() for row, size in zip(table, sizes, strict=True)]
