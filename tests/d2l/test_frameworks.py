"""The helper in each framework: the same names, the same pixels, and training that is right."""

import contextlib
import copy
import dataclasses
import gc
import importlib
import inspect
import io
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from contract import fixtures
from contract.adapters import EXTRAS, NAMES, PIXELS
from contract.examples import Loaders, Watched, batches_of, made, shape_of_images, spoilt, step_length, tiny, ys
from contract.fixtures import adapter, skip_with_gpu, skip_without_gpu
from photographs import write_folder, write_shards
from processes import TIME_LIMIT

from d2l import fashion_mnist, machine
from d2l.backend import describe_precision
from d2l.batches import resize_matrix
from d2l.compiled_steps import CompiledSteps
from d2l.data_error import DataError
from d2l.decoding import decode
from d2l.lazy_init import initialize
from d2l.plotting import to_numpy as numbers
from d2l.random_states import RandomStates
from d2l.smoke_profile import Profile

pytestmark = pytest.mark.helper


def module_of(fw, name):
    """A module of the framework's backend."""
    return importlib.import_module(f"d2l.backends.{fw.name}.{name}")


@pytest.fixture
def sample_of(monkeypatch):
    """Makes, for a framework, FashionMNIST of the images that come with the package."""

    def make(fw, **arguments):
        with monkeypatch.context() as patch:
            patch.setenv("D2L_PROFILE", "smoke")
            return fw.d2l.FashionMNIST(**arguments)

    return make


@pytest.fixture
def sample(fw, sample_of):
    """Makes FashionMNIST of the images that come with the package."""
    return partial(sample_of, fw)


def losses_of(logits, labels):
    """Cross-entropy per example, in NumPy."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_shares, labels[..., None], axis=-1)[..., 0]


def over_all_examples(fw, model, batches):
    """Mean loss and accuracy over the examples of all batches, in NumPy from the model's logits."""
    logits = np.concatenate([numbers(fw.predict(model, X)) for X, _ in batches])
    labels = np.concatenate([numbers(y) for _, y in batches])
    return losses_of(logits, labels).mean(), (logits.argmax(axis=1) == labels).mean()


# Names


def test_public_names_are_the_same_in_the_same_order(fw):
    expected = [
        "HyperParameters",
        "add_to_class",
        "ProgressBoard",
        "Module",
        "DataModule",
        "Trainer",
        "Observer",
        "EarlyStopping",
        "KeepBest",
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
        "LeNet",
        "Residual",
        "ResNeXtBlock",
        "plot",
        "plt",
        "show_images",
        "plot_confusion_matrix",
        "show_mistakes",
        "use_svg_display",
        "set_figsize",
        "set_axes",
    ]
    assert [name for name in fw.d2l.__all__ if name not in fw.own_names] == expected
    assert set(fw.own_names) < set(fw.d2l.__all__)
    assert all(hasattr(fw.d2l, name) for name in fw.d2l.__all__)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "Trainer",
            [
                "max_epochs",
                "num_gpus",
                "gradient_clip_val",
                "precision",
                "checkpoint_dir",
                "every",
                "keep",
                "callbacks",
            ],
        ),
        ("FashionMNIST", ["batch_size", "resize", "root"]),
        (
            "ImageFolder",
            ["root", "batch_size", "resize", "crop", "augment", "num_workers", "val_split", "decode_memory"],
        ),
        ("DataModule", ["root", "num_workers"]),
    ],
)
def test_constructors_take_the_same_arguments(fw, name, arguments):
    assert list(inspect.signature(getattr(fw.d2l, name).__init__).parameters)[1:] == arguments


# Each in a process of its own, where the others cannot be imported. One that needed another would fail.
BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

blocked = set(sys.argv[2:])
sys.meta_path.insert(0, Block())
"""
IMPORT_ONE = """
import importlib
importlib.import_module(f"d2l.{sys.argv[1]}")
print(sys.argv[1] in sys.modules, sorted(blocked & sys.modules.keys()))
"""
IMPORT_MISSING = """
import importlib
import d2l.trainer
for name in sys.argv[2:]:
    try:
        importlib.import_module(f"d2l.{name}")
    except ImportError as error:
        print(type(error).__name__, error)
"""


def run_blocked(code, name, *blocked):
    command = [sys.executable, "-c", BLOCK + code, name, *blocked]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIME_LIMIT).stdout.splitlines()


@pytest.mark.slow
def test_module_imports_no_other_framework(fw):
    name = fw.name
    assert run_blocked(IMPORT_ONE, name, *(other for other in NAMES if other != name)) == ["True []"]


def test_pytorchs_module_imports_no_triton():
    """TensorFlow 2.21 and Triton 3.7 have compilers that clash: the second import of the two may end the process."""
    adapter("torch")
    code = "import sys, d2l.torch; print('triton' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIME_LIMIT)
    assert run.stdout.split() == ["False"]


def test_missing_framework_names_its_extra():
    lines = run_blocked(IMPORT_MISSING, "", *NAMES)
    assert len(lines) == len(NAMES)
    for name, line in zip(NAMES, lines, strict=True):
        assert line.startswith(f"ImportError {name} ")
        assert f"pip install '.[{EXTRAS[name]}]' in the folder of this project's repository" in line


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("jax is not installed here: pip install '.[jax]' in the folder", pytest.skip.Exception),
        ("cannot import name 'Params' from 'd2l.backends.jax.train_state'", ImportError),
    ],
)
def test_tests_are_skipped_for_a_missing_framework_and_not_for_a_helper_that_cannot_be_imported(
    monkeypatch, message, outcome
):
    def fail():
        raise ImportError(message)

    monkeypatch.setitem(fixtures.ADAPTERS, "jax", fail)
    with pytest.raises((ImportError, pytest.skip.Exception)) as caught:
        adapter("jax")
    assert caught.type is outcome


# Data


@pytest.mark.parametrize("resize", [(28, 28), (40, 33), (14, 20)])
def test_pixels_are_those_of_an_exact_resize(fw, sample, resize):
    """Compared in 64 bits with the definition: what differs in no framework from it is equal in all of them."""
    X, y = next(iter(sample(batch_size=16, resize=resize).val_dataloader()))
    _, (images, labels) = (
        (part.images, part.labels) for part in fashion_mnist.load_fashion_mnist("", Profile(smoke=True))
    )
    rows, columns = (resize_matrix(size, 28).astype(float) for size in resize)
    expected = rows @ (images[:16] / 255) @ columns.T
    np.testing.assert_allclose(numbers(X).squeeze(fw.channel_axis), expected, rtol=0, atol=5e-7)
    np.testing.assert_array_equal(numbers(y), labels[:16])
    assert numbers(X).min() >= 0
    assert numbers(X).max() <= 1


def test_batches_have_shapes_and_types_and_a_short_last_one(fw, sample):
    dataset = sample(batch_size=100, resize=(8, 6))
    for loader, examples in ((dataset.train_dataloader(), dataset.train), (dataset.val_dataloader(), dataset.val)):
        batches = list(loader)
        sizes = [100] * (len(examples) // 100) + [len(examples) % 100] * (len(examples) % 100 > 0)
        assert len(loader) == len(batches) == len(sizes)
        for (X, y), n in zip(batches, sizes, strict=True):
            assert tuple(X.shape) == ((n, 8, 6, 1) if fw.channel_axis == 3 else (n, 1, 8, 6))
            assert tuple(y.shape) == (n,)
            assert numbers(X).dtype == np.float32
            assert numbers(y).dtype == fw.label_type


def labels_in_order(loader):
    return np.concatenate([numbers(y) for _, y in loader])


def test_training_order_is_new_each_epoch_and_seeded(fw, sample):
    loader = sample(batch_size=50).train_dataloader()
    fw.seed(5)
    first, second = labels_in_order(loader), labels_in_order(loader)
    fw.seed(5)
    again = labels_in_order(loader)
    fw.seed(6)
    other = labels_in_order(loader)
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.sort(first), np.sort(second))


def test_validation_order_is_that_of_the_file(fw, sample):
    dataset = sample(batch_size=50)
    for _ in range(2):
        np.testing.assert_array_equal(labels_in_order(dataset.val_dataloader()), dataset.val.labels)


def test_shuffled_images_stay_with_their_labels(fw, sample):
    dataset = sample(batch_size=30)
    pairs = {image.tobytes(): label for image, label in zip(dataset.train.images, dataset.train.labels, strict=True)}
    seen = 0
    for X, y in dataset.train_dataloader():
        images = np.rint(numbers(X).squeeze(fw.channel_axis) * 255).astype(np.uint8)
        for image, label in zip(images, numbers(y), strict=True):
            assert pairs[image.tobytes()] == label
            seen += 1
    assert seen == len(dataset.train)


def test_index_gives_an_image_as_it_is_in_a_batch_and_its_label(fw, sample):
    dataset = sample(batch_size=10, resize=(12, 9))
    X, y = next(iter(dataset.val_dataloader()))
    for i in (0, np.int64(7)):
        image, label = dataset.val[i]
        assert tuple(image.shape) == ((12, 9, 1) if fw.channel_axis == 3 else (1, 12, 9))
        assert numbers(image).dtype == np.float32
        np.testing.assert_allclose(numbers(image), numbers(X)[i], rtol=0, atol=1e-6)
        assert type(label) is int and label == numbers(y)[i]
    few = dataset.train.first(3)
    assert [label for _, label in few] == dataset.train.labels[:3].tolist()
    np.testing.assert_array_equal(numbers(few[-1][0]), numbers(dataset.train[2][0]))
    with pytest.raises(IndexError):
        few[3]
    with pytest.raises(TypeError, match="slice"):
        few[:2]


@pytest.mark.slow
def test_loaders_of_the_frameworks_own_take_the_data(sample):
    """As the published chapter's ``get_dataloader`` does."""
    for name in ("torch", "mxnet"):
        fw = adapter(name)
        dataset = fw.d2l.FashionMNIST(batch_size=20, resize=(12, 9))
        module = fw.lib.utils.data if name == "torch" else fw.lib.gluon.data
        theirs = next(iter(module.DataLoader(dataset.val, dataset.batch_size, shuffle=False)))
        for batch, own in zip(theirs, next(iter(dataset.val_dataloader())), strict=True):
            np.testing.assert_allclose(numbers(batch), numbers(own), rtol=0, atol=1e-6)


def test_visualize_shows_images_and_class_names(fw, sample):
    from matplotlib import pyplot as plt

    dataset = sample(batch_size=4)
    batch = next(iter(dataset.val_dataloader()))
    dataset.visualize(batch, nrows=1, ncols=3)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == dataset.text_labels(dataset.val.labels[:3])
    for ax, image in zip(axes, dataset.val.images, strict=False):
        np.testing.assert_allclose(ax.images[0].get_array() * 255, image, atol=1e-3)
    dataset.visualize(batch, ncols=2, labels=["a", "b"])
    assert [ax.get_title() for ax in plt.gcf().axes] == ["a", "b"]
    plt.close("all")


def test_loader_of_tensors_gives_every_example_once_in_a_new_order(fw):
    class Numbers(fw.d2l.DataModule):
        def __init__(self):
            super().__init__()
            self.batch_size = 4

    module = Numbers()
    X = fw.tensor(np.arange(20, dtype=np.float32).reshape(10, 2))
    y = fw.tensor(np.arange(10, dtype=np.float32))
    training, validation = (module.get_tensorloader((X, y), train, slice(1, None)) for train in (True, False))
    assert len(training) == 3
    assert [len(numbers(labels)) for _, labels in training] == [4, 4, 1]
    for inputs, labels in training:
        np.testing.assert_array_equal(numbers(inputs)[:, 0], 2 * numbers(labels))
    orders = [np.concatenate([numbers(labels) for _, labels in training]) for _ in range(2)]
    assert (orders[0] != orders[1]).any()
    assert set(orders[0]) == set(range(1, 10))
    np.testing.assert_array_equal(np.concatenate([numbers(labels) for _, labels in validation]), np.arange(1, 10))
    with pytest.raises(ValueError, match=r"different numbers of examples: \[10, 9\]"):
        module.get_tensorloader((X, y[1:]), train=True)


# Image folders


@pytest.fixture
def folder(fw, tmp_path, full_run):
    """Makes ImageFolder of small parts of photographs, three classes of them."""

    def make(train=6, val=2, write=write_folder, **arguments):
        sizes = {"batch_size": 5, "resize": 36, "crop": 32, **arguments}
        return fw.d2l.ImageFolder(write(tmp_path / "images", train, val), **sizes)

    return make


def test_crop_may_be_the_whole_image(fw, folder):
    X, _ = next(iter(folder(resize=32, crop=32).train_dataloader()))
    assert math.prod(X.shape) == 5 * 32 * 32 * 3


