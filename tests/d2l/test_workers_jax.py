"""Training on several devices in JAX is training on one: the same parameters, curves and examples, and one voice."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from photographs import write_folder
from processes import TIME_LIMIT, free_ports

pytestmark = pytest.mark.helper

pytest.importorskip("jax", reason="JAX is not installed here: pip install '.[jax]'")

ROOT = Path(__file__).parents[2]

# What each script begins with: CPU devices in the place of GPUs.
START = """
import json, os, random, signal, sys, time
import jax, numpy as np
from d2l import jax as d2l

nn = d2l.nn
sys.modules["d2l.backends.jax.backend"].find_gpus = jax.local_devices
"""

# Trains three models on each of some numbers of devices: on batches of 50 of 256 examples; with dropout and batch
# normalization on a loader of one's own, of 31 examples in batches of 8; and on images of which some are corrupt.
EQUAL = (
    START
    + """
taken, batches, programs = [], [], []

class Data(d2l.FashionMNIST):
    def _gather(self, tensor, indices):
        taken.append(indices.tolist())
        return super()._gather(tensor, indices)

class LeNet(d2l.LeNet):
    def configure_optimizers(self):
        return d2l.optax.adam(0.001)

class Mixed(d2l.Classifier):
    lr: float = 0.1
    training: bool = True

    def setup(self):
        norm, drop = nn.BatchNorm(not self.training), nn.Dropout(0.5, deterministic=not self.training)
        flatten = lambda X: X.reshape(len(X), -1)
        self.net = nn.Sequential([nn.Conv(4, (5, 5), 2), norm, nn.relu, flatten, drop, nn.Dense(31)])

class Loader:
    def __init__(self, train):
        self.train = train

    def __len__(self):
        return 4

    def __iter__(self):
        X = np.random.default_rng(0).random((31, 8, 8, 1), np.float32)
        order = np.random.permutation(31) if self.train else np.arange(31)
        for i in range(0, 31, 8):
            yield X[order[i : i + 8]], order[i : i + 8].astype(np.int32)

class Own(d2l.DataModule):
    def get_dataloader(self, train):
        return Loader(train)

class WatchingBackend(d2l.Trainer.backend_type):
    def train_step(self, model, optimizer, batch, clip):
        metrics = super().train_step(model, optimizer, batch, clip)
        if not programs:
            programs.append(jax.jit(self._train).lower(self.state, batch).compile().as_text())
        return metrics

class Watching(d2l.Trainer):
    backend_type = WatchingBackend

    def prepare_batch(self, batch):
        batch = super().prepare_batch(batch)
        if self.model.training:  # else it is a batch of validation
            batches.append({str(shard.index): shard.data.tolist() for shard in batch[-1].addressable_shards})
        return batch

for devices in map(int, sys.argv[2:]):
    random.seed(jax.process_index() + 3)  # of the first process it is always 3
    np.random.seed(jax.process_index() + 3)
    found, weights = {}, {}

    def keep(name, trainer, model):
        found[name] = model.board.curves
        state = {"params": trainer.state.params, "stats": trainer.state.batch_stats}
        leaves = jax.tree_util.tree_leaves_with_path(state)
        weights.update({name + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})
        found["on one device"] = {device for _, leaf in leaves for device in leaf.devices()} == {trainer.device}

    taken.clear(), batches.clear(), programs.clear()
    trainer, model = d2l.Trainer(2, num_gpus=devices, gradient_clip_val=0.5), LeNet()
    trainer.fit(model, Data(batch_size=50))
    keep("LeNet", trainer, model)
    found["taken"] = taken[:]
    trainer, model = Watching(2, num_gpus=devices), Mixed()
    trainer.fit(model, Own(), key=jax.random.key(jax.process_index() + 5))
    keep("Mixed", trainer, model)
    found |= {"batches": batches, "all-reduce": "all-reduce" in programs[0]}
    predicted = model.clone(training=False).apply(
        {"params": trainer.state.params, "batch_stats": trainer.state.batch_stats},
        jax.device_put(np.ones((3, 8, 8, 1), np.float32), trainer.device),
    )
    weights["predicted"] = np.asarray(predicted)
    trainer, model = d2l.Trainer(2, num_gpus=devices), d2l.SoftmaxRegression(3, 0.1)
    trainer.fit(model, d2l.ImageFolder("images", batch_size=2, resize=20, crop=16))
    keep("SoftmaxRegression", trainer, model)
    name = f"{sys.argv[1]}-{devices}-{jax.process_index()}"
    np.savez(name + ".npz", **weights)
    open(name + ".json", "w").write(json.dumps(found))
"""
)

# Trains with checkpoints, and may stop on the way in different ways.
STOPPING = (
    START
    + """
how, who, folder, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
random.seed(4)
# Those that a fault ends need not wait; those that are stopped in order do, on a busy machine.
sys.modules["d2l.backends.jax.processes"].PATIENCE_SECONDS = 1 if how in ("raise", "SIGKILL", "SIGTERM") else 300

class Model(d2l.SoftmaxRegression):
    def configure_optimizers(self):
        return d2l.optax.adam(0.001)

