"""The table of layers: its text, its HTML, its sums."""

import re

import pytest

from d2l.layer_table import Layer, LayerTable, memory

pytestmark = [pytest.mark.helper, pytest.mark.quick]

TABLE = LayerTable(
    [
        Layer("Conv<1>", (2, 6, 28, 28), 1568, 9408, 156, 235_200),
        Layer("Dense", (2, 10), 9408, 20, 47_050, 94_080),
    ]
)


def test_text_has_a_line_for_each_layer_and_one_of_sums():
    assert str(TABLE).splitlines() == [
        "layer    output shape    parameters  multiply-adds    weights    output",
        "Conv<1>  (2, 6, 28, 28)         156        235,200  624 bytes  36.8 KiB",
        "Dense    (2, 10)             47,050         94,080  183.8 KiB  80 bytes",
        "total                        47,206        329,280  184.4 KiB  36.8 KiB",
    ]


def test_html_has_the_texts_of_the_same_cells_and_no_tag_of_a_name():
    html = TABLE._repr_html_()
    texts = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html)
    assert texts[6:18] == [text.replace("<", "&lt;").replace(">", "&gt;") for row in TABLE.rows()[:2] for text in row]
    assert texts[18:] == ["total", "", "47,206", "329,280", "184.4 KiB", "36.8 KiB"]


def test_total_is_the_sum_of_the_layers():
    total = TABLE.total
    assert (total.parameters, total.multiply_adds, total.outputs) == (47_206, 329_280, 9428)
    assert (total.inputs, total.output_shape) == (1568, (2, 10))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (0, "0 bytes"),
        (255, "1020 bytes"),
        (256, "1.0 KiB"),
        (2**18, "1.0 MiB"),
        (46_764_746, "178.4 MiB"),
        (2**28, "1.0 GiB"),
        (2**40, "4,096.0 GiB"),
    ],
)
def test_memory_in_words(numbers, text):
    assert memory(numbers) == text
