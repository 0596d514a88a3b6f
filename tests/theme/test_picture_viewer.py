"""Pictures: looked into by wheel, fingers, clicks and keys, dark in the dark, and in words for those who cannot see."""

from collections.abc import Iterator
from math import isclose

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page

ALEXNET = "chapter_cnn/alexnet.html"


@pytest.fixture
def viewer(html, page: Page) -> Iterator[Locator]:
    """A figure looked into."""
    page.goto((html / ALEXNET).as_uri())
    page.locator("figure a.image-reference:has([src*=timeline])").click()
    yield page.get_by_role("dialog")
    assert page.problems == []


def place(viewer: Locator) -> dict[str, float]:
    """Where the picture is on the screen."""
    return viewer.locator("img").bounding_box()


def test_the_wheel_magnifies_what_is_below_the_pointer(page, viewer):
    before = place(viewer)
    x, y = before["x"] + 0.4 * before["width"], before["y"] + 0.75 * before["height"]
    page.mouse.move(x, y)
    page.mouse.wheel(0, -700)
    page.wait_for_function(f"document.querySelector('.picture img').width > {3.9 * before['width']}")
    after = place(viewer)
    assert abs((x - after["x"]) / after["width"] - 0.4) < 0.01
    assert abs((y - after["y"]) / after["height"] - 0.75) < 0.01
    page.mouse.wheel(0, 5000)
    page.wait_for_function(f"document.querySelector('.picture img').width < {1.01 * before['width']}")


def test_a_click_magnifies_a_drag_moves_and_a_click_shows_all_again(page, viewer):
    before = place(viewer)
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.click(x, y)
    large = place(viewer)
    assert isclose(large["width"], 3 * before["width"], rel_tol=0.01)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3, y - 80, steps=4)
    page.mouse.up()
    moved = place(viewer)
    assert moved["width"] == large["width"]
    assert abs(moved["y"] - (large["y"] - 80)) <= 1
    page.mouse.click(x, y)
    assert isclose(place(viewer)["width"], before["width"], rel_tol=0.01)


@pytest.mark.only_in("chromium", "Playwright cannot tap in Firefox")
def test_two_fingers_magnify_and_a_tap_does_too(html, browser):
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.goto((html / ALEXNET).as_uri())
    page.locator("figure a.image-reference:has([src*=timeline])").tap()
    viewer = page.get_by_role("dialog")
    before = place(viewer)
    touch = context.new_cdp_session(page)

    def fingers(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": 300, "id": number} for number, x in enumerate(xs)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 170, 220)
    fingers("touchMove", 145, 245)
    fingers("touchMove", 120, 270)
    fingers("touchEnd")
    page.wait_for_function(f"document.querySelector('.picture img').width > {2.8 * before['width']}")
    assert isclose(place(viewer)["width"], 3 * before["width"], rel_tol=0.02)
    page.touchscreen.tap(195, 300)
    assert isclose(place(viewer)["width"], before["width"], rel_tol=0.01)
    context.close()


def test_keys_and_slider_magnify_and_a_turned_screen_is_filled_anew(page, viewer):
    before = place(viewer)["width"]
    page.keyboard.press("+")
    assert isclose(place(viewer)["width"], 1.25 * before, rel_tol=0.01)
    assert viewer.get_by_label("Magnification").input_value() == "1.25"
    page.keyboard.press("-")
    assert isclose(place(viewer)["width"], before, rel_tol=0.01)
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function(f"document.querySelector('.picture img').width !== {before}")
    box, room = place(viewer), viewer.get_by_role("region", name="The picture").bounding_box()
    assert box["width"] <= room["width"] and box["height"] <= room["height"] + 1


def test_the_caption_is_below_and_its_links_lead_out(page, viewer):
    caption = viewer.locator(".caption")
    figure = page.locator("figure:has([src*=timeline]) figcaption").inner_text()
    assert caption.inner_text().split() == figure.replace("¶", "").split()
    assert place(viewer)["y"] + place(viewer)["height"] <= caption.bounding_box()["y"] + 1
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.problems.clear()  # what axe asked for, which a page opened from a folder may not
    caption.get_by_role("link").first.click()
    assert viewer.count() == 0


def brightness(picture: Locator, folder) -> float:
    """Of a picture on the screen, the share of its pixels that glare."""
    picture.scroll_into_view_if_needed()
    picture.evaluate("(picture) => picture.decode()")
    picture.screenshot(path=folder / "picture.png")
    grey = Image.open(folder / "picture.png").convert("L")
    return sum(grey.histogram()[225:]) / (grey.width * grey.height)


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("alexnet", "output_"),
        ("alexnet", "filters"),
        ("inside", "mistakes"),
        ("inside", "featuremaps"),
        ("worth", "output_"),
    ],
)
def test_no_picture_glares_in_the_dark_and_all_are_as_they_are_in_the_light_and_on_paper(
    html, browser, tmp_path, name, picture
):
    # On a sheet so high, no picture is made smaller and gets a margin.
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 2400})
    page = context.new_page()
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    shown = page.locator(f"main img[src*={picture}]:visible").first
    light = brightness(shown, tmp_path)
    page.get_by_role("button", name="Dark colours").click()
    assert brightness(shown, tmp_path) < 0.15 < light or picture == "filters"
    assert brightness(shown, tmp_path) < light
    page.emulate_media(media="print")
    assert abs(brightness(shown, tmp_path) - light) < 0.1
    context.close()


def test_every_picture_says_what_is_to_be_seen(html, page):
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    words = page.locator("img").evaluate_all("(images) => images.map(({ alt }) => alt)")
    assert all(words)
    curves = page.locator(".curves img").first.get_attribute("alt")
    assert curves.startswith("Line plot. Horizontal axis: epoch, 0 to 10. Vertical axis: ")
    assert "train_loss: 2.32 to 0.44" in curves
    assert any(text.startswith("4 pictures in a row: image, across") for text in words)