class Backend(d2l.Trainer.backend_type):
    def train_step(self, model, *arguments):
        metrics, done = super().train_step(model, *arguments), model.trainer.train_batch_idx + 1
        if done == stop and how != "resume" and who in (jax.process_index(), -1):
            if how == "raise":
                raise OSError("the disk is gone")
            if how == "stop":
                model.trainer.stop(KeyboardInterrupt("asked to stop"))
            else:
                os.kill(os.getpid(), getattr(signal, how))
        if done == stop and how == "SIGKILL" and who == 0:
            time.sleep(10**6)  # so that it is JAX alone that finds the first process gone
        return metrics

class Trainer(d2l.Trainer):
    backend_type = Backend

model = Model(10, 0.1)
trainer = Trainer(3, num_gpus=1, checkpoint_dir=folder, every=3)
trainer.fit(model, d2l.FashionMNIST(batch_size=64), resume=how == "resume")
if jax.process_index() == 0:
    leaves = jax.tree_util.tree_leaves_with_path(trainer.state.params)
    curves = {label: np.array(points) for label, points in model.board.curves.items()}
    np.savez(sys.argv[5], **{jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}, **curves)
"""
)


def environment(devices, **more):
    """Of a process with so many devices, which compiles quickly what is to run only for a moment."""
    settings = {
        "PYTHONPATH": str(ROOT),
        "D2L_PROFILE": "smoke",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    return os.environ | settings | more


GLOO = re.compile(r"^\[Gloo\] Rank .*\n", re.M)


def run_together(processes, devices, folder, *arguments):
    """Exit code, standard output and standard error of each of some processes, joined if they are several.

    Newer JAX's Gloo says on standard output, from C++, whom it is connected to; that is not ours, and is left out.
    """
    if processes > 1:
        try:
            socket.gethostbyname(socket.gethostname())
        except OSError as error:
            pytest.skip(f"JAX's processes look for the address of this machine's name, which has none: {error}")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with ExitStack() as stack:
        running = []
        for rank in range(processes):
            joined = {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(rank),
            }
            command = [sys.executable, *map(str, arguments)]
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(devices, **(joined if processes > 1 else {})),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.kill)
            running.append(process)
        outputs = [process.communicate(timeout=TIME_LIMIT) for process in running]
        return [
            (process.returncode, GLOO.sub("", out), err) for process, (out, err) in zip(running, outputs, strict=True)
        ]


def succeeded(ended):
    """What processes have printed that are to have succeeded."""
    assert [code for code, _, _ in ended] == [0] * len(ended), "\n".join(err for _, _, err in ended)
    return ended


# Processes, and devices of each.
SEVERAL = [(1, 2), (1, 4), (2, 1), (2, 2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training on devices of one process and of two: what each printed, and the results of its processes."""
    folder = tmp_path_factory.mktemp("runs")
    write_folder(folder / "images", train=3)
    images = sorted((folder / "images" / "train" / "coffee").iterdir())[:1]
    images += sorted((folder / "images" / "val" / "cat").iterdir())  # all of a batch
    for image in images:
        image.write_bytes(image.read_bytes()[:300])
    (folder / "train.py").write_text(EQUAL)
    starts = [(1, 4, "train.py", 1, 1, 2, 4), (2, 1, "train.py", 2, 1), (2, 2, "train.py", 2, 2)]
    with ThreadPoolExecutor(2) as pool:
        alone, *joined = pool.map(lambda start: succeeded(run_together(*start[:2], folder, *start[2:])), starts)
    printed = {(1, 1): alone, (1, 2): alone, (1, 4): alone, **dict(zip(SEVERAL[2:], joined, strict=True))}
    runs = {}
    for (processes, devices), ended in printed.items():
        names = [folder / f"{processes}-{devices}-{rank}" for rank in range(processes)]
        found = [json.loads(name.with_suffix(".json").read_text("utf-8")) for name in names]
        runs[processes, devices] = ended, found, [dict(np.load(name.with_suffix(".npz"))) for name in names]
    return runs


@pytest.mark.parametrize("several", SEVERAL)
def test_devices_train_to_the_parameters_of_one(runs, several, measured):
    (one,) = runs[1, 1][2]
    models = ("LeNet", "Mixed", "SoftmaxRegression", "predicted")
    apart = {
        model: max(np.abs(part[name] - one[name]).max() for part in runs[several][2] for name in one if model in name)
        for model in models
    }
    figures = ", ".join(f"{model} {largest:.1e}" for model, largest in apart.items())
    measured(f"JAX, {several[0]} x {several[1]} devices: parameters at most so far from those of one: {figures}")
    assert max(apart.values()) < 1e-5


@pytest.mark.parametrize("several", SEVERAL)
@pytest.mark.parametrize("model", ["LeNet", "Mixed", "SoftmaxRegression"])
def test_devices_have_the_curves_of_one(runs, several, model):
    (one,) = runs[1, 1][1]
    assert set(one[model]) == {"train_loss", "val_loss", "val_acc"}
    for found in runs[several][1]:
        assert set(found[model]) == set(one[model])
        for label, points in one[model].items():
            np.testing.assert_allclose(found[model][label], points, atol=1e-5)


