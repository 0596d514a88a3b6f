"""Training curves on a page: what is read off the chart is what was recorded, and without it there is the picture."""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from book.curves import script_element, with_curves
from book.frameworks import FRAMEWORKS
from book.recordings import RECORDINGS
from book.rst_outputs import RST, decoded
from d2l.mime import CURVES_MIME, RUN_MIME

pytestmark = pytest.mark.quick

NAMES = {tab: framework.title for tab, framework in FRAMEWORKS.items()}
COLUMNS = ["train_loss", "val_loss", "val_acc"]
LENET = "chapter_cnn/lenet.html"
DATA = re.compile(r'<script type="application/json">({"xlabel".*?)</script>')


def recorded(tab: str) -> dict[str, list[list[float]]]:
    """The curves of LeNet's training as they were recorded."""
    notebook = nbformat.read(RECORDINGS / tab / "chapter_cnn" / "lenet.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return next(o.data[CURVES_MIME]["curves"] for o in outputs if CURVES_MIME in o.get("data", {}))


def values(tab: str, epoch: float) -> list[str]:
    """What the curves had come to at an epoch."""
    curves = recorded(tab)
    return [f"{[y for x, y in curves[name] if x <= epoch][-1]:.3f}" for name in COLUMNS]


def chart_of(page: Page) -> Locator:
    """The chart that can be seen, of a page that has one."""
    return page.locator(".chart:visible")


def row(chart: Locator, name: str) -> list[str]:
    """The values that the chart says of a framework."""
    return chart.locator(".reading tr", has_text=name).locator("td").all_inner_texts()


@pytest.fixture
def chart(html, page) -> Locator:
    """The chart of LeNet's training."""
    page.goto((html / LENET).as_uri())
    return chart_of(page)


@pytest.mark.parametrize("epoch", [2, 7])
def test_values_read_by_keyboard_are_those_recorded(page, chart, epoch):
    slider = chart.get_by_role("slider", name="epoch")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0.25; PyTorch train_loss 2.325"
    for _ in range(3 * epoch - 1):  # two points of training in an epoch, one of validation
        page.keyboard.press("ArrowRight")
    expected = values("pytorch", epoch)
    said = ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, expected, strict=True))
    assert slider.get_attribute("aria-valuetext") == f"{epoch}; PyTorch {said}"
    assert chart.locator(".reading th").first.inner_text() == f"epoch {epoch}"
    assert row(chart, "PyTorch") == expected
    assert page.problems == []


def test_the_pointer_takes_the_line_to_the_nearest_point_and_the_keys_go_on_from_there(page, chart):
    mark = chart.locator(".plot .mark.val").nth(3)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 2, box["y"] + 30)
    assert row(chart, "PyTorch") == values("pytorch", 4)
    page.mouse.down()
    page.mouse.up()
    page.keyboard.press("ArrowLeft")
    assert chart.locator(".reading th").first.inner_text() == "epoch 3.75"


def test_a_framework_switched_on_adds_its_curves_and_its_values(chart):
    curves = chart.locator(".plot .curve")
    assert curves.count() == len(COLUMNS)
    assert row(chart, "JAX") == ["", "", ""]
    chart.get_by_role("checkbox", name="JAX").check()
    assert curves.count() == 2 * len(COLUMNS)
    assert row(chart, "JAX") == values("jax", 10)
    assert row(chart, "PyTorch") == values("pytorch", 10)
    assert chart.get_by_role("img").get_attribute("aria-label") == "loss and accuracy by epoch: PyTorch, JAX"
    assert "; JAX train_loss" in chart.get_by_role("slider").get_attribute("aria-valuetext")
    chart.get_by_role("checkbox", name="PyTorch").uncheck()
    assert curves.count() == len(COLUMNS)
    assert row(chart, "PyTorch") == ["", "", ""]


