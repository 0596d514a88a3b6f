"""Exercises and answers: each has an address, each leads to the other, and all open at once."""

import re

import pytest
from playwright.sync_api import expect

from book.files import ROOT

SECTIONS = sorted(path.stem for path in ROOT.glob("chapter_*/*.md") if "\n## Exercises\n" in path.read_text("utf-8"))


def exercises_of(name: str) -> int:
    """How many exercises a section has."""
    text = (ROOT / "chapter_cnn" / f"{name}.md").read_text("utf-8").partition("\n## Exercises\n")[2]
    return len(re.findall("^1\\. ", text, re.M))


@pytest.mark.parametrize("name", SECTIONS)
def test_exercises_and_answers_have_addresses_that_stay(html, page, name):
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    numbers = [str(number) for number in range(1, exercises_of(name) + 1)]
    assert numbers
    items = page.locator("ol > li[id^=exercise-]")
    assert [item.get_attribute("id") for item in items.all()] == [f"exercise-{number}" for number in numbers]
    place = html / "chapter_cnn/answers.html" if page.locator(".other-half").count() else None
    if place:
        page.goto(place.as_uri())
    answers = page.locator("details.answer")
    assert [answer.get_attribute("id") for answer in answers.all()] == [f"answer-{number}" for number in numbers]


def test_an_exercise_leads_to_its_answer_which_is_open_and_back(html, page):
    page.goto((html / "chapter_cnn/alexnet.html").as_uri())
    page.get_by_role("link", name="Answer 7", exact=True).click()
    page.wait_for_url("**/answers.html#answer-7")
    answer = page.locator("#answer-7")
    assert answer.get_attribute("open") is not None
    assert page.locator("details.answer[open]").count() == 1
    expect(answer).to_be_in_viewport()
    page.get_by_role("link", name="Exercise 7 in Section 1.3").click()
    page.wait_for_url("**/alexnet.html#exercise-7")
    expect(page.locator("#exercise-7")).to_be_in_viewport()


def test_the_sign_at_an_answer_beside_its_exercise_is_a_link_to_it(html, page):
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    page.locator("#answer-2 > summary").click()
    page.get_by_role("link", name="Permalink to answer 2").click()
    assert page.url.endswith("#answer-2")
    page.reload()
    assert page.locator("#answer-2").get_attribute("open") is not None


@pytest.mark.parametrize("name", ["answers", "lenet"])
def test_all_answers_open_and_close_at_once(html, page, name):
    page.goto((html / f"chapter_cnn/{name}.html").as_uri())
    answers, opened = page.locator("details.answer"), page.locator("details.answer[open]")
    button = page.get_by_role("button", name="Open all answers")
    button.scroll_into_view_if_needed()
    place = button.bounding_box()
    button.click()
    assert opened.count() == answers.count() > 1
    close = page.get_by_role("button", name="Close all answers")
    assert close.bounding_box()["y"] == pytest.approx(place["y"], abs=1)
    answers.first.locator("summary").click()
    expect(button).to_be_visible()
    button.click()
    expect(close).to_be_visible()
    close.click()
    assert opened.count() == 0
