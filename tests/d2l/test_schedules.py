"""Optimizers and learning-rate schedules: what `configure_optimizers` may see and return, and what is resumed of it."""

import random

import numpy as np
import pytest
from contract.adapters import NAMES
from contract.examples import Interrupted, Loaders, Stopping, batches_of, seed, tiny
from contract.fixtures import adapter
from test_checkpoints import files

pytestmark = [pytest.mark.helper, pytest.mark.slow, pytest.mark.usefixtures("full_run")]

EPOCHS, BATCHES, BATCH_SIZE = 3, 4, 4
STOP = BATCHES + 2  # in the middle of the second epoch
FOLDER = "checkpoints"

# What configure_optimizers sees


def shapes_seen(fw, model):
    """The shapes of the parameters that the model sees now, as far as it knows them."""
    if fw.name == "torch":
        return [tuple(parameter.shape) for parameter in model.parameters()]
    if fw.name == "tensorflow":
        return [tuple(variable.shape) for variable in model.trainable_variables]
    if fw.name == "mxnet":
        return [parameter.shape for parameter in model.collect_params().values()]
    return [leaf.shape for leaf in fw.lib.tree.leaves(model.trainer.state.params)]


def test_configure_optimizers_sees_the_parameters_of_lazy_layers(fw):
    model, seen = fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1), []
    plain = type(model).configure_optimizers
    type(model).configure_optimizers = lambda self: seen.extend(shapes_seen(fw, self)) or plain(self)
    fw.d2l.Trainer(1).fit(model, Loaders(batches_of(fw, [4]), batches_of(fw, [4])))
    type(model).configure_optimizers = plain
    assert sorted(np.prod(shape) for shape in seen) == [10, 28 * 28 * 10]


def test_parameter_groups_are_those_asked_for(torch):
    """Weight decay for matrices and none for biases, which lazy layers cannot tell apart."""

    class Net(torch.d2l.SoftmaxRegression):
        def configure_optimizers(self):
            matrices = [parameter for parameter in self.parameters() if parameter.ndim > 1]
            biases = [parameter for parameter in self.parameters() if parameter.ndim == 1]
            return torch.lib.optim.SGD([{"params": matrices, "weight_decay": 0.1}, {"params": biases}], lr=0.1)

    trainer = torch.d2l.Trainer(1)
    trainer.fit(Net(10, 0.1), Loaders(batches_of(torch, [4]), None))
    assert [[p.ndim for p in group["params"]] for group in trainer.optim.param_groups] == [[2], [1]]


def test_a_look_ahead_for_shapes_leaves_the_random_states_as_they_were(torch):
    """Also where the order of the first epoch is drawn for it; the parameters are those drawn in the first step."""
    X = torch.lib.rand(16, 1, 28, 28)
    loader = torch.lib.utils.data.DataLoader([(x, i % 10) for i, x in enumerate(X)], 4, shuffle=True)
    states = []

    def random_states():
        return torch.lib.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    class Net(torch.d2l.SoftmaxRegression):
        def configure_optimizers(self):
            states.append(random_states())
            return super().configure_optimizers()

    before = random_states()
    torch.d2l.Trainer(1).fit(Net(10, 0.1), Loaders(loader, None))
    assert states == [before]


# Schedules that go on where they were


def by_epoch(make):
    """A schedule that takes a step after each epoch: ``make`` gets PyTorch's schedulers and an optimizer."""
    return lambda schedulers, optimizer: (optimizer, make(schedulers, optimizer))


def by_step(make):
    return lambda schedulers, optimizer: (optimizer, {"scheduler": make(schedulers, optimizer), "interval": "step"})


TORCH = {
    "constant": by_epoch(lambda s, optimizer: s.ConstantLR(optimizer, 0.5, total_iters=2)),
    "step": by_epoch(lambda s, optimizer: s.StepLR(optimizer, 1, 0.5)),
    "lambda": by_step(lambda s, optimizer: s.LambdaLR(optimizer, lambda step: 0.9**step)),
    "cosine": by_step(lambda s, optimizer: s.CosineAnnealingLR(optimizer, EPOCHS * BATCHES)),
    "one-cycle": by_step(lambda s, optimizer: s.OneCycleLR(optimizer, 0.2, EPOCHS * BATCHES + 1)),
    "plateau": by_epoch(lambda s, optimizer: s.ReduceLROnPlateau(optimizer, "min", 0.5, patience=0, threshold=9.0)),
    "chained": by_step(
        lambda s, optimizer: s.SequentialLR(
            optimizer, [s.LinearLR(optimizer, 0.1, 1, 3), s.ExponentialLR(optimizer, 0.9)], [3]
        )
    ),
}


