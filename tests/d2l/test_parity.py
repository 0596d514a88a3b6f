"""The four frameworks compute the same function: one set of weights, carried into each, gives the same numbers.

Weights are kept in PyTorch's layout: convolutions (out, in, height, width), dense layers (out, in) on inputs flattened
as (channels, height, width). The other layouts are made from it and turned back into it.
"""

import importlib.util

import numpy as np
import pytest
from contract.adapters import ADAPTERS, NAMES
from contract.examples import Loaders

from d2l.batches import resize_matrix
from d2l.fashion_mnist import load_fashion_mnist
from d2l.plotting import to_numpy
from d2l.smoke_profile import Profile

MISSING = [name for name in NAMES if importlib.util.find_spec(name) is None]
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


def turned(fw, turn, values, layers):
    """Weights and biases, one after another, with the weights in another layout where the framework has another."""
    if fw.channel_axis == 1:
        return values
    pairs = zip(values[::2], values[1::2], layers, strict=True)
    return [part for weight, bias, (_, flattened) in pairs for part in (turn(weight, flattened), bias)]


def model_with(fw, network, weights):
    """A network of the helper with these weights."""
    layers, size = NETWORKS[network]
    model = getattr(fw.d2l, network)(lr=0.01)
    fw.load(model, fw.images(np.zeros((1, 1, size, size), np.float32)), turned(fw, channels_last, weights, layers))
    return model


@pytest.fixture(scope="module")
def frameworks():
    return {name: make() for name, make in ADAPTERS.items()}


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
    for name, fw in frameworks.items():
        X, y = fw.images(resized(images.images[several], size)), fw.labels(images.labels[several])
        logits[name], losses[name], _ = fw.gradients(model_with(fw, network, weights), X, y)
        X, y = fw.images(noisy(resized(images.images[one], size))), fw.labels(images.labels[one])
        _, _, found = fw.gradients(model_with(fw, network, weights), X, y)
        gradients[name] = turned(fw, channels_first, found, layers)
    lines = []
    for name in NAMES[1:]:
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
@pytest.mark.usefixtures("full_run")
def test_ten_steps_agree(frameworks, images, network, capsys, measured):
    layers, size = NETWORKS[network]
    weights = glorot(layers)
    X, y = noisy(resized(images.images[:80], size)), images.labels[:80]
    results, lines = {}, []
    for name, fw in frameworks.items():
        batches = [(fw.images(X[i : i + 8]), fw.labels(y[i : i + 8])) for i in range(0, 80, 8)]
        model = model_with(fw, network, weights)
        fw.fit(fw.trainer_without_dropout(), model, Loaders(batches, None))
        results[name] = turned(fw, channels_first, fw.weights(model), layers)
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


def test_pixels_agree(frameworks, measured):
    batches = {
        name: fw.d2l.FashionMNIST(batch_size=32, resize=(224, 224)).val_dataloader() for name, fw in frameworks.items()
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
    arguments = {"Residual": (16, True, 2), "ResNeXtBlock": (16, 4, 0.5, True, 2)}[block]
    torch, tf, mx, jax = (frameworks[name] for name in NAMES)
    ours = getattr(torch.d2l, block)(*arguments).eval()
    if trained:
        ours.train()(torch.images(X))
    expected = to_numpy(ours.eval()(torch.images(X)))
    convolutions = [name for name in ("conv1", "conv2", "conv3", "conv4") if getattr(ours, name, None) is not None]
    weights = {
        name: (to_numpy(getattr(ours, name).weight), to_numpy(getattr(ours, name).bias)) for name in convolutions
    }

    theirs = getattr(tf.d2l, block)(*arguments)
    theirs(tf.images(X))
    for name, (weight, bias) in weights.items():
        getattr(theirs, name).set_weights([channels_last(weight, None), bias])
    if trained:
        theirs(tf.images(X), training=True)
    outputs = {"tensorflow": to_numpy(theirs(tf.images(X), training=False)).transpose(0, 3, 1, 2)}

    theirs = getattr(mx.d2l, block)(*arguments)
    theirs.initialize()
    theirs(mx.images(X))
    for name, (weight, bias) in weights.items():
        getattr(theirs, name).weight.set_data(mx.tensor(weight))
        getattr(theirs, name).bias.set_data(mx.tensor(bias))
    if trained:
        with mx.lib.autograd.record():
            loss = theirs(mx.images(X)).sum()
        loss.backward()
    outputs["mxnet"] = to_numpy(theirs(mx.images(X)))

    theirs = getattr(jax.d2l, block)(*arguments, training=False)
    variables = theirs.init(jax.key, jax.images(X))
    for name, (weight, bias) in weights.items():
        variables["params"][name] = {"kernel": channels_last(weight, None), "bias": bias}
    if trained:
        training = getattr(jax.d2l, block)(*arguments)
        variables |= training.apply(variables, jax.images(X), mutable=["batch_stats"])[1]
    outputs["jax"] = to_numpy(theirs.apply(variables, jax.images(X))).transpose(0, 3, 1, 2)

    differences = {name: difference(output, expected) for name, output in outputs.items()}
    measured(f"{block} against torch: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    assert max(differences.values()) < (1e-2 if trained else 1e-4)
