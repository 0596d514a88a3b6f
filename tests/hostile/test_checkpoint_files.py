"""Whatever has a checkpoint's name, a run goes on from the last whole one, says what the others are, waits for none."""

import errno
import os
import re
from pathlib import Path

import checkpoint_files as kinds
import numpy as np
import pytest
from test_frameworks import Loaders, adapter, batches_of, tiny

from d2l import checkpoint_file as checkpoint
from d2l.checkpoint_file import CheckpointError, CheckpointFolder, read
from d2l.run_state import check_run_state

STEPS = 2  # of an epoch
NEWEST = "step-00000009.safetensors"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("D2L_PROFILE", "full")
    return tmp_path / "kept"


def fit(fw, folder, epochs=1, resume=False, every="epoch"):
    """A short run with checkpoints."""
    trainer = fw.d2l.Trainer(epochs, checkpoint_dir=folder, every=every, precision="float32")
    trainer.fit(tiny(fw), Loaders(batches_of(fw, [4] * STEPS), None), resume=resume)


@pytest.fixture
def content(folder):
    """That of a checkpoint of PyTorch's, after the first of two epochs, in a folder with nothing else."""
    fit(adapter("torch"), folder)
    return (folder / f"step-{STEPS:08}.safetensors").read_bytes()


def corpus(content):
    """Files that are read, and files whose state alone is wrong."""
    none = kinds.foreign_files() | kinds.headers() | kinds.damaged(content) | kinds.lost(content) | kinds.texts(content)
    return none, kinds.states(content)


def failure(action, expected, *said_elsewhere):
    """What is wrong with what a case gives, if anything."""
    try:
        action()
    except CheckpointError as error:
        said = str(error)
        if not re.search(expected, said):
            return f"said {said!r:.300}"
        if len(said) > 2000 or not said.replace("\n", "").isprintable():
            return f"an endless or unprintable message: {said!r:.300}"
        return None
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def test_no_file_but_a_whole_checkpoint_is_taken_for_one(content, folder):
    none, states = corpus(content)
    assert len(none) + len(states) >= 140
    path, wrong = folder / NEWEST, {}
    for name, (other, expected) in (none | states).items():
        path.write_bytes(other)
        check = (lambda: read(path)) if name in none else (lambda: check_run_state(read(path)))
        found = failure(check, rf"(?s){re.escape(NEWEST)}.*{expected}")
        if found:
            wrong[name] = found
    assert wrong == {}


def test_search_for_the_newest_goes_on_to_the_one_before(content, folder, capsys):
    none, states = corpus(content)
    path, wrong = folder / NEWEST, {}
    for name, (other, _) in (none | states).items():
        path.write_bytes(other)
        found = CheckpointFolder(folder, 2).newest(check_run_state)
        said = capsys.readouterr().err
        if found.path.name != f"step-{STEPS:08}.safetensors" or f"damaged checkpoint: {path}" not in said:
            wrong[name] = f"{found.path}, {said}"
    assert wrong == {}


@pytest.mark.fault("A checkpoint is another program's file, or its state is missing, no JSON, or full of nan")
def test_run_goes_on_from_the_checkpoint_before(content, folder, capsys, sees):
    torch = adapter("torch")
    samples = {
        "nan": kinds.lost(content)["full of nan"][0],
        "state": kinds.states(content)["random missing"][0],
        "json": kinds.texts(content)["a state nested without end"][0],
        "foreign": kinds.foreign_files()["torch.save"][0],
    }
    for name, other in samples.items():
        (folder / NEWEST).write_bytes(other)
        capsys.readouterr()
        fit(torch, folder, resume=True)
        said = capsys.readouterr()
        assert f"Nothing to do: {folder}/step-{STEPS:08}.safetensors" in said.out, name
        sees(said.err.splitlines()[0])


