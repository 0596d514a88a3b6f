"""Two networks trained in the page: what a reader asks of them, what they show, and where they cannot be."""

import base64
import gzip
import re
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from live_figures import check_picture_stands_in
from playwright.sync_api import Page, expect

from d2l.fashion_mnist import SAMPLE_FOLDER, read_idx
from theme.training import ACTIVATIONS, INITIALIZATIONS, RATES, SCRIPTS, images

LONG = 120_000  # milliseconds; only what hangs takes them


@pytest.fixture
def offer(html, page) -> Iterator[Page]:
    """The page with the offer to train; nothing may have gone wrong in the end."""
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url.rpartition("/")[2]))
    page.goto((html / "chapter_cnn/ingredients.html").as_uri() + "#train-lenet")
    yield page
    assert page.problems == []


@pytest.fixture
def paused(offer) -> Page:
    """The page with both networks loaded and at rest, before their first step."""
    accept(offer)
    offer.get_by_role("button", name="Reset").click()
    expect(heading(offer)).to_have_text("After 0 steps")
    return offer


def accept(page: Page) -> None:
    page.get_by_role("button", name="Train both here").click()
    expect(page.get_by_role("button", name="Pause")).to_be_focused(timeout=LONG)


def heading(page: Page):
    return page.locator(".networks caption")


def status(page: Page):
    return page.locator(".networks [role=status]")


def cells(page: Page) -> list[list[str]]:
    """Loss and accuracy of each network, as the table has them."""
    return [row.locator("td").all_inner_texts() for row in page.locator(".networks tbody tr").all()]


def step(page: Page, steps: int = 1) -> None:
    """Press the button, so many times, and wait for the last of them."""
    for _ in range(steps):
        page.get_by_role("button", name="Step").click()
    expect(status(page)).to_contain_text("One step further", timeout=LONG)


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
def test_nothing_is_loaded_before_it_is_asked_for(offer):
    assert not set(SCRIPTS) & set(offer.requests)
    accept(offer)
    assert set(SCRIPTS) <= set(offer.requests)


def test_networks_train_side_by_side_until_they_are_paused(offer):
    accept(offer)
    expect(heading(offer)).to_contain_text("epochs", timeout=LONG)  # the first is over
    offer.get_by_role("button", name="Pause").click()
    expect(status(offer)).to_contain_text("Paused, after", timeout=LONG)
    (loss, accuracy), (relu_loss, relu_accuracy) = cells(offer)
    assert abs(float(loss) - np.log(10)) < 0.1 and float(relu_loss) < 2
    assert int(accuracy.rstrip("%")) < 25 < int(relu_accuracy.rstrip("%"))
    assert f"sigmoid {accuracy}, ReLU {relu_accuracy}." in status(offer).inner_text()
    assert "images per second" in offer.locator(".networks .rate").inner_text()
    before = int(re.search(r"[\d,]+", heading(offer).inner_text())[0].replace(",", ""))
    step(offer)  # takes the next one after those before the pause
    expect(heading(offer)).to_contain_text(f"After {before + 1} steps")
    names = [plot.get_attribute("aria-label") for plot in offer.locator(".networks .plots svg").all()]
    assert [name.split(" after ")[0] for name in names] == ["Loss of training batches", "Accuracy on test images"]
    assert all(f"after {before + 1} steps" in name for name in names)
    points = [len(line.get_attribute("points").split()) for line in offer.locator(".networks polyline").all()]
    assert points[0] == points[1] > 1 and points[2] == points[3] > 1


def test_step_is_one_step_and_reset_begins_anew(paused):
    step(paused)
    expect(heading(paused)).to_have_text("After 1 step")
    first = cells(paused)
    assert all(re.fullmatch(r"\d\.\d\d", loss) and re.fullmatch(r"\d+%", accuracy) for loss, accuracy in first)
    paused.get_by_role("button", name="Reset").click()
    expect(heading(paused)).to_have_text("After 0 steps")
    # Before any step, the loss is that of the images that the first one learns from.
    losses = paused.locator(".networks tbody td:nth-of-type(1)")
    expect(losses).to_have_text([loss for loss, _ in first], timeout=LONG)
    heads = paused.locator(".networks svg:nth-child(2) circle")
    sizes = [head.bounding_box()["width"] for head in heads.all()]
    assert sizes[0] > 1.5 * sizes[1]  # both are seen where they coincide
    step(paused)
    assert cells(paused) == first


def test_steps_asked_for_at_once_are_all_taken(paused):
    step(paused, 3)
    expect(heading(paused)).to_have_text("After 3 steps", timeout=LONG)


