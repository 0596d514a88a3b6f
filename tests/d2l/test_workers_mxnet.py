"""Training on several devices in MXNet: the same run as on one. Its CPU contexts are devices of their own."""

from collections import Counter

import numpy as np
import pytest
from contract.examples import Interrupted, seed, tiny
from contract.fixtures import adapter
from test_checkpoints import data_of

from d2l.plotting import to_numpy

pytestmark = pytest.mark.helper

EPOCHS, BATCH_SIZE = 2, 50  # of 256 images: five batches, and one of six
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def fw():
    return adapter("mxnet")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def machine(fw, monkeypatch):
    """Gives the machine so many devices, none of them the one where MXNet puts arrays unasked, as with GPUs."""

    def build(count):
        gpus = [fw.lib.cpu(1 + i) for i in range(count)]
        monkeypatch.setattr("d2l.backends.mxnet.backend.find_gpus", lambda: gpus)
        return gpus

    return build


@pytest.fixture
def fit(fw, machine):
    """Makes a run on as many devices, always from the same random state; gives its trainer."""

    def run(devices, model, data, resume=False, clip=0.5, start=3, **options):
        machine(devices)
        seed(fw, start)
        trainer = fw.d2l.Trainer(EPOCHS, num_gpus=devices, gradient_clip_val=clip, **options)
        trainer.fit(model(), data(trainer) if callable(data) else data, resume=resume)
        return trainer

    return run


def lenet(fw, optimizer="sgd", lr=0.5):
    """A LeNet that plots a number, too, decays weights, and takes down which images it has been trained on where."""

    class LeNet(fw.d2l.LeNet):
        def training_step(self, batch):
            self.plot("rate", self.lr, train=True)
            images = (batch[0].asnumpy() * 255).round().astype(np.uint8)
            self.seen.append((batch[0].ctx, [image.tobytes() for image in images]))
            return super().training_step(batch) + 0.001 * (self.net[-1].weight.data() ** 2).sum()

        def validation_step(self, batch):
            self.validated.add(batch[0].ctx)
            super().validation_step(batch)

        def configure_optimizers(self):
            return fw.lib.gluon.Trainer(self.parameters(), optimizer, {"learning_rate": lr})

    model = LeNet(lr)
    model.seen, model.validated = [], set()
    return model


def weights(trainer):
    return {name: to_numpy(weight) for name, weight in trainer.backend.model_state(trainer.model).items()}


def gaps(trainer, other):
    """The largest differences of two runs: in their parameters, and in their curves."""
    mine, theirs = weights(trainer), weights(other)
    assert mine.keys() == theirs.keys()
    curves, others = trainer.model.board.curves, other.model.board.curves
    assert curves.keys() == others.keys()
    return (
        max(np.abs(mine[name] - theirs[name]).max() for name in mine),
        max(np.abs(np.subtract(curves[label], others[label])).max() for label in curves),
    )


def assert_same_on_all_devices(trainer):
    assert trainer.num_devices == len(trainer.gpus) > 1
    for name, param in trainer.model._collect_params_with_prefix().items():
        first, *others = (param.data(device).asnumpy() for device in trainer.gpus)
        assert all((first == other).all() for other in others), name


@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.5), ("adam", 0.002)])
def test_run_on_several_devices_is_that_of_one(fw, fit, optimizer, lr, devices, measured):
    data = fw.d2l.FashionMNIST(BATCH_SIZE)
    alone, unclipped = (fit(1, lambda: lenet(fw, optimizer, lr), data, clip=clip) for clip in (0.5, 0))
    together = fit(devices, lambda: lenet(fw, optimizer, lr), data)
    parameters, metrics = gaps(together, alone)
    measured(f"MXNet, {devices} devices, {optimizer}: parameters at most {parameters:.1e} from those of one")
    assert parameters < TOLERANCE
    assert metrics < TOLERANCE
    assert gaps(unclipped, alone)[0] > 100 * TOLERANCE
    assert together.model.validated == {*together.gpus}
    assert {"train_loss", "train_rate", "val_loss", "val_acc"} == together.model.board.curves.keys()
    assert_same_on_all_devices(together)

    epochs = np.array_split(np.array(together.model.seen, dtype=object), EPOCHS)
    for epoch in epochs:
        assert {device for device, _ in epoch} == {*together.gpus}
        assert Counter(image for _, images in epoch for image in images) == Counter(
            image.tobytes() for image in data.train.images
        )
    parts = [len(images) for _, images in together.model.seen[:devices]]
    assert sum(parts) == BATCH_SIZE
    assert max(parts) - min(parts) <= 1


def test_batch_of_fewer_examples_than_devices_is_trained_on_by_as_many(fw, fit):
    data = data_of(fw, examples=9)  # 4, 4 and 1, and two batches of 4 to validate on
    alone, together = (fit(devices, lambda: lenet(fw, "adam", 0.01), data) for devices in (1, 4))
    assert [len(images) for _, images in together.model.seen] == [1] * 9 * EPOCHS
    assert max(gaps(together, alone)) < TOLERANCE
    assert_same_on_all_devices(together)


def dropping(fw):
    """A model with dropout, and an optimizer with a state and a schedule."""
    model = tiny(fw, dropout=0.5)

    def configure_optimizers():
        options = {"learning_rate": 0.01, "lr_scheduler": fw.lib.lr_scheduler.FactorScheduler(3, 0.5, base_lr=0.01)}
        return fw.lib.gluon.Trainer(model.parameters(), "adam", options)

    model.configure_optimizers = configure_optimizers
    return model


