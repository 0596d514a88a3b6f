"""Layers of a convolutional network as an NVIDIA GPU computes them fastest, in ``bfloat16``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, pad

from ...space_to_depth import space_to_depth_pads
from .modules import Module

MOST_NUMBERS = 2**31  # in a tensor, for kernels that count them with 32 bits
MOST_PLACES = 256  # in a window of pooling, for kernels that note which has the maximum in a byte


@contextmanager
def fused_layers(model: Module) -> Iterator[None]:
    """Have each `nn.Sequential` of a model run convolutions with the ReLU and the max-pooling after them in one.

    What is computed stays the same, but for rounding. Layers with hooks, subclasses and layers out of the ordinary run
    as they are.
    """
    nets = [] if is_compiled(model) else [module for module in model.modules() if type(module) is nn.Sequential]
    for net in nets:
        vars(net)["forward"] = partial(_run, net)
    try:
        yield
    finally:
        for net in nets:
            del vars(net)["forward"]


def is_compiled(model: nn.Module) -> bool:
    """Whether a part of the model runs through `torch.compile`."""
    return any(hasattr(part, "_orig_mod") or part._compiled_call_impl is not None for part in model.modules())


def _run(net: nn.Sequential, X: Any) -> Any:
    """What ``net`` gives for ``X``."""
    layers = list(net)
    while layers:
        conv, relu, pool = [*layers, None, None][:3]
        if not _is_plain_conv(conv, X) or not _is_plain(relu, nn.ReLU):
            X = layers.pop(0)(X)
            continue
        Y = _convolve(conv, X)
        window = _window(pool, Y)
        X = _bias_relu(Y, conv.bias) if window is None else _bias_relu_pool(Y, conv.bias, *window)
        del layers[: 2 if window is None else 3]
    return X


@cache
def usable_kernels(device: torch.device) -> tuple[Any, str]:
    """The module of kernels, or ``None`` and why a GPU cannot run them, such as for want of a C compiler."""
    if "tensorflow" in sys.modules and "triton" not in sys.modules:
        return None, "TensorFlow is imported in this process, which may end when its compiler meets Triton's"
    try:
        from . import kernels  # takes a while, and PyTorch has Triton for NVIDIA's GPUs under Linux only

        images = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16, device=device)
        kernels.BiasReLU.apply(images, torch.ones(1, device=device))
    except Exception as error:  # whatever Triton, a compiler or the driver may raise
        return None, str(error).partition("\n")[0]
    return kernels, ""


def _kernels_for(Y: torch.Tensor) -> Any:
    return usable_kernels(Y.device)[0] if Y.is_cuda and Y.numel() < MOST_NUMBERS else None


def _bias_relu(Y: torch.Tensor, bias: torch.Tensor) -> Any:
    own = _kernels_for(Y)
    return own.BiasReLU.apply(Y, bias) if own else torch.relu(Y + bias.to(Y.dtype)[:, None, None])


def _bias_relu_pool(Y: torch.Tensor, bias: torch.Tensor, size: int, stride: int) -> Any:
    own = _kernels_for(Y)
    return own.BiasReLUMaxPool.apply(Y, bias, size, stride) if own else max_pool2d(_bias_relu(Y, bias), size, stride)


def is_observed(layer: nn.Module) -> bool:
    """Whether a layer has hooks, which see what goes in or out."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks)


def _is_plain(layer: Any, kind: type[nn.Module]) -> bool:
    return type(layer) is kind and not is_observed(layer)


def _is_plain_conv(layer: Any, X: Any) -> bool:
    if not _is_plain(layer, nn.Conv2d) or not isinstance(X, torch.Tensor) or X.ndim != 4:
        return False
    fits = layer.in_channels == X.shape[1] and X.device == layer.weight.device
    return (
        fits and layer.padding_mode == "zeros" and layer.bias is not None and torch.is_autocast_enabled(X.device.type)
    )


def _window(pool: Any, Y: torch.Tensor) -> tuple[int, int] | None:
    """Size and stride of a max-pooling with square windows and without padding; ``None`` if it is another layer."""
    if not _is_plain(pool, nn.MaxPool2d) or pool.ceil_mode or pool.return_indices:
        return None
    size, stride, padding, dilation = (
        2 * (n,) if isinstance(n, int) else tuple(n)
        for n in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    square = size[0] == size[1] and stride[0] == stride[1] and padding == (0, 0) and dilation == (1, 1)
    return (size[0], stride[0]) if square and size[0] <= min(Y.shape[2:]) and size[0] ** 2 <= MOST_PLACES else None


def _convolve(conv: Any, X: torch.Tensor) -> torch.Tensor:
    """The convolution without its bias, in ``channels_last``; over few channels as `d2l.space_to_depth` says."""
    ordinary = conv.groups == 1 and conv.dilation == (1, 1)
    geometry = (X.shape[2:], conv.kernel_size, conv.stride, _padding(conv), X.shape[1])
    pads = space_to_depth_pads(*geometry) if ordinary else None
    if pads is None:
        X, weight = (x.to(torch.bfloat16, memory_format=torch.channels_last) for x in (X, conv.weight))
        return conv2d(X, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)
    images, kernel = (
        _pixels_to_channels(pad(x, (*across, *down)), conv.stride[0])
        for x, (down, across) in zip((X, conv.weight), pads, strict=True)
    )
    return conv2d(images, kernel)


def _padding(conv: Any) -> list[tuple[int, int]]:
    """Zeros before and after an image, in each direction."""
    if conv.padding == "valid":
        return 2 * [(0, 0)]
    if conv.padding == "same":  # PyTorch takes it only without strides
        return [((size - 1) // 2, size // 2) for size in conv.kernel_size]
    return [(n, n) for n in conv.padding]


def _pixels_to_channels(X: torch.Tensor, step: int) -> torch.Tensor:
    """Squares of ``step`` by ``step`` pixels made one pixel: (n, c, h, w) becomes (n, step² c, h / step, w / step)."""
    n, channels, height, width = X.shape
    squares = X.reshape(n, channels, height // step, step, width // step, step).permute(0, 2, 4, 3, 5, 1)
    pixels = squares.to(torch.bfloat16, memory_format=torch.contiguous_format)
    return pixels.reshape(n, height // step, width // step, step * step * channels).permute(0, 3, 1, 2)
