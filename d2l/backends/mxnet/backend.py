"""MXNet for a trainer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as onp  # MXNet's own arrays have the name np here
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn
from mxnet.gluon.utils import shape_is_known

from ... import backend, input_checks
from ...backend import Clip, OptimizerState, describe_devices, forward_once
from ...checkpoint_file import check_fits, pack
from ...machine import keep_freed_memory
from ...metrics import StepMetrics, recorded
from .devices import cpu, find_gpus
from .modules import Module
from .sgd import SGD


class Backend(backend.Backend):
    """MXNet: see `d2l.backend.Backend`.

    Several GPUs take a shard each of every batch, and MXNet's kvstore adds up their gradients.
    """

    name = "mxnet"
    module_type = Module
    layer_type = nn.Block
    exposes_rng_state = False
    tensor_types = (np.ndarray,)
    tensors_name = "arrays of mxnet.np, such as mxnet.np.array(X)"
    optimizer_methods = ("step",)
    optimizer_example = 'gluon.Trainer(self.parameters(), "sgd", {"learning_rate": self.lr})'
    schedule_example = 'gluon.Trainer(params, "sgd", {"lr_scheduler": schedule})'
    _devices: Sequence[mx.Context] = ()  # that the model has been brought to

    def choose_gpus(self, num_gpus: int) -> Sequence[mx.Context]:
        """The first ones."""
        return find_gpus()[:num_gpus]

    @property
    def cpu(self) -> mx.Context:
        """The machine's CPU."""
        return cpu()

    @property
    def devices(self) -> Sequence[mx.Context]:
        """The devices that a batch is divided among."""
        return self._devices or [self.device]

    @property
    def num_devices(self) -> int:
        """Their number; before a model has been brought to them, that of the devices there are for it."""
        return len(self._devices) or super().num_devices

    def place(self, batch: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The batch on the device, the first one if there are several."""
        device = self.device
        return [x.as_in_ctx(device) for x in batch]

    def attach(self, model: Module) -> None:
        """Bring the model to the devices."""
        if not self.gpus:
            keep_freed_memory()
        self._bring_to(model, self.gpus or [self.device])

    def is_initialized(self, model: Module) -> bool:
        """Whether all shapes are known."""
        return all(shape_is_known(param.shape) for param in _layer_params(model).values())

    def init(self, model: Module, batch: Sequence[np.ndarray]) -> None:
        """Give parameters their shapes. Their values are drawn in the first step, as they would be without this."""
        deferred = {param: param._deferred_init for param in _layer_params(model).values() if param._deferred_init}
        for param, (_, devices, _, _) in deferred.items():
            param._deferred_init = init.Zero(), devices, init.Zero(), None
        try:
            forward_once(model, batch)
        finally:
            for param, drawing in deferred.items():
                param._data = param._grad = param._ctx_list = param._ctx_map = None
                param._deferred_init = drawing

    def configure(self, model: Module) -> Any:
        """The optimizer; one that cannot divide a batch among several devices has the model brought to one."""
        optimizer = self._configure(model)
        _check_arrays(model, optimizer)
        of_its_own = model.get_scratch_params() or not isinstance(optimizer, gluon.Trainer)
        if of_its_own and len(self.devices) > 1:
            self._bring_to(model, self.devices[:1])
            optimizer = self._configure(model)  # for the parameters where they are now
            self.say(
                f"num_gpus={self.requested_gpus}: training on {describe_devices(self)}. {type(model).__name__} has "
                "arrays or an optimizer of its own; several devices take parameters of layers and a gluon.Trainer"
            )
        _hybridize(model)
        return optimizer

    def _configure(self, model: Module) -> Any:
        optimizer = super().configure(model)
        if isinstance(optimizer, gluon.Trainer):
            input_checks.check_trained(model, optimizer._params, list(model.collect_params().values()))
        return optimizer

    def _bring_to(self, model: Module, devices: Sequence[mx.Context]) -> None:
        """Have the model's parameters on each of these devices, which its batches are divided among from now on."""
        self._devices = devices
        params = model.parameters()
        if isinstance(params, gluon.ParameterDict):
            if any(param._data is None and not param._deferred_init for param in params.values()):
                raise ValueError(
                    f"{type(model).__name__} has layers that are not initialized: call self.net.initialize() in "
                    "its __init__"
                )
            params.reset_ctx(list(devices))
        model.set_scratch_params_device(self.device)

    def set_training(self, model: Module, training: bool) -> None:
        """Nothing to do: MXNet trains while it records, and predicts otherwise."""

    def sync_statistics(self, model: Module) -> None:
        """Give all devices the first one's statistics, such as the averages of batch normalization."""
        if len(self.devices) > 1:
            for param in model.parameters().values():
                if param.grad_req == "null":
                    param.set_data(param.data(self.device))

    def train_step(self, model: Module, optimizer: Any, batch: Sequence[np.ndarray], clip: Clip | None) -> StepMetrics:
        """One step, on one device or divided among several."""
        several = len(self.devices) > 1
        with autograd.record(), recorded() as metrics:
            losses = self._shares_of_loss(model, batch, metrics) if several else [_loss(model, batch)]
        autograd.backward(losses)
        if several:
            optimizer.allreduce_grads()
        if clip is not None:
            clip(model)
        # Gluon's step is both, allreduce_grads and update.
        update = optimizer.update if several else optimizer.step
        # A layer that the loss does not reach stays as it is.
        update(1, **({"ignore_stale_grad": True} if isinstance(optimizer, gluon.Trainer) else {}))
        # MXNet queues its work: without a pause the queue, and the batches it holds, would grow for an epoch.
        npx.waitall()
        return StepMetrics(metrics)

    def eval_step(self, model: Module, batch: Sequence[np.ndarray]) -> StepMetrics:
        """One step, on one device or divided among several."""
        with recorded() as metrics:
            if len(self.devices) > 1:
                self._on_shards(model.validation_step, batch, metrics)
            else:
                model.validation_step(batch)
        return StepMetrics(metrics)

    def predict(self, model: Module, inputs: Sequence[Any]) -> Any:
        """One pass on the first device."""
        return model(*(np.array(x, dtype=x.dtype, ctx=self.device) for x in inputs))

    def _shares_of_loss(self, model: Module, batch: Sequence[np.ndarray], metrics: dict[str, Any]) -> list[np.ndarray]:
        """What each device adds to the loss of the whole batch. One without examples adds gradients of zero."""
        shares = self._on_shards(partial(_loss, model), batch, metrics)
        losses = [loss * share for loss, share in shares]
        params = [param for param in model.parameters().values() if param.grad_req != "null"]
        idle = self.devices[len(losses) :]
        return losses + [sum((param.data(device) * 0).sum() for param in params) for device in idle]

    def _on_shards(
        self, step: Callable[[Sequence[np.ndarray]], Any], batch: Sequence[np.ndarray], metrics: dict[str, Any]
    ) -> list[tuple[Any, float]]:
        """Do a step on each device with its shard of the batch.

        Args:
            metrics: Takes the means over all shards of what the step records.

        Returns:
            What the step gives for each shard, and the shard's share of the examples. In a batch with fewer examples
            than there are devices, the last devices have none, and no shard.
        """
        tensors = [gluon.utils.split_data(tensor, len(self.devices), even_split=False) for tensor in batch]
        results = []
        for device, *shard in zip(self.devices, *tensors, strict=True):
            share = len(shard[-1]) / len(batch[-1])
            if not share:
                break
            with device, recorded() as own:
                results.append((step([tensor.as_in_ctx(device) for tensor in shard]), share))
            for key, value in own.items():
                value = value.as_in_ctx(self.device) if isinstance(value, np.ndarray) else value
                metrics[key] = metrics.get(key, 0) + value * share
        return results

    def model_state(self, model: Module) -> dict[str, np.ndarray]:
        """Parameters of layers and the model's own arrays, those of the first device."""

        def data(param: gluon.Parameter) -> np.ndarray:
            deferred = np.zeros(param.shape, dtype=param.dtype) if param._deferred_init else None
            return param.data(self.device) if deferred is None else deferred

        own = dict(model._named_scratch_params())
        return {**{name: data(param) for name, param in _layer_params(model).items()}, **own}

    def load_model_state(self, model: Module, state: Mapping[str, onp.ndarray]) -> None:
        """Set them on each device."""
        params = _layer_params(model)
        for name, array in self.model_state(model).items():
            weight = np.array(state[name], dtype=array.dtype, ctx=self.device)
            if name in params:
                params[name].set_data(weight)
                params[name]._finish_deferred_init()
            else:
                array[...] = weight

    def optimizer_state(self, model: Module, optimizer: Any) -> OptimizerState:
        """What Gluon would save as a pickle: states, numbers and counts by the model's names. Others have none."""
        inner, state = _inner(optimizer), None
        if isinstance(optimizer, gluon.Trainer):
            states, counts = optimizer._updaters[0].states, inner._index_update_count  # those of the first device
            numbers = _optimizer_numbers(model, optimizer)
            state = {
                "states": {name: states[i] for name, i in numbers.items() if i in states},
                "numbers": _numbers(inner),
                "counts": {name: counts[i] for name, i in numbers.items() if i in counts},
            }
        scheduler = getattr(inner, "lr_scheduler", None)
        return OptimizerState(
            type(inner).__name__,
            state,
            is_complete=type(optimizer) is SGD or isinstance(optimizer, gluon.Trainer),
            schedulers={} if scheduler is None else {type(scheduler).__name__: vars(scheduler)},
            held=[optimizer],
        )

    def load_optimizer_state(self, model: Module, optimizer: Any, saved: OptimizerState, path: Path) -> None:
        """Set them on each device."""
        inner = _inner(optimizer)
        if saved.state is not None:
            self._load_gluon_state(model, optimizer, self._arrays(saved.state), path)
        for state in saved.schedulers.values():
            vars(inner.lr_scheduler).update(self._arrays(state))

    def _load_gluon_state(self, model: Module, optimizer: gluon.Trainer, state: dict[str, Any], path: Path) -> None:
        inner, numbers = optimizer.optimizer, _optimizer_numbers(model, optimizer)
        weights = {name: optimizer._params[numbers[name]].data(self.device) for name in state["states"]}
        new = {name: inner.create_state_multi_precision(0, weight) for name, weight in weights.items()}
        there: dict[str, onp.ndarray] = {}
        here: dict[str, onp.ndarray] = {}
        pack(state["states"], "states", there)
        pack(new, "states", here)
        check_fits(path, there, here, "optimizer")
        vars(inner).update(state["numbers"])
        for device, updater in zip(self.devices, optimizer._updaters, strict=True):
            states = {numbers[name]: part for name, part in state["states"].items()}
            updater.states = {i: updater.sync_state_context(part, device) for i, part in states.items()}
            updater.states_synced = dict.fromkeys(states, True)
            inner._set_current_context(device.device_id)
            inner._index_update_count.update({numbers[name]: count for name, count in state["counts"].items()})
        if "schedule" in state and inner.lr_scheduler is not None:  # in a checkpoint of an earlier version
            vars(inner.lr_scheduler).update(state["schedule"])

    def _arrays(self, tree: Any) -> Any:
        """A tree with MXNet's arrays in the place of NumPy's."""
        if isinstance(tree, dict):
            return {key: self._arrays(value) for key, value in tree.items()}
        if isinstance(tree, (list, tuple)):
            return type(tree)(map(self._arrays, tree))
        if isinstance(tree, onp.ndarray):
            return np.array(tree, dtype=tree.dtype, ctx=self.device).as_nd_ndarray()
        return tree

    def rng_state(self) -> int:
        """A seed drawn from MXNet's random state, which it does not expose, and goes on from."""
        seed = int(np.random.randint(0, 2**31 - 1))
        mx.random.seed(seed)
        return seed

    def load_rng_state(self, state: int) -> None:
        """Go on from such a seed."""
        mx.random.seed(state)

    def seed(self, seed: int) -> None:
        """``mx.random.seed``."""
        mx.random.seed(seed)


def _loss(model: Module, batch: Sequence[np.ndarray]) -> np.ndarray:
    """The loss that a model's step of training returns.

    Raises:
        TypeError, ValueError: It returns something else.
    """
    loss = model.training_step(batch)
    input_checks.check_loss(model, loss, mx.nd.NDArray)
    return loss


def _check_arrays(model: Module, optimizer: Any) -> None:
    """See that the optimizer trains what has a gradient: Gluon's has parameters of layers only."""
    if isinstance(optimizer, gluon.Trainer):
        untrained = [name for name, array in model._named_scratch_params() if array.grad is not None]
        if untrained:
            raise ValueError(
                f"{type(model).__name__} has arrays with gradients ({', '.join(untrained)}), and a "
                "gluon.Trainer does not train these: make each of them a gluon.Parameter"
            )


def _layer_params(model: Module) -> Mapping[str, gluon.Parameter]:
    """Parameters of layers by the names that Gluon saves them under; others count the layers of the process."""
    return model._collect_params_with_prefix()


def _inner(optimizer: Any) -> Any:
    """The optimizer itself, where Gluon's trainer has it."""
    return getattr(optimizer, "optimizer", optimizer)


def _optimizer_numbers(model: Module, optimizer: gluon.Trainer) -> dict[str, int]:
    """The optimizer's number for each parameter, by its name in the model.

    Gluon numbers parameters in the order of other names, in which it counts the layers of the process.
    """
    numbers = {id(param): i for i, param in enumerate(optimizer._params)}
    return {name: numbers[id(param)] for name, param in _layer_params(model).items() if id(param) in numbers}


def _numbers(thing: Any) -> dict[str, float]:
    """The numbers that an object has as attributes."""
    return {name: value for name, value in getattr(thing, "__dict__", {}).items() if isinstance(value, (int, float))}


def _hybridize(block: nn.Block) -> None:
    """Let every part of ``block`` that can be compiled be compiled."""
    for child in block._children.values():
        if isinstance(child, nn.HybridBlock):
            child.hybridize(static_alloc=True, static_shape=True)
        else:
            _hybridize(child)
