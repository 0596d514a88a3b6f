"""JAX for a trainer."""

import inspect
import signal
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ... import backend, input_checks
from ...backend import Clip, OptimizerState, choose_precision
from ...batches import inputs_of
from ...checkpoint_file import check_fits
from ...compiled_steps import CompiledSteps
from ...metrics import StepMetrics, recorded
from ...process_group import ProcessGroup
from .bfloat16 import apply_in_bfloat16, compute_capability, products_are_plain, space_to_depth_conv
from .compilation_cache import keep_compiled
from .devices import cpu, find_gpus
from .loaded_weights import LoadedWeights
from .modules import Classifier, Module
from .padding import Padding, first_examples
from .pooling import register_max_pool_grad
from .processes import gather, gather_batch, process_group, wait_shortly_at_exit
from .train_state import REST, WEIGHTS, Params, TrainState, by_name, like, name_of, nested, new_state, with_loss


class Backend(backend.Backend):
    """JAX: see `d2l.backend.Backend`. Steps are compiled; what training changes is in ``state``.

    Attributes:
        state: Parameters, batch statistics, the optimizer's state and dropout's random state; ``None`` before a run.
        key: What the parameters of the next run are drawn with.
    """

    name = "jax"
    module_type = Module
    layer_type = nn.Module
    precisions = ("auto", "float32", "bfloat16")
    draws_alike = True
    draws_parameters = True
    metrics_are_global = True
    resumes_lr = False
    tensor_types = (jax.Array, np.ndarray)
    tensors_name = "arrays of jax or NumPy"
    optimizer_methods = ("init", "update")
    optimizer_example = "optax.sgd(self.lr)"
    schedule_example = "optax.sgd(schedule)"
    constructor_advice = "in place of an __init__, declare fields, such as lr: float = 0.1, and make layers in setup()"

    def __init__(self, num_gpus: int):
        super().__init__(num_gpus)
        self.state: Any = None  # a TrainState from `init` on
        self.key: jax.Array | None = None
        self._loaded = LoadedWeights()
        self.mesh: Mesh | None = None  # the devices in use of all processes, while a model is trained on more than one
        self._forget_steps()
        on_gpus = any(gpu.platform != "cpu" for gpu in self.gpus)
        reason = keep_compiled() if on_gpus else None
        if reason and self.processes.is_main:
            self.say(reason)

    def _forget_steps(self) -> None:
        """Have steps compiled anew: what they do may have changed."""
        self._steps = CompiledSteps(self, self._compile)
        self._padding = Padding(Classifier)

    def process_group(self) -> ProcessGroup:
        """Those that have been joined when this package was imported, or before."""
        return process_group()

    def choose_gpus(self, num_gpus: int) -> Sequence[jax.Device]:
        """The first ones."""
        return find_gpus()[:num_gpus]

    @property
    def cpu(self) -> jax.Device:
        """The machine's CPU."""
        return cpu()

    @property
    def device_name(self) -> str:
        """Such as ``gpu``."""
        return self.device.platform

    @property
    def supports_bfloat16(self) -> bool:
        """Whether the device is a GPU of NVIDIA's that computes in it."""
        return compute_capability(self.device) >= 8

    @property
    def tf32(self) -> str:
        """All products, on the GPUs that have bfloat16, unless a user has asked for plain ones."""
        return "products" if self.supports_bfloat16 and not products_are_plain() else ""

    def precision_context(self, model: Module, precision: str) -> AbstractContextManager[Any]:
        """Plain products for ``"float32"``, while it lasts."""
        if self.gpus or self.mesh is None:
            register_max_pool_grad("gpu" if self.gpus else "cpu")
        return jax.default_matmul_precision("float32") if precision == "float32" else nullcontext()

    @contextmanager
    def all_devices(self) -> Iterator[None]:
        """Have a model trained on all devices in use; afterwards the state is on the first one, as if it were alone."""
        self.mesh = self._make_mesh()
        try:
            with jax.default_device(self.device):
                yield
        except BaseException:
            if self.processes.world_size > 1:
                wait_shortly_at_exit()
            raise
        finally:
            if self.state is not None:
                self.state = self._local(self.state)
            self.mesh = None

    def _make_mesh(self) -> Mesh | None:
        """The devices in use of all processes in one axis; ``None`` if there is only one."""
        own = self.gpus or [self.device]
        platform = own[0].platform
        names = self.processes.all_gather(" ".join([platform, *(str(device.id) for device in own)]))
        numbers = [text.split() for text in names]
        if len({(name, len(ids)) for name, *ids in numbers}) > 1:
            used = ", ".join(f"{len(ids)} x {name}" for name, *ids in numbers)
            raise ValueError(f"the processes train on {used}: give each as many devices of the same kind")
        devices = {device.id: device for device in jax.devices(platform)}
        mesh = Mesh([devices[int(number)] for _, *ids in numbers for number in ids], ("batch",))
        return mesh if mesh.size > 1 else None

    def _replicated(self, tree: Any) -> Any:
        """A tree of arrays on the device, or on all of them while a model is trained on several."""
        if self.mesh is None:
            return jax.device_put(tree, self.device, may_alias=False)  # steps donate their argument buffers
        sharding = NamedSharding(self.mesh, PartitionSpec())

        def put(x: Any) -> jax.Array:
            x = jnp.array(x)
            whole = jax.make_array_from_process_local_data
            return x if x.sharding == sharding else whole(sharding, x, x.shape)

        return jax.tree.map(put, tree)

    def _local(self, tree: Any) -> Any:
        """A tree of arrays that are the same on all devices, on the first one; of what a failed step has left, all."""
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda x: x if x.is_deleted() else x.addressable_data(0), tree)

    def place(self, batch: Sequence[Any]) -> Sequence[jax.Array]:
        """A batch on the device or, while a model is trained on several, its shards on all of them.

        A batch that cannot be divided evenly is brought to each device whole.
        """
        if self.mesh is None:
            return [jax.device_put(x, self.device) for x in batch]
        size = len(batch[-1])
        if self.processes.world_size > 1:
            # Shards differ in size where an image could not be decoded, too.
            sizes = gather(np.array(size)).tolist()
            size = sum(sizes)
            if len(set(sizes)) > 1 or size % self.mesh.size:
                batch = [gather_batch(np.asarray(x), sizes) for x in batch]
        sharding = NamedSharding(self.mesh, PartitionSpec() if size % self.mesh.size else PartitionSpec("batch"))
        return [jax.make_array_from_process_local_data(sharding, x, (size, *x.shape[1:])) for x in batch]

    def attach(self, model: Module) -> None:
        """See that Flax can copy the model, which it does through its constructor, with arguments of its own."""
        if not {"parent", "args"} & set(inspect.signature(type(model)).parameters):
            raise TypeError(
                f"{type(model).__name__} has an __init__ of its own, which Flax cannot copy it with: "
                f"{self.constructor_advice}"
            )
        if self.state is None and model.loaded_weights:
            parts = {name: {} for name in WEIGHTS} | nested(model.loaded_weights)
            self.state = new_state(self._apply_fn(model), parts["params"], parts["batch_stats"], jax.random.PRNGKey(0))
            self._loaded = LoadedWeights(model.loaded_weights, model.weights_file)

    def is_initialized(self, model: Module) -> bool:
        """Never: each run starts from new parameters."""
        return False

    def init(self, model: Module, batch: Sequence[jax.Array]) -> None:
        """Draw parameters, which are in ``state`` from now on, for an optimizer to see, too."""
        self.set_training(model, True)
        # A GPU's operations take longer to be compiled one by one than all together.
        variables, dropout_key = _draw_variables(model, inputs_of(batch), self.key, compiled=bool(self.gpus))
        if "params" not in variables:
            raise ValueError(f"{type(model).__name__} has no parameters: make its layers in setup()")
        if not all(map(np.size, jax.tree.leaves(variables["params"]))):  # later versions of JAX would go on
            raise ValueError("a layer is left without inputs: the batch is too small for the layers before it")
        stats = variables.get("batch_stats", {})
        self.state = new_state(self._apply_fn(model), variables["params"], stats, dropout_key)
        self._loaded = LoadedWeights(model.loaded_weights)

    def _apply_fn(self, model: Module) -> Callable[..., Any]:
        """The model's ``apply``, in ``bfloat16`` where that is asked for or fast.

        ``jit`` caches this closure for the life of the process, so it holds the model weakly.
        """
        in_bfloat16 = choose_precision(model.trainer.precision, model, self) == "bfloat16"
        apply: Callable[..., Any] = apply_in_bfloat16 if in_bfloat16 else type(model).apply
        folding = partial(nn.intercept_methods, space_to_depth_conv) if in_bfloat16 and self.gpus else nullcontext
        referred = weakref.ref(model)

        def run(*args: Any, **kwargs: Any) -> Any:
            with folding():
                return apply(referred(), *args, **kwargs)

        return run

    def configure(self, model: Module) -> Any:
        """The optimizer, whose state is in ``state``."""
        self._forget_steps()
        optimizer = super().configure(model)
        opt_state = optimizer.init(self.state.params)
        # An optimizer without a state may give this class where an object of it is meant.
        opt_state = optax.EmptyState() if opt_state is optax.EmptyState else opt_state
        # On the device before the first step, as it is before the second: the step would be compiled for each.
        self.state = self._replicated(self.state.replace(tx=optimizer, opt_state=opt_state))
        return optimizer

    def set_training(self, model: Module, training: bool) -> None:
        """Set the field ``training``."""
        model.training = training

    def train_step(self, model: Module, optimizer: Any, batch: Sequence[jax.Array], clip: Clip | None) -> StepMetrics:
        """One compiled step, which replaces ``state``; none where no image of the batch could be decoded."""
        examples = len(batch[-1])
        if not examples:
            return StepMetrics({}, 0, 0)
        self._model, self._clip = model, clip
        batch, count = self._padded(self._train, model, batch)
        step = self._steps.get(self._train, model, optimizer, self.state, batch, count)
        with _uninterrupted():
            self.state, metrics = step(self.state, batch, count)
        return StepMetrics(self._local(metrics), examples, examples)

    def eval_step(self, model: Module, batch: Sequence[jax.Array]) -> StepMetrics:
        """One compiled step; none where no image of the batch could be decoded."""
        self._loaded.check(model, self.state)
        examples = len(batch[-1])
        if not examples:
            return StepMetrics({}, 0, 0)
        self._model = model
        with self._loaded.used(self, model, inputs_of(batch)):
            batch, count = self._padded(self._evaluate, model, batch)
            step = self._steps.get(self._evaluate, model, None, self.state, batch, count)
            return StepMetrics(self._local(step(self.state, batch, count)), examples, examples)

    def predict(self, model: Module, inputs: Sequence[Any]) -> jax.Array:
        """One compiled pass on the first device."""
        self._loaded.check(model, self.state)
        state = self.state
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        rngs = {"dropout": state.dropout_rng}
        inputs = [jax.device_put(x, self.device) for x in inputs]
        with self._loaded.used(self, model, inputs):
            return _apply(state.apply_fn, variables, inputs, rngs)

    def _padded(
        self, step: Callable[..., Any], model: Module, batch: Sequence[jax.Array]
    ) -> tuple[Sequence[jax.Array], np.int32 | None]:
        """A batch as `Padding.apply` gives it on a GPU, where a step is slow to be compiled anew for a short batch."""
        alone = self.gpus and self.mesh is None and not self.state.batch_stats
        return self._padding.apply(step.__name__, model, batch) if alone else (batch, None)

    def _compile(self, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        # A training step donates its old state's buffers to the new one; evaluation keeps the state.
        # A partial function is another one each time: for an equal one, JAX would take what it has compiled before.
        compiled = jax.jit(partial(step), donate_argnums=0 if step == self._train else ())
        compiled.trace(*arguments)
        return compiled

    def _train(
        self, state: TrainState, batch: Sequence[jax.Array], count: np.int32 | None = None
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        with recorded() as metrics, first_examples(batch, count):
            value, grads = _checked_step(self._model, state, batch)
        if self._clip is not None:
            grads = self._clip(grads)
        changed = {"dropout_rng": jax.random.split(state.dropout_rng)[0]}
        if state.batch_stats:
            changed["batch_stats"] = value[1]["batch_stats"]
        loss = jax.tree.leaves(value)[0]
        new_state = with_loss(state, loss).apply_gradients(grads=grads, **changed).replace(tx=state.tx)
        return new_state, _upcast_metrics(metrics)

    def _evaluate(self, state: TrainState, batch: Sequence[jax.Array], count: np.int32 | None) -> dict[str, jax.Array]:
        with recorded() as metrics, first_examples(batch, count):
            self._model.validation_step(state.params, batch, state)
        return _upcast_metrics(metrics)

    def model_state(self, model: Module) -> dict[str, jax.Array]:
        """Parameters and batch statistics by where they are in ``state``."""
        self._loaded.check(model, self.state)
        return by_name(self._parts(WEIGHTS))

    def load_model_state(self, model: Module, state: Mapping[str, np.ndarray]) -> None:
        """Put them into ``state``."""
        self._set_parts(WEIGHTS, state)

    def optimizer_state(self, model: Module, optimizer: Any) -> OptimizerState:
        """The rest of ``state``: the step, the optimizer's state with schedules, and dropout's random state."""
        return OptimizerState(type(optimizer).__name__, by_name(self._parts(REST)), held=[optimizer])

    def load_optimizer_state(self, model: Module, optimizer: Any, saved: OptimizerState, path: Path) -> None:
        """Put it into ``state``."""
        check_fits(path, saved.state, by_name(self._parts(REST)), "optimizer")
        self._set_parts(REST, saved.state)

    def _parts(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: getattr(self.state, name) for name in names}

    def _set_parts(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
        def value(path: Any, leaf: jax.Array) -> jax.Array:
            return like(leaf, jnp.array(values[name_of(path)]))

        parts = jax.tree_util.tree_map_with_path(value, self._parts(names))
        self.state = self._replicated(self.state.replace(**parts))


def _draw_variables(
    model: Module, inputs: Sequence[jax.Array], key: jax.Array | None, compiled: bool
) -> tuple[Params, jax.Array]:
    """The model's variables, and a key for dropout."""

    def draw(inputs: Sequence[jax.Array], key: jax.Array | None) -> tuple[Params, jax.Array]:
        params_key, dropout_key = jax.random.split(key)
        return model.apply_init(inputs, key={"params": params_key, "dropout": dropout_key}), dropout_key

    if compiled:
        with suppress(Exception):  # what cannot be compiled runs as it is, and an error of its own comes again
            return jax.jit(draw)(inputs, key)
    return draw(inputs, key)


@partial(jax.jit, static_argnums=0)
def _apply(apply_fn: Callable[..., jax.Array], variables: Params, inputs: Sequence[Any], rngs: Params) -> jax.Array:
    """A compiled pass, one program for each model and shape."""
    return apply_fn(variables, *inputs, rngs=rngs)


def _checked_step(model: Module, state: TrainState, batch: Sequence[jax.Array]) -> tuple[Any, Params]:
    """What the model's step of training returns: the value of its loss, and gradients.

    Raises:
        TypeError: It is something else.
        ValueError: The gradients are not those of the parameters.
    """
    result = model.training_step(state.params, batch, state)
    name, got = f"{type(model).__name__}.training_step", input_checks.describe(result)
    has_stats = bool(state.batch_stats)
    expected = "(loss, updates), grads" if has_stats else "loss, grads"
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{name} returned {got}: return {expected}, as jax.value_and_grad(self.loss) gives them")
    value, grads = result
    if jax.tree.structure(grads) != jax.tree.structure(state.params):
        raise ValueError(
            f"{name} returned {input_checks.describe(grads)} for the gradients, which are none of all parameters: "
            f"return {expected}, as jax.value_and_grad(self.loss) gives them"
        )
    if has_stats and not (isinstance(value, tuple) and len(value) == 2 and "batch_stats" in value[1]):
        raise TypeError(
            f"{name} returned {input_checks.describe(value)} beside the gradients: return {expected}, with the "
            "'batch_stats' that the model's apply has updated"
        )
    return value, grads


def _upcast_metrics(metrics: Mapping[str, Any]) -> OrderedDict[str, jax.Array]:
    """Metrics of at least 32 bits: in 16, a sum over an epoch would overflow, or swallow small parts."""
    # Of a plain dict, a compiled function would sort the keys.
    wide = ((key, jnp.asarray(value)) for key, value in metrics.items())
    return OrderedDict((key, value.astype(jnp.promote_types(value.dtype, jnp.float32))) for key, value in wide)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back.

    A compiled step donates its argument buffers: interrupted before its result is assigned, it would leave no
    parameters at all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    handler = signal.signal(signal.SIGINT, lambda *args: came.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(*came[0])
