"""The rendered pages in a real browser: nothing missing, tabs that act as one, no other host asked."""

import copy
import html as markup
import re
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from book.compile_notebooks import compile_sections
from book.errors import BookError
from book.execute_notebooks import with_outputs
from book.files import ROOT
from book.frameworks import FRAMEWORKS
from book.pages import render
from book.sanitize_svg import only_drawing
from book.source import configured_tabs, source_files

TABS = configured_tabs()
NAMES = [FRAMEWORKS[tab].title for tab in TABS]
# The pages of the helper's names, as they follow each other.
REFERENCE = ["data", "models", "training", "callbacks", "saving", "plotting", "devices", "tensors"]
PAGES = [str(path.relative_to(ROOT).with_suffix(".html")) for path in source_files()]
# Pictures that are not yet on the screen have not been asked for.
BROKEN_PICTURES = """async () => {
    const loaded = (image) => { image.loading = "eager"; return image.decode().then(() => [], () => [image.src]); };
    return (await Promise.all([...document.images].map(loaded))).flat();
}"""


def shown_frameworks(page: Page) -> set[str]:
    """The frameworks whose panels can be seen."""
    panels = page.locator(".panel:visible")
    return {panels.nth(i).get_attribute("data-framework") for i in range(panels.count())}


def file_at(address: str) -> Path:
    """The file that an address such as ``file:///home/a%20book/index.html`` stands for."""
    return Path(unquote(urlsplit(address).path))


def tab_of(page: Page, framework: str, number: int = 0) -> Locator:
    """The tab of a framework in the page's first group of tabs, or another."""
    return page.locator(f"[role=tab][data-framework={framework}]").nth(number)


def wait_for_state(load: Callable[[], object], reached: Callable[[], bool]) -> None:
    """Load a page until it is as expected: Chromium tells its other processes of what a page has stored a little later.

    Ten seconds at most, once it has been loaded, since a page that forgets is never as expected.
    """
    load()
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end, "the page has forgotten what was chosen"
        load()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_asks_no_other_host(html, page, name):
    page.goto((html / name).as_uri())
    page.wait_for_load_state("networkidle")
    broken = page.evaluate(BROKEN_PICTURES)
    assert broken == []
    assert page.problems == []


@pytest.mark.parametrize("kind", ["js", "css"])
def test_scripts_and_styles_are_in_the_same_order_on_every_machine(html, kind):
    """Folders list their files in any order; what the others build on comes first."""
    files = sorted((ROOT / "theme").glob(f"*.{kind}"), key=lambda path: (path.stem != "book", path.name))
    whole = "".join(path.read_text("utf-8") for path in files)
    assert (html / "_static" / f"d2l.{kind}").read_text("utf-8") == whole


@pytest.mark.only_in("chromium", "the same files are read in either")
@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_book_leads_somewhere(html, page, name):
    page.goto((html / name).as_uri())
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    for link in {link for link in links if link.startswith("file:")}:
        address, _, anchor = link.partition("#")
        path = file_at(address)
        assert path.exists(), link
        if anchor and not anchor.startswith(tuple(TABS)):
            assert f'id="{anchor}"' in path.read_text("utf-8"), link