def test_names_in_a_state_command_no_terminal(content, folder, capsys):
    """Those of curves are printed when the run ends, those of schedulers when they are not the run's."""
    torch, path = adapter("torch"), folder / f"step-{STEPS:08}.safetensors"
    whole = kinds.state_of(content)
    order = "\x1b]0;owned\x07\x1b[2J" * 1000
    curves = {**whole["board"]["curves"], order: [[1, 2.0]]}
    path.write_bytes(kinds.forged(content, {**whole, "schedulers": {order: {}}}))
    with pytest.raises(CheckpointError, match="learning-rate schedulers are") as caught:
        fit(torch, folder, epochs=2, resume=True)
    path.write_bytes(kinds.forged(content, {**whole, "board": {**whole["board"], "curves": curves}}))
    fit(torch, folder, epochs=2, resume=True)
    for said in (str(caught.value), capsys.readouterr().out):
        assert len(said) < 2000 and said.replace("\n", "").isprintable()


def test_a_number_of_batches_has_one_name(content, folder, capsys):
    """Another file, whose name is the same number in more digits, does not stand in the way of the checkpoint."""
    (folder / f"step-{STEPS:09}.safetensors").write_bytes(b"")
    (folder / "step-100000000.safetensors").write_bytes(content)
    assert list(CheckpointFolder(folder, 1).steps()) == [STEPS, 10**8]
    (folder / "step-100000000.safetensors").unlink()
    assert CheckpointFolder(folder, 1).newest().path.name == f"step-{STEPS:08}.safetensors"
    assert capsys.readouterr().err == ""


