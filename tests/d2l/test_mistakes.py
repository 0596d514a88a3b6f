"""The commonest mistakes name themselves: what was given where, and what is expected in its place."""

import gzip
import importlib
import io
import json
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
from contract.examples import Loaders, batches_of, made, shape_of_images, step_length, tiny
from contract.fixtures import adapter
from safetensors.numpy import save_file

from d2l import input_checks
from d2l.checkpoint_file import CheckpointError, read

pytestmark = [pytest.mark.helper, pytest.mark.usefixtures("full_run")]


def fit(fw, model=None, data=None, epochs=1, **options):
    model = tiny(fw, hidden=2) if model is None else model
    data = Loaders(batches_of(fw, [4]), batches_of(fw, [4])) if data is None else data
    trainer = fw.d2l.Trainer(max_epochs=epochs, **options)
    trainer.fit(model, data)
    return trainer


def changed(fw, **members):
    """The tiny classifier as a class ``Net`` with other members."""
    return type("Net", (type(tiny(fw, hidden=2)),), {"__annotations__": {}, **members})(0.1)


def arrays(fw, n=4, labels=None):
    X = np.random.default_rng(0).random((n, *fw.image_shape), np.float32)
    return X, (np.arange(n) if labels is None else labels).astype(fw.label_type if labels is None else labels.dtype)


def tensors(fw, **options):
    return tuple(map(fw.tensor, arrays(fw, **options)))


def said(error):
    """An error's message with all that was added to it."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def plain_model(fw):
    """A model of the framework's own class."""
    if fw.name == "jax":
        return fw.d2l.nn.Sequential([fw.d2l.nn.Dense(10)])
    return fw.net(2, 0.0)


def own_model(fw):
    """A model with layers of its own and no ``net``."""

    def init(self):
        super(Own, self).__init__()
        self.out = fw.net(2, 0.0)

    def setup(self):
        self.out = fw.d2l.nn.Dense(10)

    def forward(self, X):
        return self.out(X.reshape(len(X), -1))

    made = {"setup": setup} if fw.name == "jax" else {"__init__": init}
    Own = type("Own", (fw.d2l.Classifier,), {"__annotations__": {}, "lr": 0.1, "forward": forward, **made})
    return Own()


def own_loader(fw):
    """A loader of the framework's own class; JAX has none."""
    X, y = arrays(fw)
    if fw.name == "torch":
        return fw.lib.utils.data.DataLoader(fw.lib.utils.data.TensorDataset(*tensors(fw)), 2)
    if fw.name == "tensorflow":
        return fw.lib.data.Dataset.from_tensor_slices((X, y)).batch(2)
    if fw.name == "mxnet":
        return fw.lib.gluon.data.DataLoader(fw.lib.gluon.data.SimpleDataset(list(zip(X, y, strict=True))), 2)
    return batches_of(fw, [2, 2])


# What is given to fit and to load_weights

FOR_DATA = r"for the data: give a d2l\.DataModule"
GIVEN = {
    "swapped": (lambda fw, m, d: (d, m), r"a Loaders of contract first and a Tiny .*: the model comes first"),
    "class of models": (lambda fw, m, d: (fw.d2l.LeNet, d), r"the class LeNet for the model: .*, LeNet\(\.\.\.\)"),
    "class of data": (lambda fw, m, d: (m, fw.d2l.FashionMNIST), r"the class FashionMNIST for the data: .*\(\.\.\.\)"),
    "plain model": (
        lambda fw, m, d: (plain_model(fw), d),
        r"a (Hybrid)?Sequential of \w+ for the model: give a d2l\.Mod",
    ),
    "no model": (lambda fw, m, d: (None, d), r"None for the model: give a d2l\.Module"),
    "no data": (lambda fw, m, d: (m, None), rf"None {FOR_DATA}"),
    "loader": (lambda fw, m, d: (m, own_loader(fw)), rf"an? (DataLoader of|_BatchDataset of|list).* {FOR_DATA}"),
    "generator": (lambda fw, m, d: (m, (batch for batch in [])), rf"a generator {FOR_DATA}"),
    "arrays": (lambda fw, m, d: (m, arrays(fw)), rf"a tuple of 2 {FOR_DATA}"),
}


@pytest.mark.fault("Model and data are swapped, or one of them is something else")
@pytest.mark.parametrize("given", GIVEN)
def test_what_is_no_model_or_no_data_is_named(fw, given, sees):
    make, message = GIVEN[given]
    model, data = make(fw, tiny(fw), Loaders(batches_of(fw, [4]), None))
    with pytest.raises(TypeError, match=rf"fit\(model, data\) got {message}"):
        fw.d2l.Trainer(max_epochs=1).fit(model, data)
    with pytest.raises(TypeError, match=rf"load_weights\(model, data, path\) got {message}") as caught:
        fw.d2l.Trainer(max_epochs=1).load_weights(model, data, "file")
    if fw.name == "torch" and given in ("swapped", "plain model", "loader"):
        sees(f"TypeError: {caught.value}".replace("load_weights(model, data, path)", "fit(model, data)"))


@pytest.mark.slow
def test_model_or_data_of_another_framework_is_named(fw):
    other = adapter("mxnet" if fw.name == "torch" else "torch")
    where = f"made with {other.d2l.__name__}, and the trainer is of {fw.d2l.__name__}"
    with pytest.raises(TypeError, match=where):
        fit(fw, tiny(other))
    with pytest.raises(TypeError, match=where):
        fit(fw, data=type("Data", (other.d2l.DataModule,), {})())


