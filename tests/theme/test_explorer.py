"""The explorer of AlexNet: numbers equal to the helper's table, a drawing to scale, and ways in for everyone."""

import functools
import importlib
import itertools
import json
import math
import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

from d2l.layer_table import LayerTable
from theme.explorer import CHANNELS, CLASSES, SIZE, costs

WIDTHS = [320, 360, 768, 1280]
ASKED = [*itertools.product([67, 96, 224, 227], [1, 3], [10, 1000]), (299, 3, 320), (320, 1, 10_000)]
LAYOUT_SHIFTS = """window.shifts = 0;
new PerformanceObserver((list) => { shifts += list.getEntries().length; }).observe({ type: "layout-shift" });"""


@functools.cache
def helper_table(size: int, channels: int, classes: int) -> LayerTable:
    """What the helper counts in the chapter's own network."""
    pytest.importorskip("torch", reason="PyTorch is not installed here: the table is counted with it")
    return importlib.import_module("d2l.torch").AlexNet(num_classes=classes).layer_table((1, channels, size, size))


def helper_rows(*asked: int) -> list[list[str]]:
    """The texts that the page's table should have, row by row, without the names of the layers."""
    *layers, total = helper_table(*asked).rows()
    shapes = [" × ".join(re.findall(r"\d+", shape)[1:]) for _, shape, *_ in layers]
    return [[shape, *cells] for shape, (_, _, *cells) in zip([*shapes, ""], [*layers, total], strict=True)]


@pytest.fixture
def explorer(html, page) -> Iterator[Page]:
    """The page with the explorer; nothing may have gone wrong in the end."""
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + "#explorer")
    yield page
    assert page.problems == []


def ask(page: Page, size: int, channels: int, classes: int) -> None:
    """Fill in the fields."""
    page.get_by_label("Image size", exact=True).fill(str(size))
    page.get_by_label("Channels", exact=True).select_option(str(channels))
    page.get_by_label("Classes", exact=True).fill(str(classes))
    page.get_by_label("Classes", exact=True).blur()


def layers_of(page: Page) -> Locator:
    """The layers in the drawing."""
    return page.get_by_role("listbox", name="Layers").get_by_role("option")


def table_rows(page: Page) -> list[list[str]]:
    """The texts of the page's table, without the names of the layers."""
    rows = page.locator(".explorer :is(tbody, tfoot) tr").all()
    return [row.locator("td").all_text_contents() for row in rows]


def chosen(page: Page) -> str:
    """The name of the layer whose details are shown."""
    return page.locator(".explorer .chosen p").first.inner_text().split(":")[0]


@pytest.mark.parametrize("asked", ASKED)
def test_rules_in_python_are_the_helpers(asked):
    rules = ("output_shape", "inputs", "outputs", "parameters", "multiply_adds")
    ours, theirs = (
        [[getattr(layer, rule) for rule in rules] for layer in t] for t in (costs(*asked), helper_table(*asked))
    )
    assert ours == theirs


@pytest.mark.only_in("chromium", "the same script counts in either, and this asks a thousand times")
def test_every_number_on_the_page_is_the_helpers(explorer):
    for asked in ASKED:
        ask(explorer, *asked)
        table, rows = helper_table(*asked), helper_rows(*asked)
        assert table_rows(explorer) == rows
        assert explorer.locator(".explorer .total b").all_text_contents() == rows[-1][1:]
        size, channels, classes = asked
        assert explorer.locator(".explorer caption").text_content() == (
            f"Input {channels} × {size} × {size}, {classes:,} classes"
        )
        for option, layer, row in zip(layers_of(explorer).all(), table, rows[:-1], strict=True):
            option.focus()
            details = explorer.locator(".explorer .chosen")
            assert details.locator("b").all_text_contents() == row[1:]
            shares = [
                getattr(layer, count) / getattr(table.total, count)
                for count in ("parameters", "multiply_adds", "parameters", "outputs")
            ]
            for text, share in zip(details.locator("small").all_text_contents(), shares, strict=True):
                number = float(re.search(r"[\d.]+", text)[0])
                assert abs(100 * share - number) <= 0.5, (asked, layer, text)


