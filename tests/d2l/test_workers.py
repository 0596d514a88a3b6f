"""Training in several processes is training in one: the same parameters, curves and examples, and one voice."""

import ast
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from contract.fixtures import adapter
from photographs import write_folder
from processes import TIME_LIMIT

from d2l.board import ProgressBoard
from d2l.checkpoint_file import CheckpointFolder
from d2l.process_group import ProcessGroup

pytestmark = pytest.mark.helper

ROOT = Path(__file__).parents[2]

# Trains LeNet with uneven parts: 256 examples in batches of 50, of which four processes take 12 or 13.
EQUAL = """
import json, sys
import numpy as np, torch
from d2l import torch as d2l

torch.manual_seed(3)
seen = []

class Data(d2l.FashionMNIST):
    def _gather(self, tensor, indices):
        seen.append(indices.tolist())
        return super()._gather(tensor, indices)

class LeNet(d2l.LeNet):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

class Loader(d2l.DataModule):
    def __init__(self, data):
        self.data, self.batch_size = data, data.batch_size

    def get_dataloader(self, train):
        images = torch.tensor(self.data.train.images[:30, None]) / 255
        dataset = torch.utils.data.TensorDataset(images, torch.arange(30))
        return torch.utils.data.DataLoader(dataset, 8, shuffle=train)

class Counting(LeNet):
    def training_step(self, batch):
        seen.append(batch[1].tolist())
        return super().training_step(batch)

model, data = LeNet(), Data(batch_size=50)
trainer = d2l.Trainer(max_epochs=2, gradient_clip_val=0.5)
trainer.fit(model, data)
found = {"curves": model.board.curves, "seen": seen[:]}
seen.clear()
other = Counting(num_classes=30)
d2l.Trainer(max_epochs=1).fit(other, Loader(data))  # a loader of PyTorch's own, the last batch of 6
found |= {"other curves": other.board.curves, "other seen": seen}
name = f"{sys.argv[1]}-{trainer.processes.rank}"
weights = {**model.state_dict(), **{f"other.{name}": weight for name, weight in other.state_dict().items()}}
np.savez(name + ".npz", **{name: weight.numpy() for name, weight in weights.items()})
open(name + ".json", "w").write(json.dumps(found))
"""


def environment(**more):
    """Of a process that trains on few examples with a core of its own, and finds others whatever its machine's name."""
    settings = {"PYTHONPATH": str(ROOT), "D2L_PROFILE": "smoke", "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        settings["GLOO_SOCKET_IFNAME"] = "lo"
    return os.environ | settings | more


def torchrun(processes, *arguments):
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *arguments]


def ended(command, folder, **more):
    """The outcome of a command."""
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )


