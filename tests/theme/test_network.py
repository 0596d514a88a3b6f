"""The networks that compute in the page: held to PyTorch's, with the same parameters and images."""

import math

import numpy as np
import pytest

from book.files import ROOT

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
from torch import nn  # noqa: E402

from d2l import torch as d2l  # noqa: E402

pytestmark = pytest.mark.only_in("chromium", "the same script computes in either")

NETWORK = ROOT / "theme" / "static" / "network.js"
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}


@pytest.fixture
def network(page):
    """A page with the library, and what is asked of it there."""
    page.add_script_tag(path=NETWORK)
    page.evaluate("Object.assign(window, networkLibrary())")
    yield page
    assert page.problems == []


@pytest.fixture(scope="module")
def images():
    """A hundred of the images of clothes, and their labels."""
    X, y = next(iter(d2l.FashionMNIST(batch_size=100).val_dataloader()))
    return X, y


def lenet(activation: str) -> d2l.LeNet:
    """The helper's LeNet with another activation, from a seed."""
    torch.manual_seed(0)
    model = d2l.LeNet(lr=0.1)
    model.apply_init([torch.zeros(1, 1, 28, 28)])
    for i, layer in enumerate(model.net):
        if isinstance(layer, nn.Sigmoid):
            model.net[i] = ACTIVATIONS[activation]()
    return model


def numbers(tensors) -> list[list[float]]:
    return [tensor.detach().ravel().tolist() for tensor in tensors]


def in_page(page, model, activation: str, images, code: str):
    """What JavaScript makes of `network`, which has the model's parameters, and of `images` and `labels`."""
    X, y = images
    return page.evaluate(
        f"""([parameters, activation, images, labels]) => {{
            const network = Network.lenet({{ activation }});
            network.load(parameters);
            [images, labels] = [Float32Array.from(images), Uint8Array.from(labels)];
            {code}
        }}""",
        [numbers(model.parameters()), activation, X.ravel().tolist(), y.tolist()],
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_layer_gives_what_pytorchs_gives(network, images, activation):
    model, X = lenet(activation), images[0]
    found = in_page(
        network,
        model,
        activation,
        images,
        "return network.forward(images, 100).map(({ name, shape, data }) => [name, shape, Array.from(data)]);",
    )
    with torch.no_grad():
        for layer in model.net:
            X = layer(X)
            if not isinstance(layer, nn.Flatten):
                name, shape, data = found.pop(0)
                assert shape == list(X.shape), name
                np.testing.assert_allclose(np.reshape(data, shape), X.numpy(), atol=1e-4, err_msg=name)
    assert (found, name, np.shape(X)) == ([], "dense 3", (100, 10))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_a_step_are_pytorchs_and_the_step_follows_them(network, images, activation):
    model, (X, y) = lenet(activation), images
    scores = model(X)
    loss = nn.functional.cross_entropy(scores, y)
    loss.backward()
    found = in_page(
        network,
        model,
        activation,
        images,
        """const { loss, correct } = network.train(images, labels, 0.5);
        const arrays = (name) => network.parameters.map((parameter) => Array.from(parameter[name]));
        return [loss, correct, arrays("gradient"), arrays("values")];""",
    )
    assert found[0] == pytest.approx(loss.item(), abs=1e-5)
    assert found[1] == (scores.argmax(1) == y).sum()
    for parameter, gradient, values in zip(model.parameters(), *found[2:], strict=True):
        expected = parameter.grad
        np.testing.assert_allclose(np.reshape(gradient, parameter.shape), expected, atol=1e-5)
        stepped = (parameter - 0.5 * expected).detach()
        np.testing.assert_allclose(np.reshape(values, parameter.shape), stepped, atol=1e-5)


def test_one_image_gives_what_it_gives_among_others(network, images):
    batch, alone = in_page(
        network,
        lenet("sigmoid"),
        "sigmoid",
        images,
        """const scores = (images, n) => Array.from(network.forward(images, n).at(-1).data);
        return [scores(images, 100).slice(30, 40), scores(images.subarray(3 * 784, 4 * 784), 1)];""",
    )
    assert alone == batch


def test_layers_of_other_sizes_give_what_pytorchs_give(network):
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(45, 7))
    X = torch.rand(2, 3, 10, 11, requires_grad=True)
    scores = layers(X)
    nn.functional.cross_entropy(scores, torch.tensor([6, 2])).backward()
    found = network.evaluate(
        """([parameters, images]) => {
            const network = new Network([3, 10, 11], [
                [Convolution, "convolution", { channels: 5, window: 3, padding: 1 }],
                [AveragePooling, "pooling", { window: 3 }],
                [Dense, "dense", { units: 7 }],
            ]);
            network.load(parameters);
            network.backpropagate(Float32Array.from(images), [6, 2]);
            const gradients = network.parameters.map(({ gradient }) => Array.from(gradient));
            return [Array.from(network.forward(Float32Array.from(images), 2).at(-1).data), gradients];
        }""",
        [numbers(layers.parameters()), X.ravel().tolist()],
    )
    np.testing.assert_allclose(np.reshape(found[0], (2, 7)), scores.detach(), atol=1e-5)
    for parameter, gradient in zip(layers.parameters(), found[1], strict=True):
        np.testing.assert_allclose(np.reshape(gradient, parameter.shape), parameter.grad, atol=1e-5)


