"""Observers that users give a trainer: those that stop a run early, and keep the best weights."""

import numpy as np
import pytest
from contract.examples import Interrupted, Loaders, Stopping, batches_of, tiny, ys

from d2l.plotting import to_numpy

pytestmark = pytest.mark.helper


def scored(fw, scores):
    """A classifier whose validation plots, as ``acc``, the number of the epoch in a list of scores."""
    model = tiny(fw)

    class Scored(type(model)):
        def validation_step(self, *args):
            self.plot("acc", float(scores[self.trainer.epoch]), train=False)

    model.__class__ = Scored
    return model


def data_of(fw):
    return Loaders(batches_of(fw, [4, 4]), batches_of(fw, [4]))


@pytest.fixture
def run(torch, full_run):
    """Fits a model with such scores, with callbacks; gives the trainer."""

    def fit(scores, *callbacks, **options):
        trainer = torch.d2l.Trainer(max_epochs=len(scores), callbacks=list(callbacks), **options)
        trainer.fit(scored(torch, scores), data_of(torch))
        return trainer

    return fit


@pytest.mark.parametrize(
    ("scores", "options", "epochs"),
    [
        ([1, 2, 2, 2, 2, 9], {"patience": 2}, 4),
        ([1, 2, 2, 3, 3, 3, 9], {"patience": 2}, 6),
        ([1, 2, 3, 4], {"patience": 1}, 4),
        ([1, 1.05, 1.1, 9], {"patience": 2, "min_delta": 0.2}, 3),
        ([3, 2, 2, 2], {"patience": 1, "mode": "min"}, 3),
        ([3, 2, 1], {"patience": 1}, 2),
        ([3, 2, 1], {"patience": 2}, 3),  # after the last epoch there is nothing to stop
    ],
)
def test_run_ends_when_the_curve_gets_no_better(torch, run, capsys, scores, options, epochs):
    trainer = run(scores, torch.d2l.EarlyStopping("val_acc", **options))
    assert len(ys(trainer.model, "val_acc")) == epochs
    printed = capsys.readouterr().out
    assert f" after {epochs} of {len(scores)} epochs, each of 8 examples" in printed
    assert ("Stopped early: no better val_acc for" in printed) == (epochs < len(scores))


def test_best_epoch_is_named_and_the_trainer_can_be_used_again(torch, run, capsys):
    trainer = run([1, 5, 4, 4, 4], torch.d2l.EarlyStopping("val_acc", patience=2))
    assert "no better val_acc for 2 epochs; the best was 5.000, after epoch 2" in capsys.readouterr().out
    trainer.fit(scored(torch, [1, 2, 3, 4, 5]), data_of(torch))
    assert len(ys(trainer.model, "val_acc")) == 5


def test_all_frameworks_stop_and_leave_the_model_as_after_the_last_epoch(fw, full_run):
    trainer = fw.d2l.Trainer(max_epochs=6, callbacks=[fw.d2l.EarlyStopping(min_delta=1e6, patience=2)])
    model = tiny(fw)
    trainer.fit(model, data_of(fw))
    assert len(ys(model, "val_loss")) == 3
    assert trainer.predict(model, np.zeros((1, *fw.image_shape), np.float32)).shape == (1, 10)


def test_resumed_run_stops_where_it_would_have(torch, full_run, tmp_path, capsys):
    scores = [1, 2, 2, 2, 9, 9]

    def trainer():
        callbacks = [torch.d2l.EarlyStopping("val_acc", patience=2)]
        return torch.d2l.Trainer(max_epochs=6, checkpoint_dir=tmp_path / "run", callbacks=callbacks)

    first = trainer()
    stopping = Stopping(batches_of(torch, [4, 4]), first, 5)
    with pytest.raises(Interrupted):
        first.fit(scored(torch, scores), Loaders(stopping, batches_of(torch, [4])))
    resumed = trainer()
    resumed.fit(scored(torch, scores), data_of(torch), resume=True)
    assert ys(resumed.model, "val_acc") == [1, 2, 2, 2]
    again = trainer()
    again.fit(scored(torch, scores), data_of(torch), resume=True)  # which has nothing left to do
    assert ys(again.model, "val_acc") == [1, 2, 2, 2]