def test_the_chart_follows_the_pages_framework_and_a_comparison_stays(page, chart):
    def choose(tab: str) -> list[str]:
        page.locator(f"[role=tab][data-framework={tab}]").last.click()
        assert chart.locator("xpath=ancestor::*[@role='tabpanel']").get_attribute("data-framework") == tab
        checked = chart.get_by_role("checkbox", checked=True)
        return [checked.nth(i).locator("xpath=..").inner_text() for i in range(checked.count())]

    assert choose("jax") == ["JAX"]
    assert row(chart, "JAX") == values("jax", 10)
    chart.get_by_role("checkbox", name="PyTorch").check()
    assert choose("mxnet") == ["PyTorch", "MXNet", "JAX"]
    assert page.problems == []


def test_the_table_holds_every_value(chart):
    chart.get_by_text("The values as a table").click()
    table = chart.locator(".values table")
    table.wait_for()
    assert table.locator("thead tr").first.locator("th").all_inner_texts() == ["epoch", *NAMES.values()]
    rows = {line[0]: line[1:] for line in (r.split("\t") for r in table.locator("tbody").inner_text().split("\n"))}
    for number, tab in enumerate(NAMES):
        for column, name in enumerate(COLUMNS, number * len(COLUMNS)):
            shown = {x: line[column] for x, line in rows.items() if line[column]}
            assert shown == {f"{round(x, 2):g}": f"{y:.4f}" for x, y in recorded(tab)[name]}


def first_epoch(script: re.Match) -> str:
    """A chart's data without what came after the first epoch."""
    board = json.loads(script[1])
    curves = {name: [[x, y] for x, y in points if x <= 1] for name, points in board["curves"].items()}
    return script_element({**board, "curves": curves})


@pytest.fixture
def changed(html) -> Iterator[Path]:
    """Where a changed page lies beside the others, until the test is over."""
    path = (html / LENET).with_name("changed.html")
    yield path
    path.unlink(missing_ok=True)


def test_one_epoch_is_a_mark_without_a_line(html, changed, page):
    text, count = DATA.subn(first_epoch, (html / LENET).read_text("utf-8"))
    assert count == len(NAMES)
    changed.write_text(text, "utf-8")
    page.goto(changed.as_uri())
    chart = chart_of(page)
    assert chart.locator(".plot .curve.val").count() == 0
    assert chart.locator(".plot .mark.val").count() == 2
    assert page.problems == []


@pytest.fixture
def open_changed(html, changed, page) -> Callable[[Callable[[dict, int], dict]], Locator]:
    """Opens the chart of LeNet's training with other numbers: what ``change`` makes of each framework's."""

    def open_page(change: Callable[[dict, int], dict]) -> Locator:
        numbers = itertools.count()

        def changed_data(script: re.Match) -> str:
            data = json.dumps(change(json.loads(script[1]), next(numbers)))
            return f'<script type="application/json">{data}</script>'

        changed.write_text(DATA.sub(changed_data, (html / LENET).read_text("utf-8")), "utf-8")
        page.goto(changed.as_uri())
        return chart_of(page)

    return open_page


def shortened(page: dict, number: int) -> dict:
    """TensorFlow's run ended after three epochs, and MXNet's was broken off in the middle of the second."""
    ends = {1: 3, 2: 1.75}
    end = ends.get(number, 10)
    page["curves"] = {name: [[x, y] for x, y in points if x <= end] for name, points in page["curves"].items()}
    page["run"] = {"epochs": end, "note": "shortened run" if end == 3 else ""}
    if end == 1.75:
        del page["run"]
    return page


def test_run_that_ended_early_says_so_where_others_go_on(page, open_changed):
    chart = open_changed(shortened)
    for name in ("TensorFlow", "MXNet"):
        chart.get_by_role("checkbox", name=name).check()
    slider = chart.get_by_role("slider")
    rings = chart.locator(".ring")
    assert row(chart, "PyTorch") == values("pytorch", 10)
    assert row(chart, "TensorFlow") == ["ended after epoch 3", "", ""]
    assert row(chart, "MXNet") == ["ended after epoch 1.75", "", ""]
    assert rings.count() == 3
    said = slider.get_attribute("aria-valuetext")
    assert said.endswith("TensorFlow (shortened run) ended after epoch 3; MXNet ended after epoch 1.75")
    assert chart.get_by_role("img").get_attribute("aria-label").endswith("PyTorch, TensorFlow (shortened run), MXNet")
    names = chart.locator(".reading label").all_inner_texts()
    assert [" ".join(name.split()) for name in names] == ["PyTorch", "TensorFlow shortened run", "MXNet", "JAX"]
    height = page.locator(".curves:visible").bounding_box()["height"]
    while chart.locator(".reading th").first.inner_text() != "epoch 3":
        slider.press("ArrowLeft")
    assert row(chart, "TensorFlow") == values("tensorflow", 3)
    assert row(chart, "MXNet") == ["ended after epoch 1.75", "", ""]
    assert page.locator(".curves:visible").bounding_box()["height"] == height
    assert page.problems == []


