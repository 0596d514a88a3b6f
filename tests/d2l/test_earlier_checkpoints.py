"""Checkpoints that the helper wrote before it was rebuilt: a run goes on from them as if it had never stopped."""

import lzma
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from contract.adapters import ADAPTERS
from contract.examples import Interrupted, Stopping, seed

pytestmark = [pytest.mark.helper, pytest.mark.slow, pytest.mark.usefixtures("full_run")]

EPOCHS, STOP = 3, 9  # in the middle of the second epoch of six batches, the last of them short
TRAIN, VAL, BATCH_SIZE, FEATURES = 22, 8, 4, 6


def run(fw, stop=None, resume=False, **arguments):
    """A small model's run, which may fail after so many batches."""
    seed(fw, 99 if resume else 1)
    rng = np.random.default_rng(0)
    X = fw.tensor(rng.random((TRAIN + VAL, FEATURES), np.float32))
    y = fw.labels(rng.integers(0, 10, TRAIN + VAL))

    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            loader = self.get_tensorloader((X, y), train, slice(0, TRAIN) if train else slice(TRAIN, None))
            return Stopping(loader, trainer, stop) if train else loader

    class Small(fw.d2l.Classifier):
        if fw.name == "jax":
            training: bool = True

            def setup(self):
                self.net = fw.stack(*fw.dense(4, 10))
        else:

            def __init__(self):
                super().__init__()
                self.net = fw.stack(*fw.dense(4, 10))

        def configure_optimizers(self):
            return fw.adam(self)

    data, model = Data(), Small()
    data.batch_size = BATCH_SIZE
    trainer = fw.d2l.Trainer(EPOCHS, precision="float32", **arguments)
    trainer.fit(model, data, resume=resume)
    return model


def write(name):
    """Store the checkpoint of a run that was interrupted; README.md there says with which helper."""
    with TemporaryDirectory() as folder:
        with pytest.raises(Interrupted):
            run(ADAPTERS[name](), STOP, checkpoint_dir=folder, every=1, keep=1)
        (path,) = Path(folder).glob("*.safetensors")
        stored(name).write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


def stored(name):
    """The file of a framework."""
    return Path(__file__).with_name("checkpoints") / f"{name}.safetensors.xz"


def test_run_of_the_helper_before_it_was_rebuilt_goes_on_to_the_same_curves(fw, tmp_path, capsys):
    expected = run(fw, checkpoint_dir="whole", every=1)
    folder = tmp_path / "interrupted"
    folder.mkdir()
    (folder / f"step-{STOP:08}.safetensors").write_bytes(lzma.decompress(stored(fw.name).read_bytes()))
    resumed = run(fw, resume=True, checkpoint_dir=folder, every=1)
    assert "epoch 2, after 3 of 6 batches" in capsys.readouterr().out
    assert resumed.board.curves.keys() == expected.board.curves.keys()
    for label, points in expected.board.curves.items():
        np.testing.assert_allclose(resumed.board.curves[label], points, rtol=1e-4, err_msg=label)
