"""Every number in the prose is one that the code computes, or a fact whose source is named: both are in numbers.yml."""

import csv
import importlib
import json
import math
import re
from collections.abc import Iterator

import pytest
import yaml
from contract.fixtures import adapter
from test_original import section

from bench import report, scaling
from book.files import ROOT
from d2l.layer_table import NUMBER_BYTES, LayerTable

pytest.importorskip("torch", reason="PyTorch is not installed here: the numbers are computed with it")

NUMBERS = yaml.safe_load((ROOT / "tests" / "numbers.yml").read_text("utf-8"))
FIGURES = ROOT / "img"
SOURCES = sorted((ROOT / "chapter_cnn").glob("*.md"))
IMAGES = {"AlexNet": (1, 1, 224, 224), "LeNet": (1, 1, 28, 28)}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
# Seconds of latency and bytes per second of the section on many devices, and FLOP/s of its GPU.
LINKS = {"Ethernet": (20e-6, 1.25e9), "InfiniBand": (2e-6, 25e9), "NVLink": (2e-6, 300e9)}
GPU = 62.4e12
# Code, marks of d2lbook and what stands before the text of a line are not prose.
NOT_PROSE = re.compile(
    r"^(```|~~~).*?^\1$|`+[^`]*`+|^:\w+:[^\n]*|^ *(\d+\.|#+( Exercise \d+:)?) |\]\([^)]*\)|:[a-z]+:"
    r"|\[\*\*|\*\*\]|\(\*\*|\*\*\)",
    re.M | re.S,
)
# A number that is not part of a name, such as A100 or LAION-5B.
NUMBER = re.compile(r"(?<![\w.,-])\d[\d,.]*\d(?!\w)|(?<![\w.,-])\d(?!\w)")


def prose(section: str) -> str:
    """The words of a section's text, with single blanks between them."""
    return " ".join(NOT_PROSE.sub(" ", (ROOT / "chapter_cnn" / f"{section}.md").read_text("utf-8")).split())


def receptive_field(layers: list) -> int:
    """Side of the square of pixels that a unit of the last of these layers depends on."""
    side, stride = 1, 1
    for layer in layers:
        (window, step) = (size if isinstance(size, int) else size[0] for size in (layer.kernel_size, layer.stride))
        side, stride = side + (window - 1) * stride, stride * step
    return side


def training_flop(table: LayerTable) -> int:
    """FLOP to train on one image."""
    return 6 * table.total.multiply_adds - 2 * table[0].multiply_adds


def efficiency(table: LayerTable, images: float, devices: int, link: str, sent: tuple[float, ...] = ()) -> float:
    """Share of its time in which each GPU computes, having so many images of each step.

    Args:
        sent: How many numbers are summed over the devices, one sum after the other; without, all parameters at once.
    """
    latency, bandwidth = LINKS[link]
    computing = images * training_flop(table) / GPU
    sums = sent or (table.total.parameters,)
    return computing / (computing + sum(2 * (devices - 1) * (4 * n / devices / bandwidth + latency) for n in sums))


def measured(network: str, processes: int) -> dict[str, float]:
    """What was measured of a network in so many processes, in seconds, and what was predicted from ``computing``."""
    results = json.loads((report.RESULTS / "amd-epyc-2-cores-no-gpu.json").read_text("utf-8"))["scaling"][network]
    found = {result["processes"]: result for result in results}
    prediction = {"computing": found[1]["alone"], "predicted": scaling.predicted(results, processes)}
    return found[processes] | prediction


