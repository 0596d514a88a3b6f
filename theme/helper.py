"""The reference of the helper: an entry for each public name, with tabs where the frameworks differ.

Each has an address that stays, such as ``#d2l.Trainer.fit``, and what the text calls ``d2l.Trainer`` leads there.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from docutils.statemachine import StringList
from griffe import DocstringSectionKind as Kind
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from book.files import ROOT
from book.frameworks import FRAMEWORKS
from book.helper_examples import EXAMPLES, examples
from book.helper_reference import SOURCES, Entry, Text, aliases, libraries, names_in, reference

NAMES = "helper_names"  # in a page's metadata, which Sphinx keeps: the names that it has entries of
# In docstrings, a name between single backticks is one of the helper's.
NAME = re.compile(r"(?<![`:\w])`([^`\n]+)`(?![`_])")
LISTS = {
    Kind.parameters: "Arguments",
    Kind.attributes: "Attributes",
    Kind.returns: "Returns",
    Kind.yields: "Yields",
    Kind.raises: "Raises",
}
ByTab = dict[str, list[nodes.Node]]
FIRST_GROUP = 1000  # of the tabs on a page; d2lbook counts its own from 0


class _Documents(SphinxDirective):
    """What is made from the helper's source, and has to be made anew when that has changed."""

    def note_sources(self) -> None:
        """Tell Sphinx what the page is made from."""
        for path in (*ROOT.glob(SOURCES), EXAMPLES):
            self.env.note_dependency(str(path))

    def note_names(self, names: Iterable[str]) -> None:
        """Keep which names the page has entries of."""
        self.env.metadata[self.env.docname].setdefault(NAMES, []).extend(names)