def test_shares_of_the_two_kinds_are_the_helpers(explorer):
    for asked in [(224, 1, 10), (96, 3, 1000)]:
        ask(explorer, *asked)
        table = helper_table(*asked)
        dense = LayerTable(layer for layer in table if len(layer.output_shape) == 2)
        assert explorer.locator(".explorer .title").all_text_contents() == [
            f"Multiply-adds: {1 - dense.total.multiply_adds / table.total.multiply_adds:.0%} in the convolutions",
            f"Parameters: {dense.total.parameters / table.total.parameters:.0%} in the dense layers",
        ]


def test_names_say_what_a_layer_is_and_costs(explorer):
    names = [option.get_attribute("aria-label") for option in layers_of(explorer).all()]
    assert names[:2] == [
        "Conv 1, Convolution 1: 96 channels of 54 by 54, 11,712 parameters, 33.9 million multiply-adds",
        "Pooling 1: 96 channels of 26 by 26, 0 parameters, 0 multiply-adds",
    ]
    assert names[-1] == "Dense 3: 10 numbers, 40,970 parameters, 40,960 multiply-adds"


def still(size: int) -> str:
    """What a message ends with."""
    return f"What is drawn is still the network for {size} by {size} pixels."


def test_image_too_small_for_a_layer_names_it_and_the_smallest_that_works(explorer):
    before = table_rows(explorer), explorer.locator(".explorer svg").inner_html()
    field, message = explorer.get_by_label("Image size", exact=True), explorer.locator("#explorer-message")
    for size, sentence in [
        (63, "Pooling 3 has no output: its window of 3 by 3 is larger than the 2 by 2 that reach it."),
        (9, "Convolution 1 has no output: its window of 11 by 11 is larger than the 9 by 9 that reach it."),
        (66, "Pooling 3 has no output: its window of 3 by 3 is larger than the 2 by 2 that reach it."),
    ]:
        field.fill(str(size))
        field.blur()
        assert message.inner_text() == f"{sentence} The smallest image that works has 67 by 67 pixels. {still(224)}"
        assert field.get_attribute("aria-invalid") == "true"
        assert (table_rows(explorer), explorer.locator(".explorer svg").inner_html()) == before
    opacity = "(element) => getComputedStyle(element).opacity"
    assert explorer.locator(".explorer svg text").first.evaluate(opacity) == "1"
    assert explorer.locator(".explorer .face").first.evaluate(opacity) == "0.4"
    field.fill("67")
    assert message.inner_text() == "" and field.get_attribute("aria-invalid") == "false"
    assert table_rows(explorer) == helper_rows(67, 1, 10)


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "321", "1e9", "e"])
def test_size_that_is_none_gets_one_message_and_leaves_the_last_drawing(explorer, text):
    ask(explorer, 96, 3, 10)
    field = explorer.get_by_label("Image size", exact=True)
    field.clear()
    field.press_sequentially(text)
    message = explorer.locator("#explorer-message")
    assert message.inner_text() == ""  # nobody has finished yet
    assert explorer.locator(".explorer .face").first.evaluate("(face) => getComputedStyle(face).opacity") == "0.4"
    field.blur()
    assert message.inner_text() == f"Image size has to be a whole number from 1 to 320. {still(96)}"
    assert table_rows(explorer) == helper_rows(96, 3, 10)


def test_classes_have_limits_too(explorer):
    explorer.get_by_label("Classes", exact=True).fill("1")
    explorer.get_by_label("Classes", exact=True).blur()
    sentence = "Classes has to be a whole number from 2 to 10,000."
    assert explorer.locator("#explorer-message").inner_text() == f"{sentence} {still(224)}"


