"""LeNet, live: numbers held to PyTorch's, units explained, ways in for all, and nothing loaded before it is seen."""

import base64
import json
import re
from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from live_figures import check_picture_stands_in
from playwright.sync_api import Page, expect

from book.files import ROOT
from d2l.fashion_mnist import CLASSES, SYSTEM_FOLDER, load_fashion_mnist
from d2l.mime import RUN_MIME
from d2l.smoke_profile import Profile
from theme.lenet import DATA, LAYERS

torch = pytest.importorskip("torch", reason="PyTorch is not installed here: it has the same network")

FACTS = json.loads(DATA.read_text("utf-8"))
LOADED = ["network.js", "lenet-data.js", "lenet.js"]
SHOWN = [0, 2, 3, 5, 6, 9, 11, 12]  # of the image and what PyTorch's layers give
MINUS = "\N{MINUS SIGN}"
LAYOUT_SHIFTS = """window.shifts = 0;
new PerformanceObserver((list) => { shifts += list.getEntries().length; }).observe({ type: "layout-shift" });"""
LOGITS = """(images) => {
    const network = networkLibrary().Network.lenet();
    network.load(LeNetFigure.parameters().flat());
    return Array.from(network.forward(Float32Array.from(images), images.length / 784).at(-1).data);
}"""


def decoded(letters: str, kind: type) -> np.ndarray:
    """Numbers from the file of the network."""
    return np.frombuffer(base64.b64decode(letters), kind)


def quantized() -> "torch.nn.Module":
    """The helper's LeNet with the weights that the page has."""
    from d2l import torch as d2l

    model = d2l.LeNet()
    model.apply_init([torch.zeros(1, 1, 28, 28)])
    parameters = list(model.parameters())
    for weights, biases, layer in zip(parameters[::2], parameters[1::2], FACTS["layers"], strict=True):
        whole = decoded(layer["weights"], np.int8).reshape(len(biases), -1)
        values = whole * decoded(layer["scales"], np.float32)[:, None]
        weights.data = torch.from_numpy(values.reshape(weights.shape))
        biases.data = torch.from_numpy(decoded(layer["biases"], np.float32).copy())
    return model


def as_tensor(images: np.ndarray) -> "torch.Tensor":
    """Images (n, 28, 28) as a network takes them."""
    return torch.from_numpy(images.reshape(-1, 1, 28, 28) / np.float32(255))


def layers_of(image: np.ndarray) -> list[np.ndarray]:
    """The image and what each of PyTorch's layers makes of it."""
    X = as_tensor(image)
    outputs = [X[0]]
    with torch.no_grad():
        for layer in quantized().net:
            X = layer(X)
            outputs.append(X[0])
    return [output.numpy() for output in outputs]


def image_of(number: int) -> np.ndarray:
    """One of the twelve images."""
    return decoded(FACTS["images"][number]["pixels"], np.uint8).reshape(28, 28)


@pytest.fixture
def live(html, page) -> Iterator[Page]:
    """The page with the network at work; nothing may have gone wrong in the end."""
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "#fig-lenet")
    begin(page)
    yield page
    assert page.problems == []


def begin(page: Page) -> None:
    """Wait until the network has computed."""
    page.locator("#lenet").scroll_into_view_if_needed()
    expect(page.locator("#lenet .taken")).to_contain_text("The network says")


def choose_image(page: Page, number: int) -> None:
    """Choose one of the twelve images, and wait until the network has computed."""
    page.get_by_role("button", name=f"Test image {number + 1}:").click()
    label = CLASSES[FACTS["images"][number]["label"]]
    expect(page.locator("#lenet .taken")).to_contain_text(f"Class: {label}. The network says")
    pixels = image_of(number) / 255
    page.wait_for_function(
        "(pixels) => document.querySelector('#lenet .layer canvas').getContext('2d').getImageData(0, 0, 28, 28).data"
        ".every((value, i) => i % 4 === 3 || Math.abs(value - 255 * pixels[Math.floor(i / 4)]) < 1)",
        arg=pixels.ravel().tolist(),
    )


