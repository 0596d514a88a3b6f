"""The search: what it finds, in which order, what it proposes, and what its hits look like on their pages."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.only_in("chromium", "the same script searches in either")

MARKED = "[...(CSS.highlights.get('found') ?? [])].map(String)"


def search(html: Path, page: Page, query: str) -> list[str]:
    """The titles that a query finds, in order."""
    page.goto((html / "search.html").as_uri())
    page.get_by_role("searchbox").fill(query)
    expect(page.locator("main [role=status]")).not_to_be_empty()  # the index comes with the first words
    return page.locator("#found a").all_inner_texts()


def index(html: Path) -> list[dict[str, Any]]:
    """The entries of the index."""
    script = (html / "_static" / "search-index.js").read_text("utf-8")
    return json.loads(script.removeprefix("window.searchIndex = ").removesuffix(";\n"))


def test_every_entry_leads_to_something_on_its_page(html):
    pages = {}
    for entry in index(html):
        name, _, anchor = entry["address"].partition("#")
        text = pages.setdefault(name, (html / name).read_text("utf-8"))
        assert f'id="{anchor}"' in text, entry["address"]


def test_sentences_with_references_are_whole(html):
    # In those of the helper's names, code stands among the words.
    texts = " ".join(entry.get("text", "") for entry in index(html) if entry["address"].startswith("chapter_cnn/"))
    assert "published fourteen years before (Section 1.1): convolutions" in texts
    assert "a Fisher vector (Sánchez et al., 2013)." in texts
    assert not re.search(r" [,.;)]|:numref:|:cite", texts)


@pytest.mark.parametrize("author", ["Sutskever", "Cireşan", "ciresan", "sánchez"])
def test_authors_are_found_with_and_without_their_accents(html, page, author):
    search(html, page, author)
    assert page.locator("#found li").filter(has_text=re.compile(r", 20\d\d in References")).count() > 0


def test_an_entry_of_the_references_is_found_by_words_of_its_title(html, page):
    assert search(html, page, '"one weird trick" parallelizing')[0] == "Krizhevsky, 2014"
    page.locator("#found a").first.click()
    page.wait_for_url("**/references.html?*#krizhevsky2014weird")


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("Figure 1.3.1", "Fig. 1.3.1"),
        ("fig. 1.3.1", "Fig. 1.3.1"),
        ("Section 1.3.1", "1.3.1 Designed Features"),
        ("1.3.1", "1.3.1 Designed Features"),
        ("1.3", "1.3 Deep Convolutional Neural Networks (AlexNet)"),
    ],
)
def test_sections_and_figures_are_found_by_number(html, page, query, title):
    titles = search(html, page, query)
    assert title in titles[:2] if query == "1.3.1" else titles[0] == title


def test_a_phrase_in_quotes_is_found_as_it_stands(html, page):
    assert search(html, page, '"local response normalization"')
    snippets = page.locator("#found li")
    assert all("local response normalization" in text.lower() for text in snippets.all_inner_texts())
    assert search(html, page, '"normalization response"') == []
    assert page.get_by_role("status").inner_text() == "No places have this phrase."


def test_whole_words_come_before_parts_of_words(html, page):
    """`rate` is a part of `accurate` and `separate`."""
    search(html, page, "rate")
    marks = page.locator("#found li").all()
    words = [{mark.lower() for mark in item.locator("mark").all_inner_texts()} for item in marks]
    whole = [bool(found & {"rate", "rates", "rated"}) for found in words]
    assert whole[0] and whole == sorted(whole, reverse=True)


@pytest.mark.parametrize(
    ("query", "form"),
    [("convolutions", "convolution"), ("pooled", "pooling"), ("memories", "memory"), ("overfit", "overfitting")],
)
def test_other_forms_of_a_word_are_found_too(html, page, query, form):
    search(html, page, query)
    assert form in {mark.lower() for mark in page.locator("#found mark").all_inner_texts()}


def test_what_one_framework_has_leads_to_its_tab_and_is_marked_there(html, page):
    search(html, page, "linear_schedule")
    link = page.locator("#found a").first
    assert "JAX" in page.locator("#found li").first.inner_text()
    link.click()
    page.wait_for_url("**/chapter_cnn/*.html?framework=jax&highlight=linear_schedule#*")
    assert page.locator("html").get_attribute("data-framework") == "jax"
    assert set(page.evaluate(MARKED)) == {"linear_schedule"}
    expect(page.locator(".panel:visible", has_text="linear_schedule").first).to_be_visible()


def test_what_all_frameworks_have_leaves_the_choice_to_the_reader(html, page):
    search(html, page, "dropout overfitting")
    assert all("framework=" not in link.get_attribute("href") for link in page.locator("#found a").all())


@pytest.mark.parametrize("way", ["key", "button"])
def test_words_are_marked_on_arrival_until_the_reader_has_seen_them(html, page, way):
    search(html, page, "dropout")
    page.locator("#found a").first.click()
    page.wait_for_url("**?highlight=dropout#*")
    marked = page.evaluate(MARKED)
    assert len(marked) > 10 and {word.lower() for word in marked} == {"dropout"}
    assert Axe().run(page).violations_count == 0
    if way == "key":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Remove marks").click()
    assert page.evaluate(MARKED) == []
    assert page.get_by_role("button", name="Remove marks").count() == 0
    assert "highlight" not in page.url and "#" in page.url


def test_a_phrase_is_marked_through_words_in_italics_and_an_answer_opens_for_it(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri() + '?highlight="the+top-5+error+is"')
    assert page.evaluate(MARKED)[0].split() == ["The", "top-5", "error", "is"]
    page.goto((html / "chapter_cnn/lenet.html").as_uri() + "?highlight=permutation#exercises")
    answer = page.locator("details.answer", has_text="permutation")
    assert answer.first.get_attribute("open") is not None


@pytest.mark.parametrize(
    ("query", "proposed"),
    [
        ("rofline", "roofline"),
        ("dropuot overfitting", "dropout overfitting"),
        ("backpropagation cheques", "backpropagation"),
        ('"response local"', "response local"),
    ],
)
def test_where_nothing_is_found_other_words_are_proposed(html, page, query, proposed):
    assert search(html, page, query) == []
    page.locator(".tips").get_by_role("link", name=proposed, exact=True).click()
    page.wait_for_url("**/search.html?q=*")
    assert page.locator("#found li").count() > 0


def test_where_no_word_is_near_the_pages_of_the_book_are_listed(html, page):
    assert search(html, page, "qqqqqq") == []
    titles = page.locator(".tips a").all_inner_texts()
    assert titles[1] == "1.1 Where It Began (LeNet)" and titles[-1] == "2.10 Tensors and Tools"
    page.get_by_role("searchbox").fill("dropout")
    assert not page.locator(".tips").is_visible()


def test_the_page_of_the_search_has_one_field(html, page):
    page.goto((html / "search.html").as_uri())
    assert page.get_by_role("searchbox").count() == 1
    page.get_by_role("combobox").focus()
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("/")
    assert page.get_by_role("searchbox").evaluate("(field) => field === document.activeElement")


def test_a_search_takes_a_moment(html, page, measured):
    """Each key that is pressed starts one."""
    page.goto((html / "search.html").as_uri())
    milliseconds = page.evaluate("""async () => {
        await loadScript("search-index.js");
        const queries = ["n", "ne", "net", "network", "networks layer", "the", "\\"of the\\"", "a"];
        const start = performance.now();
        queries.forEach((query) => findEntries(query));
        return (performance.now() - start) / queries.length;
    }""")
    measured(f"a search: {milliseconds:.1f} ms on average over {len(index(html))} entries")
