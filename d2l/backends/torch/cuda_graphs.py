"""Steps captured as a CUDA graph, which a GPU runs without waiting for Python between its kernels."""

import random
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.modules.module import _has_any_global_hook

from ...backend import Clip
from ...metrics import StepMetrics
from .fused_layers import is_compiled, is_observed
from .fused_optimizers import is_fusible, learning_rates, rates_on_device
from .modules import Module

WARM_UP_STEPS = 4  # of the same kind, before one is captured: libraries load and tune themselves in the first
MOST_KINDS = 8  # of steps, until it is given up to capture one
LONG = 1000  # a container of more is data, which is not gone through at each step

Batch = Sequence[torch.Tensor]
Step = Callable[[Module, Any, Batch, Clip | None], StepMetrics]


class Capturer(Protocol):
    """What captures work on a device."""

    def watch(self, run: Callable[[], StepMetrics]) -> tuple[StepMetrics, bool]:
        """Run, and say whether it has waited for the device."""
        ...

    def capture(self, run: Callable[[], StepMetrics]) -> tuple[StepMetrics, Callable[[], None]]:
        """Note what ``run`` has the device do.

        Returns:
            What ``run`` does, in tensors that stay; and what has the device do it.
        """
        ...


class CUDACapturer:
    """Captures on a GPU of NVIDIA's."""

    def __init__(self, device: torch.device):
        self._device = device

    def watch(self, run: Callable[[], StepMetrics]) -> tuple[StepMetrics, bool]:
        """Run, and say whether it has waited for the GPU."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = run()
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        waits = [warning for warning in caught if "synchronizing CUDA operation" in str(warning.message)]
        for warning in caught:
            if warning not in waits and "debug mode is a prototype" not in str(warning.message):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return result, bool(waits)

    def capture(self, run: Callable[[], StepMetrics]) -> tuple[StepMetrics, Callable[[], None]]:
        """Capture a graph.

        Raises:
            RuntimeError: The GPU cannot capture it. Random states are then as before.
        """
        generator = torch.cuda.default_generators[self._device.index or 0]
        state = generator.get_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                metrics = run()
        except BaseException:
            # A failed capture leaves the generator as if in a capture: it gets a state of its own.
            fresh = torch.Generator(self._device)
            fresh.set_state(state)
            generator.graphsafe_set_state(fresh.graphsafe_get_state())
            raise
        return metrics, graph.replay


@dataclass
class _Graph:
    """A captured step.

    Attributes:
        kind: The steps that it can do.
        batch: The tensors that it reads.
        rates: Those that it reads learning rates from.
        values: What is in these.
        metrics: The scalars that it writes.
        gradients: The parameters, and the gradients that it writes for them.
        replay: Has the device do it.
    """

    kind: "_Kind"
    batch: Batch
    rates: list[torch.Tensor]
    values: list[float]
    metrics: StepMetrics
    gradients: Sequence[tuple[torch.Tensor, torch.Tensor | None]]
    replay: Callable[[], None]


class GraphedStep:
    """Takes steps of training or of validation, after the first few of a kind as a CUDA graph.

    A graph does what the captured step has done, with other batches and learning rates. So a step is captured only if
    nothing that Python does in it can matter to a later one. If it may, all steps run as they are, which a line says.

    Args:
        step: Takes a step: ``step(model, optimizer, batch, clip)``.
        method: The model's method that it calls, such as ``training_step``.
        capturer: Captures it.
        say: Prints a line.

    Attributes:
        is_refused: Whether steps run as they are from now on.
    """

    def __init__(self, step: Step, method: str, capturer: Capturer, say: Callable[[str], None]):
        self._step, self._method, self._capturer, self._say = step, method, capturer, say
        self._graph: _Graph | None = None
        self._taken: Counter[_Kind] = Counter()  # steps by their kind
        self.is_refused = False

    def __call__(self, model: Module, optimizer: Any, batch: Batch, clip: Clip | None) -> StepMetrics:
        """Take a step."""
        if self.is_refused:
            return self._step(model, optimizer, batch, clip)
        kind = _Kind.of(model, optimizer, batch, clip)
        graph = self._graph
        if graph is not None and graph.kind == kind:
            return _replay(graph, optimizer, batch)
        self._taken[kind] += 1
        if len(self._taken) > MOST_KINDS:
            self._refuse("shapes of batches, numbers in the model or settings of the optimizer change again and again")
        is_odd_batch = graph is not None and graph.kind.rest == kind.rest  # such as an epoch's last one, which is short
        if self._taken[kind] < WARM_UP_STEPS or is_odd_batch or self.is_refused:
            return self._step(model, optimizer, batch, clip)
        if self._taken[kind] == WARM_UP_STEPS:
            return self._watch(model, optimizer, batch, clip)
        return self._capture(kind, model, optimizer, batch, clip)

    def _watch(self, model: Module, optimizer: Any, batch: Batch, clip: Clip | None) -> StepMetrics:
        """Take a step as it is, and see whether it can be captured."""
        before = _python_state(model, optimizer)
        with _noting_prints() as prints:
            metrics, waits = self._capturer.watch(lambda: self._step(model, optimizer, batch, clip))
        reason = _reason_against(model, self._method, optimizer, metrics)
        if waits:
            reason = "the step waits for the GPU, as .item() or an if on a tensor does"
        elif prints:
            reason = "the step prints"
        elif _python_state(model, optimizer) != before:
            reason = "the step changes or draws numbers in Python"
        if reason:
            self._refuse(reason)
        return metrics

    def _refuse(self, reason: str) -> None:
        self.is_refused, self._graph = True, None
        self._taken.clear()
        self._say(f"{self._method} runs without a CUDA graph, which is faster where the GPU waits for Python: {reason}")

    def _capture(self, kind: "_Kind", model: Module, optimizer: Any, batch: Batch, clip: Clip | None) -> StepMetrics:
        self._graph = None  # its memory is free for the next one
        inputs = [x.clone() for x in batch]
        values = learning_rates(optimizer)
        rates = [torch.tensor(value, device=inputs[0].device) for value in values]
        _forget_gradients(optimizer)

        def run() -> StepMetrics:
            return self._step(model, optimizer, inputs, clip)

        try:
            with rates_on_device(optimizer, rates), _without_step_hooks(optimizer), _only_logging(model):
                metrics, replay = self._capturer.capture(run)
        except Exception as error:  # whatever a model's own code, or the GPU, may raise
            _forget_gradients(optimizer)
            cause = error.__context__ or error  # the end of a failed capture fails, too
            self._refuse(str(cause).partition("\n")[0])
            return self._step(model, optimizer, batch, clip)
        gradients = [(parameter, parameter.grad) for parameter in model.parameters()] if optimizer else []
        self._graph = _Graph(kind, inputs, rates, values, metrics, gradients, replay)
        return _replay(self._graph, optimizer, batch)


def _forget_gradients(optimizer: Any) -> None:
    if optimizer is not None:
        optimizer.zero_grad()


def _replay(graph: _Graph, optimizer: Any, batch: Batch) -> StepMetrics:
    """Do what the captured step has done with another batch, at the learning rates of now."""
    for own, given in zip(graph.batch, batch, strict=True):
        own.copy_(given, non_blocking=True)
    values = learning_rates(optimizer)
    if values != graph.values:
        for rate, value in zip(graph.rates, values, strict=True):
            rate.fill_(value)
        graph.values = values
    graph.replay()
    for parameter, gradient in graph.gradients:  # where a step that was not captured has put others
        parameter.grad = gradient
    with torch.no_grad():
        for hook in _step_hooks(optimizer).values():
            hook(optimizer, (), {})
    return StepMetrics({name: value.clone() for name, value in graph.metrics.values.items()})


@dataclass(frozen=True)
class _Kind:
    """What is the same for all steps that one graph does.

    Attributes:
        batch: Shapes, dtypes and devices.
        rest: Settings and places of the model's and the optimizer's tensors, and the clipping of gradients.
    """

    batch: tuple[Any, ...]
    rest: tuple[Any, ...]

    @classmethod
    def of(cls, model: Module, optimizer: Any, batch: Batch, clip: Clip | None) -> "_Kind":
        tensors = (*model.parameters(), *model.buffers())
        places = tuple((id(x), x.data_ptr(), x.requires_grad) for x in tensors)
        settings = (*map(_plain_values, model.modules()), _optimizer_values(optimizer))
        clipping = clip and (getattr(clip, "func", clip), getattr(clip, "args", ()))
        rest = (id(model), places, settings, id(optimizer), clipping)
        return cls(tuple((x.shape, x.dtype, x.device) for x in batch), rest)


def _plain_values(owner: Any) -> tuple[Any, ...]:
    """An object's attributes, as `_known` has them."""
    return tuple((name, _known(value)) for name, value in getattr(owner, "__dict__", {}).items())


