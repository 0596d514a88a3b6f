"""What sections do with a trainer: they look at it in a run, and put methods of their own in the place of its."""

from functools import cache

import numpy as np
import pytest

from d2l.plotting import to_numpy

from .examples import Loaders, batches_of, images_in_memory, seed, step_length, tiny
from .fixtures import adapter
from .textbook import textbook

pytestmark = [pytest.mark.helper, pytest.mark.usefixtures("full_run")]
EPOCHS, TRAIN, VAL = 2, 3, 2  # batches of an epoch


@pytest.fixture
def replace(fw):
    """Puts functions in the place of methods of the helper's Trainer, as sections do; it is afterwards as it was."""
    trainer = fw.d2l.Trainer
    before = dict(vars(trainer))

    def put(*methods):
        for method in methods:
            fw.d2l.add_to_class(trainer)(method)

    yield put
    for name in vars(trainer).keys() - before.keys():
        delattr(trainer, name)
    for name, value in before.items():
        if vars(trainer)[name] is not value:
            setattr(trainer, name, value)


def fitted(fw, make=tiny, data=None, **arguments):
    """The trainer of a run of two epochs, the same each time, in which each training batch has a point of its own.

    Batches come in the same order whatever draws random numbers: what a trainer draws, sections do not rely on.
    """
    seed(fw, 1)
    model = make(fw)
    object.__setattr__(model, "plot_train_per_epoch", TRAIN)
    trainer = fw.d2l.Trainer(max_epochs=EPOCHS, **arguments)
    fw.fit(trainer, model, images_in_memory(fw, shuffle=False) if data is None else data)
    return trainer


@cache
def usual_run(fw):
    """The curves of a run whose gradients are clipped, with the helper's own methods."""
    return curves(fitted(fw, gradient_clip_val=0.5))


def curves(trainer):
    """All numbers of the curves, by label."""
    return {label: np.array(points) for label, points in trainer.model.board.curves.items()}


def assert_usual(fw, trainer):
    ours, theirs = usual_run(fw), curves(trainer)
    assert list(ours) == list(theirs) == ["train_loss", "val_loss", "val_acc"]
    for label, points in ours.items():
        np.testing.assert_allclose(points, theirs[label], rtol=1e-4, atol=1e-5, err_msg=label)


# What a trainer shows


def test_trainer_counts_epochs_and_batches(fw):
    """In the model's eyes before each step: training goes on counting over epochs, and so does validation."""
    seen = []

    class Trainer(fw.d2l.Trainer):
        def prepare_batch(self, batch):
            assert self.model.trainer is self
            # TensorFlow and MXNet look for shapes in a batch before they begin to count validation's.
            seen.append((self.epoch, self.train_batch_idx, getattr(self, "val_batch_idx", 0)))
            return super().prepare_batch(batch)

    trainer = Trainer(max_epochs=EPOCHS)
    fw.fit(trainer, tiny(fw), images_in_memory(fw))
    expected = []
    for epoch in range(EPOCHS):
        expected += [(epoch, epoch * TRAIN + i, epoch * VAL) for i in range(TRAIN)]
        expected += [(epoch, (epoch + 1) * TRAIN, epoch * VAL + i) for i in range(VAL)]
    assert seen[-len(expected) :] == expected
    assert (trainer.epoch, trainer.train_batch_idx, trainer.val_batch_idx) == (1, 6, 4)
    assert (trainer.num_train_batches, trainer.num_val_batches) == (TRAIN, VAL)


def test_trainer_has_its_arguments_and_what_it_was_given(fw):
    model, data = tiny(fw), images_in_memory(fw)
    trainer = fitted(fw, lambda fw: model, data, gradient_clip_val=1)
    assert (trainer.max_epochs, trainer.gradient_clip_val, trainer.num_gpus) == (EPOCHS, 1, 0)
    assert trainer.hparams["max_epochs"] == EPOCHS
    assert list(trainer.gpus) == []
    assert trainer.model is model and model.trainer is trainer
    assert [len(loader) for loader in (trainer.train_dataloader, trainer.val_dataloader)] == [TRAIN, VAL]
    X, y = next(iter(trainer.val_dataloader))
    np.testing.assert_array_equal(to_numpy(X), to_numpy(data.X)[12:16])
    np.testing.assert_array_equal(to_numpy(y), to_numpy(data.y)[12:16])
    board = model.board
    assert (board.xlabel, list(board.xlim)) == ("epoch", [0, EPOCHS])
    assert [x for x, _ in board.curves["train_loss"]] == pytest.approx([i / TRAIN for i in range(EPOCHS * TRAIN)])
    assert [x for x, _ in board.curves["val_acc"]] == [1, 2]