@pytest.mark.parametrize("write", [write_folder, write_shards])
@pytest.mark.parametrize("train", [True, False])
def test_image_batches_are_those_of_the_decoder_and_its_random_numbers(fw, folder, monkeypatch, train, write):
    """Compared in 64 bits with the definition: what differs in no framework from it is equal in all of them."""
    dataset = folder(write=write)
    monkeypatch.setattr(dataset, "_draw_seed", lambda: 7)
    loader = dataset.get_dataloader(train)
    expected = list(dataclasses.replace(loader, collate=lambda *arrays: arrays))
    assert [len(labels) for *_, labels in expected] == ([5, 5, 5, 3] if train else [5, 1])
    for (X, y), (pixels, shifts, labels) in zip(loader, expected, strict=True):
        assert tuple(X.shape) == ((len(y), 32, 32, 3) if fw.channel_axis == 3 else (len(y), 3, 32, 32))
        assert numbers(X).dtype == np.float32
        assert numbers(y).dtype == fw.label_type
        channels_last = np.moveaxis(numbers(X), fw.channel_axis, -1)
        np.testing.assert_allclose(channels_last, pixels / 255 + shifts[:, None, None], rtol=0, atol=5e-7)
        np.testing.assert_array_equal(numbers(y), labels)


def test_images_come_in_an_order_of_the_frameworks_random_state(fw, folder):
    dataset = folder()
    epochs = []
    for seed in (5, None, 5, 6):
        if seed:
            fw.seed(seed)
        epochs.append(np.concatenate([numbers(X) for X, _ in dataset.train_dataloader()]))
    first, second, again, other = epochs
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()


def test_index_gives_an_image_as_validation_sees_it_and_its_class(fw, folder):
    dataset = folder()
    X, y = next(iter(dataset.val_dataloader()))
    for i in (0, 4):
        image, label = dataset.val[i]
        np.testing.assert_allclose(numbers(image), numbers(X)[i], rtol=0, atol=1e-6)
        assert type(label) is int and label == numbers(y)[i]
    assert [label for _, label in dataset.train] == [0] * 6 + [1] * 6 + [2] * 6
    with pytest.raises(TypeError, match="slice"):
        dataset.train[:2]
    with open(dataset.train.examples[1].file, "wb") as file:
        file.write(b"GIF89a")
    with pytest.raises(DataError, match=r"001\.jpg: begins with GIF89a: a GIF, and"):
        dataset.train[1]


def test_validation_is_split_off_from_training(fw, folder, tmp_path):
    folder()
    shutil.rmtree(tmp_path / "images" / "val")
    dataset = fw.d2l.ImageFolder(tmp_path / "images", batch_size=5, resize=36, crop=32, val_split=0.5)
    assert [len(numbers(y)) for _, y in dataset.val_dataloader()] == [5, 4]
    assert len(dataset.train) == 9 and dataset.num_classes == 3


SECOND_PROCESS = {
    "torch": lambda patch, d2l: patch.setenv("RANK", "1"),
    "tensorflow": lambda patch, d2l: [
        patch.setattr("d2l.backends.tensorflow.processes.CLUSTER", 2),
        patch.setattr("d2l.backends.tensorflow.processes.replicas", lambda _: [1]),
    ],
    "jax": lambda patch, d2l: [
        patch.setattr(d2l.jax.distributed, "is_initialized", lambda: True),
        patch.setattr(d2l.jax, "process_index", lambda: 1),
    ],
}


@pytest.mark.parametrize("name", SECOND_PROCESS)
def test_one_process_says_what_is_passed_over(name, tmp_path, monkeypatch, capsys):
    d2l = adapter(name).d2l
    (write_folder(tmp_path) / "train" / "cat" / "a.gif").write_bytes(b"x")
    d2l.ImageFolder(tmp_path)
    assert capsys.readouterr().err.startswith(f"Passed over in {tmp_path}: files not named *.jpg, ")
    SECOND_PROCESS[name](monkeypatch, d2l)
    d2l.ImageFolder(tmp_path)
    assert capsys.readouterr().err == ""


def test_without_augmentation_training_sees_what_validation_would(fw, folder):
    dataset = folder(augment=False)
    dataset.val = dataset.train
    seen = [{numbers(x).tobytes() for X, _ in dataset.get_dataloader(train) for x in X} for train in (True, False)]
    assert len(seen[0]) == 18
    assert seen[0] == seen[1]


def test_image_classes_have_names_and_images_are_shown_in_their_colours(fw, folder):
    from matplotlib import pyplot as plt

    dataset = folder()
    assert dataset.num_classes == 3
    assert dataset.text_labels([2, 0]) == ["rocket", "cat"]
    batch = next(iter(dataset.val_dataloader()))
    dataset.visualize(batch, nrows=2, ncols=2)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["cat", "cat", "coffee", "coffee"]
    for ax, example in zip(axes, dataset.val.examples, strict=False):
        expected = decode(example.read(), 36)[2:34, 2:34]
        np.testing.assert_allclose(np.asarray(ax.images[0].get_array()) * 255, expected, atol=1e-3)
    dataset.visualize(batch, ncols=1, labels=["a cat"])
    assert [ax.get_title() for ax in plt.gcf().axes] == ["a cat"]
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": 40}, "crop=40 is larger than resize=36"),
        ({"resize": (36, 36)}, r"resize=\(36, 36\): give a whole number"),
        ({"batch_size": 0}, "batch_size=0: give a whole number, 1 or more"),
        ({"num_workers": True}, "num_workers=True"),
        *(
            ({"val_split": value}, rf"val_split={value!r}: give a number above 0 and below 1, such as 0\.1")
            for value in (0, 1, 1.5, -0.1, math.nan, True, "0.1", 10)
        ),
    ],
)
def test_wrong_sizes_of_images_are_named(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        folder(**arguments)


def test_model_learns_to_tell_photographs_apart(fw, folder, capsys):
    """Past a corrupt image, which is named beside the run's result."""
    dataset = folder(train=12, val=4, batch_size=6)
    path = dataset.train.examples[3].file
    with open(path, "r+b") as file:
        file.truncate(500)
    model = fw.d2l.SoftmaxRegression(num_outputs=dataset.num_classes, lr=0.005)
    trainer = fw.d2l.Trainer(max_epochs=10)
    trainer.fit(model, dataset)
    assert ys(model, "val_acc")[-1] >= 0.75
    assert ys(model, "val_loss")[-1] < 0.6 * ys(model, "val_loss")[0]
    said = capsys.readouterr()
    assert "each of 35 examples" in said.out
    assert said.err.count("1 of 36 images are corrupt and left out") == 1
    assert path in said.err


def test_epochs_are_counted_past_batches_of_corrupt_images(fw, folder):
    dataset = folder(train=2, val=1, batch_size=1)
    for example in dataset.train.examples[:2]:
        with open(example.file, "r+b") as file:
            file.truncate(500)
    trainer, model = fw.d2l.Trainer(max_epochs=3), fw.d2l.SoftmaxRegression(num_outputs=3, lr=0.02)
    trainer.fit(model, dataset)
    assert trainer.epochs_done == 3
    xs = [x for x, _ in model.board.curves["train_loss"]]
    assert [int(x) for x in xs] == [0, 0, 1, 1, 2, 2]


def test_image_batches_are_made_on_the_trainers_device(fw, folder, monkeypatch):
    dataset, devices = folder(), []
    on_device = dataset._on_device
    monkeypatch.setattr(
        dataset, "_on_device", lambda array, device: devices.append((device, array.dtype)) or on_device(array, device)
    )
    trainer = fw.d2l.Trainer(max_epochs=1)
    trainer.fit(fw.d2l.SoftmaxRegression(num_outputs=3, lr=0.02), dataset)
    assert {device for device, _ in devices} == {trainer.device}
    assert [dtype for _, dtype in devices[::3]] == [np.uint8] * (len(devices) // 3)


def test_interrupted_training_on_images_leaves_no_thread(fw, folder):
    dataset = folder(train=12)
    collate, made = dataset._collate, []

    def interrupted(*parts):
        made.append(parts)
        if len(made) == 3:
            signal.raise_signal(signal.SIGINT)
        return collate(*parts)

    dataset._collate = interrupted
    trainer, model = fw.d2l.Trainer(max_epochs=2), fw.d2l.SoftmaxRegression(num_outputs=3, lr=0.02)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(model, dataset)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")] == []
    trainer.fit(model, dataset)
    assert len(ys(model, "val_acc")) == 2


@pytest.mark.slow
def test_alexnet_takes_the_channels_of_its_first_input(fw, capsys):
    X_shape = (1, 224, 224, 3) if fw.channel_axis == 3 else (1, 3, 224, 224)
    model = fw.d2l.AlexNet(num_classes=1000)
    layers = [layer for layer in model.layer_table(X_shape) if layer.parameters]
    assert layers[0].parameters == 96 * (3 * 11 * 11 + 1)
    assert layers[-1].parameters == 1000 * (4096 + 1)


# Training


@pytest.mark.slow
def test_training_on_real_images_learns(fw, sample, full_run):
    dataset = sample(batch_size=32)
    model = tiny(fw, hidden=64, dropout=0.2)
    fw.d2l.Trainer(max_epochs=5).fit(model, dataset)
    losses = ys(model, "val_loss")
    assert len(losses) == 5
    assert losses[-1] < 0.8 * losses[0]
    assert ys(model, "train_loss")[-1] < ys(model, "train_loss")[0]
    assert ys(model, "val_acc")[-1] > 0.5


def test_same_seed_gives_the_same_run(fw, sample, full_run):
    dataset = sample(batch_size=64)
    runs = []
    for _ in range(2):
        fw.seed(3)
        model = tiny(fw, dropout=0.5)
        fw.d2l.Trainer(max_epochs=1).fit(model, dataset)
        runs.append(ys(model, "train_loss") + ys(model, "val_loss"))
    np.testing.assert_allclose(*runs, rtol=1e-5)


def test_dropout_acts_in_training_only_and_metrics_are_means_over_examples(fw, full_run):
    """At a learning rate of 0 only dropout changes from one epoch to the next.

    The last batch is short: a mean over batches, and not over examples, would be another number.
    """
    train, val = batches_of(fw, [16, 3]), batches_of(fw, [16, 16, 2])
    model = tiny(fw, lr=0.0, dropout=0.5, hidden=64)
    fw.fit(fw.d2l.Trainer(max_epochs=3), model, Loaders(train, val))
    loss, accuracy = over_all_examples(fw, model, val)
    np.testing.assert_allclose(ys(model, "val_loss"), [loss] * 3, rtol=1e-5)
    np.testing.assert_allclose(ys(model, "val_acc"), [accuracy] * 3, rtol=1e-5)
    epochs = np.reshape(ys(model, "train_loss"), (3, 2))
    assert np.ptp(epochs, axis=0).min() > 1e-3


def test_training_curve_is_a_mean_over_examples(fw, full_run):
    """Without dropout and at a learning rate of 0: one point an epoch from batches of unequal sizes."""
    train = batches_of(fw, [16, 16, 2])
    model = tiny(fw, lr=0.0)
    model.plot_train_per_epoch = 1
    fw.d2l.Trainer(max_epochs=2).fit(model, Loaders(train, None))
    loss, _ = over_all_examples(fw, model, train)
    np.testing.assert_allclose(ys(model, "train_loss"), [loss] * 2, rtol=1e-5)


def test_metrics_of_16_bits_are_averaged_as_those_of_32(fw, full_run):
    """Their sum over an epoch is larger than the largest number of 16 bits."""
    model, value = tiny(fw), fw.tensor(np.array(300, np.float16))
    type(model).validation_step = lambda self, *args: self.plot("half", value, train=False)
    batches = batches_of(fw, [128] * 3)
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, Loaders(batches[:1], batches))
    assert ys(model, "val_half") == [300]


def test_points_that_do_not_fill_their_average_are_drawn(fw, full_run):
    """Three batches and two points an epoch: the last batch waits for another that never comes."""
    model = tiny(fw)
    fw.d2l.Trainer(max_epochs=2).fit(model, Loaders(batches_of(fw, [4, 4, 4]), batches_of(fw, [4])))
    assert len(ys(model, "train_loss")) == 4
    assert len(ys(model, "val_loss")) == len(ys(model, "val_acc")) == 2


def compressing(fw):
    """A model without labels, which learns to give out what it is given, through two numbers in between."""
    if fw.name == "jax":
        nn = fw.d2l.nn

        class Net(fw.d2l.Module):
            lr: float = 0.1

            def setup(self):
                self.net = nn.Sequential([nn.Dense(2), nn.Dense(3)])

            def training_step(self, params, batch, state):
                (X,) = batch
                loss, grads = fw.lib.value_and_grad(lambda p: ((state.apply_fn({"params": p}, X) - X) ** 2).mean())(
                    params
                )
                self.plot("loss", loss, train=True)
                return loss, grads

            def validation_step(self, params, batch, state):
                (X,) = batch
                self.plot("loss", ((state.apply_fn({"params": params}, X) - X) ** 2).mean(), train=False)

        return Net()

    class Net(fw.d2l.Module):
        def __init__(self):
            super().__init__()
            self.lr = 0.1
            self.net = fw.stack(*fw.dense(2, 3))

        def error(self, batch, train):
            (X,) = batch
            error = (self(X) - X) ** 2
            error = fw.lib.reduce_mean(error) if hasattr(fw.lib, "reduce_mean") else error.mean()
            self.plot("loss", error, train=train)
            return error

        def training_step(self, batch):
            return self.error(batch, train=True)

        def validation_step(self, batch):
            self.error(batch, train=False)

    return Net()


def weighing(fw):
    """A model whose step of training takes three parts of a batch, the last of them weights of the examples."""

    class Net(fw.d2l.SoftmaxRegression):
        def training_step(self, batch):
            X, y, weights = batch
            loss = (self.loss(self(X), y, averaged=False) * weights)[0]
            self.plot("loss", loss, train=True)
            return loss

    return Net(num_outputs=10, lr=0.1)


def test_lazy_layers_have_their_shapes_from_the_step_of_training_where_that_calls_the_model_otherwise(
    stateful, full_run
):
    ((X, y),) = batches_of(stateful, [4])
    weights = stateful.tensor(np.ones(4, np.float32))
    model = weighing(stateful)
    stateful.d2l.Trainer(1).fit(model, Loaders([(X, y, weights)], None))
    assert sorted(weight.size for weight in stateful.weights(model)) == [10, 28 * 28 * 10]


@pytest.mark.parametrize("alone", [True, False])
def test_data_of_one_tensor_are_trained_on(fw, full_run, alone):
    """From the helper's loader, and from one that gives its batches as tensors alone, as PyTorch's does."""
    X = fw.tensor(np.random.default_rng(0).random((16, 3), np.float32))

    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            self.batch_size = 4
            return Watched([X[:4], X[4:8]]) if alone else self.get_tensorloader(X, train)

    trainer, model = fw.d2l.Trainer(5), compressing(fw)
    trainer.fit(model, Data())
    losses = [y for _, y in model.board.curves["val_loss"]]
    assert losses[-1] < losses[0]
    assert trainer.progress.train_examples == 5 * (8 if alone else 16)


@pytest.mark.parametrize(("name", "share"), [("LinearRegression", 1), ("LinearRegressionScratch", 0.5)])
def test_loss_of_linear_regression_is_the_mean_squared_error_or_half_of_it(fw, name, share):
    y_hat, y = np.array([[1.0], [2.0], [4.0]], np.float32), np.array([3.0, 2.0, 1.0], np.float32)
    arguments = (2,) if name == "LinearRegressionScratch" else ()
    model = getattr(fw.d2l, name)(*arguments, lr=0.1)
    y_hat, y = fw.tensor(y_hat), fw.tensor(y)
    jax = fw.name == "jax"
    state = SimpleNamespace(apply_fn=lambda _, X: X)  # of a network that gives out what it is given
    loss = model.loss({}, (y_hat,), y, state) if jax else model.loss(y_hat, y)
    assert float(loss) == pytest.approx(share * (4 + 0 + 9) / 3)


def test_blocks_keep_the_size_of_images_unless_asked_for_strides(fw):
    size = (8, 8, 4) if fw.channel_axis == 3 else (4, 8, 8)
    X = fw.tensor(np.zeros((2, *size), np.float32))
    for block in (fw.d2l.Residual(4), fw.d2l.ResNeXtBlock(4, 2, 1)):
        if hasattr(block, "initialize"):  # MXNet's
            block.initialize()
        name = fw.name
        Y = block.init_with_output(fw.key, X)[0] if name == "jax" else block(X)
        assert tuple(Y.shape) == (2, *size)


def test_validation_updates_nothing_and_records_no_gradients(fw, full_run):
    recorded, snapshots = [], []
    model = made(fw, tiny(fw))
    validation_step = model.validation_step

    def watched_step(*args):
        recorded.append(fw.records_gradients())
        validation_step(*args)

    def snapshot():
        snapshots.append(fw.weights(model))

    object.__setattr__(model, "validation_step", watched_step)
    train, val = batches_of(fw, [8]), batches_of(fw, [8, 8])
    loaders = Loaders(Watched(train, before=snapshot), Watched(val, before=snapshot, after=snapshot))
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, loaders)
    start, trained, validated = snapshots[-3:]
    assert step_length(start, trained) > 0
    assert step_length(trained, validated) == 0
    assert not any(recorded)