def torch_run(torch, configure, folder, stop=None, start=1, resume=False, step=None):
    """The learning rate of each step that was taken, and the weights and curves that the run has come to."""
    seed(torch, start)
    model, rates = tiny(torch), []
    rng = np.random.default_rng(0)
    batches = [
        (
            torch.tensor(rng.random((BATCH_SIZE, *torch.image_shape), np.float32)),
            torch.tensor(rng.integers(0, 10, BATCH_SIZE).astype(torch.label_type)),
        )
        for _ in range(BATCHES)
    ]
    plain = type(model).training_step

    def configure_optimizers(self):
        return configure(torch.lib.optim.lr_scheduler, torch.lib.optim.SGD(self.parameters(), 0.1, momentum=0.9))

    def training_step(self, batch):
        rates.append(self.trainer.optim.param_groups[0]["lr"])
        if step:
            step(self)
        return plain(self, batch)

    type(model).configure_optimizers, type(model).training_step = configure_optimizers, training_step
    trainer = torch.d2l.Trainer(EPOCHS, checkpoint_dir=folder, every=1)
    loader = Stopping(batches, trainer, stop) if stop else batches
    trainer.fit(model, Loaders(loader, batches[:2]), resume=resume)
    return rates, [weight.tolist() for weight in torch.weights(model)], model.board.curves


def resumed_as_unbroken(torch, configure, **arguments):
    """The rates of an unbroken run, after seeing that an interrupted one has them, and its numbers, too."""
    rates, *result = torch_run(torch, configure, "whole", **arguments)
    with pytest.raises(Interrupted):
        torch_run(torch, configure, FOLDER, stop=STOP, **arguments)
    rest, *resumed = torch_run(torch, configure, FOLDER, start=99, resume=True, **arguments)
    assert rest == rates[STOP:]
    assert resumed == result
    return rates


@pytest.mark.parametrize("name", TORCH)
def test_resumed_run_has_the_rates_of_an_unbroken_one(torch, name):
    assert len(set(resumed_as_unbroken(torch, TORCH[name]))) > 1


def test_scheduler_that_the_model_steps_by_itself_is_resumed_too(torch):
    """It is wherever the model keeps it, here in a hook of the optimizer."""

    def configure(schedulers, optimizer):
        scheduler = schedulers.ExponentialLR(optimizer, 0.9)
        optimizer.register_step_post_hook(lambda *_: scheduler.step())
        return optimizer

    rates = resumed_as_unbroken(torch, configure)
    np.testing.assert_allclose(rates, [0.1 * 0.9**step for step in range(EPOCHS * BATCHES)])


def test_schedule_by_step_follows_an_epoch_written_anew(torch):
    """As chapters write it, over the trainer's loader and with a step of their own."""

    class Trainer(torch.d2l.Trainer):
        def fit_epoch(self):
            for batch in self.train_dataloader:
                self.optim.zero_grad()
                self.model.training_step(self.prepare_batch(batch)).backward()
                self.optim.step()
                self.train_batch_idx += 1

    class Net(torch.d2l.SoftmaxRegression):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            scheduler = torch.lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
            return optimizer, {"scheduler": scheduler, "interval": "step"}

    trainer = Trainer(1)
    trainer.fit(Net(10, 0.1), Loaders(batches_of(torch, [4, 4]), None))
    assert trainer.optim.param_groups[0]["lr"] == 0.025
    trainer.optim.step()
    assert trainer.optim.param_groups[0]["lr"] == 0.025


RETURNED = {
    "a pair": lambda optimizer, scheduler: (optimizer, scheduler),
    "lists": lambda optimizer, scheduler: ([optimizer], [scheduler]),
    "one list": lambda optimizer, scheduler: [optimizer, scheduler],
    "a dict": lambda optimizer, scheduler: {"optimizer": optimizer, "lr_scheduler": scheduler},
    "a dict with the interval": lambda optimizer, scheduler: {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"},
    },
}


