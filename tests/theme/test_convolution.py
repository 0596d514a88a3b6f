"""A window on convolution: numbers equal to NumPy's, ways in for everyone, and images that stay in the page."""

import base64
import itertools
import json
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from live_figures import check_picture_stands_in
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from book.files import ROOT
from theme.convolution import PADDINGS, PRESETS, STRIDES

IMAGES = {
    image["name"]: np.frombuffer(base64.b64decode(image["pixels"]), np.uint8)
    for image in json.loads((ROOT / "img" / "window.json").read_text("utf-8"))
}
MINUS = "\N{MINUS SIGN}"
CORRELATE = "(asked) => [...ConvolutionFigure.correlate(...asked)]"


def square(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 1, of shape (side, side)."""
    side = round(len(pixels) ** 0.5)
    return pixels.reshape(side, side) / 255


def correlated(image: np.ndarray, window: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """The response of the window at each of its places."""
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(image, padding), np.shape(window))
    return (seen * window).sum((2, 3))[::stride, ::stride]


def in_words(number: float) -> str:
    """A number as the page has it."""
    text = f"{number:.2f}"
    return text.replace("-", MINUS if float(text) else "")


@pytest.fixture
def live(html, page) -> Iterator[Page]:
    """The page with the window; nothing may have gone wrong in the end."""
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "#fig-window")
    yield page
    assert page.problems == []


def output(page: Page) -> Locator:
    """What the window is moved on by keyboard."""
    return page.get_by_role("application", name="Output of")


def chosen(page: Page) -> tuple[int, int]:
    """Row and column of the output that are explained, from 1."""
    words = page.locator(".convolution .sum").inner_text().replace(",", "").split()
    return int(words[1]), int(words[3])


def cells(page: Page, name: str) -> list[str]:
    """The texts of a table of nine numbers."""
    return page.locator(f".convolution .{name} td").all_text_contents()


def ask(page: Page, image: str, preset: str, stride: int, padding: int) -> None:
    """Fill in the fields."""
    for label, value in (("Image", image), ("Stride", stride), ("Padding", padding)):
        page.locator("#convolution").get_by_label(label, exact=True).select_option(str(value))
    page.locator("#convolution-preset").select_option(preset)


@pytest.mark.parametrize("image", IMAGES)
def test_responses_are_numpys(live, image):
    pixels = square(IMAGES[image])
    for window, stride, padding in itertools.product(PRESETS.values(), STRIDES, PADDINGS):
        expected = correlated(pixels, np.array(window), stride, padding)
        asked = [pixels.ravel().tolist(), np.ravel(window).tolist(), stride, padding]
        assert live.evaluate(CORRELATE, asked) == pytest.approx(expected.ravel().tolist(), abs=1e-12)


@pytest.mark.parametrize(
    "asked",
    [("Ankle boot", "Edges, across", 1, 1), ("Shirt", "Edges, upright", 2, 0), ("Cup", "Sharpen", 3, 2)],
    ids=lambda asked: asked[0],
)
def test_place_is_explained_with_its_pixels_products_and_sum(live, asked):
    ask(live, *asked)
    image, preset, stride, padding = asked
    pixels, window = np.pad(square(IMAGES[image]), padding), np.array(PRESETS[preset])
    expected = correlated(square(IMAGES[image]), window, stride, padding)
    n, side = len(square(IMAGES[image])), len(expected)
    assert live.locator(".convolution .formula-of-side").inner_text() == (
        f"Output side: ⌊({n} {MINUS} 3 + 2 · {padding}) / {stride}⌋ + 1 = {side}"
    )
    output(live).focus()
    for key in ["Home", "ArrowDown", "ArrowRight", "End", "ArrowUp"]:
        live.keyboard.press(key)
        row, column = (index - 1 for index in chosen(live))
        seen = pixels[row * stride :, column * stride :][:3, :3]
        assert cells(live, "under") == [in_words(pixel) for pixel in seen.ravel()]
        assert cells(live, "products") == [in_words(product) for product in (seen * window).ravel()]
        assert live.locator(".convolution .sum").inner_text() == (
            f"Row {row + 1}, column {column + 1} of the output: the products sum to {in_words(expected[row, column])}."
        )


def colours(page: Page, which: str) -> np.ndarray:
    """The pixels of a canvas: red, green, blue and what covers the ground."""
    data, side = page.locator(f".convolution .{which} canvas").evaluate(
        "(c) => [[...c.getContext('2d').getImageData(0, 0, c.width, c.height).data], c.width]"
    )
    return np.array(data).reshape(side, side, 4)


def test_black_is_zero_white_is_positive_and_blue_is_negative(live):
    expected = correlated(square(IMAGES["Ankle boot"]), np.array(PRESETS["Edges, across"]), 1, 1)
    red, _, blue, cover = np.moveaxis(colours(live, "output"), 2, 0)
    assert (cover == 255).all()
    shares = expected / np.abs(expected).max()
    assert blue == pytest.approx(np.abs(shares) * 255, abs=1)
    assert red == pytest.approx(np.where(shares >= 0, shares, -shares * 100 / 255) * 255, abs=1)
    assert live.locator(".convolution .scale").inner_text() == f"Black is 0, white 2.96, blue {MINUS}2.96."


def test_margin_is_not_drawn_as_pixels_of_the_image(live):
    ask(live, "Ankle boot", "Identity", 1, 2)
    cover = colours(live, "input")[..., 3]
    assert cover.shape == (32, 32)
    assert (cover[2:-2, 2:-2] == 255).all() and cover.sum() == 28 * 28 * 255


def test_arrows_move_the_window_and_stop_at_the_edges(live):
    output(live).focus()
    for key, place in [
        ("Home", (1, 1)),
        ("ArrowLeft", (1, 1)),
        ("ArrowUp", (1, 1)),
        ("ArrowRight", (1, 2)),
        ("ArrowDown", (2, 2)),
        ("ArrowLeft", (2, 1)),
        ("ArrowLeft", (1, 28)),
        ("End", (28, 28)),
        ("ArrowRight", (28, 28)),
        ("ArrowDown", (28, 28)),
        ("ArrowUp", (27, 28)),
    ]:
        live.keyboard.press(key)
        assert chosen(live) == place, key
    live.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })")
    output(live).dispatch_event("keydown", {"key": "ArrowLeft", "altKey": True, "bubbles": True, "cancelable": True})
    assert live.evaluate("window.taken") is False


def test_pointer_chooses_on_the_output_and_on_the_input(live):
    for which, n, margin in (("output", 28, 0), ("input", 30, 1)):
        box = live.locator(f".convolution .{which}").bounding_box()
        live.mouse.move(box["x"] + box["width"] * 10.5 / n, box["y"] + box["height"] * 20.5 / n)
        # On the input, the window whose middle is under the pointer.
        assert chosen(live) == (21 - margin, 11 - margin)


def test_outlines_are_where_the_window_is(live):
    ask(live, "Ankle boot", "Blur", 2, 1)
    output(live).focus()
    for key in ["Home", "ArrowRight", "ArrowDown"]:
        live.keyboard.press(key)
    for which, of, at, cells_wide in (("input", 30, 2, 3), ("output", 14, 1, 1)):
        canvas = live.locator(f".convolution .{which} canvas").bounding_box()
        outline = live.locator(f".convolution .{which} .place").bounding_box()
        pixel = canvas["width"] / of
        assert outline["width"] == pytest.approx(cells_wide * pixel, abs=0.5)
        assert outline["x"] - canvas["x"] == pytest.approx(at * pixel, abs=0.5)
        assert outline["y"] - canvas["y"] == pytest.approx(at * pixel, abs=0.5)


def test_output_appears_step_by_step(live):
    live.get_by_label("Step by step").check()
    back, following = (live.get_by_role("button", name=name) for name in ("Back", "Next"))
    assert chosen(live) == (1, 1) and back.is_disabled()
    for step in range(1, 31):
        following.click()
        assert (colours(live, "output")[..., 3] > 0).sum() == step + 1
    assert chosen(live) == (2, 3)
    back.click()
    assert (colours(live, "output")[..., 3] > 0).sum() == 30
    output(live).focus()
    live.keyboard.press("End")
    assert following.is_disabled() and (colours(live, "output")[..., 3] > 0).all()
    live.keyboard.press("Home")
    live.get_by_label("Step by step").uncheck()
    assert chosen(live) == (1, 1) and (colours(live, "output")[..., 3] > 0).all()


def test_window_moves_by_itself_until_it_is_paused_and_is_not_read_aloud_meanwhile(live):
    play, said = live.get_by_role("button", name="Play"), live.locator(".convolution .sum")
    play.click()
    assert live.get_by_label("Step by step").is_checked() and said.get_attribute("aria-live") == "off"
    before = said.inner_text()
    expect(said).not_to_have_text(before)
    live.get_by_role("button", name="Pause").click()
    assert said.get_attribute("aria-live") == "polite"
    expect(play).to_be_visible()
    output(live).focus()
    live.keyboard.press("End")
    play.click()  # which begins again
    expect(live.get_by_role("button", name="Pause")).to_be_visible()
    live.get_by_role("button", name="Next").click()
    expect(play).to_be_visible()


def test_weights_can_be_edited_and_are_checked_on_leaving(live):
    field, message = live.get_by_label("Weight in row 2, column 2"), live.locator("#convolution-message")
    ask(live, "Ankle boot", "Identity", 1, 1)
    before = live.locator(".convolution .sum").inner_text()
    field.fill("")
    field.press_sequentially("-")
    assert message.inner_text() == "" and live.locator(".convolution .sum").inner_text() == before
    field.blur()
    wrong = f"A weight has to be a number from {MINUS}99 to 99: see row 2, column 2."
    assert message.inner_text() == f"{wrong} What is drawn is still the last window."
    assert field.get_attribute("aria-invalid") == "true"
    live.locator("#convolution-image").select_option("Cup")
    assert live.locator(".convolution .title span").all_text_contents() == ["64 × 64", "64 × 64"]
    live.locator("#convolution-image").select_option("Ankle boot")
    output(live).focus()
    for key in ["Home", *["ArrowDown"] * 18, *["ArrowRight"] * 12]:
        live.keyboard.press(key)
    field.fill("-2.5")
    field.blur()
    assert message.inner_text() == "" and field.get_attribute("aria-invalid") == "false"
    row, column = chosen(live)
    pixel = square(IMAGES["Ankle boot"])[row - 1, column - 1]
    assert pixel > 0.1
    assert cells(live, "products")[4] == in_words(-2.5 * pixel)
    assert live.locator("#convolution-preset").input_value() == "Your own"
    ask(live, "Ankle boot", "Sharpen", 1, 1)
    assert field.input_value() == "5"


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_message_names_all_wrong_weights_and_moves_nothing(live, width):
    live.set_viewport_size({"width": width, "height": 800})
    figure, message = live.locator("#fig-window"), live.locator("#convolution-message")
    before = figure.bounding_box()["height"]
    for row, column in ((1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)):
        field = live.get_by_label(f"Weight in row {row}, column {column}")
        field.fill("100")
        field.blur()
    assert "see row 1; row 2, columns 1 and 3; row 3, columns 1 and 2." in message.inner_text()
    live.get_by_label("Weight in row 1, column 3").fill("0")
    live.get_by_label("Weight in row 1, column 3").blur()
    assert "see row 1, columns 1 and 2; row 2" in message.inner_text()
    assert figure.bounding_box()["height"] == pytest.approx(before, abs=0.01)


def test_own_image_is_shrunk_in_the_page_and_a_text_is_refused_in_words(live, tmp_path):
    photo = np.zeros((300, 500, 3), np.uint8)
    photo[:, 250:] = 255, 0, 0  # the right half is red
    Image.fromarray(photo).save(tmp_path / "halves.png")
    live.get_by_label("Your own image").set_input_files(tmp_path / "halves.png")
    expect(live.locator("#convolution-image")).to_have_value("halves.png")
    ask(live, "halves.png", "Identity", 1, 0)
    output(live).focus()
    live.keyboard.press("End")
    assert chosen(live) == (62, 62)
    assert cells(live, "under") == ["0.30"] * 9  # red, as grey
    live.keyboard.press("Home")
    assert cells(live, "under") == ["0.00"] * 9
    (tmp_path / "notes.txt").write_text("no image")
    live.get_by_label("Your own image").set_input_files(tmp_path / "notes.txt")
    expect(live.locator("#convolution-message")).to_have_text(
        "“notes.txt” is no image that this browser can read. Choose a PNG, JPEG, WebP or GIF file."
    )
    assert live.locator("#convolution-image").input_value() == "halves.png"
    live.locator("#convolution-image").select_option("Shirt")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_when_something_is_wrong(html, page, theme):
    page.emulate_media(color_scheme=theme)
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    page.get_by_label("Weight in row 1, column 1").fill("")
    page.get_by_label("Weight in row 1, column 1").blur()
    page.get_by_label("Step by step").check()
    found = Axe().run(page, "#fig-window")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_figure_fits_and_so_do_fingers(live, width):
    live.set_viewport_size({"width": width, "height": 740})
    assert live.evaluate("document.documentElement.scrollWidth") == width
    for target in live.locator("#convolution :is(button, input, select, [tabindex])").all():
        box = target.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) >= 24 - 0.01, target.get_attribute("name")


def test_without_scripts_and_on_paper_there_is_the_picture(html, browser, live):
    check_picture_stands_in(html, browser, live, "lenet", "#fig-window", "#convolution")