def test_step_is_that_of_gradient_descent(fw, full_run):
    """The loss falls along a small step by learning rate times squared gradient norm."""
    (batch,) = batches_of(fw, [8])
    model = made(fw, tiny(fw, lr=1e-3))
    before, (loss_before, _) = fw.weights(model), over_all_examples(fw, model, [batch])
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, Loaders([batch], None))
    loss_after, _ = over_all_examples(fw, model, [batch])
    gradient = step_length(before, fw.weights(model)) / 1e-3
    assert loss_before - loss_after == pytest.approx(1e-3 * gradient**2, rel=0.1)


def test_optimizer_is_made_once_for_a_run(fw, full_run):
    """Else what it remembers of earlier steps, such as a momentum, would be lost with each epoch."""
    made_optimizers = []
    model = tiny(fw)
    configure = model.configure_optimizers
    object.__setattr__(
        model, "configure_optimizers", lambda: made_optimizers.append(configure()) or made_optimizers[-1]
    )
    fw.fit(fw.d2l.Trainer(max_epochs=3), model, Loaders(batches_of(fw, [4, 4]), batches_of(fw, [4])))
    assert len(made_optimizers) == 1


def test_gradient_clipping_bounds_the_step(fw, full_run):
    lengths = []
    for clip in (0, 0.01, 1000):
        fw.seed(1)
        model = made(fw, tiny(fw, lr=1.0))
        before = fw.weights(model)
        trainer = fw.d2l.Trainer(max_epochs=1, gradient_clip_val=clip)
        fw.fit(trainer, model, Loaders(batches_of(fw, [8]), None))
        lengths.append(step_length(before, fw.weights(model)))
    free, clipped, not_reached = lengths
    assert free > 0.1
    assert clipped == pytest.approx(0.01, rel=1e-3)
    assert not_reached == pytest.approx(free, rel=1e-4)


def test_fit_goes_on_from_the_weights_of_the_last_fit(stateful, full_run):
    fw = stateful
    loaders = Loaders(batches_of(fw, [32] * 4), batches_of(fw, [32]))
    model = tiny(fw)
    dataset = loaders
    trainer = fw.d2l.Trainer(max_epochs=2)
    trainer.fit(model, dataset)
    first = ys(model, "val_loss")
    trainer.fit(model, dataset)
    second = ys(model, "val_loss")
    assert len(first) == len(second) == 2
    assert second[0] < first[0]
    fw.d2l.Trainer(max_epochs=1).fit(model, dataset)
    assert len(ys(model, "val_loss")) == 1


def test_trainer_fits_a_second_model(stateful, full_run):
    fw = stateful
    trainer = fw.d2l.Trainer(max_epochs=1)
    loaders = Loaders(batches_of(fw, [8]), batches_of(fw, [8]))
    models = [made(fw, tiny(fw)) for _ in range(2)]
    trainer.fit(models[0], loaders)
    kept = fw.weights(models[0])
    before = fw.weights(models[1])
    trainer.fit(models[1], loaders)
    assert step_length(kept, fw.weights(models[0])) == 0
    assert step_length(before, fw.weights(models[1])) > 0


def test_model_and_trainer_of_an_earlier_cell_are_given_free(fw, full_run):
    """With the data on the device; else a cell that is run again would fill it."""

    def alive_after_fit():
        model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=1)
        fw.fit(trainer, model, Loaders(batches_of(fw, [4]), batches_of(fw, [4])))
        return weakref.ref(model), weakref.ref(trainer)

    found = alive_after_fit()
    gc.collect()
    assert [ref() for ref in found] == [None, None]


@pytest.mark.fault("fit is called for no epochs: max_epochs=0")
def test_fit_for_no_epochs_says_so_and_does_nothing(fw, full_run, capsys, sees):
    model = made(fw, tiny(fw))
    before = fw.weights(model)
    fw.fit(fw.d2l.Trainer(max_epochs=0), model, Loaders(batches_of(fw, [4]), None))
    # JAX draws them anew; where it has a GPU, once there and once on the CPU, with other roundings.
    drawn_anew = 1e-6 if fw.name == "jax" and fw.d2l.num_gpus() else 0
    assert step_length(before, fw.weights(model)) <= drawn_anew
    assert model.board.curves == {}
    said = capsys.readouterr().out
    assert said == "Nothing to do: max_epochs is 0, and the model stays as it is\n"
    sees(said)


@pytest.mark.fault("Ctrl-C in the middle of fit")
@pytest.mark.parametrize("phase", ["training", "validation"])
def test_interrupted_fit_leaves_weights_and_curves_and_can_be_called_again(fw, full_run, sees, phase):
    train, val = batches_of(fw, [4] * 4), batches_of(fw, [4])
    model = made(fw, tiny(fw))
    weights = [fw.weights(model)]

    class Interrupted(Watched):
        def __iter__(self):
            yield from self.batches[:-1]
            weights.append(fw.weights(model))
            if len(weights) == 3:
                signal.raise_signal(signal.SIGINT)
            yield self.batches[-1]

    trainer = fw.d2l.Trainer(max_epochs=3)
    loaders = Loaders(Interrupted(train), val) if phase == "training" else Loaders(train, Interrupted(val))
    with pytest.raises(KeyboardInterrupt):
        fw.fit(trainer, model, loaders)
    start, first, second = weights
    assert step_length(second, fw.weights(model)) == 0
    assert step_length(start, second) > step_length(start, first) > 0
    # Two points of each epoch, or in the second, one of two batches and the third batch by itself.
    assert len(ys(model, "train_loss")) == 4
    assert len(ys(model, "val_loss")) == 1
    trainer.fit(model, Loaders(Watched(train, before=lambda: weights.append(fw.weights(model))), val))
    if fw.name != "jax":  # where each fit draws its weights anew
        assert step_length(second, weights[3]) == 0
    assert len(ys(model, "train_loss")) == 6
    assert len(ys(model, "val_loss")) == 3
    sees("KeyboardInterrupt: weights and curves are those so far, and fit can be called again")


FRAMEWORKS_OWN = "(the framework's own error)"


def notes(error):
    """What the helper has added to a framework's error, with shapes and types in the words of all frameworks."""
    added = " ".join(note for note in getattr(error, "__notes__", []) if "step" in note or "batch_size" in note)
    added = re.sub(r"torch\.|<dtype: '|'>", "", added)
    return re.sub(r"\(4, \d+, \d+, \d+\)", "(4, …)", re.sub(r"\bint(?:32|64)", "int…", added))


@pytest.mark.fault("The training loss becomes nan")
def test_loss_that_is_lost_stops_the_training_and_names_its_first_step(fw, full_run, sees):
    """The loss is read at points of the curve only, here after four steps; the step named is the first bad one."""
    batches = batches_of(fw, [4] * 8)
    batches[5] = spoilt(fw, batches[5])
    model = tiny(fw)
    with pytest.raises(FloatingPointError, match=r"since step 6 of epoch 1: try a lower .* 0\.1 now") as caught:
        fw.fit(fw.d2l.Trainer(max_epochs=2), model, Loaders(batches, batches[:1]))
    assert len(ys(model, "train_loss")) == 2
    assert "val_loss" not in model.board.curves
    sees(f"FloatingPointError: {caught.value}")


def test_loss_lost_in_the_last_step_is_noticed(fw, full_run):
    batches = batches_of(fw, [4] * 3)
    batches[2] = spoilt(fw, batches[2])
    with pytest.raises(FloatingPointError, match="since step 3 of epoch 1"):
        fw.fit(fw.d2l.Trainer(max_epochs=1), tiny(fw), Loaders(batches, None))


@pytest.mark.fault("A label is no class number")
@pytest.mark.parametrize("phase", ["training", "validation"])
@pytest.mark.parametrize("label", [10, -1, -100])
def test_label_that_is_no_class_is_an_error(fw, full_run, sees, label, phase):
    (X, y), *rest = batches_of(fw, [4] * 3)
    wrong = [(X, fw.tensor(np.array([0, 1, 2, label], fw.label_type))), *rest]
    loaders = Loaders(wrong, None) if phase == "training" else Loaders([(X, y)], wrong)
    with pytest.raises(Exception, match=r"(?i)label|target") as caught:  # of a class that is the framework's own
        fw.fit(fw.d2l.Trainer(max_epochs=1), tiny(fw), loaders)
    added = notes(caught.value)
    places = rf"In {phase} step 1 of the run|{phase} loss .*(since step 1 of epoch 1|of epoch 1 is)"
    assert re.search(places, f"{caught.value} {added}")
    # Where a framework does not look at the labels, the loss is lost by them.
    sees(f"{FRAMEWORKS_OWN} {added}" if added else f"{type(caught.value).__name__}: {caught.value}")


