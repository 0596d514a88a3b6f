"""Training on several devices in TensorFlow is training on one: the same parameters, curves and examples, one voice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.fixtures import adapter
from processes import TIME_LIMIT, free_ports

pytestmark = pytest.mark.helper

ROOT = Path(__file__).parents[2]

# Parts of a machine's CPU stand for GPUs. Of 256 examples in batches of 50, four devices take 12 or 13, and of the last
# batch one or two. An example is known by its number, which its label carries.
COMMON = """
import dataclasses, json, os, sys
import numpy as np
import tensorflow as tf

def split(devices):
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)

class Numbered:
    def _number(self):
        numbers = 10 * np.arange(1, len(self.train) + 1)
        self.train = dataclasses.replace(self.train, labels=self.train.labels.astype(np.int32) + numbers)
        return self

class Counting:
    def training_step(self, batch):
        X, y = batch
        tf.numpy_function(lambda numbers: seen.append(numbers.tolist()), [y // 10], [])
        return super().training_step((X, y % 10))

def models(d2l):
    global Data, LeNet, Dropping
    class Data(Numbered, d2l.FashionMNIST):
        pass
    class LeNet(Counting, d2l.LeNet):
        def configure_optimizers(self):
            return tf.keras.optimizers.Adam(0.01) if adam else super().configure_optimizers()
    class Dropping(Counting, d2l.Classifier):
        def __init__(self, lr=0.1):
            super().__init__()
            self.save_hyperparameters()
            layers = tf.keras.layers
            self.net = tf.keras.Sequential([layers.Flatten(), layers.Dropout(0.5), layers.BatchNormalization(),
                                            layers.Dense(10)])
        def configure_optimizers(self):
            return tf.keras.optimizers.SGD(self.lr, momentum=0.9)

def train(d2l, devices, model=None, batch_size=50, resume=False, **options):
    seen.clear()
    tf.keras.utils.set_random_seed(3)
    data = Data(batch_size=batch_size)._number()
    model = model() if model else LeNet(lr=0.5)
    trainer = d2l.Trainer(**{"max_epochs": 2, "num_gpus": devices, "gradient_clip_val": 0.5, **options})
    trainer.fit(model, data, resume=resume)
    return trainer

def keep(name, trainer):
    weights = {name: np.array(weight) for name, weight in trainer.backend.model_state(trainer.model).items()}
    np.savez(name + ".npz", **weights)
    found = {"curves": trainer.model.board.curves, "seen": seen, "devices": trainer.num_devices,
             "examples": trainer.progress.train_examples}
    open(name + ".json", "w").write(json.dumps(found))

seen, adam = [], False
"""

MIRRORED = (
    COMMON
    + """
split(4)
from d2l import tensorflow as d2l

devices = int(sys.argv[1])
sys.modules["d2l.backends.tensorflow.backend"].find_gpus = lambda: [f"cpu:{i}" for i in range(4)]
models(d2l)
with d2l.try_gpu():  # as in the chapter
    keep(f"lenet-{devices}", train(d2l, devices))
keep(f"few-{devices}", train(d2l, devices, batch_size=127))
adam = True
keep(f"adam-{devices}", train(d2l, devices))
if devices == 2:
    train(d2l, 2, checkpoint_dir="of-two", every=7, keep=9)
    for path in os.listdir("of-two"):
        if path != "step-00000007.safetensors":
            os.unlink("of-two/" + path)
    keep("resumed-1", train(d2l, 1, checkpoint_dir="of-two", every=7, resume=True))
    keep("whole-1", train(d2l, 1, checkpoint_dir="of-one", every=7))
"""
)

# What a trainer of several devices has to be given, and what becomes of dropout, batch normalization and SGD by hand.
PARTS = (
    COMMON
    + """
split(2)
from d2l import tensorflow as d2l

sys.modules["d2l.backends.tensorflow.backend"].find_gpus = lambda: [f"cpu:{i}" for i in range(4)]
models(d2l)
told = {}

def error(run):
    try:
        run()
    except ValueError as error:
        return str(error)

def components(variable):
    variable = variable if isinstance(variable, tf.Variable) else variable.value
    return [component.numpy().tolist() for component in getattr(variable, "values", [variable])]

masks = []
class Masks(d2l.Classifier):
    def __init__(self):
        super().__init__()
        self.lr = 0.0
        self.dropout, self.net = tf.keras.layers.Dropout(0.5), tf.keras.layers.Dense(10)
    def forward(self, X):
        Y = self.dropout(tf.ones((1, 64)))
        if self.training:
            tf.numpy_function(lambda mask: masks.append((mask[0] > 0).tolist()), [Y], [])
        return self.net(tf.reshape(X, (-1, 784)))

def masks_of(model):
    masks.clear()
    d2l.Trainer(1, num_gpus=2).fit(model, d2l.FashionMNIST(batch_size=128))
    return masks[:]

told["masks"] = masks_of(Masks())
with d2l.Trainer(1, num_gpus=2).strategy.scope():
    scoped = Masks()
told["masks in scope"] = masks_of(scoped)

for name in ("norm", "synchronized"):
    class Net(d2l.Classifier):
        def __init__(self, lr=0.1):
            super().__init__()
            self.save_hyperparameters()
            norm = tf.keras.layers.BatchNormalization(momentum=0.5, synchronized=name == "synchronized")
            self.net = tf.keras.Sequential([tf.keras.layers.Flatten(), norm, tf.keras.layers.Dense(10)])
    trainer = d2l.Trainer(1, num_gpus=2)
    trainer.fit(Net(), d2l.FashionMNIST(batch_size=256))
    told[name] = components(trainer.model.net.layers[1].moving_mean)

data = d2l.SyntheticRegressionData(tf.constant([2, -3.4]), 4.2)
built = d2l.LinearRegressionScratch(2, 0.03)
told["not in scope"] = error(lambda: d2l.Trainer(1, num_gpus=2).fit(built, data))
found = []
for devices in (1, 2):
    tf.keras.utils.set_random_seed(3)
    trainer = d2l.Trainer(3, num_gpus=devices, gradient_clip_val=3)
    with trainer.strategy.scope() if trainer.strategy else d2l.cpu():
        model = d2l.LinearRegressionScratch(2, 0.3)
    trainer.fit(model, data)
    found.append(components(model.w))
told["by hand"] = found

class Clipping(d2l.LinearRegression):
    def configure_optimizers(self):
        return tf.keras.optimizers.SGD(0.1, clipnorm=1.0)
told["clips"] = error(lambda: d2l.Trainer(1, num_gpus=2).fit(Clipping(0.1), data))
told["another number"] = error(lambda: d2l.Trainer(1, num_gpus=3).fit(d2l.LinearRegression(0.1), data))
json.dump(told, open("told.json", "w"))
"""
)

PROCESSES = (
    COMMON
    + """
from d2l import tensorflow as d2l

adam = True
models(d2l)
rank = d2l.Trainer(1).processes.rank
keep(f"adam-of-{rank}", train(d2l, 0))
keep(f"whole-{rank}", train(d2l, 0, Dropping, checkpoint_dir="whole", every=4))

class Broken(Exception):
    pass

class Trainer(d2l.Trainer):
    def prepare_batch(self, batch):
        if self.train_batch_idx == 9:
            if self.every == 4:
                raise Broken
            if self.processes.rank == 1:
                self.stop(Broken())
                self.stop(Broken())  # as where what has started the processes passes the signal on
        return super().prepare_batch(batch)

kept, d2l.Trainer = d2l.Trainer, Trainer
for folder, every in (("broken", 4), ("stopped", 100)):
    try:
        train(d2l, 0, Dropping, checkpoint_dir=folder, every=every)
    except (Broken, KeyboardInterrupt) as error:
        print(f"{rank} {folder}: {type(error).__name__}", file=sys.stderr)
d2l.Trainer = kept
keep(f"resumed-{rank}", train(d2l, 0, Dropping, checkpoint_dir="broken", every=4, resume=True))
"""
)

DYING = (
    COMMON
    + """
import signal
from d2l import tensorflow as d2l

models(d2l)

class Trainer(d2l.Trainer):
    def prepare_batch(self, batch):
        if self.processes.rank == 1 and self.train_batch_idx == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().prepare_batch(batch)

d2l.Trainer = Trainer
train(d2l, 0)
"""
)


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    adapter("tensorflow")


def start(folder, script, *arguments, **more):
    """A process with a script, on few examples, with a core of its own."""
    variables = {"PYTHONPATH": str(ROOT), "D2L_PROFILE": "smoke", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"} | variables | more
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=folder, env=environment, **streams)


def start_cluster(folder, script):
    """Two processes of one cluster with a script."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    tasks = [{"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}} for rank in range(2)]
    return [start(folder, script, TF_CONFIG=json.dumps(task)) for task in tasks]