def test_steps_are_those_of_the_network_by_itself(paused):
    step(paused)
    losses = paused.evaluate(
        """async (activations) => Promise.all(activations.map(async (activation) => {
            const run = trainingRun(networkLibrary());
            await run.load(fashionMnist);
            run.begin({ activation, initialization: "Glorot", seed: 0 });
            return run.train({ steps: 1, learningRate: 0.1, evaluate: false }).loss;
        }))""",
        list(ACTIVATIONS),
    )
    assert [f"{loss:.2f}" for loss in losses] == [loss for loss, _ in cells(paused)]


@pytest.mark.only_in("chromium", "the same script asks the same library in either")
def test_each_step_learns_from_other_images(paused):
    losses = paused.evaluate(
        """async () => {
            const run = trainingRun(networkLibrary());
            await run.load(fashionMnist);
            run.begin({ activation: "ReLU", initialization: "Glorot", seed: 0 });
            return Array.from({ length: 9 }, () => run.train({ steps: 1, learningRate: 0, evaluate: false }).loss);
        }"""
    )
    assert len(set(losses)) == 9


def test_choices_begin_anew_and_go_on_if_training_did(paused):
    step(paused)
    paused.get_by_label("First weights").select_option("small")
    expect(heading(paused)).to_have_text("After 0 steps")
    step(paused)
    assert [loss for loss, _ in cells(paused)] == ["2.30", "2.30"]  # with small weights all scores are about equal
    paused.get_by_role("button", name="Start").click()
    paused.get_by_label("Learning rate").select_option("0.3")
    expect(paused.get_by_role("button", name="Pause")).to_be_visible()
    expect(status(paused)).to_have_text("Training from the first step: learning rate 0.3, a deviation of 0.01.")
    paused.get_by_role("button", name="Reset").click()
    expect(paused.get_by_role("button", name="Start")).to_be_visible()
    assert paused.get_by_label("Learning rate").input_value() == "0.1"


@pytest.mark.only_in("chromium", "the same script asks the same library in either")
def test_every_choice_is_one_that_the_network_knows(paused):
    assert paused.evaluate("networkLibrary().Network.INITIALIZATIONS") == list(INITIALIZATIONS)
    assert set(ACTIVATIONS) <= set(paused.evaluate("networkLibrary().Network.ACTIVATIONS"))
    options = paused.get_by_label("Learning rate").locator("option").all_inner_texts()
    assert options == [str(rate) for rate in RATES]


def test_page_itself_computes_nothing(offer):
    offer.add_init_script("window.computed = 0")
    offer.reload()
    offer.evaluate(
        """() => {
            let library;
            Object.defineProperty(window, "networkLibrary", {
                get: () => library,
                set: (value) => {
                    library = new Proxy(value, {
                        apply() { window.computed += 1; },
                        get: (target, name) => (name === Symbol.toPrimitive ? () => String(target) : target[name]),
                    });
                },
            });
        }"""
    )
    accept(offer)
    expect(heading(offer)).to_contain_text("8 steps", timeout=LONG)
    assert offer.evaluate("computed") == 0


def test_keyboard_is_enough(offer):
    offer.get_by_role("button", name="Train both here").focus()
    offer.keyboard.press("Enter")
    expect(offer.get_by_role("button", name="Pause")).to_be_focused(timeout=LONG)
    offer.keyboard.press("Space")
    expect(offer.get_by_role("button", name="Start")).to_be_focused()
    for name in ("Step", "Reset", "Learning rate", "First weights"):
        offer.keyboard.press("Tab")
        focused = "document.activeElement.labels[0]?.textContent ?? document.activeElement.textContent"
        assert offer.evaluate(focused) == name


def test_what_is_said_aloud_does_not_follow_every_step(paused):
    paused.evaluate(
        """() => {
            window.said = [];
            const status = document.querySelector(".networks [role=status]");
            new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
        }"""
    )
    paused.get_by_role("button", name="Start").click()
    expect(heading(paused)).to_contain_text("epochs", timeout=LONG)
    paused.get_by_role("button", name="Pause").click()
    expect(status(paused)).to_contain_text("Paused, after", timeout=LONG)
    assert [words.split(",")[0] for words in paused.evaluate("said")] == [
        "Training from the first step: learning rate 0.1",
        "Paused",
    ]