@pytest.mark.fault("A batch has the wrong shape")
@pytest.mark.parametrize("phase", ["training", "validation"])
def test_batch_of_the_wrong_shape_is_named_with_its_step(fw, full_run, sees, phase):
    good, bad = batches_of(fw, [4, 4])
    bad = (fw.tensor(np.zeros((4, 7), np.float32)), bad[1])
    loaders = Loaders([good, bad], [good]) if phase == "training" else Loaders([good], [good, bad])
    model = tiny(fw)
    with pytest.raises(Exception) as caught:  # of a class that is the framework's own
        fw.fit(fw.d2l.Trainer(max_epochs=1), model, loaders)
    said = f"In {phase} step 2 of the run, with a batch of (4, 7) float32, (4,) int…."
    assert notes(caught.value) == said
    assert len(ys(model, "train_loss")) == 1
    sees(f"{FRAMEWORKS_OWN} {said}")


def test_first_batch_that_is_too_small_for_the_layers_is_named(fw, full_run):
    with pytest.raises(Exception) as caught:  # of a class that is the framework's own
        fw.fit(fw.d2l.Trainer(max_epochs=1), fw.d2l.AlexNet(), Loaders(batches_of(fw, [4]), None))
    assert notes(caught.value) == "In training step 1 of the run, with a batch of (4, …) float32, (4,) int…."


# The frameworks that refuse a part of a batch in another type; the others take the same numbers from it.
REFUSE = {"images": ("torch", "mxnet"), "labels": ("torch", "jax")}


@pytest.mark.fault("A batch has the wrong dtype")
@pytest.mark.parametrize("part", REFUSE)
def test_batch_of_the_wrong_dtype_is_named_with_its_step_or_taken_as_it_is(fw, full_run, sees, part):
    ((X, y),) = batches_of(fw, [4])
    other = {
        "images": (fw.tensor(numbers(X).astype(np.float64)), y),
        "labels": (X, fw.tensor(numbers(y).astype(np.float32))),
    }[part]

    def losses(batch):
        fw.seed(1)
        model = tiny(fw)
        fw.fit(fw.d2l.Trainer(max_epochs=2), model, Loaders([batch], None))
        return ys(model, "train_loss")

    if fw.name not in REFUSE[part]:
        np.testing.assert_allclose(losses(other), losses((X, y)), rtol=1e-5)
        return
    with pytest.raises(Exception) as caught:  # of a class that is the framework's own
        losses(other)
    types = "(4, …) float64, (4,) int…" if part == "images" else "(4, …) float32, (4,) float32"
    said = f"In training step 1 of the run, with a batch of {types}."
    assert notes(caught.value) == said
    sees(f"{FRAMEWORKS_OWN} {said}")


@pytest.mark.fault("The memory does not hold a step")
def test_too_little_memory_says_which_batch_size_to_try(fw, full_run, sees):
    trainer = fw.d2l.Trainer(max_epochs=1)
    trainer.prepare_batch = lambda batch: fw.allocate()
    with pytest.raises(Exception) as caught:
        fw.fit(trainer, tiny(fw), Loaders(batches_of(fw, [4]), None))
    assert "try a batch_size of 2 instead of 4" in notes(caught.value)
    sees(f"{FRAMEWORKS_OWN} {notes(caught.value)}")


@pytest.mark.fault("An index is out of range on a GPU")
def test_gpu_lost_by_an_index_is_said(fw, full_run, monkeypatch, sees):
    def fails(batch):
        raise RuntimeError("CUDA error: device-side assert triggered")

    trainer = fw.d2l.Trainer(max_epochs=1)
    monkeypatch.setattr(trainer, "prepare_batch", fails)
    with pytest.raises(RuntimeError) as caught:
        fw.fit(trainer, tiny(fw), Loaders(batches_of(fw, [4]), None))
    assert "restart the process (in a notebook, the kernel)" in notes(caught.value)
    sees(f"{FRAMEWORKS_OWN} {notes(caught.value)}")


@pytest.mark.fault("A data set is empty")
@pytest.mark.parametrize(("train", "val", "empty"), [([], [4], "training"), ([4], [], "validation")])
def test_empty_data_set_is_named(fw, full_run, sees, train, val, empty):
    model = tiny(fw)
    with pytest.raises(ValueError, match=f"the {empty} set is empty") as caught:
        fw.fit(fw.d2l.Trainer(max_epochs=1), model, Loaders(batches_of(fw, train), batches_of(fw, val)))
    sees(f"ValueError: {caught.value}")


@pytest.mark.parametrize("validated", [True, False])
def test_model_predicts_alike_after_fit(fw, full_run, validated):
    """Dropout is off once a run has ended, until the next one."""
    batches = batches_of(fw, [64])
    model = tiny(fw, dropout=0.5)
    fw.d2l.Trainer(max_epochs=1).fit(model, Loaders(batches, batches if validated else None))
    X, _ = batches[0]
    assert not getattr(model, "training", False)
    np.testing.assert_array_equal(numbers(fw.predict(model, X)), numbers(fw.predict(model, X)))


@pytest.mark.parametrize("fw", ["torch"], indirect=True)
def test_lazy_layers_get_their_shapes_and_then_the_weights_that_are_asked_for(fw):
    def halves(part):
        if isinstance(part, fw.lib.nn.Linear):
            fw.lib.nn.init.constant_(part.weight, 0.5)

    X, _ = batches_of(fw, [4])[0]
    plain, initialized = fw.d2l.LeNet(), fw.d2l.LeNet()
    plain.apply_init([X])
    initialized.apply_init([X], halves)
    assert plain.net[-1].weight.shape == initialized.net[-1].weight.shape == (10, 84)
    assert (initialized.net[-1].weight == 0.5).all() and not (plain.net[-1].weight == 0.5).any()


@pytest.mark.parametrize(("profile", "beginning"), [("full", ""), ("smoke", "smoke run: ")])
def test_last_line_states_the_results(fw, monkeypatch, capsys, profile, beginning):
    monkeypatch.setenv("D2L_PROFILE", profile)
    model = tiny(fw)
    trainer = fw.d2l.Trainer(max_epochs=3)
    trainer.fit(model, Loaders(batches_of(fw, [8, 4]), batches_of(fw, [8])))
    line = capsys.readouterr().out.splitlines()[-1]
    last = {label: points[-1][1] for label, points in model.board.curves.items()}
    metrics = ", ".join(f"{label} {last[label]:.3f}" for label in ("train_loss", "val_loss", "val_acc"))
    epochs = 2 if profile == "smoke" else 3
    run = rf"after {epochs} of 3 epochs, each of 12 examples; [\d,]+ examples/s on cpu(\(0\))?"
    precision = "bfloat16" if profile == "full" and trainer.backend.supports_bfloat16 else "float32"
    assert re.fullmatch(rf"{beginning}{re.escape(metrics)} {run} in {precision}", line), line


def test_more_gpus_than_there_are_is_said_and_trains_on_the_cpu(fw, capsys):
    skip_with_gpu(fw.d2l)
    trainer = fw.d2l.Trainer(max_epochs=1, num_gpus=7)
    said = capsys.readouterr().out
    assert "num_gpus=7" in said
    assert "no GPU" in said
    assert "cpu" in said
    model = tiny(fw)
    trainer.fit(model, Loaders(batches_of(fw, [4]), batches_of(fw, [4])))
    assert len(ys(model, "val_loss")) == 1


def test_no_gpu_asked_for_is_no_matter(fw, capsys):
    fw.d2l.Trainer(max_epochs=1)
    assert capsys.readouterr().out == ""


def test_devices_of_a_machine_without_gpu(fw):
    skip_with_gpu(fw.d2l)
    described = [str(device) for device in (fw.d2l.cpu(), fw.d2l.try_gpu(), fw.d2l.try_gpu(3))]
    if fw.name == "tensorflow":
        for device in (fw.d2l.cpu(), fw.d2l.try_gpu(3), *fw.d2l.try_all_gpus()):
            with device:
                assert "CPU:0" in fw.lib.constant(1).device
    else:
        assert set(described) == {str(fw.d2l.cpu())}
        assert [str(device) for device in fw.d2l.try_all_gpus()] == [str(fw.d2l.cpu())]


# Classifier


