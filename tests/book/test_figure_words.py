"""What a figure's words say to those who cannot see it, from the SVG that a page shows."""

import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from book.figure_words import describe
from book.sanitize_svg import only_drawing

pytestmark = pytest.mark.quick


def words(figure: Figure) -> str:
    """The words for a figure as notebooks save it and pages show it."""
    file = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    return describe(only_drawing(file.getvalue()))


def test_lines_have_axes_with_ranges_and_their_first_and_last_values():
    figure, axes = plt.subplots()
    axes.plot([0, 1, 2], [2.31, 1, 0.5], label="train")
    axes.plot([0, 1, 2], [0, 1500, 900], "m--", label="val")
    axes.set(xlabel="epoch", ylabel="loss", title="two runs", xticks=[0, 1, 2], yticks=[0, 2000])
    axes.legend()
    assert words(figure) == (
        "Line plot: two runs. Horizontal axis: epoch, 0 to 2. Vertical axis: loss, 0 to 2,000. "
        "train: 2.31 to 0.5; val: 0 to 900, up to 1,500 between."
    )


def test_powers_of_ten_are_read_though_they_are_drawn_letter_by_letter():
    figure, axes = plt.subplots()
    axes.loglog([1, 10, 100], [3e-7, 2e-5, 4e-3])
    axes.set(xlabel="batch size", ylabel="FLOP/s")
    assert words(figure) == (
        "Line plot. Horizontal axis: batch size, 1 to 100, logarithmic. "
        "Vertical axis: FLOP/s, 1e-6 to 0.001, logarithmic. the curve: 3e-7 to 0.004."
    )


def test_points_have_their_number_and_those_at_words_their_values():
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2, 3], [4, 8, 6], "o", label="measured")
    left.plot([1, 3], [4, 8], "k-", label="law")
    left.legend()
    right.plot([0.25, -0.5], ["tanh", "dropout"], "o")
    said = words(figure)
    assert said.startswith("Plot 1 of 2. Lines and points. Horizontal axis: 1 to 3. Vertical axis: 4 to 8. ")
    assert "measured: 3 points from 4 to 8; law: 4 to 8. Plot 2 of 2. Points. " in said
    assert said.endswith(" tanh 0.25; dropout -0.5.")


def test_pictures_are_counted_by_rows_and_called_by_what_stands_above_them():
    figure, rows = plt.subplots(2, 4, figsize=(8, 4))
    for number, axes in enumerate(rows.flat):
        axes.imshow(np.eye(5 + number % 2))
        axes.axis("off")
    assert words(figure) == "8 pictures in 2 rows."
    rows[0, 0].set_title("shirt")
    rows[1, 2].set_title("coat")
    assert words(figure) == "8 pictures in 2 rows: shirt, coat."


def test_a_drawing_of_others_has_its_words():
    texts = "".join(f"<text>{words}</text>" for words in ("a", "12", "b"))
    assert describe(f'<svg xmlns="http://www.w3.org/2000/svg">{texts}</svg>') == "Drawing: a, b"
