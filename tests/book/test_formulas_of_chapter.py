"""Every formula that a section displays is what code computes: that of a framework, of the helper, or a simulation."""

import itertools
import math
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from book.files import ROOT

torch = pytest.importorskip("torch", reason="PyTorch is not installed here: the formulas are compared with it")

from torch import nn  # noqa: E402

from d2l import torch as d2l  # noqa: E402

SECTIONS = ["lenet", "ingredients", "cost", "scaling"]
CHECKED: dict[str, list[str]] = {name: [] for name in SECTIONS}
Test = Callable[..., None]


def formula(section: str, *parts: str) -> Callable[[Test], Test]:
    """Mark a test as that of a section's formulas with these parts."""
    CHECKED[section] += parts
    return lambda test: test


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_formula_has_a_test(section):
    text = (ROOT / "chapter_cnn" / f"{section}.md").read_text("utf-8")
    displayed = re.findall(r"\$\$(.+?)\$\$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.S)
    assert displayed
    assert [shown for shown in displayed if sum(part in shown for part in CHECKED[section]) != 1] == []
    assert [part for part in CHECKED[section] if not any(part in shown for shown in displayed)] == []


@formula("lenet", r"z_i = b_i + \sum")
def test_dense_layer():
    layer, x = nn.Linear(5, 3), torch.rand(5)
    sums = [layer.bias[i] + sum(layer.weight[i, j] * x[j] for j in range(5)) for i in range(3)]
    assert torch.allclose(layer(x), torch.stack(sums))


def correlate(X: np.ndarray, K: np.ndarray, stride: int = 1) -> np.ndarray:
    k = len(K)
    places = [range(0, n - k + 1, stride) for n in X.shape]
    sums = [[sum(K[a, b] * X[i + a, j + b] for a in range(k) for b in range(k)) for j in places[1]] for i in places[0]]
    return np.array(sums)


@formula("lenet", r"Y_{ij} = \sum")
def test_cross_correlation_and_its_turned_window(rng):
    X, K = rng.normal(size=(7, 6)), rng.normal(size=(3, 3))
    assert np.allclose(d2l.corr2d(torch.tensor(X), torch.tensor(K)), correlate(X, K))
    k = 3
    convolved = [
        [sum(K[a, b] * X[i - a, j - b] for a in range(k) for b in range(k)) for j in range(k - 1, 6)]
        for i in range(k - 1, 7)
    ]
    assert np.allclose(convolved, correlate(X, K[::-1, ::-1]))


@formula("lenet", r"Y^{(o)}_{ij} = b_o + \sum")
def test_convolution_of_several_channels(rng):
    X, K, b = rng.normal(size=(2, 6, 6)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    sums = [b[o] + sum(correlate(X[c], K[o, c]) for c in range(2)) for o in range(3)]
    assert np.allclose(nn.functional.conv2d(torch.tensor(X)[None], torch.tensor(K), torch.tensor(b))[0], sums)


@formula("lenet", r"m = \left\lfloor")
def test_output_size():
    for n, k, p, s in itertools.product(range(5, 12), range(1, 6), range(3), range(1, 5)):
        output = nn.functional.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), stride=s, padding=p)
        assert output.shape[2] == math.floor((n - k + 2 * p) / s) + 1


