"""The reference of the helper on its pages: addresses that stay, tabs, links from the text, and the search."""

import re
from collections import Counter

import pytest
from contract.adapters import NAMES
from contract.interface import stored
from playwright.sync_api import expect

only_read = pytest.mark.only_in("chromium", "what the build has written is the same in either")


@only_read
def test_every_public_name_has_one_address(html):
    pages = [path.read_text("utf-8") for path in (html / "chapter_helper").glob("*.html")]
    found = Counter(name for text in pages for name in re.findall(r'\bid="d2l\.([\w.]+)"', text))
    names = {one for name in NAMES for one in stored(name) if not one.endswith(".__mro__")}
    assert sorted(names - set(found)) == []
    assert [name for name, times in found.items() if times > 1] == []


@only_read
def test_names_in_the_text_and_in_docstrings_lead_to_their_entries(html):
    chapter = (html / "chapter_cnn" / "index.html").read_text("utf-8")
    assert 'href="../chapter_helper/models.html#d2l.AlexNet"' in chapter
    training = (html / "chapter_helper" / "training.html").read_text("utf-8")
    assert 'href="#d2l.Trainer.fit"' in training
    assert 'href="callbacks.html#d2l.EarlyStopping"' in training


@only_read
def test_entries_have_no_numbers_and_the_pages_contents_have_their_short_names(html, page):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto((html / "chapter_helper" / "training.html").as_uri())
    assert page.locator("[id='d2l.Trainer.fit'] > h3").inner_text().startswith("Trainer.fit")
    contents = page.locator("#here").inner_text().split("\n")
    assert "fit" in contents
    assert [line for line in contents if re.match(r"\d", line)] == []


def test_a_call_that_differs_follows_the_framework(html, page):
    page.goto((html / "chapter_helper" / "training.html").as_uri() + "#d2l.Trainer.fit")
    entry = page.locator("section[id='d2l.Trainer.fit']")
    assert entry.locator(".signature:visible").inner_text().startswith("fit(model: Module, data: DataModule, *")
    entry.get_by_role("tab", name="JAX").first.click()
    assert "key: jax.Array" in entry.locator(".signature:visible").inner_text()
    assert page.problems == []


def test_a_table_of_names_shows_the_column_of_the_framework(html, page):
    page.goto((html / "chapter_helper" / "tensors.html").as_uri() + "?framework=tensorflow")
    row = page.locator("tr", has=page.locator("[id='d2l.concat']"))
    assert row.locator("td:visible").all_inner_texts() == ["concat", "tf.concat"]
    page.get_by_role("combobox", name="Framework").select_option("jax")
    assert row.locator("td:visible").all_inner_texts() == ["concat", "jnp.concatenate"]


def test_without_scripts_all_frameworks_are_there_by_name(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "chapter_helper" / "training.html").as_uri())
    entry = page.locator("section[id='d2l.Trainer.fit']")
    assert entry.locator("> .tabs > .panel > .framework:visible").all_inner_texts() == [
        "PyTorch",
        "TensorFlow",
        "MXNet",
        "JAX",
    ]
    context.close()


@pytest.mark.parametrize("name", ["models", "tensors"])
def test_a_phone_shows_entries_without_scrolling_sideways(html, page, name):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto((html / "chapter_helper" / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@only_read
def test_the_search_finds_entries_by_their_names_and_by_their_arguments(html, page):
    page.goto((html / "search.html").as_uri())
    page.get_by_role("searchbox").fill("EarlyStopping")
    expect(page.locator("#found a").first).to_have_text("EarlyStopping")
    page.get_by_role("searchbox").fill("patience better point")
    expect(page.locator("#found a").filter(has_text="EarlyStopping")).not_to_have_count(0)
