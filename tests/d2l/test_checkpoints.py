"""Checkpoints: a run that was interrupted, however, goes on from a whole one to the very same numbers."""

import contextlib
import errno
import json
import os
import random
import re
import stat
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from contract.examples import Interrupted, Loaders, Stopping, batches_of, seed, spoilt, tiny
from contract.fixtures import adapter
from hostile.checkpoint_files import forged, misfits, state_of
from photographs import write_folder
from processes import TIME_LIMIT

from d2l import checkpoint_file as checkpoint
from d2l import folder_lock, progress
from d2l.checkpoint_file import CheckpointError, CheckpointFolder, read
from d2l.process_group import ProcessGroup

pytestmark = [pytest.mark.helper, pytest.mark.slow, pytest.mark.usefixtures("full_run")]

EPOCHS = 3
TRAIN, VAL, BATCH_SIZE = 22, 8, 4  # six batches, the last of them short
BATCHES = 6
FOLDER = "checkpoints"


def data_of(fw, trainer=None, stop=None, examples=TRAIN, batch_size=BATCH_SIZE):
    """Random images, in another order each epoch, whose loader may fail on the way."""
    rng = np.random.default_rng(0)
    X = fw.tensor(rng.random((TRAIN + VAL, *fw.image_shape), np.float32))
    y = fw.tensor(rng.integers(0, 10, TRAIN + VAL).astype(fw.label_type))

    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            loader = self.get_tensorloader((X, y), train, slice(0, examples) if train else slice(TRAIN, None))
            return Stopping(loader, trainer, stop) if train and stop is not None else loader

    data = Data()
    data.batch_size = batch_size
    return data


def model_of(fw, optimizer="sgd", hidden=16):
    """A model with dropout, and maybe an optimizer with a state."""
    model = tiny(fw, dropout=0.5, hidden=hidden)
    if optimizer == "adam":
        type(model).configure_optimizers = lambda self: fw.adam(self)
    return model


def fit(fw, optimizer="sgd", start=1, stop=None, epochs=EPOCHS, resume=False, folder=FOLDER, make=None, **arguments):
    """A run with checkpoints from a random state of its own, in this process and in others to the same digits."""
    seed(fw, start)
    model = make() if make else model_of(fw, optimizer)
    options = {name: arguments.pop(name) for name in ("examples", "batch_size") if name in arguments}
    trainer = fw.d2l.Trainer(epochs, checkpoint_dir=folder, **{"every": 2, "precision": "float32", **arguments})
    trainer.fit(model, data_of(fw, trainer, stop, **options), resume=resume)
    return model


def interrupt(fw, stop, **arguments):
    """A run that fails after so many batches."""
    with pytest.raises(Interrupted):
        fit(fw, stop=stop, **arguments)


def result(fw, model):
    """All that a run has come to, to the last bit."""
    return {"weights": [weight.tolist() for weight in fw.weights(model)], "curves": model.board.curves}


def files(folder=FOLDER):
    return sorted(path.name for path in Path(folder).iterdir())


def steps(folder=FOLDER):
    return list(CheckpointFolder(Path(folder), 1).steps())


def environment():
    """That of a new process, which finds the helper and these tests."""
    here = Path(__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (here, *here.parents[:2])))}


# Resuming


@pytest.mark.parametrize(("optimizer", "every"), [("sgd", 1), ("adam", 2), ("sgd", "epoch")])
def test_interrupted_run_resumes_to_the_same_numbers(fw, optimizer, every, capsys):
    """In the middle of the second epoch, in the middle of an average."""
    expected = result(fw, fit(fw, optimizer, every=every, folder="whole"))
    interrupt(fw, BATCHES + 5, optimizer=optimizer, every=every)
    done = {1: 5, 2: 4, "epoch": 0}[every]
    resumed = fit(fw, optimizer, every=every, start=99, resume=True)
    assert f"epoch 2, after {done} of {BATCHES} batches" in capsys.readouterr().out
    assert result(fw, resumed) == expected


def test_run_resumes_in_a_new_process_to_the_same_numbers(fw):
    expected = result(fw, fit(fw, "adam", folder="whole"))
    interrupt(fw, 2 * BATCHES + 3, optimizer="adam")
    script = "import sys, test_checkpoints; test_checkpoints.resume_and_tell(sys.argv[1])"
    command = [sys.executable, "-c", script, fw.name]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIME_LIMIT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(expected))


def resume_and_tell(name):
    fw = adapter(name)
    print(json.dumps(result(fw, fit(fw, "adam", start=99, resume=True))))


def test_finished_run_goes_on_for_more_epochs_and_else_has_nothing_to_do(fw, capsys):
    expected = result(fw, fit(fw, "adam", epochs=EPOCHS, folder="whole", every="epoch"))
    two = result(fw, fit(fw, "adam", epochs=2, every="epoch"))
    capsys.readouterr()
    again = fit(fw, "adam", epochs=2, every="epoch", start=99, resume=True)
    assert "has finished its 2 epochs" in capsys.readouterr().out
    assert result(fw, again) == two
    assert not getattr(again, "training", False)
    assert result(fw, fit(fw, "adam", epochs=EPOCHS, every="epoch", start=99, resume=True)) == expected