def test_chart_begins_at_the_end_of_the_pages_own_run(page, open_changed):
    chart = open_changed(shortened)
    page.locator("[role=tab][data-framework=tensorflow]").last.click()
    assert chart.locator(".reading th").first.inner_text() == "epoch 3"
    assert row(chart, "TensorFlow") == values("tensorflow", 3)
    page.locator("[role=tab][data-framework=jax]").last.click()
    assert chart.locator(".reading th").first.inner_text() == "epoch 10"
    chart.get_by_role("slider").press("Home")
    page.locator("[role=tab][data-framework=tensorflow]").last.click()
    assert chart.locator(".reading th").first.inner_text() == "epoch 0.25"


def test_table_of_a_run_that_ended_early_has_one_cell_that_says_so(open_changed):
    chart = open_changed(shortened)
    chart.get_by_text("The values as a table").click()
    table = chart.locator(".values table")
    table.wait_for()
    groups = table.locator("thead tr").first.locator("th").all_inner_texts()
    assert groups == ["epoch", "PyTorch", "TensorFlow, shortened run", "MXNet", "JAX"]
    ended = table.locator(".ended")
    assert ended.all_inner_texts() == ["ended after epoch 1.75", "ended after epoch 3"]
    assert [ended.nth(i).locator("xpath=..").locator("th").inner_text() for i in range(2)] == ["2", "3.25"]
    for last in ended.all():
        reach = last.evaluate("cell => cell.parentElement.sectionRowIndex + cell.rowSpan")
        assert reach == table.locator("tbody tr").count()


def test_shortened_run_is_named_on_paper_and_without_scripts(html, browser, page):
    caption = "Shortened run: 3 of 10 epochs, each of 60,000 examples"
    address = (html / "chapter_cnn/alexnet.html").as_uri()
    page.goto(f"{address}?framework=tensorflow")
    assert page.locator(".caption:visible").count() == 0
    page.emulate_media(media="print")
    assert page.locator(".caption:visible").all_inner_texts() == [caption]
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(address)
    assert plain.locator(".caption:visible").all_inner_texts() == [caption] * 2  # TensorFlow's and MXNet's
    context.close()


def test_no_two_curves_of_a_chart_look_alike(open_changed):
    def more(page: dict, number: int) -> dict:
        points = page["curves"]["val_loss"]
        page["curves"] = {f"{name}_loss": points for name in ("train", "val", "test", "dev", "held")}
        return page

    chart = open_changed(more)
    look = "curve => { const s = getComputedStyle(curve); return [s.stroke, s.strokeWidth, s.strokeDasharray].join(); }"
    for curves in (chart.locator(".plot .curve"), chart.locator("thead .curve")):
        looks = [curve.evaluate(look) for curve in curves.all()]
        assert len(set(looks)) == len(looks) == 5


@pytest.mark.parametrize("width", [360, 768, 1000, 1280])
def test_nothing_moves_when_the_chart_comes_nor_when_it_is_used(html, changed, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    text, count = re.subn(r"<script [^>]*\bd2l\.js[^>]*></script>", "", (html / LENET).read_text("utf-8"))
    assert count == 1
    changed.write_text(text, "utf-8")
    page.goto(changed.as_uri())
    assert page.locator(".curves img:visible").count() == 1
    before = page.locator(".curves:visible").bounding_box()["height"]
    page.goto((html / LENET).as_uri())
    chart = chart_of(page)
    for name in list(NAMES.values())[1:]:
        chart.get_by_role("checkbox", name=name).check()
    chart.get_by_role("slider").press("Home")
    assert page.locator(".curves:visible").bounding_box()["height"] == before
    assert chart.evaluate("chart => chart.scrollWidth <= chart.clientWidth")


def test_on_paper_there_is_the_picture(page, chart):
    page.emulate_media(media="print")
    assert page.locator(".chart:visible").count() == 0
    assert page.locator(".curves img:visible").count() == 1


def test_without_scripts_there_are_the_pictures(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / LENET).as_uri())
    assert page.locator(".chart").count() == 0
    assert page.locator(".curves img:visible").count() == len(NAMES)
    context.close()