class Helper(_Documents):
    """``.. helper:: Trainer SGD`` documents these names; in a PDF, it lists them with their first sentences."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A section for each name, with one for each of its methods and properties."""
        self.note_sources()
        entries = reference()
        names = self.arguments[0].split()
        if unknown := [name for name in names if name not in entries]:
            raise self.error(f"The helper has no class or function {unknown[0]}; it has {', '.join(entries)}.")
        if self.env.app.builder.format != "html":
            return [self._listed([entries[name] for name in names])]
        return [self._section(entries[name]) for name in names]

    def _listed(self, entries: Iterable[Entry]) -> nodes.definition_list:
        listed = nodes.definition_list()
        for entry in entries:
            text = next(iter([entry.common, *entry.own.values()]), None)
            listed += self._item([f"d2l.{entry.name}"], text.summary if text else "")
        return listed

    def _section(self, entry: Entry) -> nodes.section:
        """The entry of a name, and below it those of its members."""
        self.note_names([entry.name])
        self.env.temp_data["helper"] = entry.name
        owner, dot, name = entry.name.rpartition(".")
        # The page's contents have a class and its members below each other, and need not say its name again.
        title = nodes.title("", "", *_marked(owner + dot, "owner"), nodes.Text(name))
        section = nodes.section("", title, *self._body(entry), ids=[f"d2l.{entry.name}"], names=[])
        for member in entry.members:
            section += self._section(member)
        return section

    def _body(self, entry: Entry) -> Iterator[nodes.Node]:
        calls: ByTab = {tab: [_code(call, "signature")] for tab, call in entry.calls.items() if call}
        own = {tab: self._sections(text, entry) for tab, text in entry.own.items()}
        yield from self._where(entry)
        if len(set(entry.calls.values())) == 1:
            yield from next(iter(calls.values()), [])
            calls = {}
        if not entry.common:
            calls, own = {}, {tab: [*calls.get(tab, ()), *own.get(tab, ())] for tab in {**calls, **own}}
        yield from self._panels(calls)
        yield from self._sections(entry.common, entry) if entry.common else ()
        yield from self._panels(own)
        yield from self._bases(entry)
        yield from self._example(entry)

    def _where(self, entry: Entry) -> Iterator[nodes.Node]:
        """Which frameworks have it, if not all."""
        if entry.inherited:
            base, last = next(iter(entry.inherited.values())), entry.name.rpartition(".")[2]
            here, there = _titles(entry.calls), _titles(entry.inherited)
            yield self._line(f"Of its own in {here}; in {there} it is `{base}.{last}`.")
        elif len(entry.calls) < len(FRAMEWORKS):
            yield self._line(f"In {_titles(entry.calls)} only.")

    def _bases(self, entry: Entry) -> Iterator[nodes.Node]:
        """What a class is of: a class of the helper, and classes of the frameworks."""
        named = {tab: [name for name in names if "." in name] for tab, names in entry.bases.items()}
        public = {name for names in entry.bases.values() for name in names if "." not in name}
        foreign = [f"``{name}`` in {FRAMEWORKS[tab].title}" for tab, names in named.items() for name in names]
        if public or foreign:
            yield self._line(f"Base class: {', '.join([*(f'`{name}`' for name in public), *foreign])}.")

    def _line(self, text: str) -> nodes.paragraph:
        [line] = self._parsed(text, "")
        line["classes"].append("of-entry")
        return line

    def _sections(self, text: Text, entry: Entry) -> list[nodes.Node]:
        """A docstring: paragraphs, and a list with a heading for arguments, errors and the like."""
        found: list[nodes.Node] = []
        for section in text.sections():
            if section.kind is Kind.text:
                found += self._parsed(section.value, text.of.path)
            elif section.kind in LISTS:
                found += self._list(section, text, entry)
            else:
                known = ", ".join(LISTS.values())
                raise self.error(
                    f"The docstring of {text.of.path} has a section {section.kind.value}; known are {known}."
                )
        return found

    def _list(self, section: Any, text: Text, entry: Entry) -> Iterator[nodes.Node]:
        yield nodes.paragraph("", LISTS[section.kind], classes=["list-heading"])
        if section.kind in (Kind.returns, Kind.yields):
            yield from self._parsed(text.returned, text.of.path)
            return
        items = nodes.definition_list()
        for item in section.value:
            names = str(item.annotation).split(", ") if section.kind is Kind.raises else names_in(item)
            attributes = [f"{entry.name}.{name}" for name in names] if section.kind is Kind.attributes else []
            self.note_names(attributes)
            items += self._item(names, item.description, text.of.path, [f"d2l.{name}" for name in attributes])
        yield items

    def _item(
        self, names: Iterable[str], text: str, source: str = "", ids: Iterable[str] = ()
    ) -> nodes.definition_list_item:
        """Names and what is said of them."""
        term = nodes.term(ids=[*ids])
        for number, name in enumerate(names):
            term += [nodes.Text(", ")] * bool(number) + [nodes.literal(name, name, classes=["name"])]
        return nodes.definition_list_item("", term, nodes.definition("", *self._parsed(text, source)))

    def _parsed(self, text: str, source: str) -> list[Any]:
        """A text in the markup of docstrings."""
        parsed = nodes.Element()
        lines = NAME.sub(r":d2l:`\1`", text).splitlines()
        self.state.nested_parse(StringList(lines, source=f"the docstring of {source}"), 0, parsed)
        return parsed.children

    def _example(self, entry: Entry) -> Iterator[nodes.Node]:
        """The example of a name, if it has one."""
        found = examples().get(entry.name)
        if not found:
            return
        yield nodes.paragraph("", "Example", classes=["list-heading"])
        code = {tab: found[tab if tab in found else ""] for tab in entry.calls if {tab, ""} & found.keys()}
        if len(set(code.values())) == 1:
            yield _code(next(iter(code.values())))
        else:
            yield from self._panels({tab: [_code(own)] for tab, own in code.items()})

    def _panels(self, by_tab: ByTab) -> Iterator[nodes.Node]:
        """A group of tabs as d2lbook marks one; the translator writes it as it writes those."""
        if not by_tab:
            return
        number = f"{FIRST_GROUP}-{self.env.new_serialno('helper')}"
        ids = {tab: f"{tab}-{number}" for tab in FRAMEWORKS if tab in by_tab}
        yield _html("".join(f'<a href="#{id}"></a>' for id in ids.values()))
        for tab, id in ids.items():
            yield _html(f'<div class="mdl-tabs__panel" id="{id}">')
            yield from by_tab[tab]
            yield _html("</div>")
        yield _html("</div>")


