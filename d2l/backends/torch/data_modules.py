"""Data sets whose batches are tensors of PyTorch."""

import os
from typing import Any

import torch

from ... import data_modules, input_checks


class DataModule(data_modules.DataModule):
    """Base class of data sets: see `d2l.data_modules.DataModule`."""

    def _on_device(self, tensor: Any, device: torch.device | None) -> torch.Tensor:
        try:
            return torch.as_tensor(tensor, device=device)
        except TypeError as error:
            if "support float64" not in str(error):
                raise
            raise RuntimeError(
                f"{type(self).__name__} has {input_checks.describe(tensor)}, and {device} has no "
                "float64: give float32, or train with num_gpus=0"
            ) from error

    def _sample_indices(self, n: int, shuffle: bool, device: torch.device | None) -> torch.Tensor:
        return torch.randperm(n, device=device) if shuffle else torch.arange(n, device=device)

    def _draw_seed(self) -> int:
        return int(torch.randint(2**31, ()))

    def _is_main(self) -> bool:
        # torchrun gives the rank before there is a trainer, which is what joins the processes.
        return int(os.environ.get("RANK", 0)) == 0


class SyntheticRegressionData(data_modules.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.data_modules.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape)


class FashionMNIST(data_modules.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, 1, height, width) ``float32`` and y (n,) ``int64``.

    See `d2l.data_modules.FashionMNIST`.
    """

    def _collate(
        self, rows: torch.Tensor, columns: torch.Tensor, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        X = images.float() / 255
        return (rows @ X @ columns.T).unsqueeze(1), labels.long()


class ImageFolder(data_modules.ImageFolder, DataModule):
    """Image files in batches of X (n, 3, crop, crop) ``float32`` and y (n,) ``int64``.

    See `d2l.data_modules.ImageFolder`.
    """

    def _collate(
        self, pixels: torch.Tensor, shifts: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        X = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
        return X + shifts[..., None, None], labels.long()
