"""The commonest mistakes in what a trainer is given, named: what came, and what is expected in its place.

Only types, names, shapes and dtypes are looked at, never the numbers in a tensor, so no check waits for a device. Most
are made once a run; what is wrong in a step is looked for when the step has failed.
"""

import inspect
import math
import os
import re
import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, TypeGuard

import numpy as np

STEPS = ("training_step", "validation_step", "loss")
FEW_CHANNELS = (1, 3)  # of grey and of coloured images
# What frameworks say, after the phase, of mistakes that their own words do not lead to, and what to add to it.
HINTS = (
    (
        r"does not require grad|not in a computational graph",
        "The loss that {model}.training_step returned depends on no parameter with a gradient: return it as it is, "
        "without item(), detach() or a pause of gradients, and see that not all parameters are frozen.",
    ),
    (
        r"through the graph a second time|already in a computational graph",
        "{model}.training_step has to return the loss only: the trainer takes the gradients and the optimizer's step.",
    ),
    (r"no attribute ['\"]log['\"]", "A curve is drawn with self.plot(key, value, train=True)."),
    (
        r'^training: .*collection "batch_stats"',
        "In the loss, give the model {{'params': params, 'batch_stats': state.batch_stats}} and "
        "mutable=['batch_stats'], and return its updates beside the loss, as d2l.Classifier does.",
    ),
    (
        r'^validation: .*collection "batch_stats" is immutable',
        "In validation, batch normalization has to use its running averages: declare training: bool = True in {model}, "
        "and give the layer use_running_average=not self.training, in place of an argument of __call__.",
    ),
    (
        r'^validation: .*Tried to access .*collection "batch_stats"',
        "In {model}.validation_step, give the model its statistics, too: {{'params': params, 'batch_stats': "
        "state.batch_stats}}.",
    ),
    (
        r"'(NoneType|tuple|list|dict)' object has no attribute '(reshape|shape)'",
        "A loss takes one tensor of the model and one of the labels: see that {model}.forward returns one.",
    ),
    (
        r"Abstract tracer value",
        "Steps are compiled, and have no number to read: return the loss as it is, without float() or item().",
    ),
    (
        r"__call__\(\) got an unexpected keyword argument 'training'",
        "Define forward(self, X) in {model}, in place of __call__.",
    ),
    (r'collection "params".* empty', "Give the model {{'params': params}}, not the parameters alone."),
    (
        r'Parameter "(deterministic|use_running_average)"',
        "Declare training: bool = True in {model}, and give the layer deterministic or use_running_average as "
        "not self.training.",
    ),
)


def printable(text: str) -> str:
    """A text from elsewhere, fit for a message: what does not print, such as a terminal's commands, as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_whole(number: Any, least: int) -> bool:
    """Whether it is a whole number, Python's or NumPy's, and so much at least."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool) and bool(number >= least)


def is_real(number: Any) -> TypeGuard[float]:
    """Whether it is a real number, Python's or NumPy's."""
    return isinstance(number, Real)


def check_whole(name: str, number: Any, least: int) -> None:
    """See that an argument is a whole number, and so much at least.

    Raises:
        ValueError: It is not.
    """
    if not is_whole(number, least):
        raise ValueError(f"{name}={number!r}: give a whole number, {least} or more")


def check_not_negative(name: str, number: Any) -> None:
    """See that an argument is a number, 0 or more.

    Raises:
        ValueError: It is not.
    """
    if not (is_real(number) and number >= 0):
        raise ValueError(f"{name}={number!r}: give a number, 0 or more")


def check_share(name: str, number: Any) -> None:
    """See that an argument is a number between 0 and 1.

    Raises:
        ValueError: It is not.
    """
    if not (is_real(number) and 0 < number < 1):
        raise ValueError(f"{name}={number!r}: give a number above 0 and below 1, such as 0.1")