def test_resuming_where_nothing_is_starts_from_the_beginning_and_says_so(fw, capsys):
    expected = result(fw, fit(fw, folder="whole"))
    assert result(fw, fit(fw, resume=True)) == expected
    assert f"No checkpoint in {FOLDER}: training starts from the beginning\n" in capsys.readouterr().out


def block_of(fw):
    """A model with layers that take their shapes from a batch, batch normalization, dropout, and Adam."""
    if fw.name == "jax":
        nn = fw.d2l.nn

        class Net(fw.d2l.Classifier):
            training: bool = True

            def setup(self):
                block = fw.d2l.Residual(1, True, training=self.training)
                drop = nn.Dropout(0.5, deterministic=not self.training)
                self.net = nn.Sequential([block, lambda X: X.reshape(X.shape[0], -1), drop, nn.Dense(10)])
    else:

        class Net(fw.d2l.Classifier):
            def __init__(self):
                super().__init__()
                self.net = fw.stack(fw.d2l.Residual(1, True), fw.net(4, 0.5))

    Net.configure_optimizers = lambda self: fw.adam(self)
    return Net()


def test_blocks_resume_with_the_averages_of_their_normalization(fw):
    run = partial(fit, fw, make=partial(block_of, fw))
    expected = result(fw, run(folder="whole"))
    with pytest.raises(Interrupted):
        run(stop=BATCHES + 3)
    assert result(fw, run(start=99, resume=True)) == expected


def test_mxnet_resumes_whatever_number_gluon_gives_a_layer():
    """Gluon sorts parameters by names such as conv99_weight, and conv100_weight comes before that."""
    fw = adapter("mxnet")
    run = partial(fit, fw, make=partial(block_of, fw))
    expected = result(fw, run(folder="whole"))
    with pytest.raises(Interrupted):
        run(stop=BATCHES + 3)
    number = 0
    while number + 2 != 10 ** len(str(number)):
        number = int(re.search(r"\d+", fw.lib.gluon.nn.Conv2D(1, 1).prefix)[0])
    assert result(fw, run(start=99, resume=True)) == expected


def test_models_of_plain_tensors_resume(fw):
    def run(folder, stop=None, resume=False):
        seed(fw, 1)
        data = fw.d2l.SyntheticRegressionData(fw.tensor(np.array([2, -3.4], np.float32)), 4.2, num_train=64)
        model = fw.d2l.LinearRegressionScratch(2, lr=0.03)
        trainer = fw.d2l.Trainer(3, checkpoint_dir=folder)
        if stop is not None:
            train = data.train_dataloader
            data.train_dataloader = lambda: Stopping(train(), trainer, stop)
        seed(fw, 99 if resume else 2)
        trainer.fit(model, data, resume=resume)
        return model.board.curves

    expected = run("whole")
    with pytest.raises(Interrupted):
        run(FOLDER, stop=3)
    assert run(FOLDER, resume=True) == expected


def test_jax_keys_of_the_new_kind_are_saved_as_well():
    fw = adapter("jax")

    def run(epochs, resume):
        trainer = fw.d2l.Trainer(epochs, checkpoint_dir=FOLDER)
        trainer.fit(model_of(fw), data_of(fw), key=fw.lib.random.key(3), resume=resume)
        return trainer.state.dropout_rng

    before, after = run(1, resume=False), run(1, resume=True)
    assert before.dtype == after.dtype
    assert (fw.lib.random.key_data(before) == fw.lib.random.key_data(after)).all()


def test_resumed_run_counts_its_examples_with_those_before(torch, capsys):
    interrupt(torch, BATCHES + 3)
    fit(torch, start=99, resume=True)
    assert f"after {EPOCHS} of {EPOCHS} epochs, each of {TRAIN} examples" in capsys.readouterr().out


def test_loader_that_a_reader_wrote_resumes_too(torch):
    """PyTorch's own, which shuffles, and whose data set draws random numbers; its batches have to be made again."""

    class Noisy(torch.lib.utils.data.Dataset):
        def __len__(self):
            return TRAIN

        def __getitem__(self, i):
            noise = random.random() + np.random.random() + torch.lib.rand(1, 28, 28)
            return (i / TRAIN + noise).float(), i % 10

    def run(folder, start=1, stop=None, resume=False):
        seed(torch, start)
        trainer = torch.d2l.Trainer(EPOCHS, checkpoint_dir=folder, every=2)
        model, train = model_of(torch), torch.lib.utils.data.DataLoader(Noisy(), BATCH_SIZE, shuffle=True)
        train = train if stop is None else Stopping(train, trainer, stop)
        trainer.fit(model, Loaders(train, batches_of(torch, [4])), resume=resume)
        return result(torch, model)

    expected = run("whole")
    with pytest.raises(Interrupted):
        run(FOLDER, stop=BATCHES + 3)
    assert run(FOLDER, start=99, resume=True) == expected


