"""A book that is published: what its pages say of themselves, where they lead, and what a static host gets."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree as ET

import nbformat
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from hostile.books import NEEDED
from PIL import Image
from playwright.sync_api import expect

from book.errors import BookError
from book.files import ROOT
from book.frameworks import FRAMEWORKS
from book.publication import Publication, citation
from book.site import from_anywhere, make_site
from book.source import source_files
from book.wheel import WHEEL
from theme.publication import first_sentences

SITE, REPOSITORY = "https://example.org/alexnet/", "https://github.com/owner/name"
SECTION = "chapter_a/one"
TEXTS = {
    "index": "# A book\n\nWhat it is. And more.\n\n```toc\nchapter_a/one\n```\n",
    SECTION: '# One & only\n\nIs it "one"? It is.\n\n```{.python .input}\n%%tab all\nx = 1\n```\n',
}
# Pages from what is stored, and a site; of the frameworks, none is run.
BUILD_SITE = """
from pathlib import Path
from book.build import make_pages
from book.downloads import DECKS, PDF, keep_printed
from book.export_notebooks import export_all
from book.compile_notebooks import compile_sections
from book.site import make_site

PDF.mkdir(parents=True)
for name in ("pytorch", "jax"):
    (PDF / f"alexnet-{name}.pdf").write_bytes(b"%PDF")
for name in ("jax/chapter_a/one", "jax/chapter_a/gone"):
    deck = DECKS / f"{name}.ipynb"
    deck.parent.mkdir(parents=True, exist_ok=True)
    deck.write_text("{}")