def done(command, folder, **more):
    """The outcome of a command that is to succeed."""
    run = ended(command, folder, **more)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training in one process, in two and in four: what each printed, and the results of its processes."""
    adapter("torch")
    folder = tmp_path_factory.mktemp("runs")
    (folder / "train.py").write_text(EQUAL)
    runs = {}
    for count in (1, 2, 4):
        logs = ("--tee", "3", "--log-dir", f"logs-{count}")
        start = [sys.executable] if count == 1 else torchrun(count, *logs)
        printed = done([*start, "train.py", str(count)], folder)
        names = [f"{count}-{rank}" for rank in range(count)]
        found = [json.loads((folder / f"{name}.json").read_text("utf-8")) for name in names]
        runs[count] = printed, found, [dict(np.load(folder / f"{name}.npz")) for name in names], folder
    return runs


@pytest.mark.parametrize("count", [2, 4])
def test_processes_train_to_the_parameters_of_one(runs, count, measured):
    (one,) = runs[1][2]
    apart = max(np.abs(weights[name] - one[name]).max() for weights in runs[count][2] for name in one)
    measured(f"PyTorch, {count} processes: parameters at most {apart:.1e} from those of one")
    assert apart < 1e-5


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("curves", ["curves", "other curves"])
def test_processes_have_the_curves_of_one(runs, count, curves):
    (one,) = runs[1][1]
    assert set(one[curves]) == {"train_loss", "val_loss", "val_acc"}
    for found in runs[count][1]:
        assert set(found[curves]) == set(one[curves])
        for label, points in one[curves].items():
            np.testing.assert_allclose(found[curves][label], points, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(("seen", "examples"), [("seen", 256), ("other seen", 30)])
def test_each_example_is_seen_once_an_epoch(runs, count, seen, examples):
    # What a process took: for our own loader images and labels of a batch, for that of PyTorch the labels.
    taken = [found[seen] for found in runs[count][1]]
    if seen == "seen":
        steps = 2 * -(-256 // 50)
        taken = [[batch for batch in process[::2]] for process in taken]
        training = [process[: steps // 2] + process[steps // 2 + 3 : steps + 3] for process in taken]
        epochs = [[process[: steps // 2] for process in training], [process[steps // 2 :] for process in training]]
    else:
        epochs = [taken]
    for epoch in epochs:
        assert sorted(i for process in epoch for batch in process for i in batch) == list(range(examples))


@pytest.mark.parametrize("count", [2, 4])
def test_one_process_speaks(runs, count):
    printed, _, _, folder = runs[count]
    assert "each of 256 examples" in printed.stdout
    assert f"on {count} x cpu" in printed.stdout
    assert "Warning" not in printed.stderr
    for rank in range(count):
        stdout, stderr = (next(folder.glob(f"logs-{count}/*/*/{rank}/{name}.log")) for name in ("stdout", "stderr"))
        assert stdout.read_text("utf-8").count("smoke run:") == (2 if rank == 0 else 0)
        assert ("%|" in stderr.read_text("utf-8")) == (rank == 0)


def test_parts_are_a_whole_batch():
    for count in range(1, 6):
        for n in range(12):
            parts = [list(range(n))[ProcessGroup(rank, count).shard(n)] for rank in range(count)]
            assert [i for part in parts for i in part] == list(range(n))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def together(count, function):
    """What a function gives each of some processes, which add up through memory."""
    barrier, arrays, results = threading.Barrier(count), [None] * count, [None] * count

    def run(rank):
        def add_up(array):
            barrier.wait(TIME_LIMIT)
            arrays[rank] = array
            barrier.wait(TIME_LIMIT)
            total = sum(arrays[1:], arrays[0].copy())
            barrier.wait(TIME_LIMIT)
            return total

        results[rank] = function(ProcessGroup(rank, count, add_up))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_workers_tell_each_other_texts():
    texts = ["", "one", "Größe {}"]
    assert together(3, lambda processes: processes.all_gather(texts[processes.rank])) == [texts] * 3
    assert together(3, lambda processes: processes.all_gather("")) == [[""] * 3] * 3


def test_workers_have_the_first_ones_numbers():
    found = together(3, lambda processes: processes.broadcast(np.array([7, 2**40]) * (processes.rank + 1)))
    assert [array.tolist() for array in found] == [[7, 2**40]] * 3


def test_a_board_averages_over_workers_and_goes_on_from_their_state():
    def curves(processes):
        def board():
            board = ProgressBoard(display=False)
            board.all_reduce = lambda numbers: processes.all_reduce_sum(np.array(numbers, np.float64)).tolist()
            return board

        first = board()
        weight = (3, 0, 1)[processes.rank]
        first.draw(0, float("nan") if weight == 0 else processes.rank, "loss", every_n=2, weight=weight)
        resumed = board()
        resumed.set_state(json.loads(json.dumps(first.state())))
        resumed.draw(1, 3 * processes.rank, "loss", every_n=2, weight=processes.rank)
        return resumed.curves

    # Weighted by examples: (3 * 0 + 1 * 2 + 1 * 3 + 2 * 6) / 7 at x = (4 * 0 + 3 * 1) / 7.
    assert together(3, curves) == [{"loss": [pytest.approx((3 / 7, 17 / 7))]}] * 3


TRAIN = ("-m", "d2l.train", "pytorch", "--model", "lenet", "--batch-size", "32", "--seed", "1")

# torchrun's processes write each piece that is printed by itself, so that what two of them print gets mixed up within a
# line: these programs write what is looked for in one piece.

# The second process kills itself in the second epoch, once, as the machine's lack of memory would. The first one has
# the time to say so: it does not hear torchrun, which ends it.
DYING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
from d2l import torch as d2l
from d2l.train import main

step = d2l.LeNet.training_step

def dying(self, batch):
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first and self.trainer.train_batch_idx == 12 and self.trainer.processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)

d2l.LeNet.training_step = dying
sys.stdout.write(f"process {os.getpid()}\\n")
sys.exit(main(sys.argv[1:]))
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.fault("One of several processes is killed")
def test_a_dying_process_ends_the_run(tmp_path, sees):
    adapter("torch")
    (tmp_path / "dying.py").write_text(DYING)
    run = ended([*torchrun(2), "dying.py", *TRAIN[2:]], tmp_path)
    assert run.returncode != 0
    assert "Signal 9 (SIGKILL) received by PID" in run.stderr
    sees(re.search(r"Another of the 2 processes has ended.*", run.stderr)[0])
    pids = [int(pid) for pid in re.findall(r"process (\d+)", run.stdout)]
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_torchrun_goes_on_from_the_last_checkpoint(tmp_path):
    adapter("torch")
    (tmp_path / "dying.py").write_text(DYING)
    kept = ("--checkpoint-dir", "kept", "--resume", "--log-file", "run.jsonl")
    run = done([*torchrun(2, "--max-restarts=1"), "dying.py", *TRAIN[2:], *kept], tmp_path)
    assert "Resuming from kept/step-00000008.safetensors: epoch 2, after 0 of 8 batches" in run.stdout
    done([*torchrun(2), "-m", "d2l.train", *TRAIN[2:], "--log-file", "whole.jsonl"], tmp_path)

    def points(path):
        lines = map(json.loads, (tmp_path / path).read_text("utf-8").splitlines())
        return {(name, line["epoch"]): line[name] for line in lines for name in line if "_" in name}

    assert points("run.jsonl") == points("whole.jsonl")
    events = [json.loads(line).get("event") for line in (tmp_path / "run.jsonl").read_text("utf-8").splitlines()]
    assert list(filter(None, events)) == ["start", "failed", "start", "resumed", "end"]


def test_a_checkpoint_of_two_processes_serves_one(tmp_path):
    adapter("torch")
    kept = ("--checkpoint-dir", "kept", "--resume")
    done([*torchrun(2), "-m", "d2l.train", *TRAIN[2:], "--epochs", "1", *kept], tmp_path)
    run = done([sys.executable, *TRAIN, "--epochs", "2", *kept], tmp_path)
    assert "Resuming from kept/step-00000008.safetensors: epoch 2" in run.stdout
    assert "each of 256 examples" in run.stdout


def test_sigterm_to_torchrun_saves_a_checkpoint(tmp_path):
    adapter("torch")
    command = [*torchrun(2), "-m", "d2l.train", *TRAIN[2:], "--epochs", "10000", "--checkpoint-dir", "kept"]
    write_folder(tmp_path / "images", train=16, val=1)  # two batches of 32
    command += ["--log-file", "run.jsonl", "--data", "images"]
    log = tmp_path / "run.jsonl"
    endless = environment(D2L_PROFILE="full")
    run = subprocess.Popen(
        command, cwd=tmp_path, env=endless, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + TIME_LIMIT
    while (
        run.poll() is None
        and time.monotonic() < until
        and not (log.exists() and "train_loss" in log.read_text("utf-8"))
    ):
        time.sleep(0.1)
    run.terminate()  # which torchrun passes on, so that nothing trains on if this fails
    printed, _ = run.communicate(timeout=300)
    assert run.returncode != 0
    assert printed.count("Stopped by SIGTERM after") == 1, printed
    stopped = json.loads(log.read_text("utf-8").splitlines()[-1])
    assert stopped["event"] == "stopped"
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names[-1] == f"step-{round(stopped['epoch'] * 2):08}.safetensors"


def test_image_folders_are_divided(tmp_path):
    adapter("torch")
    write_folder(tmp_path / "images")
    (tmp_path / "train.py").write_text(
        "import sys, torch\n"
        "from d2l import torch as d2l\n"
        "from d2l.images import ImageLoader\n"
        "data = d2l.ImageFolder('images', batch_size=3, resize=40, crop=32)\n"
        "load, seen = ImageLoader._load, []\n"
        "def counted(self, index, seed, memory):\n"
        "    seen.append((seed, index))\n"
        "    return load(self, index, seed, memory)\n"
        "ImageLoader._load = counted\n"
        "trainer = d2l.Trainer(max_epochs=1)\n"
        "trainer.fit(d2l.LeNet(num_classes=data.num_classes), data)\n"
        "sys.stdout.write(f'{[(seed, index) for seed, index in seen if seed is not None]} {len(data.train)}\\n')\n"
    )
    run = done([*torchrun(2), "train.py"], tmp_path)
    lines = re.findall(r"\[\(.*?\)\] \d+", run.stdout)
    assert len(lines) == 2
    seen = [ast.literal_eval(line.rpartition("]")[0] + "]") for line in lines]
    assert len({seed for process in seen for seed, _ in process}) == 1
    n = int(lines[0].rpartition(" ")[2])
    assert sorted(index for process in seen for _, index in process) == list(range(n))
    assert f"each of {n} examples" in run.stdout


CORRUPT = """
import json, sys
from d2l import torch as d2l
data = d2l.ImageFolder("images", batch_size=4, resize=40, crop=32)
trainer = d2l.Trainer(max_epochs=4)
try:
    trainer.fit(d2l.LeNet(num_classes=data.num_classes), data)
