"""The seam between trainer and framework: a fifth framework trains through it, and it is declared in one place."""

import ast
import inspect
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from contract.adapters import NAMES
from contract.fixtures import adapter
from numpy_backend import Classifier, FashionMNIST, Trainer

from d2l import backend
from d2l.run_log import LogObserver, RunLog

pytestmark = [pytest.mark.helper]
ROOT = Path(__file__).parents[2]
MOST_METHODS, MOST_LINES_OF_A_CLASS, MOST_LINES_OF_A_MODULE = 20, 300, 600
MOST_LINES_OF_THE_TRAINER, MOST_LINES_OF_A_BACKEND_IN_NUMPY = 250, 150
GENERATED = "#################   WARNING   ################"  # below it stands what d2lbook takes from the chapter

in_numpy = pytest.mark.quick


@pytest.fixture
def data(monkeypatch):
    """The images that come with the package, all of them."""
    monkeypatch.setenv("D2L_PROFILE", "smoke")
    data = FashionMNIST(batch_size=32)
    monkeypatch.setenv("D2L_PROFILE", "full")
    return data


def network(*hidden):
    np.random.seed(7)
    return Classifier(28 * 28, *hidden, 10, lr=0.2, momentum=0.5)


def fit(model, data, epochs=3, resume=False, **options):
    trainer = Trainer(epochs, **options)
    trainer.fit(model, data, resume=resume)
    return trainer


# NumPy


@in_numpy
@pytest.mark.parametrize("hidden", [(), (32,)], ids=["softmax regression", "network"])
def test_model_in_numpy_learns(data, hidden, capsys):
    model = network(*hidden)
    fit(model, data, epochs=6)
    losses = [y for _, y in model.board.curves["train_loss"]]
    assert losses[-1] < losses[0] / 2
    assert model.board.last["val_acc"] > 0.5
    said = capsys.readouterr().out
    assert "after 6 of 6 epochs, each of 256 examples" in said
    assert said.endswith(" examples/s on cpu in float64\n")


@in_numpy
def test_gradients_in_numpy_are_those_of_differences(data):
    model, (X, Y) = network(5), next(iter(data.val_dataloader()))
    model.loss(model(X), Y)
    gradients, step = model.gradients(), 1e-6
    for param, gradient in zip(model.parameters(), gradients, strict=True):
        place = np.unravel_index(np.abs(gradient).argmax(), param.shape)
        above, below = (model_loss(model, X, Y, param, place, h) for h in (step, -step))
        assert (above - below) / (2 * step) == pytest.approx(gradient[place], rel=1e-4)


def model_loss(model, X, Y, param, place, h):
    param[place] += h
    loss = model.loss(model(X), Y)
    param[place] -= h
    return loss


@in_numpy
@pytest.mark.parametrize("every", ["epoch", 3])
def test_run_in_numpy_that_is_stopped_resumes_to_the_same_numbers(data, tmp_path, every):
    whole = network(16)
    fit(whole, data)

    class Stopping(Trainer):
        def prepare_batch(self, batch):
            if self.train_batch_idx == 13:
                self.stop(KeyboardInterrupt("asked to stop"))
            return super().prepare_batch(batch)

    stopped = network(16)
    with pytest.raises(KeyboardInterrupt, match="asked to stop"):
        Stopping(3, checkpoint_dir=tmp_path, every=every).fit(stopped, data)
    assert np.abs(stopped.parameters()[0] - whole.parameters()[0]).max() > 0
    np.random.seed(99)
    resumed = Classifier(28 * 28, 16, 10, lr=0.2, momentum=0.5)
    fit(resumed, data, checkpoint_dir=tmp_path, every=every, resume=True)
    assert resumed.board.curves == whole.board.curves
    for mine, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@in_numpy
def test_run_in_numpy_writes_a_log(data, tmp_path):
    model, run = network(), Trainer(2)
    with RunLog(tmp_path / "run.jsonl") as log:
        run.observers = [LogObserver(log)]
        run.fit(model, data)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text("utf-8").splitlines()]
    assert [(line["epoch"], line["val_acc"]) for line in lines if "val_acc" in line] == model.board.curves["val_acc"]