def test_loaders_read_after_a_run_save_nothing_and_count_nothing(fw):
    seed(fw, 1)
    model, data, trainer = model_of(fw), data_of(fw), fw.d2l.Trainer(1, checkpoint_dir=FOLDER, every=1)
    trainer.fit(model, data)
    saved = {name: Path(FOLDER, name).stat().st_mtime_ns for name in files()}
    counted = trainer.progress.train_examples
    assert len(list(trainer.train_dataloader)) == BATCHES
    assert len(list(trainer.val_dataloader)) == VAL // BATCH_SIZE
    assert {name: Path(FOLDER, name).stat().st_mtime_ns for name in files()} == saved
    assert trainer.progress.train_examples == counted


def test_saving_is_not_counted_as_training(torch, monkeypatch):
    """By a clock that only moves by a second in each step and by a hundred in each saving."""
    now = [0.0]
    save, step = CheckpointFolder.save, torch.d2l.Trainer.backend_type.train_step

    def moved(function, seconds):
        def move(*arguments):
            now[0] += seconds
            return function(*arguments)

        return move

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(CheckpointFolder, "save", moved(save, 100))
    monkeypatch.setattr(torch.d2l.Trainer.backend_type, "train_step", moved(step, 1))
    trainer = torch.d2l.Trainer(EPOCHS, checkpoint_dir=FOLDER, every=2)
    trainer.fit(model_of(torch), data_of(torch))
    assert trainer.progress.train_seconds == EPOCHS * BATCHES


# Killed at any moment