def ended(processes):
    """The exit code, output and errors of each process; none is left."""
    try:
        texts = [process.communicate(timeout=TIME_LIMIT) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def succeeded(processes):
    outcomes = ended(processes)
    for code, _, errors in outcomes:
        assert code == 0, errors
    return outcomes


def result(folder, name):
    return json.loads((folder / f"{name}.json").read_text("utf-8")), dict(np.load(folder / f"{name}.npz"))


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """The folder with the results of the same training on one device, on two and on four, and what each printed."""
    folder = tmp_path_factory.mktemp("mirrored")
    (one, two), (four,) = (succeeded([start(folder, MIRRORED, n) for n in counts]) for counts in (("1", "2"), ("4",)))
    return folder, {1: one, 2: two, 4: four}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The folder with the results of two processes, and what each printed."""
    folder = tmp_path_factory.mktemp("cluster")
    return folder, succeeded(start_cluster(folder, PROCESSES))


def check_same(found, expected):
    """The largest difference of parameters, which is small; that of the curves is, too."""
    (found, weights), (expected, own) = found, expected
    assert set(weights) == set(own)
    assert set(found["curves"]) == set(expected["curves"]) == {"train_loss", "val_loss", "val_acc"}
    for label, points in expected["curves"].items():
        np.testing.assert_allclose(found["curves"][label], points, atol=1e-5, rtol=0)
    assert found["examples"] == expected["examples"]
    apart = max(np.abs(weights[name] - own[name]).max() for name in own)
    assert apart < 1e-5
    return apart


@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize("run", ["lenet", "few", "adam"])
def test_devices_train_to_the_parameters_and_curves_of_one(mirrored, run, devices, measured):
    folder, _ = mirrored
    found = result(folder, f"{run}-{devices}")
    assert found[0]["devices"] == devices
    apart = check_same(found, result(folder, f"{run}-1"))
    measured(f"TensorFlow, {devices} devices, {run}: parameters at most {apart:.1e} from those of one")


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("run", ["lenet", "few"])
def test_each_example_is_seen_once_an_epoch(mirrored, run, devices):
    seen = result(mirrored[0], f"{run}-{devices}")[0]["seen"]
    each_epoch = devices * -(-256 // {"lenet": 50, "few": 127}[run])
    assert len(seen) == 2 * each_epoch
    for epoch in (seen[:each_epoch], seen[each_epoch:]):
        # A device without examples has one of zeros, which counts nothing.
        numbers = [number for part in epoch for number in part]
        assert sorted(number for number in numbers if number) == list(range(1, 257))
        assert numbers.count(0) == (2 if (run, devices) == ("few", 4) else 0)


def test_run_on_several_devices_says_so(mirrored):
    for devices, (_, printed, errors) in mirrored[1].items():
        line = next(line for line in printed.splitlines() if line.startswith("smoke run:"))
        assert "each of 256 examples" in line
        assert line.endswith(f" on {devices} x cpu in float32" if devices > 1 else " on cpu in float32")
        assert "cannot be compiled" not in printed
        assert "WARNING:tensorflow" not in errors


def test_checkpoint_of_two_devices_is_gone_on_from_on_one(mirrored):
    folder, _ = mirrored
    check_same(result(folder, "resumed-1"), result(folder, "whole-1"))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    succeeded([start(folder, PARTS)])
    return json.loads((folder / "told.json").read_text("utf-8"))


@pytest.mark.parametrize("model", ["masks", "masks in scope"])
def test_dropout_differs_on_each_device_and_in_each_step(told, model):
    masks = told[model]
    assert len(masks) == 4
    assert len({tuple(mask) for mask in masks}) == 4


@pytest.mark.parametrize("layer", ["norm", "synchronized"])
def test_averages_of_batch_normalization_are_the_same_on_all_devices(told, layer):
    first, second = told[layer]
    assert first == second
    # Half of the way, in one step, to the mean of all pixels of all examples.
    assert 0.1 < np.mean(first) < 0.2


def test_averages_are_those_of_all_devices(told):
    np.testing.assert_allclose(told["norm"][0], told["synchronized"][0], atol=1e-6)


def test_optimizer_by_hand_takes_the_gradient_of_the_whole_batch(told):
    (one,), several = told["by hand"]
    assert len(several) == 2
    for w in several:
        np.testing.assert_allclose(w, one, atol=1e-5)


@pytest.mark.fault("A model for several devices has variables for one already")
def test_model_made_for_one_device_is_refused(told, sees):
    assert told["not in scope"].endswith(
        "variables for one device already (w, b), and this trainer uses 2: "
        "make a new model, where need be inside of trainer.strategy.scope()"
    )
    sees(f"ValueError: {told['not in scope']}")


def test_optimizer_that_clips_the_gradient_of_a_part_is_refused(told):
    assert told["clips"].startswith("clipnorm of SGD clips the gradient of each device's part of the batch: give")


def test_another_number_of_devices_in_a_process_is_refused(told):
    assert told["another number"].endswith(
        "restart it (in a notebook, the kernel), or train with num_gpus=2 or num_gpus=1"
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_train_to_the_parameters_and_curves_of_one(mirrored, cluster, rank, measured):
    found = result(cluster[0], f"adam-of-{rank}")
    assert found[0]["devices"] == 2
    apart = check_same(found, result(mirrored[0], "adam-1"))
    measured(f"TensorFlow, process {rank} of 2, adam: parameters at most {apart:.1e} from those of one")


def test_each_example_is_seen_once_an_epoch_by_one_process(cluster):
    seen = [result(cluster[0], f"adam-of-{rank}")[0]["seen"] for rank in range(2)]
    for epoch in (slice(0, 6), slice(6, 12)):
        numbers = [number for process in seen for part in process[epoch] for number in part]
        assert sorted(numbers) == list(range(1, 257))


@pytest.mark.parametrize("rank", [0, 1])
def test_broken_off_processes_resume_to_the_numbers_of_a_run_that_was_not(cluster, rank):
    folder, _ = cluster
    check_same(result(folder, f"resumed-{rank}"), result(folder, f"whole-{rank}"))


def test_stopping_one_process_stops_both_after_the_same_step(cluster):
    folder, ((_, _, first), (_, _, second)) = cluster
    assert "0 stopped: KeyboardInterrupt" in first
    assert "1 stopped: Broken" in second
    assert [path.name for path in (folder / "stopped").iterdir()] == ["step-00000010.safetensors"]


def test_only_the_first_process_speaks(cluster):
    (_, first, errors), (_, second, other_errors) = cluster[1]
    assert first.count("smoke run:") == 3
    assert "Resuming from broken/step-00000008.safetensors: epoch 2, after 2 of 6 batches" in first
    assert " on 2 x cpu" in first
    assert second == ""
    assert "%|" in errors and "%|" not in other_errors


@pytest.mark.fault("A process of a run in TensorFlow is killed")
def test_killed_process_ends_the_other_with_a_clear_message(tmp_path, sees):
    (code, printed, errors), (killed, *_) = ended(start_cluster(tmp_path, DYING))
    assert killed == -signal.SIGKILL
    assert code == 1
    assert "smoke run:" not in printed
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Another of the 2 processes has ended")
    sees(f"(the framework's own error) {last}")
