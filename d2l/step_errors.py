"""Errors in a step, with what the framework does not say of them: the step, the batch, and what to try."""

import re
from collections.abc import Iterator, Sequence
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
def explained(trainer: "Trainer", phase: str, index: int, batch: Any, call: str = "the run") -> Iterator[None]:
    """Add to an error in a step which step it is, with what batch, and what to try.

    Args:
        phase: ``"training"`` or ``"validation"``.
        index: The step's number, from 0.
        batch: The batch as its loader gives it.
        call: What the step is one of.
    """
    trainer.in_step = True
    try:
        yield
    except FloatingPointError:  # which names the step that it comes from
        raise
    except Exception as cause:
        error = _clearer(trainer, cause, batch)
        for note in _notes(trainer, error, phase, index, batch, call):
            error.add_note(note)
        if error is cause:
            raise
        raise error from cause
    finally:
        trainer.in_step = False


@contextmanager
def prediction_explained(model: Any, inputs: Sequence[Any]) -> Iterator[None]:
    """Add to an error in `predict` what it was given, what the model was trained on, and what to try.

    Args:
        inputs: The model's inputs, as many examples as are computed at a time.
    """
    try:
        yield
    except Exception as error:
        trained = f"; the model was trained on batches of shape {model._trained_on}" if model._trained_on else ""
        error.add_note(f"predict was given X of shape {input_checks.shapes_of(inputs)}{trained}.")
        notes = [*input_checks.known_mistakes(error, model, "validation"), *_of_memory(error, inputs)]
        if layout := input_checks.layout(inputs[0].shape, model.channel_axis):
            notes.append(layout)
        for note in notes:
            error.add_note(note)
        raise


def _notes(trainer: "Trainer", error: Exception, phase: str, index: int, batch: Any, call: str) -> Iterator[str]:
    tensors = input_checks.tensors_in(batch)
    given = f", with a batch of {input_checks.shapes_of(tensors)}" if tensors else ""
    yield f"In {phase} step {index + 1} of {call}{given}."
    yield from input_checks.hints(error, trainer.model, phase, [part.shape for part in tensors])
    yield from _of_memory(error, batch)
    if LOST_GPU.search(str(error)):
        yield (
            "Most likely an index, such as a label, is out of range, in this step or shortly before it. The "
            "GPU is lost to this process: restart the process (in a notebook, the kernel)."
        )


def _of_memory(error: Exception, batch: Any) -> Iterator[str]:
    if is_out_of_memory(error):
        size = input_checks.count_examples(batch)
        yield f"The memory does not hold it: try a batch_size of {max(size // 2, 1)} instead of {size}."


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
