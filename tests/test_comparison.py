"""The notebook tests fail for what matters and for nothing else."""

import copy

import nbformat
import pytest
from comparison import comparable, different_numbers, numbers

from book.reference import reference_path
from d2l.media import CURVES_MIME, RUN_MIME


@pytest.fixture(params=["pytorch", "tensorflow", "mxnet"])
def outputs(request, sections) -> list[dict]:
    """A tab's stored outputs of all cells, to be changed by a test."""
    section = next(s for s in sections if s.code_cells and s.tab == request.param)
    cells = nbformat.read(reference_path(section), as_version=4).cells
    return [copy.deepcopy(output) for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def same(test: list[dict], reference: list[dict]) -> bool:
    """Whether two lists of outputs pass as equal."""
    texts = [[comparable(output) for output in outputs] for outputs in (test, reference)]
    return texts[0] == texts[1] and not list(different_numbers(numbers(test), numbers(reference)))


def data_of(outputs: list[dict], mime: str) -> dict:
    """The first output's data of a media type."""
    return next(output["data"][mime] for output in outputs if mime in output.get("data", {}))


def replace_text(outputs: list[dict], old: str, new: str) -> None:
    """Change every text, printed or drawn."""
    for output in outputs:
        if "text" in output:
            output["text"] = output["text"].replace(old, new)
        for mime, value in output.get("data", {}).items():
            if isinstance(value, str):
                output["data"][mime] = value.replace(old, new)


def test_rerun_with_other_speed_and_rounding_passes(outputs):
    test = copy.deepcopy(outputs)
    run = data_of(test, RUN_MIME)
    run["examples_per_second"] *= 2
    run["metrics"]["val_loss"] += 1e-6
    for _, points in data_of(test, CURVES_MIME)["curves"].items():
        points[0][1] += 1e-6
    assert same(test, outputs)


def test_rounding_may_grow_where_networks_learn_fast_and_nowhere_else():
    losses = {"final val_loss": [2.0283]}, {"final val_loss": [2.0211]}
    assert not list(different_numbers(*losses, "answers"))
    assert list(different_numbers(*losses, "alexnet"))
    assert list(different_numbers({"final val_loss": [2.0283]}, {"final val_loss": [2.3]}, "answers"))


@pytest.mark.parametrize("label", ["train_loss", "val_loss", "val_acc"])
def test_other_curve_fails(outputs, label):
    test = copy.deepcopy(outputs)
    curves = data_of(test, CURVES_MIME)["curves"]
    curves[label][-1][1] += 0.05
    assert not same(test, outputs)


def test_loss_that_does_not_move_fails(outputs):
    test = copy.deepcopy(outputs)
    points = data_of(test, CURVES_MIME)["curves"]["val_loss"]
    points[1][1] = points[0][1]
    assert not same(test, outputs)


@pytest.mark.parametrize("label", ["train_loss", "val_loss", "val_acc"])
def test_missing_curve_or_point_fails(outputs, label):
    test = copy.deepcopy(outputs)
    data_of(test, CURVES_MIME)["curves"][label].pop()
    assert not same(test, outputs)
    del data_of(test, CURVES_MIME)["curves"][label]
    assert not same(test, outputs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (", 12, 12", ", 13, 13"),  # another kernel size
        ("43,040,778", "43,040,779"),
        ("ankle boot", "bag"),  # swapped labels of the pictures
        ("val_acc", "val_err"),  # another legend
    ],
)
def test_other_words_or_shapes_fail(outputs, old, new):
    test = copy.deepcopy(outputs)
    replace_text(test, old, new)
    assert not same(test, outputs)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("34 GFLOP/s and 11 GB/s", "1,250 GFLOP/s and 3.5 GB/s", True),
        ("9,867 s for an epoch at best", "0.7 s for an epoch at best", True),
        ("12 ms, 20 images/s", "9.5 ms, 1e+03 images/s", True),
        ("1.88 GFLOP to classify an image", "1.89 GFLOP to classify an image", False),
        ("60 MB", "61 MB", False),
        ("10 sheep", "11 sheep", False),
    ],
)
def test_speeds_and_times_may_differ_and_nothing_else(one, other, equal):
    outputs = [[nbformat.v4.new_output("stream", text=text)] for text in (one, other)]
    assert same(*outputs) == equal