@pytest.mark.parametrize("name", ["val_dataloader", "train_dataloader"])
def test_method_of_data_that_is_missing_or_none_is_named(fw, name):
    data = Loaders(batches_of(fw, [4]), None)
    setattr(data, name, batches_of(fw, [4]))
    with pytest.raises(TypeError, match=rf"Loaders\.{name} is a list of 1: it has to be a method"):
        fit(fw, data=data)
    delattr(data, name)
    expected = r"Loaders has no val_dataloader\(\): .*return None" if name == "val_dataloader" else FOR_DATA
    with pytest.raises(TypeError, match=expected):
        fit(fw, data=data)


def test_path_that_is_none_is_named(fw):
    trainer, data = fw.d2l.Trainer(max_epochs=1), Loaders(batches_of(fw, [4]), None)
    with pytest.raises(TypeError, match=r"load_weights got None for the path: give a checkpoint's file"):
        trainer.load_weights(tiny(fw), data, None)
    for path in (True, 5, ""):
        with pytest.raises(TypeError, match=f"checkpoint_dir={path!r}: give the path of a folder, or None"):
            fw.d2l.Trainer(max_epochs=1, checkpoint_dir=path)


def test_home_folder_is_meant_by_its_sign(monkeypatch, tmp_path):
    fw = adapter("torch")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    trainer = fit(fw, checkpoint_dir="~/run")
    assert (tmp_path / "home" / "run" / "step-00000001.safetensors").is_file()
    data = Loaders(batches_of(fw, [4]), None)
    trainer.load_weights(trainer.model, data, "~/run/step-00000001.safetensors")


# Constructors


@pytest.mark.fault("super().__init__() is forgotten in a model")
def test_forgotten_constructor_of_the_base_class_is_named(fw, sees):
    class Net(fw.d2l.Classifier):
        def __init__(self):
            self.lr = 0.1
            if fw.name in ("torch", "mxnet"):
                self.net = fw.net(2, 0.0)

    if fw.name in ("torch", "mxnet"):  # where layers cannot be set before
        message = r"Net\.__init__ has to call super\(\)\.__init__\(\) before it sets net"
    elif fw.name == "jax":
        message = r"Net is not made as a d2l\.Module: in place of an __init__, declare fields, .* layers in setup\(\)"
    else:
        message = r"Net is not made as a d2l\.Module: its __init__ has to call super\(\)\.__init__\(\) first"
    with pytest.raises(AttributeError, match=message) as caught:
        fit(fw, Net())
    sees(f"AttributeError: {caught.value}")


def test_forgotten_constructors_of_trainer_and_data_are_named(fw):
    class Trainer(fw.d2l.Trainer):
        def __init__(self):
            self.own = 1

    class Data(fw.d2l.DataModule):
        def __init__(self):
            self.tensors = tensors(fw)

        def get_dataloader(self, train):
            return self.get_tensorloader(self.tensors, train)

    with pytest.raises(AttributeError, match=r"Trainer\.__init__ has to call super\(\)\.__init__\(max_epochs\) first"):
        Trainer().fit(tiny(fw), Loaders(batches_of(fw, [4]), None))
    with pytest.raises(AttributeError, match=r"Data has no batch_size: set it in __init__"):
        fit(fw, data=Data())


def test_jax_models_have_no_constructor_of_their_own():
    fw = adapter("jax")

    class Net(fw.d2l.Classifier):
        def __init__(self, lr=0.1):
            super().__init__()
            self.lr = lr

    with pytest.raises(TypeError, match=r"Net has an __init__ of its own, .*: in place of an __init__, declare fields"):
        fit(fw, Net())


def test_mxnet_layers_that_are_not_initialized_are_named():
    fw = adapter("mxnet")
    net = fw.lib.gluon.nn.HybridSequential()
    net.add(fw.lib.gluon.nn.Dense(10))
    model = tiny(fw)
    model.net = net
    with pytest.raises(ValueError, match=r"Tiny has layers that are not initialized: call self\.net\.initialize\(\)"):
        fit(fw, model)


def test_net_that_is_a_list_is_named(fw):
    if fw.name == "torch":
        model = tiny(fw)
        del model.net
        model.net = [fw.net(2, 0.0)]
        with pytest.raises(TypeError, match=r"Tiny\.net is a list of 1: make it a layer, such as a Sequential"):
            model(tensors(fw)[0])
    else:
        model = changed(fw, forward=lambda self, X: (self.net(X), 1))
        with pytest.raises(Exception, match="has no attribute") as caught:
            fit(fw, model)
        assert "see that Net.forward returns one" in said(caught.value)


def test_optimizer_without_parameters_says_where_layers_belong():
    class Net(adapter("torch").d2l.Classifier):
        lr = 0.1

    with pytest.raises(ValueError) as caught:
        fit(adapter("torch"), Net())
    assert "In Net.configure_optimizers." in said(caught.value)
    assert "Net has no parameters: make its layers in __init__" in said(caught.value)


# Loaders and batches


def unknown_length(fw):
    """Loaders that do not know their length, and the advice for each."""
    yield (batch for batch in []), "a generator, .*: return a list of the batches, or an object with the methods"
    if fw.name == "torch":
        stream = type("Stream", (fw.lib.utils.data.IterableDataset,), {"__iter__": lambda self: iter(())})()
        yield fw.lib.utils.data.DataLoader(stream), "a DataLoader of torch, .*: give Stream a method __len__"
    if fw.name == "tensorflow":
        loader = own_loader(fw)
        yield loader.filter(lambda X, y: True), r"a _FilterDataset .*: state it, .*assert_cardinality\(n\)"
        yield loader.repeat(), r"a _RepeatDataset of tensorflow, .*: take a number of them, dataset\.take\(n\)"


