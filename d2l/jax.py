"""The helper for JAX with Flax (linen) and Optax."""

import atexit
import faulthandler
import inspect
import math
import os
import random
import signal
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from . import datasets, modules, trainer, validation
from .board import ProgressBoard
from .checkpoint import CheckpointError, check_fits
from .data import inputs_of
from .distribution import missing_framework
from .hyperparameters import HyperParameters, add_to_class
from .loaders import BegunLoader, is_own
from .plotting import plot, plt, set_axes, set_figsize, show_images, use_svg_display
from .profile import SEED, current_profile
from .witness import speak_if_first_is_gone
from .workers import Workers

try:
    import jax
    import optax
    from flax import linen as nn
    from flax.training import train_state
    from jax import lax
    from jax import numpy as jnp
    from jax.interpreters import mlir
    from jax.sharding import Mesh, NamedSharding, PartitionSpec
except ModuleNotFoundError as error:
    raise missing_framework(error, ["jax", "flax", "optax"], "jax") from error

__all__ = [
    "HyperParameters",
    "add_to_class",
    "ProgressBoard",
    "Module",
    "DataModule",
    "Trainer",
    "SyntheticRegressionData",
    "LinearRegressionScratch",
    "SGD",
    "LinearRegression",
    "Classifier",
    "FashionMNIST",
    "ImageFolder",
    "SoftmaxRegression",
    "cpu",
    "gpu",
    "num_gpus",
    "try_gpu",
    "try_all_gpus",
    "corr2d",
    "get_seed",
    "get_key",
    "LeNet",
    "Residual",
    "ResNeXtBlock",
    "plot",
    "plt",
    "show_images",
    "use_svg_display",
    "set_figsize",
    "set_axes",
]

if current_profile().smoke:
    random.seed(SEED)

Params = Mapping[str, Any]
# What of a trainer's state is the model's, and what else training changes.
WEIGHTS = ("params", "batch_stats")
REST = ("step", "opt_state", "dropout_rng")

TENSOR_CORE_CHANNELS = 8  # as many as a GPU's tensor cores take at a time
HEARTBEAT_SECONDS = 30  # without a sign of life from a process, until JAX ends the others
PATIENCE_SECONDS = 20  # for which a process whose run has failed, at its end, waits for the others