def test_name_of_a_folder_that_is_none_is_one_error():
    for name in ("a\0b", "x" * 300, "/dev/null/x"):
        with pytest.raises(CheckpointError, match="no checkpoint can be written here"):
            CheckpointFolder(Path(name), 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.fault("In a folder for checkpoints, a FIFO, a link or a folder has a checkpoint's name")
def test_what_is_no_file_is_passed_over_with_a_word(content, folder, capsys, sees):
    wrong = {}
    for name, make in kinds.PLACES.items():
        path = folder / NEWEST
        make(Path(NEWEST), folder / f"step-{STEPS:08}.safetensors")  # a socket's path has to be short
        os.rename(NEWEST, path)
        what = re.match(r"a (FIFO|folder|link|socket)", name)[0]
        capsys.readouterr()
        found = CheckpointFolder(folder, 1)
        said = capsys.readouterr().err
        if said != f"Passing over {path}: {what}, not a checkpoint's file\n" or list(found.steps()) != [STEPS]:
            wrong[name] = said
        if name not in ("a link to a checkpoint", "a link to nothing", "a link to itself"):
            problem = failure(lambda: read(path), "a device, not a" if "device" in name else "not a checkpoint")  # noqa: B023
            if problem:
                wrong[f"{name}, read"] = problem
        sees(said)
        os.rename(path, name)
    assert wrong == {}


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "mxnet"])
def test_random_state_of_another_kind_is_named(folder, framework):
    """TensorFlow would take none for a state, and go on with other numbers."""
    fw = adapter(framework)
    fit(fw, folder)
    path = folder / f"step-{STEPS:08}.safetensors"
    state = read(path).state
    (random_state,) = state["random"]
    state["random"] = [{**random_state, "framework": None}]
    path.write_bytes(kinds.forged(path.read_bytes(), state))
    with pytest.raises(CheckpointError, match=r"does not fit this run: its random/framework is None"):
        fit(fw, folder, epochs=2, resume=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_checkpoints_take_the_places_of_links_and_fifos_and_nothing_is_written_through_them(folder):
    folder.mkdir()
    victim = Path("victim")
    victim.write_bytes(b"mine")
    (folder / "step-00000001.safetensors").symlink_to(victim.resolve())
    os.mkfifo(folder / "step-00000002.safetensors")
    (folder / "run.lock.old").symlink_to(victim.resolve())
    fit(adapter("torch"), folder, every=1)
    assert victim.read_bytes() == b"mine"
    assert list(CheckpointFolder(folder, 2).steps()) == [1, 2]


def test_part_file_is_new_and_follows_no_link(folder, monkeypatch):
    """Also where its name is known beforehand."""
    victim = Path("victim")
    victim.write_bytes(b"mine")
    found = CheckpointFolder(folder, 2)
    monkeypatch.setattr(checkpoint.secrets, "token_hex", lambda n: "0" * 2 * n)
    (folder / "step-00000001.safetensors.0000000000000000.part").symlink_to(victim.resolve())
    with pytest.raises(CheckpointError, match="File exists"):
        found.save(1, {}, {})
    assert victim.read_bytes() == b"mine"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system has links of another kind")
def test_lock_is_no_link_and_no_fifo(folder):
    victim = Path("victim")
    victim.write_bytes(b"mine")
    folder.mkdir()
    for make in (lambda path: path.symlink_to(victim.resolve()), os.mkfifo, Path.mkdir):
        make(folder / "run.lock")
        with pytest.raises(CheckpointError, match=r"no checkpoint can be written here: .*run\.lock"):
            fit(adapter("torch"), folder)
        os.rename(folder / "run.lock", f"{len(list(Path().iterdir()))}")
    assert victim.read_bytes() == b"mine"


def test_foreign_file_of_gigabytes_is_not_read(folder, monkeypatch):
    """Its header says what it is."""
    folder.mkdir()
    size = 6 << 30
    header = {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    path = folder / NEWEST
    path.write_bytes(kinds.safetensors(header))
    os.truncate(path, path.stat().st_size + size)
    opened = checkpoint.safe_open

    class Unread:
        def __init__(self, *arguments):
            self.file = opened(*arguments)

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *exc):
            return self.file.__exit__(*exc)

        def metadata(self):
            return self.file.metadata()

        def keys(self):
            return self.file.keys()

        def get_tensor(self, name):
            raise AssertionError("an array is loaded")

    monkeypatch.setattr(checkpoint, "safe_open", Unread)
    with pytest.raises(CheckpointError, match="a safetensors file of another program"):
        read(path)


@pytest.mark.fault("A checkpoint says that it is larger than the machine's memory")
def test_checkpoint_beyond_the_memory_is_not_loaded(folder, monkeypatch, sees):
    CheckpointFolder(folder, 1).save(9, {"model/w": np.zeros(10**5)}, {})
    monkeypatch.setattr(checkpoint, "physical_memory", lambda: 10**5)
    with pytest.raises(CheckpointError, match="more than this machine's memory") as caught:
        read(folder / NEWEST)
    sees(f"CheckpointError: {caught.value}")


def test_old_checkpoints_that_cannot_be_removed_stay_and_are_named(folder, monkeypatch, capsys):
    """As another user's in a folder whose files only their owners can remove."""
    found = CheckpointFolder(folder, 1)
    found.save(1, {}, {})
    unlink = Path.unlink

    def refused(path, missing_ok=False):
        if path.suffix == ".safetensors":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    found.save(2, {}, {})
    found.save(3, {}, {})
    assert list(found.steps()) == [1, 2, 3]
    assert capsys.readouterr().err.count("An old checkpoint stays, for it cannot be removed") == 2


def test_weights_with_nan_are_not_saved(folder, capsys):
    found = CheckpointFolder(folder, 1)
    found.save(1, {"model/w": np.ones(3)}, {})
    found.save(2, {"model/w": np.array([1, np.nan])}, {})
    assert list(found.steps()) == [1]
    assert capsys.readouterr().err == "No checkpoint after 2 batches: nan is in model/w\n"


def test_state_beyond_the_format_is_named_when_it_is_saved(folder):
    found = CheckpointFolder(folder, 1)
    with pytest.raises(CheckpointError, match=r"could not be saved: .*header too large"):
        found.save(1, {}, {"run": "x" * 100_000_001})
    assert list(folder.iterdir()) == []
