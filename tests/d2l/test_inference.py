"""What a trainer does with a model besides fitting it: predictions, metrics on data, and the history of a run."""

import math
import re
import sys

import numpy as np
import pytest
from contract.examples import Loaders, batches_of, made, tiny, ys

from d2l.history import Columns, by_epoch
from d2l.plotting import to_numpy

pytestmark = pytest.mark.helper


@pytest.fixture
def fitted(fw, full_run):
    """A trainer with the model and the data that it has fitted, dropout included."""
    data = Loaders(batches_of(fw, [8, 8]), batches_of(fw, [8, 8, 3]))
    model, trainer = tiny(fw, dropout=0.5), fw.d2l.Trainer(max_epochs=3)
    trainer.fit(model, data)
    return trainer, model, data


def test_predictions_are_the_models_for_arrays_of_any_number_of_examples(fw, fitted):
    trainer, model, data = fitted
    X = np.concatenate([to_numpy(X) for X, _ in data.val_dataloader()])
    logits = trainer.predict(model, X, batch_size=5)
    assert (logits.shape, logits.dtype) == ((19, 10), np.float32)
    assert np.allclose(logits, to_numpy(fw.predict(model, fw.tensor(X))), atol=1e-5)
    assert np.allclose(trainer.predict(model, fw.tensor(X)), logits, atol=1e-5)
    assert np.allclose(trainer.predict(model, (X,)), logits, atol=1e-5)


def test_evaluation_gives_what_the_last_epoch_has_drawn_and_draws_nothing(fw, fitted):
    trainer, model, data = fitted
    curves = {label: list(points) for label, points in model.board.curves.items()}
    found = trainer.evaluate(model, data)
    assert found == pytest.approx({"loss": ys(model, "val_loss")[-1], "acc": ys(model, "val_acc")[-1]}, abs=1e-6)
    assert model.board.curves == curves
    # Other data, of which the short batch counts for its examples.
    batches = batches_of(fw, [1, 9])
    y = np.concatenate([to_numpy(y) for _, y in batches])
    logits = trainer.predict(model, np.concatenate([to_numpy(X) for X, _ in batches]))
    assert trainer.evaluate(model, Loaders(None, batches))["acc"] == pytest.approx((logits.argmax(1) == y).mean())


def test_training_goes_on_after_predictions_and_evaluation(fw, fitted):
    trainer, model, data = fitted
    trainer.evaluate(model, data)
    trainer.predict(model, np.zeros((2, *fw.image_shape), np.float32))
    trainer.fit(model, data)
    assert len(ys(model, "val_loss")) == 3


def test_model_that_was_not_fitted_predicts_where_it_holds_weights(fw):
    model, X = made(fw, tiny(fw)), np.zeros((2, *fw.image_shape), np.float32)
    if fw.name == "jax":
        with pytest.raises(RuntimeError, match="Tiny has no weights yet, which are in its trainer's state: fit it"):
            fw.d2l.Trainer(max_epochs=1).predict(model, X)
    else:
        assert fw.d2l.Trainer(max_epochs=1).predict(model, X).shape == (2, 10)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (None, TypeError, r"predict got None for the examples: give an array or tensor"),
        (3.5, TypeError, r"predict got the float 3.5 for the examples"),
        ([], TypeError, r"predict got .* for the examples"),
        (np.zeros((0, 4)), ValueError, "predict got inputs of 0 examples: give as many, 1 or more, in each"),
        ((np.zeros(3), np.zeros(2)), ValueError, "predict got inputs of 3 and 2 examples"),
    ],
)
def test_what_is_no_examples_is_named(torch, X, error, message):
    with pytest.raises(error, match=message):
        torch.d2l.Trainer(max_epochs=1).predict(tiny(torch), X)


def test_model_with_another_output_than_one_tensor_is_named(torch):
    class Two(torch.d2l.Module):
        def forward(self, X):
            return X, X

    with pytest.raises(TypeError, match=r"Two returned .*: predict takes models whose output is one tensor"):
        torch.d2l.Trainer(max_epochs=1).predict(Two(), np.zeros((2, 3), np.float32))