def _join_processes() -> None:
    """Join the processes that train together, where the environment says that this is one of several.

    JAX does it only before anything is computed.
    """
    numbers = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
    given = {name: int(os.environ[variable]) for name, variable in numbers.items() if variable in os.environ}
    slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
    if not (slurm or "JAX_COORDINATOR_ADDRESS" in os.environ) or jax.distributed.is_initialized():
        return
    jax.distributed.initialize(**given, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    if threading.current_thread() is threading.main_thread():
        # JAX takes SIGTERM for itself, and the process would not end by it.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


_join_processes()
if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1":  # as JAX has set it if nobody else has
    # XLA's warnings would stand among the outputs of a notebook: on a GPU, of how well it can time its kernels.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"


class TrainState(train_state.TrainState):
    """What training changes: parameters, the optimizer's state, batch statistics, and the random state of dropout."""

    batch_stats: Any
    dropout_rng: jax.Array


class Module(modules.Module, nn.Module):
    """Base class of models: see `d2l.modules.Module`.

    The parameters are not in the model but in the trainer's ``state``, and methods that need them are given them.
    A model whose layers differ between training and validation declares a field ``training: bool = True``.
    """

    channel_axis = 3

    plot_train_per_epoch: int = field(default=2, init=False)
    plot_valid_per_epoch: int = field(default=1, init=False)
    board: ProgressBoard = field(default_factory=lambda: ProgressBoard(xlabel="epoch"), init=False)

    def __call__(self, X: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        """What Flax runs for ``model.apply(variables, X)``: `forward`."""
        try:
            return self.forward(X, *args, **kwargs)
        except (TypeError, AttributeError) as error:
            inputs = (X, *args)
            mistake = validation.mistake_in_inputs(error, self, inputs, (jax.Array, np.ndarray), "jax.numpy.asarray(X)")
            if mistake is None:
                raise
            raise TypeError(mistake) from error

    def forward(self, X: jax.Array) -> jax.Array:
        """The model's output for ``X``: by default that of ``self.net``.

        Raises:
            RuntimeError: It was called without parameters; the message says how to predict.
        """
        if self.scope is None:
            raise RuntimeError(self._how_to_predict())
        return super().forward(X)

    def _how_to_predict(self) -> str:
        name = type(self).__name__
        state = getattr(getattr(self, "trainer", None), "state", None)
        if state is None:
            return (
                f"{name} holds no parameters: fit it, or predict with model.apply(variables, X), where variables = "
                "model.apply_init((X,), d2l.get_key()). Inside its loss, call state.apply_fn({'params': params}, *X)."
            )
        stats = ", 'batch_stats': trainer.state.batch_stats" if state.batch_stats else ""
        model = "model.clone(training=False)" if getattr(self, "training", False) else "model"
        return (
            f"{name} holds no parameters, its trainer does: predict with {model}.apply({{'params': trainer.state.params"
            f"{stats}}}, X). Inside its loss, call state.apply_fn({{'params': params}}, *X)."
        )

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """The loss of the predictions for the inputs ``X`` against ``y``, a scalar: for a subclass to define."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss(params, X, y, state)")

    def training_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> tuple[jax.Array, Params]:
        """Plot the loss of one training batch, whose last element is the target; return it and its gradients."""
        loss, grads = jax.value_and_grad(self._checked_loss)(params, batch[:-1], batch[-1], state)
        self.plot("loss", loss, train=True)
        return loss, grads

    def validation_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> None:
        """Plot the loss of one validation batch."""
        self.plot("loss", self.loss(params, batch[:-1], batch[-1], state), train=False)

    def _checked_loss(self, *args: Any) -> Any:
        """What `loss` gives, if it is what gradients are taken of.

        Raises:
            TypeError: It is something else.
        """
        loss = self.loss(*args)
        if getattr(loss, "shape", None) != ():
            mean = ", such as the mean over the batch" if getattr(loss, "shape", ()) else ""
            raise TypeError(
                f"{type(self).__name__}.loss returned {validation.describe(loss)}: return the loss itself, a scalar "
                f"array{mean}"
            )
        return loss

    def configure_optimizers(self) -> optax.GradientTransformation:
        """Stochastic gradient descent with the learning rate ``self.lr``."""
        return optax.sgd(validation.learning_rate(self, "declare lr: float = 0.1 in the class"))

    def apply_init(self, dummy_input: Sequence[jax.Array], key: Any) -> Params:
        """The model's variables, drawn with ``key``, their shapes from a pass of ``dummy_input``."""
        return self.init(key, *dummy_input)


class DataModule(datasets.DataModule):
    """Base class of data sets: see `d2l.datasets.DataModule`."""

    def _on_device(self, tensor: Any, device: jax.Device | None) -> jax.Array:
        return jax.device_put(tensor, device)

    def _order(self, n: int, shuffle: bool, device: jax.Device | None) -> np.ndarray:
        # On the host, where a slice of it is not compiled anew for each place.
        return np.asarray(jax.random.permutation(get_key(), n)) if shuffle else np.arange(n)

    def _draw_seed(self) -> int:
        return get_seed()

    def _is_main(self) -> bool:
        # Asked of a process by itself, JAX would find its devices, after which it joins no others.
        return not jax.distributed.is_initialized() or jax.process_index() == 0

    def _take(self, tensor: jax.Array, indices: np.ndarray) -> jax.Array:
        return _taken(tensor, indices)


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    The steps of training and validation are compiled. Each fit starts from new parameters, which are then in
    ``state.params``.

    Several GPUs of a machine need one process. A batch is divided among them if its size can be divided by their
    number; if not, each computes all of it. Either way its numbers, also those of dropout and of batch normalization,
    are those of one device. Afterwards, the state is on the first one.

    Several machines, or several processes of one, are joined when this module is imported in a Slurm step of several
    tasks, or with ``JAX_COORDINATOR_ADDRESS`` (host:port of the first process), ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID`` in the environment; or call ``jax.distributed.initialize`` before. ``num_gpus`` counts the GPUs
    of one process. All processes draw the same random numbers, those of the first.
    """

    framework = "jax"
    _schedule_example = "optax.sgd(schedule)"
    tensors = (jax.Array, np.ndarray)
    tensors_name = "arrays of jax or NumPy"
    optimizer_methods = ("init", "update")
    optimizer_example = "optax.sgd(self.lr)"
    _resumes_lr = False
    _constructor_advice = "in place of an __init__, declare fields, such as lr: float = 0.1, and make layers in setup()"
    precisions = ("auto", "float32", "bfloat16")
    _mesh: Mesh | None = None  # the devices in use of all processes, while a model is trained on more than one

    def fit(self, model: Module, data: DataModule, key: jax.Array | None = None, *, resume: bool = False) -> None:
        """Train ``model`` on ``data``, from parameters drawn with ``key`` or, resumed, from those of a checkpoint."""
        with self._on_all_devices():
            self._share_random_states()
            self._key = get_key() if key is None else self._key_of_first(key)
            super().fit(model, data, resume=resume)

    def load_weights(self, model: Module, data: DataModule, path: str | os.PathLike[str]) -> None:
        """Put the weights of a checkpoint into ``state``, to predict with: `fit` starts from parameters of its own.

        See `d2l.trainer.Trainer.load_weights`.
        """
        self._key, kept = jax.random.PRNGKey(0), getattr(self, "state", None)  # what is drawn with it is replaced
        try:
            with jax.default_device(self.device):
                super().load_weights(model, data, path)
        except CheckpointError:
            self.state = kept
            raise

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches; say so if batches cannot be divided among the devices."""
        super().prepare_data(data)
        size, devices = getattr(data, "batch_size", None), self._mesh.size if self._mesh else 1
        if isinstance(size, int) and size % devices:
            even = -(-size // devices) * devices
            self._say(
                f"batch_size={size} cannot be divided evenly among {devices} devices, so each of them computes all of "
                f"it, no faster than one alone: {even} can"
            )

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[jax.Array]:
        """Bring a batch to the device or, while a model is trained on several, its parts to all of them.

        A batch that cannot be divided evenly is brought to each device whole.
        """
        if self._mesh is None:
            return [jax.device_put(x, self.device) for x in batch]
        size = len(batch[-1])
        if self.workers.count > 1:
            # Parts differ in size where an image could not be decoded, too.
            sizes = _gather(np.array(size)).tolist()
            size = sum(sizes)
            if len(set(sizes)) > 1 or size % self._mesh.size:
                batch = [_gather_batch(np.asarray(x), sizes) for x in batch]
        sharding = NamedSharding(self._mesh, PartitionSpec() if size % self._mesh.size else PartitionSpec("batch"))
        return [jax.make_array_from_process_local_data(sharding, x, (size, *x.shape[1:])) for x in batch]

    def clip_gradients(self, grad_clip_val: float, grads: Params) -> Params:
        """The gradients, scaled all together such that their L2 norm is at most ``grad_clip_val``."""
        return optax.clip_by_global_norm(grad_clip_val).update(grads, optax.EmptyState())[0]

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if not self.gpus and self._mesh is None:
            _quicken_pooling()
        plain = self._chosen_precision() == "float32"
        return jax.default_matmul_precision("float32") if plain else nullcontext()

    def _has_bfloat16(self) -> bool:
        major = getattr(self.device, "compute_capability", "").partition(".")[0]  # of NVIDIA's, such as 9.0
        return major.isdecimal() and int(major) >= 8

    def _apply(self) -> Callable[..., Any]:
        """The model's ``apply``, in ``bfloat16`` where that is asked for or fast.

        JAX keeps it for good, so it does not hold the model, whose trainer has the data and all parameters.
        """
        in_bfloat16 = self._chosen_precision() == "bfloat16"
        apply = _apply_in_bfloat16 if in_bfloat16 else type(self.model).apply
        folding = partial(nn.intercept_methods, _fold_strides) if in_bfloat16 and self.gpus else nullcontext
        model = weakref.ref(self.model)

        def run(*args: Any, **kwargs: Any) -> Any:
            with folding():
                return apply(model(), *args, **kwargs)

        return run

    @contextmanager
    def _on_all_devices(self) -> Iterator[None]:
        """Have a model trained on all devices in use; afterwards the state is on the first one, as if it were alone."""
        self._mesh = self._make_mesh()
        try:
            with jax.default_device(self.device):
                yield
        except BaseException:
            if self.workers.count > 1:
                _wait_shortly_at_exit()
            raise
        finally:
            if hasattr(self, "state"):
                self.state = self._local(self.state)
            self._mesh = None

    def _make_mesh(self) -> Mesh | None:
        """The devices in use of all processes in one axis; ``None`` if there is only one."""
        own = self.gpus or [self.device]
        platform = own[0].platform
        numbers = [text.split() for text in self.workers.gather(" ".join([platform, *(str(d.id) for d in own)]))]
        if len({(name, len(ids)) for name, *ids in numbers}) > 1:
            used = ", ".join(f"{len(ids)} x {name}" for name, *ids in numbers)
            raise ValueError(f"the processes train on {used}: give each as many devices of the same kind")
        devices = {device.id: device for device in jax.devices(platform)}
        mesh = Mesh([devices[int(number)] for _, *ids in numbers for number in ids], ("batch",))
        return mesh if mesh.size > 1 else None

    def _replicated(self, tree: Any) -> Any:
        """A tree of arrays on the device, or on all of them while a model is trained on several."""
        if self._mesh is None:
            return jax.device_put(tree, self.device, may_alias=False)  # steps give the memory of their arguments away
        sharding = NamedSharding(self._mesh, PartitionSpec())

        def put(x: Any) -> jax.Array:
            x = jnp.array(x)
            whole = jax.make_array_from_process_local_data
            return x if x.sharding == sharding else whole(sharding, x, x.shape)

        return jax.tree.map(put, tree)

    def _local(self, tree: Any) -> Any:
        """A tree of arrays that are the same on all devices, on the first one; of what a failed step has left, all."""
        if self._mesh is None:
            return tree
        return jax.tree.map(lambda x: x if x.is_deleted() else x.addressable_data(0), tree)

    def _find_workers(self) -> Workers:
        if jax.process_count() == 1:
            return Workers()
        workers = Workers(jax.process_index(), jax.process_count(), _sum_over_processes)
        if not workers.first:
            _watch_first(workers)
        return workers

    def _share_random_states(self) -> None:
        """Have all processes go on from the random states of the first one."""
        if self.workers.count > 1:
            self._set_random(self._of_all(self._random())[0])

    def _part_random_states(self, data: DataModule) -> None:
        """Nothing to do: all processes do the same step of the whole batch, with the same random numbers."""

    def _key_of_first(self, key: jax.Array) -> jax.Array:
        """The first process's key, for all to have.

        Raises:
            TypeError: It is no key.
        """
        if not isinstance(key, jax.Array):
            raise TypeError(
                f"fit(model, data, key) got {validation.describe(key)} for the key: give jax.random.PRNGKey(0), or none"
            )
        return _like(key, jnp.asarray(self.workers.from_first(jax.random.key_data(key))))

    def _find_gpus(self) -> list[jax.Device]:
        return [gpu(i) for i in range(num_gpus())]

    def _cpu(self) -> jax.Device:
        return cpu()

    def _device_name(self) -> str:
        return self.device.platform

    def _prepare_optimizer(self) -> None:
        self._steps = {}
        self._look_ahead()
        self._configure_optimizer()
        opt_state = self.optim.init(self.state.params)
        # An optimizer without a state may give this class where an object of it is meant.
        opt_state = optax.EmptyState() if opt_state is optax.EmptyState else opt_state
        # On the device before the first step, as it is before the second: the step would be compiled for each.
        self.state = self._replicated(self.state.replace(tx=self.optim, opt_state=opt_state))

    def _look_ahead(self) -> None:
        self._init_parameters(self._first_batch)
        loader, (begun, batches) = self.train_dataloader, self._begun
        self._begun = None
        # The first epoch begins anew, unless the loader gives its batches only once.
        with self._random_states_kept():
            once = not is_own(loader) and iter(loader) is batches
        if once:
            self.train_dataloader = BegunLoader(loader, self, None, begun)

    def _init_parameters(self, example: Callable[[], Sequence[Any]]) -> None:
        batch = example()
        with self._named_in_errors("training", 0, batch):
            # On the first device, whichever a step is to be divided among.
            self._build(self.prepare_batch(batch) if isinstance(batch, Mapping) else batch)

    def _first_batch(self) -> Sequence[Any]:
        return self._begin()

    def _is_built(self) -> bool:
        return False  # each fit starts from new parameters

    def _build(self, batch: Sequence[jax.Array]) -> None:
        """Draw parameters, which are in ``state`` from now on, for an optimizer to see, too."""
        self._set_training(True)
        params_key, dropout_key = jax.random.split(self._key)
        keys = {"params": params_key, "dropout": dropout_key}
        variables = self._draw_variables(inputs_of(batch), keys)
        if "params" not in variables:
            raise ValueError(f"{type(self.model).__name__} has no parameters: make its layers in setup()")
        if not all(map(np.size, jax.tree.leaves(variables["params"]))):  # later versions of JAX would go on
            raise ValueError("a layer is left without inputs: the batch is too small for the layers before it")
        self.state = TrainState.create(
            apply_fn=self._apply(),
            params=variables["params"],
            tx=optax.identity(),
            batch_stats=variables.get("batch_stats", {}),
            dropout_rng=dropout_key,
        )

    def _draw_variables(self, inputs: Sequence[jax.Array], keys: Mapping[str, jax.Array]) -> Params:
        """The model's variables. A GPU's operations take longer to be compiled one by one than all together."""
        if self.gpus:
            with suppress(Exception):  # what cannot be compiled runs as it is, and an error of its own comes again
                return jax.jit(self.model.apply_init)(inputs, key=keys)
        return self.model.apply_init(inputs, key=keys)

    def _compile(self, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
        # A training step gives its old state's memory to the new one; validation keeps the state.
        # A partial function is another one each time: for an equal one, JAX would take what it has compiled before.
        compiled = jax.jit(partial(step), donate_argnums=0 if step == self._train_metrics else ())
        compiled.trace(*arguments)
        return compiled

    def _set_training(self, training: bool) -> None:
        self.model.training = training

    def _train(self, batch: Sequence[jax.Array]) -> None:
        if not self._count_examples(batch):
            return
        step = self._compiled(self._train_metrics, self.state, batch)
        with _uninterrupted():
            self.state, metrics = step(self.state, batch)
        for key, value in self._local(metrics).items():
            self.log(key, value, train=True)

    def _validate(self, batch: Sequence[jax.Array]) -> None:
        if not self._count_examples(batch):
            return
        step = self._compiled(self._validate_metrics, self.state, batch)
        for key, value in self._local(step(self.state, batch)).items():
            self.log(key, value, train=False)

    def _count_examples(self, batch: Sequence[jax.Array]) -> int:
        """Examples in a whole batch, whose metrics each process has: none if none of its images could be decoded."""
        examples = len(batch[-1])
        if self.progress:
            self.progress.examples = self.progress.all_examples = examples
        return examples

    def _weights(self) -> dict[str, jax.Array]:
        return _by_name(self._parts(WEIGHTS))

    def _set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        self._set_parts(WEIGHTS, weights)

    def _optimizer_state(self) -> dict[str, jax.Array]:
        return _by_name(self._parts(REST))

    def _set_optimizer_state(self, state: dict[str, np.ndarray], path: Path) -> None:
        check_fits(path, state, self._optimizer_state(), "optimizer")
        self._set_parts(REST, state)

    def _parts(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: getattr(self.state, name) for name in names}

    def _set_parts(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
        def value(path: Any, leaf: jax.Array) -> jax.Array:
            return _like(leaf, jnp.array(values[_name(path)]))

        parts = jax.tree_util.tree_map_with_path(value, self._parts(names))
        self.state = self._replicated(self.state.replace(**parts))

    def _train_metrics(self, state: TrainState, batch: Sequence[jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        with self._capture() as metrics:
            value, grads = self._checked_step(state, batch)
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        changed = {"dropout_rng": jax.random.split(state.dropout_rng)[0]}
        if state.batch_stats:
            changed["batch_stats"] = value[1]["batch_stats"]
        loss = jax.tree.leaves(value)[0]
        return _shown_loss(state, loss).apply_gradients(grads=grads, **changed).replace(tx=state.tx), _widened(metrics)

    def _checked_step(self, state: TrainState, batch: Sequence[jax.Array]) -> tuple[Any, Params]:
        """What the model's step of training returns: the value of its loss, and gradients.

        Raises:
            TypeError: It is something else.
            ValueError: The gradients are not those of the parameters.
        """
        result = self.model.training_step(state.params, batch, state)
        name, got = f"{type(self.model).__name__}.training_step", validation.describe(result)
        has_stats = bool(state.batch_stats)
        expected = "(loss, updates), grads" if has_stats else "loss, grads"
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(f"{name} returned {got}: return {expected}, as jax.value_and_grad(self.loss) gives them")
        value, grads = result
        if jax.tree.structure(grads) != jax.tree.structure(state.params):
            raise ValueError(
                f"{name} returned {validation.describe(grads)} for the gradients, which are none of all parameters: "
                f"return {expected}, as jax.value_and_grad(self.loss) gives them"
            )
        if has_stats and not (isinstance(value, tuple) and len(value) == 2 and "batch_stats" in value[1]):
            raise TypeError(
                f"{name} returned {validation.describe(value)} beside the gradients: return {expected}, with the "
                "'batch_stats' that the model's apply has updated"
            )
        return value, grads

    def _check_given(self, call: str, model: Module, data: DataModule) -> None:
        super()._check_given(call, model, data)
        # Flax copies a model through its constructor, with arguments of its own.
        if not {"parent", "args"} & set(inspect.signature(type(model)).parameters):
            raise TypeError(
                f"{type(model).__name__} has an __init__ of its own, which Flax cannot copy it with: "
                f"{self._constructor_advice}"
            )

    def _validate_metrics(self, state: TrainState, batch: Sequence[jax.Array]) -> dict[str, jax.Array]:
        with self._capture() as metrics:
            self.model.validation_step(state.params, batch, state)
        return _widened(metrics)


class SyntheticRegressionData(datasets.SyntheticRegressionData, DataModule):
    """Examples of a linear function with noise: see `d2l.datasets.SyntheticRegressionData`."""

    def _normal(self, *shape: int) -> jax.Array:
        return jax.random.normal(get_key(), shape)


class LinearRegressionScratch(Module):
    """Linear regression without layers: weights ``w`` (num_inputs, 1), drawn from N(0, sigma²), and a bias ``b``."""

    num_inputs: int
    lr: float
    sigma: float = 0.01

    def setup(self) -> None:
        """Make the parameters."""
        self.w = self.param("w", nn.initializers.normal(self.sigma), (self.num_inputs, 1))
        self.b = self.param("b", nn.initializers.zeros, (1,))

    def forward(self, X: jax.Array) -> jax.Array:
        """``X w + b``, of shape (n, 1)."""
        return X @ self.w + self.b

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """Half of the mean squared error."""
        y_hat = state.apply_fn({"params": params}, *X)
        return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()

    def configure_optimizers(self) -> "SGD":
        """`SGD` with the learning rate ``self.lr``."""
        return SGD(validation.learning_rate(self, "declare lr: float = 0.1 in the class"))


class SGD(HyperParameters):
    """Minibatch stochastic gradient descent: ``param -= lr * gradient``. It has the methods that Optax asks for."""

    def __init__(self, lr: float):
        self.save_hyperparameters()

    def init(self, params: Params) -> optax.EmptyState:
        """The optimizer's state before the first step."""
        return optax.EmptyState()

    def update(self, updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        """What to add to the parameters, from their gradients ``updates``; and the next state."""
        return jax.tree.map(lambda grad: -self.lr * grad, updates), state


class LinearRegression(Module):
    """Linear regression with a layer, whose weights are first drawn from N(0, 0.01²)."""

    lr: float

    def setup(self) -> None:
        """Make the layer."""
        self.net = nn.Dense(1, kernel_init=nn.initializers.normal(0.01))

    def loss(self, params: Params, X: Sequence[jax.Array], y: jax.Array, state: TrainState) -> jax.Array:
        """The mean squared error."""
        y_hat = state.apply_fn({"params": params}, *X)
        return ((y_hat - y.reshape(y_hat.shape)) ** 2).mean()

    def get_w_b(self, state: TrainState) -> tuple[jax.Array, jax.Array]:
        """Weights (inputs, 1) and bias (1,)."""
        return state.params["net"]["kernel"], state.params["net"]["bias"]


class Classifier(modules.Classifier, Module):
    """Base class of classification models."""

    def training_step(
        self, params: Params, batch: Sequence[jax.Array], state: TrainState
    ) -> tuple[tuple[jax.Array, Params], Params]:
        """Plot the loss of one training batch; return what `loss` does, and the gradients."""
        value, grads = jax.value_and_grad(self._checked_loss, has_aux=True)(params, batch[:-1], batch[-1], state)
        self.plot("loss", value[0], train=True)
        return value, grads

    def _checked_loss(self, *args: Any) -> Any:
        value = self.loss(*args)
        pair = isinstance(value, tuple) and len(value) == 2
        if not pair or getattr(value[0], "shape", None) != ():
            got = validation.describe(value[0]) + " first" if pair else validation.describe(value)
            raise TypeError(
                f"{type(self).__name__}.loss returned {got}: return (loss, updates), a scalar array and the updated "
                "statistics, {} where the model has none"
            )
        return value

    def validation_step(self, params: Params, batch: Sequence[jax.Array], state: TrainState) -> None:
        """Plot loss and accuracy of one validation batch."""
        self.plot("loss", self.loss(params, batch[:-1], batch[-1], state)[0], train=False)
        self.plot("acc", self.accuracy(params, batch[:-1], batch[-1], state), train=False)
        for k in np.atleast_1d(self.top_k).tolist():
            self.plot(f"acc{k}", self.accuracy(params, batch[:-1], batch[-1], state, top=k), train=False)

    def loss(
        self, params: Params, X: Sequence[jax.Array], Y: jax.Array, state: TrainState, averaged: bool = True
    ) -> tuple[jax.Array, Params]:
        """Cross-entropy of the logits (..., classes) for the inputs ``X`` against the class numbers ``Y`` (...).

        Returns:
            The loss, and the batch statistics that the pass has updated: ``{}`` or ``{"batch_stats": ...}``.
        """
        variables = {"params": params, "batch_stats": state.batch_stats}
        rngs = {"dropout": state.dropout_rng}
        Y_hat, updates = state.apply_fn(variables, *X, mutable=["batch_stats"], rngs=rngs)
        mistake = validation.mistake_in_labels(Y_hat.shape, Y.shape, validation.dtype_name(Y))
        if mistake:
            raise TypeError(mistake)
        Y_hat, Y = Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(Y_hat, Y)
        # A number that is no class gives nan, but for negative ones, which count from the last class.
        losses = jnp.where(Y >= 0, losses, jnp.nan)
        return (losses.mean() if averaged else losses), updates

    def accuracy(
        self,
        params: Params,
        X: Sequence[jax.Array],
        Y: jax.Array,
        state: TrainState,
        averaged: bool = True,
        top: int = 1,
    ) -> jax.Array:
        """Share of examples whose class is among the ``top`` largest logits, or 1 and 0 per example."""
        variables = {"params": params, "batch_stats": state.batch_stats}
        Y_hat = state.apply_fn(variables, *X, rngs={"dropout": state.dropout_rng})
        _, likeliest = jax.lax.top_k(Y_hat.reshape(-1, Y_hat.shape[-1]), min(top, Y_hat.shape[-1]))
        correct = (likeliest == Y.reshape(-1, 1)).any(axis=1).astype(jnp.float32)
        return correct.mean() if averaged else correct

    def layer_summary(self, X_shape: Sequence[int], key: jax.Array | None = None) -> None:
        """Print the shape of each layer's output for an input of shape ``X_shape``.

        Shapes do not depend on ``key``; it may be given as elsewhere.
        """
        super().layer_summary(X_shape)

    def _walk(self, X_shape: Sequence[int]) -> Iterator[tuple[Any, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]:
        model = self.clone(training=False) if "training" in self.__dataclass_fields__ else self
        X = jax.ShapeDtypeStruct(tuple(X_shape), jnp.float32)
        # Shapes are all that is asked for, so no layer is run and no weight drawn.
        variables = jax.eval_shape(model.init, jax.random.PRNGKey(0), X)
        bound = model.bind(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables))
        for layer in bound.net.layers:
            Y = jax.eval_shape(layer, X)
            yield layer, X, Y
            X = Y

    def _layer_name(self, layer: Any) -> str:
        # Activations and pooling are functions in Flax.
        if isinstance(layer, nn.Module):
            return type(layer).__name__
        return getattr(layer, "func", layer).__name__.strip("_<>")

    def _count_parameters(self, layer: Any) -> int:
        params = layer.variables.get("params", {}) if isinstance(layer, nn.Module) else {}
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    def _multiply_adds(self, layer: Any, X: jax.ShapeDtypeStruct) -> int:
        counts = []

        def count(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            Y = call(*args, **kwargs)
            if isinstance(context.module, (nn.Dense, nn.Conv)) and context.method_name == "__call__":
                kernel = context.module.variables["params"]["kernel"]  # its last axis is that of the outputs
                counts.append(math.prod(Y.shape) * math.prod(kernel.shape[:-1]))
            return Y

        with nn.intercept_methods(count):
            jax.eval_shape(layer, X)
        return sum(counts)


class FashionMNIST(datasets.FashionMNIST, DataModule):
    """Fashion-MNIST in batches of X (n, height, width, 1) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.FashionMNIST`.
    """

    def _make_batch(
        self, rows: jax.Array, columns: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return _scaled_and_resized(rows, columns, images), labels.astype(jnp.int32)


class ImageFolder(datasets.ImageFolder, DataModule):
    """Image files in batches of X (n, crop, crop, 3) ``float32`` and y (n,) ``int32``.

    See `d2l.datasets.ImageFolder`.
    """

    def _make_batch(self, pixels: jax.Array, shifts: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _scaled_and_shifted(pixels, shifts), labels.astype(jnp.int32)


class SoftmaxRegression(Classifier):
    """A linear classifier over images taken as vectors."""

    num_outputs: int
    lr: float

    def setup(self) -> None:
        """Make the layers."""
        self.net = nn.Sequential([_flatten, nn.Dense(self.num_outputs)])


def cpu() -> jax.Device:
    """The CPU."""
    return jax.local_devices(backend="cpu")[0]


def gpu(i: int = 0) -> jax.Device:
    """The ``i``-th GPU of this process."""
    return jax.local_devices(backend="gpu")[i]


def num_gpus() -> int:
    """Number of GPUs that this process can use."""
    try:
        return len(jax.local_devices(backend="gpu"))
    except RuntimeError:  # how JAX says that there are none
        return 0


def try_gpu(i: int = 0) -> jax.Device:
    """The ``i``-th GPU if there is one, else the CPU."""
    return gpu(i) if i < num_gpus() else cpu()


def try_all_gpus() -> list[jax.Device]:
    """All GPUs; if there is none, the CPU."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


def corr2d(X: jax.Array, K: jax.Array) -> jax.Array:
    """Cross-correlation of a matrix X with a kernel K, without padding: (a, b) and (h, w) give (a-h+1, b-w+1)."""
    return jax.lax.conv(X[None, None], K[None, None].astype(X.dtype), (1, 1), "VALID")[0, 0]


def get_seed() -> int:
    """A random number to seed with, from Python's own random state."""
    return random.randrange(10**6)


def get_key() -> jax.Array:
    """A new key for JAX's random functions."""
    return jax.random.PRNGKey(get_seed())


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: see `d2l.torch.LeNet`."""

    lr: float = 0.1
    num_classes: int = 10
    kernel_init: Callable[[], Any] = nn.initializers.xavier_uniform

    def setup(self) -> None:
        """Make the layers."""
        conv, dense = (partial(layer, kernel_init=self.kernel_init()) for layer in (nn.Conv, nn.Dense))
        pool = partial(nn.avg_pool, window_shape=(2, 2), strides=(2, 2))
        self.net = nn.Sequential(
            [
                conv(6, kernel_size=(5, 5), padding=2),
                nn.sigmoid,
                pool,
                conv(16, kernel_size=(5, 5), padding="VALID"),
                nn.sigmoid,
                pool,
                _flatten,
                dense(120),
                nn.sigmoid,
                dense(84),
                nn.sigmoid,
                dense(self.num_classes),
            ]
        )


class Residual(nn.Module):
    """Two convolutions with batch normalization beside a shortcut: see `d2l.torch.Residual`.

    ``training`` says whether batch normalization takes the batch's own statistics.
    """

    num_channels: int
    use_1x1conv: bool = False
    strides: int | tuple[int, int] = (1, 1)
    training: bool = True

    def setup(self) -> None:
        """Make the layers."""
        self.conv1 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding=1, strides=self.strides)
        self.conv2 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding=1)
        self.conv3 = nn.Conv(self.num_channels, (1, 1), strides=self.strides) if self.use_1x1conv else None
        self.bn1 = _batch_norm(self.training)
        self.bn2 = _batch_norm(self.training)

    def __call__(self, X: jax.Array) -> jax.Array:
        """The block's output for X (n, height, width, channels)."""
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        return nn.relu(Y + (self.conv3(X) if self.conv3 else X))


class ResNeXtBlock(nn.Module):
    """A residual block with a grouped convolution between two of 1 by 1: see `d2l.torch.ResNeXtBlock`.

    ``training`` says whether batch normalization takes the batch's own statistics.
    """

    num_channels: int
    groups: int
    bot_mul: float
    use_1x1conv: bool = False
    strides: int | tuple[int, int] = (1, 1)
    training: bool = True

    def setup(self) -> None:
        """Make the layers."""
        width = round(self.num_channels * self.bot_mul)
        groups = width // self.groups
        self.conv1 = nn.Conv(width, kernel_size=(1, 1))
        self.conv2 = nn.Conv(width, (3, 3), padding=1, strides=self.strides, feature_group_count=groups)
        self.conv3 = nn.Conv(self.num_channels, kernel_size=(1, 1))
        self.conv4 = nn.Conv(self.num_channels, (1, 1), strides=self.strides) if self.use_1x1conv else None
        self.bn1 = _batch_norm(self.training)
        self.bn2 = _batch_norm(self.training)
        self.bn3 = _batch_norm(self.training)
        self.bn4 = _batch_norm(self.training) if self.use_1x1conv else None

    def __call__(self, X: jax.Array) -> jax.Array:
        """The block's output for X (n, height, width, channels)."""
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = nn.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        return nn.relu(Y + (self.bn4(self.conv4(X)) if self.conv4 else X))


def _batch_norm(training: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not training, momentum=0.9, epsilon=1e-5)


def _flatten(X: jax.Array) -> jax.Array:
    return X.reshape(X.shape[0], -1)


def _quicken_pooling() -> None:
    """Have the gradient of max-pooling computed by several of XLA's operations; on a CPU its own for it takes longer.

    The setting is the process's and lasts until it ends.
    """
    rule = mlir.lower_fun(_added_to_maxima, multiple_results=False)
    mlir.register_lowering(lax.select_and_scatter_add_p, rule, platform="cpu")


def _added_to_maxima(
    source: jax.Array,
    operand: jax.Array,
    *,
    select_prim: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> jax.Array:
    """The gradient of max-pooling: each number of ``source``, added to where its window has the first of its maxima.

    The arguments are those of JAX's primitive ``select_and_scatter_add``; if ``select_prim`` is less-or-equal, the
    pooling is that of minima.
    """
    worst, better = (-jnp.inf, lax.gt) if select_prim is lax.ge_p else (jnp.inf, lax.lt)

    def first_best(a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        a_stays = better(a[0], b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(a_stays, a[0], b[0]), jnp.where(a_stays, a[1], b[1])

    def added(source: jax.Array, operand: jax.Array, *window: Sequence[Any]) -> jax.Array:
        places = lax.iota(jnp.int32, operand.size).reshape(operand.shape)
        nothing = (jnp.array(worst, operand.dtype), jnp.iinfo(jnp.int32).max)
        _, chosen = lax.reduce_window((operand, places), nothing, first_best, *window)
        zeros = jnp.zeros(operand.size, source.dtype)
        return zeros.at[chosen.ravel()].add(source.ravel(), mode="drop").reshape(operand.shape)

    window = (window_dimensions, window_strides, padding)
    if [setting[0] for setting in window] != [1, 1, (0, 0)]:
        return added(source, operand, *window)
    # Example by example, as each stays in the cache.
    return lax.map(lambda example: added(*example, *(setting[1:] for setting in window)), (source, operand))


@jax.jit
def _taken(tensor: jax.Array, indices: jax.Array) -> jax.Array:
    return tensor[indices]


@jax.jit
def _scaled_and_resized(rows: jax.Array, columns: jax.Array, images: jax.Array) -> jax.Array:
    with jax.default_matmul_precision("float32"):  # a GPU would round the pixels to TensorFloat-32
        return jnp.einsum("rh,bhw,cw->brc", rows, images.astype(jnp.float32) / 255, columns)[..., None]


@jax.jit
def _scaled_and_shifted(pixels: jax.Array, shifts: jax.Array) -> jax.Array:
    return pixels.astype(jnp.float32) / 255 + shifts[:, None, None]


def _apply_in_bfloat16(model: nn.Module, variables: Params, *inputs: Any, **kwargs: Any) -> Any:
    """What ``model.apply`` does, with parameters and inputs in ``bfloat16`` and outputs in ``float32``."""
    variables = {**variables, "params": _as_type(jnp.bfloat16, variables["params"])}
    output = model.apply(variables, *_as_type(jnp.bfloat16, inputs), **kwargs)
    return _as_type(jnp.float32, output)


def _fold_strides(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    """Have a convolution with strides over few channels computed as one without strides over more.

    The few channels of an image would leave most of a GPU's tensor cores idle. Each square of stride by stride pixels
    becomes the channels of one pixel, in the image and in the kernel alike, and the sums stay the same: the
    space-to-depth transform of Ying et al., "Image classification at supercomputer scale", 2018.
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
    kernel = layer.variables.get("params", {}).get("kernel")
    if special or inputs.ndim != 4 or getattr(kernel, "ndim", 0) != 4 or inputs.shape[3] != kernel.shape[2]:
        return None
    (stride, across), channels, size = strides, inputs.shape[3], kernel.shape[:2]
    if stride == 1 or stride != across or channels >= TENSOR_CORE_CHANNELS:
        return None
    padding = nn.linear.canonicalize_padding(layer.padding, 2)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(inputs.shape[1:3], size, strides, padding)
    margins, additions = [(0, 0, 0)], []
    for n, k, (before, after) in zip(inputs.shape[1:3], size, padding, strict=True):
        if n + before + after < k:
            return None
        whole = -(-k // stride) * stride  # the kernel's size, up to the next multiple of the stride
        read = (n + before + after - k) // stride * stride + whole  # how far kernels of that size reach
        margins.append((before, read - before - n, 0))
        additions.append((0, whole - k))
    X = lax.pad(inputs, jnp.zeros((), inputs.dtype), [*margins, (0, 0, 0)])
    kernel = jnp.pad(kernel, [*additions, (0, 0), (0, 0)])
    fold = partial(_pixels_to_channels, stride)
    return jax.vmap(fold)(X), fold(kernel)


def _pixels_to_channels(step: int, X: jax.Array) -> jax.Array:
    """Squares of ``step`` by ``step`` pixels made one pixel, in an array (height, width, channels, ...)."""
    height, width, channels, *rest = X.shape
    squares = X.reshape(height // step, step, width // step, step, channels, *rest).swapaxes(1, 2)
    return squares.reshape(height // step, width // step, step * step * channels, *rest)


def _shown_loss(state: TrainState, loss: jax.Array) -> TrainState:
    """A state whose optimizer is given the loss, which schedules such as `optax.contrib.reduce_on_plateau` ask for."""
    tx = optax.with_extra_args_support(state.tx)
    return state.replace(tx=optax.GradientTransformation(tx.init, partial(tx.update, value=loss)))


def _as_type(dtype: Any, tree: Any) -> Any:
    """The tree with its floating-point arrays converted."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def _widened(metrics: Mapping[str, Any]) -> OrderedDict[str, jax.Array]:
    """Metrics of at least 32 bits: in 16, a sum over an epoch would overflow, or swallow small parts."""
    # Of a plain dict, a compiled function would sort the keys.
    wide = ((key, jnp.asarray(value)) for key, value in metrics.items())
    return OrderedDict((key, value.astype(jnp.promote_types(value.dtype, jnp.float32))) for key, value in wide)


def _by_name(tree: Any) -> dict[str, jax.Array]:
    """The arrays of a tree by where they are in it; of keys, what they are made of."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _like(leaf: jax.Array, array: jax.Array) -> jax.Array:
    """An array, as a key if ``leaf`` is one."""
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def _sum_over_processes(array: np.ndarray) -> np.ndarray:
    return np.asarray(_gather(array).sum(axis=0, dtype=array.dtype))


def _gather(array: np.ndarray) -> np.ndarray:
    """The arrays of all processes, of the same shape and type, in the order of the processes.

    They go as bytes, since JAX would make numbers of 64 bits ones of 32, and between CPUs, where they need not wait for
    what a GPU has to do.
    """
    parted, make_whole = _gathering()
    content = np.frombuffer(array.tobytes(), np.uint8)
    whole = make_whole(jax.make_array_from_process_local_data(parted, content[None]))
    return np.asarray(whole).view(array.dtype).reshape(jax.process_count(), *array.shape)


@cache
def _gathering() -> tuple[NamedSharding, Callable[[jax.Array], jax.Array]]:
    """How an array is divided that has a row of each process, and what gives each of them all rows."""
    firsts = {device.process_index: device for device in reversed(jax.devices("cpu"))}
    mesh = Mesh([firsts[process] for process in range(jax.process_count())], ("process",))
    make_whole = jax.jit(lambda rows: rows, out_shardings=NamedSharding(mesh, PartitionSpec()))
    return NamedSharding(mesh, PartitionSpec("process")), make_whole


def _gather_batch(part: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """The whole of what each process has a part of, with so many rows."""
    padded = np.zeros((max(sizes), *part.shape[1:]), part.dtype)
    padded[: len(part)] = part
    return np.concatenate([rows[:size] for rows, size in zip(_gather(padded), sizes, strict=True)])


@cache
def _watch_first(workers: Workers) -> None:
    """Have this process say so when the first one is gone, with which JAX ends it before Python can."""
    address = jax._src.distributed.global_state.coordinator_address  # which JAX may have found by itself
    speak_if_first_is_gone(address, workers.other_gone)


@cache
def _wait_shortly_at_exit() -> None:
    """Have this process not wait long for the others when it ends, since they may wait for it: JAX does for minutes."""
    atexit.register(_end_soon)


def _end_soon() -> None:
    sys.stdout.flush()
    nowhere = open(os.devnull, "w")  # noqa: SIM115
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, exit=True, file=nowhere)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back.

    A compiled step gives its arguments' memory away: interrupted before its result is assigned, it would leave
    no parameters at all.
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


# What follows is taken from the chapter: classes marked there with #@save, and the names that config.ini gives tensors.
d2l = sys.modules[__name__]
# fmt: off
#################   WARNING   ################
# The below part is generated automatically through:
#    d2lbook build lib
# Don't edit it directly

class AlexNet(d2l.Classifier):
    """Defined in :numref:`sec_alexnet`"""
    lr: float = 0.1
    num_classes: int = 10
    training: bool = True

    def setup(self):
        glorot = nn.initializers.glorot_uniform()
        conv, dense = (partial(nn.Conv, kernel_init=glorot),
                       partial(nn.Dense, kernel_init=glorot))
        pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
        dropout = partial(nn.Dropout, 0.5, deterministic=not self.training)
        self.net = nn.Sequential([
            conv(96, kernel_size=(11, 11), strides=4, padding='VALID'),
            nn.relu, pool,
            conv(256, kernel_size=(5, 5), padding=2), nn.relu, pool,
            conv(384, kernel_size=(3, 3), padding=1), nn.relu,
            conv(384, kernel_size=(3, 3), padding=1), nn.relu,
            conv(256, kernel_size=(3, 3), padding=1), nn.relu, pool,
            lambda X: X.reshape(X.shape[0], -1),
            dense(4096), nn.relu, dropout(),
            dense(4096), nn.relu, dropout(),
            dense(self.num_classes)])


# Alias defined in config.ini
nn_Module = nn.Module
size = lambda x: x.size
transpose = lambda x: x.T
numpy = np.asarray
to = jax.device_put
sigmoid = jax.nn.sigmoid
rand = lambda *shape: jax.random.uniform(get_key(), shape)
randn = lambda *shape: jax.random.normal(get_key(), shape)

ones_like = jnp.ones_like
ones = jnp.ones
zeros_like = jnp.zeros_like
zeros = jnp.zeros
tensor = jnp.array
arange = jnp.arange
meshgrid = jnp.meshgrid
linspace = jnp.linspace
sin = jnp.sin
sinh = jnp.sinh
cos = jnp.cos
cosh = jnp.cosh
tanh = jnp.tanh
exp = jnp.exp
log = jnp.log
abs = jnp.abs
eye = jnp.eye
matmul = jnp.matmul
batch_matmul = jnp.matmul
concat = jnp.concatenate
stack = jnp.stack
float32 = jnp.float32
int32 = jnp.int32
int64 = jnp.int64
expand_dims = jnp.expand_dims
reshape = lambda x, *args, **kwargs: x.reshape(*args, **kwargs)
astype = lambda x, *args, **kwargs: x.astype(*args, **kwargs)
repeat = lambda x, *args, **kwargs: x.repeat(*args, **kwargs)
swapaxes = lambda x, *args, **kwargs: x.swapaxes(*args, **kwargs)
reduce_sum = lambda x, *args, **kwargs: x.sum(*args, **kwargs)
reduce_mean = lambda x, *args, **kwargs: x.mean(*args, **kwargs)
argmax = lambda x, *args, **kwargs: x.argmax(*args, **kwargs)