@pytest.mark.parametrize("several", [(1, 1), *SEVERAL])
def test_each_example_is_seen_once_an_epoch(runs, several):
    found = runs[several][1]
    # Of our own loader: images and labels are taken for one batch before the training, then of six and three an epoch.
    batches = [process["taken"][::2] for process in found]
    assert [len(process) for process in batches] == [1 + 2 * (6 + 3)] * len(found)
    for epoch in (slice(1, 7), slice(10, 16)):
        assert sorted(i for process in batches for batch in process[epoch] for i in batch) == list(range(256))
    # Of a loader of one's own: what the devices have, whose parts are named by their place in the batch.
    steps = [
        {place: y for part in parts for place, y in part.items()}
        for parts in zip(*(process["batches"] for process in found), strict=True)
    ]
    assert len(steps) == 2 * 4
    for epoch in (steps[:4], steps[4:]):
        assert sorted(y for parts in epoch for part in parts.values() for y in part) == list(range(31))


@pytest.mark.parametrize("several", SEVERAL)
def test_batch_is_divided_among_the_devices_and_gradients_are_added_up(runs, several):
    processes, devices = several
    for found in runs[several][1]:
        *whole, last = found["batches"][:4]
        for parts in whole:
            assert [len(y) for y in parts.values()] == [8 // (processes * devices)] * devices
        assert [len(y) for y in last.values()] == [7]  # which cannot be divided
        assert found["all-reduce"]
    assert not runs[1, 1][1][0]["all-reduce"]


@pytest.mark.parametrize("several", SEVERAL)
def test_state_is_on_one_device_after_the_training(runs, several):
    assert [found["on one device"] for found in runs[several][1]] == [True] * several[0]


@pytest.mark.parametrize("several", SEVERAL[2:])
def test_one_process_speaks(runs, several):
    (_, out, err), *others = runs[several][0]
    assert out.count("smoke run:") == 3
    assert out.count("each of 256 examples") == 1
    assert f"on {several[0] * several[1]} x cpu" in out
    assert "0%|" in err
    for _, out, err in others:
        assert out == ""
        assert "0%|" not in err


def test_batches_that_cannot_be_divided_are_named(runs):
    ((_, out, _),) = runs[1, 4][0]
    assert [line for line in out.splitlines() if line.startswith("batch_size=50 ")] == [
        "batch_size=50 cannot be divided evenly among 4 devices, so each of them computes all of it, no faster than "
        "one alone: 52 can"
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One with a script that may stop on the way."""
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "train.py").write_text(STOPPING)
    return folder


def test_run_that_is_stopped_in_one_process_resumes_in_two_and_in_one(folder):
    succeeded(run_together(2, 1, folder, "train.py", "no", -1, "whole", 0, "whole.npz"))
    stopped = run_together(2, 1, folder, "train.py", "stop", 1, "stopped", 6, "stopped.npz")
    assert [code for code, _, _ in stopped] == [-signal.SIGINT] * 2
    assert ["asked to stop" in err for _, _, err in stopped] == [True, True]
    shutil.copytree(folder / "stopped", folder / "copy")
    for processes, checkpoints in ((2, "stopped"), (1, "copy")):
        first, *others = succeeded(
            run_together(processes, 1, folder, "train.py", "resume", -1, checkpoints, 0, "resumed.npz")
        )
        assert "Resuming from" in first[1]
        assert "epoch 2, after 2 of 4 batches" in first[1]
        assert [out for _, out, _ in others] == [""] * (processes - 1)
        whole, resumed = (dict(np.load(folder / name)) for name in ("whole.npz", "resumed.npz"))
        assert set(whole) == set(resumed)
        for name, array in whole.items():
            np.testing.assert_allclose(resumed[name], array, atol=1e-5, err_msg=name)


@pytest.mark.fault("A process of a run in JAX is killed, or fails")
@pytest.mark.parametrize(("how", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGTERM", -signal.SIGTERM), ("raise", 1)])
def test_process_that_ends_ends_the_run(folder, how, code, sees):
    first, other = run_together(2, 1, folder, "train.py", how, 1, f"ended by {how}", 6, "none.npz")
    assert other[0] == code
    assert first[0] == 1
    sees(f"(the framework's own error) {first[2].strip().splitlines()[-1]}")
    assert first[2].strip().splitlines()[-1].startswith("Another of the 2 processes has ended")
    assert not (folder / "none.npz").exists()
    assert [path.name for path in sorted((folder / f"ended by {how}").glob("step-*"))][-1].startswith("step-00000003")


@pytest.mark.fault("The first process of a run in JAX is killed")
def test_first_process_that_is_killed_ends_the_run(folder, sees):
    first, other = run_together(2, 1, folder, "train.py", "SIGKILL", 0, "ended first", 6, "none.npz")
    assert first[0] == -signal.SIGKILL
    assert other[0] in (1, -signal.SIGABRT)
    said = [line for line in other[2].splitlines() if line.startswith("Another of the 2 processes has ended")]
    assert said
    sees(f"(JAX's own error) {said[-1]}")
