"""The four frameworks compute the same function: one set of weights, carried into each, gives the same numbers.

Weights are kept in PyTorch's layout: convolutions (out, in, height, width), dense layers (out, in) on inputs flattened
as (channels, height, width). The other layouts are made from it and turned back into it.
"""

import importlib
import importlib.util

import numpy as np
import pytest

from d2l.data import load_fashion_mnist, resize_matrix
from d2l.plotting import to_numpy
from d2l.profile import Profile

TABS = ("torch", "tensorflow", "mxnet", "jax")
MISSING = [tab for tab in TABS if importlib.util.find_spec(tab) is None]
# Layers with weights: shape of the weight, and the shape (channels, height, width) of an input that is flattened.
ALEXNET = [
    ((96, 1, 11, 11), None),
    ((256, 96, 5, 5), None),
    ((384, 256, 3, 3), None),
    ((384, 384, 3, 3), None),
    ((256, 384, 3, 3), None),
    ((4096, 6400), (256, 5, 5)),
    ((4096, 4096), None),
    ((10, 4096), None),
]
LENET = [
    ((6, 1, 5, 5), None),
    ((16, 6, 5, 5), None),
    ((120, 400), (16, 5, 5)),
    ((84, 120), None),
    ((10, 84), None),
]
NETWORKS = {"AlexNet": (ALEXNET, 224), "LeNet": (LENET, 28)}

pytestmark = [
    pytest.mark.helper,
    pytest.mark.skipif(bool(MISSING), reason=f"needs all four frameworks; not installed: {MISSING}"),
]


def channels_last(weight, flattened):
    """A weight in the layout of TensorFlow and JAX: (height, width, in, out) or (in, out)."""
    if weight.ndim == 4:
        return weight.transpose(2, 3, 1, 0)
    if flattened:
        weight = weight.reshape(-1, *flattened).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    return weight.T


def channels_first(weight, flattened):
    """The inverse of `channels_last`."""
    if weight.ndim == 4:
        return weight.transpose(3, 2, 0, 1)
    weight = weight.T
    if flattened:
        channels, height, width = flattened
        weight = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(len(weight), -1)
    return weight


class Torch:
    """What the tests do with a model; the same methods follow for the other frameworks."""

    def __init__(self):
        self.torch = importlib.import_module("torch")
        self.d2l = importlib.import_module("d2l.torch")

    def tensor(self, images):
        return self.torch.from_numpy(images)

    def labels(self, labels):
        return self.torch.from_numpy(labels).long()

    def model(self, network, weights):
        model = getattr(self.d2l, network)(lr=0.01)
        model(self.torch.zeros(1, 1, *[NETWORKS[network][1]] * 2))
        with self.torch.no_grad():
            for parameter, value in zip(model.parameters(), weights, strict=True):
                parameter.copy_(self.torch.from_numpy(value))
        return model.eval()

    def logits_loss_gradients(self, model, X, y):
        logits = model(X)
        loss = model.loss(logits, y)
        loss.backward()
        return to_numpy(logits), loss.item(), [to_numpy(p.grad) for p in model.parameters()]

    def trainer(self):
        class WithoutDropout(self.d2l.Trainer):
            def _set_training(self, training):
                super()._set_training(False)

        return WithoutDropout(max_epochs=1)

    def weights(self, model, layers):
        return [to_numpy(p) for p in model.parameters()]


class TensorFlow(Torch):
    def __init__(self):
        self.tf = importlib.import_module("tensorflow")
        self.d2l = importlib.import_module("d2l.tensorflow")

    def tensor(self, images):
        return self.tf.constant(images.transpose(0, 2, 3, 1))

    def labels(self, labels):
        return self.tf.constant(labels, self.tf.int32)

    def model(self, network, weights):
        layers, size = NETWORKS[network]
        model = getattr(self.d2l, network)(lr=0.01)
        model(self.tf.zeros((1, size, size, 1)))
        model.set_weights(self.turned(channels_last, weights, layers))
        return model

    def logits_loss_gradients(self, model, X, y):
        layers = next(layers for layers, _ in NETWORKS.values() if 2 * len(layers) == len(model.trainable_variables))
        with self.tf.GradientTape() as tape:
            logits = model(X, training=False)
            loss = model.loss(logits, y)
        gradients = [to_numpy(g) for g in tape.gradient(loss, model.trainable_variables)]
        return to_numpy(logits), float(loss), self.turned(channels_first, gradients, layers)

    def weights(self, model, layers):
        return self.turned(channels_first, model.get_weights(), layers)

    @staticmethod
    def turned(turn, values, layers):
        """Weights and biases, one after another, with the weights turned into another layout."""
        pairs = zip(values[::2], values[1::2], layers, strict=True)
        return [part for weight, bias, (_, flattened) in pairs for part in (turn(weight, flattened), bias)]


