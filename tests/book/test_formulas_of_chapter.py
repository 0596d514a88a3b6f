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

SECTIONS = ["alexnet", "lenet", "original", "ingredients", "inside", "worth", "cost", "scaling", "answers"]
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


@formula("alexnet", r"E_5 = \frac{1}{n}")
def test_top_5_error(rng):
    n, classes = 5000, 1000
    y, guesses = rng.integers(classes, size=n), rng.random((n, classes)).argpartition(5, axis=1)[:, :5]
    error = sum(y[i] not in guesses[i] for i in range(n)) / n
    assert error == pytest.approx(0.995, abs=0.004)  # at random


@formula("alexnet", r"\phi_\theta(\mathbf{x}), y)")
def test_gradient_of_the_loss_reaches_the_features():
    torch.manual_seed(0)
    features, W = nn.Sequential(nn.Linear(6, 4), nn.Tanh()), nn.Linear(4, 3, bias=False)
    X, y = torch.randn(9, 6), torch.randint(3, (9,))

    def loss() -> torch.Tensor:
        return nn.functional.cross_entropy(W(features(X)), y)

    losses = []
    for parameters in (W.parameters(), [*W.parameters(), *features.parameters()]):
        optimizer = torch.optim.SGD(parameters, lr=0.5)
        for _ in range(200):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        losses.append(loss().item())
    assert losses[1] < losses[0]  # where only W was chosen


@formula("alexnet", "P = C V^2 f")
def test_power_of_two_slow_circuits():
    def power(C: float, V: float, f: float) -> float:
        return C * V**2 * f

    assert power(2.15, 2.9, 0.5) / power(1, 5, 1) == pytest.approx(0.36, abs=0.005)


@formula("alexnet", r"224 \to 54")
def test_sides_of_the_layers():
    text = (ROOT / "chapter_cnn" / "alexnet.md").read_text("utf-8")
    shown = [int(n) for n in re.search(r"\$\$(224 [^$]+),\$\$", text)[1].split(r"\to")]
    table = d2l.AlexNet().layer_table((1, 1, 224, 224))
    assert shown == [224, *(layer.output_shape[2] for layer in table if len(layer.output_shape) == 4)]


@formula("alexnet", r"r_l = r_{l-1}")
def test_receptive_field_is_what_the_gradient_reaches():
    layers = [layer for layer in d2l.AlexNet().net if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    found, r, steps = [], 1, 1
    chain = nn.Sequential()
    for layer in layers:
        k, s = (n[0] if isinstance(n, tuple) else n for n in (layer.kernel_size, layer.stride))
        r, steps = r + (k - 1) * steps, steps * s
        found.append(r)
        chain.append(nn.AvgPool2d(k, s))  # which passes a gradient to its whole window
        x = torch.ones(1, 1, r + 2 * steps, r + 2 * steps, requires_grad=True)
        (gradient,) = torch.autograd.grad(chain(x)[0, 0, 0, 0], x)
        assert (gradient != 0).any(-1).sum() == r
    assert f"grow as {', '.join(map(str, found))}." in (ROOT / "chapter_cnn" / "alexnet.md").read_text("utf-8")


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


@formula("alexnet", r"\operatorname{ReLU}(x) = \max(x, 0)")
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


@formula("original", r"P = \frac{c_{\mathrm{in}} \, c_{\mathrm{out}} \, k^2}{g}")
@pytest.mark.parametrize("g", [1, 2, 4])
def test_cost_of_a_grouped_convolution(g):
    k, c, made, side = 3, 8, 12, 7
    layer = nn.Conv2d(c, made, k, groups=g)
    assert sum(p.numel() for p in layer.parameters()) == k**2 * c * made // g + made
    # A multiply-add for each weight that an output depends on.
    x = torch.ones(1, c, side + k - 1, side + k - 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0, 0, 0, 0], x)
    assert (gradient != 0).sum() * layer(x).numel() == k**2 * c * made * side**2 // g


@formula("original", r"b^i_{x,y} = ")
def test_local_response_normalization(rng):
    a, k, n, alpha, beta = rng.normal(size=(9, 2, 2)) * 30, 2, 5, 1e-4, 0.75
    r, N = n // 2, len(a)
    sums = [sum(a[j] ** 2 for j in range(max(0, i - r), min(N - 1, i + r) + 1)) for i in range(N)]
    ours = [a[i] / (k + alpha * sums[i]) ** beta for i in range(N)]
    theirs = nn.LocalResponseNorm(n, n * alpha, beta, k)  # PyTorch divides alpha by the size
    assert np.allclose(theirs(torch.tensor(a)[None])[0], ours)


