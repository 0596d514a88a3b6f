"""Initialization of lazy layers once they have their shapes."""

from collections.abc import Callable
from typing import Any

from torch import nn

Layer = nn.Linear | nn.Conv2d  # whose weight is initialized


def initialize(layer: Layer, init: Callable[[Any], Any]) -> None:
    """Call ``init`` with a layer now or, if it is lazy, once its first input has given it its shape.

    Weights that are loaded before that stay.
    """
    if nn.parameter.is_lazy(layer.weight):
        # Hooks run in the order of their making, so the layer's own has made the weight when this one runs.
        layer.register_forward_pre_hook(_InitializeOnce(init))
        layer.register_load_state_dict_post_hook(_keep_what_was_loaded)
    else:
        init(layer)


class _InitializeOnce:
    """Hook before a lazy layer's first pass. It takes itself off, also where the layer is a copy."""

    def __init__(self, init: Callable[[Any], Any]):
        self.init = init

    def __call__(self, layer: nn.Module, _: Any) -> None:
        self.init(layer)
        _forget_initialization(layer)


def _keep_what_was_loaded(layer: Layer, _: Any) -> None:
    if not nn.parameter.is_lazy(layer.weight):  # loading gave it its shape; without weights of its own it stays lazy
        _forget_initialization(layer)


def _forget_initialization(layer: nn.Module) -> None:
    hooks = layer._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, _InitializeOnce)]:
        del hooks[key]