# Fifty times a process is forked that resumes the run, and is killed at a moment of its own. The framework is imported
# once, and nothing is computed before the forks, for threads do not survive them.
KILLED = """
import json, os, random, signal, time
from pathlib import Path
import test_checkpoints as tests
from d2l.checkpoint_file import CheckpointFolder, read

fw, folder = tests.adapter("torch"), CheckpointFolder(Path("killed"), 2)
import torch._dynamo  # or else each process would, for its optimizer
moments, reached = random.Random(0), []

def announcing(started, step):
    model = tests.model_of(fw, "adam")
    plain, steps = type(model).training_step, []
    def training_step(self, batch):
        steps.append(batch)
        if len(steps) == step:
            os.write(started, b".")
        return plain(self, batch)
    type(model).training_step = training_step
    return model

def run_on(started, step):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    fw.lib.set_num_threads(1)
    make = lambda: announcing(started, step)
    tests.fit(fw, epochs=10**6, resume=True, folder="killed", every=1, make=make)

for number in range(50):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            run_on(writer, step=1 + number % 2)  # every other one has made a checkpoint when its time begins
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"."
    time.sleep(moments.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    os.close(reader)
    for path in folder.steps().values():
        read(path)
    reached.append(max(folder.steps(), default=0))

fw.lib.set_num_threads(1)
epochs = reached[-1] // tests.BATCHES + 1
options = {"optimizer": "adam", "epochs": epochs, "every": "epoch"}
resumed = tests.result(fw, tests.fit(fw, start=99, resume=True, folder="killed", **options))
whole = tests.result(fw, tests.fit(fw, folder="whole", **options))
print(json.dumps({"reached": reached, "same": resumed == whole}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system whose processes can be forked")
@pytest.mark.fault("A training that makes checkpoints is killed")
def test_run_that_is_killed_fifty_times_resumes_each_time_from_a_whole_checkpoint(torch, sees):
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=TIME_LIMIT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["reached"]) == 50
    assert told["reached"] == sorted(told["reached"])
    assert told["reached"][-1] >= 25
    assert told["same"]
    sees("no error: resumed, the run comes to the same numbers as one that was not killed")


@pytest.mark.fault("Ctrl-C while a checkpoint is saved")
def test_ctrl_c_while_saving_leaves_the_checkpoints_before(torch, monkeypatch, sees):
    expected = result(torch, fit(torch, folder="whole"))
    synced = []

    def interrupted(descriptor):
        synced.append(descriptor)
        if len(synced) == 7:  # two for each checkpoint: its content, and its name in the folder
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(torch, keep=3)
    assert files() == [f"step-{step:08}.safetensors" for step in (2, 4, 6)]
    assert result(torch, fit(torch, start=99, resume=True)) == expected
    sees("KeyboardInterrupt: the checkpoints before are as they were, and the run can be resumed")


# Files

W = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {"model/w": W, "optimizer/0": np.array(7), "empty": np.zeros((0, 2))}
STATE = {"epoch": 1, "curves": {"loss": [[0.5, 2.25], [1.0, float("inf")]]}}


@pytest.fixture
def folder():
    return CheckpointFolder(Path(FOLDER), 2)


def test_checkpoint_gives_back_what_was_saved(folder):
    folder.save(3, ARRAYS, STATE)
    found = folder.newest()
    assert found.state == STATE
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert list(found.weights) == ["w"]


def test_arrays_in_any_order_of_memory_are_saved_as_they_are(folder):
    folder.save(1, {"turned": W.T, "part": np.arange(10)[::3]}, STATE)
    found = folder.newest().arrays
    np.testing.assert_array_equal(found["turned"], W.T)
    np.testing.assert_array_equal(found["part"], [0, 3, 6, 9])


def test_numbers_of_numpy_are_saved_as_numbers(folder):
    folder.save(1, {}, {"batch_size": np.int64(4), "x": np.float32(0.1)})
    assert folder.newest().state == {"batch_size": 4, "x": float(np.float32(0.1))}


def test_folder_that_another_run_writes_to_may_be_looked_at(folder, monkeypatch):
    fsync, opened = os.fsync, []

    def looked_at(descriptor):
        if not opened:
            opened.append(CheckpointFolder(folder.path, 2))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", looked_at)
    folder.save(3, ARRAYS, STATE)
    assert opened[0].newest().state == STATE
    assert files() == ["step-00000003.safetensors"]


@pytest.mark.parametrize(("number", "saved"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_file_systems_that_cannot_sync_a_folder_take_checkpoints(folder, monkeypatch, number, saved):
    """As network shares do; an error of the disk is one there, too."""
    fsync = os.fsync

    def of_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    with contextlib.nullcontext() if saved else pytest.raises(CheckpointError, match="could not be saved"):
        folder.save(3, ARRAYS, STATE)
    assert files() == ["step-00000003.safetensors"]


def test_last_ones_are_kept(folder):
    for step in (1, 2, 10, 100_000_000, 100_000_001):
        folder.save(step, ARRAYS, STATE)
    assert steps() == [100_000_000, 100_000_001]


@pytest.mark.fault("A checkpoint is cut off or damaged")
@pytest.mark.parametrize("damage", ["cut off", "other bytes"])
def test_checkpoint_that_is_not_whole_is_known_at_any_byte(folder, damage, sees, capsys):
    folder.save(3, ARRAYS, STATE)
    folder.save(4, ARRAYS, STATE)
    path = folder.steps()[4]
    content = path.read_bytes()
    for i in range(len(content)):
        rest = bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] if damage == "other bytes" else b""
        path.write_bytes(content[:i] + rest)
        with pytest.raises(CheckpointError, match="step-00000004"):
            read(path)
    assert folder.newest().path == folder.steps()[3]
    said = capsys.readouterr().err
    assert said.startswith(f"Passing over a damaged checkpoint: {path}: ")
    sees(said)


@pytest.mark.fault("No checkpoint is whole")
def test_no_whole_checkpoint_is_one_error_that_names_them_all(torch, sees):
    fit(torch)
    for path in Path(FOLDER).iterdir():
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the checkpoints is whole") as caught:
        fit(torch, resume=True)
    assert all(name in str(caught.value) for name in files())
    sees(f"CheckpointError: {caught.value}")


def test_damaged_checkpoint_is_passed_over_and_written_anew(torch, capsys):
    expected = result(torch, fit(torch, folder="whole"))
    interrupt(torch, BATCHES + 5)
    newest = CheckpointFolder(Path(FOLDER), 2).steps()[BATCHES + 4]
    newest.write_bytes(newest.read_bytes()[:-1])
    interrupt(torch, BATCHES + 3, start=99, resume=True, every=1, keep=1)
    assert f"after 2 of {BATCHES} batches" in capsys.readouterr().out
    assert steps() == [BATCHES + 3, BATCHES + 4]  # the whole one stays, although the damaged one has a later number
    assert result(torch, fit(torch, start=99, resume=True, keep=1)) == expected
    assert steps() == [EPOCHS * BATCHES]


def test_file_of_another_kind_is_no_checkpoint():
    Path("other.safetensors").write_bytes(checkpoint.save({"w": W}))
    with pytest.raises(CheckpointError, match=r"other\.safetensors: not a checkpoint that this version"):
        read(Path("other.safetensors"))
    with pytest.raises(CheckpointError, match="absent"):
        read(Path("absent"))


@pytest.mark.fault("The disk is full when a checkpoint is saved")
def test_full_disk_stops_the_run_and_leaves_the_checkpoints_before(torch, monkeypatch, sees):
    expected = result(torch, fit(torch, folder="whole"))
    fsync, synced = os.fsync, []

    def filled(descriptor):
        synced.append(descriptor)
        if len(synced) == 5:  # two for each checkpoint: its content, and its name in the folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", filled)
        with pytest.raises(CheckpointError, match=r"step-00000006.*No space left on device") as caught:
            fit(torch)
    assert files() == ["step-00000002.safetensors", "step-00000004.safetensors"]
    assert result(torch, fit(torch, start=99, resume=True)) == expected
    sees(f"CheckpointError: {caught.value}")


@pytest.mark.fault("The folder for checkpoints cannot be written to")
def test_folder_that_cannot_be_written_to_is_named_before_the_training(torch, sees):
    Path("file").touch()
    model = model_of(torch)
    with pytest.raises(CheckpointError, match="file/folder: no checkpoint can be written here") as caught:
        fit(torch, folder="file/folder", make=lambda: model)
    assert model.board.curves == {}
    sees(f"CheckpointError: {caught.value}")


# Two runs in one folder

TRAINING = """
import sys, test_checkpoints as tests
fw = tests.adapter("torch")
tests.fit(fw, epochs=10**6, every=1, make=lambda: tests.announced(fw))
"""


def announced(fw):
    """A model whose first step says that its run has begun."""
    model = model_of(fw)
    plain = type(model).training_step

    def training_step(self, batch):
        print("begun", flush=True)
        type(model).training_step = plain
        return plain(self, batch)

    type(model).training_step = training_step
    return model


@pytest.fixture
def other_run():
    """The process of a run in the folder that goes on until it is killed."""
    options = {"env": environment(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", TRAINING], **options) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.fault("Another run uses the folder for checkpoints")
def test_folder_that_another_run_uses_is_refused_with_its_process_and_its_start(torch, other_run, resume, sees):
    with pytest.raises(
        CheckpointError, match=f"{FOLDER}: another run uses this folder: process {other_run.pid} on "
    ) as e:
        fit(torch, resume=resume)
    assert re.search(
        r", started 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d\. Give another checkpoint_dir", str(e.value)
    )
    said = re.sub(
        r"process \d+ on \S+, started [^.]+", "process 4711 on HOST, started 2026-01-01 12:00:00+00:00", str(e.value)
    )
    sees(f"CheckpointError: {said}")
    assert other_run.poll() is None


def test_lock_of_a_run_that_was_killed_holds_nobody_up(torch, other_run):
    other_run.kill()
    other_run.wait()
    assert "run.lock" in files()
    fit(torch, resume=True, every="epoch", epochs=max(steps(), default=0) // BATCHES + 1)
    assert "run.lock" not in files()


def test_part_files_of_a_run_that_was_killed_are_removed(torch):
    Path(FOLDER).mkdir()
    part, other = "step-00000002.safetensors.0123456789abcdef.part", "notes.part"
    for name in (part, other):
        Path(FOLDER, name).write_bytes(b"a")
    fit(torch, epochs=1, every="epoch")
    assert files() == [other, f"step-{BATCHES:08}.safetensors"]


def test_two_trainers_of_one_process_take_turns(torch):
    class Data(Loaders):
        def train_dataloader(self):
            with pytest.raises(CheckpointError, match=f"another run uses this folder: process {os.getpid()} on"):
                fit(torch)
            return super().train_dataloader()

    torch.d2l.Trainer(1, checkpoint_dir=FOLDER).fit(model_of(torch), Data(batches_of(torch, [4]), None))
    fit(torch, resume=False, folder="other")
    assert "run.lock" not in files()


def test_run_that_fails_leaves_no_lock(torch):
    interrupt(torch, 3)
    assert "run.lock" not in files()
    with pytest.raises(CheckpointError, match="has checkpoints of an earlier run"):
        fit(torch)
    fit(torch, resume=True)


# A run, with a process of its own that waits, is gone without a word; then another one begins.
FORKED = """
import os
from pathlib import Path
from d2l.checkpoint_file import CheckpointFolder
from d2l.process_group import ProcessGroup

