"""Every number in the prose is one that the code computes, or a fact whose source is named: both are in numbers.yml.

So is every number that is written as a word, unless numbers.yml lists its phrase among those that state none.
"""

import csv
import importlib
import inspect
import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bench import report, scaling
from bench.adapters import run_cells
from book.files import ROOT
from d2l.layer_table import NUMBER_BYTES, LayerTable

pytest.importorskip("torch", reason="PyTorch is not installed here: the numbers are computed with it")

sys.path.insert(0, str(ROOT / "img"))  # where the figures' scripts find what they share
result = importlib.import_module("result")

NUMBERS = yaml.safe_load((ROOT / "tests" / "numbers.yml").read_text("utf-8"))
FIGURES = ROOT / "img"
# The files by the names that numbers.yml has for them; those of the first chapter go without its name.
SOURCES = {
    f"{path.parent.name}/{path.stem}".removeprefix("chapter_cnn/"): path for path in sorted(ROOT.glob("chapter_*/*.md"))
}
IMAGES = {"AlexNet": (1, 1, 224, 224), "LeNet": (1, 1, 28, 28)}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TEENS = ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
POWERS = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PARTS = ["fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "twelfth", "fifteenth", "sixteenth"]
PARTS += ["twentieth", "thirtieth", "fortieth", "fiftieth", "hundredth", "thousandth", "millionth", "billionth"]
VALUES: dict[str, float] = dict(zip(WORDS + TEENS, range(20), strict=True))
VALUES |= dict(zip(TENS, range(20, 100, 10), strict=True)) | POWERS | {"half": 0.5, "a quarter": 0.25, "a third": 1 / 3}
VALUES |= {f"a {part}": 1 / n for n, part in zip([*range(4, 11), 12, 15, 16, 20, 30, 40, 50, 100], PARTS, strict=False)}
# Seconds of latency and bytes per second of the section on many devices, and FLOP/s of its GPU.
LINKS = {"Ethernet": (20e-6, 1.25e9), "InfiniBand": (2e-6, 25e9), "NVLink": (2e-6, 300e9)}
GPU = 62.4e12
# Code, marks of d2lbook and what stands before the text of a line are not prose.
NOT_PROSE = re.compile(
    r"^(```|~~~).*?^\1$|^:(?!numref|eqref|ref|cite)\w+:[^\n]*|`+[^`]*`+|^ *(\d+\.|#+( Exercise \d+:)?) |\]\([^)]*\)"
    r"|:[a-z]+:|\[\*\*|\*\*\]|\(\*\*|\*\*\)",
    re.M | re.S,
)
# A number that is not part of a name, such as A100 or LAION-5B.
NUMBER = re.compile(r"(?<![\w.,-])\d[\d,.]*\d(?!\w)|(?<![\w.,-])\d(?!\w)")
# A number written as a word: from two on, since "one" is a pronoun more often; multiples, and fractions of something.
WORD = re.compile(
    rf"(?<![\w-])(?:[\w-]+-fold|(?:\w+-)?(?:{'|'.join(PARTS)})s|an? (?:\w+-)?(?:third|{'|'.join(PARTS)})|quarters?"
    rf"|thirds|half|twice|{'|'.join(WORDS[2:] + TEENS)}|(?:{'|'.join(TENS)})(?:-\w+)?|(?:{'|'.join(POWERS)})s?)(?!\w)",
    re.I,
)


def prose(section: str) -> str:
    """The words of a section's text, with single blanks between them."""
    return " ".join(NOT_PROSE.sub(" ", SOURCES[section].read_text("utf-8")).split())


def in_digits(number: str) -> str:
    """A number as the code writes it, whether the prose has it in digits or as a word; a word without one as it is."""
    word = number.lower()
    return str(VALUES.get(word, word.replace(",", "")))


def in_words(number: float) -> str:
    """A number as a word, such as "twelve"; one below 1 as the nearest fraction with a word, such as "half"."""
    nearest = min(VALUES, key=lambda word: abs(VALUES[word] - number))
    if number >= 1 and VALUES[nearest] != number:
        raise ValueError(f"there is no word for {number}")
    return nearest


def in_one_direction(layer: Any) -> Iterator[int]:
    """Window, stride and padding of a convolution or pooling layer."""
    sizes = (layer.kernel_size, layer.stride, layer.padding)
    return (size if isinstance(size, int) else size[0] for size in sizes)


def receptive_fields(layers: list) -> list[int]:
    """Side of the square of pixels that a unit depends on, layer by layer: the formula of the section on AlexNet."""
    sides, strides = [1], [1]
    for layer in layers:
        window, stride, _ = in_one_direction(layer)
        sides.append(sides[-1] + (window - 1) * math.prod(strides))
        strides.append(stride)
    return sides[1:]


def receptive_field(layers: list) -> int:
    """Side of the square of pixels that a unit of the last of these layers depends on."""
    return receptive_fields(layers)[-1]


def sides(size: int, layers: list) -> list[int]:
    """Side of the input and of each layer's output: the formula of the section on AlexNet."""
    found = [size]
    for layer in layers:
        window, stride, padding = in_one_direction(layer)
        found.append((found[-1] + 2 * padding - window) // stride + 1)
    return found


def power(capacitance: float, voltage: float, frequency: float) -> float:
    """What a circuit draws when it switches: the formula of the section on AlexNet."""
    return capacitance * voltage**2 * frequency


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


def losses(run: Any) -> tuple[list[float], list[float]]:
    """Training and validation loss of a recorded run by epoch; training loss is that of the epoch's second half."""
    train, val = ([loss for _, loss in run.curves[f"{part}_loss"]] for part in ("train", "val"))
    return train[1::2], val


def best_accuracy(run: Any) -> float:
    """A recorded run's accuracy in percent after the epoch with the lowest validation loss."""
    best, _ = min(run.curves["val_loss"], key=lambda point: point[1])
    return dict(run.accuracy)[best]


def overconfidence(run: Any) -> float:
    """By how many points the confidence is above the accuracy after a recorded run's last epoch."""
    return 100 * run.curves["val_confidence"][-1][1] - run.accuracy[-1][1]


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
    timeline, challenge = ((FIGURES / f"{name}.csv").read_text("utf-8") for name in ("timeline", "challenge"))
    speed = {point["name"]: float(point["value"]) for point in csv.DictReader(timeline.splitlines())}
    winners = [row for row in csv.DictReader(challenge.splitlines()) if row["entry"] != "ISI"]
    models = {"AlexNet": d2l.AlexNet(), "LeNet": d2l.LeNet()}
    tables = {name: model.layer_table(IMAGES[name]) for name, model in models.items()}
    tables["SlimAlexNet"] = scaling.networks()["slim AlexNet"]().layer_table(IMAGES["AlexNet"])
    alexnet = tables["AlexNet"]
    inputs = sum(layer.inputs for layer in alexnet if len(layer.output_shape) == 2)
    convolutions = sum(layer.parameters for layer in alexnet if len(layer.output_shape) == 4)
    cells = run_cells("pytorch", "original", "OriginalAlexNet")
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
        "word": in_words,
        "sections": sum("/" not in name for name in SOURCES) - 1,  # of the chapter, beside its contents
        "bytes_of": NUMBER_BYTES,
        "timeline": speed,
        "challenge": {int(row["year"]): float(row["error"]) for row in winners},
        "receptive_fields": receptive_fields,
        "sides": sides,
        "power": power,
        "seconds_of_2012": lambda name: 90 * 1.2e6 * training_flop(tables["Original"]) / speed[name],
        "frameworks": list(result.FRAMEWORKS),
        "run": result.load,
        "best_accuracy": best_accuracy,
        "overconfidence": overconfidence,
        "own_model": {name: result.load(name, "own_model", "chapter_helper") for name in result.FRAMEWORKS},
        "rows": lambda network: " ".join(result.rows(network).split()),
        "losses": lambda framework: losses(result.load(framework, "AlexNet")),
        "accuracy": lambda framework, network, epoch=0: result.load(framework, network).accuracy[epoch - 1][1],
        "deviation": lambda percent: math.sqrt(percent * (100 - percent) / 10_000),
        "views": json.loads((FIGURES / "views.json").read_text("utf-8")),
        "layers": json.loads((FIGURES / "layers.json").read_text("utf-8")),
        "training_images": 60_000,  # of Fashion-MNIST
        "default": lambda name, parameter: inspect.signature(getattr(d2l, name)).parameters[parameter].default,
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
    assert sorted(NUMBERS) == sorted(SOURCES)


def uncovered(text: str, numbers: re.Pattern[str], phrases: list[str]) -> list[str]:
    """The numbers of a text that stand in none of the phrases, each with some of the words around it."""
    covered = {i for phrase in phrases for match in re.finditer(re.escape(phrase), text) for i in range(*match.span())}
    return [
        text[max(0, m.start() - 40) : m.end() + 40]
        for m in numbers.finditer(text)
        if not covered >= {*range(*m.span())}
    ]


@pytest.mark.parametrize("section", NUMBERS)
def test_numbers_in_the_prose_are_computed_or_have_a_source(section, names):
    text = prose(section)
    found = list(statements(section, names))
    assert [phrase for phrase in found if phrase not in text] == []
    assert uncovered(text, NUMBER, found) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Twelve of the twenty-one came.", ["Twelve", "twenty-one"]),
        ("Some four-thousand-fold, two hundred times", ["four-thousand-fold", "two", "hundred"]),
        (
            "half of it, three quarters, a tenth, two ten-thousandths",
            ["half", "three", "quarters", "a tenth", "two", "ten-thousandths"],
        ),
        ("Thousands of them, twice as many as a dozen", ["Thousands", "twice", "dozen"]),
        ("one of them, the third layer, someone, often, behalf, tense", []),
    ],
)
def test_number_words_are_found(text, numbers):
    assert WORD.findall(text) == numbers


