"""The measurements: what they count, what they compare with, and the page made of them."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bench import report, speed
from bench.frameworks import FRAMEWORKS
from bench.work import training_flop
from book.source import FRAMEWORKS as MODULES
from book.source import ROOT, is_installed
from d2l.data import resize_matrix
from d2l.plotting import to_numpy


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request):
    if not is_installed(request.param):
        pytest.skip(f"{MODULES[request.param]} is not installed here")
    return FRAMEWORKS[request.param]()


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 28, 28), np.uint8), np.array([0, 9, 4], np.uint8)


def test_arithmetic_of_a_training_step_is_what_pytorch_counts():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from d2l import torch as d2l

    model = d2l.AlexNet()
    X = torch.zeros(2, 1, 224, 224)
    model.apply_init([X])
    with FlopCounterMode(display=False) as counter:
        model.loss(model(X), torch.zeros(2, dtype=torch.int64)).backward()
    assert counter.get_total_flops() == 2 * training_flop()


def test_plain_loader_gives_the_images_that_the_helper_gives(framework, examples):
    images, labels = examples
    (X, y), *rest = framework.loader(images, labels, train=False)
    matrix = resize_matrix(224, 28)
    exact = matrix @ (images / np.float32(255)) @ matrix.T
    # The plain recipes round to whole grey levels.
    np.testing.assert_allclose(to_numpy(X).reshape(exact.shape), exact, atol=2 / 255)
    assert (to_numpy(y).tolist(), rest) == (labels.tolist(), [])


def test_plain_recipe_trains_and_validates(framework, examples):
    images, labels = examples
    framework.seed(0)
    train, validate = framework.recipe()
    (batch,) = framework.loader(images, labels, train=True)
    assert train(batch) == pytest.approx(np.log(10), abs=0.2)
    assert validate(batch) in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)


def test_matrix_product_of_every_framework_is_timed(framework):
    assert speed.matrix_product(framework, 64) > 0


def test_rate_of_a_loader_counts_images_after_its_first_batch(monkeypatch):
    clock = iter([0.0, 2.0] * 3)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert speed.batches_rate([(np.zeros((n, 1)), np.zeros(n)) for n in (8, 8, 4)]) == 6


def test_accuracies_of_seeds_become_a_table():
    found = {"profile": "full", "auto": [0.90, 0.91, 0.92], "float32": [0.91, 0.91, 0.91]}
    table = report._accuracy({"pytorch": found})
    assert "| pytorch | full | 0.910 ± 0.010 | 0.910 ± 0.000 |" in table


def test_page_is_what_the_recorded_results_say():
    assert report.REPORT.read_text("utf-8") == report.page(), "make bench writes it; it is not edited by hand"


def test_page_shows_what_there_is_of_a_machine(tmp_path, monkeypatch):
    results = {"hardware": "a machine", "versions": {"python": "3"}, "date": "2020-01-01", "build": {"all": 2.04}}
    (tmp_path / "one.json").write_text(json.dumps(results))
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    assert "## a machine" in report.page()
    assert "| all | 2.0 |" in report.page()


@pytest.mark.parametrize(
    ("part", "profile", "message"),
    [
        ("speeed", "full", "unknown part speeed: known are speed, imports, build, scaling, page, accuracy"),
        ("accuracy", "fast", "D2L_PROFILE='fast' is not a run profile"),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(part, profile, message, monkeypatch):
    monkeypatch.setenv("D2L_PROFILE", profile)
    run = subprocess.run([sys.executable, "-m", "bench", part], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert message in run.stderr
    assert "$" not in run.stdout