@pytest.mark.fault("A loader does not know its length")
def test_loader_without_length_says_how_to_get_one(fw, sees):
    for loader, message in unknown_length(fw):
        for loaders, name in ((Loaders(loader, None), "train"), (Loaders(batches_of(fw, [4]), loader), "val")):
            with pytest.raises(TypeError, match=rf"Loaders\.{name}_dataloader\(\) returned {message}") as caught:
                fit(fw, data=loaders)
        sees(f"TypeError: {caught.value}")


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (None, r"None: return a loader of batches"),
        (5, r"the int 5: return a loader of batches"),
        ({"X": []}, r"a dict with the keys 'X', not batches: return self\.get_tensorloader"),
        ("file", r"the str 'file', not batches"),
        (
            [np.zeros((2, 2)), np.zeros(2)],
            r"a list of 2, not batches: return self\.get_tensorloader\(\(X, y\), train\)",
        ),
        (np.zeros((2, 2)), r"a NumPy array of shape \(2, 2\) and dtype float64, not batches"),
    ],
    ids=str,
)
def test_what_is_no_loader_is_named(fw, loader, message):
    class Data(fw.d2l.DataModule):
        def get_dataloader(self, train):
            return loader

    with pytest.raises(TypeError, match=rf"Data\.get_dataloader\(train=True\) returned {message}"):
        fit(fw, data=Data())


@pytest.mark.fault("A loader can be gone through only once")
@pytest.mark.parametrize("name", ["torch", "mxnet"])
def test_loader_that_is_used_up_is_noticed(name, sees):
    fw = adapter(name)

    class Once:
        batches = iter(batches_of(fw, [4]))
        __len__ = lambda self: 1  # noqa: E731
        __iter__ = lambda self: self.batches  # noqa: E731

    with pytest.raises(
        ValueError, match=r"no training batch in epoch 2: .* only once; have its __iter__ begin anew"
    ) as e:
        fit(fw, data=Loaders(Once(), None), epochs=3)
    sees(f"ValueError: {e.value}")


@pytest.mark.fault("A loader gives another number of batches than it says")
@pytest.mark.parametrize("says", [1, 3])
def test_loader_with_a_wrong_length_is_named_once(fw, capsys, sees, says):
    class Wrong:
        __len__ = lambda self: says  # noqa: E731
        __iter__ = lambda self: iter(batches_of(fw, [4, 4]))  # noqa: E731

    fit(fw, data=Loaders(Wrong(), None), epochs=2)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("The training loader")]
    assert line.startswith(f"The training loader says that it has {says} batches, and gave 2 in epoch 1: ")
    if says == 3:
        sees(line)


def test_batches_that_are_dicts_are_for_a_prepare_batch_that_takes_them(fw):
    class Trainer(fw.d2l.Trainer):
        def prepare_batch(self, batch):
            return super().prepare_batch([batch["image"], batch["label"]])

    ((X, y),) = batches_of(fw, [4])
    model = fw.d2l.SoftmaxRegression(num_outputs=10, lr=0.1)
    Trainer(1).fit(model, Loaders([{"image": X, "label": y}], None))
    assert "train_loss" in model.board.curves


@pytest.mark.fault("The validation loader gives its batches only once")
def test_validation_loader_that_is_used_up_is_noticed(fw, sees):
    class Once:
        batches = iter(batches_of(fw, [4]))
        __len__ = lambda self: 1  # noqa: E731
        __iter__ = lambda self: self.batches  # noqa: E731

    with pytest.raises(ValueError, match=r"no validation batch in epoch 2: .* only once; have its") as caught:
        fit(fw, data=Loaders(batches_of(fw, [4]), Once()), epochs=3)
    sees(f"ValueError: {caught.value}")


NO_BATCH = r"a batch is {}: have the loader give tuples \(X, y\), the inputs first and the target last"


@pytest.mark.fault("A batch is a dict")
@pytest.mark.parametrize("phase", ["training", "validation"])
def test_batch_that_is_none_is_named_with_its_step(fw, sees, phase):
    X, y = tensors(fw)
    given = {
        "a dict with the keys 'image', 'label'": {"image": X, "label": y},
        "a tuple of 0": (),
        "None": None,
    }
    if phase == "validation":  # for which a step has to be compiled first
        del given["None"], given["a tuple of 0"]
    for kind, batch in given.items():
        loaders = Loaders([batch], None) if phase == "training" else Loaders([(X, y)], [batch])
        with pytest.raises(TypeError, match=NO_BATCH.format(kind)) as caught:
            fit(fw, data=loaders)
        if "dict" in kind:
            sees(f"TypeError: {caught.value}")


def test_single_examples_in_place_of_batches_are_named(fw):
    X, y = arrays(fw)
    with pytest.raises(
        TypeError, match=r"the last part of a batch is .* of shape \(\) and dtype int.*: have .* batches"
    ):
        fit(fw, data=Loaders([(fw.tensor(X[0]), fw.tensor(np.asarray(y[0])))], None))


def test_parts_of_a_batch_that_are_no_tensors_are_named(fw):
    X, y = tensors(fw)
    for number, part, kind in (
        (1, [[0.0]] * 4, "a list of 4"),
        (2, [1, 2, 3, 4], "a list of 4"),
        (1, {"a": X}, "a dict"),
    ):
        batch = (part, y) if number == 1 else (X, part)
        with pytest.raises(TypeError, match=rf"part {number} of 2 of a batch is {kind}.*: have the loader give") as e:
            fit(fw, data=Loaders([batch], None))
        assert "In training step 1 of the run" in said(e.value)


FOREIGN = {"torch": "mxnet", "tensorflow": "mxnet", "mxnet": "torch", "jax": "torch"}
KINDS = {"torch": "a PyTorch tensor", "mxnet": "an MXNet array"}