def interrupt(fw, fit, devices, model):
    """A run that stops in its second epoch, after the second of six batches, with a checkpoint of that place."""
    with pytest.raises(Interrupted):
        fit(devices, model, lambda trainer: data_of(fw, trainer, stop=8), checkpoint_dir="run", every=2)


def test_resumed_run_on_several_devices_is_that_without_the_interruption(fw, fit):
    whole = fit(2, lambda: dropping(fw), data_of(fw), checkpoint_dir="whole", every=2)
    interrupt(fw, fit, 2, lambda: dropping(fw))
    resumed = fit(2, lambda: dropping(fw), data_of(fw), resume=True, start=4, checkpoint_dir="run", every=2)
    assert gaps(resumed, whole) == (0, 0)
    assert_same_on_all_devices(resumed)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_run_is_resumed_on_another_number_of_devices(fw, fit, before, after):
    def model():
        return lenet(fw, "adam", 0.01)

    whole = fit(1, model, data_of(fw), checkpoint_dir="whole", every=2)
    interrupt(fw, fit, before, model)
    resumed = fit(after, model, data_of(fw), resume=True, start=4, checkpoint_dir="run", every=2)
    assert resumed.num_devices == after
    assert max(gaps(resumed, whole)) < TOLERANCE


def test_averages_of_batch_normalization_are_those_of_the_first_device(fw, fit):
    """All devices validate with them, so that the curve is that of the model that is kept."""
    nn, means = fw.lib.gluon.nn, []

    class Normalizing(fw.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.lr, self.net = 0.1, nn.HybridSequential()
            self.net.add(nn.BatchNorm(momentum=0.5), nn.Dense(10))
            self.net.initialize()

        def training_step(self, batch):
            if batch[0].ctx == self.trainer.device:
                means.append(batch[0].mean().item())
            return super().training_step(batch)

    data = data_of(fw)
    trainer = fit(2, Normalizing, data)
    assert_same_on_all_devices(trainer)
    average = 0
    for mean in means:
        average = (average + mean) / 2
    assert weights(trainer)["net.0.running_mean"] == pytest.approx(average, rel=1e-5)

    losses = []
    for X, y in data.val_dataloader():
        X, y = X.as_in_ctx(trainer.device), y.as_in_ctx(trainer.device)
        losses.append(trainer.model.loss(trainer.model(X), y).item())
    assert trainer.model.board.last["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("devices", [1, 2])
def test_model_with_arrays_or_an_optimizer_of_its_own_trains_on_one_device(fw, fit, capsys, devices):
    data = fw.d2l.SyntheticRegressionData(fw.tensor(np.array([2, -3.4], np.float32)), 4.2, batch_size=100)
    trainer = fit(devices, lambda: fw.d2l.LinearRegressionScratch(2, lr=0.5), data, clip=0)
    said = capsys.readouterr().out
    message = (
        "num_gpus=2: training on cpu(1). LinearRegressionScratch has arrays or an optimizer of its own; several "
        "devices take parameters of layers and a gluon.Trainer\n"
    )
    assert said.startswith(message if devices > 1 else "smoke run:")
    assert said.endswith("examples/s on cpu(1) in float32\n")
    assert np.allclose(to_numpy(trainer.model.w).ravel(), [2, -3.4], atol=0.1)

    class OwnOptimizer(fw.d2l.LinearRegression):
        def configure_optimizers(self):
            self(data.X.as_in_ctx(self.trainer.device))  # gives the layer its shape
            return fw.d2l.SGD(
                [self.net.weight.data(self.trainer.device), self.net.bias.data(self.trainer.device)], self.lr
            )

    class OwnArray(fw.d2l.LinearRegression):
        def forward(self, X):
            return self.net(X * self.scale)

    own_array = OwnArray(lr=0.1)
    own_array.scale = fw.tensor(np.ones(2, np.float32))
    for model in (OwnOptimizer(lr=0.1), own_array):
        trainer.fit(model, data)
        assert (f"{type(model).__name__} has arrays or" in capsys.readouterr().out) == (devices > 1)
        assert trainer.num_devices == 1
        assert np.allclose(model.get_w_b()[0].asnumpy(), [2, -3.4], atol=0.1)

    model = fw.d2l.LinearRegression(lr=0.1)
    trainer.fit(model, data)
    assert "has arrays" not in capsys.readouterr().out
    assert trainer.num_devices == devices
    assert np.allclose(model.get_w_b()[0].asnumpy(), [2, -3.4], atol=0.1)


def test_label_that_is_no_class_is_named_whichever_device_has_it(fw, fit):
    X = fw.tensor(np.zeros((8, 1, 28, 28), np.float32))
    y = fw.tensor(np.array([0] * 7 + [10], np.int32))
    batches = [(X, y)]

    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            return batches

    with pytest.raises(ValueError, match="labels from 0 to 10: these are to be whole numbers, 0 to 9") as error:
        fit(4, lambda: lenet(fw), Data())
    assert error.value.__notes__ == [
        "In training step 1 of the run, with a batch of (8, 1, 28, 28) float32, (8,) int32."
    ]


def test_as_many_devices_as_there_are_take_part(fw, machine, capsys):
    gpus = machine(2)
    trainer = fw.d2l.Trainer(1, num_gpus=4)
    assert capsys.readouterr().out == "num_gpus=4: 2 GPU in use, training on 2 x cpu\n"
    assert trainer.gpus == gpus
    assert fw.d2l.Trainer(1, num_gpus=1).gpus == gpus[:1]
    assert fw.d2l.Trainer(1).device == fw.lib.cpu()
    assert not capsys.readouterr().out