def check_trainer(
    max_epochs: Any, num_gpus: Any, gradient_clip_val: Any, checkpoint_dir: Any, every: Any, keep: Any
) -> None:
    """See that a trainer's arguments are what it takes.

    Raises:
        ValueError: One is not.
        TypeError: The folder for checkpoints is no path.
    """
    check_whole("max_epochs", max_epochs, 0)
    check_whole("num_gpus", num_gpus, 0)
    check_not_negative("gradient_clip_val", gradient_clip_val)
    if every != "epoch" and not is_whole(every, 1):
        raise ValueError(f"every={every!r}: give 'epoch' or a number of training batches, 1 or more")
    check_whole("keep", keep, 1)
    if not (checkpoint_dir is None or (isinstance(checkpoint_dir, (str, os.PathLike)) and str(checkpoint_dir))):
        raise TypeError(f"checkpoint_dir={checkpoint_dir!r}: give the path of a folder, or None")


def check_precision(precision: Any, precisions: Sequence[str]) -> None:
    """See that a precision is one that the framework has.

    Raises:
        ValueError: It is not.
    """
    if precision not in precisions:
        raise ValueError(f"precision={precision!r}: give one of {', '.join(map(repr, precisions))}")


def check_metric(model: Any, key: Any, value: Any) -> None:
    """See that what a model plots is a name and one number.

    Raises:
        TypeError: It is something else.
        ValueError: It is a tensor of more than one number.
    """
    shape = getattr(value, "shape", None)
    if not isinstance(key, str) or (shape is None and not is_real(value)):
        raise TypeError(
            f"{type(model).__name__} plots {describe(value)} as {key!r}: give a name and one number, a scalar tensor"
            + (", which its loss has to return" if key == "loss" else "")
        )
    sizes = tuple(shape or ())
    if any(n != 1 for n in sizes):
        raise ValueError(f"{key} has the shape {sizes}, and is to be one number: take its mean over the batch")


def check_size(resize: Any) -> tuple[int, int]:
    """``resize`` as a pair (height, width).

    Raises:
        ValueError: It is not two positive whole numbers.
    """
    if isinstance(resize, (tuple, list)) and len(resize) == 2 and all(is_whole(n, 1) for n in resize):
        height, width = map(int, resize)
        return height, width
    raise ValueError(f"resize={resize!r}: give height and width as two positive integers, such as (224, 224)")


def describe(thing: Any) -> str:
    """What something is, in a few words: its type with shape and dtype, with keys, or with its value."""
    kind = type(thing)
    if thing is None:
        return "None"
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    if hasattr(thing, "shape") and hasattr(thing, "dtype"):
        return f"{_tensor_name(kind)} of shape {_shape(thing)} and dtype {dtype_name(thing)}"
    if isinstance(thing, (str, bytes, Real)):
        return f"the {kind.__name__} {reprlib.repr(thing)}"
    if isinstance(thing, Mapping):
        keys = ", ".join(map(repr, list(thing)[:5])) or "none"
        return f"a {kind.__name__} with the keys {keys}"
    if isinstance(thing, (tuple, list)):
        return f"a {kind.__name__} of {len(thing)}"
    if inspect.isroutine(thing):
        return f"the function {thing.__name__}"
    library = kind.__module__.partition(".")[0]
    article = "an" if kind.__name__.lstrip("_")[:1].lower() in "aeiou" else "a"
    return f"{article} {kind.__name__}" + ("" if library in ("builtins", "__main__") else f" of {library}")


def check_given(call: str, model: Any, data: Any, base: type, advice: str) -> None:
    """See that a trainer is given a model and data, in this order.

    Args:
        call: What the method is called with, such as ``fit(model, data)``.
        base: The class that the model is to be of.
        advice: How to make a model, for one whose base class's constructor was not called.

    Raises:
        TypeError: One of them is something else.
        AttributeError: The constructor of one has left out that of its base class.
    """
    if _is_data(model) and not _is_data(data):
        raise TypeError(f"{call} got {describe(model)} first and {describe(data)} second: the model comes first")
    check_model(call, model, base, advice)
    _check_home(call, data, base)
    _check_data(call, data)