finally:
    sys.stdout.write(f"corrupt: {json.dumps(sorted(data.train.corrupt))}\\n")
"""


def test_corrupt_images_are_named_once_and_known_to_all_processes(tmp_path):
    adapter("torch")
    broken = [write_folder(tmp_path / "images") / "train" / "cat" / f"{i:03}.jpg" for i in (0, 1)]
    for path in broken:
        path.write_bytes(b"no image")
    (tmp_path / "train.py").write_text(CORRUPT)
    run = done([*torchrun(2), "train.py"], tmp_path)
    assert re.findall(r"(\d+) of .* corrupt and left out", run.stderr) == ["2"]
    known = json.dumps([f"images/train/cat/{path.name}" for path in broken])
    assert re.findall(r"corrupt: (\[.*?\])", run.stdout) == [known] * 2


def test_images_that_no_process_can_decode_are_an_error(tmp_path):
    adapter("torch")
    for path in write_folder(tmp_path / "images").glob("train/*/*"):
        path.write_bytes(b"no image")
    (tmp_path / "train.py").write_text(CORRUPT)
    run = ended([*torchrun(2), "train.py"], tmp_path)
    assert run.returncode != 0
    assert re.search(r"DataError: none of the \d+ images can be decoded", run.stderr), run.stderr
    assert "ZeroDivisionError" not in run.stderr


def test_processes_that_find_different_checkpoints_say_so(tmp_path):
    """As on machines that do not share the folder."""
    adapter("torch")
    (tmp_path / "train.py").write_text(
        "import os, sys\n"
        "from d2l import torch as d2l\n"
        "trainer = d2l.Trainer(int(sys.argv[1]), checkpoint_dir=f'kept-{os.environ[\"RANK\"]}')\n"
        "trainer.fit(d2l.LeNet(), d2l.FashionMNIST(batch_size=64), resume=True)\n"
    )
    done([*torchrun(2), "train.py", "1"], tmp_path)
    run = ended([*torchrun(2), "train.py", "2"], tmp_path)
    assert run.returncode != 0
    assert "the processes find different checkpoints there (step-00000004.safetensors, none)" in run.stderr
    assert "give a folder that all machines share" in run.stderr


def test_folder_that_another_run_uses_is_refused_by_all_processes(tmp_path):
    adapter("torch")
    (tmp_path / "train.py").write_text(
        "from d2l import torch as d2l\n"
        "d2l.Trainer(1, checkpoint_dir='kept').fit(d2l.LeNet(), d2l.FashionMNIST(batch_size=64))\n"
    )
    with CheckpointFolder(tmp_path / "kept", 1).locked(ProcessGroup()):
        run = ended([*torchrun(2), "train.py"], tmp_path)
    assert run.returncode != 0
    said = f"kept: another run uses this folder: process {os.getpid()} on "
    assert run.stderr.count(f"CheckpointError: {said}") >= 2  # torchrun may say it again
    assert os.listdir(tmp_path / "kept") == []


# The second process alone gets a signal, as the machines of a cluster may get theirs one after the other. The first one
# does not hear torchrun, which ends it when the second has ended.
SIGNALLED = """
import os, signal, sys
if os.environ["RANK"] == "0":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
from d2l import torch as d2l
from d2l.train import main