def test_message_is_that_of_its_field_and_goes_when_it_is_mended(explorer):
    size, classes = (explorer.get_by_label(name, exact=True) for name in ("Image size", "Classes"))
    size.fill("63")
    size.blur()
    message = explorer.locator("#explorer-message").inner_text()
    assert message.startswith("Pooling 3 has no output")
    assert [field.get_attribute("aria-describedby") for field in (size, classes)] == ["explorer-message", None]
    size.press("Backspace")
    assert explorer.locator("#explorer-message").inner_text() == message
    size.press_sequentially("8")
    assert explorer.locator("#explorer-message").inner_text() == ""
    classes.fill("")
    classes.blur()
    assert explorer.locator("#explorer-message").inner_text().startswith("Classes has to be")
    assert [field.get_attribute("aria-describedby") for field in (size, classes)] == [None, "explorer-message"]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_message_moves_anything(explorer, width):
    explorer.set_viewport_size({"width": width, "height": 900})
    top = "() => document.querySelector('.explorer svg').getBoundingClientRect().top + scrollY"
    place = explorer.evaluate(top)
    for size, classes in (("63", "10"), ("9", "1"), ("", ""), ("321", "1")):
        explorer.get_by_label("Image size", exact=True).fill(size)
        explorer.get_by_label("Classes", exact=True).fill(classes)
        explorer.get_by_label("Classes", exact=True).blur()
        assert explorer.locator("#explorer-message").inner_text()
        assert explorer.evaluate(top) == pytest.approx(place, abs=0.01), (size, classes)


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_are_whole_and_part_of_their_names(explorer, width):
    explorer.set_viewport_size({"width": width, "height": 900})
    svg = explorer.locator(".explorer svg").bounding_box()
    boxes = [name.bounding_box() for name in explorer.locator(".explorer svg .name").all()]
    assert all(box["x"] >= svg["x"] and box["x"] + box["width"] <= svg["x"] + svg["width"] for box in boxes)
    assert all(a["x"] + a["width"] <= b["x"] for a, b in itertools.pairwise(boxes))
    for option in layers_of(explorer).all():
        assert option.locator(".name").text_content() in option.get_attribute("aria-label")


@pytest.mark.parametrize(("width", "letters"), [(360, 3), (1280, 0)])
def test_letters_are_explained_where_layers_are_called_by_them(explorer, width, letters):
    explorer.set_viewport_size({"width": width, "height": 900})
    assert explorer.locator(".explorer .letter:visible").count() == letters
    assert (layers_of(explorer).first.locator(".name").text_content() == "C1") == bool(letters)


def test_figure_has_a_heading_a_number_and_an_address(explorer):
    figure = explorer.locator("figure#explorer")
    assert re.fullmatch(r"Fig\. 1\.3\.\d+", figure.locator(".caption-number").inner_text().strip())
    assert figure.locator("figcaption .headerlink").get_attribute("href") == "#explorer"
    assert figure.locator("xpath=ancestor::section[1]/*[self::h3]").inner_text().startswith("1.3.4.4. Layer by Layer")


def test_slider_and_field_are_one_and_reset_brings_back_the_chapters_network(explorer):
    slider, field = explorer.get_by_label("Image size, slider"), explorer.get_by_label("Image size", exact=True)
    slider.focus()
    explorer.keyboard.press("ArrowRight")
    assert field.input_value() == "225"
    assert table_rows(explorer) == helper_rows(225, 1, 10)
    field.fill("96")
    assert slider.input_value() == "96"
    field.press("Enter")  # asks nothing of a form that leads nowhere
    ask(explorer, 96, 3, 1000)
    explorer.get_by_role("button", name="Reset").click()
    explorer.wait_for_function("document.querySelector('.explorer caption').textContent.includes('224')")
    assert table_rows(explorer) == helper_rows(SIZE, CHANNELS, CLASSES)
    assert "alexnet.html#explorer" in explorer.url


def test_layers_are_one_stop_of_the_keyboard(explorer):
    explorer.get_by_role("button", name="Reset").focus()
    explorer.keyboard.press("Tab")
    for key, name in [
        ("ArrowLeft", "Convolution 1"),
        ("ArrowRight", "Pooling 1"),
        ("ArrowDown", "Convolution 2"),
        ("ArrowUp", "Pooling 1"),
        ("End", "Dense 3"),
        ("ArrowRight", "Dense 3"),
        ("ArrowLeft", "Dense 2"),
        ("Home", "Convolution 1"),
    ]:
        explorer.keyboard.press(key)
        focused = explorer.locator(":focus")
        assert f"{name}:" in focused.get_attribute("aria-label")
        assert (focused.get_attribute("aria-selected"), focused.get_attribute("tabindex")) == ("true", "0")
        assert chosen(explorer) == name
        assert explorer.locator(".explorer svg [tabindex='0']").count() == 1
    explorer.keyboard.press("Tab")
    assert explorer.locator(":focus").get_attribute("name") == "image"