@formula("lenet", r"A_{ij} = \frac{1}{k^2}", r"M_{ij} = \max")
def test_pooling(rng):
    X = rng.normal(size=(8, 7))
    for k, s in ((2, 2), (3, 2), (3, 1)):
        places = [range((n - k) // s + 1) for n in X.shape]
        windows = [[X[s * i : s * i + k, s * j : s * j + k] for j in places[1]] for i in places[0]]
        image = torch.tensor(X)[None, None]
        means, largest = nn.functional.avg_pool2d(image, k, s), nn.functional.max_pool2d(image, k, s)
        assert np.allclose(means[0, 0], np.sum(windows, (2, 3)) / k**2)
        assert np.allclose(largest[0, 0], np.max(windows, (2, 3)))


@formula("lenet", "f(T(X)) = T(f(X))")
def test_convolution_commutes_with_a_shift(rng):
    X, K = rng.normal(size=(9, 9)), rng.normal(size=(3, 3))
    assert np.allclose(correlate(X[2:], K), correlate(X, K)[2:])
    assert np.allclose(correlate(X[2:], K, stride=2), correlate(X, K, stride=2)[1:])
    assert not np.allclose(correlate(X[1:], K, stride=2), correlate(X, K, stride=2)[:3])


@formula("lenet", r"\hat{y}_j = \frac{e^{o_j}}", r"\ell = -\frac{1}{n}")
def test_softmax_and_cross_entropy(rng):
    scores, classes = rng.normal(size=(6, 10)), rng.integers(10, size=6)
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.allclose(torch.softmax(torch.tensor(scores), 1), probabilities)
    loss = -sum(math.log(probabilities[i, classes[i]]) for i in range(6)) / 6
    assert math.isclose(nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(classes)), loss)


@formula("lenet", r"w \leftarrow w - \eta \, \nabla")
@formula("ingredients", r"u \leftarrow \mu u")
@pytest.mark.parametrize(("momentum", "decay"), [(0, 0), (0.9, 0.0005), (0.5, 0.1)])
def test_step_of_training(momentum, decay):
    w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    ours, velocity, rate = w.detach().clone(), torch.zeros(3), 0.01
    optimizer = torch.optim.SGD([w], lr=rate, momentum=momentum, weight_decay=decay)
    for _ in range(5):
        optimizer.zero_grad()
        (w**4).sum().backward()
        optimizer.step()
        velocity = momentum * velocity + 4 * ours**3 + decay * ours
        ours = ours - rate * velocity
    assert torch.allclose(w, ours)


@formula("ingredients", r"\sigma(x) = \frac{1}{1 + e^{-x}}")
def test_activations_and_their_slopes():
    x = torch.linspace(-6, 6, 24, requires_grad=True)  # without 0
    sigmoid = 1 / (1 + torch.exp(-x))
    assert torch.allclose(torch.sigmoid(x), sigmoid)
    (slope,) = torch.autograd.grad(torch.sigmoid(x).sum(), x)
    assert torch.allclose(slope, sigmoid * (1 - sigmoid))
    (slope,) = torch.autograd.grad(torch.relu(x).sum(), x)
    assert torch.equal(torch.relu(x), x.clamp(min=0))
    assert torch.equal(slope, (x > 0).float())


@formula("ingredients", r"\delta^{(1)} = D^{(1)}")
def test_gradient_of_the_first_layer_is_a_product_through_the_others():
    torch.manual_seed(0)
    weights = [torch.randn(4, 4) for _ in range(3)] + [torch.randn(4, 2)]  # a row for each input
    sums, h = [], torch.rand(4)
    for W in weights:
        sums.append((h @ W).requires_grad_())
        h = torch.sigmoid(sums[-1])
    loss = nn.functional.cross_entropy(sums[-1][None], torch.tensor([1]))
    gradients = torch.autograd.grad(loss, [sums[0], sums[-1]])
    delta = gradients[1]
    for z, W in reversed(list(zip(sums, weights[1:], strict=False))):
        slopes = torch.diag(torch.sigmoid(z) * (1 - torch.sigmoid(z)))
        delta = slopes @ W @ delta
    assert torch.allclose(gradients[0], delta)


@formula("ingredients", r"\frac{\|\delta^{(l-1)}\|}{\|\delta^{(l)}\|}")
def test_size_of_the_gradient_changes_by_weights_and_slopes(rng):
    n, variance = 2000, 1 / 3000
    slopes, delta = rng.uniform(0, 0.25, n), rng.normal(size=n)
    below = slopes * (rng.normal(scale=variance**0.5, size=(n, n)) @ delta)
    ratio = np.linalg.norm(below) / np.linalg.norm(delta)
    assert ratio == pytest.approx(math.sqrt(n * variance * (slopes**2).mean()), rel=0.05)


@formula("ingredients", r"v_{\mathrm{Glorot}}")
def test_variances_of_initial_weights():
    torch.manual_seed(0)
    W = torch.empty(300, 500)  # outputs by inputs
    for init, variance in (
        (nn.init.xavier_uniform_, 2 / 800),
        (nn.init.xavier_normal_, 2 / 800),
        (lambda W: nn.init.kaiming_normal_(W, nonlinearity="relu"), 2 / 500),
    ):
        assert init(W).var().item() == pytest.approx(variance, rel=0.02)
    assert nn.init.xavier_uniform_(W).abs().max().item() == pytest.approx(math.sqrt(6 / 800), rel=0.001)


@formula("ingredients", r"h' = \begin{cases}")
def test_dropout():
    torch.manual_seed(0)
    for p in (0.2, 0.5):
        dropped = nn.Dropout(p)(torch.full((100_000,), 3.0))
        assert torch.allclose(dropped.unique(), torch.tensor([0, 3 / (1 - p)]))
        assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.01)
        assert dropped.mean().item() == pytest.approx(3, rel=0.02)


