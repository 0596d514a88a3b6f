"""Code, outputs, tables and plots on a phone: all can be read, and what a reader has chosen is remembered."""

import re
import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

ALEXNET = "chapter_cnn/alexnet.html"
READABLE = 9.5  # pixels that letters have at least

pytestmark = pytest.mark.only_in("chromium", "Playwright cannot tap in Firefox")


@pytest.fixture(params=[320, 360, 390])
def phone(html, browser: Browser, request) -> Iterator[Page]:
    """A page on a phone, with touch."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 800}, is_mobile=True, has_touch=True, device_scale_factor=2
    )
    page = context.new_page()
    page.goto((html / ALEXNET).as_uri())
    yield page
    context.close()


def network(page: Page) -> Locator:
    """The cell with the network's code, whose lines are longer than a phone is wide."""
    return page.locator("div.highlight-python:visible", has_text="class AlexNet").first


def go_until(page: Page, address: str, wraps: bool) -> None:
    """Load a page until it is as was chosen on another: Chromium tells its other processes of that a little later."""
    end = time.monotonic() + 10
    page.goto(address)
    while (page.locator("html.wraps").count() == 1) is not wraps:
        assert time.monotonic() < end, "the page has forgotten what was chosen"
        page.goto(address)


def overflows(box: Locator) -> bool:
    """Whether there is more in a box than it is wide."""
    return box.evaluate("(box) => box.scrollWidth > box.clientWidth")


def test_long_lines_are_broken_on_every_page_from_then_on(html, phone):
    code = network(phone).locator("pre")
    text = code.text_content()
    assert overflows(code)
    switch = network(phone).get_by_role("button", name="Wrap")
    assert switch.get_attribute("aria-pressed") == "false"
    switch.scroll_into_view_if_needed()
    before = switch.bounding_box()["y"]
    switch.tap()
    assert abs(switch.bounding_box()["y"] - before) <= 1
    assert switch.get_attribute("aria-pressed") == "true"
    assert not overflows(code)
    assert code.text_content() == text
    go_until(phone, (html / "chapter_cnn/cost.html").as_uri(), wraps=True)
    boxes = phone.locator("div.highlight-python:visible pre")
    assert boxes.count() > 3 and not any(map(overflows, boxes.all()))
    phone.get_by_role("button", name="Wrap").first.tap()
    go_until(phone, (html / ALEXNET).as_uri(), wraps=False)
    assert overflows(network(phone).locator("pre"))


def test_a_line_that_goes_on_is_moved_in_deeper_than_it_begins(phone):
    network(phone).get_by_role("button", name="Wrap").tap()
    line = network(phone).locator(".line", has_text="nn.LazyConv2d(256, kernel_size=5").first
    lefts = line.evaluate("""(line) => {
        const range = document.createRange();
        range.selectNodeContents(line);
        const boxes = [...range.getClientRects()].filter(({ width }) => width > 0);
        const rows = Map.groupBy(boxes, ({ bottom }) => Math.round(bottom / 8));
        return [...rows.values()].map((row) => Math.min(...row.map(({ left }) => left)));
    }""")
    assert len(lefts) > 1
    indent = line.evaluate(
        "(line) => line.textContent.search(/\\S/) * parseFloat(getComputedStyle(line).fontSize) * 0.6"
    )
    assert all(left - lefts[0] > indent for left in lefts[1:])


def test_buttons_are_below_every_piece_of_code_without_being_hovered_over(html, phone):
    for name in ("alexnet", "answers", "scaling"):
        phone.goto((html / f"chapter_cnn/{name}.html").as_uri())
        blocks = phone.locator("div[class^=highlight-]:visible").all()
        assert blocks
        for block in blocks:
            code, button = block.locator("pre").bounding_box(), block.get_by_role("button", name="Copy")
            box = button.bounding_box()
            assert box["y"] >= code["y"] + code["height"]
            assert min(box["width"], box["height"]) >= 36 - 0.01
            assert button.evaluate("(button) => getComputedStyle(button.parentElement).opacity") == "1"


def test_touch_on_a_wide_screen_has_the_button_too(html, browser):
    context = browser.new_context(viewport={"width": 1024, "height": 800}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto((html / "chapter_cnn/answers.html").as_uri())
    outside = page.locator("xpath=//div[starts-with(@class, 'highlight-')][not(ancestor::div[@class='panel'])]")
    assert outside.count() > 0
    for block in outside.all():
        tools = block.locator(".tools")
        assert tools.evaluate("(tools) => getComputedStyle(tools).opacity") == "1"
        assert tools.get_by_role("button", name="Wrap").count() == 0
    context.close()


def test_nothing_moves_when_the_buttons_come(html, browser):
    context = browser.new_context(viewport={"width": 360, "height": 800}, is_mobile=True, has_touch=True)
    page = context.new_page()
    heights = []
    page.route("**/d2l.js", lambda route: route.abort())
    for _ in range(2):
        page.goto((html / ALEXNET).as_uri())
        heights.append(network(page).bounding_box()["height"])
        page.unroute("**/d2l.js")
    assert heights[0] == heights[1]
    context.close()


def test_outputs_and_tables_of_layers_are_whole(phone):
    width = phone.viewport_size["width"]
    shapes = phone.locator("pre.output:visible", has_text="output shape").first
    assert not overflows(shapes) or width < 360
    assert float(shapes.evaluate("(box) => parseFloat(getComputedStyle(box).fontSize)")) >= READABLE
    phone.get_by_text("All layers as a table").tap()
    table = phone.locator(".explorer table")
    assert not overflows(table.locator("xpath=.."))
    for cell in table.locator(":is(th, td)").all():
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert not overflows(cell)
        assert float(cell.evaluate("(cell) => parseFloat(getComputedStyle(cell).fontSize)")) >= READABLE


@pytest.mark.parametrize("name", ["alexnet", "inside", "worth", "cost", "scaling"])
def test_words_in_plots_can_be_read(html, phone, name):
    phone.goto((html / f"chapter_cnn/{name}.html").as_uri())
    for picture in phone.locator("img[src*=output_]:visible").all():
        address = picture.evaluate("(picture) => picture.src")
        svg = (html / "_images" / address.rpartition("/")[2]).read_text("utf-8")
        whole = float(re.search(r'width="([\d.]+)pt"', svg)[1]) * 4 / 3
        shown = picture.bounding_box()["width"]
        assert 10 * 4 / 3 * shown / whole >= READABLE, address  # matplotlib's letters have ten points
    assert phone.evaluate("document.documentElement.scrollWidth") == phone.viewport_size["width"]


def test_axe_finds_nothing_where_lines_are_broken(phone):
    network(phone).get_by_role("button", name="Wrap").tap()
    found = Axe().run(phone)
    assert found.violations_count == 0, found.generate_report()