def test_data_without_validation_leave_none(fw):
    trainer = fitted(fw, data=Loaders(batches_of(fw, [4, 4]), None))
    assert (trainer.val_dataloader, trainer.num_val_batches, trainer.val_batch_idx) == (None, 0, 0)
    assert list(trainer.model.board.curves) == ["train_loss"]


METHODS = {
    "torch": ("step", "zero_grad"),
    "tensorflow": ("apply_gradients",),
    "mxnet": ("step",),
    "jax": ("init", "update"),
}


def test_optim_is_what_configure_optimizers_returned(fw):
    trainer = fitted(fw)
    assert all(callable(getattr(trainer.optim, method)) for method in METHODS[fw.name])


def test_model_knows_whether_it_is_trained(fw):
    """By ``training``, which torch, Keras and Flax layers go by, or by what MXNet records."""
    seen = {"training": set(), "validation": set()}

    class Net(type(tiny(fw))):
        def training_step(self, *args):
            seen["training"].add(fw.lib.autograd.is_training() if fw.name == "mxnet" else self.training)
            return super().training_step(*args)

        def validation_step(self, *args):
            seen["validation"].add(fw.lib.autograd.is_training() if fw.name == "mxnet" else self.training)
            return super().validation_step(*args)

    fitted(fw, lambda fw: Net(0.1))
    assert seen == {"training": {True}, "validation": {False}}


def test_state_of_jax_predicts_as_sections_do():
    fw = adapter("jax")
    trainer = fitted(fw)
    X, y = batches_of(fw, [4])[0]
    state, model = trainer.state, trainer.model.clone(training=False)
    Y_hat = model.apply({"params": state.params}, X)
    assert Y_hat.shape == (4, 10)
    loss, _ = trainer.model.loss(state.params, (X,), y, state)
    assert float(loss) > 0
    moved = state.apply_gradients(grads=fw.lib.tree.map(fw.lib.numpy.zeros_like, state.params))
    assert step_length(fw.lib.tree.leaves(moved.params), fw.lib.tree.leaves(state.params)) == 0
    assert state.replace(dropout_rng=fw.key).dropout_rng is fw.key


# Methods that are replaced


def test_methods_as_a_textbook_writes_them_give_the_same_run(fw, replace):
    """All at once: the trainer is then a page of plain code, whose numbers are those of the helper's own."""
    usual_run(fw)
    replace(*textbook(fw).values())
    trainer = fitted(fw, gradient_clip_val=0.5)
    assert_usual(fw, trainer)
    assert (trainer.epoch, trainer.train_batch_idx, trainer.val_batch_idx) == (1, 6, 4)


@pytest.mark.parametrize(
    "name", ["__init__", "prepare_data", "prepare_model", "prepare_batch", "fit_epoch", "clip_gradients"]
)
def test_one_method_as_a_textbook_writes_it_gives_the_same_run(fw, replace, name):
    usual_run(fw)
    replace(textbook(fw)[name])
    assert_usual(fw, fitted(fw, gradient_clip_val=0.5))


def test_replaced_prepare_batch_is_what_both_steps_are_given(fw, replace):
    sizes = []

    class Net(type(tiny(fw))):
        def training_step(self, *args):
            sizes.append(("train", len(args[-2 if fw.name == "jax" else -1][0])))
            return super().training_step(*args)

        def validation_step(self, *args):
            sizes.append(("val", len(args[-2 if fw.name == "jax" else -1][0])))
            return super().validation_step(*args)

    def prepare_batch(self, batch):
        return [part[:2] for part in batch]

    replace(prepare_batch)
    fitted(fw, lambda fw: Net(0.1))
    assert set(sizes) == {("train", 2), ("val", 2)}


def test_replaced_clip_gradients_decides_on_the_step(fw, replace):
    """It is called with the trainer's value, only where that is above zero, and what it leaves is what is applied."""
    called = []

    def clip_gradients(self, grad_clip_val, given):
        called.append(grad_clip_val)
        if fw.name in ("tensorflow", "jax"):  # where it returns the gradients
            return [0 * grad for grad in given] if fw.name == "tensorflow" else fw.lib.tree.map(lambda g: 0 * g, given)
        for parameter in given.parameters().values() if fw.name == "mxnet" else given.parameters():
            (parameter.data() if fw.name == "mxnet" else parameter).grad[:] = 0

    replace(clip_gradients)
    still, moved = (fitted(fw, gradient_clip_val=value) for value in (0.25, 0))
    assert set(called) == {0.25}
    first, *_, last = (y for _, y in still.model.board.curves["val_loss"])
    assert first == last
    first, *_, last = (y for _, y in moved.model.board.curves["val_loss"])
    assert first != last