@formula("cost", r"P = c_{\mathrm{in}}", r"A = c_{\mathrm{in}}", r"F = 6 \sum", r"I = \frac{2 n A}")
@pytest.mark.parametrize("model", ["LeNet", "AlexNet"])
def test_cost_of_layers(model):
    side = {"LeNet": 28, "AlexNet": 224}[model]
    network = getattr(d2l, model)()
    table = network.layer_table((1, 1, side, side))
    rows = [row for row in table if row.parameters]
    layers = [layer for layer in network.net if isinstance(layer, nn.Conv2d | nn.Linear)]
    for row, layer in zip(rows, layers, strict=True):
        if isinstance(layer, nn.Conv2d):
            c_in, c_out, k, m = layer.in_channels, layer.out_channels, layer.kernel_size[0], row.output_shape[2]
        else:
            c_in, c_out, k, m = layer.in_features, layer.out_features, 1, 1
        assert row.parameters == c_in * c_out * k**2 + c_out
        assert row.multiply_adds == c_in * c_out * k**2 * m**2
        assert (row.parameters, row.outputs) == (sum(p.numel() for p in layer.parameters()), c_out * m**2)
    # By layer: once forward, and once backward for each of the two gradients that it computes.
    passes = [2 * row.multiply_adds * (3 if i else 2) for i, row in enumerate(rows)]
    assert sum(passes) == 6 * table.total.multiply_adds - 2 * rows[0].multiply_adds


@formula("cost", r"R(I) = \min")
def test_roof_is_the_slower_of_computing_and_fetching():
    peak, bandwidth = 2e11, 2e10
    for flop, size in ((1e9, 1e9), (1e9, 1e8), (1e10, 1e8)):
        reached = flop / max(flop / peak, size / bandwidth)
        assert reached == pytest.approx(min(peak, bandwidth * flop / size))


@formula("scaling", r"\nabla_w \ell = \frac{1}{N}")
def test_gradient_of_a_batch_is_the_mean_of_those_of_its_parts():
    torch.manual_seed(0)
    layer, X, y = nn.Linear(7, 3), torch.rand(12, 7), torch.randint(3, (12,))

    def gradient(part: slice) -> torch.Tensor:
        return torch.autograd.grad(nn.functional.cross_entropy(layer(X[part]), y[part]), layer.weight)[0]

    parts = [gradient(slice(4 * d, 4 * d + 4)) for d in range(3)]
    assert torch.allclose(gradient(slice(None)), sum(parts) / 3, atol=1e-6)


@formula("scaling", r"V = 2 \, \frac{N - 1}{N}", r"t = 2 (N - 1)")
@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_all_reduce_in_a_ring(n, rng):
    size, bandwidth, latency = 240, 10.0, 0.5  # numbers of gradients, of which one takes a byte
    gradients = rng.normal(size=(n, size))
    parts = [list(np.split(own, n)) for own in gradients.copy()]
    sent, seconds = 0, 0.0
    for number in range(2 * (n - 1)):
        begins = number < n - 1
        moved = [(d - number if begins else d + 1 - (number - n + 1)) % n for d in range(n)]
        messages = [parts[d][moved[d]].copy() for d in range(n)]
        for d, message in enumerate(messages):
            place = parts[(d + 1) % n]
            place[moved[d]] = place[moved[d]] + message if begins else message
        sent, seconds = sent + len(messages[0]), seconds + latency + len(messages[0]) / bandwidth
    assert all(np.allclose(np.concatenate(own), gradients.sum(0)) for own in parts)
    assert sent == 2 * (n - 1) / n * size
    assert seconds == pytest.approx(2 * (n - 1) * (size / (n * bandwidth) + latency))


@formula("scaling", r"S = \frac{T_1}")
def test_speedup_is_what_the_cell_computes():
    n, images, image_time, t = 16, 64, 0.01, 0.3  # of each device; the cell counts images
    found = n * images * image_time / (images * image_time + t)
    alone = n * images * image_time
    assert found == pytest.approx(alone / (alone / n + t))


def texts(figure: str) -> list[str]:
    root = ET.parse(ROOT / "img" / f"{figure}.svg").getroot()
    return [(text.text or "").replace("\N{MINUS SIGN}", "-") for text in root.iter("{http://www.w3.org/2000/svg}text")]


def numbers(found: list[str]) -> list[float]:
    return [float(text) for text in found if re.fullmatch(r"-?[\d.]+", text)]


def test_figure_of_the_convolution():
    drawn = numbers(texts("convolution"))
    image, window, output = (np.array(drawn[a:b]) for a, b in ((0, 49), (49, 58), (58, 67)))
    assert np.array_equal(correlate(image.reshape(7, 7), window.reshape(3, 3), stride=2).ravel(), output)


def test_figure_of_pooling():
    drawn = numbers(texts("pooling"))
    for begin, function, size in ((0, nn.functional.avg_pool2d, 2), (29, nn.functional.max_pool2d, 3)):
        responses = torch.tensor(drawn[begin : begin + 25]).reshape(1, 1, 5, 5)
        assert function(responses, size, 2).ravel().tolist() == drawn[begin + 25 : begin + 29]
