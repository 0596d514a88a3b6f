"""The command `python -m d2l.train`: it trains as the notebooks do, keeps a log, and ends cleanly however it ends."""

import inspect
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from contract.adapters import EXTRAS, NAMES
from contract.fixtures import adapter
from photographs import encoded, photograph, write_folder
from processes import TIME_LIMIT

from d2l.board import ProgressBoard
from d2l.run_log import LogObserver, RunLog
from d2l.train import FRAMEWORKS, main
from d2l.train_options import EPILOG, OPTIONS, TRAINER_OPTIONS, in_options, make_parser

pytestmark = pytest.mark.helper

EPOCHS, STEPS, VALIDATION_STEPS = 2, 8, 4  # of a smoke run in batches of 32
LENET = ("--model", "lenet", "--batch-size", "32", "--seed", "1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own, where a command's files go."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(path="run.jsonl"):
    """A log's lines."""
    text = Path(path).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def events(path="run.jsonl"):
    return [line["event"] for line in lines(path) if "event" in line]


def points(path="run.jsonl"):
    """The points of a log: all but what has to do with the time."""
    return [
        {name: value for name, value in line.items() if name != "time"} for line in lines(path) if "event" not in line
    ]


def command(*arguments, code="from d2l.train import main; sys.exit(main(sys.argv[1:]))", **options):
    """A new process with the command, or with other code before it."""
    root = Path(__file__).parents[2]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    environment = os.environ | {"PYTHONPATH": str(root)} | options.pop("environment", {})
    return subprocess.Popen([sys.executable, "-c", f"import sys; {code}", *arguments], env=environment, **options)


def fails(capsys, *arguments):
    """The exit code and the last line of a command that comes to nothing."""
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("\n")
    return code, said.strip()


def stop_at(patch, fw, stop, training=None, validation=None):
    """Have ``stop`` called with the trainer in a step of training or of validation, given by its number in the run."""

    def stopping(method, at):
        counted = itertools.count(1)

        def step(backend, model, *arguments):
            if next(counted) == at:
                stop(model.trainer)
            return method(backend, model, *arguments)

        return step

    backend = fw.d2l.Trainer.backend_type
    for name, at in (("train_step", training), ("eval_step", validation)):
        patch.setattr(backend, name, stopping(getattr(backend, name), at))


# Training


@pytest.mark.parametrize("name", NAMES)
def test_trains_in_every_framework_and_logs_what_it_prints(name, capsys):
    fw = adapter(name)
    assert main([EXTRAS[name], *LENET, "--devices", "0", "--log-file", "run.jsonl"]) == 0
    start, *middle, end = lines()
    assert start["event"] == "start" and end["event"] == "end"
    assert start["settings"]["framework"] == EXTRAS[name] and start["settings"]["seed"] == 1
    assert start["settings"]["lr"] == 0.5  # the chapter's
    assert start["versions"][name] == fw.lib.__version__
    assert start["profile"] == "smoke run"
    labels = [set(point) - {"time", "epoch"} for point in middle]
    assert labels.count({"train_loss"}) == 2 * EPOCHS
    assert labels.count({"val_loss"}) == labels.count({"val_acc"}) == EPOCHS
    assert [point["epoch"] for point in middle if "val_acc" in point] == [1, 2]
    assert end["metrics"] == {
        label: [point[label] for point in middle if label in point][-1]
        for label in ("train_loss", "val_loss", "val_acc")
    }
    assert end["epochs"] == EPOCHS and end["seconds"] > 0
    assert end["precision"] == "float32"
    printed = re.findall(r"(\w+_\w+) (\d\.\d{3})", capsys.readouterr().out.splitlines()[-1])
    assert printed == [(label, f"{value:.3f}") for label, value in end["metrics"].items()]


@pytest.mark.parametrize("name", NAMES)
def test_seed_repeats_a_run(name):
    fw = adapter(name)
    for log in ("one.jsonl", "two.jsonl"):
        fw.seed(99)
        assert main([EXTRAS[name], *LENET, "--devices", "0", "--log-file", log]) == 0
    assert main([EXTRAS[name], *LENET[:-1], "2", "--devices", "0", "--log-file", "other.jsonl"]) == 0
    assert points("one.jsonl") == points("two.jsonl")
    assert points("one.jsonl") != points("other.jsonl")


def test_trains_alexnet_on_a_folder_in_three_channels(folder, torch, monkeypatch):
    shapes = set()
    prepare = torch.d2l.Trainer.prepare_batch
    monkeypatch.setattr(
        torch.d2l.Trainer, "prepare_batch", lambda trainer, batch: shapes.add(batch[0].shape) or prepare(trainer, batch)
    )
    write_folder(folder / "images", train=2, val=1)
    assert main(["pytorch", "--data", "images", "--epochs", "1", "--batch-size", "3", "--log-file", "run.jsonl"]) == 0
    assert shapes == {(3, 3, 224, 224)}
    start, *_, end = lines()
    assert start["classes"] == 3 and start["settings"]["lr"] == 0.01
    assert "val_acc5" not in end["metrics"]  # of three classes, all are among the five likeliest


def test_top_5_is_plotted_for_more_than_ten_classes(folder, torch):
    for part in ("train", "val"):
        for i in range(11):
            path = folder / "images" / part / f"class{i:02}"
            path.mkdir(parents=True)
            (path / "0.jpg").write_bytes(encoded(photograph().crop((i, i, i + 64, i + 64))))
    assert main(["pytorch", "--data", "images", *LENET, "--log-file", "run.jsonl"]) == 0
    metrics = lines()[-1]["metrics"]
    assert 0 <= metrics["val_acc"] <= metrics["val_acc5"] <= 1


@pytest.mark.fault("An image is corrupt")
def test_corrupt_images_are_in_the_log_with_the_reasons(folder, torch, capsys, sees):
    for part in ("train", "val"):
        (write_folder(folder / "images") / part / "cat" / "z.jpg").write_bytes(b"GIF89a")
    assert main(["pytorch", "--data", "images", *LENET, "--log-file", "run.jsonl"]) == 0
    found = [line for line in lines() if line.get("event") == "corrupt"]
    reason = "begins with GIF89a: a GIF, and JPEG, PNG and WebP are read"
    assert [line["images"] for line in found] == [{f"images/{part}/cat/z.jpg": reason} for part in ("train", "val")]
    assert capsys.readouterr().err.count(f"images/train/cat/z.jpg ({reason})") == 1
    sees(f"(in the log) {json.dumps({'event': 'corrupt', 'images': found[0]['images']})}")


def test_validation_is_split_off_and_paths_may_begin_at_home(folder, torch, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folder / "home"))
    shutil.rmtree(write_folder(folder / "home" / "images", train=4) / "val")
    files = ("--data=~/images", "--val-split=0.25", "--checkpoint-dir=~/kept", "--log-file=~/run.jsonl")
    assert main(["pytorch", *LENET, *files]) == 0
    assert "9 to train on and 3 to validate on" in capsys.readouterr().err
    assert lines("home/run.jsonl")[0]["settings"]["val_split"] == 0.25
    assert list((folder / "home" / "kept").glob("step-*.safetensors"))
    assert list(folder.iterdir()) == [folder / "home"]


