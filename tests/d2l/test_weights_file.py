"""Weights of a model in a file, without data or trainer."""

from pathlib import Path

import numpy as np
import pytest
from contract.examples import Loaders, batches_of, made, tiny
from contract.fixtures import adapter
from safetensors.numpy import load_file, save_file

from d2l.checkpoint_file import CheckpointError
from d2l.plotting import to_numpy

pytestmark = pytest.mark.helper


@pytest.fixture
def fitted(fw, full_run):
    """A trainer and the model that it has fitted, with checkpoints in the folder ``run``."""
    model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=1, checkpoint_dir="run")
    trainer.fit(model, Loaders(batches_of(fw, [8]), batches_of(fw, [8])))
    return trainer, model


def predicted(fw, model):
    X = np.random.default_rng(1).random((3, *fw.image_shape), np.float32)
    return fw.d2l.Trainer(max_epochs=1).predict(model, X)


def empty(fw):
    """A model like the fitted one, ready to be given weights: Keras has to have seen a batch."""
    return made(fw, tiny(fw)) if fw.name == "tensorflow" else tiny(fw)


@pytest.mark.parametrize("file", ["~/lenet.safetensors", "run/step-00000001.safetensors"])
def test_another_model_takes_them_without_data_or_trainer(fw, fitted, monkeypatch, tmp_path, file):
    trainer, model = fitted
    monkeypatch.setenv("HOME", str(tmp_path))
    model.save_weights("~/lenet.safetensors")
    assert (tmp_path / "lenet.safetensors").exists()
    other = empty(fw)
    other.load_weights(file)
    X = np.random.default_rng(1).random((3, *fw.image_shape), np.float32)
    assert np.array_equal(predicted(fw, other), trainer.predict(model, X))


def test_file_has_the_weights_by_name_and_is_replaced_whole(fw, fitted):
    trainer, model = fitted
    for _ in range(2):
        model.save_weights("a.safetensors")
    arrays = load_file("a.safetensors")
    state = trainer.backend.model_state(model)
    assert arrays.keys() == state.keys()
    assert all(np.array_equal(arrays[name], to_numpy(x)) for name, x in state.items())


def test_files_of_other_programs_are_taken_if_they_fit(torch, fitted_torch):
    arrays = {name: x.numpy() + 1 for name, x in fitted_torch.state_dict().items()}
    save_file(arrays, "other.safetensors")
    model = tiny(torch)
    model.load_weights("other.safetensors")
    assert all(np.array_equal(model.state_dict()[name], array) for name, array in arrays.items())


@pytest.fixture
def fitted_torch(torch, full_run):
    return made(torch, tiny(torch))


@pytest.mark.parametrize("new", [False, True])
def test_file_that_does_not_fit_leaves_the_weights_as_they_were(stateful, full_run, new):
    made(stateful, tiny(stateful, hidden=3)).save_weights("small.safetensors")
    model = tiny(stateful) if new and stateful.name != "tensorflow" else made(stateful, tiny(stateful))
    before = None if new else predicted(stateful, model)
    with pytest.raises(CheckpointError, match="does not fit this model"):
        save_file({"other": np.zeros(3, np.float32)}, "other.safetensors")
        model.load_weights("other.safetensors")
    if not new:
        with pytest.raises(CheckpointError, match=r"small.safetensors does not fit this model:\n.* in the file, .*16"):
            model.load_weights("small.safetensors")
        assert np.array_equal(predicted(stateful, model), before)


def test_jax_compares_the_weights_of_a_file_with_a_model_as_soon_as_it_has_inputs(full_run):
    fw = adapter("jax")
    fitted, batches = tiny(fw), batches_of(fw, [8])
    data = Loaders(batches, batches)
    fw.d2l.Trainer(max_epochs=1).fit(fitted, data)
    fitted.save_weights("16.safetensors")
    other = tiny(fw, hidden=3)
    other.load_weights("16.safetensors")
    trainer = fw.d2l.Trainer(max_epochs=0)
    differs = r"16.safetensors does not fit this model:\n.*bias is \(16,\) float32 in the file, \(3,\) float32 in the"
    for call in (lambda: trainer.predict(other, batches[0][0]), lambda: trainer.evaluate(other, data)):
        with pytest.raises(CheckpointError, match=differs):
            call()
    other.loaded_weights, other.weights_file = {"params.other.kernel": np.zeros((3, 3), np.float32)}, Path("other")
    with pytest.raises(CheckpointError, match=r"(?s)missing in the file.*kernel .* is in the file, but not in the mo"):
        trainer.predict(other, batches[0][0])
    fw.d2l.Trainer(max_epochs=1).fit(small := tiny(fw, hidden=3), data)
    small.save_weights("3.safetensors")
    other.load_weights("3.safetensors")
    assert trainer.predict(other, batches[0][0]).shape == (8, 10)