@pytest.mark.parametrize("form", RETURNED)
def test_returned_schedulers_take_a_step_after_each_epoch(torch, form):
    rates, *_ = torch_run(torch, lambda s, optimizer: RETURNED[form](optimizer, s.StepLR(optimizer, 1, 0.5)), FOLDER)
    np.testing.assert_allclose(rates, np.repeat([0.1, 0.05, 0.025], BATCHES))


def test_plateau_looks_at_the_curve_asked_for(torch, capsys):
    def configure(monitor):
        def make(schedulers, optimizer):
            scheduler = schedulers.ReduceLROnPlateau(optimizer, "max", 0.5, patience=0, threshold=9.0)
            return optimizer, {"scheduler": scheduler, "monitor": monitor}

        return make

    rates, *_ = torch_run(torch, configure("val_acc"), FOLDER)
    assert len(set(rates)) > 1
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau is to look at 'val_f1', and the curves so far are \['tra"):
        torch_run(torch, configure("val_f1"), "other")


WRONG = {
    "no optimizer": (lambda s, optimizer: [s.StepLR(optimizer, 1)], TypeError, "there are here: none"),
    "two optimizers": (lambda s, optimizer: (optimizer, optimizer), TypeError, "there are here: SGD, SGD"),
    "another's scheduler": (
        lambda s, optimizer: (type(optimizer)(optimizer.param_groups[0]["params"], 0.1), s.StepLR(optimizer, 1)),
        ValueError,
        "returned a StepLR of another optimizer",
    ),
    "an unknown interval": (
        lambda s, optimizer: (optimizer, {"scheduler": s.StepLR(optimizer, 1), "interval": "batch"}),
        ValueError,
        "'epoch' or 'step'",
    ),
}


@pytest.mark.fault("configure_optimizers returns no optimizer, several, or a schedule that does not fit it")
@pytest.mark.parametrize("name", WRONG)
def test_optimizer_and_schedule_that_do_not_fit_are_named(torch, name, sees):
    configure, error, message = WRONG[name]
    with pytest.raises(error, match=message) as raised:
        torch_run(torch, configure, FOLDER)
    sees(f"{type(raised.value).__name__}: {raised.value}")


@pytest.mark.fault("configure_optimizers returns a schedule beside the optimizer, where it belongs into the optimizer")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "torch"])
def test_schedule_beside_the_optimizer_is_refused_with_where_it_belongs(name, sees):
    fw = adapter(name)
    model = tiny(fw)
    plain = type(model).configure_optimizers
    type(model).configure_optimizers = lambda self: (plain(self), object())
    with pytest.raises(TypeError, match=r"configure_optimizers returned a tuple of 2: return one optimizer") as raised:
        fw.d2l.Trainer(1).fit(model, Loaders(batches_of(fw, [4]), None))
    sees(f"TypeError: {raised.value}")


@pytest.mark.fault("A run is resumed with another learning-rate schedule, or with none")
def test_resuming_with_another_schedule_names_both(torch, sees):
    torch_run(torch, TORCH["step"], FOLDER)
    with pytest.raises(RuntimeError, match="learning-rate schedulers are StepLR 1 there and none here") as raised:
        torch_run(torch, lambda s, optimizer: optimizer, FOLDER, resume=True)
    sees(f"CheckpointError: {raised.value}")
    with pytest.raises(RuntimeError, match=r"StepLR 1 gamma is 0.5 there and 0.1 here") as raised:
        torch_run(torch, lambda s, optimizer: (optimizer, s.StepLR(optimizer, 1)), FOLDER, resume=True)
    sees(f"CheckpointError: {raised.value}")


