"""The measurements: what they count, what they compare with, and the page made of them."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bench import accuracy, report, scaling, speed
from bench.frameworks import ADAPTERS
from bench.work import IMAGE, training_flop
from book.files import ROOT
from book.frameworks import FRAMEWORKS, is_installed
from d2l.data import resize_matrix
from d2l.plotting import to_numpy


@pytest.fixture(scope="module", params=ADAPTERS)
def framework(request):
    if not is_installed(request.param):
        pytest.skip(f"{FRAMEWORKS[request.param].module} is not installed here")
    return ADAPTERS[request.param]()


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
    losses = [train(batch) for _ in range(8)]
    assert losses[0] == pytest.approx(np.log(10), abs=0.2)
    assert sum(losses[-2:]) < sum(losses[:2]) - 0.1  # dropout alone moves a loss by 0.04
    assert validate(batch) in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)


def test_matrix_product_of_every_framework_is_timed(framework):
    assert speed.matrix_product(framework, 64) > 0


def test_rate_of_a_loader_counts_images_after_its_first_batch(monkeypatch):
    clock = iter([0.0, 2.0] * 3)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert speed.batches_rate([(np.zeros((n, 1)), np.zeros(n)) for n in (8, 8, 4)]) == 6


def measured_accuracy(monkeypatch, dtype, gpus):
    """Of a framework that by itself computes in this: what is found, and its trainings, each a seed and a precision."""
    trainings, seeds = [], []
    d2l = SimpleNamespace(Trainer=lambda precision: precision, num_gpus=lambda: gpus)

    def run_cells(tab):
        trainings.append((seeds[-1], d2l.Trainer()))
        curves = {"val_acc": [(1, 0.1), (2, len(trainings) / 10)]}
        return {"model": SimpleNamespace(board=SimpleNamespace(curves=curves))}

    framework = SimpleNamespace(dtype=dtype, seed=seeds.append, d2l=d2l)
    monkeypatch.setattr(accuracy, "ADAPTERS", {"pytorch": lambda: framework})
    monkeypatch.setattr(accuracy, "run_cells", run_cells)
    return accuracy.measure("pytorch"), trainings


@pytest.mark.parametrize(("dtype", "gpus"), [("bfloat16", 0), ("float32", 1)])
def test_accuracy_is_the_last_of_each_seed_in_each_precision(monkeypatch, dtype, gpus):
    found, trainings = measured_accuracy(monkeypatch, dtype, gpus)
    assert trainings == [(seed, precision) for seed in range(3) for precision in ("auto", "float32")]
    assert found == {"auto": [0.1, 0.3, 0.5], "float32": [0.2, 0.4, 0.6]}


def test_accuracy_is_not_measured_where_precisions_are_the_same(monkeypatch, capsys):
    assert measured_accuracy(monkeypatch, "float32", gpus=0) == ({}, [])
    assert "pytorch computes in float32 by itself here" in capsys.readouterr().err


def test_accuracies_of_seeds_become_a_table():
    found = {"profile": "full", "auto": [0.90, 0.91, 0.92], "float32": [0.91, 0.91, 0.91]}
    table = report._accuracy({"pytorch": found})
    assert "| pytorch | full | 0.910 ± 0.010 | 0.910 ± 0.000 |" in table


def processes_with(**seconds: float) -> list[dict[str, float]]:
    """Results of a network in one process and in two, those of two with these seconds."""
    return [
        {"processes": 1, "bytes": 2**20, "alone": 1.0, "all_reduce": 0.0, "step": 1.01},
        {"processes": 2, "bytes": 2**20, **seconds},
    ]


def test_step_of_processes_is_predicted_from_one_and_their_all_reduce():
    results = processes_with(alone=1.5, all_reduce=0.25, step=1.75)
    assert [scaling.predicted(results, n) for n in (1, 2)] == [1.0, 1.25]
    table = report._scaling({"a net": results})
    assert "| a net, 1.0 MiB of gradients | 2 | 1.50 | 0.25 | 1.25 | 1.75 | 1.40 |" in table


def test_networks_that_are_measured_differ_in_their_dense_layers_only():
    pytest.importorskip("torch", reason="PyTorch is not installed here: it is what the processes train with")
    tables = [network().layer_table((1, 1, *IMAGE)) for network in scaling.networks().values()]
    alexnet, slim = ([layer for layer in table if layer.parameters] for table in tables)
    assert slim[:-1] == alexnet[:5]
    assert (slim[-1].inputs, slim[-1].outputs) == (256, 10)


def test_processes_measure_a_step_and_an_all_reduce(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here: it is what the processes train with")
    from d2l import torch as d2l

    class Small(d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))

    sums, all_reduce = [], torch.distributed.all_reduce
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        monkeypatch.setattr(
            torch.distributed, "all_reduce", lambda numbers: sums.append(numbers.nbytes) or all_reduce(numbers)
        )
        found = scaling.measure_here(Small())
    finally:
        torch.distributed.destroy_process_group()
    size = 4 * 10 * (IMAGE[0] * IMAGE[1] + 1)
    assert (found["processes"], found["bytes"], set(sums)) == (1, size, {size})
    assert min(found[name] for name in ("alone", "all_reduce", "step")) > 0


def test_runs_become_their_medians():
    runs = [processes_with(alone=n, all_reduce=n, step=n)[1] for n in (1.0, 5.0, 2.0)]
    assert scaling._medians(runs) == processes_with(alone=2.0, all_reduce=2.0, step=2.0)[1]


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
