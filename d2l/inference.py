"""What a trainer does with a model besides fitting it: predictions, metrics on data, and weights of a checkpoint."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from . import input_checks
from .backend import choose_precision
from .data_modules import DataModule, placed
from .history import as_table, by_epoch
from .metrics import WeightedMean
from .modules import Module
from .plotting import to_numpy
from .progress import counted
from .step_errors import explained, prediction_explained
from .training_run import alone, check_given, check_ready, load_weights

if TYPE_CHECKING:
    from .trainer import Trainer


class Inference:
    """The part of `d2l.trainer.Trainer`, which ``self`` is, that trains nothing.

    Each process that calls one of these methods computes all of it by itself. A model is left as `fit` leaves it:
    with layers such as dropout switched to evaluation.
    """

    def predict(self: Any, model: Module, X: Any, batch_size: int = 128) -> np.ndarray:
        """The model's outputs for examples, as in validation, on the trainer's device and in its precision.

        Args:
            model: The model. In JAX, one that this trainer has fitted or loaded the weights of.
            X: An array or tensor whose first axis counts the examples, ``n``, with the shape and dtype that the model
                takes; or a tuple of them for a model of several inputs.
            batch_size: Examples to compute at a time.

        Returns:
            ``float32`` (n, ...). A classifier's are logits (n, classes), whose ``argmax(-1)`` are class numbers.

        Raises:
            TypeError: ``X`` or the model's output is something else than tensors.
            ValueError: There are no examples, or not as many in each input.
            RuntimeError: The model has no weights (JAX).
        """
        call = "predict(model, X)"
        check_ready(self, call)
        input_checks.check_model(call, model, self.backend.module_type, self.backend.constructor_advice)
        input_checks.check_whole("batch_size", batch_size, 1)
        inputs = _inputs(X)
        examples = len(inputs[0])
        outputs = []
        with _evaluating(self, model):
            for start in counted(range(0, examples, batch_size), "predict", self.processes.is_main):
                part = [x[start : start + batch_size] for x in inputs]
                with prediction_explained(model, part):
                    Y = self.backend.predict(model, part)
                if not hasattr(Y, "shape"):
                    raise TypeError(
                        f"{type(model).__name__} returned {input_checks.describe(Y)}: predict takes models whose "
                        "output is one tensor"
                    )
                outputs.append(to_numpy(Y).astype(np.float32))
        return np.concatenate(outputs)

    def evaluate(self: Any, model: Module, data: DataModule) -> dict[str, float]:
        """What the model's ``validation_step`` plots, averaged over all validation examples; nothing is drawn.

        Args:
            model: The model. In JAX, one that this trainer has fitted or loaded the weights of.
            data: The data, which have a validation set.

        Returns:
            Means by name, such as ``{"loss": 0.35, "acc": 0.88}``.

        Raises:
            TypeError: Model or data are something else.
            ValueError: The data have no validation set.
            RuntimeError: The model has no weights (JAX).
        """
        check_given(self, "evaluate(model, data)", model, data)
        means: dict[str, WeightedMean] = {}
        with _evaluating(self, model):
            with placed(data, self.device, self.processes):
                loader = data.val_dataloader()
            if not input_checks.count_batches(data, "val_dataloader", loader):
                raise ValueError(f"{type(data).__name__} has no validation set to evaluate on")
            for index, batch in enumerate(counted(loader, "evaluate", self.processes.is_main)):
                with explained(self, "validation", index, batch, "evaluate"):
                    metrics = self.backend.eval_step(model, self.prepare_batch(batch))
                count = len(batch[-1]) if metrics.count is None else metrics.count
                for key, value in metrics.values.items():
                    means.setdefault(key, WeightedMean()).add(index, value, count)
        found = {key: mean.mean(list) for key, mean in means.items()}
        return {key: point[1] for key, point in found.items() if point}

    @property
    def history(self: Any) -> Any:
        """The curves of the last run, a row for each epoch: ``epoch``, and means such as ``train_loss``.

        A `pandas.DataFrame` where pandas is installed, else a dict of lists by column, which prints as a table. Epochs
        count from 1; ``nan`` stands where a curve has no point.

        These are means over whole epochs. A training curve has two points in each unless the model asks for others, and
        the last line of a run gives its last point, which is the mean of half an epoch: the two numbers differ.

        Raises:
            RuntimeError: This trainer has fitted no model yet.
        """
        if not hasattr(self, "model"):
            raise RuntimeError("this trainer has no history yet: fit a model first")
        return as_table(by_epoch(self.model.board.curves))

    def load_weights(self: Any, model: Module, data: DataModule, path: str | os.PathLike[str]) -> None:
        """Give ``model`` the weights of a checkpoint.

        The model then predicts with them, and `fit` trains it further from them; in JAX, where each `fit` draws new
        parameters, it does not. A run with all of its state goes on with `fit` and ``resume=True``.

        It draws no random number, and concerns only the process that calls it.

        Args:
            model: A model like that of the checkpoint.
            data: Data that give layers their shapes, where the model has not been used yet.
            path: The checkpoint's file; a leading ``~`` is the home folder.

        Raises:
            CheckpointError: The file is not whole, or has other arrays than the model, which are listed; the weights
                stay as they were.
        """
        check_given(self, "load_weights(model, data, path)", model, data)
        load_weights(self, model, data, path)


@contextmanager
def _evaluating(trainer: "Trainer", model: Module) -> Iterator[None]:
    """Have the model ready on the trainer's device, its layers switched to evaluation, in the trainer's precision."""
    with alone(trainer):
        trainer.prepare_model(model)
        backend = trainer.backend
        backend.set_training(model, False)
        with backend.precision_context(model, choose_precision(trainer.precision, model, backend)):
            yield


def _inputs(X: Any) -> tuple[Any, ...]:
    """A model's inputs, of which each has as many examples as the others.

    Raises:
        TypeError: They are no tensors.
        ValueError: There are no examples, or not as many in each.
    """
    inputs = tuple(X) if isinstance(X, (tuple, list)) else (X,)
    if not inputs or not all(getattr(x, "shape", ()) for x in inputs):
        raise TypeError(
            f"predict got {input_checks.describe(X)} for the examples: give an array or tensor whose first axis counts "
            "them, such as X[None] for a single X, or a tuple of them"
        )
    sizes = [len(x) for x in inputs]
    if len(set(sizes)) > 1 or not sizes[0]:
        found = " and ".join(map(str, sizes))
        raise ValueError(f"predict got inputs of {found} examples: give as many, 1 or more, in each")
    return inputs