LOGITS = np.array([[2.0, 1.0, 0.5], [0.1, 0.2, 3.0], [1.0, 5.0, -2.0], [-60.0, 0.0, 60.0]], np.float32)
LABELS = np.array([0, 1, 1, 0])


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_loss_and_accuracy(fw, shape):
    """Against NumPy, averaged and per example, also for a batch of sequences."""
    model = tiny(fw)
    Y_hat = fw.tensor(LOGITS.reshape(*shape, 3))
    Y = fw.tensor(LABELS.reshape(shape).astype(fw.label_type))
    losses, correct = losses_of(LOGITS.astype(float), LABELS), np.array([1, 0, 1, 0])
    np.testing.assert_allclose(numbers(fw.loss(model, Y_hat, Y, averaged=False)), losses, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(float(fw.loss(model, Y_hat, Y)), losses.mean(), rtol=1e-5)
    np.testing.assert_array_equal(numbers(fw.accuracy(model, Y_hat, Y, averaged=False)), correct)
    assert float(fw.accuracy(model, Y_hat, Y)) == 0.5


@pytest.mark.parametrize("top", [1, 2, 5, 10, 11])
def test_accuracy_among_the_largest_logits(fw, top):
    """Against NumPy; of as many as there are classes, or of more, the right one is always among them."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 10)).astype(np.float32), rng.integers(0, 10, 40)
    correct = (np.argsort(-logits)[:, :top] == labels[:, None]).any(1)
    Y_hat, Y = fw.tensor(logits), fw.tensor(labels.astype(fw.label_type))
    np.testing.assert_array_equal(numbers(fw.accuracy(tiny(fw), Y_hat, Y, averaged=False, top=top)), correct)
    assert float(fw.accuracy(tiny(fw), Y_hat, Y, top=top)) == pytest.approx(correct.mean())


def test_validation_plots_the_accuracies_asked_for(fw, full_run):
    loaders = Loaders(batches_of(fw, [8]), batches_of(fw, [16, 3]))
    model = made(fw, tiny(fw, lr=0.0))
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, loaders)
    assert list(model.board.curves) == ["train_loss", "val_loss", "val_acc"]
    model.top_k = 3
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, loaders)
    assert list(model.board.curves) == ["train_loss", "val_loss", "val_acc", "val_acc3"]
    model.top_k = (3, 5)
    fw.fit(fw.d2l.Trainer(max_epochs=1), model, loaders)
    assert list(model.board.curves) == ["train_loss", "val_loss", "val_acc", "val_acc3", "val_acc5"]
    logits, labels = (
        np.concatenate([numbers(part) for part in parts])
        for parts in zip(*((fw.predict(model, X), y) for X, y in loaders.val_dataloader()), strict=True)
    )
    for k in (3, 5):
        correct = (np.argsort(-logits)[:, :k] == labels[:, None]).any(1)
        assert ys(model, f"val_acc{k}") == pytest.approx([correct.mean()])


def test_layer_summary_prints_each_layer(fw, capsys):
    tiny(fw, dropout=0.5, hidden=7).layer_summary((2, *fw.image_shape))
    lines = capsys.readouterr().out.splitlines()
    shapes = [(2, PIXELS)] + [(2, 7)] * (len(fw.layer_names) - 2) + [(2, 10)]
    found = [re.fullmatch(r"(\w+) +output shape: (\(.*\))", line).groups() for line in lines]
    assert found == [(name, str(shape)) for name, shape in zip(fw.layer_names, shapes, strict=True)]


def test_layer_summary_leaves_the_model_as_it_was(stateful, full_run):
    fw = stateful
    loaders = Loaders(batches_of(fw, [32] * 4), batches_of(fw, [32]))
    model = tiny(fw, dropout=0.5)
    model.layer_summary((1, *fw.image_shape))
    before = fw.weights(model)
    model.layer_summary((3, *fw.image_shape))
    assert step_length(before, fw.weights(model)) == 0
    fw.d2l.Trainer(max_epochs=2).fit(model, loaders)
    model.layer_summary((1, *fw.image_shape))


def convolution(positions, window, inputs, outputs):
    """Parameters and multiply-adds of a convolution with a square window, by hand."""
    return (window**2 * inputs + 1) * outputs, positions**2 * window**2 * inputs * outputs


def dense(inputs, outputs):
    """Parameters and multiply-adds of a dense layer, by hand."""
    return (inputs + 1) * outputs, inputs * outputs


POOL = (0, 0)
# For the image and for each layer: the numbers it gives out, and what it costs.
COSTS = {
    "LeNet": [
        (28**2, None),
        (6 * 28**2, convolution(28, 5, 1, 6)),
        (6 * 14**2, POOL),
        (16 * 10**2, convolution(10, 5, 6, 16)),
        (16 * 5**2, POOL),
        (120, dense(16 * 5**2, 120)),
        (84, dense(120, 84)),
        (10, dense(84, 10)),
    ],
    "AlexNet": [
        (224**2, None),
        (96 * 54**2, convolution(54, 11, 1, 96)),
        (96 * 26**2, POOL),
        (256 * 26**2, convolution(26, 5, 96, 256)),
        (256 * 12**2, POOL),
        (384 * 12**2, convolution(12, 3, 256, 384)),
        (384 * 12**2, convolution(12, 3, 384, 384)),
        (256 * 12**2, convolution(12, 3, 384, 256)),
        (256 * 5**2, POOL),
        (4096, dense(256 * 5**2, 4096)),
        (4096, dense(4096, 4096)),
        (10, dense(4096, 10)),
    ],
}


@pytest.mark.parametrize("network", COSTS)
def test_layer_table_has_the_same_counts_in_every_framework(fw, network):
    (pixels, _), *layers = COSTS[network]
    outputs = [numbers for numbers, _ in layers]
    table = getattr(fw.d2l, network)().layer_table(shape_of_images(fw, 1, math.isqrt(pixels)))
    assert [(layer.parameters, layer.multiply_adds) for layer in table] == [cost for _, cost in layers]
    assert [layer.outputs for layer in table] == outputs
    assert [layer.inputs for layer in table] == [pixels, *outputs[:-1]]
    assert [math.prod(layer.output_shape) for layer in table] == outputs


def test_layer_table_counts_all_examples_of_a_batch(fw):
    one, three = (fw.d2l.LeNet().layer_table(shape_of_images(fw, 1, 28, n)).total for n in (1, 3))
    assert (three.outputs, three.multiply_adds) == (3 * one.outputs, 3 * one.multiply_adds)
    assert three.parameters == one.parameters


def block_costs(n):
    """Multiply-adds for n images, and parameters, of ``ResNeXtBlock(4, 2, 1, True, 2)``, by hand."""
    positions, width, of_group = 14**2, 4, 2
    grouped = positions * 3**2 * of_group * width
    norms = 4 * 2 * width
    return (
        n * (28**2 * width + grouped + positions * width * width + positions * width),
        2 * width + (3**2 * of_group + 1) * width + (width + 1) * width + 2 * width + norms,
    )


def test_layer_table_looks_into_blocks_also_after_training(stateful, full_run):
    fw = stateful
    shape = shape_of_images(fw, 1, 28, 8)

    class Net(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters()
            self.lr, self.net = 0.01, fw.stack(fw.d2l.ResNeXtBlock(4, 2, 1, True, 2), fw.net(4, 0.5))

    model = Net()
    before = model.layer_table(shape)
    batch = (fw.tensor(np.zeros(shape, np.float32)), fw.tensor(np.zeros(8, fw.label_type)))
    fw.d2l.Trainer(max_epochs=1).fit(model, Loaders([batch], [batch]))
    assert model.layer_table(shape) == before
    assert (before[0].multiply_adds, before[0].parameters) == block_costs(8)


# What only one framework has


def test_layer_table_looks_into_blocks_in_jax_too():
    fw = adapter("jax")

    class Net(fw.d2l.Classifier):
        training: bool = True

        def setup(self):
            block = fw.d2l.ResNeXtBlock(4, 2, 1, True, (2, 2), training=self.training)
            self.net = fw.d2l.nn.Sequential([block, fw.d2l.nn.Dense(10)])

    block, _ = Net().layer_table((8, 28, 28, 1))
    assert (block.multiply_adds, block.parameters) == block_costs(8)


def test_jax_keeps_the_averages_of_batch_normalization(full_run):
    fw = adapter("jax")
    nn = fw.d2l.nn

    class Net(fw.d2l.Classifier):
        lr: float = 0.1
        training: bool = True

        def setup(self):
            norm = nn.BatchNorm(use_running_average=not self.training, momentum=0.5)
            self.net = nn.Sequential([lambda X: X.reshape(X.shape[0], -1), norm, nn.Dense(10)])

    (_, y), *_ = batches_of(fw, [8])
    ones = fw.tensor(np.ones((8, *fw.image_shape), np.float32)), y
    trainer = fw.d2l.Trainer(max_epochs=1)
    trainer.fit(Net(), Loaders([ones, ones], None))
    mean, variance = map(numbers, fw.lib.tree.leaves(trainer.state.batch_stats))
    # They begin as 0 and 1, and come half of the way to those of the batch, 1 and 0, in each of two steps.
    np.testing.assert_allclose(mean, 0.75)
    np.testing.assert_allclose(variance, 0.25)


def test_jax_compiles_each_step_once(full_run):
    fw = adapter("jax")
    trainer = fw.d2l.Trainer(max_epochs=2)
    fw.fit(trainer, tiny(fw), Loaders(batches_of(fw, [32] * 4), batches_of(fw, [32])))
    compiled = {name: step for name, (*_, step) in trainer.backend._steps._compiled.items()}
    assert {name: step._cache_size() for name, step in compiled.items()} == {
        "_train": 1,
        "_evaluate": 1,
    }


def test_layer_table_counts_products_with_a_transposed_matrix_in_tensorflow():
    fw = adapter("tensorflow")

    class Columns(fw.lib.keras.layers.Layer):
        def build(self, shape):
            self.weight = self.add_weight(shape=(5, 3))

        def call(self, X):
            return fw.lib.transpose(fw.lib.matmul(self.weight, X, transpose_a=True, transpose_b=True))

    class Net(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.net = fw.stack(Columns())

    assert Net().layer_table((2, 5)).total.multiply_adds == 2 * 5 * 3


def test_layer_summary_keeps_pytorchs_training_mode():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    model = tiny(adapter("torch"), dropout=0.5)
    for training in (True, False):
        model.train(training)
        model.layer_summary((1, 1, 28, 28))
        assert [module.training for module in model.modules()] == [training] * len(list(model.modules()))
    assert torch.is_grad_enabled()


def test_init_cnn_draws_from_glorots_bounds():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    d2l, nn = adapter("torch").d2l, torch.nn
    torch.manual_seed(1)
    net = nn.Sequential(nn.LazyConv2d(8, 5), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(200))
    net.apply(d2l.init_cnn)
    bounds = {0: (1 * 25 + 8 * 25), 1: (8 * 9 + 4 * 9), 4: (4 * 22 * 22 + 200)}
    X = torch.zeros(2, 1, 28, 28)
    net(X)
    weights = {i: net[i].weight.detach().clone() for i in bounds}
    for i, fans in bounds.items():
        bound = (6 / fans) ** 0.5
        assert weights[i].abs().max() <= bound
        assert weights[i].abs().max() > 0.9 * bound
        assert weights[i].abs().mean().item() == pytest.approx(bound / 2, rel=0.15)
    net(X)
    assert all((net[i].weight == weights[i]).all() for i in bounds)
    np.testing.assert_array_equal(net[2].weight.detach(), np.ones(4))


def test_weights_loaded_into_a_model_that_has_not_run_yet_stay():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    trained, fresh, X = adapter("torch").d2l.LeNet(), adapter("torch").d2l.LeNet(), torch.rand(2, 1, 28, 28)
    logits = trained(X)
    fresh.load_state_dict(trained.state_dict())
    assert (fresh(X) == logits).all()


def test_layers_without_weights_to_load_are_initialized_as_ever():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    trained, fresh, X = adapter("torch").d2l.LeNet(), adapter("torch").d2l.LeNet(), torch.rand(2, 1, 28, 28)
    trained(X)
    but_last = {key: value for key, value in trained.state_dict().items() if not key.startswith("net.11.")}
    fresh.load_state_dict(but_last, strict=False)
    fresh(X)
    bound = (6 / (84 + 10)) ** 0.5
    assert 0.9 * bound < fresh.net[11].weight.abs().max() <= bound
    assert (fresh.net[0].weight == trained.net[0].weight).all()


def test_copy_of_a_net_with_init_cnn_keeps_its_weights():
    """A copy made before the first input is initialized once too, not at each pass."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    net = torch.nn.Sequential(torch.nn.LazyLinear(5))
    net.apply(adapter("torch").d2l.init_cnn)
    net = copy.deepcopy(net)
    X = torch.ones(1, 3)
    first = net(X)
    assert (net(X) == first).all()


def test_keras_keeps_working_beside_our_loss(tmp_path):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    fw = adapter("tensorflow")
    model = made(fw, tiny(fw))
    assert model.loss.__func__ is fw.d2l.Classifier.loss
    assert model.metrics == []
    assert len(model.trainable_variables) == 4
    model.summary(print_fn=lambda *args, **kwargs: None)
    model.save_weights(tmp_path / "model.weights.h5")
    other = made(fw, tiny(fw))
    other.load_weights(tmp_path / "model.weights.h5")
    assert step_length(fw.weights(model), fw.weights(other)) == 0
    assert float(model.loss(fw.tensor(LOGITS), fw.tensor(LABELS.astype("int32")))) > 0


def test_tensorflow_dropout_can_be_asked_for_in_a_call():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    fw = adapter("tensorflow")
    model = made(fw, tiny(fw, dropout=0.5, hidden=64))
    X = fw.lib.ones((4, 28, 28, 1))
    assert (numbers(model(X, training=True)) != numbers(model(X, training=True))).any()
    np.testing.assert_array_equal(numbers(model(X, training=False)), numbers(model(X)))


def test_jax_trainer_starts_each_fit_anew_and_keeps_its_state(full_run):
    fw = adapter("jax")
    model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=1)
    loaders = Loaders(batches_of(fw, [8]), batches_of(fw, [8]))
    states = []
    for _ in range(2):
        fw.fit(trainer, model, loaders)
        states.append(fw.weights(model))
    assert step_length(*states) == 0
    trainer.fit(model, loaders)
    assert step_length(states[1], fw.weights(model)) > 0


def test_jax_applies_the_model_as_it_is_set(full_run):
    """A loop written by hand sets whether the model trains, also in the state that the trainer has made."""
    fw = adapter("jax")
    model, trainer = tiny(fw, dropout=0.5), fw.d2l.Trainer(max_epochs=1)
    fw.fit(trainer, model, Loaders(batches_of(fw, [8]), None))
    X = batches_of(fw, [8])[0][0]

    def outputs(training):
        model.training = training
        rngs = [{"dropout": fw.lib.random.PRNGKey(number)} for number in range(2)]
        return [numbers(trainer.state.apply_fn({"params": trainer.state.params}, X, rngs=rng)) for rng in rngs]

    assert step_length(*map(list, outputs(training=True))) > 0
    assert step_length(*map(list, outputs(training=False))) == 0