def test_without_a_log_no_file_is_written(folder, torch):
    assert main(["pytorch", *LENET]) == 0
    assert list(folder.iterdir()) == []


def test_help_teaches_and_imports_no_framework():
    """Nor anything else that takes a second."""
    code = (
        "from d2l.train import main\n"
        "try: main(['--help'])\n"
        "finally: print('imported:', *{'torch', 'tensorflow', 'mxnet', 'jax', 'numpy', 'matplotlib'} & {*sys.modules})"
    )
    out, error = command(code=code).communicate(timeout=TIME_LIMIT)
    assert out.endswith("imported:\n") and error == ""
    assert "D2L_PROFILE=smoke python -m d2l.train pytorch --model lenet" in out
    for option in ("--data", "--epochs", "--devices", "--precision", "--checkpoint-dir", "--resume", "--log-file"):
        assert f"\n  {option} " in out


def test_what_is_not_asked_for_is_as_the_help_says():
    expected = {"framework": "jax", "model": "alexnet", "data": "fashion-mnist", "recipe": "chapter", "epochs": None}
    expected |= {"batch_size": None, "optimizer": None, "momentum": None, "weight_decay": None, "lr_schedule": None}
    expected |= {
        "top_k": None,
        "keep_best": None,
        "lr": None,
        "seed": None,
        "devices": 1,
        "precision": "auto",
        "checkpoint_dir": None,
    }
    expected |= {"checkpoint_every": "epoch", "resume": False, "log_file": None, "val_split": None}
    expected |= {"decode_memory": 1 << 30}
    assert vars(make_parser(FRAMEWORKS).parse_args(["jax"])) == expected


def test_examples_of_the_help_and_of_the_readme_are_right(folder, monkeypatch):
    """Their options are there, and their values are taken."""
    from d2l import train

    commands = []
    monkeypatch.setattr(train, "_run", lambda options: commands.append(options) or 0)
    (folder / "data" / "imagenet").mkdir(parents=True)
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    found = re.findall(r"^    (?:.* )?python -m d2l\.train ((?:.*\\\n)*.*)$", EPILOG + readme, re.M)
    for arguments in found:
        assert main(arguments.replace("\\\n", " ").replace("/data/imagenet", "data/imagenet").split()) == 0
    assert len(commands) == len(found) >= 4
    assert {options.data for options in commands} == {"fashion-mnist", "data/imagenet"}


# Ending and going on


HANGUP = getattr(signal, "SIGHUP", None)
needs_hangup = pytest.mark.skipif(HANGUP is None, reason="this system's terminals send no SIGHUP")


@pytest.fixture(autouse=True)
def hangup_not_ignored():
    """As it is where the tests are run under ``nohup``."""
    if HANGUP is None:
        yield
        return
    kept = signal.signal(HANGUP, signal.SIG_DFL)
    yield
    signal.signal(HANGUP, kept)