step = d2l.LeNet.training_step

def signalled(self, batch):
    if self.trainer.train_batch_idx == 5 and self.trainer.processes.rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, batch)

d2l.LeNet.training_step = signalled
sys.exit(main(sys.argv[1:]))
"""


def test_a_signal_to_one_process_ends_the_run_of_all(tmp_path):
    adapter("torch")
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    options = ("--checkpoint-dir", "kept", "--log-file", "run.jsonl")
    run = ended([*torchrun(2), "signalled.py", *TRAIN[2:], *options], tmp_path)
    assert run.stderr.count("Stopped by SIGTERM after 0.75 epochs; the same command with --resume goes on") == 1
    last = json.loads((tmp_path / "run.jsonl").read_text("utf-8").splitlines()[-1])
    assert (last["event"], last["signal"], last["epoch"]) == ("stopped", "SIGTERM", 0.75)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-00000006.safetensors"]


def test_the_notebook_runs_in_several_processes_unchanged(tmp_path):
    adapter("torch")
    notebook = ROOT / "tests/reference/pytorch/chapter_cnn/lenet.ipynb"
    run = done([*torchrun(2), "-m", "IPython", str(notebook)], tmp_path)
    assert run.stdout.count("smoke run:") == 1
    assert "on 2 x cpu" in run.stdout