@formula("original", r"v_{i+1} = 0.9\, v_i")
def test_rate_in_the_velocity_takes_the_same_steps():
    w = nn.Parameter(torch.tensor([1.0, -2.0]))
    ours, v, rate = w.detach().clone(), torch.zeros(2), 0.01
    optimizer = torch.optim.SGD([w], lr=rate, momentum=0.9, weight_decay=0.0005)
    for _ in range(5):
        optimizer.zero_grad()
        (w**4).sum().backward()
        optimizer.step()
        v = 0.9 * v - 0.0005 * rate * ours - rate * 4 * ours**3
        ours = ours + v
    assert torch.allclose(w, ours)


@formula("original", "[p_1, p_2, p_3]")
def test_colours_vary_most_where_those_of_the_image_do(rng):
    pixels = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))
    values, vectors = np.linalg.eigh(np.cov(pixels.T))
    added = (vectors @ (rng.normal(0, 0.1, size=(200_000, 3)) * values).T).T
    assert np.allclose(
        np.cov(added.T), 0.01 * np.cov(pixels.T) @ np.cov(pixels.T), rtol=0.05, atol=0.05 * values.max() ** 2 * 0.01
    )


@formula("original", r"\hat{p} = \frac{1}{10}")
def test_mean_of_probabilities_is_a_probability(rng):
    scores = rng.normal(size=(10, 7)) * 3
    mean = torch.softmax(torch.tensor(scores), 1).mean(0)
    assert mean.sum().item() == pytest.approx(1)
    assert not torch.allclose(mean, torch.softmax(torch.tensor(scores.mean(0)), 0))  # the mean of scores is another


@formula("inside", r"p_{ab} = \frac{n_{ab}}")
def test_confusion_is_a_share_of_the_row(rng):
    classes, taken = rng.integers(3, size=200), rng.integers(3, size=200)
    n = np.array([[((classes == a) & (taken == b)).sum() for b in range(3)] for a in range(3)])
    shares = [[(taken[classes == a] == b).mean() for b in range(3)] for a in range(3)]
    assert np.allclose(n / n.sum(1, keepdims=True), shares)


def upsampling(n: int, size: int) -> np.ndarray:
    places = ((np.arange(size) + 0.5) * n / size - 0.5).clip(0, n - 1)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(n)))


@formula("inside", r"U_{ij} = \max(0, 1 - |c_i - j|)")
def test_enlarging_by_two_products(rng):
    X, U = rng.random((28, 28)), upsampling(28, 96)
    theirs = nn.functional.interpolate(torch.tensor(X)[None, None], size=(96, 96), mode="bilinear")
    assert np.allclose(U @ X @ U.T, theirs[0, 0])


@formula("inside", r"d(x, x') = ")
def test_distances_by_one_product(rng):
    a, b = rng.normal(size=(4, 9)), rng.normal(size=(5, 9))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    assert np.allclose(np.sqrt(squares), [[np.linalg.norm(x - y) for y in b] for x in a])


@formula("inside", r"p_{ij} = P(y \mid x^{(ij)})")
def test_occlusion_finds_the_pixels_that_a_score_depends_on():
    image, s, grey = torch.zeros(8, 8), 2, 0.5
    image[5, 3] = 1
    found = []
    for i, j in itertools.product(range(7), repeat=2):
        covered = image.clone()
        covered[i : i + s, j : j + s] = grey
        found += [(i, j)] if covered[5, 3] < 1 else []
    assert found == [(4, 2), (4, 3), (5, 2), (5, 3)]