@pytest.mark.parametrize("number", list(filter(None, [signal.SIGTERM, signal.SIGINT, HANGUP])))
@pytest.mark.parametrize(
    ("place", "epoch"),
    [({"training": 3}, 3 / STEPS), ({"training": STEPS + 1}, 1 + 1 / STEPS), ({"validation": VALIDATION_STEPS - 1}, 1)],
)
@pytest.mark.fault("SIGTERM comes, as when a job's time on a cluster is over")
def test_stopped_run_resumes_to_the_same_points(torch, monkeypatch, capsys, sees, number, place, epoch):
    kept = ("pytorch", *LENET, "--checkpoint-every", "1000")
    assert main([*kept, "--checkpoint-dir", "whole", "--log-file", "whole.jsonl"]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        stop_at(patch, torch, lambda _: signal.raise_signal(number), **place)
        assert main([*kept, "--checkpoint-dir", "parts", "--log-file", "run.jsonl"]) == 128 + number
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(
        f"Stopped by {number.name} after {epoch:.2f} epochs; the same command with --resume goes on from there"
    )
    if number == signal.SIGTERM and epoch < 1:
        sees(f"(exit code 143) {said[said.index('Stopped') :]}")
    assert {name: lines()[-1][name] for name in ("event", "signal", "epoch")} == {
        "event": "stopped",
        "signal": number.name,
        "epoch": epoch,
    }
    assert main([*kept, "--checkpoint-dir", "parts", "--log-file", "run.jsonl", "--resume"]) == 0
    assert events() == ["start", "stopped", "start", "resumed", "end"]
    assert next(line["epoch"] for line in lines() if line.get("event") == "resumed") == epoch
    assert points() == points("whole.jsonl")
    assert lines()[-1]["metrics"] == lines("whole.jsonl")[-1]["metrics"]


@pytest.mark.parametrize("name", NAMES)
def test_run_is_stopped_and_resumed_in_every_framework(name, monkeypatch):
    fw = adapter(name)
    arguments = (
        EXTRAS[name],
        *LENET,
        "--devices",
        "0",
        "--checkpoint-dir",
        "kept",
        "--log-file",
        "run.jsonl",
        "--resume",
    )
    with monkeypatch.context() as patch:
        stop_at(patch, fw, lambda _: signal.raise_signal(signal.SIGTERM), training=STEPS + 3)
        assert main(arguments) == 143
    assert main(arguments) == 0
    assert events() == ["start", "stopped", "start", "resumed", "end"]
    epochs = {label: [point["epoch"] for point in points() if label in point] for label in ("train_loss", "val_acc")}
    middles = [(i + i + STEPS // 2 - 1) / 2 / STEPS for i in range(0, EPOCHS * STEPS, STEPS // 2)]
    assert epochs == {"train_loss": pytest.approx(middles), "val_acc": [1, 2]}


def test_run_that_is_complete_has_nothing_to_resume(torch, capsys):
    arguments = ("pytorch", *LENET, "--checkpoint-dir", "kept", "--log-file", "run.jsonl", "--resume")
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "Nothing to do" in capsys.readouterr().out
    first, second = [line["metrics"] for line in lines() if line.get("event") == "end"]
    assert first == second


def test_log_of_a_run_that_is_complete_has_the_epochs_that_it_has_done(finished, torch, monkeypatch):
    monkeypatch.setattr(torch.d2l.Trainer, "num_epochs", 1)
    assert main(["pytorch", *LENET, "--checkpoint-dir", "kept", "--log-file", "other.jsonl", "--resume"]) == 0
    assert lines("other.jsonl")[-1]["epochs"] == EPOCHS


def test_signal_without_checkpoints_ends_the_run_at_once(torch, monkeypatch, capsys):
    stop_at(monkeypatch, torch, lambda _: signal.raise_signal(signal.SIGTERM), training=3)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["pytorch", *LENET, "--log-file", "run.jsonl"]) == 143
    assert capsys.readouterr().err.endswith("Stopped by SIGTERM after 0.25 epochs; no checkpoint was asked for\n")
    assert events() == ["start", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_second_signal_does_not_wait_for_the_step(torch, monkeypatch, capsys):
    def hangs(backend, *arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the step went on")

    monkeypatch.setattr(torch.d2l.Trainer.backend_type, "train_step", hangs)
    assert main(["pytorch", *LENET, "--checkpoint-dir", "kept"]) == 130
    assert list(Path("kept").iterdir()) == []
    assert "the same command with --resume goes on from the last checkpoint, if there is one" in capsys.readouterr().err


@needs_hangup
def test_hangup_that_comes_twice_waits_for_the_step(torch, monkeypatch):
    """As from the system and from the shell, when a terminal is closed."""

    def twice(_):
        signal.raise_signal(HANGUP)
        signal.raise_signal(HANGUP)

    stop_at(monkeypatch, torch, twice, training=3)
    before = signal.getsignal(HANGUP)
    assert main(["pytorch", *LENET, "--checkpoint-dir", "kept", "--log-file", "run.jsonl"]) == 129
    assert [path.name for path in Path("kept").iterdir()] == ["step-00000003.safetensors"]
    assert events() == ["start", "stopped"]
    assert signal.getsignal(HANGUP) == before


@needs_hangup
def test_hangup_that_nohup_has_ignored_ends_nothing(torch, monkeypatch):
    before = signal.signal(HANGUP, signal.SIG_IGN)
    try:
        stop_at(monkeypatch, torch, lambda _: signal.raise_signal(HANGUP), training=3)
        assert main(["pytorch", *LENET, "--log-file", "run.jsonl"]) == 0
        assert signal.getsignal(HANGUP) == signal.SIG_IGN
    finally:
        signal.signal(HANGUP, before)
    assert events() == ["start", "end"]


@needs_hangup
@pytest.mark.fault("The terminal of a run is closed")
def test_closed_terminal_leaves_a_checkpoint(folder, torch, sees):
    """Which is there, with the log's last line, though nothing can be printed any more."""
    write_folder(folder / "images", train=2, val=1)
    options = ("pytorch", "--data", "images", "--model", "lenet", "--epochs", "1000000", "--batch-size", "2")
    kept = ("--checkpoint-dir", "kept", "--checkpoint-every", "1000000", "--log-file", "run.jsonl")
    termios = pytest.importorskip("termios")
    terminal, its = os.openpty()
    termios.tcsetwinsize(its, (24, 100))  # else no words fit in the line of progress
    # Of a session of its own, whose terminal it is.
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from d2l.train import main; "
    code += "sys.exit(main(sys.argv[1:]))"
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), its)
    process = command(
        *options, *kept, code=code, environment={"D2L_PROFILE": "full"}, start_new_session=True, text=False, **streams
    )
    try:
        os.close(its)
        said = b""
        while not re.search(rb"epoch \d+/", said):  # the line of progress, once the run is on its way
            said += os.read(terminal, 1000)
        os.close(terminal)
        assert process.wait(timeout=TIME_LIMIT) == 129
    finally:
        process.kill()
    assert len(list((folder / "kept").glob("step-*.safetensors"))) == 1
    assert lines()[-1]["signal"] == "SIGHUP"
    sees("(exit code 129) nothing, for there is no terminal any more: the log says so, and there is a checkpoint")


def test_signal_before_the_training_ends_the_command(torch, monkeypatch, capsys):
    monkeypatch.setattr(torch.d2l, "FashionMNIST", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    assert main(["pytorch", *LENET, "--checkpoint-dir", "kept", "--log-file", "run.jsonl"]) == 143
    assert "Stopped by SIGTERM after 0.00 epochs" in capsys.readouterr().err
    assert events() == ["stopped"]


def test_sigterm_from_outside_leaves_a_checkpoint_and_its_exit_code(folder, torch):
    """In a run that would take days."""
    write_folder(folder / "images", train=2, val=1)
    options = ("--data", "images", "--model", "lenet", "--epochs", "1000000", "--batch-size", "2")
    kept = ("--checkpoint-dir", "kept", "--checkpoint-every", "1000000", "--log-file", "run.jsonl")
    process = command("pytorch", *options, *kept, environment={"D2L_PROFILE": "full"})
    try:
        said = ""
        while not re.search(r"epoch \d+/", said):  # the line of progress, once the run is on its way
            said += process.stderr.read(1) or pytest.fail(said)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=TIME_LIMIT)
    finally:
        process.kill()
    assert process.returncode == 143, rest
    assert len(list((folder / "kept").glob("step-*.safetensors"))) == 1
    assert events() == ["start", "stopped"]


def test_validation_that_was_stopped_is_drawn_once(folder, torch, monkeypatch):
    """Also where it has drawn points by then."""

    def fit(where, resume=False):
        torch.seed(1)
        model = torch.d2l.LeNet()
        model.plot_valid_per_epoch = VALIDATION_STEPS
        data = torch.d2l.FashionMNIST(batch_size=32)
        torch.d2l.Trainer(EPOCHS, checkpoint_dir=where).fit(model, data, resume=resume)
        return model.board.curves

    whole = fit("whole")
    with monkeypatch.context() as patch:
        stop_at(patch, torch, lambda trainer: trainer.stop(KeyboardInterrupt()), validation=VALIDATION_STEPS - 1)
        with pytest.raises(KeyboardInterrupt):
            fit("parts")
    assert len(whole["val_acc"]) == EPOCHS * VALIDATION_STEPS
    assert fit("parts", resume=True) == whole


# What can be wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: framework"),
        (("caffe",), "argument framework: invalid choice: 'caffe' (choose from"),
        (("pytorch", "--model", "vgg"), "argument --model: invalid choice: 'vgg'"),
        (("pytorch", "--data", "nowhere"), "--data nowhere: there is no such folder; for Fashion-MNIST, give fashion-"),
        (("pytorch", "--epochs", "0"), "argument --epochs: '0': give a whole number, 1 or more"),
        (("pytorch", "--batch-size", "1.5"), "argument --batch-size: '1.5': give a whole number, 1 or more"),
        (("pytorch", "--decode-memory", "1GB"), "argument --decode-memory: '1GB': give a whole number, 1 or more"),
        (("pytorch", "--lr", "fast"), "argument --lr: 'fast': give a number above 0"),
        (("pytorch", "--lr", "-1"), "argument --lr: '-1': give a number above 0"),
        (("pytorch", "--momentum", "1"), "argument --momentum: '1': give a number from 0 on and below 1"),
        (("pytorch", "--weight-decay", "-1"), "argument --weight-decay: '-1': give a number from 0 on"),
        (("pytorch", "--optimizer", "lion"), "argument --optimizer: invalid choice: 'lion'"),
        (("pytorch", "--recipe", "vgg"), "argument --recipe: invalid choice: 'vgg'"),
        (("pytorch", "--lr-schedule", "30,20"), "'30,20': give constant, cosine, plateau, or rising numbers of epochs"),
        (("pytorch", "--lr-schedule", "linear"), "'linear': give constant, cosine, plateau, or rising numbers of"),
        (("pytorch", "--top-k", "1"), "argument --top-k: '1': give a whole number, 2 or more"),
        (("pytorch", "--keep-best", "best.pt"), "--keep-best best.pt: give a file whose name ends with .safetensors"),
        (("pytorch", "--keep-best", "no/best.safetensors"), "--keep-best no/best.safetensors: there is no folder no"),
        (
            ("pytorch", "--optimizer", "adam", "--momentum", "0.9"),
            "--momentum: adam has none; leave it out, or give --optimizer sgd",
        ),
        (
            ("pytorch", "--optimizer", "adam", "--weight-decay", "0"),
            "--weight-decay: adam has none; leave it out, or give --optimizer sgd or adamw",
        ),
        (
            ("pytorch", "--lr-schedule", "30,60"),
            "--lr-schedule 30,60: it takes 61 epochs or more, and --epochs is 10",
        ),
        (("pytorch", "--lr-schedule", "plateau", "--epochs", "6"), "plateau: it takes 7 epochs or more, and --epochs"),
        (("pytorch", "--lr-schedule", "cosine", "--epochs", "1"), "cosine: it takes 2 epochs or more, and --epochs is"),
        (("pytorch", "--decode-memory", "1000"), "--decode-memory: give a folder of images, too, with --data"),
        (("pytorch", "--seed", "2147483648"), "'2147483648': give a whole number, from 0 to 2147483647"),
        (("pytorch", "--devices", "all"), "argument --devices: 'all': give a whole number, 0 or more"),
        (("pytorch", "--precision", "float8"), "argument --precision: invalid choice: 'float8'"),
        (("pytorch", "--checkpoint-every", "hour"), "'hour': give a whole number, 1 or more"),
        (("pytorch", "--checkpoint-every", "10"), "--checkpoint-every: give the folder of the checkpoints, too"),
        (("pytorch", "--val-split", "1"), "argument --val-split: '1': give a number above 0 and below 1"),
        (("pytorch", "--val-split", "0.1"), "--val-split: give a folder of images, too, with --data"),
        (("pytorch", "--resume"), "--resume: give the folder of the checkpoints, too, with --checkpoint-dir"),
        (("pytorch", "--checkpoint", "kept"), "unrecognized arguments: --checkpoint kept"),
        (("pytorch", "--data", "file"), "--data file: this is no folder; for Fashion-MNIST, give fashion-mnist"),
        (("pytorch", "--checkpoint-dir", "file"), "--checkpoint-dir file: this is no folder"),
        (("pytorch", "--log-file", "."), "--log-file .: this is a folder; give a file"),
        (("torch",), "argument framework: invalid choice: 'torch' (choose from"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, message):
    Path("file").touch()
    code, said = fails(capsys, *arguments)
    assert code == 2
    assert said.startswith("python -m d2l.train: ") and message in said


def test_precision_that_the_framework_lacks_is_wrong_usage(capsys):
    adapter("mxnet")
    code, said = fails(capsys, "mxnet", "--precision", "bfloat16", "--log-file", "run.jsonl")
    assert code == 2 and "--precision bfloat16: give one of 'auto', 'float32'" in said
    assert events() == ["failed"]


def test_framework_that_is_not_installed_says_what_to_install():
    code = "sys.modules['mxnet'] = None; from d2l.train import main; sys.exit(main(sys.argv[1:]))"
    process = command("mxnet", "--log-file", "run.jsonl", code=code)
    _, said = process.communicate(timeout=TIME_LIMIT)
    assert process.returncode == 1
    assert said.startswith("mxnet is not installed here: pip install '.[mxnet]' in the") and said.count("\n") == 1
    assert lines()[-1]["error"] == f"ImportError: {said.strip()}"


def test_folder_without_images_is_named(folder, torch, capsys):
    (folder / "images").mkdir()
    code, said = fails(capsys, "pytorch", "--data", "images")
    assert code == 1 and said.startswith("images/train: no such folder. Expected: images/train/CLASS/*.jpg")


@pytest.mark.fault("The command is to start a run where an earlier one has its checkpoints")
def test_checkpoints_of_an_earlier_run_are_not_mixed_with_this_one(torch, capsys, sees):
    arguments = ("pytorch", *LENET, "--checkpoint-dir", "kept")
    assert main(arguments) == 0
    capsys.readouterr()
    code, said = fails(capsys, *arguments)
    assert code == 1
    assert (
        said
        == "kept has checkpoints of an earlier run: go on from them with --resume, or give another --checkpoint-dir"
    )
    sees(f"(exit code 1) {said}")


REFUSED = {
    "checkpoints of an earlier run": [],
    "another batch size": ["--resume", "--batch-size", "16"],
    "another learning rate": ["--resume", "--lr", "0.25"],
    "another model": ["--resume", "--model", "alexnet", "--lr", "0.25"],
    "another optimizer": ["--resume", "--optimizer", "adam"],
    "another momentum": ["--resume", "--momentum", "0.9"],
    "another schedule": ["--resume", "--lr-schedule", "cosine"],
    "too few classes": ["--resume", "--top-k", "10"],
    "no best weights": ["--resume", "--keep-best", "best.safetensors"],
    "no such precision": ["--resume", "--precision", "float32"],
    "no images": ["--data", "empty"],
    "no such data": ["--data", "nowhere"],
    "Ctrl-C before it begins": ["--resume"],
    "damaged checkpoints": ["--resume"],
    "no such profile": ["--resume"],
    "no framework": ["--resume"],
}


SAID = {
    "another optimizer": ("--optimizer is not set there and adam here",),
    "another momentum": ("--momentum is not set there and 0.9 here",),
    "another schedule": ("--lr-schedule is not set there and cosine over 2 epochs here",),
    "too few classes": ("--top-k 10: of 10 classes, each is among the 10 likeliest",),
    "no best weights": ("best.safetensors is not there, with the best weights of the run that is resumed",),
    "another model": ("--model's number of weights is 61706 there and ", ", --lr is 0.5 there and 0.25 here"),
    "damaged checkpoints": ("whole; give another --checkpoint-dir, or remove them to start from the beginning",),
}


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """The folder of a run that has finished."""
    folder = tmp_path_factory.mktemp("finished")
    adapter("torch")
    kept = ("--checkpoint-dir", str(folder / "kept"), "--log-file", str(folder / "run.jsonl"))
    assert main(["pytorch", *LENET, *kept]) == 0
    return folder


@pytest.fixture
def finished(finished_run, folder):
    """The log of a run that has finished, with its checkpoints in ``kept``."""
    shutil.copytree(finished_run, folder, dirs_exist_ok=True)
    return Path("run.jsonl").read_bytes()


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.fault("The command is refused a start whose log has the lines of a good run")
def test_start_that_is_refused_leaves_a_good_log_as_it_was(finished, torch, monkeypatch, capsys, sees, reason):
    before = finished
    Path("empty").mkdir()
    if reason == "damaged checkpoints":
        for path in Path("kept").iterdir():
            path.write_bytes(path.read_bytes()[:1000])
        before = finished[:-10]  # and the log is not whole
        Path("run.jsonl").write_bytes(before)
    elif reason == "no such profile":
        monkeypatch.setenv("D2L_PROFILE", "quick")
    elif reason == "no framework":
        monkeypatch.setitem(sys.modules, "d2l.torch", None)
    elif reason == "no such precision":
        monkeypatch.setattr(torch.d2l.Trainer.backend_type, "precisions", ("auto",))
    elif reason == "Ctrl-C before it begins":
        monkeypatch.setattr(torch.d2l, "FashionMNIST", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    kept = ("--checkpoint-dir", "kept", "--log-file", "run.jsonl")
    try:
        code = main(["pytorch", *LENET, *kept, *REFUSED[reason]])
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr().err
    assert code in (1, 2, 130) and "Traceback" not in said
    assert not re.search(r"resume=|batch_size|precision=|(?<!--)\blr\b|checkpoint_dir", said)
    for option in SAID.get(reason, ()):
        assert option in said
    assert Path("run.jsonl").read_bytes() == before
    if reason == "another batch size":
        sees(f"(exit code 1) {said}")


def options_for(**given):
    options = {"data": "fashion-mnist", "checkpoint_dir": None, "log_file": None, "keep_best": None, **given}
    return SimpleNamespace(**options)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("num_gpus=4: 1 GPU in use, training on cuda", "--devices 4: 1 GPU in use, training on cuda"),
        (
            "start it with torchrun --nproc-per-node=4 SCRIPT.py",
            "start it with torchrun --nproc-per-node=4 -m d2l.train",
        ),
        ("start them with torchrun, or train with num_gpus=0", "start them with torchrun, or train with --devices 0"),
        ("num_gpus=0, but processes that TF_CONFIG names", "--devices 0, but processes that TF_CONFIG names"),
        ("batch_size=33 cannot be divided evenly: 34 can", "--batch-size 33 cannot be divided evenly: 34 can"),
        ("validate instead, give val_split=0.1", "validate instead, give --val-split 0.1"),
        (
            "a.jpg (9 × 9 pixels, which take 999 bytes to decode: more than decode_memory=100)",
            "a.jpg (9 × 9 pixels, which take 999 bytes to decode: more than --decode-memory 100)",
        ),
        ("val_split=0.1 asks to: leave val_split out", "--val-split 0.1 asks to: leave --val-split out"),
        ("whole; give another checkpoint_dir, or", "whole; give another --checkpoint-dir, or"),
        ("the model's number of weights is 4 there", "--model's number of weights is 4 there"),
        ("step-1.safetensors does not fit this model:", "step-1.safetensors does not fit this --model:"),
        ("try a batch_size of 64 instead of 128.", "try a --batch-size of 64 instead of 128."),
        ("batch_size is 4 there and 5 here, lr is 0.5 there", "--batch-size is 4 there and 5 here, --lr is 0.5 there"),
        ("precision='bfloat16': give one of 'auto'", "--precision bfloat16: give one of 'auto'"),
        ("every='hour': give 'epoch' or a number", "--checkpoint-every hour: give 'epoch' or a number"),
        ("max_epochs=1.5: give a whole number", "--epochs 1.5: give a whole number"),
        ("max_epochs is 0, and the model stays", "--epochs is 0, and the model stays"),
        ("make room and go on with resume=True.", "make room and go on with --resume."),
        ("resume=True: give the trainer a checkpoint_dir", "--resume: give the trainer a --checkpoint-dir"),
        ("try a lower learning rate, which is 0.1 now", "try a lower --lr, which is 0.1 now"),
        ("every process, in every epoch: resume it", "every process, in every epoch: resume it"),
        ("D2L_PROFILE='quick' is not a run profile", "D2L_PROFILE='quick' is not a run profile"),
        ("lr=0.1/step-1.safetensors: damaged", "lr=0.1/step-1.safetensors: damaged"),
        ("runs/batch_size/num_gpus=4: damaged", "runs/batch_size/num_gpus=4: damaged"),
    ],
)
def test_messages_of_the_helper_are_saidin_options(message, said):
    assert in_options(message, options_for()) == said


def test_what_the_user_has_named_stays_as_it_is():
    options = options_for(data="lr", checkpoint_dir=Path("batch_size"), log_file=Path("max_epochs=3"))
    short = options_for(checkpoint_dir=Path("k"))
    assert in_options("k: give another checkpoint_dir", short) == "k: give another --checkpoint-dir"
    message = "batch_size has checkpoints; max_epochs=3: no log; resume=True"
    assert in_options(message, options) == "batch_size has checkpoints; max_epochs=3: no log; --resume"


def test_every_argument_that_the_command_gives_has_its_option(capsys):
    fw = adapter("torch")
    arguments = {*inspect.signature(fw.d2l.Trainer).parameters}
    assert TRAINER_OPTIONS.keys() == arguments - {"gradient_clip_val", "keep", "callbacks"}
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {*re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.M)} >= {*OPTIONS.values()}


