"""The trainer for JAX."""

import os

import jax
import optax
from jax import numpy as jnp

from ... import input_checks, trainer
from ...checkpoint_file import CheckpointError
from ...random_states import RandomStates
from .backend import Backend
from .data_modules import DataModule
from .devices import get_key
from .modules import Module
from .train_state import Params, TrainState, like


class Trainer(trainer.Trainer):
    """Fit a model to data: see `d2l.trainer.Trainer`.

    The steps of training and validation are compiled. Each fit starts from new parameters, which are then in
    ``state.params``.

    On a GPU, compiled programs are kept for later processes in ``d2l/jax`` in the user's cache folder:
    ``JAX_COMPILATION_CACHE_DIR`` in the environment chooses another one, ``JAX_ENABLE_COMPILATION_CACHE=false`` none.
    There a batch that is shorter than the ones before is filled up to their size with copies of its last example,
    which its loss and its metrics leave out, so that no step is compiled anew for it. It needs a `Classifier` whose
    loss, accuracy and steps are those of that class, a label for each example, and no batch statistics; all others get
    their batches as they are. A layer that has examples depend on one another in any other way would see the copies.

    Several GPUs of a machine need one process. A batch is divided among them if its size can be divided by their
    number; if not, each computes all of it. Either way its numbers, also those of dropout and of batch normalization,
    are those of one device. Afterwards, the state is on the first one.

    Several machines, or several processes of one, are joined when this module is imported in a Slurm step of several
    tasks, or with ``JAX_COORDINATOR_ADDRESS`` (host:port of the first process), ``JAX_NUM_PROCESSES`` and
    ``JAX_PROCESS_ID`` in the environment; or call ``jax.distributed.initialize`` before. ``num_gpus`` counts the GPUs
    of one process. All processes draw the same random numbers, those of the first.
    """

    backend_type = Backend
    backend: Backend

    @property
    def state(self) -> TrainState:
        """What training changes: parameters, batch statistics, the optimizer's state and dropout's random state."""
        if self.backend.state is None:
            raise AttributeError(f"{type(self).__name__} has no state before fit or load_weights")
        return self.backend.state

    @state.setter
    def state(self, state: TrainState) -> None:
        self.backend.state = state

    def fit(self, model: Module, data: DataModule, key: jax.Array | None = None, *, resume: bool = False) -> None:
        """The parameters are drawn with ``key``, by default a new one, or resumed are those of a checkpoint.

        See `d2l.trainer.Trainer.fit`.
        """
        with self.backend.all_devices():
            if self.processes.world_size > 1:  # all go on from the random states of rank 0
                states = RandomStates(self.backend)
                states.set(self.processes.all_gather_json(states.get())[0])
            self.backend.key = get_key() if key is None else self._broadcast_key(key)
            super().fit(model, data, resume=resume)

    def load_weights(self, model: Module, data: DataModule, path: str | os.PathLike[str]) -> None:
        """Put the weights of a checkpoint into ``state``, to predict with.

        `fit` draws new parameters. To train from those of a file, give the trainer a callback that puts them into the
        state when `fit` has drawn its own: a `d2l.observers.Observer` whose ``before_fit(self, trainer)`` calls
        ``trainer.model.load_weights(path)``.

        See `d2l.trainer.Trainer.load_weights`.
        """
        self.backend.key, kept = jax.random.PRNGKey(0), self.backend.state  # what is drawn with it is replaced
        try:
            with jax.default_device(self.device):
                super().load_weights(model, data, path)
        except CheckpointError:
            self.backend.state = kept
            raise

    def prepare_data(self, data: DataModule) -> None:
        """Get the data loaders and their lengths in batches; say so if batches cannot be divided among the devices."""
        super().prepare_data(data)
        mesh = self.backend.mesh
        size, devices = getattr(data, "batch_size", None), mesh.size if mesh else 1
        if isinstance(size, int) and size % devices:
            even = -(-size // devices) * devices
            self._say(
                f"batch_size={size} cannot be divided evenly among {devices} devices, so each of them computes all of "
                f"it, no faster than one alone: {even} can"
            )

    def clip_gradients(self, grad_clip_val: float, grads: Params) -> optax.Updates:
        """The gradients, scaled all together such that their L2 norm is at most ``grad_clip_val``."""
        return optax.clip_by_global_norm(grad_clip_val).update(grads, optax.EmptyState())[0]

    def _broadcast_key(self, key: jax.Array) -> jax.Array:
        """Rank 0's key, for all processes to have.

        Raises:
            TypeError: It is no key.
        """
        if not isinstance(key, jax.Array):
            raise TypeError(
                f"fit(model, data, key) got {input_checks.describe(key)} for the key: give "
                "jax.random.PRNGKey(0), or none"
            )
        return like(key, jnp.asarray(self.processes.broadcast(jax.random.key_data(key))))
