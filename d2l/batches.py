"""Batches: the loader that makes them of a data set in memory, what a model is given of one, and images resized."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .process_group import ProcessGroup


@dataclass(frozen=True)
class BatchLoader:
    """Iterate over a data set in batches, in a new order each time if asked to shuffle.

    Attributes:
        examples: Examples in the data set.
        batch_size: Examples in a batch; the last one may be shorter.
        processes: The processes that train together: each batch given is this one's part of it.
        draw: Gives the indices of all examples, in the order of an epoch.
        gather_batch: Gives the batch of the examples with these indices.
        example: Gives a batch with the shapes of the others, for which nothing is drawn.
    """

    examples: int
    batch_size: int
    processes: ProcessGroup
    draw: Callable[[], Any]
    gather_batch: Callable[[Any], tuple[Any, ...]]
    example: Callable[[], tuple[Any, ...]]

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.iter_from(0)

    def iter_from(self, batches: int) -> Iterator[tuple[Any, ...]]:
        """What an epoch has after so many batches; these are not made."""
        indices = self.draw()
        starts = range(batches * self.batch_size, self.examples, self.batch_size)
        batches_of_indices = (indices[start : start + self.batch_size] for start in starts)
        return (self.gather_batch(batch[self.processes.shard(len(batch))]) for batch in batches_of_indices)


def inputs_of(batch: Sequence[Any]) -> Sequence[Any]:
    """What a model is given of a batch: all but the target, and all where there is one tensor."""
    return batch[:-1] or batch


def as_batch(batch: Any) -> Sequence[Any]:
    """A batch as a sequence of tensors, also where a loader of one tensor gives its part of it alone."""
    return (batch,) if hasattr(batch, "shape") else batch


def resize_matrix(size: int, original: int) -> np.ndarray:
    """Matrix ``R`` of shape (size, original) such that ``R @ image @ R.T`` resizes bilinearly, half-pixel centres.

    Output pixel i lies at ``(i + 0.5) * original / size - 0.5`` of the input; beyond the border counts
    the pixel at the border.
    """
    position = np.clip((np.arange(size) + 0.5) * original / size - 0.5, 0, original - 1)
    left = np.minimum(position.astype(int), max(original - 2, 0))
    share = position - left
    matrix = np.zeros((size, original))
    matrix[np.arange(size), left] = 1 - share
    if original > 1:
        matrix[np.arange(size), left + 1] = share
    return matrix.astype(np.float32)
