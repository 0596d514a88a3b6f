"""The measurements: what they count, what they compare with, and the page made of them."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from contract.examples import Loaders

from bench import accuracy, child, fit, kernel_times, report, scaling, speed, step
from bench.adapters import ADAPTERS
from bench.training_flop import IMAGE, training_flop
from book.compile_notebooks import compile_source
from book.files import ROOT
from book.frameworks import FRAMEWORKS, is_installed
from book.source import Source
from d2l.batches import resize_matrix
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
        ("speeed", "full", "unknown part speeed: known are gpu, speed, fit, step, accuracy, imports"),
        ("gpu speed", "full", "gpu stands alone: it is speed, fit, step, within 8 minutes"),
        ("accuracy", "fast", "D2L_PROFILE='fast' is not a run profile"),
    ],
)
def test_mistakes_are_said_before_anything_is_measured(part, profile, message, monkeypatch):
    monkeypatch.setenv("D2L_PROFILE", profile)
    run = subprocess.run([sys.executable, "-m", "bench", *part.split()], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert message in run.stderr
    assert "$" not in run.stdout


# What a step consists of


@pytest.mark.parametrize(
    ("part", "kernel"),
    [
        (
            "convolutions, forward",
            "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64",
        ),
        ("convolutions, forward", "aten::mkldnn_convolution"),
        ("convolutions, forward", "jit(_train)/jvp(AlexNet.loss)/net/layers_3/conv_general_dilated sm90_xmma_fprop"),
        ("convolutions, backward", "sm90_xmma_wgrad_indexed_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc"),
        (
            "convolutions, backward",
            "sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x32",
        ),
        ("convolutions, backward", "aten::convolution_backward"),
        ("convolutions, backward", "jit(_train)/transpose(jvp(AlexNet.loss))/net/layers_3/conv_general_dilated cudnn"),
        ("layout", "void cudnn::engines_precompiled::nhwcToNchwKernel<__nv_bfloat16, __nv_bfloat16, float, true>"),
        (
            "layout",
            "elementwise_kernel<128, 2, at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda>",
        ),
        ("layout", "copy.195 copy_195"),
        ("dense layers", "nvjet_sm90_tst_64x64_64x13_2x1_v_bz_bias_TNT"),
        ("dense layers", "aten::addmm"),
        ("dense layers", "jit(_train)/transpose(jvp(AlexNet.loss))/net/layers_14/dot_general gemm_fusion_dot_2"),
        ("pooling, forward", "void at::native::(anonymous namespace)::max_pool_forward_nchw<c10::BFloat16, int>"),
        ("pooling, forward", "_bias_relu_pool"),
        ("pooling, forward", "jit(_train)/jvp(AlexNet.loss)/AlexNet.forward/net/reduce_window_max loop_fusion"),
        ("pooling, backward", "void at::native::(anonymous namespace)::max_pool_backward_nhwc<c10::BFloat16, float>"),
        ("pooling, backward", "aten::max_pool2d_with_indices_backward"),
        ("pooling, backward", "_unpool"),
        ("pooling, backward", "jit(_train)/transpose(jvp(AlexNet.loss))/AlexNet.forward/net/add loop_add_fusion"),
        (
            "ReLU",
            "vectorized_elementwise_kernel<8, at::native::(anonymous namespace)::launch_clamp_scalar(at::Tensor)>",
        ),
        ("ReLU", "_relu_backward"),
        ("ReLU", "jit(_train)/transpose(AlexNet.step)/jvp(AlexNet.loss)/net/select_n loop_select_fusion"),
        ("bias", "elementwise_kernel<128, 4, gpu_kernel_impl_nocast<at::native::CUDAFunctor_add<c10::BFloat16> > >"),
        ("bias", "jit(_train)/transpose(jvp(AlexNet.loss))/net/layers_3/reduce_sum input_reduce_fusion"),
        ("optimizer", "multi_tensor_apply_kernel<TensorListMetadata<2>, FusedSgdMathFunctor<float, 2> >"),
        ("optimizer", "jit(_train)/add loop_add_fusion_4"),
        ("dropout", "void at::native::(anonymous namespace)::fused_dropout_kernel_vec<c10::BFloat16, float>"),
        (
            "casts and copies",
            "vectorized_elementwise_kernel<8, at::native::bfloat16_copy_kernel_cuda(at::TensorIterator)>",
        ),
        ("casts and copies", "aten::copy_"),
        ("images", "jit(_scaled_and_resized)/rh,bhw,cw->brc/dot_general gemm_fusion_dot"),
        ("the rest", "void at::native::nll_loss_forward_reduce_cuda_kernel_2d<float>"),
    ],
)
def test_kernel_is_of_a_part_of_the_step_by_its_name(part, kernel):
    assert kernel_times.part_of(kernel) == part


def test_kernels_of_xla_have_the_names_that_jax_traced():
    step = """
  %fusion.1 = f32[8]{0} fusion(%a), kind=kLoop, metadata={op_name="jit(train)/mul" stack_frame_id=1}
  ROOT %loop-add.2 = (f32[8]{0}) fusion(%fusion.1), metadata={op_name="jit(train)/add"}
