"""Kernels in Triton: bias, ReLU and max-pooling in one pass over a convolution's output, and backward through them.

Separate operations would go through the output, which is most of what AlexNet moves through a GPU's memory, three
times forward and four times backward. Images are (n, channels, height, width) ``bfloat16`` in the memory format
``channels_last``, and every sum is taken in ``float32``.
"""

# Triton's functions are written as if they ran in Python, which they do not.
# pyright: reportGeneralTypeIssues=false

from typing import Any

import torch
import triton
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from triton import language as tl

BLOCK = 2048  # numbers that a program holds at a time
BLOCK_CHANNELS = 128
SUM_ROWS = 128  # positions of whose gradients a program adds up those of the bias


@triton.jit
def _bias_relu(y, bias, out, rows, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < channels)
    value = tl.load(y + row * channels + column, inside, 0.0).to(tl.float32)
    value += tl.load(bias + column, column < channels, 0.0)
    tl.store(out + row * channels + column, tl.where(value <= 0, 0.0, value), inside)


@triton.jit
def _relu_backward(
    grad, out, grad_y, sums, rows, channels, SUM_ROWS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    total = tl.zeros((1, COLUMNS), tl.float32)
    for start in tl.static_range(0, SUM_ROWS, ROWS):
        row = (tl.program_id(0) * SUM_ROWS + start + tl.arange(0, ROWS))[:, None]
        inside = (row < rows) & (column < channels)
        value = tl.load(grad + row * channels + column, inside, 0.0).to(tl.float32)
        value = tl.where(tl.load(out + row * channels + column, inside, 0.0) <= 0, 0.0, value)
        tl.store(grad_y + row * channels + column, value, inside)
        total += tl.sum(value, 0, keep_dims=True)
    tl.store(sums + tl.program_id(0) * channels + column, total, column < channels)


@triton.jit
def _bias_relu_pool(
    y, bias, out, place, rows, channels, height, width, out_height, out_width,
    SIZE: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < channels)
    example, position = row // (out_height * out_width), row % (out_height * out_width)
    top, left = position // out_width * STRIDE, position % out_width * STRIDE
    corner = ((example * height + top) * width + left) * channels + column
    largest = tl.load(y + corner, inside, 0.0).to(tl.float32)
    chosen = tl.zeros_like(largest)
    for i in tl.static_range(1, SIZE * SIZE):
        value = tl.load(y + corner + (i // SIZE * width + i % SIZE) * channels, inside, 0.0).to(tl.float32)
        better = (value > largest) | (value != value)  # nan stays
        largest = tl.where(better, value, largest)
        chosen = tl.where(better, i, chosen)
    # Adding a bias and taking the positive part change no order, so that they may follow the maximum.
    largest += tl.load(bias + column, column < channels, 0.0)
    tl.store(out + row * channels + column, tl.where(largest <= 0, 0.0, largest), inside)
    tl.store(place + row * channels + column, chosen.to(tl.uint8), inside)


@triton.jit
def _unpool(
    grad, place, grad_y, rows, channels, height, width, out_height, out_width,
    SIZE: tl.constexpr, STRIDE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < channels)
    example, position = row // (height * width), row % (height * width)
    y, x = position // width, position % width
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    # A number is in so many windows at most, down and across. It looks up their gradients, so that no two programs add
    # to one number.
    for i in tl.static_range((SIZE + STRIDE - 1) // STRIDE):
        for j in tl.static_range((SIZE + STRIDE - 1) // STRIDE):
            window_y, window_x = y // STRIDE - i, x // STRIDE - j
            down, across = y - window_y * STRIDE, x - window_x * STRIDE
            exists = (window_y >= 0) & (window_y < out_height) & (window_x >= 0) & (window_x < out_width)
            exists = exists & (down < SIZE) & (across < SIZE) & inside
            window = ((example * out_height + window_y) * out_width + window_x) * channels + column
            chosen = tl.load(place + window, exists, 255).to(tl.int32) == down * SIZE + across
            total += tl.load(grad + window, exists & chosen, 0.0).to(tl.float32)
    tl.store(grad_y + row * channels + column, total, inside)


def _rows(images: torch.Tensor) -> int:
    """Positions of images, over all examples."""
    return images.numel() // images.shape[1]


def _like(images: torch.Tensor, *size: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """New images (n, channels, ``size``), with the n and channels of others."""
    shape = (*images.shape[:2], *size)
    return torch.empty(shape, device=images.device, dtype=dtype, memory_format=torch.channels_last)


def _launch(kernel: Any, rows: int, channels: int, *arguments: Any, rows_each: int = 0, **constants: int) -> None:
    """Run a kernel on blocks of so many positions and channels; it takes the two numbers after its tensors."""
    columns = min(BLOCK_CHANNELS, triton.next_power_of_2(channels & -channels), triton.next_power_of_2(channels))
    columns = max(columns, 16)
    grid = (triton.cdiv(rows, rows_each or BLOCK // columns), triton.cdiv(channels, columns))
    kernel[grid](*arguments, ROWS=min(BLOCK // columns, rows_each or BLOCK), COLUMNS=columns, **constants)


class BiasReLU(Function):
    """``relu(Y + bias)``."""

    @staticmethod
    def forward(ctx: Any, Y: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        out = _like(Y, *Y.shape[2:])
        rows, channels = _rows(Y), Y.shape[1]
        _launch(_bias_relu, rows, channels, Y, bias, out, rows, channels)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return _backward_through_relu(grad, *ctx.saved_tensors)


class BiasReLUMaxPool(Function):
    """Max-pooling of ``relu(Y + bias)`` without padding, windows of ``size`` by ``size`` with a stride."""

    @staticmethod
    def forward(ctx: Any, Y: torch.Tensor, bias: torch.Tensor, size: int, stride: int) -> torch.Tensor:
        height, width = ((n - size) // stride + 1 for n in Y.shape[2:])
        out, place = _like(Y, height, width), _like(Y, height, width, dtype=torch.uint8)
        rows, channels = _rows(out), Y.shape[1]
        sizes = (rows, channels, *Y.shape[2:], height, width)
        _launch(_bias_relu_pool, rows, channels, Y, bias, out, place, *sizes, SIZE=size, STRIDE=stride)
        ctx.save_for_backward(out, place)
        ctx.shape, ctx.size, ctx.stride = Y.shape, size, stride
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        out, place = ctx.saved_tensors
        grad, grad_bias = _backward_through_relu(grad, out)
        grad_y = _like(grad, *ctx.shape[2:])
        rows, channels = _rows(grad_y), grad.shape[1]
        sizes = (rows, channels, *ctx.shape[2:], *out.shape[2:])
        _launch(_unpool, rows, channels, grad, place, grad_y, *sizes, SIZE=ctx.size, STRIDE=ctx.stride)
        return grad_y, grad_bias, None, None


def _backward_through_relu(grad: torch.Tensor, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of what a bias was added to and of the bias, from that of the ReLU's output ``out``."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    grad_y = torch.empty_like(grad)
    rows, channels = _rows(grad), grad.shape[1]
    sums = torch.empty(-(-rows // SUM_ROWS), channels, device=grad.device)
    constants = {"SUM_ROWS": SUM_ROWS, "rows_each": SUM_ROWS}
    _launch(_relu_backward, rows, channels, grad, out, grad_y, sums, rows, channels, **constants)
    return grad_y, sums.sum(0)