@pytest.mark.parametrize("mode", [None, "min"])
def test_best_weights_are_in_the_file_and_in_the_model(fw, full_run, capsys, mode):
    kept = []

    class Seen(fw.d2l.Observer):
        def after_epoch(self, trainer):
            kept.append([np.array(to_numpy(x)) for x in trainer.backend.model_state(trainer.model).values()])

    best = fw.d2l.KeepBest("best.safetensors", "val_loss", mode=mode)
    trainer, model = fw.d2l.Trainer(max_epochs=4, callbacks=[Seen(), best]), tiny(fw, lr=3.0)
    trainer.fit(model, data_of(fw))
    epoch = int(np.argmin(ys(model, "val_loss")))
    state = [to_numpy(x) for x in trainer.backend.model_state(model).values()]
    assert all(np.array_equal(a, b) for a, b in zip(state, kept[epoch], strict=True))
    assert f"The weights are those of epoch {epoch + 1}, the best one" in capsys.readouterr().out
    assert trainer.evaluate(model, data_of(fw))["loss"] == pytest.approx(min(ys(model, "val_loss")), rel=1e-5)


def test_file_of_an_earlier_run_is_replaced_and_that_is_said(torch, run, capsys):
    run([1, 2], torch.d2l.KeepBest("best.safetensors"))
    assert "is there, and will be replaced" not in capsys.readouterr().out
    run([1, 2], torch.d2l.KeepBest("best.safetensors"))
    assert "best.safetensors is there, and will be replaced after the first epoch" in capsys.readouterr().out


def test_interrupted_run_keeps_its_best_weights_and_goes_on_with_them(torch, full_run, tmp_path):
    scores, best = [1, 5, 3, 4], tmp_path / "best.safetensors"

    def trainer():
        return torch.d2l.Trainer(4, checkpoint_dir=tmp_path / "run", callbacks=[torch.d2l.KeepBest(best)])

    first = trainer()
    with pytest.raises(Interrupted):
        first.fit(scored(torch, scores), Loaders(Stopping(batches_of(torch, [4, 4]), first, 5), batches_of(torch, [4])))
    weights = best.read_bytes()
    resumed = trainer()
    resumed.fit(scored(torch, scores), data_of(torch), resume=True)
    assert best.read_bytes() == weights
    other = tiny(torch)
    other.load_weights(best)
    assert all(torch.lib.equal(a, b) for a, b in zip(other.parameters(), resumed.model.parameters(), strict=True))
    best.unlink()
    with pytest.raises(FileNotFoundError, match=r"best.safetensors is not there, with the best weights of the run"):
        trainer().fit(scored(torch, [*scores, 1]), data_of(torch), resume=True)


def test_curve_that_the_model_does_not_plot_is_named_with_those_that_it_does(torch, run):
    with pytest.raises(ValueError, match=r"monitor='val_losses': this run has the curves train_loss, val_acc"):
        run([1, 2], torch.d2l.EarlyStopping("val_losses"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d2l: d2l.EarlyStopping("val_f1"), ValueError, "monitor='val_f1': give mode='min' or mode='max'"),
        (lambda d2l: d2l.EarlyStopping(mode="least"), ValueError, "mode='least': give 'min' or 'max'"),
        (lambda d2l: d2l.EarlyStopping(3), TypeError, "monitor=3: give the name of a curve, such as 'val_loss'"),
        (lambda d2l: d2l.EarlyStopping(patience=0), ValueError, "patience=0: give a whole number, 1 or more"),
        (lambda d2l: d2l.EarlyStopping(min_delta=-1), ValueError, "min_delta=-1: give a number, 0 or more"),
        (lambda d2l: d2l.KeepBest("best.pt"), ValueError, "give a file whose name ends with .safetensors"),
        (lambda d2l: d2l.Trainer(1, callbacks=d2l.EarlyStopping()), TypeError, "callbacks got .*: give a list of"),
        (lambda d2l: d2l.Trainer(1, callbacks=[d2l.EarlyStopping]), TypeError, "callbacks got the class EarlyStopping"),
    ],
)
def test_wrong_arguments_are_named(torch, make, error, message):
    with pytest.raises(error, match=message):
        make(torch.d2l)
