"""Batches of PyTorch's own loaders, copied to a GPU ahead of need."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ...batches import as_batch
from .devices import WITH_STREAMS


def copied_ahead(loader: Any, device: torch.device) -> Any:
    """A loader of PyTorch's own class with batches on the GPU, each copied while the one before it is trained on.

    Any other loader comes back as it is, and so does each where the GPU has no streams to copy in.
    """
    if device.type not in WITH_STREAMS or not isinstance(loader, torch.utils.data.DataLoader):
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
        module = torch.get_device_module(self.device)  # later versions than 2.6 have streams for any device
        copying, training = module.Stream(self.device), module.current_stream(self.device)
        ready = None
        for batch in self.loader:
            with module.stream(copying):
                coming = [x.to(self.device, non_blocking=True) for x in as_batch(batch)]
            if ready is not None:
                yield ready
            training.wait_stream(copying)
            for x in coming:
                x.record_stream(training)  # so that its memory is not reused before training is done with it
            ready = coming
        if ready is not None:
            yield ready
