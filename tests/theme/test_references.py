"""References: a page of them that leads back to each citation, notes for pointers and for fingers, a list on paper."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from book.files import ROOT

CITED = re.compile(r":citet?:`([^`]+)`")
KEYS = {
    key.strip()
    for path in ROOT.glob("chapter_*/*.md")
    for match in CITED.finditer(path.read_text("utf-8"))
    for key in match[1].split(",")
}


def phone(browser: Browser) -> Page:
    """A page on a phone, which is touched."""
    return browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).new_page()


def test_references_are_named_as_in_the_bibliography_and_lead_back_to_each_citation(html, page):
    page.goto((html / "references.html").as_uri())
    entries = page.locator(".citation")
    assert {entry.get_attribute("id") for entry in entries.all()} == KEYS
    links = page.locator("#krizhevsky2012imagenet .cited-in a")
    assert links.count() == sum(
        path.read_text("utf-8").count("krizhevsky2012imagenet") for path in ROOT.glob("chapter_*/*.md")
    )
    back = links.filter(has_text="After 2012").first
    assert re.fullmatch(r"[\d.]+ After 2012", back.inner_text())
    back.click()
    page.wait_for_url("**/alexnet.html#cite-krizhevsky2012imagenet-*")
    place = page.locator(":target")
    assert "Krizhevsky et al., 2012" in place.inner_text()
    expect(place).to_be_in_viewport()
    place.get_by_role("link", name="Krizhevsky et al., 2012").click()
    page.wait_for_url("**/references.html#krizhevsky2012imagenet")


@pytest.mark.only_in("chromium", "Playwright cannot tap in Firefox")
def test_a_finger_sees_the_note_first_and_goes_on_from_it(html, browser):
    page = phone(browser)
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    link, note = page.get_by_role("link", name="Breiman, 2001"), page.get_by_role("dialog", name="Note")
    link.tap()
    assert "Random forests" in note.inner_text()
    box = note.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    note.locator("p").first.tap(position={"x": 2, "y": 2})
    assert note.is_visible()
    assert Axe().run(page).violations_count == 0
    page.get_by_role("heading", level=1).tap()
    assert note.count() == 0
    link.tap()
    page.keyboard.press("Escape")
    assert note.count() == 0
    assert link.evaluate("(link) => link === document.activeElement")
    link.tap()
    note.get_by_role("link", name="Go to the references").tap()
    page.wait_for_url("**/references.html#breiman2001random")
    page.context.close()


@pytest.mark.only_in("chromium", "Playwright cannot tap in Firefox")
def test_a_second_tap_follows_the_link_and_a_figure_has_its_note_too(html, browser):
    page = phone(browser)
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.get_by_role("link", name="Fig. 1.3.1").first.tap()
    assert page.get_by_role("dialog", name="Note").locator("img").count() == 1
    page.get_by_role("link", name="Go to the figure").tap()
    assert page.get_by_role("dialog").count() == 0
    expect(page.locator("figure").first).to_be_in_viewport()
    link = page.get_by_role("link", name="Breiman, 2001")
    link.tap()
    link.tap()
    page.wait_for_url("**/references.html#breiman2001random")
    page.context.close()


def test_a_click_goes_to_the_references_at_once(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.get_by_role("link", name="Breiman, 2001").click()
    page.wait_for_url("**/references.html#breiman2001random")


@pytest.mark.parametrize("name", ["lenet", "alexnet", "answers"])
def test_a_printed_page_ends_with_what_it_cites(html, page, name):
    cited = CITED.findall((ROOT / "chapter_cnn" / f"{name}.md").read_text("utf-8"))
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    works = page.locator(".works")
    assert not works.is_visible()
    page.emulate_media(media="print")
    keys = {key.strip() for keys in cited for key in keys.split(",")}
    assert {entry.get_attribute("id") for entry in works.locator("p").all()} == {f"work-{key}" for key in keys}
    assert works.get_by_role("heading", name="References").is_visible()
    assert works.evaluate("(works) => works.nextElementSibling") is None


def test_without_scripts_a_page_has_its_references_too(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    assert page.locator(".works").get_by_text("Neocognitron").is_visible()
    context.close()