def _optimizer_values(optimizer: Any) -> Any:
    """Its attributes; of one of PyTorch's, the settings but the learning rate, and the tensors of its state."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        return _plain_values(optimizer)
    settings = [(name, x) for group in optimizer.param_groups for name, x in group.items()]
    kept = tuple((name, _known(x)) for name, x in settings if name not in ("lr", "params"))
    return kept, _known(optimizer.state)


def _known(value: Any) -> Any:
    """A number or a text; of a container which object it is and what is in it; of all else which object it is."""
    if isinstance(value, (int, float, str)):
        return value
    if not isinstance(value, (dict, list, tuple, set, deque)) or len(value) > LONG:
        return id(value)
    return id(value), len(value), tuple(map(_known, value.values() if isinstance(value, dict) else value))


def _python_state(model: Module, optimizer: Any) -> tuple[Any, ...]:
    """What a step may change in Python: attributes, and the random states that are not the GPU's."""
    randoms = random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state().numpy().tobytes()
    return tuple(map(_plain_values, model.modules())), _optimizer_values(optimizer), randoms


def _reason_against(model: Module, method: str, optimizer: Any, metrics: StepMetrics) -> str | None:
    """Why a model's steps cannot be captured, as far as it shows outside of them."""
    owner = next(owner for owner in (model, *type(model).__mro__) if method in vars(owner))
    if not vars(owner)[method].__module__.startswith("d2l."):
        return f"{type(model).__name__} defines it anew"
    if any(map(is_observed, model.modules())) or _has_any_global_hook():
        return "a layer has a hook"
    if any(x._backward_hooks or x._post_accumulate_grad_hooks for x in model.parameters()):
        return "a parameter has a hook"
    if getattr(optimizer, "_optimizer_step_pre_hooks", None):
        return "the optimizer has a hook before its step"
    if isinstance(optimizer, torch.optim.Optimizer) and not is_fusible(optimizer):
        return f"{type(optimizer).__name__} is none of PyTorch's SGD, Adam and AdamW"
    if is_compiled(model):
        return "the model runs through torch.compile"
    if not all(isinstance(value, torch.Tensor) for value in metrics.values.values()):
        return "the step plots a number that Python has computed"
    return None


