"""JAX with Flax (linen) and Optax."""

import os
import random
import signal
import threading

from ...installation import missing_framework
from ...smoke_profile import SEED, current_profile

try:
    import jax
    import optax
    from flax import linen as nn
    from jax import lax
    from jax import numpy as jnp
except ModuleNotFoundError as error:
    raise missing_framework(error, ["jax", "flax", "optax"], "jax") from error

__all__ = ["jax", "jnp", "lax", "nn", "optax"]

HEARTBEAT_SECONDS = 30  # without a sign of life from a process, until JAX ends the others

if current_profile().smoke:
    random.seed(SEED)


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
