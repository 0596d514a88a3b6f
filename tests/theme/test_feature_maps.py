"""What leaves AlexNet's layers, in the explorer: loaded when asked for, with the part of the image that a unit sees."""

import ast
import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from book.files import ROOT
from d2l.fashion_mnist import CLASSES
from theme.explorer import SHOWN, STEPS

STATIC = ROOT / "theme" / "static" / "layers"
NAMES = [f"{step.kind} {step.number}" for step in STEPS]
WINDOWS = [step for step in STEPS if step.window]
SIZES = [54, 26, 26, 12, 12, 12, 12, 5]  # of what leaves the layers with windows


def file_of(name: str) -> Path:
    """The file with what leaves a layer."""
    return STATIC / f"{name.lower().replace(' ', '-')}.js"


def stored(name: str) -> dict:
    """What a page gets of a layer."""
    return json.loads(re.fullmatch(r"explorerLayer\((.*)\);\n", file_of(name).read_text("utf-8"))[1])


def pixels(layer: dict) -> np.ndarray:
    """Levels of a layer by image, channel, row and column."""
    with Image.open(io.BytesIO(base64.b64decode(layer["sprite"].partition(",")[2]))) as sprite:
        levels = np.asarray(sprite.convert("L"))
    side = layer["side"]
    return levels.reshape(len(SHOWN), side, -1, side).swapaxes(1, 2)


@pytest.fixture
def maps(html, page: Page) -> Iterator[Locator]:
    """The part of the explorer with what leaves the layers; nothing may have gone wrong in the end."""
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url.rpartition("/")[2]))
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + "#explorer")
    yield page.locator(".maps")
    assert page.problems == []


def pick(page: Page, name: str) -> None:
    """Choose a layer by a click, and wait until it is there."""
    page.locator(".explorer [role=option]").nth(NAMES.index(name)).click()
    page.wait_for_function(f"document.querySelector('.maps .what').textContent.includes('{name}:')")


def said(maps: Locator) -> str:
    """What is said of the unit."""
    return maps.locator(".said").inner_text()


def test_every_layer_is_there_for_every_image_and_all_of_it_is_small():
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < 200_000
    for name, size in zip(NAMES, SIZES, strict=False):
        layer = stored(name)
        levels = pixels(layer)
        assert (layer["name"], layer["side"]) == (name, size)
        assert levels.shape == (len(SHOWN), 16, size, size)
        assert levels.max((0, 2, 3)).tolist() == [255] * 16  # each on its own scale
        assert layer["channels"] == sorted(set(layer["channels"])) and len(layer["largest"]) == 16
        assert not (levels[0] == levels[1]).all()
    for name in ("Dense 1", "Dense 2"):
        assert pixels(stored(name)).shape == (len(SHOWN), 1, 64, 64)
    chances = np.array(stored("Dense 3")["values"])
    assert stored("Dense 3")["classes"] == list(CLASSES)
    assert np.allclose(chances.sum(1), 1, atol=1e-3)
    assert [CLASSES[i] for i in chances.argmax(1)] == list(SHOWN)  # the network is right about all


def test_page_and_script_have_the_same_images():
    script = ast.parse((ROOT / "img/layers.py").read_text("utf-8"))
    constants = {
        node.targets[0].id: node.value
        for node in script.body
        if type(node) is ast.Assign and len(node.targets) == 1 and type(node.targets[0]) is ast.Name
    }
    assert ast.literal_eval(constants["SHOWN"]) == SHOWN


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
def test_layers_load_when_they_are_chosen_and_once(page, maps):
    page.wait_for_load_state("networkidle")
    assert not [
        name for name in page.asked if name.endswith(".js") and name not in ("d2l.js", "explorer.js", "layers.js")
    ]
    page.locator(".explorer [role=option]").nth(3).hover()
    pick(page, "Convolution 5")
    pick(page, "Pooling 1")
    pick(page, "Convolution 5")
    loaded = [
        name for name in page.asked if name.endswith(".js") and name not in ("d2l.js", "explorer.js", "layers.js")
    ]
    assert loaded == ["convolution-5.js", "pooling-1.js"]
    channels = maps.get_by_role("radio", name=re.compile("^Channel "))
    assert [channel.get_attribute("aria-label") for channel in channels.all()] == [
        f"Channel {number + 1}" for number in stored("Convolution 5")["channels"]
    ]
    assert maps.locator(".what").inner_text() == "What leaves Convolution 5: 16 of 256 channels of 12 by 12"


def test_maps_are_those_stored_for_the_image(page, maps):
    pick(page, "Pooling 3")
    maps.get_by_role("radio", name="dress").check()
    drawn = (
        maps.locator(".tiles canvas")
        .nth(2)
        .evaluate("(tile) => [...tile.getContext('2d').getImageData(0, 0, 5, 5).data].filter((_, i) => i % 4 === 0)")
    )
    assert drawn == pixels(stored("Pooling 3"))[2, 2].ravel().tolist()


def test_maps_say_at_which_size_they_were_recorded_whatever_is_asked_for(page, maps):
    page.get_by_label("Image size", exact=True).fill("96")
    pick(page, "Pooling 1")
    assert "16 of 96 channels of 26 by 26" in maps.locator(".what").inner_text()
    assert maps.locator(".recorded").inner_text().startswith("Recorded at 224 by 224 pixels")


def test_an_image_is_shown_for_the_layer_that_is_described(page, maps):
    """On a phone a layer is described that a finger has only passed on its way."""
    page.locator(".explorer [role=option]").nth(NAMES.index("Pooling 3")).dispatch_event("pointerover")
    maps.get_by_role("radio", name="bag").check()
    expect(maps.locator(".what")).to_contain_text("What leaves Pooling 3:")
    expect(maps.locator(".seen img")).to_have_attribute("src", re.compile("image-3"))


