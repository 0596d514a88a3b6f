"""An accelerator for PyTorch that is made of the CPU: what runs on none but NVIDIA's GPUs is found out on any machine.

`register` makes a device of the type ``toy`` in the place that PyTorch keeps for devices of other packages
(PrivateUse1), as `torch.accelerator` has it from then on; no process gets rid of it again. It lacks what Apple's GPUs
lack: ``float64``, streams, and copies that are not waited for, which may read what is no longer there.

A tensor on it has no memory. Its operators take the tensors on the CPU that stand for their arguments, by their
storages, and run there.
"""

import types
from functools import partial
from typing import Any

import torch
from torch.utils import _pytree as pytree

OPERATORS = "aten::"
SHARED = ("aten::detach", "aten::alias")  # PyTorch's own, whose results share their argument's storage
# What the helper used to call, and none but NVIDIA's and AMD's GPUs have.
CUDA = (
    *("Stream", "current_stream", "device", "device_count", "get_rng_state", "is_bf16_supported"),
    *("set_device", "set_rng_state", "set_stream", "stream", "synchronize"),
)

on_cpu: dict[int, torch.Tensor] = {}


def _storage(x: torch.Tensor) -> int:
    return x.untyped_storage()._cdata


def _to_cpu(x: Any) -> Any:
    return on_cpu[_storage(x)] if isinstance(x, torch.Tensor) and x.device.type == "toy" else x


def _to_toy(x: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")
    made = torch._C._acc.create_empty_tensor(x.shape, x.dtype)
    on_cpu[_storage(made)] = x
    return made


def _run(operator: Any, *args: Any, **options: Any) -> Any:
    """What an operator gives on the CPU, on the device; what it changes in place stays the tensor that it is."""
    if options.pop("non_blocking", False) or (operator is torch.ops.aten.copy_.default and len(args) > 2 and args[2]):
        raise AssertionError("a copy to this device or from it that is not waited for")
    stays = torch.device(options.get("device") or "toy").type == "toy"
    if "device" in options:
        options["device"] = torch.device("cpu")
    options.pop("pin_memory", None)
    given = [x for x in pytree.tree_leaves((args, options)) if isinstance(x, torch.Tensor)]
    result = operator(*pytree.tree_map(_to_cpu, args), **pytree.tree_map(_to_cpu, options))
    if not stays:
        return result
    same = {id(_to_cpu(x)): x for x in given}
    return pytree.tree_map_only(torch.Tensor, lambda x: same[id(x)] if id(x) in same else _to_toy(x), result)


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    _to_cpu(target).copy_(_to_cpu(source))
    return target


def _cast(operator: Any, *args: Any) -> Any:
    """What a layer gives under `torch.autocast`."""
    lower = pytree.tree_map_only(torch.Tensor, lambda x: x.to(torch.get_autocast_dtype("toy")), args)
    with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet("AutocastPrivateUse1")):
        return operator(*lower)


def _module() -> types.ModuleType:
    """``torch.toy``, with what `torch.accelerator` and random numbers need."""
    module: Any = types.ModuleType("torch.toy")
    module.generator = generator = torch.Generator()
    module.is_available = module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.manual_seed_all = generator.manual_seed
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    module.get_rng_state = lambda device: generator.get_state()
    module.set_rng_state = lambda state, device: generator.set_state(state)
    return module


def _refuse(name: str, *_: Any, **__: Any) -> None:
    raise AssertionError(f"torch.cuda.{name} was called")


def register() -> tuple[torch.library.Library, ...]:
    """Make the device, and have `torch.cuda` fail. The device lasts as long as what this returns."""
    from torch import _dynamo  # noqa: F401 - optimizers import it, and it reads torch.cuda
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend("toy", backend_module=_module())
    library, rest = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    for operator in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default):
        library.impl(operator.name(), partial(_cast, operator), "AutocastPrivateUse1")
    for name in filter(lambda name: name.startswith(OPERATORS), torch._C._dispatch_get_all_op_names()):
        if name in SHARED or torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"):
            continue
        base, _, overload = name.removeprefix(OPERATORS).partition(".")
        operator = getattr(getattr(torch.ops.aten, base), overload or "default", None)
        library.impl(name, _copy_from if base == "_copy_from" else partial(_run, operator), "PrivateUse1")
    for name in CUDA:
        setattr(torch.cuda, name, partial(_refuse, name))
    return library, rest
