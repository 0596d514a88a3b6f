"""The rendered pages in a real browser: nothing missing, tabs that act as one, no other host asked."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page, sync_playwright

from book.pages import render
from book.source import BUILD, ROOT, Section, configured_tabs, source_files

TABS = configured_tabs()
PAGES = [str(path.relative_to(ROOT).with_suffix(".html")) for path in source_files()]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian package chromium)")


@pytest.fixture(scope="module")
def html(shown: list[tuple[Section, NotebookNode]]) -> Path:
    """The pages, rendered from the stored outputs; any warning of Sphinx fails here."""
    render(shown, BUILD / "test_html")
    return BUILD / "test_html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A new page, whose errors and requests to other hosts are collected."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else page.problems.append(r.url))
    page.on("requestfailed", lambda request: page.problems.append(f"failed: {request.url}"))
    yield page
    context.close()


def visible_panels(page: Page) -> set[str]:
    """The frameworks whose panels can be seen."""
    panels = page.locator(".mdl-tabs__panel:visible")
    return {panels.nth(i).get_attribute("id").split("-")[0] for i in range(panels.count())}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_asks_no_other_host(html, page, name):
    page.goto((html / name).as_uri())
    page.wait_for_load_state("networkidle")
    broken = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)")
    assert broken == []
    assert page.problems == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_book_leads_somewhere(html, page, name):
    page.goto((html / name).as_uri())
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    for link in {link for link in links if link.startswith("file:")}:
        address, _, anchor = link.partition("#")
        path = Path(address.removeprefix("file://"))
        assert path.exists(), link
        if anchor and not anchor.startswith(tuple(TABS)):
            assert f'id="{anchor}"' in path.read_text("utf-8"), link


def test_every_piece_of_code_has_all_tabs(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    bars = page.locator(".mdl-tabs__tab-bar")
    assert bars.count() >= 6
    for i in range(bars.count()):
        assert bars.nth(i).locator(".mdl-tabs__tab").all_text_contents() == TABS
    outside = "[...document.querySelectorAll('.highlight-python')].filter(e => !e.closest('.mdl-tabs__panel')).length"
    assert page.evaluate(outside) == 0


@pytest.mark.parametrize("tab", TABS)
def test_choosing_a_framework_changes_the_whole_page_and_is_remembered(html, page, tab):
    address = (html / "chapter_cnn/alexnet.html").as_uri()
    page.goto(address)
    assert visible_panels(page) == {"pytorch"}
    page.locator(".mdl-tabs__tab", has_text=tab).nth(2).click()
    assert visible_panels(page) == {tab}
    page.goto(address)
    page.wait_for_function(f"document.querySelector('.mdl-tabs__panel.is-active').id.startsWith('{tab}')")
    assert visible_panels(page) == {tab}
    assert page.problems == []


@pytest.mark.parametrize("tab", TABS)
def test_text_for_one_framework_is_shown_with_that_framework_only(html, page, tab):
    page.goto((html / "chapter_cnn/cost.html").as_uri())
    page.locator(".mdl-tabs__tab", has_text=tab).first.click()
    note = page.get_by_text("MXNet multiplies a matrix by a vector on one core")
    assert note.count() == 1
    assert note.is_visible() == (tab == "mxnet")


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_shows_real_outputs(html, page, tab):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.locator(".mdl-tabs__tab", has_text=tab).first.click()
    text = "\n".join(page.locator(f".mdl-tabs__panel[id^={tab}]").all_inner_texts())
    assert "output shape: (1, 10)" in text
    assert "43,040,778 parameters" in text
    assert "Recorded on" in text and "val_acc" in text
    assert "smoke run" not in text


def test_code_can_be_copied(html, browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    cell = page.locator("div.highlight-python:visible", has_text="layer_summary(").last
    cell.hover()
    cell.locator("button.copy-code").click()
    assert cell.locator("button.copy-code").inner_text() in ("Copied", "Selected")
    context.close()


def test_answers_wait_until_they_are_asked_for(html, page):
    page.goto((html / "chapter_cnn/answers.html").as_uri())
    answers = page.locator("details.answer")
    assert answers.count() == len(re.findall("^## ", (ROOT / "chapter_cnn" / "answers.md").read_text("utf-8"), re.M))
    assert not answers.first.locator("p").first.is_visible()
    answers.first.locator("summary").click()
    assert answers.first.locator("p").first.is_visible()
    assert page.problems == []


@pytest.mark.parametrize("name", PAGES)
def test_page_does_not_scroll_sideways_on_a_phone(html, page, name):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / name).as_uri())
    widest = "Math.max(...[...document.querySelectorAll('.page-content, .document')].map(e => e.scrollWidth))"
    assert page.evaluate(widest) <= 360