folder = CheckpointFolder(Path("checkpoints"), 2)
reader, writer = os.pipe()
ready, begin = os.pipe()
run = os.fork()
if not run:
    with folder.locked(ProcessGroup()):
        if not os.fork():
            os.close(writer)
            os.write(begin, b"!")
            os.read(reader, 1)  # until the first process closes it
            os._exit(0)
        os.read(ready, 1)  # until it has begun, without the lock
        os._exit(0)
os.waitpid(run, 0)
assert os.listdir("checkpoints") == ["run.lock"]
with folder.locked(ProcessGroup()):
    pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system's processes are not forked")
def test_process_that_is_forked_does_not_keep_the_lock():
    """As a data loader's worker that outlives a killed run by a moment."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED], env=environment(), capture_output=True, text=True, timeout=TIME_LIMIT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.fault("The file system of the folder for checkpoints has no locks, and another run saves there")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_the_checkpoints_of_another_run_stay_all_the_same(torch, monkeypatch, number, capsys, sees):
    """As on some file systems that machines share."""

    def no_locks(descriptor, blocking):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_lock, "lock_descriptor", no_locks)
    run, other = CheckpointFolder(Path(FOLDER), 1), CheckpointFolder(Path(FOLDER), 1)
    with run.locked(ProcessGroup()), other.locked(ProcessGroup()):
        run.save(2, ARRAYS, STATE)
        other.save(3, ARRAYS, STATE)
        run.save(4, ARRAYS, STATE)
        assert steps() == [3, 4]
        before = Path(FOLDER, files()[-1]).stat()
        with pytest.raises(CheckpointError, match="is of another run, which uses this folder, too") as caught:
            run.save(3, ARRAYS, STATE)
    assert Path(FOLDER, files()[-1]).stat() == before
    said = capsys.readouterr().err
    assert said.count("this file system has no locks") == 2
    sees(f"{said.splitlines()[0]} / CheckpointError: {caught.value}")


# What does not fit


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "batch", None])
def test_every_is_an_epoch_or_a_number_of_batches(torch, every):
    with pytest.raises(ValueError, match="every="):
        torch.d2l.Trainer(1, every=every)


@pytest.mark.parametrize("keep", [0, True, 1.0, None])
def test_keep_is_a_number(torch, keep):
    with pytest.raises(ValueError, match="keep="):
        torch.d2l.Trainer(1, keep=keep)


def test_resuming_takes_a_folder(torch):
    with pytest.raises(ValueError, match="give the trainer a checkpoint_dir"):
        torch.d2l.Trainer(1).fit(model_of(torch), data_of(torch), resume=True)


@pytest.mark.fault("A new run is to make checkpoints where an earlier one has")
def test_checkpoints_of_an_earlier_run_are_not_written_over(torch, sees):
    fit(torch)
    before = files()
    with pytest.raises(CheckpointError, match="has checkpoints of an earlier run") as caught:
        fit(torch)
    assert files() == before
    sees(f"CheckpointError: {caught.value}")


@pytest.mark.fault("A run is resumed with another optimizer or other data")
@pytest.mark.parametrize(
    ("arguments", "differs"),
    [
        ({"batch_size": 5}, "batch_size is 4 there and 5 here, training batches per epoch is 6 there and 5 here"),
        ({"examples": 21}, "training examples is 22 there and 21 here"),
        ({"optimizer": "adam"}, "optimizer is SGD there and Adam here"),
    ],
)
def test_resuming_another_run_names_what_differs(torch, arguments, differs, sees):
    fit(torch)
    with pytest.raises(CheckpointError, match="is of another run: ") as caught:
        fit(torch, resume=True, **arguments)
    assert str(caught.value).endswith(f"is of another run: {differs}")
    sees(f"CheckpointError: {caught.value}")


def test_another_learning_rate_holds_for_the_resumed_run_or_is_named(fw):
    """Optimizers but for JAX's would go on with that of the checkpoint, and the log would name the new one."""
    fit(fw, epochs=1, make=lambda: tiny(fw, lr=0.1))
    if fw.name == "jax":
        before = fw.weights(fit(fw, epochs=1, resume=True, make=lambda: tiny(fw, lr=0.0)))
        assert_same(fw.weights(fit(fw, epochs=2, resume=True, make=lambda: tiny(fw, lr=0.0))), before)
        return
    with pytest.raises(CheckpointError, match=r"is of another run: lr is 0\.1 there and 0\.01 here"):
        fit(fw, epochs=2, resume=True, make=lambda: tiny(fw, lr=0.01))


