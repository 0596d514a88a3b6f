"""Getting about: the bar, its menus, the choice of a framework from anywhere, and keys."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from book.frameworks import FRAMEWORKS

ALEXNET = "chapter_cnn/alexnet.html"


@pytest.mark.parametrize("width", [360, 768, 1024])
def test_sections_of_the_page_open_from_the_bar_where_there_is_no_room_beside_the_text(html, page, width):
    page.set_viewport_size({"width": width, "height": 740})
    page.goto((html / ALEXNET).as_uri())
    sections, button = (
        page.get_by_role("navigation", name="On this page"),
        page.get_by_role("button", name="On this page"),
    )
    assert sections.count() == 0
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    box = sections.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 740
    if width == 1024:
        assert box["x"] == pytest.approx(button.bounding_box()["x"], abs=1)
    assert button.bounding_box()["width"] < 200  # of the words alone, not of the bar
    assert Axe().run(page).violations_count == 0
    sections.get_by_role("link", name="Training", exact=True).click()
    assert page.url.endswith("#training")
    assert sections.count() == 0
    expect(page.get_by_role("button", name="On this page: Training")).to_have_text("Training")
    button.click()
    expect(sections.locator("[aria-current]")).to_be_in_viewport()
    page.keyboard.press("Escape")
    assert sections.count() == 0
    assert button.evaluate("(button) => button === document.activeElement")


@pytest.mark.parametrize("name", ["Contents", "On this page"])
def test_a_menu_closes_on_a_tap_outside(html, page, name):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    page.get_by_role("button", name=name).click()
    menu = page.get_by_role("navigation", name=name)
    box = menu.bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)  # beside the links
    assert menu.count() == 1
    page.mouse.click(180, 735)
    assert menu.count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_the_bar_says_where_one_is(html, page, width):
    page.set_viewport_size({"width": width, "height": 740})
    page.goto((html / ALEXNET).as_uri())
    place = page.locator(".where span" if width == 360 else ".place")
    before = page.locator(".top").bounding_box()
    assert place.inner_text() in ("", "On this page")
    page.locator("main > section > p").first.evaluate("(text) => scrollTo(0, text.getBoundingClientRect().top + 1)")
    expect(place).to_have_text("Deep Convolutional Neural Networks (AlexNet)")
    assert page.locator(".here [aria-current]").count() == 0
    page.locator("#architecture").evaluate("(section) => section.scrollIntoView()")
    expect(place).to_have_text("Architecture")
    assert page.locator(".top").bounding_box() == before


@pytest.mark.only_in("chromium", "Firefox does not measure layout shifts")
def test_nothing_moves_when_the_bar_says_something_else(html, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.add_init_script("""
        window.moved = [];
        new PerformanceObserver((list) => moved.push(...list.getEntries().map((entry) => entry.value)))
            .observe({ type: "layout-shift", buffered: true });
    """)
    page.goto((html / ALEXNET).as_uri())
    for name, title in (("designed-features", "Designed Features"), ("images", "Images")):
        page.locator(f"#{name}").evaluate("(section) => section.scrollIntoView()")
        expect(page.locator(".where")).to_have_text(title)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("moved") == []


def test_no_section_is_marked_while_the_introduction_is_read(html, page):
    page.goto((html / ALEXNET).as_uri())
    page.wait_for_load_state("networkidle")
    assert page.locator(".here [aria-current]").count() == 0


@pytest.mark.parametrize("name", ["index.html", "references.html"])
def test_contents_lead_home_and_to_the_references(html, page, name):
    page.goto((html / ALEXNET).as_uri())
    contents = page.get_by_role("navigation", name="Contents")
    contents.get_by_role("link", name={"index.html": "Home", "references.html": "References"}[name]).click()
    page.wait_for_url(f"**/{name}")
    assert contents.locator("[aria-current=page]").count() == 1


def test_without_scripts_sections_of_the_page_stand_above_the_text(html, browser):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((html / ALEXNET).as_uri())
    sections = page.get_by_role("navigation", name="On this page")
    assert sections.bounding_box()["y"] < page.locator("main").bounding_box()["y"]
    sections.get_by_role("link", name="Training", exact=True).click()
    assert page.url.endswith("#training")
    assert page.get_by_role("combobox").count() == 0
    context.close()


def test_a_framework_is_chosen_in_the_bar_and_the_text_stays_where_it_is(html, page):
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    choice = page.get_by_role("combobox", name="Framework")
    assert choice.locator("option").all_inner_texts() == [framework.title for framework in FRAMEWORKS.values()]
    page.locator("#the-machine").evaluate("(section) => section.scrollIntoView()")
    before = page.locator("#the-machine").bounding_box()["y"]
    for framework in ("mxnet", "jax"):
        choice.select_option(framework)
        assert page.locator("html").get_attribute("data-framework") == framework
        assert page.locator("#the-machine").bounding_box()["y"] == pytest.approx(before, abs=1)
    page.locator("[role=tab][data-framework=tensorflow]").first.click()
    assert choice.input_value() == "tensorflow"


@pytest.mark.parametrize("asked", ["JAX", "jax", "Jax"])
def test_an_address_asks_for_a_framework_in_any_case(html, page, asked):
    page.goto((html / ALEXNET).as_uri() + f"?framework={asked}")
    assert page.locator("html").get_attribute("data-framework") == "jax"
    assert page.get_by_role("combobox", name="Framework").input_value() == "jax"
    assert page.locator(".notice").count() == 0


def test_a_key_leads_to_the_search_unless_one_types(html, page):
    page.goto((html / ALEXNET).as_uri())
    field = page.get_by_role("searchbox")
    page.keyboard.press("/")
    assert field.evaluate("(field) => field === document.activeElement")
    assert field.input_value() == ""
    page.keyboard.type("and/or?")
    assert field.input_value() == "and/or?"
    assert page.get_by_role("dialog").count() == 0


def test_a_key_leads_to_the_page_of_the_search_on_a_phone(html, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / ALEXNET).as_uri())
    page.keyboard.press("/")
    page.wait_for_url("**/search.html")
    assert page.get_by_role("searchbox").evaluate("(field) => field === document.activeElement")


def test_keys_are_listed_and_can_be_switched_off(html, page):
    page.goto((html / ALEXNET).as_uri())
    help_ = page.get_by_role("dialog", name="Keyboard shortcuts")
    page.keyboard.press("?")
    keys = help_.locator("kbd").all_inner_texts()
    assert {"/", "?", "Esc", "←", "→", "↑", "↓", "PgUp", "PgDn"} <= set(keys)
    assert Axe().run(page).violations_count == 0
    page.keyboard.press("Escape")
    assert help_.count() == 0
    page.get_by_role("button", name="Keyboard shortcuts").click()
    help_.get_by_label(re.compile("Use / and")).uncheck()
    help_.get_by_role("button", name="Close").click()
    page.keyboard.press("?")
    page.keyboard.press("/")
    assert help_.count() == 0
    assert page.get_by_role("searchbox").evaluate("(field) => field !== document.activeElement")