def point(page: Page, layer: int, number: int, row: int = 0, column: int = 0) -> str:
    """Point at a unit; gives what is said of it."""
    if layer == len(LAYERS) - 1:
        page.locator("#lenet li").nth(row).hover()
    else:
        canvas = page.locator("#lenet .layer").nth(layer).locator(".pixels canvas").nth(number)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        facts = LAYERS[layer]
        x = box["x"] + box["width"] * (column + 0.5) / facts.columns
        page.mouse.move(x, box["y"] + box["height"] * (row + 0.5) / facts.rows)
    return said(page)


def said(page: Page) -> str:
    """What is said of the chosen unit."""
    return page.locator("#lenet-unit").inner_text()


def numbers(text: str) -> list[float]:
    """The numbers in a text, apart from those that places have."""
    return [float(number.replace(MINUS, "-")) for number in re.findall(rf"{MINUS}?\d+\.\d+", text)]


def test_network_of_the_page_is_as_good_as_the_recorded_one():
    if not SYSTEM_FOLDER.is_dir():
        pytest.skip(f"needs all test images, as the Debian package dataset-fashion-mnist has them in {SYSTEM_FOLDER}")
    _, test = load_fashion_mnist(ROOT / "data", Profile())
    with torch.no_grad():
        guesses = torch.cat([quantized()(batch).argmax(1) for batch in as_tensor(test.images).split(1000)]).numpy()
    accuracy = np.mean(guesses == test.labels)
    notebook = nbformat.read(ROOT / "recordings/pytorch/chapter_cnn/lenet.ipynb", as_version=4)
    outputs = (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    (recorded,) = (data[RUN_MIME]["metrics"]["val_acc"] for data in outputs if RUN_MIME in data)
    assert abs(accuracy - recorded) <= 0.005
    assert accuracy == pytest.approx(FACTS["accuracy_in_eight_bits"], abs=2e-4) and len(test) == FACTS["test_images"]
    for number, facts in enumerate(FACTS["images"]):
        assert (image_of(number) == test.images[facts["index"]]).all() and facts["label"] == test.labels[facts["index"]]
        # The first of each class, and two that are taken for something else.
        assert facts["label"] == number if number < 10 else guesses[facts["index"]] != facts["label"]


def test_scores_are_pytorchs_for_a_hundred_images(live):
    _, test = load_fashion_mnist(ROOT / "data", Profile(smoke=True))
    images = as_tensor(test.images[:100])
    with torch.no_grad():
        expected = quantized()(images).numpy()
    found = np.reshape(live.evaluate(LOGITS, images.ravel().tolist()), (100, 10))
    assert np.abs(found - expected).max() < 1e-3


def test_maps_show_what_pytorchs_layers_give(live):
    choose_image(live, 6)
    outputs = layers_of(image_of(6))
    for index, (facts, step) in enumerate(zip(LAYERS[:-1], SHOWN, strict=False)):
        expected = outputs[step].reshape(facts.count, facts.rows, facts.columns)
        canvases = live.locator("#lenet .layer").nth(index).locator(".pixels canvas")
        assert canvases.count() == facts.count
        for number in range(facts.count):
            drawn = canvases.nth(number).evaluate(
                "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            )
            greys = np.reshape(drawn, (facts.rows, facts.columns, 4))[..., 0]
            assert np.abs(greys - 255 * expected[number]).max() <= 1, facts.name
    chances = torch.from_numpy(outputs[-1]).softmax(0).tolist()
    shown = [float(text.replace("over ", "").rstrip("%")) for text in live.locator("#lenet li b").all_text_contents()]
    assert shown == pytest.approx([100 * chance for chance in chances], abs=1)


@pytest.mark.parametrize(
    ("layer", "number", "row", "column"),
    [(1, 1, 13, 16), (1, 5, 0, 27), (3, 7, 9, 0), (5, 0, 2, 11), (6, 0, 1, 3), (7, 0, 9, 0)],
)
def test_unit_is_explained_by_its_products_sum_bias_and_activation(live, layer, number, row, column):
    choose_image(live, 9)
    facts, outputs = LAYERS[layer], layers_of(image_of(9))
    parameters = [parameter.detach().numpy() for parameter in quantized().parameters()]
    which = [1, 3, 5, 6, 7].index(layer)
    weights, biases = parameters[2 * which : 2 * which + 2]
    text = point(live, layer, number, row, column)
    unit = row * facts.columns + column
    output = number if facts.count > 1 else unit
    together = outputs[[1, 4, 8, 10, 12][which]]
    together = together[number, row, column] if facts.count > 1 else together.ravel()[unit]
    activated = torch.from_numpy(outputs[-1]).softmax(0)[unit].item() if layer == 7 else 1 / (1 + np.exp(-together))
    count = weights[output].size
    where = (
        f"{facts.name}, channel {number + 1}, row {row + 1}, column {column + 1}"
        if facts.count > 1
        else f"{facts.name}, {CLASSES[unit] if layer == 7 else f'unit {unit + 1}'}"
    )
    assert text.startswith(f"{where}: {count} products sum to ")
    expected = [together - biases[output], biases[output], together]
    assert numbers(text)[:3] == pytest.approx(expected, abs=0.006)
    if layer == 7:
        assert text.endswith(f"softmax makes it {round(100 * activated)} percent.")
    else:
        assert text.endswith(f"sigmoid gives {activated:.2f}.")


def test_pooled_unit_is_a_mean_and_a_pixel_is_itself(live):
    choose_image(live, 9)
    outputs = layers_of(image_of(9))
    assert point(live, 2, 4, 6, 8) == (
        "Pooling 1, channel 5, row 7, column 9: 4 numbers, each times 0.25, sum to "
        f"{outputs[3][4, 6, 8]:.2f}, their mean."
    )
    assert point(live, 0, 0, 19, 6) == f"Image, row 20, column 7: a pixel of {outputs[0][0, 19, 6]:.2f}."


def outlined(page: Page, layer: int) -> list[tuple[int, ...]]:
    """The outlines in a layer: map, first row, first column, rows and columns, in units."""
    facts, found = LAYERS[layer], []
    for number, map in enumerate(page.locator("#lenet .layer").nth(layer).locator(".pixels").all()):
        place = map.locator(".place")
        if place.is_visible():
            canvas, box = map.locator("canvas").bounding_box(), place.bounding_box()
            unit = canvas["height"] / facts.rows, canvas["width"] / facts.columns
            edges = (box["y"] - canvas["y"], box["x"] - canvas["x"], box["height"], box["width"])
            found.append((number, *(round(edge / unit[i % 2]) for i, edge in enumerate(edges))))
    return found


@pytest.mark.parametrize(
    ("layer", "number", "row", "column", "window"),
    [
        (1, 2, 0, 10, [(0, -2, 8, 5, 5)]),
        (2, 3, 5, 6, [(3, 10, 12, 2, 2)]),
        (3, 9, 4, 7, [(number, 4, 7, 5, 5) for number in range(6)]),
        (4, 11, 1, 2, [(11, 2, 4, 2, 2)]),
        (5, 0, 1, 20, [(number, 0, 0, 5, 5) for number in range(16)]),
        (6, 0, 2, 5, [(0, 0, 0, 4, 30)]),
    ],
)
def test_window_of_a_unit_is_outlined_in_the_maps_before(live, layer, number, row, column, window):
    point(live, layer, number, row, column)
    assert outlined(live, layer - 1) == window
    assert outlined(live, layer) == [(number, row, column, 1, 1)]
    assert sum(len(outlined(live, other)) for other in range(7)) == len(window) + 1


def test_last_layer_sees_all_of_the_one_before(live):
    point(live, 7, 0, 3)
    assert outlined(live, 6) == [(0, 0, 0, 3, 28)]
    assert live.locator("#lenet li.chosen").inner_text().startswith("dress")


def test_units_are_one_stop_of_the_keyboard_and_arrows_walk_from_layer_to_layer(live):
    live.get_by_role("button", name="Clear").focus()
    live.keyboard.press("Tab")
    for key, where in [
        ("Home", "Convolution 1, channel 1, row 1, column 1"),
        ("ArrowRight", "Convolution 1, channel 1, row 1, column 2"),
        ("ArrowLeft", "Convolution 1, channel 1, row 1, column 1"),
        ("ArrowLeft", "Convolution 1, channel 1, row 1, column 1"),
        ("End", "Convolution 1, channel 6, row 28, column 28"),
        ("ArrowDown", "Pooling 1, channel 6, row 1, column 14"),
        ("ArrowUp", "Convolution 1, channel 6, row 28, column 28"),
        ("PageDown", "Pooling 1, channel 1, row 1, column 1"),
        ("PageDown", "Convolution 2, channel 1, row 1, column 1"),
        *[("ArrowDown", f"Convolution 2, channel 1, row {row}, column 1") for row in range(2, 11)],
        ("ArrowDown", "Convolution 2, channel 9, row 1, column 1"),
        ("PageDown", "Pooling 2, channel 1, row 1, column 1"),
        *[("ArrowRight", f"Pooling 2, channel 1, row 1, column {column}") for column in range(2, 6)],
        ("ArrowRight", "Pooling 2, channel 2, row 1, column 1"),
        ("PageDown", "Dense 1, unit 1"),
        ("ArrowDown", "Dense 1, unit 31"),
        ("PageDown", "Dense 2, unit 1"),
        ("PageDown", "Dense 3, t-shirt"),
        ("End", "Dense 3, ankle boot"),
        ("ArrowDown", "Dense 3, ankle boot"),
        ("ArrowUp", "Dense 3, bag"),
        *[("PageUp", name) for name in ("Dense 2", "Dense 1", "Pooling 2", "Convolution 2", "Pooling 1")],
        ("PageUp", "Convolution 1"),
        ("PageUp", "Image, row 1, column 1"),
        ("PageUp", "Image, row 1, column 1"),
    ]:
        live.keyboard.press(key)
        assert said(live).startswith(where), key
        assert live.locator(":focus").get_attribute("aria-label").startswith(where.split(",")[0])
        assert live.locator("#lenet .layer[tabindex='0']").count() == 1
    live.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })")
    live.locator(":focus").dispatch_event(
        "keydown", {"key": "ArrowUp", "ctrlKey": True, "bubbles": True, "cancelable": True}
    )
    assert live.evaluate("window.taken") is False


