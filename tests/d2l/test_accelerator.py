"""GPUs that are not NVIDIA's: which count, and what the helper does on those that lack streams or `float64`.

None of them is here. A whole run is on a device that is made of the CPU (`toy_accelerator`), in a process of its own,
which PyTorch has as its accelerator from then on; the rest has a name or a function in the place of a GPU's.
"""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from contract.fixtures import adapter
from processes import TIME_LIMIT

from d2l.process_group import ProcessGroup

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.helper

# PyTorch's way to make a device in Python, which is newer than the oldest version that the helper runs with.
registration = pytest.importorskip("torch.utils.backend_registration")
needs_toy = pytest.mark.skipif(
    not hasattr(registration, "_setup_privateuseone_for_python_backend"),
    reason="this version of PyTorch makes no devices in Python",
)

# Layers whose shapes are there before a run: PyTorch moves others to its own devices alone.
BEGIN = """
import json, os, sys
import toy_accelerator
libraries = toy_accelerator.register()
import numpy as np
import torch
from d2l import torch as d2l

class Net(d2l.Classifier):
    def __init__(self, lr=0.1, width=8):
        super().__init__()
        self.save_hyperparameters()
        nn = torch.nn
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(36 * width, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)

    def training_step(self, batch):
        devices.update(str(x.device) for x in (*batch, *self.parameters()))
        return super().training_step(batch)

def fit(num_gpus, model=Net, data=None, resume=False, **options):
    torch.manual_seed(0)
    trainer = d2l.Trainer(num_gpus=num_gpus, **{"max_epochs": 2, "gradient_clip_val": 1, **options})
    model = model()
    trainer.fit(model, data or d2l.FashionMNIST(batch_size=50), resume=resume)
    return trainer, model

def numbers(model):
    return {**model.board.last, **{name: x.cpu().tolist() for name, x in model.state_dict().items()}}

def error(*arguments, **options):
    try:
        fit(*arguments, **options)
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"

devices, told = set(), {}
"""

WHOLE = """
told["names"] = [str(d2l.gpu()), str(d2l.try_gpu()), str(d2l.try_gpu(1)), d2l.num_gpus(), str(d2l.try_all_gpus())]
trainer, there = fit(1)
told["devices"], told["chosen"] = sorted(devices), str(trainer.device)
here = numbers(fit(0)[1])
told["apart"] = max(np.abs(np.subtract(x, here[name])).max() for name, x in numbers(there).items())
told["table"] = str(there.layer_table((1, 1, 28, 28))) == str(Net().layer_table((1, 1, 28, 28)))
told["operators"] = os.environ["PYTORCH_ENABLE_MPS_FALLBACK"]

class Told(Net):
    def loss(self, Y_hat, y):
        told["loss"] = str(Y_hat.dtype)
        return super().loss(Y_hat, y)

    def forward(self, X):
        told["layer"] = str(self.net[0](X).dtype)
        return super().forward(X)

fit(1, Told, precision="bfloat16")
"""

RESUMED = """
class Drawing(Net):
    \"\"\"One that draws from the device's random numbers, too.\"\"\"
    def training_step(self, batch):
        draw = float(torch.rand((), generator=torch.toy.generator))
        return super().training_step(batch) * draw

whole = numbers(fit(1, Drawing)[1])
fit(1, Drawing, checkpoint_dir="kept", every=3, max_epochs=1)
resumed = fit(1, Drawing, checkpoint_dir="kept", every=3, resume=True)[1]
told["equal"] = numbers(resumed) == whole
on_cpu = fit(0, Drawing, checkpoint_dir="kept", every=3, resume=True, max_epochs=3)[1]
told["on the cpu"] = sorted({str(x.device) for x in on_cpu.parameters()})
"""

WRONG = """
class Own(d2l.DataModule):
    def __init__(self, X, y):
        self.X, self.y, self.batch_size = X, y, 4

    def get_dataloader(self, train):
        return self.get_tensorloader((self.X, self.y), train)

X, y = np.ones((8, 1, 28, 28), np.float32), np.arange(8)
told["float64"] = error(1, data=Own(X.astype(float), y))
told["no class"] = error(1, data=Own(X, y + 5))
told["fine"] = error(1, data=Own(X, y))

class Loader(Own):
    def get_dataloader(self, train):
        return torch.utils.data.DataLoader([*zip(self.X, self.y)], 4)

told["loader"] = error(1, data=Loader(X, y))
"""


def on_toy(script, folder, **variables):
    """What a script on the toy device tells, and the last line that it prints."""
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "D2L_PROFILE": "smoke"}
    variables = {"CUDA_VISIBLE_DEVICES": "-1", **variables}  # not empty, as tests have it, which hides all GPUs
    command = [sys.executable, "-c", BEGIN + script + "\nprint()\nprint(json.dumps(told))"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | paths | variables, capture_output=True, text=True, timeout=TIME_LIMIT
    )
    assert done.returncode == 0, done.stderr
    *lines, told = done.stdout.splitlines()
    return json.loads(told), lines


