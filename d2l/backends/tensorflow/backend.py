"""TensorFlow for a trainer."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ... import backend, input_checks
from ...backend import Clip, OptimizerState, forward_once
from ...checkpoint_file import check_fits
from ...compiled_steps import CompiledSteps
from ...machine import cpu_has_bfloat16
from ...metrics import StepMetrics, recorded
from ...process_group import ProcessGroup
from . import CLUSTER
from .devices import num_gpus
from .matmul_precision import plain_float32
from .modules import TENSORS, Module
from .processes import mirrored, process_group, replicas
from .replicas import check_scope, of_whole, seed_replicas, statistics_of, weighted
from .sgd import SGD

# TensorFlow's pass over a compiled step that has layers compute in bfloat16 on a CPU, between casts.
BFLOAT16_REWRITE = "auto_mixed_precision_onednn_bfloat16"


class Backend(backend.Backend):
    """TensorFlow: see `d2l.backend.Backend`. Steps are compiled into graphs.

    Several devices divide each batch through a strategy of `tf.distribute`, a replica for each.
    """

    name = "tensorflow"
    module_type = Module
    layer_type = tf.keras.layers.Layer
    exposes_rng_state = False
    metrics_are_global = True
    tensor_types = TENSORS
    tensors_name = "tensors of tensorflow or NumPy arrays"
    optimizer_methods = ("apply_gradients",)
    optimizer_example = "tf.keras.optimizers.SGD(self.lr)"
    schedule_example = "tf.keras.optimizers.SGD(schedule)"

    def __init__(self, num_gpus: int):
        super().__init__(num_gpus)
        self._forget_steps()

    def _forget_steps(self) -> None:
        """Have steps compiled anew: what they do may have changed."""
        self._steps = CompiledSteps(self, _compile)

    @property
    def strategy(self) -> Any:
        """What divides batches among devices; ``None`` where there is one."""
        if CLUSTER is not None:
            return CLUSTER
        return mirrored(tuple(self.gpus)) if len(self.gpus) > 1 else None

    def process_group(self) -> ProcessGroup:
        """Those that ``TF_CONFIG`` names."""
        return process_group()

    def choose_gpus(self, num_gpus: int) -> Sequence[str]:
        """The first ones; a process of several trains on all GPUs that it sees."""
        gpus = find_gpus()
        if CLUSTER is None:
            return gpus[:num_gpus]
        if gpus and not num_gpus:
            raise ValueError(
                "num_gpus=0, but processes that TF_CONFIG names train on all GPUs that they see: "
                "hide them with CUDA_VISIBLE_DEVICES= in the environment"
            )
        return gpus

    @property
    def on_gpu(self) -> bool:
        """Whether models are trained on a GPU. Without a strategy, a device context around `fit` decides."""
        return bool(self.gpus) if self.strategy is not None else "GPU" in tf.identity(0.0).device

    @property
    def device_name(self) -> str:
        """Such as ``gpu:0``."""
        if self.strategy is not None:
            return str(self.device)
        device = tf.DeviceSpec.from_string(tf.identity(0.0).device)
        return "cpu" if device.device_type == "CPU" else f"gpu:{device.device_index}"

    @property
    def supports_bfloat16(self) -> bool:
        """Whether the processor has instructions for it."""
        return not self.on_gpu and cpu_has_bfloat16()

    @property
    def tf32(self) -> str:
        """All products, unless a user has switched it off, on NVIDIA's GPUs from compute capability 8.0 on."""
        if not (self.on_gpu and tf.config.experimental.tensor_float_32_execution_enabled()):
            return ""
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return "products" if details.get("compute_capability", (0, 0)) >= (8, 0) else ""

    @contextmanager
    def precision_context(self, model: Module, precision: str) -> Iterator[None]:
        """TensorFloat-32 off for ``"float32"``, and the rewriting of graphs on for ``"bfloat16"``, while it lasts."""
        rewrites = tf.config.optimizer.get_experimental_options().get(BFLOAT16_REWRITE, False)
        tf.config.optimizer.set_experimental_options({BFLOAT16_REWRITE: precision == "bfloat16"})
        try:
            with plain_float32() if precision == "float32" else nullcontext():
                yield
        finally:
            tf.config.optimizer.set_experimental_options({BFLOAT16_REWRITE: rewrites})

    def is_initialized(self, model: Module) -> bool:
        """Whether Keras has built the model."""
        return model.built

    def init(self, model: Module, batch: Sequence[tf.Tensor]) -> None:
        """Have Keras build the model by a pass."""
        with self._scope():
            forward_once(model, batch, training=False)

    def configure(self, model: Module) -> Any:
        """The optimizer, made where the strategy's variables are."""
        self._forget_steps()
        with self._scope():
            optimizer = super().configure(model)
        if self.strategy is not None:
            check_scope(self.strategy, model, self.model_state(model), optimizer)
        self._seed_replicas(model)
        return optimizer

    def set_training(self, model: Module, training: bool) -> None:
        """Set ``model.training``, which layers are told."""
        model.training = training

    def sync_statistics(self, model: Module) -> None:
        """Give all replicas the means of what each has gathered by itself, as batch normalization does."""
        if self.strategy is not None and statistics_of(self.strategy, model):
            self._model = model
            self._steps.get(self._average_divided, model, None)()

    def train_step(self, model: Module, optimizer: Any, batch: Sequence[tf.Tensor], clip: Clip | None) -> StepMetrics:
        """One compiled step, on one device or divided among the replicas."""
        if not self.is_initialized(model):  # where a chapter has a fit of its own
            self.init(model, batch)
        self._model, self._optimizer, self._clip = model, optimizer, clip
        if self.strategy is None:
            return StepMetrics(self._steps.get(self._train, model, optimizer, batch)(batch))
        self._build_optimizer(model, optimizer)
        return self._divided(self._train_divided, optimizer, batch)

    def eval_step(self, model: Module, batch: Sequence[tf.Tensor]) -> StepMetrics:
        """One compiled step, on one device or divided among the replicas."""
        self._model = model
        if self.strategy is None:
            return StepMetrics(self._steps.get(self._evaluate, model, None, batch)(batch))
        return self._divided(self._evaluate_divided, None, batch)

    def predict(self, model: Module, inputs: Sequence[Any]) -> Any:
        """One pass on one device."""
        with self._scope():  # where a model not yet used makes its variables
            return model(*map(tf.convert_to_tensor, inputs), training=False)

    def _divided(self, step: Callable[..., Any], optimizer: Any, batch: Sequence[tf.Tensor]) -> StepMetrics:
        # Of any number of examples, so that all processes trace a step as often as the others.
        shapes = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in batch]
        metrics, examples = self._steps.get(step, self._model, optimizer, shapes)([*batch])
        total = int(examples) if self.processes.world_size > 1 else None
        return StepMetrics(metrics, total, total)

    def _train(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        metrics, grads, variables = self._gradients(batch)
        if self._clip is not None:
            grads = self._clip(grads)
        self._optimizer.apply_gradients(zip(grads, variables, strict=True))
        return _upcast_metrics(metrics)

    def _evaluate(self, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        with recorded() as metrics:
            self._model.validation_step(batch)
        return _upcast_metrics(metrics)

    def _gradients(self, batch: Sequence[tf.Tensor]) -> tuple[dict[str, Any], list[Any], list[Any]]:
        """What the model's step of training records, and the gradients of its loss for each variable."""
        with recorded() as metrics, tf.GradientTape() as tape:
            loss = self._model.training_step(batch)
            input_checks.check_loss(self._model, loss, (tf.Tensor, tf.Variable))
        variables = self._model.trainable_variables
        grads = tape.gradient(loss, variables)
        _check_gradients(self._model, grads)
        return metrics, grads, variables

    # Several replicas

    def _train_divided(self, batch: Sequence[tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A step of training on several devices: the metrics of the whole batch, and its number of examples."""
        return self._first(self.strategy.run(self._train_replica, self._shards(batch)))

    def _evaluate_divided(self, batch: Sequence[tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A step of evaluation on several devices: the metrics of the whole batch, and its number of examples."""
        return self._first(self.strategy.run(self._evaluate_replica, self._shards(batch)))

    def _train_replica(self, shard: Sequence[tf.Tensor], examples: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A replica's step of training; it gives the metrics and the number of examples of the whole batch."""
        optimizer = self._optimizer
        metrics, grads, variables = self._gradients(shard)
        grads = [tf.zeros_like(x) if grad is None else grad for grad, x in zip(grads, variables, strict=True)]
        metrics, whole = of_whole(_upcast_metrics(metrics), examples)
        grads = [weighted(grad, examples / tf.maximum(whole, 1)) for grad in grads]
        keras = isinstance(optimizer, tf.keras.optimizers.Optimizer)
        if self._clip is not None or not keras:
            context = tf.distribute.get_replica_context()
            grads = context.all_reduce(tf.distribute.ReduceOp.SUM, grads)
            if self._clip is not None:
                grads = self._clip(grads)
            if keras:  # which adds up what the replicas give
                grads = [grad / context.num_replicas_in_sync for grad in grads]
        optimizer.apply_gradients(zip(grads, variables, strict=True))
        return metrics, whole

    def _evaluate_replica(
        self, shard: Sequence[tf.Tensor], examples: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """A replica's step of evaluation; it gives the metrics and the number of examples of the whole batch."""
        return of_whole(self._evaluate(shard), examples)

    def _shards(self, batch: Sequence[tf.Tensor]) -> tuple[Any, Any]:
        """Each replica's shard of this process's batch, and its size; an empty one is padded with one of weight 0."""
        here = replicas(self.strategy)

        def shard(context: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
            own = ProcessGroup(here.index(context.replica_id_in_sync_group), len(here)).shard(tf.shape(batch[-1])[0])
            missing = tf.maximum(own.start + 1 - own.stop, 0)
            padded = [tf.pad(x[own], [[0, missing], *[[0, 0]] * (len(x.shape) - 1)]) for x in batch]
            return padded, tf.cast(own.stop - own.start, tf.float32)

        return self.strategy.experimental_distribute_values_from_function(shard)

    def _first(self, values: Any) -> Any:
        """The values of this process's first replica."""
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], values)

    def _scope(self) -> AbstractContextManager[Any]:
        """Where variables are made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def _average_divided(self) -> None:
        def average() -> None:
            own = statistics_of(self.strategy, self._model)
            values = [tf.identity(variable) for variable in own]
            means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for variable, mean in zip(own, means, strict=True):
                variable.assign(mean)

        self.strategy.run(average)

    def _seed_replicas(self, model: Module) -> None:
        if self.strategy is not None:
            seed_replicas(self.strategy, self.processes, self.model_state(model))

    # State

    def model_state(self, model: Module) -> dict[str, Any]:
        """Variables by their paths, in which layers of a kind are counted within their parent."""
        return {**_by_name(model), **model._own_variables()}

    def load_model_state(self, model: Module, state: Mapping[str, np.ndarray]) -> None:
        """Assign them."""
        for name, variable in self.model_state(model).items():
            variable.assign(state[name])
        self._seed_replicas(model)

    def optimizer_state(self, model: Module, optimizer: Any) -> OptimizerState:
        """The optimizer's variables, and those of a schedule written by hand: Keras's own are functions of the step."""
        schedule = getattr(optimizer, "_learning_rate", None)
        is_schedule = isinstance(schedule, tf.keras.optimizers.schedules.LearningRateSchedule)
        own = {name: value for name, value in vars(schedule).items() if hasattr(value, "assign")} if is_schedule else {}
        return OptimizerState(
            type(optimizer).__name__,
            # In the order of their making; their names count the layers of the process.
            {str(i): variable for i, variable in enumerate(getattr(optimizer, "variables", []))},
            is_complete=type(optimizer) is SGD or hasattr(optimizer, "variables"),
            schedulers={type(schedule).__name__: own} if own else {},
            held=[optimizer],
        )

    def load_optimizer_state(self, model: Module, optimizer: Any, saved: OptimizerState, path: Path) -> None:
        """Assign them."""
        self._build_optimizer(model, optimizer)
        own = self.optimizer_state(model, optimizer)
        check_fits(path, saved.state, own.state, "optimizer")
        for name, variable in own.state.items():
            variable.assign(saved.state[name])
        for state in saved.schedulers.values():
            for variable, value in state.items():
                getattr(optimizer._learning_rate, variable).assign(value)

    def _build_optimizer(self, model: Module, optimizer: Any) -> None:
        """Make what the optimizer keeps of each variable, which one that is written by hand may do itself."""
        if hasattr(optimizer, "build") and not optimizer.built:
            with self._scope():
                optimizer.build(model.trainable_variables)

    def rng_state(self) -> int:
        """A seed drawn from TensorFlow's random state, which it does not expose, and goes on from."""
        seed = int(tf.random.uniform((), maxval=2**31 - 1, dtype=tf.int32))
        tf.random.set_seed(seed)
        return seed

    def load_rng_state(self, state: int) -> None:
        """Go on from such a seed."""
        tf.random.set_seed(state)

    def seed(self, seed: int) -> None:
        """``tf.random.set_seed``."""
        tf.random.set_seed(seed)


def find_gpus() -> list[str]:
    """The GPUs that TensorFlow sees."""
    return [f"gpu:{i}" for i in range(num_gpus())]


def _compile(step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """A step as a graph for arguments like these."""
    compiled = tf.function(step)
    compiled.get_concrete_function(*arguments)
    return compiled


def _check_gradients(model: Module, grads: Sequence[tf.Tensor | None]) -> None:
    """See that the loss depends on a variable, and so that there is one."""
    name = type(model).__name__
    if not grads:
        raise ValueError(f"{name} has no variable to train: it has no layers with weights, or trainable is False")
    if all(grad is None for grad in grads):
        raise ValueError(
            f"the loss that {name}.training_step returned depends on none of its variables: return it as it is, "
            "computed by TensorFlow from the model's output"
        )


def _upcast_metrics(metrics: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Metrics of at least 32 bits: in 16, a sum over an epoch would overflow, or swallow small parts."""
    tensors = {key: tf.convert_to_tensor(value) for key, value in metrics.items()}
    return {key: x if x.dtype == tf.float64 else tf.cast(x, tf.float32) for key, x in tensors.items()}


def _by_name(model: tf.keras.Model) -> dict[str, Any]:
    """Variables by their paths, with layers of a kind counted within their parent: Keras counts those of a process."""
    named: dict[str, Any] = {}
    new: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()

    def numbered(parent: str, part: str) -> str:
        kind = re.sub(r"(_\d+)+$", "", part)
        counts[parent, kind] += 1
        number = counts[parent, kind] - 1
        return f"{parent}{kind}_{number}" if number else f"{parent}{kind}"

    for variable in model.variables:
        *layers, last = variable.path.removeprefix(f"{model.name}/").split("/")
        parent = ""
        for layer in layers:
            if (parent, layer) not in new:
                new[parent, layer] = numbered(parent, layer)
            parent = new[parent, layer] + "/"
        named[numbered(parent, last)] = variable
    return named