@pytest.mark.fault("A checkpoint cannot hold something that the run goes on from")
def test_what_a_checkpoint_cannot_hold_is_said_once(torch, capsys, sees):
    schedulers = torch.lib.optim.lr_scheduler

    class Net(torch.d2l.SoftmaxRegression):
        def __init__(self):
            super().__init__(10, 0.1)
            self.scaler = torch.lib.amp.GradScaler("cpu")
            self.others = [torch.lib.optim.SGD([torch.lib.zeros(1)], 0.1)]
            self.steps = 0

        def configure_optimizers(self):
            optimizer = torch.lib.optim.SGD(self.parameters(), 0.1)
            self.scheduler = schedulers.StepLR(optimizer, 1)
            self.scheduler.note = object()
            return optimizer, self.scheduler

        def training_step(self, batch):
            self.steps += 1
            if self.steps == 1:
                self.late = schedulers.ConstantLR(self.trainer.optim)
            return super().training_step(batch)

    batches = batches_of(torch, [4, 4])
    torch.d2l.Trainer(2, checkpoint_dir=FOLDER, every=1).fit(Net(), Loaders(batches, None))
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Checkpoints cannot hold")]
    assert said == [
        "Checkpoints cannot hold Net.steps (int), Net.scaler (GradScaler), Net.late (ConstantLR), "
        "Net.others[0] (SGD), StepLR 1/note (object): a resumed run has this as it is made anew"
    ]
    sees(said[0])


@pytest.mark.parametrize("kind", ["torch.Generator", "default_rng", "RandomState", "random.Random"])
def test_random_generators_of_ones_own_go_on_where_they_were(torch, kind):
    """In the model, in a loader and deep in its data set; the run is broken off within an epoch."""
    make = {
        "torch.Generator": lambda: torch.lib.Generator().manual_seed(1),
        "default_rng": lambda: np.random.default_rng(1),
        "RandomState": lambda: np.random.RandomState(1),
        "random.Random": lambda: random.Random(1),
    }[kind]

    class Noise:
        def __init__(self):
            self.generator = make()

        def draw(self):
            if kind == "torch.Generator":
                return float(torch.lib.rand((), generator=self.generator))
            return self.generator.random() if hasattr(self.generator, "random") else self.generator.rand()

    class Noisy(torch.lib.utils.data.Dataset):
        def __init__(self):
            self.noise = Noise()

        def __len__(self):
            return BATCHES * BATCH_SIZE

        def __getitem__(self, i):
            return torch.lib.full((1, 28, 28), i / 16 + self.noise.draw()), i % 10

    class Net(torch.d2l.SoftmaxRegression):
        def __init__(self):
            super().__init__(10, 0.1)
            self.noise = Noise()

        def training_step(self, batch):
            return super().training_step((batch[0] * self.noise.draw(), batch[1]))

    def run(folder, stop=None, resume=False):
        seed(torch, 99 if resume else 1)
        order = torch.lib.Generator().manual_seed(2)
        loader = torch.lib.utils.data.DataLoader(Noisy(), BATCH_SIZE, shuffle=True, generator=order)
        model, trainer = Net(), torch.d2l.Trainer(EPOCHS, checkpoint_dir=folder, every=1)
        trainer.fit(model, Loaders(Stopping(loader, trainer, stop), None), resume=resume)
        return [weight.tolist() for weight in torch.weights(model)]

    expected = run("whole")
    with pytest.raises(Interrupted):
        run(FOLDER, stop=STOP)
    assert run(FOLDER, resume=True) == expected


@pytest.mark.fault("A group of parameters was added in the run that is resumed")
def test_groups_added_in_a_run_are_to_be_there_when_it_is_resumed(torch, sees):
    def run(**options):
        model, trainer = tiny(torch), torch.d2l.Trainer(2, checkpoint_dir=FOLDER, every=1)
        trainer.fit(model, Loaders(batches_of(torch, [4]), None), **options)

    def add(self):
        self.trainer.optim.add_param_group({"params": [torch.lib.zeros(1)]})

    seed(torch, 1)
    torch_run(torch, lambda s, optimizer: optimizer, FOLDER, step=add)
    with pytest.raises(RuntimeError, match="Groups of parameters that are added in a run have to be there") as raised:
        torch_run(torch, lambda s, optimizer: optimizer, FOLDER, resume=True)
    sees(f"CheckpointError: {raised.value}")