def late(network: str, processes: int, computing: str = "computing") -> float:
    """By what share of it a step takes longer than the sum of the seconds of computing and of the all-reduce."""
    found = measured(network, processes)
    return found["step"] / (found[computing] + found["all_reduce"]) - 1


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    """What the expressions of numbers.yml may use, beside what Python has.

    ``AlexNet``, ``LeNet`` and ``Original`` are tables of layers, ``windows_of`` their convolutions and pooling layers.
    """
    d2l = importlib.import_module("d2l.torch")
    timeline = (FIGURES / "timeline.csv").read_text("utf-8")
    models = {"AlexNet": d2l.AlexNet(), "LeNet": d2l.LeNet()}
    tables = {name: model.layer_table(IMAGES[name]) for name, model in models.items()}
    tables["SlimAlexNet"] = scaling.networks()["slim AlexNet"]().layer_table(IMAGES["AlexNet"])
    alexnet = tables["AlexNet"]
    inputs = sum(layer.inputs for layer in alexnet if len(layer.output_shape) == 2)
    convolutions = sum(layer.parameters for layer in alexnet if len(layer.output_shape) == 4)
    cells = section(adapter("torch"), "def local_response_norm", "class Lambda", "class OriginalAlexNet")
    tables["Original"] = cells["OriginalAlexNet"]().layer_table((1, 3, 227, 227))
    return tables | {
        "windows_of": {name: [x for x in model.net if hasattr(x, "kernel_size")] for name, model in models.items()},
        "sigmoid_slope": lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
        "conv": lambda table: LayerTable(x for x in table if x.parameters and len(x.output_shape) == 4),
        "dense": lambda table: LayerTable(x for x in table if len(x.output_shape) == 2),
        "mib": lambda numbers: numbers * NUMBER_BYTES / 2**20,
        "receptive_field": receptive_field,
        "intensity": lambda x, n: 2 * n * x.multiply_adds / (4 * (x.parameters + n * (x.inputs + x.outputs))),
        "training_flop": training_flop,
        "efficiency": efficiency,
        "trick": lambda n: efficiency(alexnet, 128, n, "InfiniBand", (convolutions, 128 * n * inputs)),
        "links": LINKS,
        "measured": measured,
        "late": late,
        "networks": scaling.NETWORKS,
        "batch_of_processes": scaling.BATCH_SIZE,
        "word": lambda number: WORDS[number],
        "timeline": {point["name"]: float(point["value"]) for point in csv.DictReader(timeline.splitlines())},
        "views": json.loads((FIGURES / "views.json").read_text("utf-8")),
        "training_images": 60_000,  # of Fashion-MNIST
        "math": math,
    }


def statements(section: str, names: dict[str, object]) -> Iterator[str]:
    """The phrases with numbers that numbers.yml lists for a section, with the numbers computed."""
    listed = NUMBERS[section]
    for phrase, expressions in listed.get("computed", {}).items():
        expressions = expressions if isinstance(expressions, list) else [expressions]
        yield phrase.format(*(eval(expression, dict(names)) for expression in expressions))
    yield from listed.get("in_code", [])
    yield from listed.get("facts", {})


def test_every_section_has_its_list():
    assert sorted(NUMBERS) == [path.stem for path in SOURCES]


@pytest.mark.parametrize("section", NUMBERS)
def test_numbers_in_the_prose_are_computed_or_have_a_source(section, names):
    text = prose(section)
    found = list(statements(section, names))
    assert [phrase for phrase in found if phrase not in text] == []
    covered = {i for phrase in found for match in re.finditer(re.escape(phrase), text) for i in range(*match.span())}
    alone = [text[max(0, m.start() - 40) : m.end() + 40] for m in NUMBER.finditer(text) if m.start() not in covered]
    assert alone == []


@pytest.mark.parametrize("section", NUMBERS)
def test_numbers_said_to_be_in_the_code_are(section):
    source = (ROOT / "chapter_cnn" / f"{section}.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```\{.python .input\}\n(.*?)^```$", source, re.M | re.S))
    said = [
        number.replace(",", "") for phrase in NUMBERS[section].get("in_code", []) for number in NUMBER.findall(phrase)
    ]
    assert [number for number in said if not re.search(rf"(?<![\w.]){number}(?![\w.])", code)] == []


def test_spatial_sizes_are_those_of_the_figure(names):
    sizes = [layer.output_shape[2] for layer in names["AlexNet"] if len(layer.output_shape) == 4]
    assert sizes == [54, 26, 26, 12, 12, 12, 12, 5]
    figure = (ROOT / "img" / "alexnet.svg").read_text("utf-8")
    for layer in names["AlexNet"]:
        assert f">{'×'.join(map(str, layer.output_shape[1:]))}<" in figure