@pytest.mark.parametrize(
    ("initialization", "variance"),
    [
        ("Glorot", lambda inputs, outputs: 2 / (inputs + outputs)),
        ("He", lambda inputs, outputs: 2 / inputs),
        ("small", lambda inputs, outputs: 0.01**2),
    ],
)
def test_weights_are_drawn_with_the_variance_that_the_text_gives(network, initialization, variance):
    found = network.evaluate(
        """(initialization) => Network.lenet({ initialization, seed: 5 }).parameters
            .map(({ shape, values }) => [shape, Array.from(values)])""",
        initialization,
    )
    for shape, values in found:
        if len(shape) == 1:
            assert not any(values)
            continue
        outputs, inputs, *window = shape
        expected = variance(inputs * math.prod(window), outputs * math.prod(window))
        n = len(values)
        assert abs(np.mean(values)) < 4 * math.sqrt(expected / n)
        assert np.var(values) == pytest.approx(expected, rel=5 / math.sqrt(n))
        if initialization == "Glorot":
            assert max(map(abs, values)) <= math.sqrt(3 * expected)


def test_seed_repeats_a_network_and_another_does_not(network):
    first = """(seed) => Array.from(Network.lenet({ seed }).parameters[0].values)"""
    assert network.evaluate(first, 1) == network.evaluate(first, 1)
    assert network.evaluate(first, 1) != network.evaluate(first, 2)


def test_scores_far_apart_have_a_loss_that_is_finite(network):
    loss = network.evaluate(
        """() => {
            const network = new Network([2, 1, 1], [[Dense, "dense", { units: 2 }]]);
            network.load([[1000, 0, 0, 1000], [0, 0]]);
            return network.evaluate(Float32Array.of(1, 0), [1]).loss;
        }"""
    )
    assert loss == 1000


def test_whole_numbers_become_weights_with_a_scale_for_each_output(network):
    found = network.evaluate("Array.from(dequantize(Int8Array.of(1, -2, 3, 4, 5, -127), [0.5, 2]))")
    assert found == [0.5, -1, 1.5, 8, 10, -254]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("[[1], [1]]", "1 numbers for dense weights, which are 4"),
        ("[[1, 2, 3, 4]]", "1 lists of parameters, where the network has 2"),
    ],
)
def test_parameters_that_do_not_fit_are_named(network, lists, message):
    found = network.evaluate(
        f"""() => {{
            const network = new Network([2, 1, 1], [[Dense, "dense", {{ units: 2 }}]]);
            try {{ network.load({lists}); }} catch (error) {{ return error.message; }}
        }}"""
    )
    assert found == message


def test_library_runs_in_a_worker_made_from_its_own_text(network):
    found = network.evaluate(
        """() => new Promise((resolve, reject) => {
            const code = `const { Network } = (${networkLibrary})();
                postMessage(Network.lenet().forward(new Float32Array(784), 1).length);`;
            const worker = new Worker(URL.createObjectURL(new Blob([code])));
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = reject;
        })"""
    )
    assert found == 11