def check_model(call: str, model: Any, base: type, advice: str) -> None:
    """See that a trainer is given a model: see `check_given`.

    Raises:
        TypeError: It is something else.
        AttributeError: Its constructor has left out that of its base class.
    """
    if isinstance(model, type):
        raise TypeError(f"{call} got {describe(model)} for the model: give an object of it, {model.__name__}(...)")
    _check_home(call, model, base)
    if not isinstance(model, base):
        raise TypeError(
            f"{call} got {describe(model)} for the model: give a d2l.Module or d2l.Classifier, one with your layers as "
            "self.net"
        )
    if not hasattr(model, "board"):
        raise AttributeError(f"{type(model).__name__} is not made as a d2l.Module: {advice}")


def _check_home(call: str, thing: Any, base: type) -> None:
    """See that something is not made with the helper for another framework."""
    if home(thing) not in ("", home(base)):
        raise TypeError(
            f"{call} got {describe(thing)}, made with {home(thing)}, and the trainer is of {home(base)}: make all with "
            "one of the two"
        )


def home(thing: Any) -> str:
    """The framework's module of the helper that a class or an object's class is of or is made from; empty if none."""
    kinds = (thing if isinstance(thing, type) else type(thing)).__mro__
    modules = [kind.__module__.replace(".backends.", ".") for kind in kinds if kind.__module__.startswith("d2l.")]
    faces = [".".join(name.split(".")[:2]) for name in modules]
    return next((name for name in faces if hasattr(sys.modules.get(name), "try_gpu")), "")


def _is_data(thing: Any) -> bool:
    return not isinstance(thing, type) and callable(getattr(thing, "train_dataloader", None))


def _check_data(call: str, data: Any) -> None:
    if isinstance(data, type):
        raise TypeError(f"{call} got {describe(data)} for the data: give an object of it, {data.__name__}(...)")
    for name in ("train_dataloader", "val_dataloader"):
        method = getattr(data, name, None)
        if callable(method):
            continue
        if method is not None:
            raise TypeError(
                f"{type(data).__name__}.{name} is {describe(method)}: it has to be a method that returns a loader"
            )
        if name == "val_dataloader" and _is_data(data):
            raise TypeError(
                f"{type(data).__name__} has no val_dataloader(): define it; without validation, have it return None"
            )
        raise TypeError(
            f"{call} got {describe(data)} for the data: give a d2l.DataModule, whose get_dataloader(train) returns the "
            "loader of the training batches, and that of the validation batches or None"
        )


def check_points(model: Any) -> None:
    """See that the points that a model plots in an epoch are positive whole numbers.

    Raises:
        ValueError: They are not.
    """
    for points in ("plot_train_per_epoch", "plot_valid_per_epoch"):
        check_whole(f"{type(model).__name__}.{points}", getattr(model, points), 1)


