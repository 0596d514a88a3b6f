"""The index of the search: each section, figure and cited work with its words as a reader sees them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

from book.frameworks import FRAMEWORKS

from .references import entry_of
from .structure import PANEL, is_code, number_of, titled

UNSAID = nodes.literal_block | nodes.raw | nodes.comment | nodes.figure | addnodes.toctree

MARKUP = re.compile(r"\\(?:mathrm|mathbf|text|[,;! ])?|[{}]")  # of LaTeX, which hides the letters of a formula


class Page(NamedTuple):
    """A page and what it takes to know how its references read."""

    app: Sphinx
    name: str

    def words(self, node: nodes.Node) -> str:
        """A text without code and outputs, what is not shown, and what the index has an entry of its own for."""
        if isinstance(node, nodes.Text):
            return node.astext()
        if isinstance(node, nodes.math | nodes.math_block):
            return MARKUP.sub("", node.astext()) if isinstance(node, nodes.math) else "…"
        if isinstance(node, addnodes.pending_xref):
            return self._as_read(node)
        if isinstance(node, UNSAID | nodes.section):
            return ""
        between = "" if isinstance(node, nodes.TextElement) else " "
        return between.join(map(self.words, node.children))

    def _as_read(self, reference: addnodes.pending_xref) -> str:
        """A citation or a number, such as ``(LeCun et al., 1998)``; Sphinx keeps a page without them."""
        domain, target = self.app.env.get_domain(reference["refdomain"]), reference["reftarget"]
        place, text = (self.app.env, self.name, cast(Any, self.app.builder)), reference[0].deepcopy()
        found = domain.resolve_xref(*place, reference["reftype"], target, reference, cast(nodes.Element, text))
        return (found or reference).astext()

    def entries(self) -> Iterator[dict[str, Any]]:
        """What the search can find on the page."""
        doctree, env = self.app.env.get_doctree(self.name), self.app.env
        title = env.titles[self.name].astext()
        for section in doctree.findall(nodes.section):
            anchor = "" if section.parent is doctree else titled(section)["ids"][0]
            yield {
                "page": title,
                "number": number_of(env, self.name, anchor),
                "title": titled(section)[0].astext(),
                "address": f"{self.name}.html#{section['ids'][0]}",
                **self._content(section),
            }
        for anchor, number in env.toc_fignumbers.get(self.name, {}).get("figure", {}).items():
            figure = next(figure for figure in doctree.findall(nodes.figure) if anchor in figure["ids"])
            yield {
                "kind": "figure",
                "page": title,
                "number": ".".join(map(str, number)),
                "title": self.app.config.numfig_format["figure"] % ".".join(map(str, number)),
                "address": f"{self.name}.html#{figure['ids'][0]}",
                "text": _spaced(self.words(next(figure.findall(nodes.caption)))),
            }

    def _content(self, section: nodes.section) -> dict[str, Any]:
        """A section's own text and code: what all frameworks have in common, and under `of` what one has."""
        texts, lines = defaultdict(list), defaultdict(dict)
        for framework, node in _by_framework(section):
            texts[framework].append(self.words(node))
            for block in filter(is_code, node.findall(nodes.literal_block)):
                lines[framework] |= dict.fromkeys(line.strip() for line in block.astext().splitlines())
        common = lines[""] | {line: None for line in lines[next(iter(FRAMEWORKS))] if _in_all(line, lines)}
        code = {name: " ".join(line for line in lines[name] if line not in common) for name in FRAMEWORKS}
        own = {name: {"text": _spaced(" ".join(texts[name])), "code": code[name]} for name in FRAMEWORKS}
        return {
            "text": _spaced(" ".join(texts[""])),
            "code": " ".join(common),
            "of": {name: content for name, content in own.items() if any(content.values())},
        }


def _in_all(line: str, lines: dict[str, dict[str, None]]) -> bool:
    return all(line in lines[name] for name in FRAMEWORKS)


def _by_framework(section: nodes.section) -> Iterator[tuple[str, nodes.Node]]:
    """What stands in a section itself, each with the framework whose panel it is in; none outside of all."""
    framework = ""
    for child in section.children[1:]:
        if isinstance(child, nodes.raw):
            if match := PANEL.search(child.astext()):
                framework = match[2]
            elif child.astext().strip() == "</div>":
                framework = ""
        elif not isinstance(child, nodes.section):
            yield framework, child


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _works(app: Sphinx) -> Iterator[dict[str, Any]]:
    """The cited works, by their short names."""
    for work in app.env.domaindata["cite"]["citations"]:
        page = work.bibliography_key.docname
        yield {
            "page": app.env.titles[page].astext(),
            "title": work.formatted_entry.label,
            "address": f"{page}.html#{work.citation_id}",
            "text": _spaced(entry_of(work).astext()),
        }


def _leave_out_search(app: Sphinx) -> None:
    """Sphinx's own index: the pages have another, which `_write_index` writes."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        app.builder.search = False


def _write_index(app: Sphinx, problem: Exception | None) -> None:
    """Write a script with all entries, which also a page opened from a folder can load."""
    if problem or app.builder.format != "html":
        return
    pages = (Page(app, name) for name in sorted(app.env.found_docs))
    entries = [*(entry for page in pages for entry in page.entries()), *_works(app)]
    filled = [{name: value for name, value in entry.items() if value} for entry in entries]
    script = f"window.searchIndex = {json.dumps(filled, ensure_ascii=False, separators=(',', ':'))};\n"
    Path(app.outdir, "_static", "search-index.js").write_text(script, encoding="utf-8", newline="\n")


def add_search(app: Sphinx) -> None:
    """Have Sphinx write the index."""
    app.connect("builder-inited", _leave_out_search)
    app.connect("build-finished", _write_index)