def test_test_images_are_chosen_by_keyboard_and_the_answer_is_said(live):
    live.get_by_role("button", name="Test image 2: trouser").focus()
    live.keyboard.press("Enter")
    taken = live.locator("#lenet .taken")
    expect(taken).to_have_text(re.compile(r"^Class: trouser\. The network says: trouser, (over )?\d+ percent\.$"))
    assert taken.get_attribute("role") == "status"
    assert live.locator("#lenet [aria-pressed=true]").get_attribute("aria-label") == "Test image 2: trouser"
    choose_image(live, 10)
    assert CLASSES[FACTS["images"][10]["label"]] not in taken.inner_text().split("says")[1]


def stroke(page: Page, *places: tuple[float, float]) -> None:
    """Draw a line through places on the field, given as shares of its sides."""
    field = page.locator("#lenet .field")
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    for index, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if index == 0:
            page.mouse.down()
    page.mouse.up()


def network_sees(page: Page) -> np.ndarray:
    """The image that the network has, from 0 to 255."""
    drawn = page.locator("#lenet .layer canvas").first.evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 28, 28).data]"
    )
    return np.reshape(drawn, (28, 28, 4))[..., 0]


def test_drawing_is_brought_to_the_size_and_the_middle_of_the_data_and_named(live):
    stroke(live, (0.1, 0.3), (0.1, 0.7), (0.3, 0.7))
    expect(live.locator("#lenet .taken")).to_have_text(re.compile(r"^A drawing\. The network says: .*percent\.$"))
    assert live.locator("#lenet [aria-pressed=true]").count() == 0
    live.wait_for_function(
        "document.querySelector('#lenet .layer canvas').getContext('2d').getImageData(0, 14, 28, 1).data"
        ".some((value, i) => i % 4 === 0 && value > 200)"
    )
    ink = network_sees(live) > 100
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (0, 27)  # the longer side is as long as the image
    assert abs(columns[0] - (27 - columns[-1])) <= 1 and columns[-1] - columns[0] < 22
    live.get_by_role("button", name="Clear").click()
    expect(live.locator("#lenet .taken")).to_have_text(re.compile(r"^Nothing drawn\. The network says: "))
    assert not network_sees(live).any()
    choose_image(live, 0)