def test_hovering_chooses_a_layer(explorer):
    layers_of(explorer).nth(8).hover()
    assert chosen(explorer) == "Dense 1"


@pytest.mark.only_in("chromium", "Playwright's taps do nothing in Firefox")
def test_tapping_chooses_a_layer(html, browser):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    layers_of(page).nth(2).tap()
    assert chosen(page) == "Convolution 2"
    context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_drawing_fits_and_so_do_fingers(explorer, width):
    explorer.set_viewport_size({"width": width, "height": 900})
    svg = explorer.locator(".explorer svg").bounding_box()
    assert svg["x"] >= 0 and svg["x"] + svg["width"] <= width
    for shape in explorer.locator(".explorer svg :is(path, text)").all():
        box = shape.bounding_box()
        if box and box["width"]:
            # Firefox has room for a line's ends in its box.
            assert svg["x"] - 2 <= box["x"] and box["x"] + box["width"] <= svg["x"] + svg["width"] + 2
            assert svg["y"] <= box["y"] and box["y"] + box["height"] <= svg["y"] + svg["height"]
    for target in explorer.locator(".explorer :is([role=option], input, select, button, summary)").all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 24 - 0.01, target.get_attribute("aria-label")


@pytest.mark.only_in("chromium", "Firefox does not measure layout shifts")
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_when_the_script_starts(html, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(LAYOUT_SHIFTS)
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + "#explorer")
    page.wait_for_load_state("networkidle")
    assert page.locator(".explorer .chosen").is_visible()
    assert page.evaluate("shifts") == 0


def test_boxes_are_to_scale(explorer):
    table = helper_table(SIZE, CHANNELS, CLASSES)
    faces = explorer.locator(".explorer [role=option] .face").all()
    paths = [re.fullmatch(r"M\S+ \S+h(\S+)v(\S+)h\S+z", face.get_attribute("d")).groups() for face in faces]
    for (wide, tall), layer in zip(paths, table, strict=True):
        channels, size = layer.output_shape[1], (*layer.output_shape, 1)[2]
        assert math.isclose(float(tall) / float(paths[0][1]), math.sqrt(size / 54), rel_tol=1e-3)
        assert float(wide) == 2 or math.isclose(
            float(wide) / float(paths[0][0]), math.sqrt(channels / 96), rel_tol=1e-3
        )
    for count in ("parameters", "multiplyAdds"):
        bars = [
            float(bar.get_attribute("height")) for bar in explorer.locator(f".explorer [role=option] .{count}").all()
        ]
        key = {"parameters": "parameters", "multiplyAdds": "multiply_adds"}[count]
        shares = [getattr(layer, key) / max(getattr(x, key) for x in table) for layer in table]
        assert [bar / max(bars) for bar in bars] == pytest.approx(shares, abs=1e-3)


def test_axe_finds_nothing_when_all_is_open_and_something_is_wrong(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_text("All layers as a table").click()
    ask(page, 63, 3, 10)
    layers_of(page).last.focus()
    found = Axe().run(page, ".explorer")
    assert found.violations_count == 0, found.generate_report()


def test_without_scripts_and_on_paper_there_is_the_table(html, browser, page):
    address = (html / "chapter_cnn/alexnet.html").as_uri()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(address)
    page.goto(address)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for shown in (plain, page):
        assert shown.locator(".explorer table").is_visible()
        assert shown.locator(".explorer :is(form, svg, .chosen, .total):visible").count() == 0
        assert shown.locator(".explorer a img[src*=layers]").is_visible()
        assert table_rows(shown) == helper_rows(SIZE, CHANNELS, CLASSES)
    context.close()


def test_page_has_the_layers_once_as_data(html):
    text = (html / "chapter_cnn/alexnet.html").read_text("utf-8")
    (data,) = re.findall(r"data-steps='([^']*)'", text)
    steps = json.loads(data)
    assert [f"{step['kind']} {step['number']}" for step in steps] == [layer.name for layer in costs()]
