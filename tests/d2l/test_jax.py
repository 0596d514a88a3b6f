"""JAX on a GPU: each step is compiled once, what is compiled is kept, and pooling has a gradient of its own.

A CPU stands in the place of the GPU.
"""

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.fixtures import skip_without_gpu
from processes import TIME_LIMIT

from d2l.plotting import to_numpy as numbers

pytestmark = [pytest.mark.helper, pytest.mark.usefixtures("full_run")]

pytest.importorskip("jax", reason="JAX is not installed here: pip install '.[jax]'")

import jax  # noqa: E402
from jax import export, lax  # noqa: E402
from jax import numpy as jnp  # noqa: E402

from d2l import jax as d2l  # noqa: E402
from d2l.backends.jax import data_modules as jax_data  # noqa: E402
from d2l.backends.jax import pooling  # noqa: E402

nn = d2l.nn
ROOT = Path(__file__).parents[2]


def sample(monkeypatch, **arguments):
    """The images that come with the package: 256 to train on, 128 to validate on."""
    with monkeypatch.context() as patch:
        patch.setenv("D2L_PROFILE", "smoke")
        return d2l.FashionMNIST(**arguments)


class Dropped(d2l.Classifier):
    """A classifier that notes the batches it is traced for."""

    lr: float = 0.1
    training: bool = True

    def setup(self):
        drop = nn.Dropout(0.5, deterministic=not self.training)
        self.net = nn.Sequential(
            [self.note, lambda X: X.reshape(len(X), -1), nn.Dense(32), nn.relu, drop, nn.Dense(10)]
        )

    def note(self, X):
        sizes.append(len(X))
        return X


class OwnLoss(Dropped):
    """A loss that is no mean over examples."""

    def loss(self, params, X, Y, state, averaged=True):
        loss, updates = super().loss(params, X, Y, state, averaged=False)
        return loss.sum() / 100, updates


class OwnValidation(Dropped):
    """A step of validation of one's own."""

    def validation_step(self, params, batch, state):
        self.plot("most", self.loss(params, batch[:-1], batch[-1], state, averaged=False)[0].max(), train=False)


class Normalized(Dropped):
    """Statistics of the batch."""

    def setup(self):
        norm = nn.BatchNorm(use_running_average=not self.training)
        self.net = nn.Sequential([self.note, lambda X: X.reshape(len(X), -1), norm, nn.Dense(10)])


class PerPixel(Dropped):
    """A class for each row of an image."""

    def setup(self):
        self.net = nn.Sequential([self.note, lambda X: X[..., 0], nn.Dense(10)])


class Rows(d2l.DataModule):
    """Images with a label for each row."""

    def __init__(self, data):
        super().__init__()
        self.images, self.batch_size = (data.train.images, data.val.images), data.batch_size

    def get_dataloader(self, train):
        images = self.images[0 if train else 1]
        X = images[..., None].astype(np.float32) / 255
        return self.get_tensorloader((X, images.sum(axis=2).astype(np.int32) % 10), train)


sizes: list[int] = []


def fitted(model, data, on_gpu):
    """A trainer that has fit a model, and the sizes of batches that its steps have been traced for."""
    trainer = d2l.Trainer(max_epochs=2)
    trainer.gpus = [d2l.cpu()] if on_gpu else []
    model.board = d2l.ProgressBoard(xlabel="epoch", display=False)
    random.seed(0)  # the order of the examples
    sizes.clear()
    trainer.fit(model, data, jax.random.PRNGKey(3))
    return trainer, set(sizes)


def assert_same_run(model_class, data):
    """A run comes to the same with the CPU in the place of a GPU. Returns the sizes traced for there, and without."""
    (trainer, padded), (plain, each) = (fitted(model_class(), data, on_gpu) for on_gpu in (True, False))
    ours, theirs = (jax.tree.leaves(one.state.params) for one in (trainer, plain))
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
    assert trainer.model.board.last == pytest.approx(plain.model.board.last, rel=1e-4)
    assert trainer.progress.train_examples == plain.progress.train_examples == 2 * 256
    return padded, each


def test_a_short_batch_is_padded_and_counts_as_it_is(monkeypatch):
    assert assert_same_run(Dropped, sample(monkeypatch, batch_size=96)) == ({96}, {96, 64, 32})


@pytest.mark.parametrize("model", [OwnLoss, OwnValidation, Normalized])
def test_a_model_of_its_own_ways_gets_its_batches_as_they_are(monkeypatch, model):
    assert assert_same_run(model, sample(monkeypatch, batch_size=96)) == ({96, 64, 32},) * 2