@pytest.mark.slow
@pytest.mark.fault("Tensors of another framework, or NumPy arrays, are in a batch")
def test_tensors_of_another_framework_are_named(fw, sees):
    other = FOREIGN[fw.name]
    batch = tensors(adapter(other))
    kind = rf"{KINDS[other]} of shape \(4, 28, 28, 1\) and dtype float32|{KINDS[other]} of shape \(4, 1, 28, 28\) and"
    with pytest.raises(
        TypeError, match=rf"part 1 of 2 of a batch is ({kind}).*: have the loader give \w+ of"
    ) as caught:
        fit(fw, data=Loaders([batch], None))
    sees(f"TypeError: {caught.value}".replace("(4, 28, 28, 1)", "(4, …)").replace("(4, 1, 28, 28)", "(4, …)"))
    with pytest.raises(
        TypeError, match=rf"Data has ({kind}).* for a loader: give the framework's own tensors or NumPy"
    ):
        data = type("Data", (fw.d2l.DataModule,), {"batch_size": 2})()
        list(data.get_tensorloader(batch, train=False))
    if fw.name in ("torch", "mxnet"):
        with pytest.raises(TypeError, match=r"part 1 of 2 of a batch is a NumPy array of shape \(4, 1, 28, 28\)"):
            fit(fw, data=Loaders([arrays(fw)], None))


@pytest.mark.parametrize("name", ["torch", "mxnet"])
def test_batch_may_be_anything_that_the_trainers_own_method_takes(name):
    """An error of something else is not put down to it."""
    fw = adapter(name)

    class Trainer(fw.d2l.Trainer):
        def prepare_batch(self, batch):
            return super().prepare_batch([fw.tensor(x) for x in batch])

    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        Trainer(max_epochs=1).fit(changed(fw, accuracy=None), Loaders([arrays(fw)], [arrays(fw)]))


def test_tensors_for_a_loader_are_a_tuple_or_list(fw):
    data = type("Data", (fw.d2l.DataModule,), {"batch_size": 2})()
    with pytest.raises(TypeError, match=r"Data\.get_tensorloader got the float 1\.5: give a tuple or list of tensors"):
        data.get_tensorloader(1.5, train=True)


def test_labels_first_and_images_last_are_said(fw):
    X, y = tensors(fw)
    with pytest.raises(Exception) as caught:
        fit(fw, fw.d2l.LeNet(), Loaders([(y, X)], None))
    assert "the inputs first and the target last: these look swapped." in said(caught.value)


def test_batch_of_more_or_fewer_parts_than_the_model_takes_says_what_goes_where(fw):
    X, y = tensors(fw)
    for batch, count in (((X, y, y), 2), ((X,), 0)):
        with pytest.raises(Exception) as caught:
            fit(fw, data=Loaders([batch], None))
        assert f"The model is called with all parts of a batch but the last, which is the target: with {count}" in said(
            caught.value
        )


# Steps

LOSS_STEPS = {
    "nothing": (lambda loss: None, TypeError, "None"),
    "a dict": (lambda loss: {"loss": loss}, TypeError, "a dict with the keys 'loss'"),
    "a tuple": (lambda loss: (loss, 1), TypeError, "a tuple of 2"),
    "a number": (lambda loss: 1.5, TypeError, r"the float 1\.5"),
}


@pytest.mark.fault("training_step returns no loss")
@pytest.mark.parametrize("returned", LOSS_STEPS)
def test_step_that_returns_no_loss_is_named(fw, sees, returned):
    change, error, kind = LOSS_STEPS[returned]
    if fw.name == "jax":
        if returned == "a tuple":
            kind = "a tuple of 2 for the gradients"
            error = ValueError
        step = lambda self, params, batch, state: change(self.loss(params, batch[:-1], batch[-1], state))  # noqa: E731
        expected = r".*: return loss, grads, as jax\.value_and_grad\(self\.loss\) gives them"
        kind = kind if returned != "a tuple" else "the int 1 for the gradients"
    else:
        step = lambda self, batch: change(self.loss(self(*batch[:-1]), batch[-1]))  # noqa: E731
        expected = ": return the loss itself, a scalar tensor"
    with pytest.raises(error, match=rf"Net\.training_step returned {kind}{expected}") as caught:
        fit(fw, changed(fw, training_step=step))
    sees(f"{error.__name__}: {caught.value}")
    assert "In training step 1 of the run, with a batch of" in said(caught.value)


def test_step_that_returns_the_loss_of_each_example_is_named(fw):
    if fw.name == "jax":
        net = changed(fw, loss=lambda self, *args: super(type(self), self).loss(*args, averaged=False))
        message = r"Net\.loss returned a JAX array of shape \(4,\) and dtype float32 first: return \(loss, updates\)"
    else:
        step = lambda self, batch: self.loss(self(batch[0]), batch[1], averaged=False)  # noqa: E731
        net = changed(fw, training_step=step)
        message = (
            r"Net\.training_step returned .* of shape \(4,\) and dtype float32: .*, such as the mean over the batch"
        )
    with pytest.raises((TypeError, ValueError), match=message):
        fit(fw, net)


def test_jax_loss_that_is_none_is_named():
    fw = adapter("jax")
    pair = r": return \(loss, updates\), a scalar array and the updated statistics"
    for value, kind in ((None, "None"), (1.5, r"the float 1\.5"), ({"loss": 1}, "a dict with the keys 'loss'")):
        with pytest.raises(TypeError, match=rf"Net\.loss returned {kind}{pair}"):
            fit(fw, changed(fw, loss=lambda self, *args, value=value, **options: value))

    class Net(fw.d2l.Module):
        lr: float = 0.1
        result: object = None

        def setup(self):
            self.net = fw.d2l.nn.Dense(10)

        def loss(self, params, X, y, state):
            Y_hat = state.apply_fn({"params": params}, *X)
            return (Y_hat.mean(), {}) if self.result == "pair" else Y_hat.mean(axis=(1, 2, 3))

    for result, kind in (
        ("pair", "a tuple of 2: return the loss itself"),
        ("each", r"a JAX array of shape \(4,\) .*mean"),
    ):
        with pytest.raises(TypeError, match=rf"Net\.loss returned {kind}"):
            fit(fw, Net(result=result))