def count_batches(data: Any, name: str, loader: Any) -> int:
    """The batches in an epoch of the loader that the method ``name`` of a data module has returned.

    Without validation, its loader may be ``None``, and has none.

    Raises:
        TypeError: It is no loader of batches, or it does not know their number.
        ValueError: It has no batches.
    """
    if loader is None and name == "val_dataloader":
        return 0
    source = f"{type(data).__name__}.{name}()"
    if hasattr(data, "get_dataloader") and getattr(type(data), name).__module__.startswith("d2l."):
        source = f"{type(data).__name__}.get_dataloader(train={name == 'train_dataloader'})"
    if isinstance(loader, (str, bytes, Mapping)) or hasattr(loader, "shape") or _is_tensors(loader):
        raise TypeError(
            f"{source} returned {describe(loader)}, not batches: return self.get_tensorloader((X, y), train), or a "
            "loader or list of batches (X, y)"
        )
    if loader is None or not (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")):
        raise TypeError(f"{source} returned {describe(loader)}: return a loader of batches (X, y)")
    try:
        batches = len(loader)
    except (TypeError, AttributeError, NotImplementedError) as error:
        advice = _known_length(loader, error)
        raise TypeError(
            f"{source} returned {describe(loader)}, which does not know its number of batches: {advice}"
        ) from error
    if not batches and name == "train_dataloader":
        raise ValueError("the training set is empty: its loader has no batches")
    if not batches:
        raise ValueError("the validation set is empty: its loader has no batches; without one, give None for it")
    return batches


def _is_tensors(loader: Any) -> bool:
    return isinstance(loader, (tuple, list)) and any(hasattr(part, "shape") for part in loader)


def _known_length(loader: Any, error: Exception) -> str:
    """How to give such a loader a length."""
    if "infinite" in str(error):
        return "take a number of them, dataset.take(n)"
    if "length is unknown" in str(error):
        return "state it, dataset.apply(tf.data.experimental.assert_cardinality(n))"
    if hasattr(loader, "dataset"):
        return f"give {type(loader.dataset).__name__} a method __len__, its number of examples"
    if hasattr(loader, "__next__"):
        return "return a list of the batches, or an object with the methods __len__ and __iter__"
    return "give it a method __len__"


def count_examples(batch: Any) -> int:
    """The examples in a batch, whose last part has a number for each; of a dict, for a `prepare_batch` that takes it.

    Raises:
        TypeError: The batch is none.
    """
    try:
        return len([*batch.values()][-1] if isinstance(batch, Mapping) else batch[-1])
    except (TypeError, KeyError, IndexError) as error:
        mistake = mistake_in_batch(batch) or (
            f"the last part of a batch is {describe(batch[-1])}, without an axis of examples: have the loader give "
            "batches, not single examples"
        )
        raise TypeError(mistake) from error


def mistake_in_batch(batch: Any, tensors: tuple[type, ...] = (), expected: str = "") -> str | None:
    """What a batch is in place of a tuple or list of tensors of these types, if it is something else."""
    if not isinstance(batch, (tuple, list)) or not batch:
        return f"a batch is {describe(batch)}: have the loader give tuples (X, y), the inputs first and the target last"
    for number, part in enumerate(batch, 1):
        if tensors and not isinstance(part, tensors):
            return f"part {number} of {len(batch)} of a batch is {describe(part)}: have the loader give {expected}"
    return None


def mistake_in_signature(error: Exception, model: Any, base: type) -> str | None:
    """Which of a model's steps takes other arguments than it is given, if an error is of that."""
    for name in STEPS:
        method = getattr(model, name)
        expected = [p.name for p in inspect.signature(getattr(base, name)).parameters.values() if p.default is p.empty]
        if not isinstance(error, TypeError) or f"{getattr(method, '__qualname__', name)}() " not in str(error):
            continue
        try:
            takes = inspect.signature(method)
            takes.bind(*expected[1:])
        except TypeError:
            own, right = ", ".join(["self", *takes.parameters]), ", ".join(expected)
            return f"{type(model).__name__}.{name}({own}) does not take what it is given: define {name}({right})"
    return None


def known_mistakes(error: Exception, model: Any, phase: str) -> list[str]:
    """What to add to a framework's error in ``"training"`` or ``"validation"``."""
    said = f"{phase}: {error}"
    return [hint.format(model=type(model).__name__) for pattern, hint in HINTS if re.search(pattern, said, re.S)]


def hints(error: Exception, model: Any, phase: str, shapes: Sequence[Sequence[int]]) -> list[str]:
    """What to add to a framework's error in a step with a batch of tensors of these shapes."""
    found = known_mistakes(error, model, phase)
    if isinstance(error, TypeError) and "argument" in str(error) and len(shapes) != 2:
        found.append(
            "The model is called with all parts of a batch but the last, which is the target: with "
            f"{len(shapes) - 1} here."
        )
    if len(shapes) == 2 and len(shapes[0]) == 1 < len(shapes[1]):
        found.append("A batch is (X, y), the inputs first and the target last: these look swapped.")
    return found + [text for shape in shapes[:1] if (text := layout(shape, model.channel_axis))]


def layout(shape: Sequence[int], channel_axis: int) -> str | None:
    """What is unusual in the order of the axes of images, if something is."""
    axes = "(examples, channels, height, width)" if channel_axis == 1 else "(examples, height, width, channels)"
    other = 4 - channel_axis  # 3 for 1, and the reverse
    if len(shape) == 4 and shape[other] in FEW_CHANNELS and min(shape[channel_axis], shape[2]) > max(FEW_CHANNELS):
        order = (0, 3, 1, 2) if channel_axis == 1 else (0, 2, 3, 1)
        right = tuple(shape[axis] for axis in order)
        return f"Images are {axes} here: {tuple(shape)} would be {right}, if its channels are {_place(channel_axis)}."
    if len(shape) == 3 and min(shape[1:]) > max(FEW_CHANNELS):
        n, height, width = shape
        right = (n, 1, height, width) if channel_axis == 1 else (n, height, width, 1)
        return f"Images are {axes} here: {tuple(shape)} has no axis of channels, and would be {right}."
    if len(shape) == 3 and shape[2] in FEW_CHANNELS and min(shape[:2]) > max(FEW_CHANNELS):
        height, width, channels = shape
        right = (1, channels, height, width) if channel_axis == 1 else (1, *shape)
        return f"Images are {axes} here: {tuple(shape)} has no axis of examples, and would be {right}."
    return None


def _place(channel_axis: int) -> str:
    return "last" if channel_axis == 1 else "first"


def check_loss(model: Any, loss: Any, tensor: type | tuple[type, ...]) -> None:
    """See that a step of training has returned a loss.

    Raises:
        TypeError: It is no tensor.
        ValueError: It is a tensor of more than one number.
    """
    step = f"{type(model).__name__}.training_step returned {{}}: return the loss itself, a scalar tensor"
    if not isinstance(loss, tensor):
        raise TypeError(step.format(describe(loss)))
    if any(n not in (1, None) for n in loss.shape):
        raise ValueError(f"{step.format(describe(loss))}, such as the mean over the batch")


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """The shape of a batch as a tuple.

    Raises:
        TypeError: It is no sequence of whole numbers.
        ValueError: One of them is less than 1.
    """
    whole = isinstance(shape, Sequence) and shape and all(hasattr(n, "__index__") for n in shape)
    if not whole:
        raise TypeError(f"{name} is {describe(shape)}: give the shape of a batch, a tuple such as (1, 1, 28, 28)")
    if min(shape) < 1:
        raise ValueError(f"{name}={tuple(shape)}: give sizes of 1 or more, such as (1, 1, 28, 28)")
    return tuple(map(int, shape))


def learning_rate(model: Any, example: str = "self.save_hyperparameters() in __init__ keeps its argument lr") -> Any:
    """The model's ``lr``: a number, or what else a framework takes, such as a schedule.

    Raises:
        AttributeError: It has none.
        TypeError: It is nothing that could be a learning rate.
        ValueError: It is negative or no finite number.
    """
    name = type(model).__name__
    if not hasattr(model, "lr"):
        raise AttributeError(f"{name} has no lr for configure_optimizers: {example}; or define configure_optimizers")
    if model.lr is None or isinstance(model.lr, (bool, str, bytes, list, tuple, dict)):
        raise TypeError(f"{name}.lr is {describe(model.lr)}: give a number, such as 0.1")
    if is_real(model.lr) and not 0 <= model.lr < math.inf:
        raise ValueError(f"{name}.lr={model.lr}: give a learning rate of 0 or more")
    return model.lr


@contextmanager
def configuring(model: Any) -> Iterator[None]:
    """Add to an error of ``configure_optimizers`` where it is from, and what the framework does not say."""
    try:
        yield
    except Exception as error:
        name = type(model).__name__
        error.add_note(f"In {name}.configure_optimizers.")
        if "empty parameter list" in str(error):
            error.add_note(
                f"{name} has no parameters: make its layers in __init__, as attributes that are layers themselves, "
                "such as an nn.Sequential or nn.ModuleList of them."
            )
        if re.search("'method'", str(error)) and isinstance(error, (TypeError, ValueError)):
            error.add_note("A method has to be called: self.parameters().")
        raise


def check_optimizer(model: Any, optim: Any, methods: Sequence[str], example: str) -> None:
    """See that ``configure_optimizers`` has returned an optimizer.

    Raises:
        TypeError: It has not.
    """
    if isinstance(optim, type) or not all(callable(getattr(optim, method, None)) for method in methods):
        missing = f", which lacks {' and '.join(methods)}" if hasattr(optim, "__dict__") else ""
        raise TypeError(
            f"{type(model).__name__}.configure_optimizers returned {describe(optim)}{missing}: return one optimizer, "
            f"such as {example}"
        )


def check_trained(model: Any, optimized: Sequence[Any], own: Sequence[Any]) -> None:
    """See that an optimizer has parameters of the model.

    Raises:
        ValueError: It has those of something else.
    """
    if optimized and not {id(parameter) for parameter in optimized} & {id(parameter) for parameter in own}:
        raise ValueError(
            f"the optimizer of {type(model).__name__}.configure_optimizers has none of this model's parameters: make "
            "it there, of self.parameters()"
        )


def mistake_in_labels(logits: Sequence[int], labels: Sequence[int], dtype: str, dtypes: str = "u?int") -> str | None:
    """What is wrong with labels of this shape and dtype for logits of this shape, if something is.

    Args:
        dtypes: A pattern of the dtypes that labels may have.
    """
    if math.prod(labels) != math.prod(logits[:-1]):
        one_hot = "; of one-hot vectors these are y.argmax(-1)" if tuple(labels) == tuple(logits) else ""
        return (
            f"labels of shape {tuple(labels)} for outputs of shape {tuple(logits)}, the last axis that of the classes: "
            f"give one class number for each example{one_hot}"
        )
    if not re.match(dtypes, dtype):
        return f"labels of dtype {dtype}: give class numbers as whole numbers, of dtype int64"
    return None


def mistake_in_inputs(
    error: Exception, model: Any, inputs: Sequence[Any], tensors: type | tuple[type, ...], convert: str, own: str = ""
) -> str | None:
    """What a model has been called with in place of tensors, or of which dtype they are and its parameters are not.

    Args:
        error: What has come of it.
        tensors: Types of the framework's own tensors.
        convert: How to make such a tensor of an array ``X``.
        own: The dtype of the parameters, where inputs have to have the same.
    """
    for X in inputs:
        if not isinstance(X, tensors):
            if hasattr(X, "shape") or isinstance(X, (list, tuple, Real)):
                unpacked = "what is in it, one by one, model(*X), or " if isinstance(X, (list, tuple)) else ""
                return f"{type(model).__name__} was called with {describe(X)}: give it {unpacked}{convert}"
            continue
        if (
            own not in ("", dtype_name(X))
            and re.match("b?float|uint8", dtype_name(X))
            and re.search("type|attr", str(error))
        ):
            return (
                f"{type(model).__name__} was called with {describe(X)}, and its parameters are of dtype {own}: convert "
                "one to the dtype of the other"
            )
    return None


def is_tensors(tensors: Any) -> bool:
    """Whether it is a list or tuple of what could be tensors."""
    return isinstance(tensors, (tuple, list)) and bool(tensors) and all(hasattr(x, "__len__") for x in tensors)


def tensors_in(batch: Any) -> list[Any]:
    """The tensors of a batch, if that is a list or tuple."""
    return [part for part in batch if hasattr(part, "shape")] if isinstance(batch, (tuple, list)) else []


def shapes_of(tensors: Sequence[Any]) -> str:
    """Shapes and dtypes of tensors in words, such as ``(4, 1, 28, 28) float32, (4,) int64``."""
    return ", ".join(f"{tuple(x.shape)} {dtype_name(x)}" for x in tensors)


def _tensor_name(kind: type) -> str:
    library = kind.__module__.partition(".")[0]
    if kind.__name__ == "NDArray":  # which MXNet has beside the arrays of mxnet.np
        return "an NDArray of MXNet"
    names = {"numpy": "a NumPy array", "jaxlib": "a JAX array", "jax": "a JAX array", "torch": "a PyTorch tensor"}
    names |= {"tensorflow": "a TensorFlow tensor", "keras": "a Keras tensor", "mxnet": "an MXNet array"}
    return names.get(library, f"a {kind.__name__}")


def _shape(tensor: Any) -> tuple[int, ...]:
    try:
        return tuple(tensor.shape)
    except (TypeError, ValueError):  # TensorFlow's of unknown rank
        return ()


def dtype_name(tensor: Any) -> str:
    """The name of its dtype, such as ``float32``, in every framework."""
    dtype = tensor.dtype
    return str(getattr(dtype, "name", None) or getattr(dtype, "__name__", dtype)).removeprefix("torch.")
