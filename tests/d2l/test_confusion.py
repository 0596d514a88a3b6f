"""The confusion matrix, and images that are taken for something else."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from d2l.confusion import plot_confusion_matrix, show_mistakes

pytestmark = [pytest.mark.helper, pytest.mark.quick]

LOGITS = np.array([[4, 0, 0], [0, 1, 0.5], [0, 3, 0], [0, 0.2, 0], [9, 0, 0]], np.float32)  # 0, 1, 1, 1, 0
CLASSES = np.array([0, 1, 2, 2, 1])


@pytest.mark.parametrize("predictions", [LOGITS, LOGITS.argmax(1)])
def test_matrix_counts_rows_by_class_and_columns_by_what_they_are_taken_for(predictions):
    counts = plot_confusion_matrix(predictions, CLASSES, ["shirt", "boot", "bag"])
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 2, 0]]
    (axes,) = plt.gcf().axes
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "100"),
        ((0, 1), "50"),
        ((1, 1), "50"),
        ((1, 2), "100"),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shirt", "boot", "bag"]


def test_surest_mistakes_come_first_with_both_names(fw):
    X = fw.images(np.random.default_rng(0).random((5, 1, 28, 28), np.float32))
    wrong = show_mistakes(X, fw.tensor(LOGITS), fw.labels(CLASSES), ["shirt", "boot", "bag"], 1, 2)
    assert wrong.tolist() == [4, 2, 3]
    assert [axes.get_title() for axes in plt.gcf().axes] == ["boot:\nshirt?", "bag:\nboot?"]
    assert all(axes.images[0].get_array().shape == (28, 28) for axes in plt.gcf().axes)


def test_without_logits_the_order_is_that_of_the_images():
    assert show_mistakes(np.zeros((5, 8, 8, 3)), LOGITS.argmax(1), CLASSES).tolist() == [2, 3, 4]


def test_model_without_mistakes_is_told_so(capsys):
    assert not len(show_mistakes(np.zeros((5, 8, 8)), CLASSES, CLASSES))
    assert capsys.readouterr().out == "No mistakes in 5 examples.\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plot_confusion_matrix(LOGITS, CLASSES[:3]),
            r"predictions of shape \(5,\) and classes of shape \(3,\)",
        ),
        (lambda: plot_confusion_matrix(LOGITS, CLASSES - 1), "class numbers from -1: these are to be whole numbers"),
        (lambda: plot_confusion_matrix(LOGITS, CLASSES, ["a", "b"]), "2 names, and class numbers up to 2"),
        (lambda: show_mistakes(np.zeros((2, 8, 8)), LOGITS, CLASSES), "2 images and 5 classes: give as many of both"),
    ],
)
def test_what_does_not_belong_together_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