@pytest.mark.only_in("chromium", "Playwright cannot tap in Firefox")
def test_fingers_draw_and_choose_units_and_the_page_does_not_scroll_meanwhile(html, browser):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "#fig-lenet")
    begin(page)
    field = page.locator("#lenet .field")
    assert field.evaluate("(element) => getComputedStyle(element).touchAction") == "none"
    field.tap(position={"x": 60, "y": 60})
    expect(page.locator("#lenet .taken")).to_contain_text("A drawing.")
    page.locator("#lenet .layer").nth(4).locator(".pixels").nth(3).tap()
    assert said(page).startswith("Pooling 2, channel 4, row 3, column 3: ")
    # On a phone, what is said of the unit is on the screen with it.
    box = page.locator("#lenet-unit").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 740
    assert box["height"] < 0.15 * 740  # and leaves room for the network
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_products_stand_where_what_is_seen_and_its_weights_do(live, width):
    live.set_viewport_size({"width": width, "height": 900})
    live.evaluate("""() => {
        window.across = {};
        const { drawNumbers } = LeNetFigure;
        LeNetFigure.drawNumbers = (canvas, numbers, window_, ...others) => {
            across[canvas.className] = [window_.count, window_.across];
            drawNumbers(canvas, numbers, window_, ...others);
        };
    }""")
    point(live, 3, 4, 4, 4)
    across = live.evaluate("across")
    assert list(across) == ["seen", "weights", "products"]
    assert across["seen"] == across["weights"] == across["products"] == [6, 3]


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
def test_nothing_is_loaded_before_the_figure_is_on_the_screen_and_nothing_moves_when_it_is(html, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.add_init_script(LAYOUT_SHIFTS)
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    page.wait_for_load_state("networkidle")
    assert not set(asked) & set(LOADED)
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.locator("#lenet").evaluate("(figure) => figure.scrollIntoView()")
    begin(page)
    assert [name for name in asked if name in LOADED] == LOADED
    assert page.evaluate("shifts") == 0
    assert page.problems == []


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
def test_what_cannot_be_loaded_is_said(html, browser):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/lenet-data.js", lambda route: route.abort())
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "#fig-lenet")
    page.locator("#lenet").scroll_into_view_if_needed()
    expect(page.locator("#lenet .taken")).to_have_text(
        "lenet-data.js, which this figure needs, could not be loaded. Reload the page to try again."
    )
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(html, page, theme):
    page.emulate_media(color_scheme=theme)
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "#fig-lenet")
    begin(page)
    point(page, 7, 0, 3)
    found = Axe().run(page, "#fig-lenet")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_figure_fits_and_so_do_fingers(live, width):
    live.set_viewport_size({"width": width, "height": 740})
    assert live.evaluate("document.documentElement.scrollWidth") == width
    for target in live.locator("#lenet :is(button, .pixels, li, .explained canvas)").all():
        box = target.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert min(box["width"], box["height"]) >= 18


def test_without_scripts_and_on_paper_there_is_the_picture(html, browser, live):
    check_picture_stands_in(html, browser, live, "lenet", "#fig-lenet", "#lenet")
