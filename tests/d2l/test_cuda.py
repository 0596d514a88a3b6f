"""What PyTorch does on NVIDIA's GPUs only, tried on a CPU: the control flow of CUDA graphs, fused layers, kernels."""

import copy
import importlib.util
import os
import random
import subprocess
import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from contract.fixtures import skip_without_gpu
from torch import nn

from book import install as installation
from book.files import ROOT
from d2l import torch as d2l
from d2l.backends.torch import backend, cuda_graphs
from d2l.backends.torch.cuda_graphs import MOST_KINDS
from d2l.backends.torch.fused_layers import fused_layers, usable_kernels
from d2l.backends.torch.fused_optimizers import fused

TRITON = ROOT / installation.TRITON

pytestmark = [pytest.mark.quick, pytest.mark.helper]


class FakeCapturer:
    """Captures a step as a GPU would: nothing happens meanwhile, and replays write where the captured step would."""

    def __init__(self, waits=False):
        self.waits, self.captures, self.replays = waits, 0, 0

    def watch(self, run):
        return run(), self.waits

    def capture(self, run):
        optimizer, model = self.optimizer, self.model
        rates = [group["lr"] for group in optimizer.param_groups] if hasattr(optimizer, "param_groups") else []
        states = optimizer.state.values() if rates else []
        tensors = [*model.state_dict().values(), *(x for state in states for x in state.values() if x is not None)]
        kept, random_state = [x.clone() for x in tensors], torch.get_rng_state()
        metrics = run()
        self.captures += 1
        for x, old in zip(tensors, kept, strict=True):
            x.copy_(old)
        torch.set_rng_state(random_state)

        def replay():
            self.replays += 1
            with cuda_graphs.rates_on_device(optimizer, rates), cuda_graphs._without_step_hooks(optimizer):
                again = run()
            for key, value in again.values.items():
                metrics.values[key].copy_(value)

        return metrics, replay


class Net(d2l.Classifier):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Softplus(), nn.Linear(8, 4))


class Run:
    """Training steps on batches, as they are or with a capturer as graphs."""

    def __init__(self, model, capturer=None, make_optimizer=None):
        self.model, self.capturer, self.lines, self.losses = model, capturer, [], []
        trainer = d2l.Trainer(max_epochs=1)
        trainer.prepare_model(model)
        self.optimizer = (make_optimizer or (lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)))(
            model.parameters()
        )
        self.step = trainer.backend._train_step
        if capturer:
            capturer.model, capturer.optimizer = model, self.optimizer
            self.step = cuda_graphs.GraphedStep(self.step, "training_step", capturer, self.lines.append)

    def train(self, batches, clip=None):
        torch.manual_seed(2)
        random.seed(2)
        for batch in batches:
            self.losses.append(float(self.step(self.model, self.optimizer, batch, clip).values["loss"]))


@pytest.fixture
def batches():
    torch.manual_seed(0)
    return [(torch.rand(n, 1, 4, 4), torch.randint(4, (n,))) for n in [8] * 12 + [5]]


@pytest.fixture
def both(batches):
    """Train two copies of a model, as it is and as graphs, with what happens between two epochs; gives the second."""

    def train(model, make_optimizer=None, between=lambda run: None, capturer=None, clip=None):
        plain = Run(copy.deepcopy(model), make_optimizer=make_optimizer)
        graphed = Run(model, capturer or FakeCapturer(), make_optimizer)
        for run in (plain, graphed):
            run.train(batches, clip)
            between(run)
            run.train(batches, clip)
        assert graphed.losses == pytest.approx(plain.losses, abs=1e-6)
        for a, b in zip(plain.model.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(a, b)
        return graphed

    return train


def test_a_graph_is_captured_once_and_trains_as_steps_do(both):
    run = both(Net())
    assert run.capturer.captures == 1
    assert run.capturer.replays == 19  # of 26: five before the capture, and the short batch at the end of each epoch
    assert run.lines == []


@pytest.mark.parametrize("make_optimizer", [None, lambda params: d2l.SGD(params, 0.1)])
def test_each_kind_of_optimizer_trains_as_it_does_by_itself(both, make_optimizer):
    assert both(Net(), make_optimizer).capturer.captures == 1


def set_rate(run):
    run.optimizer.param_groups[0]["lr"] = 0.01


def add_schedule(run):
    scheduler = torch.optim.lr_scheduler.ExponentialLR(run.optimizer, 0.9)
    run.optimizer.register_step_post_hook(lambda *_: scheduler.step())


@pytest.mark.parametrize("between", [set_rate, add_schedule])
def test_other_learning_rates_need_no_other_graph(both, between):
    run = both(Net(), between=between)
    assert run.optimizer.param_groups[0]["lr"] < 0.1
    assert isinstance(run.optimizer.param_groups[0]["lr"], float)


def test_a_schedule_of_each_step_needs_no_other_graph(batches):
    losses = []
    for capturer in (None, FakeCapturer()):
        torch.manual_seed(1)
        run = Run(Net(), capturer)
        add_schedule(run)
        run.train(2 * batches)
        losses.append(run.losses)
        assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**26)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert capturer.captures == 1