@in_numpy
def test_gradients_in_numpy_are_clipped(data):
    model = network()
    before = [param.copy() for param in model.parameters()]
    fit(model, data, epochs=1, gradient_clip_val=1e-9)
    assert all(np.abs(a - b).max() < 1e-8 for a, b in zip(before, model.parameters(), strict=True))


# The seam


def declared(kind):
    """The methods that a class defines itself, without properties and what Python calls by itself."""
    return [name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")]


@in_numpy
def test_protocol_is_small_and_each_method_says_what_it_does():
    methods = declared(backend.Backend)
    assert 10 < len(methods) <= MOST_METHODS, methods
    assert [name for name in methods if not inspect.getdoc(getattr(backend.Backend, name))] == []


@in_numpy
def test_backend_in_numpy_is_short():
    lines = (ROOT / "tests" / "numpy_backend.py").read_text("utf-8").splitlines()
    assert len(lines) <= MOST_LINES_OF_A_BACKEND_IN_NUMPY


@pytest.mark.parametrize("name", NAMES)
def test_backends_have_no_methods_but_those_of_the_protocol(name):
    """In JAX, one more: the context in which all devices are in use."""
    kind = adapter(name).d2l.Trainer.backend_type
    own = set(declared(kind)) - set(declared(backend.Backend))
    assert own == ({"all_devices"} if name == "jax" else set())


def test_backends_have_the_same_files():
    folders = {name: {path.stem for path in (ROOT / "d2l/backends" / name).glob("*.py")} for name in NAMES}
    common = {"__init__", "backend", "data_modules", "devices", "models", "modules", "sgd", "trainer"}
    assert [(name, missing) for name, files in folders.items() if (missing := common - files)] == []


@in_numpy
def test_common_modules_know_no_framework():
    for path in (ROOT / "d2l").glob("*.py"):
        if path.stem in NAMES:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imported = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        imported += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
        assert not {name.partition(".")[0] for name in imported} & {*NAMES, "flax", "optax", "keras"}, path


def test_nothing_is_left_wrapped_after_fit(data):
    model, run = network(), Trainer(1)
    run.fit(model, data)
    assert type(run.train_dataloader) is type(data.train_dataloader())
    assert type(run.val_dataloader) is type(data.val_dataloader())


# Adding a framework

# Sources of the book, tests of one room, and what a verb writes from them.
NO_PLACES = re.compile(
    "recordings/|chapter_cnn/|bench/results/|d2l/backends/|CONTRIBUTING.md"
    "|tests/(reference|chapters|mutants|d2l|book|theme|bench|qa|hostile)/"
)


@in_numpy
def test_guide_lists_every_place_that_names_the_frameworks():
    """A place is a file of the repository that speaks of three of them; the guide names it, with its path."""
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    guide = guide[guide.index("## Add a framework") : guide.index("## Add a fault")].replace("\\", "")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    places = []
    for name in listed.stdout.splitlines():
        if NO_PLACES.match(name) or not (ROOT / name).is_file():
            continue
        text = (ROOT / name).read_bytes().lower()
        if all(framework in text for framework in (b"mxnet", b"jax", b"tensorflow")):
            places.append(name)
    assert len(places) > 10
    assert [name for name in places if name not in guide] == []


# The house


@in_numpy
def test_no_class_and_no_module_has_grown_too_long():
    too_long = []
    for path in [path for room in ("d2l", "book", "qa", "bench", "theme") for path in (ROOT / room).rglob("*.py")]:
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        lines = text.partition(GENERATED)[0].count("\n")
        if lines > MOST_LINES_OF_A_MODULE:
            too_long.append(f"{name}: {lines} lines")
        most = MOST_LINES_OF_THE_TRAINER if path.name == "trainer.py" else MOST_LINES_OF_A_CLASS
        classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        too_long += [f"{name}: {node.name}" for node in classes if node.end_lineno - node.lineno >= most]
    assert too_long == []