@pytest.mark.fault("A step is written as in another framework")
@pytest.mark.parametrize("name", ["training_step", "validation_step", "loss"])
def test_step_that_takes_other_arguments_is_named(fw, sees, name):
    jax = fw.name == "jax"
    of_others = {
        "training_step": (lambda self, batch: None) if jax else (lambda self, batch, batch_idx: None),
        "validation_step": (lambda self, batch: None) if jax else (lambda self, params, batch, state: None),
        "loss": (lambda self, Y_hat, Y: None) if jax else (lambda self, params, X, y, state: None),
    }
    right = {"loss": "self, params, X, y, state"} if jax else {"loss": "self, y_hat, y"}
    right = right.get(name, "self, params, batch, state" if jax else "self, batch")
    with pytest.raises(
        TypeError, match=rf"Net\.{name}\(self, .*\) does not take .*: define {name}\({right}\)"
    ) as caught:
        fit(fw, changed(fw, **{name: of_others[name]}))
    sees(f"TypeError: {caught.value}")


def test_fit_inside_of_a_step_is_refused(fw):
    net = changed(fw, training_step=lambda self, *_: self.trainer.fit(self, Loaders(batches_of(fw, [4]), None)))
    with pytest.raises(RuntimeError, match=r"a step of Net calls fit\(model, data\), and its trainer is in the middle"):
        fit(fw, net)
    with pytest.raises(TypeError, match="for the data"):  # afterwards it may be called again
        net.trainer.fit(net, None)


def test_error_in_a_step_is_not_preceded_by_a_line_on_its_compilation(fw, capsys):
    def nothing(self, *_):
        return None

    with pytest.raises(TypeError):
        fit(fw, changed(fw, training_step=nothing))
    assert capsys.readouterr().out == ""


def test_loss_that_nothing_can_be_learnt_from_is_named(fw):
    if fw.name == "jax":
        return  # which gives gradients of zero
    cut = {
        "torch": lambda x: x.detach(),
        "mxnet": lambda x: x.detach(),
        "tensorflow": lambda x: fw.lib.stop_gradient(x),
    }
    step = lambda self, batch: cut[fw.name](self.loss(self(batch[0]), batch[1]))  # noqa: E731
    with pytest.raises(Exception) as caught:
        fit(fw, changed(fw, training_step=step))
    assert re.search(r"loss that Net\.training_step returned depends on (no|none)", said(caught.value))
    frozen = made(fw, tiny(fw, hidden=2))
    if fw.name == "tensorflow":
        frozen.net.trainable = False
    else:
        for parameter in frozen.parameters() if fw.name == "torch" else frozen.collect_params().values():
            parameter.requires_grad, parameter.grad_req = False, "null"
    with pytest.raises(Exception) as caught:
        fit(fw, frozen)
    assert re.search(r"Tiny has no variable to train|depends on no parameter with a gradient", said(caught.value))


@pytest.mark.parametrize("name", ["torch", "mxnet"])
def test_step_that_takes_the_gradients_itself_is_named(name):
    def step(self, batch):
        loss = self.loss(self(batch[0]), batch[1])
        loss.backward()
        return loss

    with pytest.raises(Exception) as caught:
        fit(adapter(name), changed(adapter(name), training_step=step))
    assert re.search("return the loss only: the trainer takes|return it as it is", said(caught.value))


# What is plotted


def test_what_cannot_be_plotted_is_named(fw):
    def plotting(*arguments):
        step = lambda self, *_: self.plot(*arguments, train=True)  # noqa: E731
        return changed(fw, training_step=step)

    for value, kind in ((None, "None"), ("high", "the str 'high'"), ({"a": 1}, "a dict with the keys 'a'")):
        with pytest.raises(
            TypeError, match=rf"Net plots {kind} as 'loss': give a name and one number, .*, which its loss"
        ):
            fit(fw, plotting("loss", value))
    with pytest.raises(TypeError, match=r"Net plots the float 1\.0 as None: give a name and one number"):
        fit(fw, plotting(None, 1.0))
    with pytest.raises(AttributeError) as caught:
        fit(fw, changed(fw, training_step=lambda self, *_: self.log("loss", 1.0)))
    assert "A curve is drawn with self.plot(key, value, train=True)." in said(caught.value)


@pytest.mark.fault("plot_train_per_epoch is 0")
@pytest.mark.parametrize("name", ["plot_train_per_epoch", "plot_valid_per_epoch"])
def test_numbers_of_points_that_are_none_are_named(fw, sees, name):
    for points in (0, -1, 2.5, "2", None):
        model = tiny(fw, hidden=2)
        setattr(model, name, points)
        with pytest.raises(ValueError, match=rf"Tiny\.{name}={points!r}: give a whole number, 1 or more") as caught:
            fit(fw, model)
        if points == 0 and "train" in name:
            sees(f"ValueError: {caught.value}")


# Optimizers


@pytest.mark.fault("configure_optimizers returns no optimizer")
def test_what_is_no_optimizer_is_named(fw, sees):
    example = {"torch": "torch.optim.SGD", "tensorflow": "tf.keras", "mxnet": "gluon.Trainer", "jax": "optax.sgd"}
    for returned, kind in (
        (None, "None"),
        ("sgd", "the str 'sgd'"),
        ({"optimizer": 1}, "a dict with the keys 'optimizer'"),
        (fw.d2l.SGD, "the class SGD, which lacks"),
        (0.1, r"the float 0\.1"),
    ):
        net = changed(fw, configure_optimizers=lambda self, returned=returned: returned)
        message = rf"Net\.configure_optimizers returned {kind}.*: return one optimizer, such as {example[fw.name]}"
        with pytest.raises(TypeError, match=message) as caught:
            fit(fw, net)
        if returned is None:
            sees(f"TypeError: {caught.value}")