def bend(run):
    run.model.net[2].beta = 3.0


def freeze(run):
    run.model.net[1].weight.requires_grad_(False)


def new_weights(run):
    run.model.net[1].weight.data = torch.ones_like(run.model.net[1].weight)


def more_momentum(run):
    run.optimizer.param_groups[0]["momentum"] = 0.5


def other_state(run):
    run.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))


@pytest.mark.parametrize("between", [bend, freeze, new_weights, more_momentum, other_state])
def test_a_changed_setting_is_heeded(both, between):
    run = both(Net(), between=between)
    assert run.capturer.captures == 2
    assert run.lines == []


def test_gradients_are_clipped_in_the_graph(both):
    trainer = d2l.Trainer(max_epochs=1)
    assert both(Net(), clip=partial(trainer.clip_gradients, 0.01)).capturer.captures == 1


def test_gradients_are_those_of_the_last_step_also_after_a_short_batch(batches):
    run = Run(Net(), FakeCapturer())
    run.train(batches + batches[:1])
    graph = run.step._graph
    for parameter, (own, gradient) in zip(run.model.parameters(), graph.gradients, strict=True):
        assert parameter is own
        assert parameter.grad is gradient


class OwnStep(Net):
    def training_step(self, batch):
        return super().training_step(batch)


class Counts(Net):
    calls = 0

    def forward(self, X):
        self.calls += 1
        return super().forward(X / self.calls)


class Remembers(Net):
    last: torch.Tensor | None = None

    def forward(self, X):
        Y = super().forward(X)
        seen = 0 if self.last is None or len(self.last) != len(Y) else self.last
        self.last = Y.detach()
        return Y + seen


class Draws(Net):
    def forward(self, X):
        return super().forward(X) * random.random()


class Prints(Net):
    def forward(self, X):
        print("shape", tuple(X.shape))
        return super().forward(X)


class PlotsPython(Net):
    def loss(self, Y_hat, Y, averaged=True):
        self.plot("examples", len(Y), train=True)
        return super().loss(Y_hat, Y, averaged)


class AsksTrainer(Net):
    def loss(self, Y_hat, Y, averaged=True):
        return super().loss(Y_hat, Y, averaged) / (1 + self.trainer.epoch)


def hooked():
    model = Net()
    model.net[1].register_forward_hook(lambda layer, inputs, output: output / 2)
    return model


class Momentum:
    """An optimizer written by hand, which keeps new tensors from step to step."""

    def __init__(self, params):
        self.params = list(params)
        self.velocities = [torch.zeros_like(x) for x in self.params]

    def zero_grad(self):
        for x in self.params:
            x.grad = None

    def step(self):
        for i, x in enumerate(self.params):
            self.velocities[i] = 0.9 * self.velocities[i] + x.grad
            x -= 0.1 * self.velocities[i]


def rms(params):
    return torch.optim.RMSprop(params, lr=0.001)


@pytest.mark.parametrize(
    ("make_model", "make_optimizer", "waits", "reason"),
    [
        (OwnStep, None, False, "OwnStep defines it anew"),
        (Counts, None, False, "change again and again"),
        (Remembers, None, False, "change again and again"),
        (Draws, None, False, "changes or draws numbers in Python"),
        (Prints, None, False, "the step prints"),
        (PlotsPython, None, False, "a number that Python has computed"),
        (AsksTrainer, None, False, "asks for trainer.epoch"),
        (hooked, None, False, "a layer has a hook"),
        (Net, rms, False, "RMSprop is none of"),
        (Net, Momentum, False, "change again and again"),
        (Net, None, True, "waits for the GPU"),
    ],
)
@pytest.mark.fault("A training step in PyTorch that no CUDA graph can do, on a GPU")
def test_what_a_graph_cannot_do_runs_as_it_is_and_says_so_once(
    both, capsys, sees, make_model, make_optimizer, waits, reason
):
    run = both(make_model(), make_optimizer, capturer=FakeCapturer(waits))
    (line,) = run.lines
    assert reason in line
    assert line.startswith("training_step runs without a CUDA graph")
    sees(line)
    assert run.capturer.replays == 0
    assert capsys.readouterr().out.count("shape") == (2 * 26 if make_model is Prints else 0)


