"""The numbers in the prose are those that the code computes."""

import importlib

import pytest

from book.source import ROOT

torch = pytest.importorskip("torch", reason="PyTorch is not installed here: the numbers are computed with it")
LAYERS = (torch.nn.Conv2d, torch.nn.Linear)


@pytest.fixture(scope="module")
def alexnet():
    """The page's own PyTorch model, with its layers' output shapes and multiply-adds from a real forward pass."""
    model = importlib.import_module("d2l.torch").AlexNet().eval()
    for layer in model.net:
        layer.register_forward_hook(lambda layer, _, output: setattr(layer, "output_shape", tuple(output.shape[1:])))
    with torch.no_grad():
        model(torch.zeros(1, 1, 224, 224))
    return model.net


def parameters(layers) -> int:
    return sum(p.numel() for layer in layers for p in layer.parameters())


def multiply_adds(layer) -> int:
    """Each output of a layer costs one multiply-add for every weight that leads to it."""
    outputs = torch.Size(layer.output_shape).numel()
    return outputs * layer.weight[0].numel()


def dense(net) -> list:
    return [layer for layer in net if isinstance(layer, torch.nn.Linear)]


def numbers(net) -> list[str]:
    """The phrases of the text that hold computed numbers, with the numbers computed."""
    weighted = [layer for layer in net if isinstance(layer, LAYERS)]
    total = parameters(net)
    cost = sum(map(multiply_adds, weighted))
    share = sum(map(multiply_adds, dense(net))) / cost
    convolutions = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    words = {5: "five", 8: "eight"}
    channels, height, width = [layer for layer in net if isinstance(layer, torch.nn.MaxPool2d)][-1].output_shape
    assert share < 0.05
    return [
        f"AlexNet has {words[len(weighted)]} layers with weights: {words[len(convolutions)]} convolutional ones",
        f"{channels} channels of {height} by {width}",
        f"so the first dense layer sees {dense(net)[0].in_features:,} numbers",
        f"Of {total:,} parameters, which take up {4 * total / 2**20:.0f} MiB",
        f"{parameters(dense(net)) / total:.0%}".replace("%", " percent sit in three matrices"),
        f"one image costs {cost / 1e9:.2f} billion multiply-adds",
        "the dense layers do less than 5 percent of them",
        f"{dense(net)[0].in_features:,} by {dense(net)[0].out_features:,} and 4,096 by",
        f"the images have {224 * 224 // (28 * 28)} times as many pixels",
        f"almost {-(-total // 60_000 // 10) * 10} parameters for each training image",
    ]


def test_numbers_in_the_prose_are_computed(alexnet):
    prose = " ".join((ROOT / "chapter_cnn" / "alexnet.md").read_text("utf-8").split())
    missing = [phrase for phrase in numbers(alexnet) if phrase not in prose]
    assert missing == []


def test_spatial_sizes_are_those_of_the_figure(alexnet):
    sizes = [layer.output_shape[1] for layer in alexnet if isinstance(layer, (torch.nn.Conv2d, torch.nn.MaxPool2d))]
    assert sizes == [54, 26, 26, 12, 12, 12, 12, 5]
    figure = (ROOT / "img" / "alexnet.svg").read_text("utf-8")
    for layer in (layer for layer in alexnet if not isinstance(layer, torch.nn.Flatten)):
        assert f">{'×'.join(map(str, layer.output_shape))}<" in figure