@pytest.mark.fault("A model has no learning rate")
def test_learning_rates_that_are_none_are_named(fw, sees):
    for lr, error, message in (
        ("0.1", TypeError, "is the str '0.1': give a number"),
        (None, TypeError, "is None: give a number"),
        (True, TypeError, "is the bool True: give a number"),
        (-0.1, ValueError, "=-0.1: give a learning rate of 0 or more"),
        (float("nan"), ValueError, "=nan: give a learning rate of 0 or more"),
    ):
        with pytest.raises(error, match=rf"Tiny\.lr ?{re.escape(message)}"):
            fit(fw, tiny(fw, lr=lr))
    Net = type("Net", (fw.d2l.Classifier,), {})
    with pytest.raises(AttributeError, match=r"Net has no lr for configure_optimizers: .*; or define") as caught:
        Net().configure_optimizers()
    sees(f"AttributeError: {caught.value}")


@pytest.mark.parametrize("name", ["torch", "mxnet"])
def test_optimizer_of_another_models_parameters_is_named(name):
    fw = adapter(name)
    other = made(fw, tiny(fw))
    net = changed(fw, configure_optimizers=lambda self: other.configure_optimizers())
    with pytest.raises(ValueError, match=r"the optimizer of Net\.configure_optimizers has none of this model's"):
        fit(fw, net)


def test_optimizer_may_have_tensors_of_the_model_that_are_no_parameters():
    fw = adapter("torch")

    class Net(fw.d2l.Module):
        def __init__(self):
            super().__init__()
            self.w = fw.lib.zeros(1, requires_grad=True)

        def forward(self, X):
            return X.mean() * self.w

        def loss(self, y_hat, y):
            return (y_hat - 1).square().mean()

        def configure_optimizers(self):
            return fw.lib.optim.SGD([self.w], lr=0.1)

    assert fit(fw, Net()).model.w.item() > 0


def test_parameters_that_were_not_called_are_named():
    fw = adapter("torch")
    net = changed(fw, configure_optimizers=lambda self: fw.lib.optim.SGD(self.parameters, lr=0.1))
    with pytest.raises(TypeError) as caught:
        fit(fw, net)
    assert "A method has to be called: self.parameters()." in said(caught.value)


# Labels and inputs


@pytest.mark.fault("Labels are one-hot vectors")
def test_labels_of_another_shape_are_named(fw, sees):
    for labels, rest in ((np.eye(10)[:4].astype(fw.label_type), r"y\.argmax\(-1\)"), (np.arange(3), "each example")):
        batch = tensors(fw, labels=labels)
        message = rf"labels of shape {re.escape(str(labels.shape))} for outputs of shape \(4, 10\).*{rest}"
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            fit(fw, data=Loaders([batch], None))
        if labels.ndim == 2:
            sees(f"{type(caught.value).__name__}: {caught.value}")


@pytest.mark.parametrize("dtype", ["bool", "float32"])
def test_labels_of_another_dtype_are_named(fw, dtype):
    if fw.name == "tensorflow" or (fw.name == "mxnet" and dtype == "float32"):
        return  # which take whole numbers of any dtype
    batch = tensors(fw, labels=np.array([0, 1, 1, 0], dtype))
    with pytest.raises((TypeError, ValueError), match=f"labels of dtype {dtype}: give class numbers as whole numbers"):
        fit(fw, data=Loaders([batch], None))


def test_tensorflows_labels_between_two_classes_are_not_taken_for_one():
    fw = adapter("tensorflow")
    batch = tensors(fw, labels=np.array([0, 0.5, 1, 2], np.float32))
    with pytest.raises(FloatingPointError, match="Labels that are no class number"):
        fit(fw, data=Loaders([batch], None))


def test_number_of_classes_is_named_where_a_label_is_none_of_them():
    fw = adapter("torch")
    with pytest.raises(IndexError, match=r"Target 10 is out of bounds\. The model has 10 classes, numbered from 0"):
        fit(fw, data=Loaders([tensors(fw, labels=np.array([1, 2, 3, 10]))], None))


def test_what_a_model_cannot_be_called_with_is_named(fw):
    model, X = made(fw, tiny(fw, hidden=2)), arrays(fw)[0]
    foreign = {"torch": X, "mxnet": X, "jax": X.tolist(), "tensorflow": adapter("mxnet").tensor(X)}[fw.name]
    kind = r"a list of 4|(a NumPy|an MXNet) array of shape \(4, (1, 28, 28|28, 28, 1)\) and dtype float32"
    with pytest.raises(TypeError, match=rf"Tiny was called with ({kind}): give it .*\(X\)"):
        fw.predict(model, foreign)


@pytest.mark.parametrize("name", ["torch", "mxnet"])
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_images_of_another_dtype_than_the_parameters_are_named(name, dtype):
    fw = adapter(name)
    X, y = arrays(fw)
    message = rf"Tiny was called with .* and dtype {dtype}, and its parameters are of dtype float32: convert one"
    with pytest.raises(TypeError, match=message):
        fit(fw, data=Loaders([(fw.tensor(X.astype(dtype)), fw.tensor(y))], None))


# The order of axes


def other_order(fw, n=1, size=28):
    """The shape of grey images with their channels where the framework has them not."""
    return (n, 1, size, size) if fw.channel_axis == 3 else (n, size, size, 1)