def test_replaced_fit_epoch_may_use_the_replaced_one(fw):
    """As measurements do; the loaders that it reads are those of the run."""
    seen = []

    class Trainer(fw.d2l.Trainer):
        def fit_epoch(self):
            seen.append((self.epoch, len(self.train_dataloader), len(self.val_dataloader)))
            super().fit_epoch()
            seen.append((self.train_batch_idx, self.val_batch_idx))

    fw.fit(Trainer(max_epochs=EPOCHS), tiny(fw), images_in_memory(fw))
    assert seen == [(0, TRAIN, VAL), (3, 2), (1, TRAIN, VAL), (6, 4)]


def test_replaced_prepare_data_chooses_the_loaders(fw, replace):
    first = []

    def prepare_data(self, data):
        self.train_dataloader, self.val_dataloader = data.val_dataloader(), None
        self.num_train_batches, self.num_val_batches = len(self.train_dataloader), 0
        first.append(self.train_dataloader)

    replace(prepare_data)
    trainer = fitted(fw)
    assert trainer.train_dataloader is first[0]
    assert (trainer.train_batch_idx, trainer.val_batch_idx) == (EPOCHS * VAL, 0)
    assert list(trainer.model.board.curves) == ["train_loss"]


@pytest.mark.parametrize("calls_ours", [True, False])
def test_subclass_may_have_a_constructor_of_its_own(fw, calls_ours):
    class Trainer(fw.d2l.Trainer):
        def __init__(self, max_epochs, patience=3, num_gpus=0, gradient_clip_val=0):
            if calls_ours:
                super().__init__(max_epochs, num_gpus, gradient_clip_val)
            self.save_hyperparameters()

    trainer = Trainer(EPOCHS, patience=5)
    model = tiny(fw)
    fw.fit(trainer, model, images_in_memory(fw))
    assert (trainer.patience, trainer.hparams["patience"], list(trainer.gpus)) == (5, 5, [])
    assert len(model.board.curves["val_loss"]) == EPOCHS


def test_method_that_is_added_reaches_trainers_that_are_there(fw, replace):
    trainer = fw.d2l.Trainer(max_epochs=EPOCHS)

    def epochs_left(self):
        return self.max_epochs - self.epoch

    replace(epochs_left)
    assert trainer.epochs_left() == EPOCHS


# Methods of models that are replaced


def test_steps_of_a_model_may_be_replaced(fw):
    """With what they plot, by the names that they give it."""

    class Net(type(tiny(fw))):
        pass

    if fw.name == "jax":

        @fw.d2l.add_to_class(Net)
        def training_step(self, params, batch, state):
            (loss, updates), grads = fw.lib.value_and_grad(self.loss, has_aux=True)(
                params, batch[:-1], batch[-1], state
            )
            self.plot("own", loss, train=True)
            return (loss, updates), grads

        @fw.d2l.add_to_class(Net)
        def validation_step(self, params, batch, state):
            self.plot("own", self.loss(params, batch[:-1], batch[-1], state)[0], train=False)

    else:

        @fw.d2l.add_to_class(Net)
        def training_step(self, batch):
            loss = self.loss(self(*batch[:-1]), batch[-1])
            self.plot("own", loss, train=True)
            return loss

        @fw.d2l.add_to_class(Net)
        def validation_step(self, batch):
            self.plot("own", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    plain, own = (curves(fitted(fw, make)) for make in (tiny, lambda fw: Net(0.1)))
    assert set(own) >= {"train_own", "val_own"} and "val_acc" not in own
    for key in ("train", "val"):
        np.testing.assert_allclose(own[f"{key}_own"], plain[f"{key}_loss"], rtol=1e-4)


def test_replaced_loss_and_optimizer_are_those_of_the_run(fw):
    class Net(type(tiny(fw))):
        pass

    plain = Net.loss

    @fw.d2l.add_to_class(Net)
    def loss(self, *args, **kwargs):
        whole = plain(self, *args, **kwargs)
        return (2 * whole[0], whole[1]) if fw.name == "jax" else 2 * whole

    @fw.d2l.add_to_class(Net)
    def configure_optimizers(self):
        chosen.append(fw.adam(self))
        return chosen[-1]

    chosen = []
    trainer = fitted(fw, lambda fw: Net(0.1))
    assert trainer.optim is chosen[-1]
    first, usual = curves(trainer)["train_loss"][0, 1], usual_run(fw)["train_loss"][0, 1]
    assert first == pytest.approx(2 * usual, rel=1e-4)