@formula("inside", r"x^* = \arg\max", r"x \leftarrow \operatorname{clip}", r"g = U^\top")
def test_gradient_of_a_response_with_penalty():
    torch.manual_seed(0)
    U, penalty = torch.tensor(upsampling(28, 40)), 0.02
    network = nn.Sequential(nn.Flatten(0), nn.Linear(1600, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x = torch.rand(28, 28, dtype=torch.float64, requires_grad=True)

    def sought(x: torch.Tensor) -> torch.Tensor:
        return network(U @ x @ U.T)[0] - penalty * (x**2).sum()

    enlarged = (U @ x @ U.T).detach().requires_grad_()
    (above,) = torch.autograd.grad(network(enlarged)[0], enlarged)
    (gradient,) = torch.autograd.grad(sought(x), x)
    g = U.T @ above @ U - 2 * penalty * x
    assert torch.allclose(g, gradient)
    assert torch.linalg.norm(2 * g / torch.linalg.norm(g)).item() == pytest.approx(2)
    assert sought((x + 1e-3 * g / torch.linalg.norm(g)).clip(0, 1)) > sought(x)


@formula("inside", r"W = \arg\min_W")
def test_linear_probe_by_the_inverse_of_few_examples(rng):
    n, d, penalty = 6, 20, 0.3
    Phi, Y = rng.normal(size=(n, d)), np.eye(3)[rng.integers(3, size=n)]
    W = Phi.T @ np.linalg.solve(Phi @ Phi.T + penalty * np.eye(n), Y)
    stacked = np.vstack([Phi, math.sqrt(penalty) * np.eye(d)])  # whose plain least squares have the penalty in them
    assert np.allclose(W, np.linalg.lstsq(stacked, np.vstack([Y, np.zeros((d, 3))]), rcond=None)[0])


@formula("worth", r"\left\lfloor \frac{n - 3}{2} \right\rfloor + 1")
def test_outputs_of_pooling_with_and_without_overlap():
    for n in range(3, 40):
        sides = [nn.functional.max_pool2d(torch.zeros(1, 1, n, n), k, 2).shape[2] for k in (3, 2)]
        assert sides == [(n - 3) // 2 + 1, (n - 2) // 2 + 1]
        assert n % 2 == 0 or sides == [(n - 1) // 2] * 2


@formula("worth", r"s_a = \sqrt")
def test_standard_error_of_a_difference_of_means(rng):
    a, b, n = rng.normal(0, 1, (50_000, 3)), rng.normal(0, 2, (50_000, 3)), 3
    s = [np.sqrt(((runs - runs.mean(1, keepdims=True)) ** 2).sum(1) / (n - 1)) for runs in (a, b)]
    assert np.allclose(s, [a.std(1, ddof=1), b.std(1, ddof=1)])
    found = np.sqrt(((s[0] ** 2 + s[1] ** 2) / n).mean())
    assert found == pytest.approx((a.mean(1) - b.mean(1)).std(), rel=0.02)


@formula("worth", r"1 - (1 - 10 \cdot 0.01 \cdot 0.0005)^{1200}")
def test_decay_of_a_weight_without_gradient():
    w = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.01, momentum=0.9, weight_decay=0.0005)
    for _ in range(1200):
        w.grad = torch.zeros_like(w)
        optimizer.step()
    assert 1 - w.item() == pytest.approx(1 - (1 - 10 * 0.01 * 0.0005) ** 1200, abs=0.002)
    assert round(1 - w.item(), 2) == 0.06


@formula("answers", "Q = B L")
def test_bytes_under_way_that_keep_a_memory_busy():
    B, L, block = 100.0, 0.5, 1.0  # bytes/s, s, bytes
    for under_way in (10, 50, 80):
        # A block is asked for when one has arrived; the memory delivers one after the other.
        asked, free, arrived = [0.0] * under_way, 0.0, []
        for number in range(4000):
            free = max(free, asked[number] + L - block / B) + block / B
            arrived.append(free)
            asked.append(free)
        rate = 2000 * block / (arrived[-1] - arrived[-2001])
        assert rate == pytest.approx(B * min(1, under_way * block / (B * L)), rel=0.01)


@formula("answers", r"t(s) = \max", r"s^* = \frac{I}{I + F / B}")
def test_best_share_of_a_chip():
    F, B = 300.0, 20.0
    shares = np.linspace(0.001, 0.999, 9981)
    for f, b in ((10, 10), (500, 3), (1, 40)):
        times = np.maximum(f / (shares * F), b / ((1 - shares) * B))
        assert shares[times.argmin()] == pytest.approx((f / b) / (f / b + F / B), abs=2e-4)


@formula("answers", r"I(n) = \frac{2 n K M}", r"n = \frac{w \rho / 2}")
@pytest.mark.parametrize("w", [2, 4])
def test_smallest_batch_that_keeps_the_arithmetic_busy(w):
    K, M, rho = 6400, 4096, 50.0

    def intensity(n: float) -> float:
        return 2 * n * K * M / (w * (K * M + n * (K + M)))

    layer, n = nn.Linear(K, M, bias=False), 7
    moved = w * (layer.weight.numel() + n * layer.in_features + layer(torch.zeros(n, K)).numel())
    assert intensity(n) == pytest.approx(2 * n * layer.weight.numel() / moved)
    smallest = (w * rho / 2) / (1 - w * rho / 2 * (1 / K + 1 / M))
    assert intensity(smallest) == pytest.approx(rho)


@formula("answers", r"\epsilon(N) = a N^{-b}")
def test_power_law_is_a_line_on_logarithmic_axes():
    N, a, b = np.array([1e3, 1e4, 6e4]), 0.8, 0.12
    error = a * N**-b
    slope, height = np.polyfit(np.log(N), np.log(error), 1)
    assert (slope, height) == (pytest.approx(-b), pytest.approx(math.log(a)))
    assert np.allclose(a * (2 * N) ** -b / error, 2**-b)


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
