"""What can be copied and pickled, by users and by their tools: models, trainers, boards and parameters.

Left out is what the frameworks do not copy themselves: Keras pickles no model that is a subclass without a
``get_config``, MXNet none that is hybridized, as fitted ones are, and a model of Flax holds no parameters. Of these,
the parameters are copied.
"""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt

from d2l.board import ProgressBoard
from d2l.plotting import to_numpy

from .examples import batches_of, images_in_memory, step_length
from .fixtures import adapter

pytestmark = [pytest.mark.helper, pytest.mark.usefixtures("full_run")]


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


COPIES = {"deepcopy": copy.deepcopy, "pickle": pickled}


@pytest.fixture(params=COPIES)
def copied(request):
    """Copies an object in one way after the other."""
    return COPIES[request.param]


@pytest.fixture(scope="module")
def done(fw):
    """A fitted classifier of the helper's, and the trainer; the run is the same each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("D2L_PROFILE", "full")
        return fitted(fw, fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1))


def fitted(fw, model, trainer=None):
    trainer = trainer or fw.d2l.Trainer(max_epochs=1)
    fw.fit(trainer, model, images_in_memory(fw))
    return model, trainer


def predicted(fw, model):
    return to_numpy(fw.predict(model, batches_of(fw, [4])[0][0]))


def test_model_is_copied_before_fit(fw, copied):
    if fw.name == "tensorflow":
        pytest.skip("Keras copies no model that is a subclass without a get_config")
    model = fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
    other = copied(model)
    assert type(other) is type(model) and other.lr == 0.1 and other.board is not model.board
    fitted(fw, other)
    assert len(other.board.curves["val_loss"]) == 1
    assert model.board.curves == {} and getattr(model, "trainer", None) is None  # Flax's has none before fit
    fitted(fw, model)
    assert len(model.board.curves["val_loss"]) == len(other.board.curves["val_loss"]) == 1


def test_trainer_is_copied_before_fit(fw, copied):
    trainer = fw.d2l.Trainer(max_epochs=1, gradient_clip_val=0.5)
    other = copied(trainer)
    assert (other.max_epochs, other.gradient_clip_val, other.hparams) == (1, 0.5, trainer.hparams)
    model, _ = fitted(fw, fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1), other)
    assert model.trainer is other and other.train_batch_idx == 3
    assert trainer.train_batch_idx == 0 and not hasattr(trainer, "model")


@pytest.mark.parametrize("how", [*COPIES, "copy"])
def test_fitted_model_of_pytorch_is_copied_without_its_trainer(torch, how):
    model, trainer = fitted(torch, torch.d2l.SoftmaxRegression(num_outputs=10, lr=0.1))
    expected = predicted(torch, model)
    other = {**COPIES, "copy": copy.copy}[how](model)
    assert other.trainer is None and model.trainer is trainer
    assert other.board.curves == model.board.curves
    np.testing.assert_array_equal(predicted(torch, other), expected)
    if how != "copy":  # which has the same parameters as the model
        fitted(torch, other)
        np.testing.assert_array_equal(predicted(torch, model), expected)
        assert model.trainer is trainer and other.trainer is not trainer


def test_model_of_flax_is_cloned_and_copied_with_its_trainer():
    fw = adapter("jax")
    model, trainer = fitted(fw, fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1))
    X = batches_of(fw, [4])[0][0]
    for other in (model.clone(), copy.copy(model)):
        assert (other.num_outputs, other.lr) == (10, 0.1)
        np.testing.assert_array_equal(other.apply({"params": trainer.state.params}, X), predicted(fw, model))
    assert copy.copy(model).trainer is trainer


def test_board_is_copied_with_its_curves_and_without_its_picture(copied):
    board = ProgressBoard(xlabel="epoch", xlim=[0, 2])
    board.draw(1, 0.25, "val_loss")
    figures = plt.get_fignums()
    other = copied(board)
    assert plt.get_fignums() == figures
    assert (other.curves, other.xlabel, other.xlim) == ({"val_loss": [(1, 0.25)]}, "epoch", [0, 2])
    other.draw(2, 0.5, "val_loss")
    assert (len(other.curves["val_loss"]), len(board.curves["val_loss"])) == (2, 1)


def test_parameters_are_carried_into_another_model(fw, done, copied):
    model, _ = done
    weights, X = copied(fw.weights(model)), batches_of(fw, [4])[0][0]
    other = fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
    fw.load(other, X, weights)
    np.testing.assert_array_equal(predicted(fw, other), predicted(fw, model))
    assert step_length(fw.weights(other), fw.weights(model)) == 0


def test_state_of_jax_is_copied(copied):
    fw = adapter("jax")
    _, trainer = fitted(fw, fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1))
    params = copied(trainer.state.params)
    assert fw.lib.tree.structure(params) == fw.lib.tree.structure(trainer.state.params)
    assert step_length(fw.lib.tree.leaves(params), fw.lib.tree.leaves(trainer.state.params)) == 0


def test_copies_that_a_training_step_keeps_have_the_weights_of_then(torch):
    """As averages of weights need them."""
    kept = []

    class Net(torch.d2l.SoftmaxRegression):
        def training_step(self, batch):
            kept.append(copy.deepcopy(self))
            return super().training_step(batch)

    model, _ = fitted(torch, Net(num_outputs=10, lr=0.1))
    weights = [torch.weights(other) for other in (*kept[-3:], model)]
    assert all(step_length(a, b) > 0 for a, b in pairwise(weights))
    assert all(other.trainer is None for other in kept)
