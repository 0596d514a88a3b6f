"""Checkpoints: a run that was interrupted, however, goes on from a whole one to the very same numbers."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_frameworks import NAMES, adapter, shape_of_image, tiny

from d2l.checkpoint import CheckpointFolder

EPOCHS = 3
TRAIN, VAL, BATCH_SIZE = 22, 8, 4  # six batches, the last of them short
BATCHES = 6
FOLDER = "checkpoints"


@pytest.fixture(scope="module", params=NAMES)
def fw(request):
    """One framework: its helper module as ``d2l`` and what tests need beside it."""
    return adapter(request.param)


@pytest.fixture(scope="module")
def torch():
    return adapter("torch")


@pytest.fixture(autouse=True)
def full_run(monkeypatch, tmp_path):
    """Runs of as many epochs as asked for, in a folder of their own."""
    monkeypatch.setenv("D2L_PROFILE", "full")
    monkeypatch.chdir(tmp_path)


class Interrupted(Exception):
    pass


class Stopping:
    """A loader that fails once its trainer has done so many batches of the run."""

    def __init__(self, loader, trainer, stop):
        self.loader, self.trainer, self.stop = loader, trainer, stop

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for batch in self.loader:
            if getattr(self.trainer, "train_batch_idx", 0) == self.stop:
                raise Interrupted
            yield batch


def data_of(fw, trainer=None, stop=None, examples=TRAIN, batch_size=BATCH_SIZE):
    """Random images, in another order each epoch, whose loader may fail on the way."""
    rng = np.random.default_rng(0)
    X = fw.tensor(rng.random((TRAIN + VAL, *shape_of_image(fw)), np.float32))
    y = fw.tensor(rng.integers(0, 10, TRAIN + VAL).astype(fw.label_type))

    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            loader = self.get_tensorloader((X, y), train, slice(0, examples) if train else slice(TRAIN, None))
            return Stopping(loader, trainer, stop) if train and stop is not None else loader

    data = Data()
    data.batch_size = batch_size
    return data


ADAM = {
    "torch": lambda fw, model: fw.lib.optim.Adam(model.parameters(), lr=0.01),
    "tensorflow": lambda fw, model: fw.lib.keras.optimizers.Adam(0.01),
    "mxnet": lambda fw, model: fw.lib.gluon.Trainer(model.parameters(), "adam", {"learning_rate": 0.01}),
    "jax": lambda fw, model: fw.d2l.optax.adam(0.01),
}


def model_of(fw, optimizer="sgd", hidden=16):
    """A model with dropout, and maybe an optimizer with a state."""
    model = tiny(fw, dropout=0.5, hidden=hidden)
    if optimizer == "adam":
        type(model).configure_optimizers = lambda self: ADAM[fw.d2l.Trainer.framework](fw, self)
    return model


def seed(fw, number):
    """Start all random states from a number."""
    random.seed(number)
    np.random.seed(number)
    fw.seed(number)


def fit(fw, optimizer="sgd", start=1, stop=None, epochs=EPOCHS, resume=False, folder=FOLDER, model=None, **arguments):
    """A run with checkpoints from a random state of its own; its model."""
    seed(fw, start)
    model = model or model_of(fw, optimizer)
    every = arguments.pop("every", 2)
    options = {name: arguments.pop(name) for name in ("examples", "batch_size") if name in arguments}
    trainer = fw.d2l.Trainer(epochs, checkpoint_dir=folder, every=every, **arguments)
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


# Resuming


@pytest.mark.parametrize(("optimizer", "every"), [("sgd", 1), ("adam", 2), ("adam", "epoch")])
def test_interrupted_run_resumes_to_the_same_numbers(fw, optimizer, every, capsys):
    """In the middle of the second epoch, in the middle of an average."""
    expected = result(fw, fit(fw, optimizer, every=every, folder="whole"))
    interrupt(fw, BATCHES + 5, optimizer=optimizer, every=every)
    done = {1: 5, 2: 4, "epoch": 0}[every]
    resumed = fit(fw, optimizer, every=every, start=99, resume=True)
    assert f"epoch 2, after {done} of {BATCHES} batches" in capsys.readouterr().out
    assert result(fw, resumed) == expected


def test_run_resumes_in_a_new_process_to_the_same_numbers(fw, tmp_path):
    expected = result(fw, fit(fw, "adam", folder="whole"))
    interrupt(fw, 2 * BATCHES + 3, optimizer="adam")
    script = "import sys, test_checkpoints; test_checkpoints.resume_and_tell(sys.argv[1])"
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-c", script, fw.d2l.Trainer.framework]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
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
    assert result(fw, fit(fw, "adam", epochs=EPOCHS, every="epoch", start=99, resume=True)) == expected


def test_resuming_where_nothing_is_starts_from_the_beginning_and_says_so(fw, capsys):
    expected = result(fw, fit(fw, folder="whole"))
    assert result(fw, fit(fw, resume=True)) == expected
    assert f"No checkpoint in {FOLDER}: training starts from the beginning\n" in capsys.readouterr().out
