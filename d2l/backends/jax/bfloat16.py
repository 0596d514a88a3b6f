"""Layers in ``bfloat16``, and convolutions laid out for a GPU's tensor cores."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import linen as nn
from jax import lax
from jax import numpy as jnp

from ...space_to_depth import space_to_depth_pads
from .train_state import Params


def compute_capability(device: jax.Device) -> int:
    """The first number of an NVIDIA GPU's compute capability, such as 9 of 9.0; 0 of other devices."""
    major = getattr(device, "compute_capability", "").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def products_are_plain() -> bool:
    """Whether a user has asked JAX for products of ``float32`` without rounding."""
    return jax.config.jax_default_matmul_precision in ("float32", "highest")


def apply_in_bfloat16(model: nn.Module, variables: Params, *inputs: Any, **kwargs: Any) -> Any:
    """What ``model.apply`` does, with parameters and inputs in ``bfloat16`` and outputs in ``float32``."""
    variables = {**variables, "params": _as_type(jnp.bfloat16, variables["params"])}
    output = model.apply(variables, *_as_type(jnp.bfloat16, inputs), **kwargs)
    return _as_type(jnp.float32, output)


def _as_type(dtype: Any, tree: Any) -> Any:
    """The tree with its floating-point arrays converted."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def space_to_depth_conv(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    """Have a convolution with strides over few channels computed as one without strides over more.

    See `d2l.space_to_depth`.
    """
    layer = context.module
    folded = _folded(layer, *args, **kwargs) if type(layer) is nn.Conv and context.method_name == "__call__" else None
    if folded is None:
        return call(*args, **kwargs)
    X, kernel = folded
    # Flax draws a kernel to compare shapes with, and the layer's own way to draw it may not suit this one.
    own = {"kernel_size": kernel.shape[:2], "strides": 1, "padding": "VALID", "kernel_init": nn.initializers.zeros}
    return layer.clone(parent=None, **own).apply({"params": {**layer.variables["params"], "kernel": kernel}}, X)


def _folded(layer: nn.Conv, inputs: jax.Array) -> tuple[jax.Array, jax.Array] | None:
    """Images and kernel for a convolution without strides that computes what ``layer`` does.

    ``None`` where it would gain nothing, where the layer is out of the ordinary, and where Flax is to raise its error.
    """
    strides, *dilations = (
        2 * (n or 1,) if n is None or isinstance(n, int) else tuple(n)
        for n in (layer.strides, layer.input_dilation, layer.kernel_dilation)
    )
    special = layer.padding in ("CIRCULAR", "REFLECT", "CAUSAL") or layer.mask is not None
    special = special or layer.feature_group_count != 1 or dilations != [(1, 1), (1, 1)]
    kernel: Any = layer.variables.get("params", {}).get("kernel")
    if special or inputs.ndim != 4 or getattr(kernel, "ndim", 0) != 4 or inputs.shape[3] != kernel.shape[2]:
        return None
    image, size = inputs.shape[1:3], kernel.shape[:2]
    padding = nn.linear.canonicalize_padding(layer.padding, 2)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(image, size, strides, padding)
    pads = space_to_depth_pads(image, size, strides, padding, inputs.shape[3])
    if pads is None:
        return None
    image_pads, kernel_pads = pads
    margins = [(before, after, 0) for before, after in image_pads]
    X = lax.pad(inputs, jnp.zeros((), inputs.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
    kernel = jnp.pad(kernel, [*kernel_pads, (0, 0), (0, 0)])
    fold = partial(_pixels_to_channels, strides[0])
    return jax.vmap(fold)(X), fold(kernel)


def _pixels_to_channels(step: int, X: jax.Array) -> jax.Array:
    """Squares of ``step`` by ``step`` pixels made one pixel, in an array (height, width, channels, ...)."""
    height, width, channels, *rest = X.shape
    squares = X.reshape(height // step, step, width // step, step, channels, *rest).swapaxes(1, 2)
    return squares.reshape(height // step, width // step, step * step * channels, *rest)