def test_settings_that_change_with_each_step_end_the_search_for_a_graph(batches):
    run = Run(Net(), FakeCapturer())
    for batch in 2 * batches:
        run.optimizer.param_groups[0]["weight_decay"] += 0.001
        run.train([batch])
    (line,) = run.lines
    assert "change again and again" in line
    assert run.capturer.captures == 0
    assert len(run.step._taken) <= MOST_KINDS


def test_fused_optimizer_keeps_its_users_settings(batches):
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    before = copy.deepcopy(optimizer.state_dict()["param_groups"])
    for X, y in batches[:2]:
        model.loss(model(X), y).backward()
        with fused(optimizer):
            assert optimizer.param_groups[0]["fused"] is True
            optimizer.step()
    assert optimizer.state_dict()["param_groups"] == before


@pytest.mark.parametrize("chosen", [{"foreach": True}, {"fused": False}, {"differentiable": True}])
def test_an_optimizer_whose_way_was_chosen_goes_that_way(chosen):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, **chosen)
    before = dict(optimizer.param_groups[0])
    with fused(optimizer):
        assert optimizer.param_groups[0] == before


class ConvNet(d2l.Classifier):
    """AlexNet's kinds of layers, small."""

    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            *(nn.LazyConv2d(12, kernel_size=5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.LazyConv2d(8, kernel_size=3, padding="same"), nn.ReLU()),
            *(nn.LazyConv2d(8, kernel_size=3, padding=1), nn.Sigmoid(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.LazyLinear(10)),
        )


@pytest.fixture
def fake_gpu(monkeypatch):
    """Have the CPU taken for one of NVIDIA's GPUs that computes in bfloat16, and graphs captured by a fake."""
    capturers = []

    class Capturer(FakeCapturer):
        def __init__(self, device):
            super().__init__()
            capturers.append(self)

    def configure(self, model, real=backend.Backend.configure):
        optimizer = real(self, model)
        for capturer in capturers:
            capturer.model, capturer.optimizer = model, optimizer
        return optimizer

    monkeypatch.setattr(backend.Backend, "_is_cuda", True)
    monkeypatch.setattr(backend.Backend, "configure", configure)
    monkeypatch.setattr(backend, "CUDACapturer", Capturer)
    monkeypatch.setattr(backend, "usable_kernels", lambda device: (None, "Failed to find C compiler"))
    return capturers


@pytest.mark.fault("PyTorch on a GPU without a C compiler, which kernels in Triton need")
def test_fit_goes_the_way_of_a_gpu_and_comes_to_the_same_curves(fake_gpu, monkeypatch, capsys, sees):
    monkeypatch.setenv("D2L_PROFILE", "smoke")
    curves = []
    for on_gpu in (False, True):
        monkeypatch.setattr(backend.Backend, "_is_cuda", on_gpu)
        torch.manual_seed(0)
        model = ConvNet()
        trainer = d2l.Trainer(max_epochs=6, precision="bfloat16")
        trainer.fit(model, d2l.FashionMNIST(batch_size=16))
        curves.append({name: [y for _, y in points] for name, points in model.board.curves.items()})
        assert "forward" not in vars(model.net)
    said = "Convolutions run without kernels of their own, slower: Failed to find C compiler"
    assert capsys.readouterr().out.splitlines().count(said) == 1
    sees(said)
    capturer = fake_gpu[0]
    assert capturer.captures == 2  # a step of training and one of validation
    for name, values in curves[0].items():
        assert curves[1][name] == pytest.approx(values, abs=0.05), name


GEOMETRIES = [
    # kernel, stride, padding, height, width, channels
    (11, 4, 0, 39, 43, 1),
    (11, 4, 2, 40, 40, 3),
    (5, 2, (1, 2), 17, 20, 3),
    (3, 3, 0, 9, 10, 7),
    (3, 1, "same", 9, 10, 1),
    (3, 1, "valid", 9, 10, 9),
    (2, 4, 0, 9, 10, 2),
    ((3, 5), 2, 1, 9, 11, 2),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "height", "width", "channels"), GEOMETRIES)
def test_fused_layers_compute_what_layers_do(kernel, stride, padding, height, width, channels):
    torch.manual_seed(0)
    model = d2l.Classifier()
    conv = nn.Conv2d(channels, 16, kernel, stride, padding)
    model.net = nn.Sequential(conv, nn.ReLU())
    X = torch.randn(4, channels, height, width)
    expected = model.net(X)
    expected.square().sum().backward()
    gradients = [conv.weight.grad, conv.bias.grad]
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), fused_layers(model):
        Y = model.net(X)
    assert Y.dtype == torch.bfloat16
    Y.float().square().sum().backward()
    for found, right in zip([Y, conv.weight.grad, conv.bias.grad], [expected, *gradients], strict=True):
        assert (found - right).norm() <= 0.02 * right.norm()