"""
    resizing = '%fusion.1 = f32[8]{0} fusion(%a), metadata={op_name="jit(resized)/dot_general"}'
    events = [
        ("kernel", {"hlo_op": "fusion.1", "hlo_module": "jit_resized"}, 1e9),
        ("kernel", {"hlo_op": "fusion.1", "hlo_module": "jit_train"}, 2e9),
        ("fusion_1", {}, 3e9),  # in a CUDA graph
        ("loop_add_2", {}, 4e9),
        ("loop_add_2", {}, 5e9),
        ("MemcpyD2D", {}, 6e9),
    ]
    assert kernel_times.traced(events, {"jit_resized": resizing, "jit_train": step}) == {
        "jit(resized)/dot_general kernel": 1,
        "jit(train)/mul kernel": 2,
        "jit(train)/mul fusion_1": 3,
        "jit(train)/add loop_add_2": 9,
        "MemcpyD2D MemcpyD2D": 6,
    }


def test_profiler_of_jax_is_read(monkeypatch):
    """On a CPU there is no kernel of a GPU in what it writes."""
    jax = pytest.importorskip("jax")
    if importlib.util.find_spec("tensorflow"):  # JAX's profiler switches TensorFlow's on and off, and breaks it
        trace = importlib.import_module("tensorflow.python.profiler.trace")
        monkeypatch.setattr(trace, "enabled", trace.enabled)  # is put back
    assert kernel_times.jax_kernels(lambda: jax.numpy.ones(3).sum().block_until_ready()) == {}


def test_step_of_pytorch_is_divided_into_its_parts(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
    from d2l import torch as d2l

    epochs, X, y = [], torch.rand(8, 1, 28, 28), torch.arange(8)
    monkeypatch.setattr(d2l, "Trainer", d2l.Trainer)  # is put back
    monkeypatch.setenv("D2L_PROFILE", "smoke")

    def run_cells(tab, section, until):
        model, trainer = d2l.LeNet(lr=0.1), d2l.Trainer(max_epochs=10)
        trainer.fit(model, Loaders([(X, y)] * 4, [(X, y)]))
        epochs.append((trainer.epoch + 1, trainer.val_batch_idx))
        return {until: trainer}

    monkeypatch.setattr(step, "run_cells", run_cells)
    found = step.measure("pytorch", "lenet")
    assert epochs == [(3, 0)]
    assert {"convolutions, forward", "convolutions, backward", "dense layers", "optimizer"} <= set(found["parts"])
    # Of one step of the four: the profiler's own time is in none of them.
    assert 0 < sum(found["parts"].values()) < 4 * found["seconds"]


def test_step_is_not_divided_where_no_profiler_tells(monkeypatch, capsys):
    framework = SimpleNamespace(d2l=SimpleNamespace(num_gpus=lambda: 0))
    monkeypatch.setattr(step, "ADAPTERS", {"jax": lambda: framework})
    assert step.measure("jax") == {}
    assert "jax has no profiler here" in capsys.readouterr().err


def test_parts_of_a_step_become_a_table():
    found = {
        "pytorch": {"seconds": 0.004, "parts": {"the rest": 0.001, "images": 0.0005}},
        "jax": {"seconds": 0.003, "parts": {"dense layers": 0.002}},
    }
    assert report.tables({"step": found}, ["step"]).splitlines() == [
        "| milliseconds of a step of 128 images | pytorch | jax |",
        "| --- | --- | --- |",
        "| images | 0.50 | 0.00 |",
        "| dense layers | 0.00 | 2.00 |",
        "| the rest | 1.00 | 0.00 |",
        "| **all of them** | 1.50 | 2.00 |",
        "| the step, not profiled | 4.00 | 3.00 |",
    ]


def test_training_in_the_page_becomes_a_table():
    together = {"rate": 2200, "epochs": 17.2, "longest_task": 0}
    found = {
        "sigmoid": together | {"ours": 1300.0, "convnetjs": 400.0, "accuracy": 0.1},
        "ReLU": together | {"ours": 1200.0, "convnetjs": 300.0, "accuracy": 0.816},
    }
    assert report.tables({"network": found}, ["network"]).splitlines()[2:] == [
        "| sigmoid | 1,300 | 400 | 3.25 | 2,200 | 10% after 17.2 epochs | none |",
        "| ReLU | 1,200 | 300 | 4.00 | 2,200 | 82% after 17.2 epochs | none |",
    ]


# The training cell, and all that is measured on a GPU


@pytest.mark.slow
def test_training_cell_is_timed_in_a_notebook(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed here")
    monkeypatch.setenv("D2L_PROFILE", "smoke")
    clock = iter(range(1000))
    monkeypatch.setattr(fit, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    section = compile_source(Source.read(ROOT / "chapter_cnn" / "lenet.md"), "pytorch")
    found = fit.timed(section)
    assert (found["profile"], found["seconds"], found["epochs"]) == ("smoke", 1, 2)
    assert 0 <= found["val_acc"] <= 1
    assert not any(cell.get("outputs") for cell in section.notebook.cells)


def test_training_cell_is_timed_without_compiled_code_and_with_it(monkeypatch):
    runs, there = [], []

    def timed(section):
        folders = [Path(os.environ[variable]) for variable in fit.CACHES]
        there.append({folder.exists() for folder in folders})
        for folder in folders:
            folder.mkdir(exist_ok=True)
        runs.append(folders)
        return {"seconds": len(runs)}

    for variable in fit.CACHES:
        monkeypatch.setenv(variable, "of the user")
    monkeypatch.setattr(fit, "timed", timed)
    assert fit.measure("jax") == {"first": {"seconds": 1}, "again": {"seconds": 2}}
    assert (there, runs[0]) == ([{False}, {True}], runs[1])
    assert not any(folder.exists() for folder in runs[0])


def test_countdown_says_what_is_measured_and_bounds_it(monkeypatch, capsys):
    clock, calls = iter([0, 0, 90, 300]), []
    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(child, "run_child", lambda *arguments, **options: calls.append((arguments, options)))
    run = child.Countdown([40, 100, 70], limit=240)
    run("fit", "jax", A="b")
    run("fit", "jax")
    run("step", "jax")
    said = ["fit jax: about 3:30 left", "fit jax: about 2:30 left", "step jax: about 0:00 left"]
    assert capsys.readouterr().out.splitlines() == said
    assert [options for _, options in calls] == [{"A": "b", "timeout": 240}, {"timeout": 150}, {"timeout": 0}]


def test_measurement_that_takes_too_long_is_ended():
    with pytest.raises(subprocess.TimeoutExpired):
        child.run_child("adapters", "pytorch", timeout=0.01)


def test_gpus_that_a_framework_can_use_are_counted_in_a_process_of_its_own():
    assert child.run_child("adapters", "pytorch", CUDA_VISIBLE_DEVICES="") == 0


SIDE = {"images": 60_000, "first_epoch": 3.0, "epoch": 1.5, "memory": 2e9, "gpu_memory": 1e9, "batches": 50_000.0}
CANNED = {
    "speed": SIDE | {"dtype": "bfloat16", "flops": 7.8e14},
    "fit": {
        "first": {"profile": "full", "seconds": 26.0, "epochs": 10, "val_acc": 0.9},
        "again": {"profile": "full", "seconds": 16.0, "epochs": 10, "val_acc": 0.9},
    },
    "step": {"seconds": 0.003, "parts": {"images": 0.001}},
}


@pytest.fixture
def measuring(monkeypatch, tmp_path):
    """``python -m bench gpu`` with results that are given: its module, what it runs, and whose GPUs there are."""
    gpus, main, runs = {"pytorch": 0, "jax": 1}, importlib.import_module("bench.__main__"), []

    def run_child(module, *arguments, timeout=None, **environment):
        if module == "adapters":
            return gpus[arguments[0]]
        runs.append((module, *arguments))
        return CANNED[module]

    monkeypatch.setattr(sys, "argv", ["bench", "gpu"])
    monkeypatch.setattr(main, "is_installed", gpus.__contains__)
    monkeypatch.setattr(main, "version", lambda module: "1.0")
    monkeypatch.setattr(main, "hardware", lambda: "a machine, one GPU")
    for module, name, value in [
        (main, "run_child", run_child),
        (child, "run_child", run_child),
        (main, "ROOT", tmp_path),
        (report, "RESULTS", tmp_path),
        (report, "REPORT", tmp_path / "README.md"),
    ]:
        monkeypatch.setattr(module, name, value)
    return main, runs, gpus


def test_all_of_a_gpu_is_measured_by_one_command(measuring, tmp_path, capsys):
    main, runs, _ = measuring
    assert main.main() == 0
    assert runs == [("speed", "jax", "helper"), ("speed", "jax", "plain"), ("fit", "jax"), ("step", "jax")]
    results = json.loads((tmp_path / "a-machine-one-gpu.json").read_text("utf-8"))
    assert {part: results[part] for part in ("fit", "step")} == {
        part: {"jax": CANNED[part]} for part in ("fit", "step")
    }
    said = capsys.readouterr().out
    assert "speed jax helper: about 3:00 left" in said
    assert "| jax | 40,000.0 | 40,000.0 | 1.00 | 140," in said
    assert "| jax | full | 10 | 26.0 | 16.0 | 0.900 |" in said
    assert "| the step, not profiled | 3.00 |" in said
    assert "| the step, not profiled | 3.00 |" in (tmp_path / "README.md").read_text("utf-8")


def test_measuring_a_gpu_without_one_says_in_a_line_what_is_needed(measuring, tmp_path, capsys):
    main, runs, gpus = measuring
    gpus["jax"] = 0
    with pytest.raises(SystemExit, match=r"^error: gpu needs a GPU that a framework installed here can use; [^\n]*$"):
        main.main()
    assert (runs, list(tmp_path.iterdir()), capsys.readouterr().out) == ([], [], "")