def test_a_batch_with_several_labels_an_example_stays_as_it_is(monkeypatch):
    assert assert_same_run(PerPixel, Rows(sample(monkeypatch, batch_size=96))) == ({96, 64, 32},) * 2


def test_a_label_that_is_no_class_is_found_in_a_padded_batch(monkeypatch):
    data = sample(monkeypatch, batch_size=96)
    data.val.labels[-1] = 100
    with pytest.raises(FloatingPointError, match="validation loss of epoch 1 is nan"):
        fitted(Dropped(), data, on_gpu=True)


def test_one_program_makes_full_and_short_batches(monkeypatch):
    data = sample(monkeypatch, batch_size=96, resize=(56, 56))
    expected = [*data.val_dataloader()]
    monkeypatch.setattr(jax_data, "on_cpu", lambda array: False)
    make, made = data._collate, []
    monkeypatch.setattr(data, "_collate", lambda *arrays: made.append(len(arrays[-1])) or make(*arrays))
    batches = [*data.val_dataloader()]
    assert made == [96, 96] and [len(y) for _, y in batches] == [96, 32]
    for batch, one in zip(batches, expected, strict=True):
        assert all((numbers(a) == numbers(b)).all() for a, b in zip(batch, one, strict=True))
    (X, y), (Z, z) = ([*data.get_tensorloader(pair, False)][-1] for pair in [(data.val.images, data.val.labels)] * 2)
    assert (numbers(X) == data.val.images[96:]).all() and (numbers(y) == data.val.labels[96:]).all()
    assert (X == Z).all() and (y == z).all()