def test_unit_is_chosen_by_keys_and_its_value_is_the_one_stored(page, maps):
    pick(page, "Convolution 2")
    layer = stored("Convolution 2")
    maps.get_by_role("radio", name="pullover").check()
    maps.get_by_role("radio", name=re.compile("^Channel ")).first.focus()
    page.keyboard.press("ArrowRight")
    for name, place in (("Row", 4), ("Column", 7)):
        slider = maps.get_by_role("slider", name=name)
        slider.focus()
        page.keyboard.press("Home")
        for _ in range(place):
            page.keyboard.press("ArrowRight")
    value = pixels(layer)[1, 1, 4, 7] / 255 * layer["largest"][1]
    place = f"Channel {layer['channels'][1] + 1}, row 5 and column 8 of 26 by 26: about {float(f'{value:.2g}'):g}."
    assert said(maps).startswith(place)
    assert maps.get_by_role("slider", name="Column").get_attribute("aria-valuetext") == f"8. {said(maps)}"


def test_mouse_points_at_a_unit(page, maps):
    pick(page, "Pooling 3")
    tile = maps.locator(".tiles label").nth(6)
    tile.scroll_into_view_if_needed()
    box = tile.bounding_box()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.3 * box["height"])
    number = stored("Pooling 3")["channels"][6] + 1
    assert said(maps).startswith(f"Channel {number}, row 2 and column 5 of 5 by 5: about ")
    mark = tile.locator(".mark-unit").bounding_box()
    assert mark["x"] == pytest.approx(box["x"] + 0.8 * box["width"], abs=1)
    assert mark["width"] == pytest.approx(0.2 * box["width"], abs=1)


def seen_by_gradient(layers: int, row: int, column: int) -> tuple[int, int, int, int]:
    """First and last row and column, from 1, of the image's pixels that a unit depends on."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here: it says what a unit depends on")
    X = torch.zeros(1, 1, 224, 224, requires_grad=True)
    Y = X
    for step in WINDOWS[:layers]:
        # An average depends on all that a maximum may depend on.
        Y = torch.nn.functional.avg_pool2d(Y, step.window, step.stride, step.padding)
    (gradient,) = torch.autograd.grad(Y[0, 0, row, column], X)
    rows, columns = (gradient[0, 0].abs().sum(axis).nonzero().flatten() + 1 for axis in (1, 0))
    return rows[0].item(), rows[-1].item(), columns[0].item(), columns[-1].item()


@pytest.mark.parametrize("number", range(1, len(WINDOWS) + 1))
def test_what_a_unit_sees_is_what_it_depends_on(page, maps, number):
    pick(page, NAMES[number - 1])
    size = SIZES[number - 1]
    for row, column in ((0, size - 1), (size // 2, size // 3)):
        maps.get_by_role("slider", name="Row").fill(str(row + 1))
        maps.get_by_role("slider", name="Column").fill(str(column + 1))
        top, bottom, left, right = seen_by_gradient(number, row, column)
        assert said(maps).endswith(f"rows {top} to {bottom} and columns {left} to {right}.")
        image, field = maps.locator(".seen").bounding_box(), maps.locator(".field").bounding_box()
        assert field["y"] - image["y"] == pytest.approx((top - 1) * image["height"] / 224, abs=1)
        assert field["width"] == pytest.approx((right - left + 1) * image["width"] / 224, abs=1)


def test_dense_layers_see_everything_and_the_last_one_says_the_class(page, maps):
    pick(page, "Dense 1")
    _, bottom, _, right = (max(ends) for ends in zip(*(seen_by_gradient(8, at, at) for at in range(5)), strict=True))
    everything = f"It sees all that the windows reach: rows 1 to {bottom} and columns 1 to {right}."
    assert said(maps).endswith(everything) and " of 4,096: about " in said(maps)
    assert maps.locator(".tiles canvas").count() == 1
    pick(page, "Dense 3")
    rows = maps.locator("dl.classes dt").all_inner_texts()
    shares = [float(text.rstrip("%")) for text in maps.locator("dl.classes dd:nth-of-type(even)").all_inner_texts()]
    assert rows == list(CLASSES)
    assert rows[shares.index(max(shares))] == SHOWN[0]
    assert maps.get_by_role("slider", disabled=True).count() == 2


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
def test_what_is_not_there_is_named_and_asked_for_again(html, page):
    page.route("**/pooling-2.js", lambda route: route.abort())
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    option = page.locator(".explorer [role=option]").nth(NAMES.index("Pooling 2"))
    option.click()
    message = page.locator(".maps [role=status]")
    assert "What leaves Pooling 2 could not be loaded: there is nothing at file:" in message.inner_text()
    page.unroute("**/pooling-2.js")
    page.locator(".maps").get_by_role("radio", name="dress").check()
    page.wait_for_function("document.querySelector('.maps .what').textContent.includes('Pooling 2')")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_moves_when_a_layer_comes(page, maps, width):
    page.set_viewport_size({"width": width, "height": 900})
    height = maps.bounding_box()["height"]
    for name in NAMES:
        pick(page, name)
        maps.get_by_role("radio", name="bag").check()
        assert maps.bounding_box()["height"] == pytest.approx(height, abs=0.5), name
        assert maps.evaluate("(maps) => maps.scrollWidth <= maps.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["Convolution 1", "Dense 2", "Dense 3"])
def test_axe_finds_nothing(html, browser, name, theme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    pick(page, name)
    found = Axe().run(page, ".explorer")
    assert found.violations_count == 0, found.generate_report()
    context.close()