class OtherNames(_Documents):
    """``.. other-names:: aliases`` or ``libraries``: a table of what these stand for, a column for each framework.

    In a PDF, which is for one framework and narrow, it is a list of the names.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table; a page shows the columns of the framework that is chosen."""
        self.note_sources()
        names = {"aliases": aliases, "libraries": libraries}[self.arguments[0]]()
        if self.env.app.builder.format != "html":
            return [self._listed(names)]
        self.note_names(names)
        columns = 1 + len(FRAMEWORKS)
        titles = [nodes.entry("", nodes.paragraph("", "Name"))]
        titles += [_cell(tab, nodes.Text(framework.title)) for tab, framework in FRAMEWORKS.items()]
        head = nodes.thead("", nodes.row("", *titles))
        body = nodes.tbody("", *(self._row(name, stands_for) for name, stands_for in names.items()))
        widths = [nodes.colspec(colwidth=1) for _ in range(columns)]
        return [nodes.table("", nodes.tgroup("", *widths, head, body, cols=columns), classes=["other-names"])]

    def _listed(self, names: Iterable[str]) -> nodes.paragraph:
        return nodes.paragraph("", "", *(part for name in names for part in (_literal(name), nodes.Text(" "))))

    def _row(self, name: str, stands_for: dict[str, str]) -> nodes.row:
        literal = nodes.literal(name, name, ids=[f"d2l.{name}"])
        cells = [_cell(tab, _literal(stands_for.get(tab, ""))) for tab in FRAMEWORKS]
        return nodes.row("", nodes.entry("", nodes.paragraph("", "", literal)), *cells)


class FrameworkCell(nodes.entry):
    """A cell of a table that stands for one framework, and is a panel of it."""


def _cell(tab: str, content: nodes.Node) -> FrameworkCell:
    return FrameworkCell("", nodes.paragraph("", "", content), framework=tab, classes=["panel"])


def _literal(text: str) -> nodes.Node:
    return nodes.literal(text, text) if text else nodes.Text("—")


def _visit_cell(translator: HTML5Translator, node: FrameworkCell) -> None:
    translator.visit_entry(node)
    cell = translator.body[-1]
    translator.body[-1] = cell.replace(" class=", f' data-framework="{node["framework"]}" class=', 1)


def _depart_cell(translator: HTML5Translator, node: FrameworkCell) -> None:
    translator.depart_entry(node)


def _marked(text: str, kind: str) -> list[nodes.Node]:
    return [nodes.inline(text, text, classes=[kind])] if text else []


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _code(code: str, *classes: str) -> nodes.literal_block:
    return nodes.literal_block(code, code, language="python", classes=[*classes])


def _titles(tabs: Iterable[str]) -> str:
    *titles, last = (FRAMEWORKS[tab].title for tab in FRAMEWORKS if tab in tabs)
    return f"{', '.join(titles)} and {last}" if titles else last


def _name_role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Inliner, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """A name in a docstring, which knows in whose."""
    within = inliner.document.settings.env.temp_data.get("helper", "")
    return [nodes.literal(rawtext, text, within=within)], []


def names_of(env: BuildEnvironment) -> dict[str, str]:
    """The names that have entries, each with its page."""
    return {name: page for page, metadata in env.metadata.items() for name in metadata.get(NAMES, ())}


class LinkNames(SphinxPostTransform):
    """The helper's names lead to their entries: in docstrings, and elsewhere where they begin with ``d2l.``."""

    default_priority = 5
    formats = ("html",)

    def run(self) -> None:
        """Change the page."""
        names = names_of(self.env)
        members = Counter(name.rpartition(".")[2] for name in names)
        alone = {last: name for name in names if members[last := name.rpartition(".")[2]] == 1}
        for literal in list(self.document.findall(nodes.literal)):
            text, within = literal.astext(), literal.get("within", "")
            if isinstance(literal.parent, nodes.reference | nodes.title | nodes.term):
                continue
            name = next(filter(names.__contains__, _meanings(text, within)), alone.get(text) if within else None)
            if name and name != within:
                address = f"{self.app.builder.get_relative_uri(self.env.docname, names[name])}#d2l.{name}"
                literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=address, internal=True))


def _meanings(text: str, within: str) -> Iterator[str]:
    """The names that a text may stand for: ``d2l.trainer.Trainer`` is the class, also where it is called."""
    path = text.partition("(")[0].split(".")
    if path[0] == "d2l":
        yield from (".".join(path[start:]) for start in range(1, len(path)))
    elif within:
        yield f"{within.partition('.')[0]}.{text}"
        yield text


def add_helper(app: Sphinx) -> None:
    """Have Sphinx write the reference of the helper."""
    app.add_node(FrameworkCell, html=(_visit_cell, _depart_cell))
    app.add_role("d2l", _name_role)
    app.add_directive("helper", Helper)
    app.add_directive("other-names", OtherNames)
    app.add_post_transform(LinkNames)