@pytest.mark.parametrize("section", NUMBERS)
def test_number_words_are_computed_or_have_a_source_or_state_no_number(section, names):
    text = prose(section)
    none = NUMBERS[section].get("words", [])
    assert [phrase for phrase in none if phrase not in text or not WORD.search(phrase)] == []
    assert uncovered(text, WORD, [*statements(section, names), *none]) == []


@pytest.mark.parametrize("section", NUMBERS)
def test_numbers_said_to_be_in_the_code_are(section):
    source = SOURCES[section].read_text("utf-8")
    code = "\n".join(re.findall(r"^```\{.python .input\}\n(.*?)^```$", source, re.M | re.S))
    said = [
        in_digits(number)
        for phrase in NUMBERS[section].get("in_code", [])
        for number in NUMBER.findall(phrase) + WORD.findall(phrase)
    ]
    assert [number for number in said if not re.search(rf"(?<![\w.]){number}(?![\w.])", code)] == []


def test_arithmetic_of_the_result_is_that_of_the_layers(names):
    assert {name: training_flop(names[name]) for name in IMAGES} == result.TRAINING_FLOP


def test_original_network_is_that_of_the_article(names):
    assert names["Original"].total.parameters == 60_965_224


def test_spatial_sizes_are_those_of_the_figure(names):
    sizes = [layer.output_shape[2] for layer in names["AlexNet"] if len(layer.output_shape) == 4]
    assert sizes == [54, 26, 26, 12, 12, 12, 12, 5]
    figure = (ROOT / "img" / "alexnet.svg").read_text("utf-8")
    for layer in names["AlexNet"]:
        assert f">{'×'.join(map(str, layer.output_shape[1:]))}<" in figure
