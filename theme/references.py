"""The works that the book cites: a page of all that leads back to each citation, and on each page its own for paper.

A citation's note is taken from the page's own list, which the screen does not show.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple, cast

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

from book.d2lbook_adapter import old_setuptools

from .structure import number_of, titled

with old_setuptools():
    from sphinxcontrib.bibtex.domain import Citation
    from sphinxcontrib.bibtex.nodes import bibliography
    from sphinxcontrib.bibtex.transforms import BibliographyTransform, node_text_transform

CITED_IN = "cited_in"  # in a page's metadata, which Sphinx keeps: the section that each of its citations stands in


class Place(NamedTuple):
    """A citation in the text.

    Attributes:
        page: The page that it is on.
        mark: Its id there before it gets a name.
        name: Its id as readers see it: the second of a work on a page ends in ``-2``.
    """

    page: str
    mark: str
    name: str


def _places(env: BuildEnvironment) -> dict[str, list[Place]]:
    """The citations of each work, by its key, as they follow each other on their pages.

    Which page was read first differs from build to build, and so does the order of keys in a citation of several.
    """
    places, counts = defaultdict(list), Counter()
    for citation in env.domaindata["cite"]["citation_refs"]:
        for key in citation.keys:
            counts[citation.docname, key] += 1
            name = f"cite-{key}-{counts[citation.docname, key]}"
            places[key].append(Place(citation.docname, citation.citation_ref_id, name))
    return dict(sorted(places.items()))


def _citations(document: nodes.document) -> Iterator[addnodes.pending_xref]:
    return (node for node in document.findall(addnodes.pending_xref) if node.get("refdomain") == "cite")


def _note_sections(app: Sphinx, document: nodes.document) -> None:
    """Keep the section of each citation, its anchor and its title, for the page of references."""
    sections = {}
    for citation in _citations(document):
        section = _section_of(citation)
        anchor = "" if isinstance(section.parent, nodes.document) else titled(section)["ids"][0]
        sections[citation["ids"][0]] = (anchor, titled(section)[0].astext())
    app.env.metadata[app.env.docname][CITED_IN] = sections


def _section_of(node: nodes.Element) -> nodes.section:
    """The section that something stands in."""
    while not isinstance(node, nodes.section):
        node = cast(nodes.Element, node.parent)
    return node


def entry_of(work: Citation) -> nodes.paragraph:
    """A work as a list has it."""
    paragraph = cast(Any, BibliographyTransform.backend).paragraph(work.formatted_entry)
    node_text_transform(paragraph)
    return paragraph


class NameCitations(SphinxPostTransform):
    """Citations get names, and the page a list of what it cites, before they become links."""

    default_priority = 4
    formats = ("html",)

    def run(self) -> None:
        """Change the page."""
        page = self.env.docname
        places = [place for places in _places(self.env).values() for place in places if place.page == page]
        for citation in _citations(self.document):
            citation["ids"] = [place.name for place in places if place.mark == citation["ids"][0]]
        keys = {
            key for citation in _citations(self.document) for key in citation["reftarget"].replace(" ", "").split(",")
        }
        works = [work for work in self.env.domaindata["cite"]["citations"] if work.key in keys]
        if not works:
            return
        listed = nodes.container("", nodes.rubric("", "References"), classes=["works"])
        for work in works:
            listed += (entry := entry_of(work))
            entry["ids"] = [f"work-{work.citation_id}"]
        next(self.document.findall(nodes.section)).append(listed)


class LeadBack(SphinxPostTransform):
    """In the list of all works, each ends with the places that cite it."""

    default_priority = 6  # the list is made just before
    formats = ("html",)

    def run(self) -> None:
        """Change the page of references; other pages list no works."""
        places = _places(self.env)
        keys = {work.citation_id: work.key for work in self.env.domaindata["cite"]["citations"]}
        pages = list(self.env.collect_relations())
        for entry in self.document.findall(nodes.citation):
            cited = sorted(places[keys[entry["ids"][0]]], key=lambda place: pages.index(place.page))
            entry += nodes.paragraph("", "Cited in ", *self._links(cited), classes=["cited-in"])

    def _links(self, places: list[Place]) -> Iterator[nodes.Node]:
        """A link to each place: by the title of its section, and further ones in the same section by a number."""
        for count, ((page, anchor, title), cited) in enumerate(groupby(places, self._section)):
            first, *others = (self._address(place) for place in cited)
            if count:
                yield nodes.Text(", ")
            text = f"{number_of(self.env, page, anchor)} {title}".strip()
            yield nodes.reference("", text, refuri=first, internal=True)
            for number, address in enumerate(others, 2):
                yield nodes.Text(" ")
                yield nodes.reference("", f"({number})", refuri=address, internal=True)

    def _section(self, place: Place) -> tuple[str, str, str]:
        """The page, the anchor and the title of the section that a place is in."""
        return place.page, *self.env.metadata[place.page][CITED_IN][place.mark]

    def _address(self, place: Place) -> str:
        return f"{self.app.builder.get_relative_uri(self.env.docname, place.page)}#{place.name}"


class OpenList(SphinxPostTransform):
    """In a PDF, LaTeX gives the list of works a place and a heading; a section of its own would have neither text."""

    default_priority = 4
    formats = ("latex",)

    def run(self) -> None:
        """Put the list in the place of its section."""
        for listed in list(self.document.findall(bibliography)):
            if isinstance(listed.parent, nodes.section):
                listed.parent.replace_self(listed)


def pages_of_works(env: BuildEnvironment) -> set[str]:
    """The pages that list all works, which say what other pages cite."""
    return {key.docname for key in env.domaindata["cite"]["bibliographies"]}


def add_references(app: Sphinx) -> None:
    """Have Sphinx list what is cited."""
    app.connect("doctree-read", _note_sections)
    for transform in (NameCitations, LeadBack, OpenList):
        app.add_post_transform(transform)
