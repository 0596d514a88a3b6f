"""Errors in a step, with what the framework does not say of them: the step, the batch, and what to try."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import input_checks

if TYPE_CHECKING:
    from .trainer import Trainer

# How the frameworks say it.
OUT_OF_MEMORY = re.compile(
    r"out of memory|RESOURCE_EXHAUSTED|OOM when|(can't|unable to|failed to) allocate|bad_alloc|memory exhausted", re.I
)
# And what they say in one process when another, with which it trains, is gone.
LOST_PEER = re.compile(
    r"connection (was )?(reset|closed|refused)|socket closed|broken pipe|NCCL|heartbeat|UNAVAILABLE", re.I
)
# And on a GPU, of an index out of range or another check that has failed there.
LOST_GPU = re.compile(r"device-side assert", re.I)


@contextmanager
def explained(trainer: "Trainer", phase: str, index: int, batch: Any) -> Iterator[None]:
    """Add to an error in a step which step it is, with what batch, and what to try.

    Args:
        phase: ``"training"`` or ``"validation"``.
        index: The step's number in the run, from 0.
        batch: The batch as its loader gives it.
    """
    trainer.in_step = True
    try:
        yield
    except FloatingPointError:  # which names the step that it comes from
        raise
    except Exception as cause:
        error = _clearer(trainer, cause, batch)
        for note in _notes(trainer, error, phase, index, batch):
            error.add_note(note)
        if error is cause:
            raise
        raise error from cause
    finally:
        trainer.in_step = False


def _notes(trainer: "Trainer", error: Exception, phase: str, index: int, batch: Any) -> Iterator[str]:
    tensors = [part for part in batch if hasattr(part, "shape")] if isinstance(batch, (tuple, list)) else []
    shapes = ", ".join(f"{tuple(part.shape)} {part.dtype}" for part in tensors)
    given = f", with a batch of {shapes}" if tensors else ""
    yield f"In {phase} step {index + 1} of the run{given}."
    yield from input_checks.hints(error, trainer.model, [part.shape for part in tensors])
    if is_out_of_memory(error):
        size = input_checks.count_examples(batch)
        yield f"The memory does not hold it: try a batch_size of {max(size // 2, 1)} instead of {size}."
    if LOST_GPU.search(str(error)):
        yield (
            "Most likely an index, such as a label, is out of range, in this step or shortly before it. The "
            "GPU is lost to this process: restart the process (in a notebook, the kernel)."
        )


def _clearer(trainer: "Trainer", error: Exception, batch: Any) -> Exception:
    """An error that names the mistake which a framework's error in a step comes from, if that is a known one."""
    backend = trainer.backend
    ours = type(trainer).prepare_batch.__module__.startswith("d2l.")  # another may take any batch
    mistake = input_checks.mistake_in_batch(batch, backend.tensor_types, backend.tensors_name) if ours else None
    mistake = mistake or input_checks.mistake_in_signature(error, trainer.model, backend.module_type)
    return TypeError(mistake) if mistake else error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is that memory, a device's or the machine's, was too small."""
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None