class MXNet(Torch):
    def __init__(self):
        self.d2l = importlib.import_module("d2l.mxnet")
        self.mx = importlib.import_module("mxnet")

    def tensor(self, images):
        return self.mx.np.array(images)

    def labels(self, labels):
        return self.mx.np.array(labels, dtype="int32")

    def model(self, network, weights):
        model = getattr(self.d2l, network)(lr=0.01)
        model(self.mx.np.zeros((1, 1, *[NETWORKS[network][1]] * 2)))
        for parameter, value in zip(model.collect_params().values(), weights, strict=True):
            parameter.set_data(self.mx.np.array(value))
        return model

    def logits_loss_gradients(self, model, X, y):
        # Recorded in evaluation mode, MXNet 1.9.1 loses where a maximum was, and max-pooling gets wrong gradients.
        self.remove_dropout(model)
        with self.mx.autograd.record():
            logits = model(X)
            loss = model.loss(logits, y)
        loss.backward()
        return to_numpy(logits), loss.item(), [to_numpy(p.grad()) for p in model.collect_params().values()]

    def trainer(self):
        adapter = self

        class WithoutDropout(self.d2l.Trainer):
            def prepare_model(self, model):
                super().prepare_model(model)
                adapter.remove_dropout(model)

        return WithoutDropout(max_epochs=1)

    @staticmethod
    def remove_dropout(model):
        for layer in model.net:
            if hasattr(layer, "_rate"):
                layer._rate = 0

    def weights(self, model, layers):
        return [to_numpy(p.data()) for p in model.collect_params().values()]


class JAX(TensorFlow):
    def __init__(self):
        self.jax = importlib.import_module("jax")
        self.d2l = importlib.import_module("d2l.jax")

    def tensor(self, images):
        return self.jax.numpy.asarray(images.transpose(0, 2, 3, 1))

    def labels(self, labels):
        return self.jax.numpy.asarray(labels, "int32")

    def model(self, network, weights):
        layers, size = NETWORKS[network]
        model = getattr(self.d2l, network)(lr=0.01)
        variables = model.init(self.jax.random.PRNGKey(0), self.jax.numpy.zeros((1, size, size, 1)))
        names = sorted(variables["params"]["net"], key=lambda name: int(name.removeprefix("layers_")))
        values = self.turned(channels_last, weights, layers)
        params = {
            name: {"kernel": self.jax.numpy.asarray(kernel), "bias": self.jax.numpy.asarray(bias)}
            for name, kernel, bias in zip(names, values[::2], values[1::2], strict=True)
        }
        object.__setattr__(model, "names", names)
        object.__setattr__(model, "apply_init", lambda inputs, key: {"params": {"net": params}})
        return model

    def logits_loss_gradients(self, model, X, y):
        layers = next(layers for layers, _ in NETWORKS.values() if len(layers) == len(model.names))
        params = model.apply_init(None, None)["params"]
        apply_fn = (model.clone(training=False) if hasattr(model, "training") else model.clone()).apply
        state = self.d2l.TrainState.create(
            apply_fn=apply_fn,
            params=params,
            tx=model.configure_optimizers(),
            batch_stats={},
            dropout_rng=self.jax.random.PRNGKey(0),
        )
        (loss, _), gradients = self.jax.value_and_grad(model.loss, has_aux=True)(params, (X,), y, state)
        return to_numpy(apply_fn({"params": params}, X)), float(loss), self.listed(gradients, model, layers)

    def weights(self, model, layers):
        return self.listed(model.trainer.state.params, model, layers)

    def listed(self, params, model, layers):
        """A tree of parameters as a list in the common layout."""
        values = [np.array(params["net"][name][part]) for name in model.names for part in ("kernel", "bias")]
        return self.turned(channels_first, values, layers)


