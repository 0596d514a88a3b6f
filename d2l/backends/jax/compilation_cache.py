"""What JAX has compiled, kept for later processes."""

import os

import jax
from jax.experimental.compilation_cache import compilation_cache

from ...compiler_caches import user_cache

MIN_SECONDS = "jax_persistent_cache_min_compile_time_secs"


def keep_compiled() -> str | None:
    """Have JAX keep what this process compiles from now on, and run what others have kept.

    It does so in ``JAX_COMPILATION_CACHE_DIR``, or else in this user's own cache folder; ``d2l/jax``. XLA keeps there,
    too, which of its kernels are the fastest. With ``JAX_ENABLE_COMPILATION_CACHE=false`` in the environment, nothing
    is kept. The settings are the process's.

    Returns:
        Why nothing is kept, if it is because of the folder.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir is None:
        try:
            folder = user_cache("jax")
        except OSError as error:
            return f"JAX compiles anew in each process, since what it compiles cannot be kept: {error}"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        compilation_cache.reset_cache()  # whether there is one, JAX has decided if it has compiled anything before
    if MIN_SECONDS.upper() not in os.environ:
        jax.config.update(MIN_SECONDS, 0.0)  # a run has many small programs, which take a GPU seconds together
    return None
