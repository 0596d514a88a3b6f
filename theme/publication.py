"""What a page says of itself to those who find, link, quote or cite it, and where its notebooks run."""

import functools
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from book.downloads import CARD
from book.frameworks import FRAMEWORKS
from book.publication import Citation, Publication, citation
from book.setup_cell import helper_address
from book.wheel import WHEEL

DESCRIPTION_LENGTH = 160  # what search engines show
BETWEEN_SENTENCES = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
CARD_SIZE = ("1200", "630")
# The colours of the page, light and dark, for the browser's own bar before the page is there.
GROUND = re.compile(r"--ground: light-dark\((#\w+), (#\w+)\)")
TEXT_LICENCE = "https://creativecommons.org/licenses/by-sa/4.0/"


def add_publication(app: Sphinx, page: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Tell the templates of a page what they need of it."""
    given = {name: context[name] for name in ("site_url", "repository") if name in context}
    publication = Publication(**given) if given else Publication.configured()  # d2lbook's own build gives none
    book = citation()
    is_section = doctree is not None
    title = app.env.titles[page].astext() if is_section and page != app.config.root_doc else book.title
    description = _description(doctree) if is_section else book.title
    address = publication.page(page) if is_section else ""
    context |= {
        "publication": publication,
        "citation": book,
        "authors": ", ".join(book.authors),
        "is_section": is_section,
        "address": address,
        "metadata": [("name", "description", description)],
        "linked_data": None,
        "helper_address": helper_address(publication),
        "wheel": WHEEL,
        "grounds": _grounds(),
        "downloads": _downloads(Path(app.outdir), page, publication),
    }
    if is_section:
        pdf = f"pdf/alexnet-{next(iter(FRAMEWORKS))}.pdf"
        has_pdf = publication.site_url and Path(app.outdir, pdf).exists()
        context["metadata"] += _scholarly(title, book, address, publication.site_url + pdf if has_pdf else "")
        context["metadata"] += _open_graph(title, description, book, publication, address)
        context["linked_data"] = _linked_data(title, description, book, publication, address)
    else:
        context["metadata"].append(("name", "robots", "noindex"))


@functools.cache
def _grounds() -> dict[str, str]:
    found = GROUND.search(Path(__file__).with_name("book.css").read_text("utf-8"))
    assert found, "book.css sets the ground of the pages"
    return {"light": found[1], "dark": found[2]}


def _description(doctree: nodes.document) -> str:
    paragraph = next(iter(doctree.findall(nodes.paragraph)), None)
    return first_sentences(" ".join(paragraph.astext().split())) if paragraph else citation().title


def first_sentences(text: str) -> str:
    """The first sentences of a text, as many as search engines show; the first one in any case."""
    shown, *others = BETWEEN_SENTENCES.split(text)
    for sentence in others:
        if len(shown) + 1 + len(sentence) > DESCRIPTION_LENGTH:
            break
        shown += f" {sentence}"
    return shown


def _downloads(pages: Path, page: str, publication: Publication) -> dict[str, dict[str, Any]]:
    """Of each framework that the page has a notebook of, what there is to take along, and where it runs."""
    downloads = {}
    for tab in FRAMEWORKS:
        name = f"{tab}/{page}"
        files = {
            "notebook": f"notebooks/{name}.ipynb",
            "slides": f"slides/{name}.ipynb",
            "pdf": f"pdf/alexnet-{tab}.pdf",
        }
        there = {kind: file for kind, file in files.items() if (pages / file).exists()}
        if "notebook" in there:
            downloads[tab] = there | {"services": publication.services(name)}
    return downloads


def _scholarly(title: str, book: Citation, address: str, pdf: str) -> list[tuple[str, str, str]]:
    """What Google Scholar and reference managers read."""
    fields = [
        ("citation_title", title),
        *(("citation_author", author) for author in book.authors),
        ("citation_publication_date", f"{book.date:%Y/%m/%d}"),
        ("citation_inbook_title", book.title if title != book.title else ""),
        ("citation_language", "en"),
        ("citation_public_url", address),
        ("citation_pdf_url", pdf),
    ]
    return [("name", name, content) for name, content in fields if content]


def _open_graph(
    title: str, description: str, book: Citation, publication: Publication, address: str
) -> list[tuple[str, str, str]]:
    """What is shown where somebody links to the page; nothing where it has no address."""
    if not address:
        return []
    width, height = CARD_SIZE
    fields = {
        "og:type": "article",
        "og:site_name": book.title,
        "og:title": title,
        "og:description": description,
        "og:url": address,
        "og:locale": "en_GB",
        "og:image": publication.site_url + CARD.name,
        "og:image:width": width,
        "og:image:height": height,
        "og:image:alt": f"{book.title}: the layers of AlexNet as bars, and the frameworks of the book",
    }
    tags = [("property", name, content) for name, content in fields.items()]
    return [*tags, ("name", "twitter:card", "summary_large_image")]


def _linked_data(
    title: str, description: str, book: Citation, publication: Publication, address: str
) -> dict[str, Any]:
    """The page in the terms of schema.org."""
    about_book = {
        "@type": "Book",
        "name": book.title,
        "author": [{"@type": "Organization", "name": author} for author in book.authors],
        "version": book.version,
        "datePublished": str(book.date),
        "inLanguage": "en",
        "license": TEXT_LICENCE,
        "url": publication.site_url,
    }
    about_page = {
        "@type": ["Chapter", "LearningResource"],
        "name": title,
        "description": description,
        "url": address,
        "isPartOf": _filled(about_book),
    }
    whole = about_page if title != book.title else about_book | {"description": description}
    return {"@context": "https://schema.org", **_filled(whole)}


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value}
