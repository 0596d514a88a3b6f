"""Batches of PyTorch's own loaders, copied to a GPU ahead of need."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ...data import as_batch


def copied_ahead(loader: Any, device: torch.device) -> Any:
    """A loader of PyTorch's own class with batches on the GPU, each copied while the one before it is trained on."""
    if not isinstance(loader, torch.utils.data.DataLoader):
        return loader
    loader.pin_memory = True  # only from pinned memory does a copy run beside other work
    return CopiedAhead(loader, device)


@dataclass(frozen=True)
class CopiedAhead:
    loader: torch.utils.data.DataLoader
    device: torch.device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        copying, training = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        ready = None
        for batch in self.loader:
            with torch.cuda.stream(copying):
                coming = [x.to(self.device, non_blocking=True) for x in as_batch(batch)]
            if ready is not None:
                yield ready
            training.wait_stream(copying)
            for x in coming:
                x.record_stream(training)  # so that its memory is not reused before training is done with it
            ready = coming
        if ready is not None:
            yield ready