def _step_hooks(optimizer: Any) -> dict[int, Callable[..., None]]:
    """What is called after an optimizer's step, such as schedules."""
    return getattr(optimizer, "_optimizer_step_post_hooks", {})


@contextmanager
def _without_step_hooks(optimizer: Any) -> Iterator[None]:
    hooks = _step_hooks(optimizer)
    kept = dict(hooks)
    hooks.clear()
    try:
        yield
    finally:
        hooks.update(kept)


@contextmanager
def _only_logging(model: Module) -> Iterator[None]:
    """Give the model a trainer that does nothing but log, so that no step depends on what the trainer counts."""
    trainer = model.trainer
    model.trainer = _Logging(trainer.log)
    try:
        yield
    finally:
        model.trainer = trainer


class _Logging:
    """What of a trainer a captured step may use."""

    def __init__(self, log: Callable[..., None]):
        self.log = log

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the step asks for trainer.{name}, which may be another in a later one")


@contextmanager
def _noting_prints() -> Iterator[list[str]]:
    """Collect what is printed meanwhile, which appears as ever."""
    stream, written = sys.stdout, []

    class Noting:
        def write(self, text: str) -> int:
            written.append(text)
            return stream.write(text)

        def __getattr__(self, name: str) -> Any:
            return getattr(stream, name)

    sys.stdout = Noting()  # type: ignore[assignment]
    try:
        yield written
    finally:
        sys.stdout = stream
