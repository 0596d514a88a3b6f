"""Where the book is published: what config.ini says is checked, and what is empty leads nowhere."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from book.errors import BookError
from book.files import ROOT
from book.publication import Citation, Publication, citation
from book.source import setting
from d2l.installation import VERSION

pytestmark = pytest.mark.quick

SITE, REPOSITORY = "https://example.org/alexnet/", "https://github.com/owner/name"


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """What a config.ini with these values means."""
    monkeypatch.setattr("book.source.ROOT", tmp_path)

    def configured(site_url: str, repository: str) -> Publication:
        text = f"[project]\ntitle = A book\nsite_url = {site_url}\nrepository = {repository}\n"
        (tmp_path / "config.ini").write_text(text, "utf-8")
        return Publication.configured()

    return configured


@pytest.mark.parametrize(
    "site_url", ["", SITE, "http://127.0.0.1:8000/", "https://example.org/", "https://a.org/%C3%A9/"]
)
@pytest.mark.parametrize("repository", ["", REPOSITORY, "https://github.com/o-1/a.book_2"])
def test_what_is_set_is_taken_as_it_is(configured, site_url, repository):
    assert configured(site_url, repository) == Publication(site_url, repository)


def test_a_book_that_says_nothing_is_published_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr("book.source.ROOT", tmp_path)
    (tmp_path / "config.ini").write_text("[build]\ntabs = pytorch\n")
    assert Publication.configured() == Publication()


def test_the_book_as_it_is_here_is_published_nowhere():
    """Whoever publishes it fills in where; two empty values are in the file to be filled."""
    assert Publication.configured() == Publication()
    assert all(re.fullmatch(r"config.ini:\d+", setting("project", name)[1]) for name in ("site_url", "repository"))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("example.org/alexnet/", marks=pytest.mark.fault("The address of the pages has no scheme")),
        pytest.param(
            "https://example.org/alexnet", marks=pytest.mark.fault("The address of the pages has no slash at its end")
        ),
        "https://example.org",
        "ftp://example.org/",
        "https:///alexnet/",
        "https://example.org/?page=/",
        "https://example.org/#/",
        "https://example.org/a book/",
        'https://example.org/">/',
        "https://[example/",
    ],
)
def test_address_of_pages_that_is_none_is_named_with_what_is_expected(configured, sees, value):
    with pytest.raises(BookError) as caught:
        configured(value, REPOSITORY)
    message = str(caught.value)
    assert message.startswith(f"config.ini:3: site_url = {value}: expected ") and SITE in message
    sees(message)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("https://gitlab.com/owner/name", marks=pytest.mark.fault("The repository is not on GitHub")),
        "github.com/owner/name",
        "http://github.com/owner/name",
        "git@github.com:owner/name.git",
        "https://github.com/owner/name.git",
        "https://github.com/owner/name/",
        "https://github.com/owner",
        "https://github.com/owner/name/tree/main",
    ],
)
def test_repository_that_is_none_on_github_is_named_with_what_is_expected(configured, sees, value):
    with pytest.raises(BookError) as caught:
        configured(SITE, value)
    message = str(caught.value)
    assert message.startswith(f"config.ini:4: repository = {value}: expected ") and REPOSITORY in message
    sees(message)


def test_what_is_empty_leads_nowhere():
    nowhere = Publication()
    name = "chapter_cnn/alexnet"
    assert [nowhere.page(name), nowhere.source(name), nowhere.issue(name)] == [""] * 3
    assert nowhere.services(f"jax/{name}") == {}
    assert Publication(SITE).source(name) == "" and Publication("", REPOSITORY).page(name) == ""


def test_addresses_are_those_that_the_services_understand():
    published = Publication(SITE, REPOSITORY)
    assert published.page("index") == SITE
    assert published.page("chapter_cnn/alexnet") == f"{SITE}chapter_cnn/alexnet.html"
    assert published.source("chapter_cnn/alexnet") == f"{REPOSITORY}/blob/HEAD/chapter_cnn/alexnet.md"
    path = "notebooks/jax/chapter_cnn/alexnet.ipynb"
    assert published.services("jax/chapter_cnn/alexnet") == {
        "Colab": f"https://colab.research.google.com/github/owner/name/blob/gh-pages/{path}",
        "Binder": f"https://mybinder.org/v2/gh/owner/name/gh-pages?labpath={path.replace('/', '%2F')}",
        "Kaggle": f"https://www.kaggle.com/kernels/welcome?src={REPOSITORY}/blob/gh-pages/{path}",
    }


def test_report_fills_in_the_form_that_there_is():
    asked = parse_qs(urlsplit(Publication("", REPOSITORY).issue("chapter_cnn/alexnet")).query)
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / asked.pop("template")[0]).read_text("utf-8"))
    assert asked.pop("title") == ["chapter_cnn/alexnet: "]
    assert asked == {"place": ["chapter_cnn/alexnet.md"]}
    assert asked.keys() <= {field.get("id") for field in form["body"]}


def test_citation_is_what_the_file_for_it_says():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation().version == found["version"] == VERSION == setting("project", "release")[0]
    assert citation().title == found["title"] == setting("project", "title")[0]
    assert citation().sentence(SITE) == (
        f"{found['authors'][0]['name']} ({found['date-released'].year}). {found['title']}, version {VERSION}. {SITE}"
    )
    heading = f"## {VERSION}, {found['date-released']:%B %Y}"
    assert heading in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_bibtex_keeps_the_names_of_groups_together():
    book = Citation("Maps & Legends", "1.2", ("The men and women of A, B", "C"), citation().date)
    assert book.bibtex("") == (
        "@software{maps-legends,\n"
        "  author = {{The men and women of A, B} and {C}},\n"
        "  title = {{Maps \\& Legends}},\n"
        "  version = {1.2},\n"
        f"  year = {{{citation().date.year}}},\n"
        "}"
    )
