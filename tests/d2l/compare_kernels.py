"""Compare the kernels of `d2l.backends.torch.kernels` with PyTorch's operations, on the device of the argument.

On ``cpu`` Triton's interpreter runs them, which ``TRITON_INTERPRET=1`` in the environment asks for.
"""

import sys

import torch
from torch.nn.functional import max_pool2d

from d2l.backends.torch.kernels import BiasReLU, BiasReLUMaxPool

DEVICE = sys.argv[1]
GEOMETRIES = [
    # shape, size and stride of the pooling
    ((1, 48, 9, 9), (3, 2)),
    ((3, 6, 10, 9), (2, 2)),
    ((2, 20, 11, 8), (3, 1)),
    ((1, 256, 5, 5), (3, 2)),
    ((2, 16, 9, 9), (3, 3)),
    ((2, 8, 8, 8), (2, 3)),
    ((1, 48, 9, 9), None),
    ((2, 5, 4, 7), None),
]


def compare(shape: tuple[int, ...], window: tuple[int, int] | None) -> None:
    """Compare outputs and gradients for random images, in whose windows the maximum is there twice now and then."""
    Y = torch.randn(shape, device=DEVICE).mul(8).round().div(8).bfloat16().contiguous(memory_format=torch.channels_last)
    Y, bias = Y.requires_grad_(), torch.randn(shape[1], device=DEVICE, requires_grad=True)
    out = BiasReLUMaxPool.apply(Y, bias, *window) if window else BiasReLU.apply(Y, bias)
    grad = torch.randn_like(out)
    found = [out, *torch.autograd.grad(out, (Y, bias), grad)]
    plain_Y = Y.detach().float().requires_grad_()
    plain = torch.relu(plain_Y + bias[None, :, None, None])
    plain = max_pool2d(plain, *window) if window else plain
    expected = [plain, *torch.autograd.grad(plain, (plain_Y, bias), grad.float())]
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 0.01 * b.norm(), (shape, window, (a - b).norm() / b.norm())


torch.manual_seed(0)
for geometry in GEOMETRIES:
    compare(*geometry)
print(len(GEOMETRIES), "geometries")