class Scripts(HTMLParser):
    """Keeps what stands in script elements, and what stands outside."""

    def __init__(self, text: str):
        super().__init__()
        self.inside, self.outside = [], []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        """Called with each piece of text."""
        (self.inside if self.cdata_elem == "script" else self.outside).append(data)


@pytest.mark.parametrize("label", ["</script><b>out</b>", "<!--<script>", "]]>", "a\\b 'c' \"d\" & ü"])
def test_no_label_breaks_out_of_its_script_element(label):
    scripts = Scripts(script_element({"xlabel": label, "curves": {label: [[1, 2.5]]}}) + "after")
    assert scripts.outside == ["after"]
    assert json.loads("".join(scripts.inside)) == {"xlabel": label, "curves": {label: [[1, 2.5]]}}


def test_what_training_lost_has_no_number():
    board = {"xlabel": None, "curves": {"train_loss": [[0, None], [1, math.nan], [2, math.inf], [3, 0.123456789]]}}
    (data,) = Scripts(script_element(board)).inside
    assert json.loads(data)["curves"]["train_loss"] == [[0, None], [1, None], [2, None], [3, 0.12345679]]


def html_of(output: nbformat.NotebookNode) -> str:
    """The HTML of an output as nbconvert is given it."""
    return decoded(output.data[RST].splitlines()[1:])


def test_each_picture_is_that_of_its_own_run():
    """Of several in a cell, one of them without a picture."""

    def output(run: dict) -> list:
        board = {"xlabel": "epoch", "curves": {"val_acc": [[run["epochs"], run["metrics"]["val_acc"]]]}}
        return [
            nbformat.v4.new_output("display_data", {RUN_MIME: run, "text/plain": "line"}),
            nbformat.v4.new_output("display_data", {CURVES_MIME: board}),
        ]

    runs = [
        {"profile": p, "epochs": e, "max_epochs": 10, "examples_per_epoch": 6000, "metrics": {"val_acc": a}}
        for p, e, a in (("full run", 10, 0.75), ("shortened run", 3, 0.5), ("full run", 5, 0.25))
    ]
    outputs = [*output(runs[0]), *output(runs[1])[:1], *output(runs[2]), *output(runs[1])[1:]]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("fit()", outputs=outputs)])
    boxes = [html_of(output) for output in with_curves(notebook).cells[0].outputs if RST in output.data]
    found = [json.loads(DATA.search(box)[1])["run"] for box in boxes if DATA.search(box)]
    assert found == [{"epochs": 10, "note": ""}, {"epochs": 5, "note": ""}, {"epochs": 3, "note": "shortened run"}]
    caption = '<p class="caption">Shortened run: 3 of 10 epochs, each of 6,000 examples</p>'
    assert [caption in box for box in boxes[1::2]] == [False, False, True]


def test_only_pictures_with_curves_are_boxed_and_the_notebook_stays_as_it_is():
    board = {"xlabel": "epoch", "curves": {"train_loss": [[1, 2.5]]}}
    plot = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    curves = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>", CURVES_MIME: board})
    cells = [nbformat.v4.new_markdown_cell("text"), nbformat.v4.new_code_cell("fit()", outputs=[plot, curves])]
    notebook = nbformat.v4.new_notebook(cells=cells)
    outputs = with_curves(notebook).cells[1].outputs
    assert outputs[0] == plot and outputs[2] == curves
    assert "".join(html_of(outputs[i]) for i in (1, 3)) == f'<div class="curves">{script_element(board)}</div>'
    assert notebook.cells[1].outputs == [plot, curves]