@needs_toy
@pytest.mark.slow
def test_pytorch_trains_on_an_accelerator_of_any_kind_as_on_the_cpu(tmp_path):
    """But for roundings, and without a call of `torch.cuda`, `float64`, or a copy that is not waited for."""
    told, lines = on_toy(WHOLE, tmp_path)
    assert told["names"] == ["toy:0", "toy:0", "cpu", 1, "[device(type='toy', index=0)]"]
    assert (told["devices"], told["chosen"]) == (["toy:0"], "toy:0")
    assert told["apart"] < 1e-5
    assert told["table"]
    assert told["operators"] == "1"
    assert (told["layer"], told["loss"]) == ("torch.bfloat16", "torch.float32")
    ends = [line.rsplit(" on ", 1)[1] for line in lines if " examples/s on " in line]
    assert ends == ["toy in float32", "cpu in float32", "toy in bfloat16"]


@needs_toy
@pytest.mark.slow
def test_user_decides_whether_operators_that_a_gpu_lacks_run_on_the_processor(tmp_path):
    told, _ = on_toy(
        'told["set"] = os.environ["PYTORCH_ENABLE_MPS_FALLBACK"]', tmp_path, PYTORCH_ENABLE_MPS_FALLBACK="0"
    )
    assert told == {"set": "0"}


@needs_toy
@pytest.mark.slow
def test_run_on_an_accelerator_resumes_with_its_random_numbers_there_or_on_the_cpu(tmp_path):
    told, _ = on_toy(RESUMED, tmp_path)
    assert told == {"equal": True, "on the cpu": ["cpu"]}


@needs_toy
@pytest.mark.slow
@pytest.mark.fault("Data are float64, which the GPU lacks")
def test_what_an_accelerator_cannot_do_is_said_and_what_it_can_goes_on(tmp_path, sees):
    told, _ = on_toy(WRONG, tmp_path)
    sees(told["float64"])
    assert told["float64"] == (
        "RuntimeError: Own has a NumPy array of shape (8, 1, 28, 28) and dtype float64, and toy:0 has no float64: "
        "give float32, or train with num_gpus=0"
    )
    assert told["no class"].startswith("FloatingPointError: the training loss is nan or infinite since step 1")
    assert (told["fine"], told["loader"]) == (None, None)


@pytest.fixture
def accelerator(monkeypatch):
    """Gives PyTorch so many accelerators of a kind."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def have(kind, count=1):
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind) if count else None)

    return have


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["mps", "xpu", "cuda"])
def test_gpus_of_pytorch_have_the_name_of_their_kind(accelerator, kind):
    d2l = adapter("torch").d2l
    accelerator(kind, 2)
    gpus = [torch.device(kind, 0), torch.device(kind, 1)]
    assert [d2l.gpu(1), d2l.try_gpu(), d2l.try_gpu(2)] == [*gpus[::-1], d2l.cpu()]
    assert (d2l.num_gpus(), d2l.try_all_gpus()) == (2, gpus)
    accelerator("cpu", 0)
    assert (d2l.gpu(), d2l.try_gpu()) == (torch.device("cuda", 0), d2l.cpu())


@pytest.mark.quick
def test_user_hides_gpus_of_every_kind_by_one_variable(accelerator, monkeypatch):
    d2l = adapter("torch").d2l
    accelerator("mps")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert (d2l.num_gpus(), d2l.try_all_gpus(), d2l.Trainer(1, num_gpus=1).gpus) == (0, [d2l.cpu()], [])


def module_of_gpu(monkeypatch, **functions):
    """Has a GPU's module, such as `torch.xpu`, have these functions."""
    module = SimpleNamespace(device=lambda gpu: nullcontext(), **functions)
    monkeypatch.setattr(torch, "get_device_module", lambda gpu: module)


@pytest.mark.quick
@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_gpus_compute_in_bfloat16_unasked_where_pytorch_says_that_they_can(monkeypatch, kind, has_it):
    backend = adapter("torch").d2l.Trainer(1).backend
    backend.gpus = [torch.device(kind, 0)]
    module_of_gpu(monkeypatch, is_bf16_supported=lambda including_emulation=True: including_emulation or has_it)
    assert backend.supports_bfloat16 == has_it


@pytest.mark.quick
def test_bfloat16_of_intels_gpus_is_found_in_the_oldest_version_and_that_of_apples_left_alone(monkeypatch):
    backend = adapter("torch").d2l.Trainer(1).backend
    module_of_gpu(monkeypatch, is_bf16_supported=lambda: True)
    backend.gpus = [torch.device("xpu", 0)]
    assert backend.supports_bfloat16
    backend.gpus = [torch.device("mps", 0)]
    assert not backend.supports_bfloat16


@pytest.mark.quick
@pytest.mark.parametrize(("kind", "waits"), [("cuda", False), ("xpu", False), ("mps", True)])
def test_copies_to_apples_gpus_are_waited_for(kind, waits):
    """One that is not may read memory that is no longer its source: PyTorch's issues 139550 and 189690."""
    backend = adapter("torch").d2l.Trainer(1).backend
    backend.gpus = [torch.device(kind, 0)]
    copied = SimpleNamespace(to=lambda device, non_blocking: (device.type, not non_blocking))
    assert backend.place([copied]) == [(kind, waits)]