def test_jax_keeps_its_parameters_when_interrupted_in_a_step(full_run, monkeypatch):
    """Ctrl-C in a compiled step, which gives away the memory of the parameters it is given."""
    fw = adapter("jax")
    model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=1)
    compiled = CompiledSteps.get

    def interrupted(*arguments):
        run = compiled(*arguments)

        def run_and_interrupt(*arguments):
            results = run(*arguments)
            signal.raise_signal(signal.SIGINT)
            return results

        return run_and_interrupt

    monkeypatch.setattr(CompiledSteps, "get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fw.fit(trainer, model, Loaders(batches_of(fw, [8]), None))
    assert all(np.isfinite(leaf).all() for leaf in fw.weights(model))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_a_step_that_cannot_be_compiled_runs_as_it_is(name, full_run, capsys):
    """A step that reads a number in the middle, as one does to look for an error."""
    fw = adapter(name)
    model = tiny(fw)
    training_step, losses = model.training_step, []

    def reading_step(*args):
        value = training_step(*args)
        losses.append(np.asarray(value if name == "tensorflow" else value[0][0]).item())
        return value

    object.__setattr__(model, "training_step", reading_step)
    fw.fit(fw.d2l.Trainer(max_epochs=2), model, Loaders(batches_of(fw, [8, 8]), None))
    assert "cannot be compiled runs as it is" in capsys.readouterr().out
    assert len(losses) == 4
    assert len(ys(model, "train_loss")) == 4


def test_fit_may_be_written_anew_over_the_trainers_parts(fw, full_run):
    class Plain(fw.d2l.Trainer):
        def fit(self, model, data):
            self.prepare_data(data)
            self.prepare_model(model)
            self.optim = model.configure_optimizers()
            if fw.name == "jax":
                self.backend.key, self.random_states = fw.key, RandomStates(self.backend)
                initialize(self)
                self.backend.configure(model)
            self.epoch = self.train_batch_idx = self.val_batch_idx = 0
            for self.epoch in range(self.max_epochs):  # noqa: B020
                self.fit_epoch()

    trainer = Plain(max_epochs=2)
    for model in (made(fw, tiny(fw)), made(fw, tiny(fw))):  # the steps compiled for the first are none for the second
        before = fw.weights(model)
        trainer.fit(model, Loaders(batches_of(fw, [8, 8]), batches_of(fw, [8])))
        assert len(ys(model, "val_loss")) == 2
        assert step_length(before, fw.weights(model)) > 0


def test_what_has_changed_since_the_last_fit_holds_in_the_next(fw, full_run):
    """Also where the optimizer is the same, with what it has gathered; a compiled step is made anew."""
    model, loaders = tiny(fw, lr=1.0), Loaders(batches_of(fw, [8]), None)
    made(fw, model)
    optimizer = model.configure_optimizers()
    object.__setattr__(model, "configure_optimizers", lambda: optimizer)
    trainer = fw.d2l.Trainer(max_epochs=1)
    start = fw.weights(model)
    fw.fit(trainer, model, loaders)
    assert step_length(start, fw.weights(model)) > 0.1
    if fw.name != "jax":  # where each fit starts from the parameters of its key
        start = fw.weights(model)
    trainer.gradient_clip_val = 0.001
    fw.fit(trainer, model, loaders)
    assert step_length(start, fw.weights(model)) == pytest.approx(0.001, rel=0.01)


def test_numbers_of_an_optimizer_may_change_during_a_run(fw, full_run):
    """As in one that is written by hand: a compiled step that has the old ones is made anew."""
    data = fw.d2l.SyntheticRegressionData(fw.tensor(np.array([2, -3.4], np.float32)), 4.2, batch_size=500)
    weights = []

    class Decaying(fw.d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            self.optim.lr = 0.0
            jax = fw.name == "jax"
            weights.append(numbers(self.state.params["w"] if jax else self.model.w).copy())

    Decaying(max_epochs=3).fit(fw.d2l.LinearRegressionScratch(2, lr=0.05), data)
    assert (weights[0] == weights[1]).all() and (weights[1] == weights[2]).all()
    assert (weights[0] != 0).all()


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # as Keras says of it
def test_a_layer_that_the_loss_does_not_reach_stays_as_it_is(stateful, full_run):
    fw = stateful

    class Net(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net, self.spare = 0.1, fw.net(4, 0.0), fw.net(4, 0.0)

    model, batches = Net(), batches_of(fw, [8, 8])
    for part in (model.net, model.spare):
        part(batches[0][0])
    before = fw.weights(model.net), fw.weights(model.spare)
    fw.d2l.Trainer(max_epochs=1).fit(model, Loaders(batches, None))
    assert step_length(before[0], fw.weights(model.net)) > 0
    assert step_length(before[1], fw.weights(model.spare)) == 0


def test_pytorch_models_may_be_copied_and_saved_after_fit_and_the_copies_trained(full_run):
    fw = adapter("torch")
    kept = []

    class Kept(fw.d2l.SoftmaxRegression):
        def validation_step(self, batch):
            kept.append(copy.deepcopy(self))

    model = Kept(num_outputs=10, lr=0.1)
    batches = batches_of(fw, [8])
    fw.d2l.Trainer(max_epochs=1, precision="bfloat16").fit(model, Loaders(batches, batches))
    assert kept[0](batches[0][0]).equal(model(batches[0][0]))
    model = fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
    fw.d2l.Trainer(max_epochs=1).fit(model, Loaders(batches, None))
    fw.lib.save(model, io.BytesIO())
    copied = copy.deepcopy(model)
    assert step_length(fw.weights(model), fw.weights(copied)) == 0
    fw.d2l.Trainer(max_epochs=1).fit(copied, Loaders(batches, None))
    assert step_length(fw.weights(model), fw.weights(copied)) > 0


def test_pytorchs_simplest_optimizer_takes_parameters_as_others_do(full_run):
    """They can be gone through once, and the loss may not reach some of them."""
    fw = adapter("torch")
    model = tiny(fw)
    model.spare = fw.lib.nn.Linear(2, 2)
    type(model).configure_optimizers = lambda self: fw.d2l.SGD(self.parameters(), 0.1)
    before = fw.weights(model)
    fw.d2l.Trainer(max_epochs=1).fit(model, Loaders(batches_of(fw, [8]), None))
    moved = [np.abs(weight - start).max() > 0 for weight, start in zip(fw.weights(model), before, strict=True)]
    assert moved == [True] * 4 + [False] * 2


def test_arrays_that_no_optimizer_of_mxnet_would_train_are_named(full_run):
    fw = adapter("mxnet")
    model = tiny(fw)
    model.constant, model.scale = fw.lib.np.ones(10), fw.lib.np.ones(10)
    trainer, loaders = fw.d2l.Trainer(max_epochs=1), Loaders(batches_of(fw, [4]), None)
    trainer.fit(model, loaders)
    model.scale.attach_grad()
    with pytest.raises(ValueError, match=r"Tiny has arrays with gradients \(scale\).* a gluon\.Parameter"):
        trainer.fit(model, loaders)


def test_mxnets_labels_are_whole_numbers(full_run):
    fw = adapter("mxnet")
    X = fw.tensor(np.zeros((2, *fw.image_shape), np.float32))
    batch = X, fw.tensor(np.array([0.5, 1], np.float32))
    with pytest.raises(ValueError, match=r"labels from 0\.5 to 1: these are to be whole numbers, 0 to 9"):
        fw.d2l.Trainer(max_epochs=1).fit(tiny(fw), Loaders([batch], None))


def test_loss_of_each_example_is_named(stateful, full_run):
    fw = stateful

    class Net(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net = 0.1, fw.net(4, 0.0)

        def loss(self, Y_hat, Y):
            return super().loss(Y_hat, Y, averaged=False)

    with pytest.raises(ValueError, match=r"loss has the shape \(8,\), and is to be one number: take its mean"):
        fw.d2l.Trainer(max_epochs=1).fit(Net(), Loaders(batches_of(fw, [8]), None))


def test_tensorflow_trains_and_saves_variables_of_a_part_of_a_model(full_run, tmp_path):
    fw = adapter("tensorflow")
    tf = fw.lib

    class Scale(fw.d2l.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(2.0)
            self.fixed = tf.Variable(3.0, trainable=False)

        def forward(self, X):
            return self.w * X

    class Net(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.part = 0.1, Scale()
            self.net = tf.keras.Sequential([tf.keras.layers.Flatten(), Scale(), self.part, tf.keras.layers.Dense(10)])

    def scales(model):
        return [float(layer.w) for layer in (model.part, model.net.layers[1])]

    models, loaders = [Net(), Net()], Loaders(batches_of(fw, [8]), None)
    fw.d2l.Trainer(max_epochs=1, checkpoint_dir=tmp_path).fit(models[0], loaders)
    assert all(scale != 2 for scale in scales(models[0]))
    assert len(models[0].trainable_variables) == 4
    (path,) = tmp_path.iterdir()
    fw.d2l.Trainer(max_epochs=1).load_weights(models[1], loaders, path)
    assert scales(models[1]) == scales(models[0])


def test_tensorflow_rounds_no_pixel_to_tensorfloat(sample_of, monkeypatch):
    fw, seen = adapter("tensorflow"), []
    allowed = fw.lib.config.experimental.tensor_float_32_execution_enabled
    data_module = module_of(fw, "data_modules")
    resized = data_module._scaled_and_resized
    monkeypatch.setattr(data_module, "_scaled_and_resized", lambda *args: (seen.append(allowed()), resized(*args))[1])
    next(iter(sample_of(fw).val_dataloader()))
    assert (seen, allowed()) == ([False], True)


@pytest.mark.parametrize("place", ["cpu", "gpu"])
def test_tensorflow_is_where_the_context_of_devices_says(full_run, monkeypatch, capsys, place):
    """And so is what depends on it: the notice that a run without GPU takes long, and bfloat16 of a processor."""
    fw = adapter("tensorflow")
    trainer = fw.d2l.Trainer(max_epochs=1)
    trainer.gpus = ["gpu:0"] if place == "cpu" else []
    monkeypatch.setattr(module_of(fw, "backend"), "cpu_has_bfloat16", lambda: True)
    if place == "gpu":
        identity = fw.lib.identity
        there = SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0")
        monkeypatch.setattr(fw.lib, "identity", lambda x: there if isinstance(x, float) else identity(x))
    with fw.d2l.cpu():
        assert trainer.backend.on_gpu == (place == "gpu")
        assert trainer.backend.supports_bfloat16 == (place == "cpu")


def test_pytorchs_outputs_of_bfloat16_layers_are_float32_each(full_run):
    """Of a model with several, as one with a head for the loss of a layer in the middle."""
    fw, seen = adapter("torch"), []

    class Two(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net, self.head = 0.1, fw.net(4, 0.0), fw.net(4, 0.0)

        def forward(self, X):
            return {"out": self.net(X), "more": (self.head(X), 3)}

        def loss(self, Y_hat, Y):
            seen.extend([Y_hat["out"].dtype, Y_hat["more"][0].dtype])
            return super().loss(Y_hat["out"], Y) + super().loss(Y_hat["more"][0], Y)

    model = Two()
    fw.d2l.Trainer(max_epochs=1, precision="bfloat16").fit(model, Loaders(batches_of(fw, [8]), None))
    assert seen == [fw.lib.float32] * 2
    assert len(ys(model, "train_loss")) == 1


def test_jax_gives_no_memory_away_that_others_hold(full_run):
    """Optimizers that keep the first parameters, and parameters of an earlier run, which ``apply_init`` hands on."""
    fw = adapter("jax")
    loaders = Loaders(batches_of(fw, [8, 8]), None)
    first = tiny(fw)
    object.__setattr__(first, "configure_optimizers", fw.d2l.optax.contrib.prodigy)
    trainer = fw.d2l.Trainer(max_epochs=1)
    trainer.fit(first, loaders, key=fw.lib.random.key(3))
    kept = trainer.state.params
    second = tiny(fw)
    object.__setattr__(second, "apply_init", lambda inputs, key: {"params": kept})
    fw.d2l.Trainer(max_epochs=1).fit(second, loaders)
    assert not any(leaf.is_deleted() for leaf in fw.lib.tree.leaves(kept))
    assert step_length(fw.lib.tree.leaves(kept), fw.weights(second)) > 0


def test_models_of_plain_tensors_learn_and_their_gradients_can_be_clipped(fw, full_run):
    data = fw.d2l.SyntheticRegressionData(fw.tensor(np.array([2, -3.4], np.float32)), 4.2, batch_size=16)
    for clip in (0, 10):
        model = fw.d2l.LinearRegressionScratch(2, lr=0.05)
        fw.d2l.Trainer(max_epochs=4, gradient_clip_val=clip).fit(model, data)
        assert ys(model, "val_loss")[-1] < 0.01
    model = fw.d2l.LinearRegression(lr=0.05)
    trainer = fw.d2l.Trainer(max_epochs=4)
    trainer.fit(model, data)
    w, b = model.get_w_b(trainer.state) if fw.name == "jax" else model.get_w_b()
    np.testing.assert_allclose(np.ravel(numbers(w)), [2, -3.4], atol=0.05)
    np.testing.assert_allclose(np.ravel(numbers(b)), [4.2], atol=0.05)


def test_mxnet_parameters_are_the_layers_or_the_arrays():
    fw = adapter("mxnet")
    scratch = fw.d2l.LinearRegressionScratch(2, lr=0.1)
    assert scratch.parameters()[0] is scratch.w
    assert len(tiny(fw).parameters().keys()) == 4


# Speed, and what it must not change


def on_gpu(fw):
    skip_without_gpu(fw.d2l)
    return fw


def in_place_of_gpu(fw, on_gpu=True, **arguments):
    """JAX's trainer, with the CPU in the place of a GPU."""
    trainer = fw.d2l.Trainer(max_epochs=1, **arguments)
    trainer.gpus = [fw.d2l.cpu()] if on_gpu else []
    return trainer


@pytest.fixture
def gpu(fw):
    on_gpu(fw)


def relative_error(numbers_, exact):
    return np.linalg.norm(numbers(numbers_) - numbers(exact)) / np.linalg.norm(numbers(exact))


# Kernel, stride, padding and image of convolutions over few channels: AlexNet's first, and odd ones.
STRIDED = [(11, 4, 0, (224, 224)), (7, 2, 3, (33, 40)), ((5, 4), 3, (2, 1), (29, 37)), (1, 2, 0, (9, 8))]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding", "image"), [*STRIDED, (7, 2, "SAME", (33, 40))])
def test_jaxs_folded_convolution_is_the_same_function(kernel, stride, padding, image, channels):
    fw = adapter("jax")
    jax, nn = fw.lib, fw.d2l.nn
    X = jax.random.normal(jax.random.PRNGKey(0), (2, *image, channels))
    size = np.broadcast_to(kernel, 2).tolist()
    drawn = 0.05 * jax.random.normal(jax.random.PRNGKey(2), (*size, channels, 5))
    layer = nn.Conv(5, kernel_size=size, strides=stride, padding=padding, kernel_init=lambda *_: drawn)
    variables = layer.init(jax.random.PRNGKey(1), X)

    def results():  # a function of its own each time, so that it is traced anew
        loss = jax.value_and_grad(lambda variables: (layer.apply(variables, X) ** 2).mean())
        return layer.apply(variables, X), *loss(variables)

    with jax.default_device(fw.d2l.cpu()):
        plain = results()
    with jax.default_device(fw.d2l.cpu()), nn.intercept_methods(module_of(fw, "bfloat16").space_to_depth_conv):
        assert "window_strides=(1, 1)" in str(jax.make_jaxpr(layer.apply)(variables, X))
        folded = results()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), folded, plain)


@pytest.mark.parametrize(
    "unusual",
    [
        {"strides": None},
        {"strides": (4, 2)},
        {"channels": 8},
        {"kernel_dilation": 2},
        {"input_dilation": 2, "padding": 2},
        {"feature_group_count": 2},
        {"padding": "CIRCULAR"},
        {"mask": np.ones((5, 5, 2, 4), np.float32)},
    ],
)
def test_jaxs_other_convolutions_stay_as_they_are(unusual):
    fw = adapter("jax")
    jax, nn = fw.lib, fw.d2l.nn
    asked = {"channels": 2, "kernel_size": (5, 5), "strides": 4} | unusual
    X, layer = np.zeros((1, 64, 64, asked.pop("channels")), np.float32), nn.Conv(4, **asked)
    variables = layer.init(jax.random.PRNGKey(0), X)

    def computation():  # a function of its own each time, so that it is traced anew
        return str(jax.make_jaxpr(lambda variables: layer.apply(variables, X))(variables))

    plain = computation()
    with nn.intercept_methods(module_of(fw, "bfloat16").space_to_depth_conv):
        assert computation() == plain


@pytest.mark.parametrize(("on_gpu", "strides"), [(True, (1, 1)), (False, (2, 2))])
def test_jaxs_trainer_folds_convolutions_on_a_gpu(on_gpu, strides, full_run):
    fw = adapter("jax")
    nn = fw.d2l.nn

    class Net(fw.d2l.Classifier):
        lr: float = 0.1

        def setup(self):
            self.net = nn.Sequential([nn.Conv(4, (5, 5), 2), lambda X: X.reshape(X.shape[0], -1), nn.Dense(10)])

    trainer, batches = in_place_of_gpu(fw, on_gpu, precision="bfloat16"), batches_of(fw, [4])
    trainer.fit(Net(), Loaders(batches, None))
    computation = fw.lib.make_jaxpr(trainer.state.apply_fn)({"params": trainer.state.params}, batches[0][0])
    assert f"window_strides={strides}" in str(computation)


def test_jaxs_models_that_cannot_be_compiled_train_on_a_gpu_too(full_run, capsys):
    fw = adapter("jax")

    class Net(fw.d2l.Classifier):
        lr: float = 0.1

        def setup(self):
            self.net, self.scale = fw.d2l.nn.Dense(10), self.param("scale", lambda key: 1.0)

        def forward(self, X):
            X = X.reshape(X.shape[0], -1)
            return self.scale * self.net(X / 2 if float(X.max()) > 1 else X)

    in_place_of_gpu(fw).fit(Net(), Loaders(batches_of(fw, [4]), None))
    assert "A step that cannot be compiled runs as it is" in capsys.readouterr().out


def test_jaxs_convolution_of_another_number_of_channels_has_flaxs_own_error():
    fw = adapter("jax")
    layer, X = fw.d2l.nn.Conv(4, kernel_size=(5, 5), strides=4), np.zeros((1, 64, 64, 1), np.float32)
    variables = layer.init(fw.lib.random.PRNGKey(0), X.repeat(3, axis=3))
    with (
        fw.d2l.nn.intercept_methods(module_of(fw, "bfloat16").space_to_depth_conv),
        pytest.raises(Exception, match=r"shape \(5, 5, 1, 4\)"),
    ):
        layer.apply(variables, X)


def test_trainer_has_batches_made_on_its_device_and_readers_have_theirs_as_before(fw, sample, full_run, monkeypatch):
    data, devices = sample(batch_size=64), []
    on_device = data._on_device
    monkeypatch.setattr(data, "_on_device", lambda tensor, device: devices.append(device) or on_device(tensor, device))
    trainer = fw.d2l.Trainer(max_epochs=1)
    fw.fit(trainer, tiny(fw), data)
    assert set(devices) == {trainer.device}
    next(iter(data.val_dataloader()))
    assert devices[-1] is None


def test_images_stay_small_until_they_are_in_a_batch(fw, sample, monkeypatch):
    data, kept = sample(batch_size=32, resize=(64, 64)), []
    gather = data._gather
    monkeypatch.setattr(
        data, "_gather", lambda tensor, indices: kept.append(numbers(tensor)) or gather(tensor, indices)
    )
    X, _ = next(iter(data.train_dataloader()))
    assert numbers(X).size == 32 * 64 * 64
    images, labels = kept
    assert (images.dtype, images.shape) == (np.uint8, (256, 28, 28))
    assert (labels.dtype, labels.shape) == (np.uint8, (256,))


@pytest.mark.parametrize("precision", ["bfloat16x", "", None])
def test_unknown_precision_names_the_known_ones(fw, precision):
    with pytest.raises(ValueError, match=re.escape(f"precision={precision!r}: give one of 'auto', 'float32'")):
        fw.d2l.Trainer(max_epochs=1, precision=precision)


@pytest.mark.parametrize("name", ["tensorflow", "mxnet"])
def test_precision_that_a_framework_lacks_is_an_error(name):
    with pytest.raises(ValueError, match="precision='bfloat16'"):
        adapter(name).d2l.Trainer(max_epochs=1, precision="bfloat16")


def test_plain_float32_is_what_the_cpu_computes_anyway(fw, sample, full_run):
    curves = []
    for precision in ("auto", "float32"):
        fw.seed(0)
        model = tiny(fw)
        fw.fit(fw.d2l.Trainer(max_epochs=1, precision=precision), model, sample(batch_size=64))
        curves.append(model.board.curves)
    assert curves[0] == curves[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "asked"), [("torch", "bfloat16"), ("jax", "bfloat16"), ("torch", "auto"), ("tensorflow", "auto")]
)
def test_bfloat16_is_for_layers_only_and_learns_as_well(name, asked, sample_of, full_run, monkeypatch):
    """Asked for on any device, or unasked on a processor that has it."""
    monkeypatch.setattr(machine, "CPU_INFO", Path("/proc/cpuinfo"))
    if asked == "auto" and not machine.cpu_has_bfloat16():
        pytest.skip("this processor has no bfloat16 (AVX-512 BF16)")
    fw, final = adapter(name), {}
    data = sample_of(fw, batch_size=64)
    for precision in ("float32", asked):
        fw.seed(0)
        model = tiny(fw)
        fw.fit(fw.d2l.Trainer(max_epochs=10, precision=precision), model, data)
        assert all(weight.dtype == np.float32 for weight in fw.weights(model))
        final[precision] = ys(model, "train_loss")[-1]
    assert final[asked] != final["float32"]
    assert final[asked] == pytest.approx(final["float32"], rel=0.1)


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
@pytest.mark.parametrize(
    ("flags", "profile", "kind", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16 sse", "full", "Classifier", True),
        ("flags\t\t: fpu avx512_bf16 sse", "epochs=1", "Classifier", True),
        ("flags\t\t: fpu avx512_bf16 sse", "smoke", "Classifier", False),
        ("flags\t\t: fpu avx512_bf16 sse", "full", "Module", False),
        ("flags\t\t: fpu avx512_bf16x sse", "full", "Classifier", False),
        ("Features\t: fp asimd bf16", "full", "Classifier", False),
    ],
)
def test_processors_bfloat16_is_for_full_runs_of_classifiers(
    name, flags, profile, kind, expected, monkeypatch, tmp_path
):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{flags}\nbugs\t\t: avx512_bf16\n")
    monkeypatch.setattr(machine, "CPU_INFO", path)
    monkeypatch.setenv("D2L_PROFILE", profile)
    fw = adapter(name)
    lib, seen = fw.lib, []
    rewritten = {
        "torch": lambda: lib.is_autocast_enabled("cpu"),
        "tensorflow": lambda: lib.config.optimizer.get_experimental_options()[
            module_of(fw, "backend").BFLOAT16_REWRITE
        ],
    }

    class Watched(getattr(fw.d2l, kind)):
        def __init__(self):
            super().__init__()
            self.lr, self.net = 0.1, fw.net(4, 0.0)

        def forward(self, X):
            seen.append(rewritten[name]())
            return self.net(X)

        def loss(self, Y_hat, Y, averaged=True):
            return fw.d2l.Classifier.loss(self, Y_hat, Y, averaged)

    batches = batches_of(fw, [8])
    fw.d2l.Trainer(max_epochs=1).fit(Watched(), Loaders(batches, batches))
    assert seen and set(seen) == {expected}
    assert not rewritten[name]()


@pytest.mark.parametrize(
    ("said", "waits", "passed_on"),
    [
        ("called a synchronizing CUDA operation", True, []),
        ("Synchronization debug mode is a prototype feature", False, []),
        ("of the model itself", False, ["of the model itself"]),
    ],
)
def test_pytorchs_steps_that_wait_for_a_gpu_are_known_by_its_warnings(monkeypatch, said, waits, passed_on):
    """Those of others are passed on, and the mode that brings PyTorch's ends with the step."""
    fw, modes = adapter("torch"), ["default"]
    monkeypatch.setattr(fw.lib.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(fw.lib.cuda, "set_sync_debug_mode", modes.append)
    capturer = module_of(fw, "cuda_graphs").CUDACapturer(fw.lib.device("cuda", 0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert capturer.watch(lambda: warnings.warn(said, stacklevel=1)) == (None, waits)
    assert [str(warning.message) for warning in caught] == passed_on
    assert modes == ["default", "warn", "default"]


@pytest.mark.parametrize(
    ("make_layer", "shape"),
    [
        (lambda nn: nn.Linear(8, 4), (3, 8)),
        (lambda nn: nn.ConvTranspose2d(3, 4, 2), (2, 3, 5, 5)),
        (lambda nn: nn.Conv2d(3, 4, 2), (3, 5, 5)),  # an image without a batch around it
    ],
)
def test_pytorchs_layers_that_cannot_be_fused_run_as_they_are(make_layer, shape):
    fw = adapter("torch")
    torch, model = fw.lib, fw.d2l.Classifier()
    model.net = torch.nn.Sequential(make_layer(torch.nn), torch.nn.ReLU())
    X = torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model.net(X)
        with module_of(fw, "fused_layers").fused_layers(model):
            assert torch.equal(model.net(X), expected)


def test_pytorchs_loss_is_of_float32_outputs_of_bfloat16_layers(full_run):
    fw, seen = adapter("torch"), []

    class Watching(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net = 0.1, fw.net(4, 0.0)
            self.net[1].register_forward_hook(lambda layer, X, Y: seen.append(Y.dtype))

        def loss(self, Y_hat, Y):
            seen.append(Y_hat.dtype)
            return super().loss(Y_hat, Y)

    model, batches = Watching(), batches_of(fw, [8])
    fw.d2l.Trainer(max_epochs=1, precision="bfloat16").fit(model, Loaders(batches, batches))
    assert seen == [fw.lib.bfloat16, fw.lib.float32] * 2
    assert model(batches[0][0]).dtype == fw.lib.float32
    assert seen[-1] == fw.lib.float32  # after the run, layers compute as before


def test_settings_of_the_process_are_those_asked_for_during_fit_and_those_of_before_after_it(full_run):
    settings = {
        "tensorflow": (lambda tf: tf.config.experimental.tensor_float_32_execution_enabled(), False),
        "jax": (lambda jax: jax.config.jax_default_matmul_precision, "float32"),
    }
    for name, (setting, plain) in settings.items():
        fw, during = adapter(name), []

        class Watched(fw.d2l.Trainer):
            def fit_epoch(self, fw=fw, setting=setting, during=during):
                during.append(setting(fw.lib))
                super().fit_epoch()

        before, batches = setting(fw.lib), batches_of(fw, [8])
        for precision in ("float32", "auto"):
            fw.fit(Watched(max_epochs=1, precision=precision), tiny(fw), Loaders(batches, batches))
        assert (during, setting(fw.lib)) == ([plain, before], before)
        assert before != plain


def on_recent_gpu(fw, monkeypatch):
    """A trainer's backend that takes the CPU for a GPU of NVIDIA's with bfloat16 and TensorFloat-32."""
    kind, backend = fw.d2l.Trainer.backend_type, fw.d2l.Trainer(max_epochs=1).backend
    if fw.name == "tensorflow":
        monkeypatch.setattr(kind, "on_gpu", True)
        monkeypatch.setattr(fw.lib.config, "list_physical_devices", lambda kind: [kind])
        details = {"compute_capability": (8, 0)}
        monkeypatch.setattr(fw.lib.config.experimental, "get_device_details", lambda device: details)
    else:
        monkeypatch.setattr(kind, "supports_bfloat16", fw.name != "mxnet")
        monkeypatch.setattr(kind, "device", SimpleNamespace(type="cuda"))
    return backend


@pytest.mark.parametrize("profile", ["full", "smoke"])
def test_rounding_to_tensorfloat_is_said_where_the_framework_does_it_unasked(fw, full_run, monkeypatch, profile):
    monkeypatch.setenv("D2L_PROFILE", profile)
    backend, (weight, _) = on_recent_gpu(fw, monkeypatch), batches_of(fw, [4])[0]
    unasked = {"torch": " with TF32 convolutions", "mxnet": ""}.get(fw.name, " with TF32 products")
    model = tiny(fw) if fw.name == "tensorflow" else object()
    monkeypatch.setattr(type(backend), "model_state", lambda backend, model: {"weight": weight})
    said = {precision: describe_precision(precision, model, backend) for precision in ("auto", "float32", "bfloat16")}
    assert said == {
        "auto": "float32" + (unasked if profile == "full" else ""),
        "float32": "float32",
        "bfloat16": "bfloat16",
    }


def test_rounding_to_tensorfloat_that_a_user_has_switched_off_is_not_said(monkeypatch):
    fw = adapter("tensorflow")
    backend = on_recent_gpu(fw, monkeypatch)
    monkeypatch.setattr(fw.lib.config.experimental, "tensor_float_32_execution_enabled", lambda: False)
    assert backend.tf32 == ""
    fw = adapter("jax")
    backend = on_recent_gpu(fw, monkeypatch)
    assert backend.tf32 == "products"
    with fw.lib.default_matmul_precision("highest"):
        assert backend.tf32 == ""


@pytest.mark.parametrize(("name", "capability"), [("tensorflow", {}), ("tensorflow", {"compute_capability": (7, 5)})])
def test_gpus_without_tensorfloat_round_nothing_to_it(name, capability, monkeypatch):
    fw = adapter(name)
    backend = on_recent_gpu(fw, monkeypatch)
    monkeypatch.setattr(fw.lib.config.experimental, "get_device_details", lambda device: capability)
    assert backend.tf32 == ""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("cudnn.allow_tf32 = False", ""),
        ("cuda.matmul.allow_tf32 = True", "products"),
        ("cudnn.allow_tf32, b.cuda.matmul.allow_tf32 = False, True", "matrix products"),
        ("cuda.matmul.fp32_precision = 'tf32'", "products"),
        ("cudnn.conv.fp32_precision = 'ieee'", ""),
    ],
)
def test_pytorchs_own_settings_of_tensorfloat_are_what_is_said(setting, said, tmp_path):
    """In processes of their own: settings by the newer name cannot be undone."""
    adapter("torch")
    script = f"""
import torch
from d2l.backends.torch.matmul_precision import tf32_operations
b = torch.backends
b.{setting}
print(tf32_operations())
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == said, run.stderr


@pytest.mark.parametrize(("name", "dtype"), [("torch", "float64"), ("tensorflow", "bfloat16")])
def test_models_that_a_user_has_brought_to_another_dtype_are_said_to_compute_in_it(name, dtype, full_run, capsys):
    fw = adapter(name)
    (X, y), arguments = batches_of(fw, [4])[0], {"max_epochs": 1, "precision": "float32"}
    if name == "tensorflow":
        policy = fw.lib.keras.config.dtype_policy()
        fw.lib.keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            fw.d2l.Trainer(**arguments).fit(tiny(fw), Loaders([(X, y)], None))
        finally:
            fw.lib.keras.config.set_dtype_policy(policy)
    else:
        fw.d2l.Trainer(**arguments).fit(tiny(fw).double(), Loaders([(X.double(), y)], None))
    assert capsys.readouterr().out.endswith(f" in {dtype}\n")


def test_pytorchs_plain_float32_rounds_nothing_to_tensorfloat():
    fw = adapter("torch")
    from d2l.backends.torch.matmul_precision import plain_float32

    backends = fw.lib.backends.cuda.matmul, fw.lib.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    with plain_float32():
        assert [backend.allow_tf32 for backend in backends] == [False, False]
    assert [backend.allow_tf32 for backend in backends] == before


def test_pytorchs_plain_float32_knows_the_newer_name_of_the_setting(tmp_path):
    """In a process of its own: once set by that, PyTorch refuses to read it by the older name."""
    adapter("torch")
    script = (
        "import torch; from d2l.backends.torch.matmul_precision import plain_float32\n"
        "matmul = torch.backends.cuda.matmul\n"
        "matmul.fp32_precision = 'tf32'\n"
        "with plain_float32():\n"
        "    print(matmul.fp32_precision)\n"
        "print(matmul.fp32_precision)\n"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == ["ieee", "tf32"], run.stderr


@pytest.mark.parametrize("size", [0, -1, 64.0, True, "64", None])
def test_batch_size_that_is_none_is_named(fw, sample, size):
    with pytest.raises(ValueError, match=rf"batch_size={re.escape(repr(size))}: give a whole number, 1 or more"):
        sample(batch_size=size).train_dataloader()


def test_numbers_of_numpy_are_whole_numbers_too(fw, sample, full_run, capsys):
    fw.fit(fw.d2l.Trainer(np.int64(1), num_gpus=np.int32(0)), tiny(fw), sample(batch_size=np.int64(32)))
    assert "after 1 of 1 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(
    ("shape", "window", "strides", "padding"),
    [
        ((3, 9, 9, 2), (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
        ((2, 7, 8, 3), (1, 3, 2, 1), (1, 2, 3, 1), ((0, 0), (1, 1), (0, 1), (0, 0))),
        ((2, 2, 6, 6), (1, 1, 6, 6), (1, 1, 1, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
        ((5, 4), (2, 2), (1, 2), ((1, 0), (0, 0))),
    ],
)
def test_jaxs_gradient_of_pooling_goes_to_the_first_of_equals(kind, shape, window, strides, padding):
    fw = adapter("jax")
    module_of(fw, "pooling").register_max_pool_grad("cpu")
    jnp, lax = fw.lib.numpy, fw.lib.lax
    computation, worst, best = {"max": (lax.max, -np.inf, np.argmax), "min": (lax.min, np.inf, np.argmin)}[kind]
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, shape).astype(np.float32)  # so that many are equal
    padded = np.pad(X, padding, constant_values=worst)
    expected, weights = np.zeros_like(padded), []
    for corner in np.ndindex(
        *((n - size) // step + 1 for n, size, step in zip(padded.shape, window, strides, strict=True))
    ):
        place = tuple(slice(i * step, i * step + size) for i, step, size in zip(corner, strides, window, strict=True))
        weights.append(rng.normal())
        index = np.unravel_index(best(padded[place]), window)
        expected[tuple(part.start + i for part, i in zip(place, index, strict=True))] += weights[-1]
    inside = tuple(slice(low, low + n) for (low, _), n in zip(padding, shape, strict=True))

    def weighted(X):
        Y = lax.reduce_window(X, worst, computation, window, strides, padding)
        return (Y.ravel() * jnp.array(weights)).sum()

    assert np.allclose(fw.lib.jit(fw.lib.grad(weighted))(X), expected[inside], atol=1e-5)


@pytest.mark.parametrize(("platform", "target", "scatters"), [("cpu", "cpu", True), ("gpu", "cuda", False)])
def test_jaxs_gradient_of_pooling_is_computed_as_is_fastest_on_each_platform(platform, target, scatters):
    """By a scatter example by example on a CPU, and without any on a GPU, where one takes longer than slices."""
    fw = adapter("jax")
    jax = fw.lib
    from flax import linen
    from jax import export

    module_of(fw, "pooling").register_max_pool_grad(platform)
    gradient = jax.jit(jax.grad(lambda X: linen.max_pool(X, (3, 3), (2, 2)).sum()))
    images = jax.ShapeDtypeStruct((2, 9, 9, 1), np.float32)
    program = export.export(gradient, platforms=[target])(images).mlir_module()
    assert ("stablehlo.scatter" in program) == scatters
    assert "stablehlo.select_and_scatter" not in program


@pytest.mark.parametrize(("siblings", "threads"), [("0\n", "{}"), ("0-1\n", "None"), ("0,8\n", "None")])
@pytest.mark.parametrize("processors", [None, 1])
def test_mxnet_uses_every_core_that_it_may(tmp_path, siblings, threads, processors):
    """On a machine that is shared out, those of its job."""
    adapter("mxnet")
    path = tmp_path / "siblings"
    path.write_text(siblings)
    code = (
        "import os, pathlib, d2l.machine\n"
        f"os.sched_setaffinity(0, [*os.sched_getaffinity(0)][:{processors}])\n"
        f"d2l.machine.SIBLINGS = pathlib.Path({str(path)!r})\n"
        "import d2l.mxnet; print(os.environ.get('OMP_NUM_THREADS'))"
    )
    env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    for own, expected in ((None, threads.format(processors or len(os.sched_getaffinity(0)))), ("1", "1")):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=env | ({"OMP_NUM_THREADS": own} if own else {}),
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected


@pytest.mark.parametrize(("profile", "threads"), [("smoke", "1"), ("full", "None")])
def test_tensorflows_smoke_runs_are_the_same_on_every_number_of_cores(profile, threads):
    """On two cores a loss of the answers was 0.044 from that on one."""
    adapter("tensorflow")
    code = "import os, d2l.tensorflow; print(os.environ.get('TF_NUM_INTRAOP_THREADS'))"
    env = {key: value for key, value in os.environ.items() if key != "TF_NUM_INTRAOP_THREADS"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"D2L_PROFILE": profile},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIME_LIMIT,
    )
    assert run.stdout.strip() == threads


def test_training_on_a_gpu_learns_from_batches_that_are_there(fw, gpu, sample, full_run):
    model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=10, num_gpus=1)
    with fw.d2l.try_gpu() if fw.name == "tensorflow" else contextlib.nullcontext():
        fw.fit(trainer, model, sample(batch_size=64))
    assert ys(model, "train_loss")[-1] < ys(model, "train_loss")[0]
    assert "cpu" not in trainer.backend.device_name.lower()


@pytest.mark.parametrize("label", [10, -1, -100])
def test_label_that_is_no_class_is_an_error_that_leaves_a_gpu_as_it_was(fw, gpu, sample, full_run, label):
    (X, _), *rest = batches_of(fw, [4] * 3)
    wrong = [(X, fw.tensor(np.array([0, 1, 2, label], fw.label_type))), *rest]
    with pytest.raises(FloatingPointError, match="since step 1 of epoch 1"):
        fw.fit(fw.d2l.Trainer(max_epochs=1, num_gpus=1), tiny(fw), Loaders(wrong, None))
    fw.fit(fw.d2l.Trainer(max_epochs=1, num_gpus=1), tiny(fw), sample(batch_size=64))


def test_pytorchs_layers_on_a_gpu_give_what_they_do_in_float32(full_run, sample_of):
    fw = on_gpu(adapter("torch"))
    data = sample_of(fw, batch_size=64, resize=(224, 224))
    model = fw.d2l.AlexNet(lr=0.01)
    fw.d2l.Trainer(max_epochs=1, num_gpus=1).fit(model, data)
    X = next(iter(data.val_dataloader()))[0].to(fw.d2l.gpu())
    with fw.lib.no_grad():
        plain = model(X)
        model.autocast_device = "cuda"
        fast = model(X)
    assert 0 < relative_error(fast, plain) < 0.02


def test_jaxs_layers_on_a_gpu_give_what_they_do_in_float32(full_run, sample_of):
    fw = on_gpu(adapter("jax"))
    data = sample_of(fw, batch_size=64, resize=(224, 224))
    model, trainer = fw.d2l.AlexNet(lr=0.01), fw.d2l.Trainer(max_epochs=1, num_gpus=1)
    trainer.fit(model, data)
    X, variables = next(iter(data.val_dataloader()))[0], {"params": trainer.state.params}
    with fw.lib.default_matmul_precision("float32"):
        plain = model.apply(variables, X)
    assert 0 < relative_error(trainer.state.apply_fn(variables, X), plain) < 0.02


def test_pytorchs_own_loader_is_copied_ahead_to_a_gpu(full_run):
    fw = on_gpu(adapter("torch"))
    X, y = fw.lib.arange(60.0).reshape(10, 6), fw.lib.arange(10)
    loader = fw.lib.utils.data.DataLoader(fw.lib.utils.data.TensorDataset(X, y), batch_size=4)
    ahead = module_of(fw, "copy_ahead").copied_ahead(loader, fw.d2l.gpu())
    batches = list(ahead)
    assert len(batches) == len(ahead) == 3
    assert all(tensor.is_cuda for batch in batches for tensor in batch)
    assert fw.lib.cat([batch[1] for batch in batches]).cpu().equal(y)