def test_optimizer_written_by_hand_is_said_to_resume_without_its_state(torch, capsys):
    class Scratch:
        def __init__(self, params):
            self.params = list(params)

        def zero_grad(self):
            for param in self.params:
                param.grad = None

        def step(self):
            for param in self.params:
                param -= 0.1 * param.grad

    def model_with(optimizer):
        model = tiny(torch)
        type(model).configure_optimizers = lambda self: optimizer(self.parameters())
        return model

    fit(torch, make=lambda: model_with(Scratch), folder="by hand")
    said = "Checkpoints lack what Scratch, an optimizer written by hand, keeps from one step to the next"
    assert said in capsys.readouterr().out
    momentum = type("Momentum", (torch.d2l.SGD,), {})
    fit(torch, make=lambda: model_with(partial(momentum, lr=0.1)), folder="on ours")
    assert said.replace("Scratch", "Momentum") in capsys.readouterr().out
    fit(torch, make=lambda: model_with(partial(torch.d2l.SGD, lr=0.1)), folder="ours")
    assert "Checkpoints lack" not in capsys.readouterr().out


def test_home_folder_is_found(fw, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fit(fw, epochs=1, folder="~/kept", every="epoch")
    name = f"step-{BATCHES:08}.safetensors"
    assert [path.name for path in (tmp_path / "home" / "kept").iterdir()] == [name]
    fw.d2l.Trainer(1).load_weights(model_of(fw), data_of(fw), f"~/kept/{name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_resuming_with_other_images_is_named(torch, tmp_path):
    """One fewer makes as many batches, but another order."""
    write_folder(tmp_path / "images")
    data = lambda: torch.d2l.ImageFolder("images", batch_size=5, resize=40, crop=32)  # noqa: E731
    make = lambda: torch.d2l.LeNet(num_classes=3)  # noqa: E731
    torch.d2l.Trainer(1, checkpoint_dir=FOLDER).fit(make(), data())
    n = len(data().train)
    next((tmp_path / "images" / "train" / "cat").iterdir()).unlink()
    with pytest.raises(CheckpointError, match=f"training examples is {n} there and {n - 1} here$"):
        torch.d2l.Trainer(2, checkpoint_dir=FOLDER).fit(make(), data(), resume=True)


def test_checkpoint_of_another_optimizer_is_an_error_in_every_framework(fw):
    fit(fw, epochs=1, every="epoch")
    with pytest.raises(CheckpointError, match="optimizer"):
        fit(fw, "adam", epochs=2, resume=True)


def test_state_that_only_the_framework_can_tell_to_be_wrong_is_one_error(fw):
    fit(fw, epochs=1, every="epoch")
    (path,) = CheckpointFolder(Path(FOLDER), 1).steps().values()
    content = path.read_bytes()
    whole = state_of(content)
    optimizers = 7, {"list": [1, 2]}, {"dict": [["a", {"list": []}]]}, "adam"
    changes = [{"optimizer": optimizer} for optimizer in optimizers]
    changes += [{"batch": 10**6}, {"run": {"framework": "\x1b[2J" * 1000}}]
    if whole["random"][0]["framework"] is not None:  # as JAX's is
        changes.append({"random": [{**whole["random"][0], "framework": [[1], "a"]}]})
    for change in changes:
        path.write_bytes(forged(content, {**whole, **change}))
        with pytest.raises(CheckpointError, match=re.escape(path.name)) as caught:
            fit(fw, epochs=2, resume=True)
        said = str(caught.value)
        assert len(said) < 2000 and said.replace("\n", "").isprintable()


@pytest.mark.fault("A checkpoint has numbers that are not finite for the optimizer, or arrays of other shapes")
def test_optimizer_takes_no_state_that_does_not_fit_it(fw, sees):
    """Of which a framework finds some in the next step, without the file's name, and loops without end over some."""
    fit(fw, "adam", epochs=1, every="epoch")
    (path,) = CheckpointFolder(Path(FOLDER), 1).steps().values()
    content, wrong = path.read_bytes(), {}
    for name, other in misfits(content):
        path.write_bytes(other)
        try:
            fit(fw, "adam", epochs=2, resume=True)
            wrong[name] = said = "no error"
        except CheckpointError as error:
            said = str(error)
            if path.name not in said or len(said) > 2000 or not said.replace("\n", "").isprintable():
                wrong[name] = said
        except Exception as error:
            wrong[name] = said = repr(error)
        if fw.name == "torch" and name.startswith("nan"):
            sees(f"CheckpointError: {said}")
    assert wrong == {}
    path.write_bytes(content)
    fit(fw, "adam", epochs=2, resume=True)


def test_checkpoint_of_another_framework_is_named(torch, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.d2l.Trainer.backend_type, "name", "numpy")
        fit(torch, epochs=1)
    with pytest.raises(CheckpointError, match="framework is numpy there and torch here"):
        fit(torch, resume=True)


@pytest.mark.fault("A checkpoint is of another model")
def test_resuming_another_model_lists_what_differs(fw, sees):
    fit(fw, epochs=1, every="epoch")
    with pytest.raises(CheckpointError, match=rf"step-0+{BATCHES}\.safetensors does not fit this model") as caught:
        fit(fw, resume=True, make=partial(model_of, fw, hidden=8))
    assert len(str(caught.value).splitlines()) == 4  # weight and bias of the first layer, weight of the second
    if fw.name == "torch":
        sees(f"CheckpointError: {caught.value}")


def test_loss_that_is_lost_is_not_saved(torch):
    """The point that shows it is drawn after the third batch; the second is spoilt."""
    train = batches_of(torch, [4] * 6)
    train[1] = spoilt(torch, train[1])
    trainer = torch.d2l.Trainer(1, checkpoint_dir=FOLDER, every=1)
    with pytest.raises(FloatingPointError):
        trainer.fit(model_of(torch), Loaders(train, None))
    assert steps() == [1]


def test_loss_that_is_lost_is_not_saved_where_the_weights_are_not(torch):
    """A constant that is infinite leaves the gradients as they are."""
    model = model_of(torch)
    loss = model.loss
    model.loss = lambda *args: loss(*args) + (np.inf if model.trainer.train_batch_idx == 1 else 0)
    trainer = torch.d2l.Trainer(1, checkpoint_dir=FOLDER, every=1)
    with pytest.raises(FloatingPointError):
        trainer.fit(model, Loaders(batches_of(torch, [4] * 6), None))
    assert steps() == [1]


def test_optimizer_state_that_cannot_be_saved_is_named(torch):
    class Odd(torch.lib.optim.SGD):
        def state_dict(self):
            return super().state_dict() | {"odd": object()}

    model = model_of(torch)
    type(model).configure_optimizers = lambda self: Odd(self.parameters(), lr=0.1)
    with pytest.raises(CheckpointError, match="optimizer/odd is of the type object"):
        fit(torch, make=lambda: model)
    assert files() == []


# Weights by themselves


def lenet(fw, **arguments):
    """LeNet, whose layers have no shapes yet, and data for it."""
    return fw.d2l.LeNet(**arguments), data_of(fw)


@pytest.fixture(scope="module")
def saved_lenet_of(tmp_path_factory):
    """Makes, for a framework, a checkpoint of LeNet: its path, and the weights in it."""

    @cache
    def save(fw):
        seed(fw, 1)
        model, data = lenet(fw)
        folder = tmp_path_factory.mktemp(FOLDER)
        fw.d2l.Trainer(1, checkpoint_dir=folder).fit(model, data)
        return Path(folder, files(folder)[-1]), fw.weights(model)

    return save


@pytest.fixture(scope="module")
def saved_lenet(fw, saved_lenet_of):
    """The path of a checkpoint of LeNet, and the weights in it."""
    return saved_lenet_of(fw)


def assert_same(weights, expected):
    assert len(weights) == len(expected) > 0
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_weights_are_loaded_into_a_new_model(fw, saved_lenet):
    path, expected = saved_lenet
    model, data = lenet(fw)
    fw.d2l.Trainer(1).load_weights(model, data, path)
    assert_same(fw.weights(model), expected)
    assert not getattr(model, "training", False)


def test_loading_weights_leaves_the_curves(fw, saved_lenet):
    path, _ = saved_lenet
    model, data = lenet(fw)
    fw.d2l.Trainer(1).fit(model, data)
    curves = dict(model.board.curves)
    fw.d2l.Trainer(1).load_weights(model, data, path)
    assert model.board.curves == curves != {}


def test_loading_weights_draws_nothing_reads_nothing_and_asks_no_other_process(fw, saved_lenet, tmp_path):
    path, expected = saved_lenet
    draw = fw.d2l.DataModule()._draw_seed
    data = fw.d2l.FashionMNIST(batch_size=8)
    seed(fw, 5)
    drawn = draw(), random.random(), np.random.random()

    def other_process(array):
        raise AssertionError("another process is asked")

    model, trainer = fw.d2l.LeNet(lr=0.1), fw.d2l.Trainer(1)
    trainer.backend.processes = processes = ProcessGroup(1, 2, other_process)
    seed(fw, 5)
    trainer.load_weights(model, data, path)
    assert (draw(), random.random(), np.random.random()) == drawn
    assert_same(fw.weights(model), expected)
    assert trainer.processes is processes


def test_weights_are_loaded_without_a_batch_where_the_shapes_are_known(stateful, saved_lenet_of):
    """The data may be far away, and their first batch long in coming."""

    class Unread:
        def __len__(self):
            return 1

        def __iter__(self):
            raise AssertionError("a batch is read")

    path, expected = saved_lenet_of(stateful)
    model, data = lenet(stateful)
    stateful.d2l.Trainer(1).fit(model, data)
    stateful.d2l.Trainer(1).load_weights(model, Loaders(Unread(), None), path)
    assert_same(stateful.weights(model), expected)


def test_weights_of_another_model_are_listed_and_leave_the_model_untouched(fw, saved_lenet):
    path, _ = saved_lenet
    model, data = lenet(fw, num_classes=11)
    trainer = fw.d2l.Trainer(1)
    trainer.fit(model, data)
    before = fw.weights(model)
    with pytest.raises(CheckpointError, match="does not fit this model") as caught:
        trainer.load_weights(model, data, path)
    first, *lines = str(caught.value).splitlines()
    assert str(path) in first
    assert len(lines) == 2
    shapes = r"is \((84, 10|10, 84|10,)\) float32 in the file, \((84, 11|11, 84|11,)\) float32 in the model"
    assert all(re.search(shapes, line) for line in lines)
    assert_same(fw.weights(model), before)


def test_missing_and_extra_names_are_listed_up_to_a_number(torch):
    fit(torch, epochs=1)
    with pytest.raises(CheckpointError) as caught:
        torch.d2l.Trainer(1).load_weights(*lenet(torch), Path(FOLDER, files()[-1]))
    said = str(caught.value)
    assert "net.0.weight (6, 1, 5, 5) float32 is missing in the file" in said
    assert "net.1.weight (16, 784) float32 is in the file, but not in the model" in said
    with pytest.raises(CheckpointError, match=r"and 80 more$"):
        checkpoint.check_fits(Path("file"), {}, {f"w{i}": np.zeros(1) for i in range(100)}, "model")