def test_every_piece_of_code_has_all_tabs(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    lists = page.locator("[role=tablist]")
    assert lists.count() >= 6
    for i in range(lists.count()):
        assert lists.nth(i).locator("[role=tab]").all_text_contents() == NAMES
    outside = "[...document.querySelectorAll('.highlight-python')].filter(e => !e.closest('.panel')).length"
    assert page.evaluate(outside) == 0


@pytest.mark.parametrize("tab", TABS)
def test_choosing_a_framework_changes_the_whole_page_and_is_remembered_on_every_page(html, page, tab):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    assert shown_frameworks(page) == {"pytorch"}
    tab_of(page, tab, 2).click()
    assert shown_frameworks(page) == {tab}
    chosen = page.locator("[role=tab][aria-selected=true]")
    assert {chosen.nth(i).get_attribute("data-framework") for i in range(chosen.count())} == {tab}
    assert chosen.count() == page.locator("[role=tablist]").count()
    for name in ("alexnet", "lenet"):
        address = (html / f"chapter_cnn/{name}.html").as_uri()
        wait_for_state(lambda address=address: page.goto(address), lambda: shown_frameworks(page) == {tab})
    assert page.problems == []


def test_choosing_a_framework_keeps_the_place_on_the_screen(html, page):
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    tab = tab_of(page, "mxnet", 8)
    tab.scroll_into_view_if_needed()
    before = {framework: tab_of(page, framework, 8).bounding_box() for framework in TABS}
    for framework in ("mxnet", "jax", "pytorch"):
        tab_of(page, framework, 8).click()
        for other, box in before.items():
            assert tab_of(page, other, 8).bounding_box() == pytest.approx(box, abs=1)


def test_tabs_work_by_keyboard_as_aria_has_it(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    tab_of(page, "pytorch").focus()
    for key, framework in (
        ("ArrowRight", "tensorflow"),
        ("End", "jax"),
        ("ArrowRight", "pytorch"),
        ("ArrowLeft", "jax"),
    ):
        page.keyboard.press(key)
        tab = page.locator(":focus")
        assert tab.get_attribute("data-framework") == framework
        assert shown_frameworks(page) == {framework}
        assert (tab.get_attribute("aria-selected"), tab.get_attribute("tabindex")) == ("true", "0")
        panel = page.locator(f"#{tab.get_attribute('aria-controls')}")
        assert panel.get_attribute("role") == "tabpanel" and panel.is_visible()
    assert page.locator("[role=tablist]").first.locator("[tabindex='0']").count() == 1


def test_shortcuts_of_the_browser_are_left_to_it(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.evaluate("addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })")
    tab_of(page, "jax").click()
    for shortcut in ("Alt+ArrowLeft", "Control+Home", "Meta+ArrowRight"):
        tab_of(page, "jax").dispatch_event("keydown", pressed(shortcut))
        assert page.evaluate("window.taken") is False
        assert shown_frameworks(page) == {"jax"}
    page.locator(".explorer [role=option]").first.dispatch_event("keydown", pressed("Alt+ArrowRight"))
    assert page.evaluate("window.taken") is False


def pressed(shortcut: str) -> dict[str, object]:
    """The event of keys pressed together, which the browser itself does not get."""
    modifier, key = shortcut.split("+")
    held = {"Alt": "altKey", "Control": "ctrlKey", "Meta": "metaKey"}[modifier]
    return {"key": key, held: True, "bubbles": True, "cancelable": True}


def test_a_page_that_comes_back_as_it_was_left_shows_what_was_chosen_meanwhile(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.get_by_role("link", name="Breiman, 2001").focus()
    page.evaluate("""() => {
        dispatchEvent(new Event("pagehide"));
        localStorage.setItem("framework", "jax");
        localStorage.setItem("theme", "dark");
        dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    }""")
    assert shown_frameworks(page) == {"jax"}
    assert tab_of(page, "jax").get_attribute("aria-selected") == "true"
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.get_by_role("button", name="Light colours").count() == 1
    assert page.get_by_role("tooltip").count() == 0


def test_an_address_can_ask_for_a_framework(html, page):
    address = (html / "chapter_cnn/alexnet.html").as_uri()
    page.goto(f"{address}?framework=jax")
    assert shown_frameworks(page) == {"jax"}
    wait_for_state(lambda: page.goto(address), lambda: shown_frameworks(page) == {"jax"})
    wait_for_state(lambda: page.goto(f"{address}?framework=theano"), lambda: shown_frameworks(page) == {"jax"})
    assert page.locator("[role=status].notice").inner_text() == (
        "The address asks for the framework 'theano'; the book has pytorch, tensorflow, mxnet, jax, and shows jax."
    )


@pytest.mark.parametrize("tab", TABS)
def test_text_for_one_framework_is_shown_with_that_framework_only(html, page, tab):
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    tab_of(page, tab).click()
    note = page.get_by_text("MXNet multiplies a matrix by a vector on one core")
    assert note.count() == 1
    assert note.is_visible() == (tab == "mxnet")


def test_without_scripts_all_code_is_there_in_order_and_labelled(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    assert page.locator("[role=tab]:visible").count() == 0
    labels = page.locator(".panel > .framework:visible").all_inner_texts()
    assert labels[: len(TABS)] == NAMES
    assert len(labels) == page.locator(".tabs .panel").count()
    context.close()


def test_on_paper_there_is_the_chosen_framework_with_its_name_and_all_answers(html, page):
    page.goto((html / "chapter_cnn/answers.html").as_uri() + "?framework=jax")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown_frameworks(page) == {"jax"}
    assert page.locator("[role=tab]:visible, button:visible, nav:visible").count() == 0
    assert set(page.locator(".panel > .framework:visible").all_inner_texts()) == {"JAX"}
    assert page.locator("details.answer:not([open])").count() == 0


def test_a_note_is_not_printed(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.get_by_role("link", name="Breiman, 2001").focus()
    assert page.locator("#note").is_visible()
    page.emulate_media(media="print")
    assert not page.locator("#note").is_visible()


def test_after_printing_what_was_folded_is_folded_again(html, page):
    page.goto((html / "chapter_cnn/answers.html").as_uri())
    page.locator("details.answer > summary").nth(1).click()
    page.evaluate("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.answer[open]").count() == 1
    assert page.locator("details.answer").nth(1).get_attribute("open") is not None


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_shows_real_outputs(html, page, tab):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    tab_of(page, tab).click()
    text = "\n".join(page.locator(".panel:visible").all_inner_texts())
    assert "output shape: (1, 10)" in text
    assert "43,040,778 parameters" in text
    assert "Recorded on" in text and "val_acc" in text
    assert "smoke run" not in text


@pytest.mark.parametrize("system", ["light", "dark"])
def test_light_and_dark_follow_the_system_until_the_reader_chooses(html, browser, system):
    context = browser.new_context(color_scheme=system)
    page = context.new_page()
    address = (html / "chapter_cnn/alexnet.html").as_uri()
    page.goto(address)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    first = page.evaluate(ground)
    button = page.get_by_role("button", name="Dark colours" if system == "light" else "Light colours")
    button.click()
    other = page.evaluate(ground)
    wait_for_state(page.reload, lambda: page.evaluate(ground) == other)
    lightness = {name: sum(map(int, re.findall(r"\d+", colour)[:3])) for name, colour in (("1", first), ("2", other))}
    assert (lightness["1"] > lightness["2"]) == (system == "light")
    page.locator("button.theme").click()
    page.emulate_media(color_scheme="dark" if system == "light" else "light")
    page.wait_for_function(f"{ground} === '{other}'")
    context.close()


def test_code_is_copied_as_it_stands(html, browser):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    cell = page.locator("div.highlight-python:visible", has_text="layer_summary(").last
    cell.hover()
    page.evaluate("window.setTimeout = () => {}")  # which would take the word away again
    cell.get_by_role("button").click()
    expect(cell.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "AlexNet().layer_summary((1, 1, 224, 224))"
    session = ">>> x = 1\n>>> print(x)\n1\n"
    assert page.evaluate("codeToCopy", session) == "x = 1\nprint(x)"
    context.close()


def test_answers_wait_until_they_are_asked_for(html, page):
    page.goto((html / "chapter_cnn/answers.html").as_uri())
    answers = page.locator("details.answer")
    assert answers.count() == len(re.findall("^## ", (ROOT / "chapter_cnn" / "answers.md").read_text("utf-8"), re.M))
    assert not answers.first.locator("p").first.is_visible()
    answers.first.locator("summary").click()
    assert answers.first.locator("p").first.is_visible()
    assert page.problems == []


def test_answers_beside_exercises_are_folded_and_open_without_scripts(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for path in source_files():
        page.goto((html / path.relative_to(ROOT).with_suffix(".html")).as_uri())
        answers = page.locator("li > details.answer")
        assert answers.count() == path.read_text("utf-8").count("\n   **Answer.** ")
        for answer in answers.all():
            assert not answer.locator("p").first.is_visible()
            answer.locator("summary").press("Enter")
            assert answer.locator("p").first.is_visible()
            assert not answer.locator("p").first.inner_text().startswith("Answer")
            assert not answer.evaluate("(answer) => answer.nextElementSibling")
    context.close()


@pytest.mark.parametrize("width", [320, 360])
@pytest.mark.parametrize("name", PAGES)
def test_page_does_not_scroll_sideways_on_a_phone(html, page, name, width):
    page.set_viewport_size({"width": width, "height": 740})
    page.goto((html / name).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 360])
def test_no_tab_lies_below_the_button_that_copies(html, page, width):
    page.set_viewport_size({"width": width, "height": 740})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    for group in page.locator(".tabs").all():
        last = group.get_by_role("tab").last.bounding_box()
        for button in group.locator(".copy:visible").all():
            box = button.bounding_box()
            assert box["x"] >= last["x"] + last["width"] or box["y"] >= last["y"] + last["height"]


@pytest.mark.only_in("chromium", "the same files are read in either")
@pytest.mark.parametrize("name", [*PAGES, "search.html"])
def test_page_is_light(html, page, name):
    page.goto((html / name).as_uri())
    own = "[...document.querySelectorAll('link, script[src], img')].map((element) => element.href ?? element.src)"
    addresses = {page.url, *page.evaluate(own)}
    paths = [file_at(address) for address in addresses]
    assert sum(path.stat().st_size for path in paths if not path.name.startswith("output_")) < 500_000


@pytest.mark.only_in("chromium", "axe takes long, and is asked once for every page in Firefox")
@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (768, "dark"), (1280, "light")])
@pytest.mark.parametrize("name", [*PAGES, "search.html"])
def test_axe_finds_nothing(html, browser, name, width, theme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    page.goto((html / name).as_uri())
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    context.close()


@pytest.mark.only_in("firefox", "it is asked at three widths in Chromium")
@pytest.mark.parametrize("name", [*PAGES, "search.html"])
def test_axe_finds_nothing_in_firefox(html, page, name):
    page.goto((html / name).as_uri())
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.only_in("chromium", "the same files are read in either")
@pytest.mark.parametrize("tab", TABS)
def test_a_notebook_is_downloaded_whole(html, page, tab):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + f"?framework={tab}")
    assert page.get_by_text(f"make lab NOTEBOOK={tab}/chapter_cnn/alexnet").is_visible()
    link = page.locator("a[download]:visible").first.get_attribute("href")
    notebook = nbformat.read((html / "chapter_cnn" / link).resolve(), as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert f"from d2l import {FRAMEWORKS[tab].module} as d2l" in text
    assert not re.search(r"\]\([^):]*\.(svg|png)\)", text)
    shown = re.findall(r"\]\(attachment:([^)]+)\)", text)
    assert "alexnet.svg" in shown
    assert {name for cell in notebook.cells for name in cell.get("attachments", {})} == set(shown)


def test_book_without_pictures_has_a_page_of_every_section_for_whichever_frameworks_it_is(tmp_path, monkeypatch):
    for name in ("book", "d2l", "theme", "config.ini", "references.bib", "CITATION.cff"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "chapter_a").mkdir()
    for name, text in {
        "index": "# A book\n\n```toc\nchapter_a/all\nchapter_a/one\n```\n",
        "chapter_a/all": "# For all\n\n```{.python .input}\nof_all = 1\n```\n",
        "chapter_a/one": f"# For one\n\n```{{.python .input}}\n%%tab {TABS[-1]}\nof_one = 1\n```\n",
    }.items():
        (tmp_path / f"{name}.md").write_text(text)
    for name in (
        "source.ROOT",
        "d2lbook_adapter.ROOT",
        "stale.ROOT",
        "pages.ROOT",
        "pages.BUILD",
        "downloads.DOWNLOADS",
        "cache.CACHE",
    ):
        folder = {"ROOT": tmp_path, "BUILD": tmp_path / "_build"}.get(name.partition(".")[2], tmp_path / name)
        monkeypatch.setattr(f"book.{name}", folder)
    (tmp_path / "downloads.DOWNLOADS").mkdir()
    render([with_outputs(section, section.notebook) for section in compile_sections()], tmp_path / "html")
    pages = {name: (tmp_path / "html" / "chapter_a" / f"{name}.html").read_text("utf-8") for name in ("all", "one")}
    assert all(f"of_{name}" in text for name, text in pages.items())
    assert "of_one" not in pages["all"]


def test_search_finds_sections_by_their_words_from_a_folder_on_disk(html, page):
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    page.get_by_role("searchbox").fill("dropout overfit")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=dropout+overfit")
    found = page.locator("#found li")
    assert found.first.locator("mark").first.inner_text().lower() in ("dropout", "overfit")
    assert page.locator("main [role=status]").inner_text() == f"{found.count()} places have all these words."
    found.first.get_by_role("link").click()
    page.wait_for_url("**/chapter_cnn/*.html?*#*")
    page.wait_for_load_state("networkidle")
    for query in ("batch_size", "Fashion-MNIST", "nn.ReLU()"):
        page.goto((html / "search.html").as_uri() + f"?q={query}")
        assert found.first.locator("mark").first.inner_text().lower() == query.lower()
    page.goto((html / "search.html").as_uri() + "?q=<img src=x>")
    assert page.locator("main [role=status]").inner_text() == "No places have all these words."
    assert page.problems == []


@pytest.mark.parametrize("query", ["overfitting", "exercises"])
def test_what_has_the_word_in_its_title_only_is_shown_with_its_text(html, page, query):
    page.goto((html / "search.html").as_uri() + f"?q={query}")
    texts = page.locator("#found li > p").all_inner_texts()
    assert texts and all(texts)


def test_whoever_comes_back_from_a_section_finds_the_list_again(html, page):
    page.goto((html / "search.html").as_uri())
    page.get_by_label("Words to find").press_sequentially("roofline")
    page.locator("#found li a").first.click()
    page.wait_for_url("**/chapter_cnn/*.html?*#*")
    page.go_back()
    assert page.get_by_label("Words to find").input_value() == "roofline"
    assert page.locator("#found li").count() > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_what_a_search_has_found(html, browser, theme):
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    page.goto((html / "search.html").as_uri() + "?q=dropout")
    assert page.locator("mark").count() > 0
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    context.close()


def luminance(colour: str) -> float:
    """Relative luminance of a colour such as ``rgb(0, 0, 0)``, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fields_and_the_words_in_them_can_be_seen(html, browser, theme):
    """Contrasts that axe does not measure."""
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    colours = page.evaluate("""() => {
        const style = (place, part) => getComputedStyle(document.querySelector(place), part);
        const search = style(".top [type=search]");
        return [
            [style(".top [type=search]", "::placeholder").color, search.backgroundColor, 4.5],
            [search.borderTopColor, style("html").backgroundColor, 3],
            [style("#explorer-size").borderTopColor, style("html").backgroundColor, 3],
        ];
    }""")
    for colour, ground, least in colours:
        dark, light = sorted(luminance(each) + 0.05 for each in (colour, ground))
        assert light / dark >= least, (colour, ground)
    context.close()


def test_an_address_that_leads_to_an_answer_opens_it(html, page):
    page.goto((html / "chapter_cnn/answers.html").as_uri() + "#answer-3")
    assert page.locator("details.answer[open]").count() == 1


def test_what_a_reference_stands_for_is_shown_beside_it(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    note = page.get_by_role("tooltip")
    page.get_by_role("link", name="Breiman, 2001").hover()
    assert "Random forests" in note.inner_text()
    page.mouse.move(0, 0)
    assert note.count() == 0
    page.get_by_role("link", name="Fig. 1.3.1").focus()
    assert "Two ways from an image to a class" in note.inner_text()
    box = note.bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 900
    page.keyboard.press("Escape")
    assert note.count() == 0
    assert page.problems == []


@pytest.mark.only_in("chromium", "what the build has written is read, which is the same in either")
@pytest.mark.parametrize("name", PAGES)
def test_figures_that_have_a_number_say_it_in_their_captions(html, page, name):
    page.goto((html / name).as_uri())
    captions = page.locator("main figure[id]:not([id^=id]) figcaption").all_inner_texts()
    assert [caption for caption in captions if not re.match(r"Fig\. \d+\.\d+\.\d+ ", caption)] == []


def test_the_pointer_gets_from_a_reference_to_its_note(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    link, note = page.get_by_role("link", name="Breiman, 2001"), page.get_by_role("tooltip")
    link.hover()
    above = note.bounding_box()["y"] < link.bounding_box()["y"]
    box = note.bounding_box()
    x = link.bounding_box()["x"] + 5
    page.mouse.move(x, box["y"] + (box["height"] - 15 if above else 15), steps=40)
    assert note.count() == 1
    page.mouse.move(0, 0)
    assert note.count() == 0


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800)])
def test_notes_of_figures_fit_the_screen(html, page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    top = page.locator(".top").bounding_box()["height"]
    for link in page.get_by_role("link", name=re.compile(r"^Fig\. ")).all():
        link.scroll_into_view_if_needed()
        link.focus()
        page.locator("#note img").evaluate("(picture) => picture.decode()")
        box = page.locator("#note").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["y"] >= top and box["y"] + box["height"] <= height


@pytest.mark.parametrize("place", ["#fig-filters > a", ".panel figure a:visible"])
def test_a_picture_can_be_looked_into(html, page, place):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    link = page.locator(place).first
    before = link.locator("img").bounding_box()["width"]
    link.focus()
    page.keyboard.press("Enter")
    picture = page.get_by_role("dialog").locator("img")
    large = picture.bounding_box()["width"]
    assert large >= min(before, 380)  # what is wider than the screen is shown whole first
    page.get_by_label("Magnification").fill("4")
    assert abs(picture.bounding_box()["width"] - 4 * large) <= 2
    assert page.problems == []
    assert Axe().run(page).violations_count == 0
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert link.evaluate("(link) => link === document.activeElement")


def test_contents_of_the_page_follow_the_reading(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    for name in ("Training", "Architecture"):
        page.get_by_role("navigation", name="On this page").get_by_role("link", name=name, exact=True).click()
        page.wait_for_function(f"document.querySelector('.here [aria-current]').textContent === '{name}'")
        assert page.locator(".here [aria-current]").count() == 1


@pytest.mark.parametrize("name", ["cost", "lenet"])
def test_a_short_last_section_is_marked_too(html, page, name):
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    page.get_by_role("navigation", name="On this page").get_by_role("link", name="Exercises").click()
    page.wait_for_function("document.querySelector('.here [aria-current]').textContent === 'Exercises'")


@pytest.mark.parametrize("name", [name for name in PAGES if name != "index.html"])
def test_contents_say_which_page_this_is(html, page, name):
    page.goto((html / name).as_uri())
    assert page.locator(".contents [aria-current=page]").count() == 1
    assert page.locator(".contents [aria-current=page]").get_attribute("class").startswith("current")


def test_where_the_system_gives_the_colours_a_border_says_where_one_is(html, browser):
    context = browser.new_context(forced_colors="active", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + "#training")
    left = "(link) => getComputedStyle(link).borderLeftColor"
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    for nav, mark in ((".here ul ul", "[aria-current]"), (".contents", ".current")):
        assert page.locator(f"{nav} a{mark}").evaluate(left) != ground
        assert page.locator(f"{nav} a:not({mark})").first.evaluate(left) == ground
    bottom = "(tab) => getComputedStyle(tab).borderBottomWidth"
    assert tab_of(page, "pytorch").evaluate(bottom) == "3px" != tab_of(page, "jax").evaluate(bottom)
    context.close()


def test_contents_on_a_phone_close_where_the_keyboard_leaves_them(html, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    button = page.get_by_role("button", name="Contents")
    contents = page.get_by_role("navigation", name="Contents")
    button.click()
    contents.get_by_role("link").first.focus()
    page.keyboard.press("Escape")
    assert button.evaluate("(button) => button === document.activeElement")
    button.click()
    contents.get_by_role("link").last.focus()
    page.keyboard.press("Tab")
    assert contents.count() == 0
    assert button.get_attribute("aria-expanded") == "false"


def test_links_at_headings_are_reached_by_keyboard_and_have_a_name(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    link = page.locator("h2 .headerlink").first
    link.focus()
    assert link.evaluate("(link) => link === document.activeElement && getComputedStyle(link).opacity") == "1"
    assert link.get_attribute("aria-label") == "Permalink to this heading"


def test_contents_open_on_a_phone(html, page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.evaluate("scrollTo(0, 3000)")
    contents = page.get_by_role("navigation", name="Contents")
    assert contents.count() == 0
    page.get_by_role("button", name="Contents").click()
    assert 0 < contents.bounding_box()["y"] < 100
    page.keyboard.press("Escape")
    assert contents.count() == 0
    page.get_by_role("button", name="Contents").click()
    contents.get_by_role("link", name="Where It Began").click()
    assert page.url.endswith("lenet.html")


def test_sections_are_read_one_after_the_other(html, page):
    page.goto((html / "index.html").as_uri())
    read = []
    while page.locator("a[rel=next]").count():
        with page.expect_navigation():
            page.locator("a[rel=next]").click()
        read.append(page.url.rpartition("/")[2])
    sections = ["index", "lenet", "ingredients", "alexnet", "original", "inside", "worth", "cost", "scaling", "answers"]
    sections += ["index", "own_model", "runs", *REFERENCE, "references"]
    assert read == [f"{name}.html" for name in sections]


def render_changed(shown, folder: Path, cell_type: str, change: dict) -> Path:
    """The page of the last section with its first cell of a type changed; after `html`, for its notebooks."""
    changed = copy.deepcopy(shown)
    sections = (one for one in reversed(changed) if "/" in one.name)
    section = next(one for one in sections if any(cell.cell_type == cell_type for cell in one.notebook.cells))
    next(cell for cell in section.notebook.cells if cell.cell_type == cell_type).update(change)
    render(changed, folder)
    return folder / f"{section.name}.html"


def test_outputs_are_shown_literally_whatever_signs_are_in_them(html, shown, tmp_path):
    signs = r"|x| *a* \n `b` <script>alert(1)</script> _c"
    page = render_changed(shown, tmp_path / "html", "code", {"outputs": [nbformat.v4.new_output("stream", text=signs)]})
    assert f">{markup.escape(signs, quote=False)}" in page.read_text("utf-8")


@pytest.mark.only_in("chromium", "it renders a book of its own; tests/hostile has both browsers show such outputs")
def test_output_can_neither_end_its_cell_nor_run(html, shown, page, tmp_path):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt">%s<path d="M 0 0 L 9 9"/></svg>'
    outputs = [
        "</div></div></td></table></section><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
        "<style>main {display: none}</style><div class='curves panel' id='ran' onclick='ran = 1'><table><td>open",
        svg % "<script>window.ran = 1</script>",
        svg % "",
    ]
    mimes = ["text/html", "image/svg+xml", "image/svg+xml"]
    outputs = [nbformat.v4.new_output("display_data", data={m: text}) for m, text in zip(mimes, outputs, strict=True)]
    raw = "{0}{0}.. raw:: html{0}{0}   <script>window.ran = 1</script>"
    # What ends a line for Python, and so for docutils.
    for text in (f"x{raw.format(end)}" for end in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"):
        outputs.append(nbformat.v4.new_output("stream", text=text))
        outputs += [nbformat.v4.new_output("display_data", data={f"text/{kind}": text}) for kind in ("plain", "latex")]
    picture = b64encode((ROOT / "img/filters.png").read_bytes()).decode()
    size = {"width": raw.format("\n"), "height": 9}
    outputs.append(nbformat.v4.new_output("display_data", data={"image/png": picture}, metadata=size))
    changed = render_changed(shown, tmp_path / "html", "code", {"outputs": outputs})
    skeleton = """() => [...document.querySelectorAll('main [id]:not([id^=equation]), main [role]')].map((element) => {
        let depth = 0;
        for (let parent = element; parent; parent = parent.parentElement) depth++;
        return `${depth} ${element.tagName} ${element.id}`;
    })"""
    found = []
    for path in (changed, html / changed.relative_to(tmp_path / "html")):
        page.goto(path.as_uri())
        assert page.evaluate(BROKEN_PICTURES) == []
        found.append(page.evaluate(skeleton))
    assert found[0] == found[1]
    page.goto(changed.as_uri() + "?framework=jax")
    assert page.get_by_text("<script>window.ran = 1</script>").first.is_visible()
    assert page.evaluate("window.ran") is None
    assert page.problems == []
    pictures = [path.read_text("utf-8") for path in (tmp_path / "html" / "_images").glob("*.svg")]
    assert only_drawing(outputs[2].data["image/svg+xml"]) in pictures
    assert not any("<script" in picture for picture in pictures)


@pytest.mark.parametrize("width", [390, 1280])
def test_no_line_begins_with_the_mark_behind_a_formula(html, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((html / "chapter_cnn" / "ingredients.html").as_uri())
    apart = page.evaluate("""() => [...document.querySelectorAll("main math")].flatMap((formula) => {
        const text = formula.nextSibling;
        if (text?.nodeType !== Node.TEXT_NODE || !/^[.,;:!?)]/.test(text.data)) return [];
        const range = document.createRange();
        range.setStart(text, 0);
        range.setEnd(text, 1);
        return [range.getBoundingClientRect().left < formula.getBoundingClientRect().left];
    })""")
    assert len(apart) > 10
    assert not any(apart)


@pytest.fixture(scope="session")
def formulas(html, shown, tmp_path_factory) -> Path:
    """A page with formulas, in a book of its own."""
    text = "# Formulas\n\nThe mean $m_n$ is\n\n$$m_n = \\frac{1}{n} \\sum_i x_i.$$\n:eqlabel:`eq_mean`\n"
    return render_changed(shown, tmp_path_factory.mktemp("formulas") / "html", "markdown", {"source": text})


def test_formulas_are_there_without_scripts_or_other_hosts(formulas, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(formulas.as_uri())
    assert page.locator("p", has_text=re.compile("^The mean")).locator("math msub").text_content().split() == ["m", "n"]
    formula = page.locator(".formula", has=page.locator("msub", has_text=re.compile(r"^\s*x\s*i\s*$"))).first
    assert formula.locator("math mfrac").bounding_box()["height"] > 20
    assert re.fullmatch(r"\(2\.\d+\.\d+\)", formula.locator(".number").inner_text())
    assert all(url.startswith("file:") for url in asked)
    context.close()


def test_page_stays_where_a_formula_cannot_be_shown(formulas, shown, capfd):
    folder = formulas.parents[1]
    with pytest.raises(BookError):
        render_changed(shown, folder, "markdown", {"source": "# Formulas\n\nThis one is $\\nosuch{1}$.\n"})
    assert r"the formula \nosuch{1} cannot be shown" in capfd.readouterr().err
    assert formulas.exists()