@pytest.mark.quick
@pytest.mark.parametrize(("channels", "is_image"), [(1, True), (2, False), (3, True), (4, False)])
def test_grey_and_coloured_images_are_known_by_their_channels(channels, is_image):
    """Axes of other lengths may be of whatever a model takes."""
    for given, channel_axis, right in [
        ((8, 32, 32, channels), 1, (8, channels, 32, 32)),
        ((8, channels, 32, 32), 3, (8, 32, 32, channels)),
        ((32, 32, channels), 1, (1, channels, 32, 32)),
    ]:
        said = input_checks.layout(given, channel_axis) or ""
        assert (f"would be {right}" in said) == is_image


@pytest.mark.fault("Images have their channels last where they belong first, or the reverse")
def test_other_order_of_axes_is_named_and_said(fw, sees, capsys):
    batch = fw.tensor(np.zeros(other_order(fw, 4), np.float32)), tensors(fw)[1]
    would_be = re.escape(f"{other_order(fw, 4)} would be {shape_of_images(fw, 1, 28, 4)}, if its channels are")
    with pytest.raises(Exception) as caught:
        fit(fw, fw.d2l.LeNet(), Loaders([batch], None))
    assert re.search(would_be, said(caught.value))
    (hint,) = (line for line in said(caught.value).splitlines() if line.startswith("Images are"))
    sees(f"(the framework's own error) {hint}")
    capsys.readouterr()
    fit(fw, data=Loaders([batch], None))  # a model without convolutions takes it
    assert len(re.findall(would_be, capsys.readouterr().out)) == 1
    assert input_checks.layout(shape_of_images(fw, 1, 28, 4), fw.channel_axis) is None


@pytest.mark.fault("layer_table is given a shape that the layers do not take")
def test_shape_that_layers_do_not_take_leaves_the_model_as_it_was(fw, sees):
    model = fw.d2l.LeNet()
    small = shape_of_images(fw, 1, 4)
    for call in (model.layer_table, model.layer_summary):
        for shape in (other_order(fw), small):
            with pytest.raises(Exception) as caught:
                call(shape)
            assert f"LeNet's layers were given an input of shape {shape}." in caught.value.__notes__
    table = model.layer_table(shape_of_images(fw, 1, 28))
    assert table.total.parameters == 61706
    with pytest.raises(Exception) as caught:
        model.layer_table(other_order(fw))
    assert any(f"would be {shape_of_images(fw, 1, 28)}, if its channels are" in note for note in caught.value.__notes__)
    assert model.layer_table(shape_of_images(fw, 1, 28)) == table
    sees("(the framework's own error) " + " ".join(n for n in caught.value.__notes__ if re.match("LeNet|Images", n)))


def test_layer_table_draws_the_numbers_of_a_first_pass_and_no_others():
    fw = adapter("torch")
    weights = []
    for shapes in ([], [other_order(fw)], [shape_of_images(fw, 1, 4), other_order(fw)]):
        fw.seed(1)
        model = fw.d2l.LeNet()
        for shape in shapes:
            with pytest.raises(RuntimeError):
                model.layer_table(shape)
        model.layer_table(shape_of_images(fw, 1, 28))
        weights.append(fw.weights(model))
    assert step_length(weights[0], weights[1]) == step_length(weights[0], weights[2]) == 0


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (28, TypeError, "X_shape is the int 28: give the shape of a batch"),
        ((None, 28), TypeError, "X_shape is a tuple of 2: give the shape of a batch"),
        ("1, 28", TypeError, "X_shape is the str '1, 28': give the shape of a batch"),
        ((0, 28, 28, 1), ValueError, r"X_shape=\(0, 28, 28, 1\): give sizes of 1 or more"),
    ],
)
def test_shape_that_is_none_is_named(fw, shape, error, message):
    with pytest.raises(error, match=message):
        fw.d2l.LeNet().layer_table(shape)


def test_shape_without_an_axis_of_examples_is_named(fw):
    with pytest.raises(Exception) as caught:
        fw.d2l.LeNet().layer_table(shape_of_images(fw, 1, 28)[1:])
    assert re.search(r"has no axis of (examples|channels), and would be", said(caught.value))


def test_model_without_net_has_no_layers_to_list(fw):
    with pytest.raises(
        AttributeError, match=r"Own has no self\.net: layer_summary and layer_table are for a model whose"
    ):
        own_model(fw).layer_summary((1, *fw.image_shape))


# Predictions in JAX


def test_jax_model_says_how_to_predict():
    fw = adapter("jax")
    X, y = tensors(fw)

    class Net(fw.d2l.Classifier):
        lr: float = 0.1
        training: bool = True

        def setup(self):
            norm = fw.d2l.nn.BatchNorm(use_running_average=not self.training)
            self.net = fw.d2l.nn.Sequential([lambda X: X.reshape(len(X), -1), fw.d2l.nn.Dense(10), norm])

    for model in (tiny(fw), own_model(fw)):
        with pytest.raises(
            RuntimeError, match=r"holds no parameters: fit it, or predict with model\.apply\(variables, X"
        ):
            model(X)
    for model in (tiny(fw, dropout=0.5, hidden=2), Net()):
        trainer = fit(fw, model, Loaders([(X, y)], [(X, y)]))
        for call in (model, model.forward):
            with pytest.raises(RuntimeError, match="holds no parameters, its trainer does: predict with") as caught:
                call(X)
        told = re.search(r"predict with (.*\), X\)|.*\}, X\))\.", str(caught.value))[1]
        assert ("batch_stats" in told) == isinstance(model, Net)
        variables = {"params": trainer.state.params, "batch_stats": trainer.state.batch_stats}
        asked = {name: variables[name] for name in re.findall(r"'(\w+)':", told)}
        assert told.startswith("model.apply(")
        assert model.apply(asked, X).shape == (4, 10)
        model.training = True
        with pytest.raises(RuntimeError, match=r"predict with model\.clone\(training=False\)\.apply"):
            model(X)