def test_how_far_training_has_come_is_said_to_those_who_do_not_see_the_table(paused):
    paused.evaluate("TrainingFigure.SPOKEN = 0.5")
    paused.get_by_role("button", name="Start").click()
    spoken = paused.locator(".networks [aria-live]")
    expect(spoken).to_contain_text("So far, after", timeout=LONG)
    assert spoken.bounding_box()["width"] <= 1  # soon the table has other numbers
    paused.get_by_role("button", name="Reset").click()
    expect(spoken).to_have_text("")


def test_training_ends_and_begins_anew(paused):
    paused.evaluate("TrainingFigure.EPOCHS = 1")
    paused.get_by_role("button", name="Start").click()
    expect(paused.get_by_role("button", name="Start")).to_be_visible(timeout=LONG)
    expect(heading(paused)).to_contain_text("(1 epoch)", timeout=LONG)
    step(paused)
    expect(heading(paused)).to_have_text("After 1 step", timeout=LONG)


def test_training_that_diverges_is_said_to(paused):
    paused.get_by_label("Learning rate").locator("option").first.evaluate("(option) => { option.value = 1e30; }")
    paused.get_by_label("Learning rate").select_option("1e+30")
    step(paused, 3)
    assert "lost" in [loss for loss, _ in cells(paused)]
    assert "has diverged" in status(paused).inner_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_and_all_fits(html, browser, theme, width):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    page = context.new_page()
    page.goto((html / "chapter_cnn/ingredients.html").as_uri())
    accept(page)
    page.get_by_role("button", name="Reset").click()
    step(page)
    found = Axe().run(page, "figure.trained")
    assert found.violations_count == 0, found.generate_report()
    for control in page.locator(".networks :is(button, select)").all():
        box = control.bounding_box()
        assert box["height"] >= 24 and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_picture_stands_on_paper_and_without_scripts(paused, html, browser):
    check_picture_stands_in(html, browser, paused, "ingredients", "#fig-training", ":is(.networks, .training)")


@pytest.mark.only_in("chromium", "Playwright sees no requests for files in Firefox")
@pytest.mark.fault("The images for training in the page cannot be loaded")
def test_script_that_is_not_there_is_named_with_what_it_takes(html, page, sees):
    page.route("**/fashion-mnist.js", lambda route: route.abort())
    page.goto((html / "chapter_cnn/ingredients.html").as_uri())
    button = page.get_by_role("button", name="Train both here")
    button.click()
    problem = page.locator(".training .offer [role=status]")
    expect(problem).to_contain_text("fashion-mnist.js could not be loaded. It takes the folder _static", timeout=LONG)
    sees(re.sub(r"file:\S*/(?=_static)", "", problem.inner_text()))
    page.unroute("**/fashion-mnist.js")
    accept(page)  # the next try works


@pytest.mark.fault("The browser gives the page no worker to train in")
def test_browser_without_workers_is_told_what_it_takes(html, page, sees):
    page.add_init_script("Worker = class { constructor() { throw new Error('workers are switched off'); } };")
    page.goto((html / "chapter_cnn/ingredients.html").as_uri())
    page.get_by_role("button", name="Train both here").click()
    problem = page.locator(".training .offer [role=status]")
    expect(problem).to_contain_text("Training cannot start: workers are switched off. It takes", timeout=LONG)
    assert page.locator("figure img[src*='training.svg']").is_visible()
    sees(problem.inner_text())


@pytest.mark.fault("The browser cannot unpack the images for training in the page")
def test_browser_that_cannot_unpack_is_told_what_it_takes(html, page, sees):
    page.goto((html / "chapter_cnn/ingredients.html").as_uri())
    page.evaluate(
        """() => {
            Blob = class extends Blob {
                constructor([text], type) { super([`DecompressionStream = undefined; ${text}`], type); }
            };
        }"""
    )
    page.get_by_role("button", name="Train both here").click()
    problem = page.locator(".training .offer [role=status]")
    expect(problem).to_contain_text("DecompressionStream is not a constructor. It takes", timeout=LONG)
    sees(problem.inner_text())


def test_images_are_those_of_the_data_set():
    """Of the training set and the test set, the first ones come with the helper."""
    own = images()
    pixels = np.frombuffer(zlib.decompress(base64.b64decode(own["images"])), np.uint8).reshape(-1, 28, 28)
    assert (len(pixels), own["trainingImages"]) == (len(own["labels"]), 2000)
    for name, part in (("train", slice(0, 256)), ("t10k", slice(2000, 2128))):
        for kind, found in (("images-idx3", pixels[part]), ("labels-idx1", np.array(own["labels"][part]))):
            expected = read_idx(gzip.decompress((SAMPLE_FOLDER / f"{name}-{kind}-ubyte.gz").read_bytes()))
            np.testing.assert_array_equal(found, expected)