@pytest.mark.quick
def test_batches_copied_ahead_are_the_loaders_in_their_order(monkeypatch):
    """With the CPU in the place of a GPU, and its streams, which do nothing."""
    from d2l.backends.torch import copy_ahead

    kept = []
    monkeypatch.setattr(copy_ahead, "WITH_STREAMS", ("cpu",))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: kept.append(x.tolist()))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(10)), batch_size=4)
    ahead = copy_ahead.copied_ahead(loader, torch.device("cpu"))
    loader.pin_memory = False  # which PyTorch would say that it has no use for
    expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert ahead is not loader
    assert len(ahead) == 3
    assert [x.tolist() for [x] in ahead] == kept == expected


@pytest.mark.quick
def test_loaders_are_left_alone_for_a_gpu_without_streams():
    from d2l.backends.torch.copy_ahead import copied_ahead

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.arange(10)), batch_size=4)
    assert copied_ahead(loader, torch.device("mps", 0)) is loader
    assert not loader.pin_memory


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "backends"),
    [("cuda", "cpu:gloo,cuda:nccl"), ("xpu", "cpu:gloo,xpu:xccl"), ("mps", "gloo"), (None, "gloo")],
)
def test_processes_exchange_gradients_through_the_library_of_their_gpus(accelerator, kind, backends):
    from d2l.backends.torch.processes import _backends

    accelerator(kind or "cpu", int(kind is not None))
    assert _backends() == backends


@pytest.mark.quick
@pytest.mark.fault("Several processes are started on a GPU that cannot exchange gradients")
def test_several_processes_on_apples_gpus_are_refused(accelerator, monkeypatch, sees):
    backend = adapter("torch").d2l.Trainer(1).backend
    accelerator("mps")
    monkeypatch.setattr(backend, "processes", ProcessGroup(0, 2))
    assert backend.choose_gpus(0) == []
    with pytest.raises(ValueError, match="start one process, or train with num_gpus=0") as error:
        backend.choose_gpus(1)
    sees(f"ValueError: {error.value}")


@pytest.mark.quick
def test_each_process_takes_a_gpu_of_its_own(accelerator, monkeypatch):
    backend, used = adapter("torch").d2l.Trainer(1).backend, []
    accelerator("xpu", 2)
    monkeypatch.setattr(backend, "processes", ProcessGroup(1, 2))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.accelerator, "set_device_index", used.append)
    assert backend.choose_gpus(1) == used == [torch.device("xpu", 1)]


@pytest.mark.quick
@pytest.mark.parametrize(("size", "after"), [(16, 7), (44, 0)])
def test_random_state_of_another_kind_of_gpu_is_left_alone(monkeypatch, size, after):
    backend, state = adapter("torch").d2l.Trainer(1).backend, torch.zeros(16, dtype=torch.uint8)
    backend.gpus = [torch.device("mps", 0)]
    module_of_gpu(monkeypatch, get_rng_state=lambda gpu: state, set_rng_state=lambda new, gpu: state.copy_(new))
    backend.load_rng_state([torch.get_rng_state().tolist(), size * [7]])
    assert state.tolist() == 16 * [after]


@pytest.mark.parametrize("platform", ["gpu", "METAL", "mps"])
def test_gpus_of_jax_are_found_by_the_names_of_their_plugins(monkeypatch, platform):
    fw = adapter("jax")
    cpus, gpus = fw.lib.local_devices(backend="cpu"), [f"{platform}:0", f"{platform}:1"]

    def local_devices(backend):
        if backend not in ("cpu", platform):
            raise RuntimeError(f"Unknown backend {backend}")
        return gpus if backend == platform else cpus

    monkeypatch.setattr(fw.lib, "local_devices", local_devices)
    d2l = fw.d2l
    assert (d2l.num_gpus(), d2l.try_all_gpus()) == (2, gpus)
    assert [d2l.gpu(1), d2l.try_gpu(), d2l.try_gpu(2)] == [*gpus[::-1], d2l.cpu()]
    assert d2l.Trainer(1).backend.choose_gpus(1) == gpus[:1]


def test_jax_says_that_there_is_no_gpu(monkeypatch):
    fw = adapter("jax")
    if fw.d2l.num_gpus():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match=r"[Bb]ackend"):
        fw.d2l.gpu()


def test_gpus_of_tensorflows_plugins_count(monkeypatch):
    """Apple's plugin calls its device GPU, as TensorFlow does NVIDIA's."""
    fw = adapter("tensorflow")
    found = {"GPU": [fw.lib.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]}
    monkeypatch.setattr(fw.lib.config, "list_physical_devices", lambda kind: found[kind])
    assert fw.d2l.num_gpus() == 1
    assert fw.d2l.Trainer(1, num_gpus=1).gpus == ["gpu:0"]