def test_jax_names_what_is_missing_for_batch_normalization_where_it_is_missing():
    fw = adapter("jax")
    nn, batch = fw.d2l.nn, tensors(fw)

    class Net(fw.d2l.Classifier):
        lr: float = 0.1
        training: bool = True

        def setup(self):
            norm = nn.BatchNorm(use_running_average=not self.training)
            self.net = nn.Sequential([lambda X: X.reshape(len(X), -1), nn.Dense(10), norm])

    class AlwaysOfTheBatch(fw.d2l.Classifier):
        lr: float = 0.1

        @nn.compact
        def __call__(self, X, train=True):
            return nn.Dense(10)(nn.BatchNorm(use_running_average=not train)(X).reshape(len(X), -1))

    def outputs(self, params, batch, state):
        self.plot("mean", state.apply_fn({"params": params}, batch[0]).mean(), train=False)

    def loss(self, params, X, y, state):
        return state.apply_fn({"params": params, "batch_stats": state.batch_stats}, *X).mean(), {}

    without = type("Without", (Net,), {"__annotations__": {}, "validation_step": outputs})
    immutable = type("Immutable", (Net,), {"__annotations__": {}, "loss": loss})
    for model, val, said_of_it in (
        (
            AlwaysOfTheBatch(),
            [batch],
            "declare training: bool = True in AlwaysOfTheBatch, and give the layer use_running",
        ),
        (without(), [batch], "In Without.validation_step, give the model its statistics, too: {'params': params, 'bat"),
        (immutable(), None, "In the loss, give the model {'params': params, 'batch_stats': state.batch_stats} and mut"),
    ):
        with pytest.raises(Exception) as caught:
            fit(fw, model, Loaders([batch], val))
        (note,) = [note for note in caught.value.__notes__ if "give the" in note]
        assert said_of_it in note


def test_jax_key_that_is_none_is_named():
    fw = adapter("jax")
    with pytest.raises(TypeError, match=r"got the int 42 for the key: give jax\.random\.PRNGKey\(0\), or none"):
        fw.d2l.Trainer(max_epochs=1).fit(tiny(fw), Loaders(batches_of(fw, [4]), None), 42)


def test_jax_model_without_layers_is_named():
    fw = adapter("jax")
    with pytest.raises(ValueError, match=r"Net has no parameters: make its layers in setup\(\)"):
        fit(fw, changed(fw, forward=lambda self, X: X))


def test_jax_gradients_and_statistics_that_are_none_are_named():
    fw = adapter("jax")

    def step(self, params, batch, state):
        return self.loss(params, batch[:-1], batch[-1], state), {}

    with pytest.raises(
        ValueError, match="a dict with the keys none for the gradients, which are none of all parameters"
    ):
        fit(fw, changed(fw, training_step=step))


# Files that are no checkpoints


def write(path, name):
    """Write a file as another program would."""
    X = np.zeros(2, np.float32)
    if name == "torch.save":
        importlib.import_module("torch").save({"a": 1}, path)
    elif name == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif name == "numpy.savez":
        with path.open("wb") as file:
            np.savez(file, a=X)
    elif name == "numpy.save":
        with path.open("wb") as file:
            np.save(file, X)
    elif name == "keras":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("config.json", "{}")
    elif name == "tar":
        with tarfile.open(path, "w") as file:
            file.addfile(tarfile.TarInfo("a"), io.BytesIO())
    elif name == "safetensors":
        save_file({"a": X}, path)
    elif name == "folder":
        path.mkdir()
    else:
        path.write_bytes(WRITTEN[name])


WRITTEN = {
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "mxnet": b"\x12\x01" + bytes(14) + b"\x01",
    "flax": b"\x81\xa1a\xc7",
    "gzip": gzip.compress(b"a"),
    "lfs": b"version https://git-lfs.github.com/spec/v1\n",
    "html": b"<!DOCTYPE html><html>",
    "json": json.dumps({"a": 1}).encode(),
    "empty": b"",
}
FILES = {
    "torch.save": r"a file of torch\.save \(torch\.load\(path, weights_only=True\) reads it\)",
    "pickle": "a pickle, such as an older torch.save makes",
    "numpy.savez": "an .npz file of NumPy",
    "numpy.save": "an array of NumPy",
    "keras": "a .keras file",
    "tar": "a tar file",
    "folder": "a folder",
    "hdf5": "an HDF5 file, such as Keras's weights.h5",
    "mxnet": "a .params file of MXNet",
    "flax": "a MessagePack file, as Flax makes",
    "gzip": "a gzip file",
    "lfs": "a pointer of Git LFS",
    "html": "an HTML page, perhaps of a download that failed",
    "json": "a JSON file",
    "empty": "an empty file",
    "safetensors": "a safetensors file of another program",
}


@pytest.mark.fault("A file of torch.save, or of another program, is given for a checkpoint")
@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_checkpoint_says_what_it_is(tmp_path, sees, name):
    path = tmp_path / "file"
    write(path, name)
    with pytest.raises(CheckpointError, match=rf"file: .*{FILES[name]}") as caught:
        read(path)
    if name in ("torch.save", "safetensors"):
        sees(f"CheckpointError: {caught.value}")


def test_file_of_nothing_known_keeps_its_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello, this is a text")
    with pytest.raises(CheckpointError, match="Error while deserializing header"):
        read(path)
    with pytest.raises(CheckpointError, match="No such file"):
        read(tmp_path / "other")


@pytest.mark.parametrize("length", [0x10280, 0x88B1F, 0x1A181, 0x7B, 0x112])
def test_damaged_checkpoint_is_not_taken_for_another_kind_of_file(tmp_path, length):
    """Whatever the length of its header, with which it begins."""
    path = tmp_path / "file"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a": 1' + bytes(length))
    with pytest.raises(CheckpointError, match="Error while deserializing header"):
        read(path)