export_all(compile_sections())
keep_printed("pdf/jax")
keep_printed("slides")
make_pages([])
print(make_site())
"""
# What nothing on a page asks for, and a host or those who come to it do.
# The theme has them for figures of the chapter, which these small books lack.
OF_ONE_SECTION = {
    f"_static/{path.relative_to(ROOT / 'theme' / 'static').as_posix()}"
    for path in (ROOT / "theme" / "static").rglob("*.*")
}
FOR_THE_HOST = {
    ".nojekyll",
    "404.html",
    "sitemap.xml",
    "robots.txt",
    "binder/environment.yml",
    "binder/constraints.txt",
}


def build(folder: Path, site_url: str, repository: str) -> tuple[Path, str]:
    """A small book, published at these addresses; gives the folder of its site, and what was said."""
    for name in (*NEEDED, "img/card.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    config = (folder / "config.ini").read_text("utf-8")
    config = re.sub("^site_url =.*", f"site_url = {site_url}", config, flags=re.M)
    config = re.sub("^repository =.*", f"repository = {repository}", config, flags=re.M)
    (folder / "config.ini").write_text(config, "utf-8")
    for name, text in TEXTS.items():
        (folder / f"{name}.md").parent.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text, "utf-8")
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"}
    made = subprocess.run(
        [sys.executable, "-c", BUILD_SITE], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "_build" / "site", made.stdout


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, str]:
    """The site of a book with both addresses."""
    return build(tmp_path_factory.mktemp("published") / "a book", SITE, REPOSITORY)


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory) -> tuple[Path, str]:
    """The site of a book with none."""
    return build(tmp_path_factory.mktemp("unpublished") / "a book", "", "")


def links(html: Path) -> dict[str, str]:
    """Where the links of a page lead, by their words; those of a framework's panel have its name before them."""
    found = {}
    for panel, text in re.findall(
        r'<div class="panel" data-framework="(\w+)">(.*?)</div>', html.read_text("utf-8"), re.S
    ):
        found |= {f"{panel} {words}": link for link, words in re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', text)}
    footer = html.read_text("utf-8").partition("<footer>")[2]
    return found | {words: link for link, words in re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(.*?)</a>', footer)}


def metadata(html: Path) -> dict[str, str]:
    """What a page says of itself, by name."""
    return dict(re.findall(r'<meta (?:name|property)="([^"]*)" content="([^"]*)">', html.read_text("utf-8")))


def linked_data(html: Path) -> dict:
    return json.loads(re.search(r'<script type="application/ld\+json">(.*?)</script>', html.read_text("utf-8"))[1])


def test_notebooks_open_on_machines_of_others(published):
    site, _ = published
    found = links(site / f"{SECTION}.html")
    for tab in FRAMEWORKS:
        assert found[f"{tab} Colab"].startswith("https://colab.research.google.com/github/owner/name/blob/gh-pages/")
        assert found[f"{tab} Binder"].startswith("https://mybinder.org/v2/gh/owner/name/gh-pages?labpath=")
        assert found[f"{tab} Kaggle"].startswith(
            "https://www.kaggle.com/kernels/welcome?src=https://github.com/owner/name/"
        )
        for service in ("Colab", "Binder", "Kaggle"):
            path = re.search(r"notebooks/.*", unquote(found[f"{tab} {service}"]))[0]
            assert (site / path).is_file() and f"/{tab}/" in path
    notebook = nbformat.read(site / "notebooks" / "jax" / f"{SECTION}.ipynb", as_version=4)
    assert f'address = "{SITE}{WHEEL}"' in notebook.cells[1].source


def test_page_leads_to_its_source_and_to_a_form_for_what_is_wrong(published):
    found = links(published[0] / f"{SECTION}.html")
    assert found["Source of this page"] == f"{REPOSITORY}/blob/HEAD/{SECTION}.md"
    assert found["Report what is wrong here"].startswith(f"{REPOSITORY}/issues/new?template=text.yml&amp;")
    assert found["The book on GitHub"] == REPOSITORY
    assert "Source of this page" not in links(published[0] / "search.html")


def test_page_says_what_it_is_to_those_who_find_link_and_cite_it(published):
    site, _ = published
    page = site / f"{SECTION}.html"
    said = metadata(page)
    address = f"{SITE}{SECTION}.html"
    assert said["description"] == said["og:description"] == "Is it “one”? It is."
    assert said["citation_title"] == said["og:title"] == "One &amp; only"
    assert said["citation_author"] == citation().authors[0]
    assert said["citation_publication_date"] == str(citation().date).replace("-", "/")
    assert said["citation_public_url"] == said["og:url"] == address
    assert f'<link rel="canonical" href="{address}">' in page.read_text("utf-8")
    card = site / said["og:image"].removeprefix(SITE)
    assert card.read_bytes() == (ROOT / "img" / "card.png").read_bytes()
    with Image.open(card) as image:
        assert image.size == (int(said["og:image:width"]), int(said["og:image:height"]))
    data = linked_data(page)
    assert (data["name"], data["url"]) == ("One & only", address)
    assert data["isPartOf"]["url"] == SITE and data["isPartOf"]["version"] == citation().version
    book = linked_data(site / "index.html")
    assert (book["@type"], book["url"], book["description"]) == ("Book", SITE, "What it is. And more.")


def test_pages_that_are_no_sections_are_not_to_be_found(published):
    for name in ("search", "404"):
        page = published[0] / f"{name}.html"
        assert metadata(page)["robots"] == "noindex"
        assert "canonical" not in page.read_text("utf-8") and "og:" not in page.read_text("utf-8")


def test_what_is_printed_is_linked_if_it_is_of_todays_text(published):
    site, said = published
    found = links(site / f"{SECTION}.html")
    assert found["jax PDF"] == "../pdf/alexnet-jax.pdf" and found["jax slides"] == "../slides/jax/chapter_a/one.ipynb"
    assert not {name for name in found if name.startswith("pytorch ")} & {"pytorch PDF", "pytorch slides"}
    assert {path.name for path in (site / "pdf").iterdir()} == {"alexnet-jax.pdf"}
    assert "Not linked, since it is of an earlier text: pdf/alexnet-pytorch.pdf" in said
    assert not list(site.rglob("gone.ipynb"))


def test_book_that_is_published_nowhere_leads_to_no_such_place(unpublished):
    site, said = unpublished
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r'(?:href|src|content)=""', text), page
        outside = set(re.findall(r'(?:href|src|content)="https?://([^/"]+)', text))
        assert outside == {"creativecommons.org", "opensource.org"}, page
        assert linked_data(page)["name"] if page.name not in ("search.html", "404.html") else True
    assert {path.name for path in site.iterdir()} & {"sitemap.xml", "robots.txt", "binder", "card.png"} == set()
    assert "config.ini sets no site_url" in said
    assert links(site / f"{SECTION}.html")["jax its helper"] == f"../{WHEEL}"


def test_search_engines_are_told_of_every_page(published):
    site, _ = published
    urls = [loc.text for loc in ET.parse(site / "sitemap.xml").findall(".//{*}loc")]
    assert sorted(urls) == [SITE, f"{SITE}{SECTION}.html"]
    assert f"Sitemap: {SITE}sitemap.xml\n" in (site / "robots.txt").read_text("utf-8")


def test_binder_installs_what_the_book_is_made_with(published):
    environment = yaml.safe_load((published[0] / "binder" / "environment.yml").read_text("utf-8"))
    *_, pip = environment["dependencies"]
    assert pip["pip"][-1] == f"alexnet-d2l[{','.join(FRAMEWORKS)}] @ {SITE}{WHEEL}"
    assert (published[0] / "binder" / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()


@pytest.mark.parametrize("which", ["published", "unpublished"])
def test_every_file_of_a_site_is_asked_for_by_a_page_or_by_the_host(request, which):
    site, _ = request.getfixturevalue(which)
    assert unreached(site) - FOR_THE_HOST - OF_ONE_SECTION == set()


def test_every_file_of_the_pages_is_asked_for_by_one(html):
    # The explorer makes the names of its layers' files of the layers'.
    assert {file for file in unreached(html) if not file.startswith("_static/layers/")} == {"404.html"}


def unreached(folder: Path) -> set[str]:
    """The files that no page links to, and no page, style or script that is reached names."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    reached, todo = set(), ["index.html"]
    while todo:
        reached.add(name := todo.pop())
        if Path(name).suffix in (".html", ".js", ".css", ".ipynb"):
            text = (folder / name).read_text("utf-8")
            named = set(re.findall(r'(?:href|src|action|content)="([^"#?]+)', text))
            named = {unquote(urlsplit(urljoin(f"{SITE}{name}", link.replace("&amp;", "&"))).path) for link in named}
            there = {file for file in files if urlsplit(SITE).path + file in named}
            # Scripts and notebooks ask for files by name, and figures that come alive name their scripts.
            asks = (
                text if Path(name).suffix in (".js", ".ipynb") else " ".join(re.findall('data-scripts="([^"]*)', text))
            )
            there |= {file for file in files if Path(file).name in asks}
            todo += there - reached
            reached |= there
    return files - reached


@pytest.fixture
def host(published) -> Iterator[str]:
    """The address of the site on a host that shows `404.html` for what is not there, as GitHub Pages does."""
    site, _ = published

    class Host(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return super().translate_path(path.removeprefix("/alexnet"))

        def send_error(self, code: int, *args: object) -> None:
            body = (site / "404.html").read_bytes()
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=str(site))) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/alexnet/"
        server.shutdown()


@pytest.mark.parametrize("address", ["nosuch.html", "chapter_a/nosuch.html", "a/b/c/d/"])
def test_page_for_what_is_not_there_is_whole_at_any_depth(host, page, address):
    assert page.goto(host + address).status == 404
    assert page.title() == "Page not found · AlexNet, executable"
    expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    height = page.evaluate("getComputedStyle(document.querySelector('.top')).position")
    assert height == "sticky"  # the styles have come
    assert [url for url in page.problems if not url.startswith((host, "Failed to load"))] == []
    page.get_by_role("link", name="the first page").click()
    page.wait_for_url(host + "index.html")


def test_links_of_the_page_for_what_is_not_there_hold_everywhere():
    html = '<a href="#text"></a><a href="a/b.html#c"></a><script src="_static/x.js"></script><a href="https://a.org/">'
    published = Publication(SITE)
    assert from_anywhere(html, published) == (
        '<a href="#text"></a><a href="/alexnet/a/b.html#c"></a><script src="/alexnet/_static/x.js"></script>'
        '<a href="https://a.org/">'
    )
    assert 'href="/a/b.html#c"' in from_anywhere(html, Publication())


def test_site_is_made_of_todays_pages_only(tmp_path, monkeypatch):
    with pytest.raises(BookError, match="not the pages of today's sources, which make book makes"):
        make_site(tmp_path / "html", tmp_path / "site")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").touch()
    monkeypatch.setattr("book.site.inputs_hash", lambda: "another")
    with pytest.raises(BookError, match="make site does both"):
        make_site(tmp_path / "html", tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two? Three", "One. Two? Three"),
        (f"One. X{'x' * 154}. Three.", "One."),
        (f"One. X{'x' * 152}. Three.", f"One. X{'x' * 152}."),
        (f"{'x ' * 100}end. Two.", f"{'x ' * 100}end."),
        ("A net of 4.5 M weights, as in e.g. this one. Two", "A net of 4.5 M weights, as in e.g. this one. Two"),
    ],
)
def test_description_is_of_whole_sentences(text, expected):
    assert first_sentences(text) == expected


def test_every_page_is_described_by_whole_sentences(html):
    for path in source_files():
        page = html / path.relative_to(ROOT).with_suffix(".html")
        assert re.fullmatch(r".{20,159}[.?!]", metadata(page)["description"]), page


def test_the_browsers_bar_has_the_colour_of_the_page(html, page):
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    colours = "[...document.querySelectorAll('meta[name=theme-color]')].map(meta => meta.content)"
    ground = "getComputedStyle(document.querySelector('.top')).backgroundColor"
    for _ in range(2):
        assert set(page.evaluate(colours)) == {page.evaluate(ground)}
        page.locator("button.theme").click()


def test_book_can_be_cited_from_any_page(html, page):
    page.goto((html / "chapter_cnn/lenet.html").as_uri())
    cite = page.locator("footer details")
    expect(cite.locator("pre")).to_be_hidden()
    cite.locator("summary").click()
    expect(cite.locator("pre")).to_contain_text("@software{alexnet-executable,")
    expect(cite.get_by_role("button", name="Copy")).to_be_attached()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_what_a_published_page_has_besides(host, browser, theme):
    context = browser.new_context(color_scheme=theme)
    page = context.new_page()
    for name in (SECTION, "404"):
        page.goto(f"{host}{name}.html")
        if name == SECTION:
            page.locator("footer summary").click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    context.close()