def test_error_in_prediction_names_what_was_given_and_what_the_model_was_trained_on(fw, fitted):
    trainer, model, _ = fitted
    with pytest.raises(Exception) as caught:
        trainer.predict(model, np.zeros((2, 5), np.float32))
    trained = ", ".join(map(str, (8, *fw.image_shape)))
    said = rf"predict was given X of shape \(2, 5\) float32; the model was trained on batches of shape \({trained}\) .*"
    assert any(re.fullmatch(rf"{said}float32\.", note) for note in caught.value.__notes__)
    new = tiny(fw)
    if fw.name == "jax":
        model.save_weights("a.safetensors")
        new.load_weights("a.safetensors")
    else:
        made(fw, new)
    with pytest.raises(Exception) as caught:
        fw.d2l.Trainer(max_epochs=1).predict(new, np.zeros((2, 28, 29), np.float32))
    assert "predict was given X of shape (2, 28, 29) float32." in caught.value.__notes__
    assert any("has no axis of channels" in note for note in caught.value.__notes__)


def test_data_without_validation_cannot_be_evaluated_on(torch):
    with pytest.raises(ValueError, match="Loaders has no validation set to evaluate on"):
        torch.d2l.Trainer(max_epochs=1).evaluate(tiny(torch), Loaders(batches_of(torch, [4]), None))


def test_error_in_evaluation_names_the_step_and_the_batch(torch):
    X, y = batches_of(torch, [4])[0]
    with pytest.raises(Exception) as caught:
        torch.d2l.Trainer(max_epochs=1).evaluate(tiny(torch), Loaders(None, [(X, y), (X[:, :, :3], y)]))
    assert any(note.startswith("In validation step 2 of evaluate, with a batch of") for note in caught.value.__notes__)


def test_history_has_a_row_for_each_epoch(fw, fitted, monkeypatch):
    trainer, model, _ = fitted
    monkeypatch.setitem(sys.modules, "pandas", None)
    history = trainer.history
    assert list(history) == ["epoch", "train_loss", "val_loss", "val_acc"]
    assert history["epoch"] == [1, 2, 3]
    assert isinstance(history, dict)
    assert history["val_loss"] == ys(model, "val_loss")
    train = ys(model, "train_loss")  # two points in each epoch, of a batch each
    assert history["train_loss"] == pytest.approx([(a + b) / 2 for a, b in zip(train[::2], train[1::2], strict=True)])


def test_history_prints_as_a_table():
    columns = Columns(epoch=[9, 10], val_loss=[2.3025853, 1e-05], acc=[math.nan, 0.8123456])
    assert repr(columns).splitlines() == [
        "epoch  val_loss     acc",
        "    9     2.303     nan",
        "   10     1e-05  0.8123",
    ]
    assert str(Columns(epoch=[])) == "epoch"


def test_history_is_a_data_frame_where_pandas_is_there(torch, full_run, monkeypatch):
    class Pandas:
        @staticmethod
        def DataFrame(columns):
            return "frame", list(columns)

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    trainer = torch.d2l.Trainer(max_epochs=1)
    with pytest.raises(RuntimeError, match="this trainer has no history yet: fit a model first"):
        trainer.history  # noqa: B018
    trainer.fit(tiny(torch), Loaders(batches_of(torch, [4]), batches_of(torch, [4])))
    assert trainer.history == ("frame", ["epoch", "train_loss", "val_loss", "val_acc"])


def test_history_says_where_a_curve_has_no_point():
    columns = by_epoch({"train_loss": [(0.0, 4.0), (0.5, 2.0), (1.25, 1.0)], "val_loss": [(1.0, 3.0)]})
    assert columns["epoch"] == [1, 2]
    assert columns["train_loss"] == [3.0, 1.0]
    assert columns["val_loss"][0] == 3.0 and np.isnan(columns["val_loss"][1])
    assert by_epoch({}) == {"epoch": []}