def test_jax_does_not_take_weights_for_another_models_where_the_inputs_may_be_wrong(full_run):
    fw = adapter("jax")
    fitted = tiny(fw)
    fw.d2l.Trainer(max_epochs=1).fit(fitted, Loaders(batches_of(fw, [8]), None))
    fitted.save_weights("a.safetensors")
    model, trainer = tiny(fw), fw.d2l.Trainer(max_epochs=0)
    model.load_weights("a.safetensors")
    X = np.zeros((2, *fw.image_shape), np.float32)
    of_file = "The weights in a.safetensors are for inputs of another shape, or of another model."
    with pytest.raises(Exception) as caught:
        trainer.predict(model, X[:, :9])
    assert not isinstance(caught.value, CheckpointError)
    assert of_file in caught.value.__notes__
    assert trainer.predict(model, X).shape == (2, 10)
    with pytest.raises(Exception) as caught:
        trainer.predict(model, X[:, :9])
    assert of_file not in caught.value.__notes__  # which the file's weights have turned out to be


def test_jax_trainer_of_one_model_does_not_predict_for_another_that_was_given_a_file(full_run):
    fw = adapter("jax")
    model, trainer, data = tiny(fw), fw.d2l.Trainer(max_epochs=1), Loaders(batches_of(fw, [8]), batches_of(fw, [8]))
    trainer.fit(model, data)
    model.save_weights("a.safetensors")
    other, X = tiny(fw), np.zeros((2, *fw.image_shape), np.float32)
    other.load_weights("a.safetensors")
    for call in (lambda: trainer.predict(other, X), lambda: trainer.evaluate(other, data)):
        with pytest.raises(RuntimeError, match=r"state has those of another model: .* d2l.Trainer\(max_epochs=0\)"):
            call()
    new = fw.d2l.Trainer(max_epochs=0)
    assert np.array_equal(new.predict(other, X), trainer.predict(model, X))
    trainer.fit(other, data)  # from new weights
    assert trainer.predict(other, X).shape == (2, 10)


def test_trainer_says_of_a_file_of_weights_what_takes_it(torch, fitted_torch):
    fitted_torch.save_weights("a.safetensors")
    message = r"a.safetensors: not a checkpoint, but the weights alone of a model \(Tiny\), .*model\.load_weights\('a.s"
    with pytest.raises(CheckpointError, match=message):
        torch.d2l.Trainer(max_epochs=1).load_weights(
            tiny(torch), Loaders(batches_of(torch, [4]), None), "a.safetensors"
        )


def test_weights_of_another_framework_are_named(torch, fitted_torch):
    save_file({"a": np.zeros(1)}, "a.safetensors", {"framework": "tensorflow"})
    with pytest.raises(CheckpointError, match="weights of a model in tensorflow, and this one is in torch"):
        fitted_torch.load_weights("a.safetensors")


def test_model_without_weights_has_none_to_save(fw, full_run):
    with pytest.raises(RuntimeError, match="LeNet has no weights yet"):
        fw.d2l.LeNet().save_weights("a.safetensors")


def test_keras_without_shapes_says_what_to_do(full_run):
    fw = adapter("tensorflow")
    made(fw, tiny(fw)).save_weights("a.safetensors")
    with pytest.raises(RuntimeError, match=r"call model\(X\) with a batch first"):
        tiny(fw).load_weights("a.safetensors")
    model = made(fw, tiny(fw))
    model.save_weights("a.weights.h5")  # Keras's own format still works
    model.load_weights("a.weights.h5")


def test_nan_is_neither_saved_nor_loaded(torch, fitted_torch):
    fitted_torch.save_weights("good.safetensors")
    with torch.lib.no_grad():
        next(fitted_torch.parameters())[0] = float("nan")
    with pytest.raises(CheckpointError, match=r"good.safetensors is not written: nan is in net"):
        fitted_torch.save_weights("good.safetensors")
    tiny(torch).load_weights("good.safetensors")
    save_file({name: x.numpy() for name, x in fitted_torch.state_dict().items()}, "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"nan.safetensors: nan is in net"):
        tiny(torch).load_weights("nan.safetensors")


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, TypeError, "_weights got None for the path: give a file, such as 'lenet.safetensors'"),
        ("lenet.pt", ValueError, "_weights got 'lenet.pt': give a file whose name ends with .safetensors"),
        ("no/such/lenet.safetensors", CheckpointError, "No such file or directory"),
    ],
)
@pytest.mark.parametrize("method", ["save_weights", "load_weights"])
def test_wrong_paths_are_named(fitted_torch, method, path, error, message):
    with pytest.raises(error, match=message):
        getattr(fitted_torch, method)(path)