def test_layers_that_others_see_run_as_they_are():
    seen: list[torch.Size] = []
    model = ConvNet()
    X = torch.rand(2, 1, 28, 28)
    model.apply_init([X])
    model.net[1].register_forward_hook(lambda layer, inputs, output: seen.append(output.shape))
    with torch.autocast("cpu", torch.bfloat16), fused_layers(model):
        model.net(X)
    assert seen == [(2, 12, 12, 12)]


@pytest.mark.fault("A convolution larger than its image, in PyTorch on a GPU")
def test_a_kernel_larger_than_the_image_is_pytorchs_error(sees):
    model = d2l.Classifier()
    model.net = nn.Sequential(nn.Conv2d(1, 4, 11, stride=4), nn.ReLU())
    too_large = pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size")
    with torch.autocast("cpu", torch.bfloat16), fused_layers(model), too_large as caught:
        model.net(torch.rand(1, 1, 8, 8))
    sees(f"RuntimeError: {caught.value}")


def path_with_triton() -> str:
    """Folders for PYTHONPATH, with that of Triton."""
    if not (TRITON / "triton").exists() and importlib.util.find_spec("triton") is None:
        pytest.skip(f"needs Triton, which make test installs in {TRITON.relative_to(ROOT)} under Linux on x86-64")
    return os.pathsep.join([*sys.path, str(TRITON)])


def test_kernels_compute_what_operations_do():
    """Triton's interpreter runs the kernels on a CPU, in a process of its own."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": path_with_triton()}
    command = [sys.executable, ROOT / "tests/d2l/compare_kernels.py", "cpu"]
    run = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["8", "geometries"]


# On a GPU


@pytest.fixture
def gpu():
    skip_without_gpu(d2l)


def test_a_cpu_has_no_kernels():
    module, reason = usable_kernels(torch.device("cpu"))
    assert module is None
    assert reason


def test_kernels_are_left_out_where_tensorflow_is_imported(monkeypatch):
    """Triton loaded after TensorFlow may end the process: see `test_pytorchs_module_imports_no_triton`."""
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    module, reason = usable_kernels.__wrapped__(torch.device("cuda"))
    assert module is None
    assert "TensorFlow is imported in this process" in reason


@pytest.mark.usefixtures("gpu")
def test_kernels_compute_what_operations_do_on_a_gpu():
    environment = os.environ | {"PYTHONPATH": path_with_triton()}
    command = [sys.executable, ROOT / "tests/d2l/compare_kernels.py", "cuda"]
    run = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr


def train_on_gpu(model, monkeypatch, graphs, precision="float32", **arguments):
    """The training losses of three epochs, and what was printed by the helper."""
    lines: list[str] = []
    monkeypatch.setattr(backend.Backend, "_is_cuda", graphs)
    trainer = d2l.Trainer(max_epochs=3, num_gpus=1, precision=precision, **arguments)
    trainer.backend.say = lines.append
    model.plot_train_per_epoch = 100
    trainer.fit(model, d2l.FashionMNIST(batch_size=16))
    return [y for _, y in model.board.curves["train_loss"]], lines


class WithAdam(ConvNet):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.001)


class WithSchedule(ConvNet):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", [ConvNet, WithAdam, WithSchedule])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1)])
@pytest.mark.parametrize("clip", [0, 0.5])
def test_graphs_of_a_gpu_train_as_steps_do(monkeypatch, kind, precision, tolerance, clip):
    losses = []
    for graphs in (False, True):
        torch.manual_seed(0)
        curve, lines = train_on_gpu(kind(), monkeypatch, graphs, precision, gradient_clip_val=clip)
        assert lines == []
        losses.append(curve)
    assert losses[1] == pytest.approx(losses[0], abs=tolerance)


class Waits(ConvNet):
    def loss(self, Y_hat, Y, averaged=True):
        loss = super().loss(Y_hat, Y, averaged)
        return loss * 2 if loss.item() > 100 else loss


class FailsInCapture(ConvNet):
    """Its step waits for the GPU when it is captured only, after dropout has drawn."""

    def __init__(self):
        super().__init__()
        self.net.insert(0, nn.Dropout(0.1))

    def loss(self, Y_hat, Y, averaged=True):
        loss = super().loss(Y_hat, Y, averaged)
        if torch.cuda.is_current_stream_capturing():
            loss.item()
        return loss


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("kind", "reason"), [(Waits, "waits for the GPU"), (FailsInCapture, "capturing")])
def test_steps_that_a_gpu_cannot_capture_run_as_they_are(monkeypatch, kind, reason):
    losses, (line,) = train_on_gpu(kind(), monkeypatch, graphs=True)
    assert reason in line
    assert losses[-1] < losses[0]