def test_lines_that_the_trainer_prints_name_options(finished, torch, capsys):
    assert main(["pytorch", *LENET, "--devices", "3", "--resume", "--checkpoint-dir", "kept"]) == 0
    first, recipe, last = capsys.readouterr().out.splitlines()
    assert first == "--devices 3: no GPU in use, training on cpu"
    assert recipe.startswith("Training lenet by the recipe chapter: --epochs 10 --batch-size 32 --optimizer sgd")
    assert last.startswith("Nothing to do: kept/step-")


@pytest.mark.fault("A batch is too large for the memory in a run of the command")
def test_full_memory_names_the_option_without_a_traceback(torch, monkeypatch, capsys, sees):
    def too_large(backend, *arguments):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(torch.d2l.Trainer.backend_type, "train_step", too_large)
    assert main(["pytorch", *LENET, "--log-file", "run.jsonl"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.endswith("The memory does not hold it: try a --batch-size of 16 instead of 32.\n")
    assert events() == ["start", "failed"]
    sees(f"(exit code 1) {said[said.index('CUDA') :]}")


def test_value_that_the_helper_refuses_in_a_run_is_one_line(torch, monkeypatch, capsys):
    monkeypatch.setattr(torch.d2l.FashionMNIST, "val_dataloader", lambda data: [])
    assert main(["pytorch", *LENET]) == 1
    assert capsys.readouterr().err.startswith("the validation set is empty")


def test_failure_before_the_first_point_is_in_the_log_of_a_good_run(finished, torch, monkeypatch):
    def broken(backend, *arguments):
        raise KeyError("a bug")

    monkeypatch.setattr(torch.d2l.Trainer.backend_type, "train_step", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["pytorch", *LENET, "--log-file", "run.jsonl"])
    assert Path("run.jsonl").read_bytes().startswith(finished)
    assert events() == ["start", "end", "start", "failed"]


def test_home_folder_is_that_of_a_shell(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    options = make_parser(FRAMEWORKS).parse_args(
        ["jax", "--log-file=~/run.jsonl", "--checkpoint-dir=~/kept", "--data=~/images"]
    )
    assert (options.log_file, options.checkpoint_dir) == (folder / "run.jsonl", folder / "kept")
    assert options.data == str(folder / "images")


def test_loss_that_is_lost_is_named_and_logged_as_json_can(torch, capsys):
    assert main(["pytorch", *LENET, "--lr", "1e38", "--log-file", "run.jsonl"]) == 1
    said = capsys.readouterr().err
    assert "the training loss is nan or infinite since step" in said and "Traceback" not in said
    assert "try a lower --lr, which is 1e+38 now" in said
    assert events() == ["start", "failed"]
    assert points()[-1]["train_loss"] is None


def test_error_that_nobody_foresaw_keeps_its_traceback_and_is_logged(torch, monkeypatch):
    def broken(backend, *arguments):
        raise KeyError("a bug")

    monkeypatch.setattr(torch.d2l.Trainer.backend_type, "train_step", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["pytorch", *LENET, "--log-file", "run.jsonl"])
    assert lines()[-1]["error"] == "KeyError: 'a bug'"


# The log


def test_log_that_cannot_be_written_is_named_before_the_training(capsys):
    code, said = fails(capsys, "pytorch", "--log-file", "no/folder/run.jsonl")
    assert code == 1
    assert said == (
        "--log-file no/folder/run.jsonl: no log can be written here (No such file or directory): give a file that can "
        "be written, in a folder that is there"
    )


@pytest.mark.fault("--log-file names a file that is no log")
@pytest.mark.parametrize(
    "content",
    [
        encoded(photograph().crop((0, 0, 8, 8))),
        (36).to_bytes(8, "little") + b'{"__metadata__": {"format": "pt"}}  ',  # as a checkpoint begins
        b"some notes\n",
        b"\n",
        b'{\n "cells": []\n}\n',
        b"[1, 2]\n",
        b"[" * 100_000 + b"\n",
        b"7",
    ],
)
def test_file_that_is_no_log_stays_as_it_is(folder, capsys, content, sees):
    (folder / "file").write_bytes(content)
    code, said = fails(capsys, "pytorch", "--log-file", "file")
    assert code == 2
    assert "--log-file file is there and is no log of a run, and stays as it is: give another file" in said
    assert (folder / "file").read_bytes() == content
    if content == b"some notes\n":
        sees(f"(exit code 2) {said}")


@pytest.mark.parametrize("content", ["", '{"ti', '{"time": "2026-11-24T14:5', '{"time": "2026-11-2\n{"epoch": 1}\n'])
def test_log_whose_first_line_was_cut_off_is_a_log(folder, content):
    (folder / "run.jsonl").write_text(content)
    with RunLog(folder / "run.jsonl") as log:
        log.write(epoch=2.0)
    assert (folder / "run.jsonl").read_text("utf-8").startswith(content)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.fault("The disk with a training's log is full")
def test_full_disk_ends_the_log_and_not_the_training(torch, capsys, sees):
    assert main(["pytorch", *LENET, "--log-file", "/dev/full"]) == 0
    said = capsys.readouterr()
    assert said.err.count("the log ends here") == 1
    assert "val_acc" in said.out
    sees(re.search(r"/dev/full: .*", said.err)[0])


def test_file_of_any_size_is_looked_at_in_little_memory(folder):
    """A log that has grown for years, and what is none."""
    size = 1 << 40
    for beginning in ('{"time": "2026', "\0"):
        Path("file").write_text(beginning, encoding="utf-8")
        os.truncate("file", size)
        tracemalloc.start()
        try:
            with RunLog(folder / "file") as log:
                log.write(epoch=2.0)
        except ValueError as error:
            assert "no log of a run" in str(error)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20
        assert (Path("file").stat().st_size > size) is (beginning != "\0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.fault("--log-file names a FIFO that nobody reads")
def test_fifo_that_nobody_reads_is_not_waited_for(folder, capsys, sees):
    os.mkfifo("fifo")
    code, said = fails(capsys, "pytorch", "--log-file", "fifo")
    assert code == 1
    assert said.startswith("--log-file fifo: no log can be written here")
    sees(said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_fifo_that_a_program_reads_has_the_lines(folder):
    os.mkfifo("fifo")
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    with RunLog(folder / "fifo") as log:
        log.write(epoch=2.0)
    assert json.loads(os.read(reader, 1000))["epoch"] == 2
    os.close(reader)


def test_line_of_which_the_system_takes_a_part_is_written_whole(folder, monkeypatch):
    """As on a disk that is nearly full."""
    with RunLog(folder / "run.jsonl") as log:
        whole = log._file
        monkeypatch.setattr(
            log,
            "_file",
            SimpleNamespace(write=lambda line: whole.write(line[:10]), fileno=whole.fileno, close=whole.close),
        )
        log.write(epoch=2.0)
        log.write(epoch=3.0)
    assert [point["epoch"] for point in points()] == [2.0, 3.0]


def test_log_goes_on_in_whole_lines_after_one_that_was_cut_off(folder):
    (folder / "run.jsonl").write_text('{"epoch": 1}\n{"ep')
    with RunLog(folder / "run.jsonl") as log:
        log.write(epoch=2.0)
    first, cut_off, second = (folder / "run.jsonl").read_text("utf-8").splitlines()
    assert (first, cut_off, json.loads(second)["epoch"]) == ('{"epoch": 1}', '{"ep', 2)


@pytest.mark.parametrize("how", ["renamed", "renamed and made anew", "removed"])
def test_log_that_was_rotated_away_goes_on_in_a_new_file_of_its_name(folder, how):
    with RunLog(folder / "run.jsonl") as log:
        log.write(epoch=1.0)
        if how == "removed":
            Path("run.jsonl").unlink()
        else:
            Path("run.jsonl").rename("run.jsonl.1")
            assert [point["epoch"] for point in points("run.jsonl.1")] == [1.0]
        if how == "renamed and made anew":
            Path("run.jsonl").touch()
        log.write(epoch=2.0)
        log.write(epoch=3.0)
    assert [point["epoch"] for point in points()] == [2.0, 3.0]


@pytest.mark.parametrize("content", [None, "some notes\n"])
@pytest.mark.fault("A log is rotated away, and none can be made in its place")
def test_log_whose_place_is_lost_ends_and_the_training_goes_on(folder, capsys, content, sees):
    (folder / "logs").mkdir()
    with RunLog(folder / "logs/run.jsonl") as log:
        log.write(epoch=1.0)
        (folder / "logs").rename("old")
        if content is not None:
            (folder / "logs").mkdir()
            (folder / "logs/run.jsonl").write_text(content)
        log.write(epoch=2.0)
        log.write(epoch=3.0)
    said = capsys.readouterr().err
    assert said.count("the log ends here, the training goes on") == 1
    assert [point["epoch"] for point in points("old/run.jsonl")] == [1.0]
    assert content is None or (folder / "logs/run.jsonl").read_text("utf-8") == content
    sees(said)


def test_a_point_is_in_the_file_after_the_step_that_draws_it(folder):
    board = ProgressBoard(display=False)
    trainer = SimpleNamespace(model=SimpleNamespace(board=board), checkpointing=None, num_epochs=1)
    with RunLog(folder / "run.jsonl") as log:
        observer = LogObserver(log)
        observer.before_fit(trainer)
        board.draw(0.0, 1.0, "train_loss", every_n=2)
        observer.after_batch(trainer, train=True)
        assert Path("run.jsonl").read_text(encoding="utf-8") == ""
        board.draw(0.5, 2.0, "train_loss", every_n=2)
        observer.after_batch(trainer, train=True)
        assert points() == [{"epoch": 0.25, "train_loss": 1.5}]
        board.draw(1.0, math.inf, "val_loss")
        observer.after_epoch(trainer)
        assert points()[-1] == {"epoch": 1.0, "val_loss": None}