def test_optimizer_and_scheduler_that_the_model_keeps_are_resumed_in_the_same_process(torch):
    """The scheduler has taken steps by then, which are no other settings."""

    class Net(torch.d2l.Classifier):
        def __init__(self):
            super().__init__()
            self.net = torch.lib.nn.Sequential(torch.lib.nn.Flatten(), torch.lib.nn.Linear(28 * 28, 10))
            self.optimizer = torch.lib.optim.SGD(self.parameters(), 0.1)
            self.scheduler = torch.lib.optim.lr_scheduler.StepLR(self.optimizer, 1, 0.5)

        def configure_optimizers(self):
            return self.optimizer, self.scheduler

    model, batches = Net(), batches_of(torch, [4, 4])
    trainer = torch.d2l.Trainer(3, checkpoint_dir=FOLDER, every=1)
    with pytest.raises(Interrupted):
        trainer.fit(model, Loaders(Stopping(batches, trainer, 3), None))
    trainer.fit(model, Loaders(batches, None), resume=True)
    assert model.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3


# The frameworks whose optimizers have their schedules in themselves


def with_list(mx):
    """A schedule of a reader's own, which keeps a list."""

    class Schedule(mx.lr_scheduler.LRScheduler):
        def __init__(self):
            super().__init__(base_lr=0.1)
            self.steps = []

        def __call__(self, num_update):
            self.steps.append(num_update)
            return 0.1 * 0.5 ** (len(self.steps) // 8)

    return Schedule()


def with_variable(tf):
    """A schedule of a reader's own, which keeps a variable."""

    class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self):
            self.asked = tf.Variable(0.0, trainable=False)

        def __call__(self, step):
            return 0.1 * 0.9 ** self.asked.assign_add(1.0)

    return Schedule()


SCHEDULES = {
    "tensorflow": {
        "step": lambda tf, params: tf.keras.optimizers.SGD(
            tf.keras.optimizers.schedules.PiecewiseConstantDecay([3, 7], [0.1, 0.05, 0.01])
        ),
        "one-cycle": lambda tf, params: tf.keras.optimizers.SGD(
            tf.keras.optimizers.schedules.CosineDecay(0.01, 8, warmup_target=0.1, warmup_steps=4)
        ),
        "a reader's own": lambda tf, params: tf.keras.optimizers.SGD(with_variable(tf)),
    },
    "mxnet": {
        "step": lambda mx, params: _gluon(mx, params, mx.lr_scheduler.MultiFactorScheduler([3, 7], 0.5, base_lr=0.1)),
        "cosine": lambda mx, params: _gluon(mx, params, mx.lr_scheduler.CosineScheduler(12, 0.1)),
        "a reader's own": lambda mx, params: _gluon(mx, params, with_list(mx)),
    },
    "jax": {
        "one-cycle": lambda optax, params: optax.sgd(optax.cosine_onecycle_schedule(12, 0.1)),
        "plateau": lambda optax, params: optax.chain(
            optax.sgd(0.1), optax.contrib.reduce_on_plateau(0.5, patience=1, rtol=1.0)
        ),
    },
}


def _gluon(mx, params, scheduler):
    return mx.gluon.Trainer(params, "sgd", {"lr_scheduler": scheduler})


@pytest.mark.parametrize(("name", "schedule"), [(name, key) for name, own in SCHEDULES.items() for key in own])
def test_schedule_in_the_optimizer_goes_on_where_it_was(name, schedule):
    fw = adapter(name)
    rng = np.random.default_rng(0)
    batches = [
        (
            fw.tensor(rng.random((BATCH_SIZE, *fw.image_shape), np.float32)),
            fw.tensor(rng.integers(0, 10, BATCH_SIZE).astype(fw.label_type)),
        )
        for _ in range(BATCHES)
    ]

    def run(folder, stop=None, start=1, resume=False):
        seed(fw, start)
        model = tiny(fw)
        library = fw.d2l.optax if name == "jax" else fw.lib
        make = SCHEDULES[name][schedule]
        parameters = getattr(model, "parameters", lambda: None)
        type(model).configure_optimizers = lambda self: make(library, parameters())
        trainer = fw.d2l.Trainer(EPOCHS, checkpoint_dir=folder, every=1)
        trainer.fit(model, Loaders(Stopping(batches, trainer, stop) if stop else batches, None), resume=resume)
        return [weight.tolist() for weight in fw.weights(model)]

    expected = run("whole")
    with pytest.raises(Interrupted):
        run(FOLDER, stop=STOP)
    assert files()
    assert run(FOLDER, start=99, resume=True) == expected