# Shapes, windows, strides and paddings of pooling: AlexNet's, odd ones, some that leave numbers out, and a large one.
POOLINGS = [
    ((3, 9, 9, 2), (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
    ((2, 7, 8, 3), (1, 3, 2, 1), (1, 2, 3, 1), ((0, 0), (1, 1), (0, 1), (0, 0))),
    ((2, 2, 6, 6), (1, 1, 6, 6), (1, 1, 1, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
    ((5, 4), (2, 2), (1, 2), ((1, 0), (0, 0))),
    ((4, 9, 9, 2), (1, 2, 2, 1), (1, 3, 3, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
    ((4, 8, 8, 2), (1, 2, 2, 1), (1, 2, 2, 1), ((0, 0), (0, 0), (0, 0), (0, 0))),
    ((4, 9, 8, 2), (2, 3, 2, 1), (2, 1, 1, 1), ((1, 0), (2, 2), (1, 1), (0, 0))),
    ((2, 20, 20, 1), (1, 9, 9, 1), (1, 4, 4, 1), ((0, 0), (4, 3), (4, 4), (0, 0))),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(("shape", "window", "strides", "padding"), POOLINGS)
def test_gradient_of_pooling_on_gpus_is_xlas(shape, window, strides, padding, kind, dtype):
    own = jax._src.lax.windowed_reductions._select_and_scatter_add_impl
    computation, worst, select = {"max": (lax.max, -np.inf, lax.ge_p), "min": (lax.min, np.inf, lax.le_p)}[kind]
    rng = np.random.default_rng(0)
    X = jnp.array(rng.integers(0, 3, shape), dtype)  # so that many are equal
    Y = lax.reduce_window(X, worst, computation, window, strides, padding)
    settings = {"window_dimensions": window, "window_strides": strides, "padding": padding, "select_prim": select}
    source = jnp.array(rng.integers(-4, 5, Y.shape), dtype)  # whose sums are exact
    expected = own(source, X, expand_padding=True, **settings)
    gradient = jax.jit(lambda *arrays: pooling.max_pool_grad_by_slices(*arrays, **settings))(source, X)
    assert gradient.dtype == dtype and (gradient == expected).all() and numbers(expected).any()


def test_gradient_of_pooling_on_gpus_takes_nan_and_infinities_as_xla_does():
    own = jax._src.lax.windowed_reductions._select_and_scatter_add_impl
    rng = np.random.default_rng(0)
    X = jnp.array(rng.choice([0, 1, np.nan, np.inf, -np.inf], (2, 9, 9, 3)), jnp.float32)
    margins = ((0, 0), (1, 1), (1, 1), (0, 0))
    settings = {"window_dimensions": (1, 3, 3, 1), "window_strides": (1, 2, 2, 1), "padding": margins}
    source = jnp.array(rng.integers(-4, 5, (2, 5, 5, 3)), jnp.float32)
    expected = own(source, X, expand_padding=True, select_prim=lax.ge_p, **settings)
    assert (pooling.max_pool_grad_by_slices(source, X, select_prim=lax.ge_p, **settings) == expected).all()


def test_gradient_of_pooling_on_gpus_can_be_registered():
    """JAX knows the platform, also where it has no such device."""
    pooling.register_max_pool_grad("gpu")
    pool = jax.grad(lambda X: nn.max_pool(X, (3, 3), (2, 2)).sum())
    exported = export.export(jax.jit(pool), platforms=["cuda"])(jax.ShapeDtypeStruct((2, 9, 9, 1), jnp.float32))
    assert "stablehlo.select_and_scatter" not in exported.mlir_module()


# Trains a model on a GPU, and says how many programs have been taken from the cache and put into it.
TRAINED = """
import jax
from d2l import jax as d2l

found = {}
jax.monitoring.register_event_listener(lambda event, **_: found.update({event: found.get(event, 0) + 1}))
trainer = d2l.Trainer(max_epochs=1, num_gpus=1)
trainer.fit(d2l.LeNet(lr=0.1), d2l.FashionMNIST(batch_size=96))
print(None)
print(*(found.get(f"/jax/compilation_cache/cache_{what}", 0) for what in ("hits", "misses")))
"""

# Compiles a program, after one without a cache, and says how many have been taken from the cache and put into it.
CACHED = """
import jax
from d2l.backends.jax.compilation_cache import keep_compiled

found = {}
jax.monitoring.register_event_listener(lambda event, **_: found.update({event: found.get(event, 0) + 1}))
jax.numpy.arange(3) + 1
print(keep_compiled())
jax.jit(lambda X: X @ X.T)(jax.numpy.ones((4, 4)))
print(*(found.get(f"/jax/compilation_cache/cache_{what}", 0) for what in ("hits", "misses")))
"""


def compile_with(home, script=CACHED, **environment):
    """What a process of its own says of its cache, and of what it has found there and kept."""
    names = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=clean | {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT,
    )
    assert run.returncode == 0, run.stderr
    *_, said, counts = run.stdout.splitlines()
    hits, misses = map(int, counts.split())
    return said, hits, misses


def test_what_is_compiled_is_kept_for_the_next_process(tmp_path):
    said, hits, kept = compile_with(tmp_path)
    assert said == "None" and hits == 0 < kept
    folder = tmp_path / ".cache/d2l/jax"
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert len([*folder.glob("jit_*-cache")]) == kept
    assert compile_with(tmp_path) == ("None", kept, 0)


def test_a_second_process_on_a_gpu_compiles_nothing(tmp_path):
    skip_without_gpu(d2l)
    _, _, kept = compile_with(tmp_path, TRAINED, D2L_PROFILE="smoke")
    said, hits, compiled = compile_with(tmp_path, TRAINED, D2L_PROFILE="smoke")
    assert (said, compiled) == ("None", 0) and hits >= kept > 0


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"])
def test_another_folder_can_be_chosen(tmp_path, variable):
    said, _, kept = compile_with(tmp_path, **{variable: str(tmp_path / "chosen")})
    place = tmp_path / "chosen" / ("d2l/jax" if variable == "XDG_CACHE_HOME" else "")
    assert said == "None" and 0 < kept == len([*place.glob("jit_*-cache")])
    assert not (tmp_path / ".cache").exists()


def test_nothing_is_kept_if_one_says_so(tmp_path):
    assert compile_with(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false") == ("None", 0, 0)
    assert not (tmp_path / ".cache").exists()


@pytest.mark.fault("Others can write to the folder in which JAX keeps what it compiles on a GPU")
@pytest.mark.parametrize("name", ["d2l", "d2l/jax"])
def test_folder_that_all_can_write_to_is_not_used(tmp_path, sees, name):
    folder = tmp_path / ".cache" / name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    said, hits, kept = compile_with(tmp_path)
    assert said == (
        "JAX compiles anew in each process, since what it compiles cannot be kept: "
        f"{folder} can be written to by all users"
    )
    assert (hits, kept) == (0, 0)
    sees(said.replace(str(tmp_path), "~"))


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / ".cache").write_text("")
    said, hits, kept = compile_with(tmp_path)
    assert "cannot be kept: [Errno" in said and str(tmp_path / ".cache") in said
    assert (hits, kept) == (0, 0)


@pytest.mark.parametrize(("platform", "kept"), [("cpu", False), ("gpu", True)])
def test_programs_are_kept_on_gpus_alone(monkeypatch, capsys, platform, kept):
    class Device:
        def __init__(self):
            self.platform = platform

    module = sys.modules["d2l.backends.jax.backend"]
    calls = itertools.count()
    monkeypatch.setattr(module, "find_gpus", lambda: [Device()])
    monkeypatch.setattr(module, "keep_compiled", lambda: f"line {next(calls)}")
    assert d2l.Trainer(1, num_gpus=1).gpus
    assert capsys.readouterr().out == ("line 0\n" if kept else "")