@pytest.fixture(scope="module")
def frameworks():
    return {"torch": Torch(), "tensorflow": TensorFlow(), "mxnet": MXNet(), "jax": JAX()}


@pytest.fixture(scope="module")
def images():
    """The sample's validation images."""
    return load_fashion_mnist("", Profile(smoke=True))[1]


def resized(images, size):
    rows = resize_matrix(size, 28)
    return (rows @ (images.astype(np.float32) / 255) @ rows.T)[:, None].astype(np.float32)


def noisy(X):
    """Images without a flat background, where max-pooling finds many equal values and rounding chooses."""
    return (X + 0.2 * np.random.default_rng(0).random(X.shape)).astype(np.float32)


def glorot(layers):
    """Weights and small biases for each layer, one after another."""
    rng = np.random.default_rng(1)
    values = []
    for shape, _ in layers:
        receptive = int(np.prod(shape[2:]))
        bound = np.sqrt(6 / (receptive * (shape[0] + shape[1])))
        values.append(rng.uniform(-bound, bound, shape).astype(np.float32))
        values.append(rng.uniform(-0.1, 0.1, shape[0]).astype(np.float32))
    return values


def difference(ours, theirs):
    """Largest difference, relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def distance(ours, theirs):
    """Euclidean distance of two lists of parameters."""
    return float(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(ours, theirs, strict=True))))


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_loss_and_gradients_agree(frameworks, images, network, measured):
    """A gradient jumps where two values in a pooling window, or a value and zero, change places.

    In 32 bits rounding alone may do that. The image for the gradients was chosen because in it no such two values of
    AlexNet are closer than a millionth of the largest value of their layer.
    """
    layers, size = NETWORKS[network]
    weights = glorot(layers)
    several, one = slice(0, 8), slice(69, 70)
    logits, losses, gradients = {}, {}, {}
    for name, framework in frameworks.items():
        model = framework.model(network, weights)
        X, y = resized(images.images[several], size), images.labels[several].astype(np.int64)
        logits[name], losses[name], _ = framework.logits_loss_gradients(model, framework.tensor(X), framework.labels(y))
        X, y = noisy(resized(images.images[one], size)), images.labels[one].astype(np.int64)
        model = framework.model(network, weights)
        _, _, gradients[name] = framework.logits_loss_gradients(model, framework.tensor(X), framework.labels(y))
    lines = []
    for name in TABS[1:]:
        differences = {
            "logits": difference(logits[name], logits["torch"]),
            "loss": abs(losses[name] - losses["torch"]) / losses["torch"],
            "gradients": max(map(difference, gradients[name], gradients["torch"])),
        }
        lines.append(f"{network}, {name} against torch: " + ", ".join(f"{k} {v:.1e}" for k, v in differences.items()))
        assert len(gradients[name]) == len(gradients["torch"]) == 2 * len(layers)
        assert max(differences.values()) < 1e-4, lines[-1]
    measured("\n".join(lines))


# Of the ten steps, how far apart they may end, as a share of their length. LeNet is smooth; of AlexNet's gradients a
# thousandth or so hangs on which of two nearly equal values is the larger, at every step.
OF_THE_WAY = {"AlexNet": 0.3, "LeNet": 1e-3}


@pytest.mark.parametrize("network", NETWORKS)
def test_ten_steps_agree(frameworks, images, network, capsys, measured, monkeypatch):
    monkeypatch.setenv("D2L_PROFILE", "full")
    layers, size = NETWORKS[network]
    weights = glorot(layers)
    X, y = noisy(resized(images.images[:80], size)), images.labels[:80].astype(np.int64)
    results, lines = {}, []
    for name, framework in frameworks.items():
        batches = [(framework.tensor(X[i : i + 8]), framework.labels(y[i : i + 8])) for i in range(0, 80, 8)]
        model = framework.model(network, weights)
        framework.trainer().fit(model, Loaders(batches))
        results[name] = framework.weights(model, layers)
    capsys.readouterr()
    ours = results.pop("torch")
    way, length = distance(ours, weights), distance(ours, [0] * len(ours))
    for name, theirs in results.items():
        apart = distance(theirs, ours)
        lines.append(f"{network} after ten steps, {name} against torch: parameters {apart / length:.1e}")
        lines[-1] += f", {apart / way:.1e} of the way"
        assert apart < 1e-3 * length, lines[-1]
        assert apart < OF_THE_WAY[network] * way, lines[-1]
    measured("\n".join(lines))


class Loaders:
    """Batches for a trainer, none of them for validation."""

    def __init__(self, batches):
        self.batches = batches

    def train_dataloader(self):
        return self.batches

    def val_dataloader(self):
        return None


def test_pixels_agree(frameworks, measured):
    batches = {
        name: framework.d2l.FashionMNIST(batch_size=32, resize=(224, 224)).val_dataloader()
        for name, framework in frameworks.items()
    }
    X = {name: to_numpy(next(iter(loader))[0]) for name, loader in batches.items()}
    ours = X.pop("torch").squeeze(1)
    differences = {name: float(np.abs(theirs.squeeze() - ours).max()) for name, theirs in X.items()}
    measured("pixels against torch: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    assert max(differences.values()) < 1e-6


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("block", ["Residual", "ResNeXtBlock"])
def test_blocks_with_strides_agree(frameworks, block, trained, measured):
    """Evaluation mode; the batch normalizations' averages are those of a block that has seen nothing, or one batch.

    PyTorch averages another estimate of the variance, so that the latter differ more.
    """
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2, 8, 9, 9)).astype(np.float32)
    arguments = {"Residual": (16, True, 2), "ResNeXtBlock": (16, 4, 1, True, 2)}[block]
    torch, tf, mx, jax = (frameworks[name] for name in TABS)
    ours = getattr(torch.d2l, block)(*arguments).eval()
    if trained:
        ours.train()(torch.tensor(X))
    expected = to_numpy(ours.eval()(torch.tensor(X)))
    convolutions = [name for name in ("conv1", "conv2", "conv3", "conv4") if getattr(ours, name, None) is not None]
    weights = {
        name: (to_numpy(getattr(ours, name).weight), to_numpy(getattr(ours, name).bias)) for name in convolutions
    }

    theirs = getattr(tf.d2l, block)(*arguments)
    theirs(tf.tensor(X))
    for name, (weight, bias) in weights.items():
        getattr(theirs, name).set_weights([channels_last(weight, None), bias])
    if trained:
        theirs(tf.tensor(X), training=True)
    outputs = {"tensorflow": to_numpy(theirs(tf.tensor(X), training=False)).transpose(0, 3, 1, 2)}

    theirs = getattr(mx.d2l, block)(*arguments)
    theirs.initialize()
    theirs(mx.tensor(X))
    for name, (weight, bias) in weights.items():
        getattr(theirs, name).weight.set_data(mx.tensor(weight))
        getattr(theirs, name).bias.set_data(mx.tensor(bias))
    if trained:
        with mx.mx.autograd.record():
            loss = theirs(mx.tensor(X)).sum()
        loss.backward()
    outputs["mxnet"] = to_numpy(theirs(mx.tensor(X)))

    theirs = getattr(jax.d2l, block)(*arguments, training=False)
    variables = theirs.init(jax.jax.random.PRNGKey(0), jax.tensor(X))
    for name, (weight, bias) in weights.items():
        variables["params"][name] = {"kernel": channels_last(weight, None), "bias": bias}
    if trained:
        training = getattr(jax.d2l, block)(*arguments)
        variables |= training.apply(variables, jax.tensor(X), mutable=["batch_stats"])[1]
    outputs["jax"] = to_numpy(theirs.apply(variables, jax.tensor(X))).transpose(0, 3, 1, 2)

    differences = {name: difference(output, expected) for name, output in outputs.items()}
    measured(f"{block} against torch: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    assert max(differences.values()) < (1e-2 if trained else 1e-4)
