"""Exercises and answers: each has an address that stays, and leads to the other; all answers open at once.

An exercise is the item of a list in a section *Exercises*, or a section *Exercise 3: ...* that has its answer below it.
The answer to an item is in it, folded, or in the sections of another page: `Answers: :numref:...` above
the list says which.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

from .structure import begins_answer, is_answer, number_of

PERMALINK = '<a class="headerlink" href="#{0}-{1}" aria-label="Permalink to {0} {1}">¶</a>'
HEADING = re.compile(r"Exercise (\d+): ")
ANSWERED_AT = "answered_at"  # in a page's metadata, which Sphinx keeps: the label of the page with its answers
OPEN_ALL = '<p class="open-all"><button type="button">Open all answers</button></p>'


def _listed(document: nodes.document) -> Iterator[tuple[int, nodes.list_item]]:
    """The exercises in a list, with their numbers."""
    for section in document.findall(nodes.section):
        if section[0].astext() == "Exercises":
            for items in section.findall(nodes.enumerated_list):
                if items.parent is section:
                    yield from enumerate((item for item in items.children if isinstance(item, nodes.list_item)), 1)


def _titled(document: nodes.document) -> Iterator[tuple[int, nodes.section]]:
    """The exercises that are sections, with their numbers."""
    for section in document.findall(nodes.section):
        if match := HEADING.match(section[0].astext()):
            yield int(match[1]), section


def _name(app: Sphinx, document: nodes.document) -> None:
    """Give exercises and answers their ids, and keep where the answers are."""
    for number, exercise in (*_listed(document), *_titled(document)):
        exercise["ids"].append(f"exercise-{number}")
        for answer in _answers(exercise):
            answer["ids"].insert(0, f"answer-{number}")
    for _, exercise in _listed(document):
        section = exercise.parent.parent
        above = section.children[: section.index(exercise.parent)]
        said = [child for child in above if child.astext().startswith("Answers: ")]
        for reference in (node for child in said for node in child.findall(addnodes.pending_xref)):
            app.env.metadata[app.env.docname][ANSWERED_AT] = reference["reftarget"]


def _page_of(env: BuildEnvironment, label: str) -> str:
    return env.domaindata["std"]["labels"][label][0]


class LinkExercises(SphinxPostTransform):
    """Exercises and answers on different pages lead to each other."""

    default_priority = 4
    formats = ("html",)

    def run(self) -> None:
        """Add the links, signs that are links to exercises and answers, and a button that opens all answers."""
        page, metadata = self.env.docname, self.env.metadata
        listed, titled = list(_listed(self.document)), list(_titled(self.document))
        if label := metadata[page].get(ANSWERED_AT):
            for number, exercise in listed:
                exercise += self._link(f"Answer {number}", _page_of(self.env, label), f"answer-{number}")
        for other in (other for other, own in metadata.items() if ANSWERED_AT in own):
            if _page_of(self.env, metadata[other][ANSWERED_AT]) == page:
                place = number_of(self.env, other, "")
                for number, exercise in titled:
                    text = f"Exercise {number} in Section {place}"
                    exercise.insert(1, self._link(text, other, f"exercise-{number}"))
        for number, exercise in listed:
            next(exercise.findall(nodes.paragraph)).append(_permalink("exercise", number))
        answers = [(number, answer) for number, exercise in (*listed, *titled) for answer in _answers(exercise)]
        for number, answer in answers:
            first = answer if begins_answer(answer) else next(answer.findall(nodes.paragraph))
            first += _permalink("answer", number)
        if len(answers) > 1:
            exercise = answers[0][1].parent
            first = exercise if isinstance(exercise, nodes.section) else exercise.parent
            first.parent.insert(first.parent.index(first), nodes.raw("", OPEN_ALL, format="html"))

    def _link(self, text: str, page: str, anchor: str) -> nodes.paragraph:
        address = f"{self.app.builder.get_relative_uri(self.env.docname, page)}#{anchor}"
        return nodes.paragraph("", "", nodes.reference("", text, refuri=address, internal=True), classes=["other-half"])


def _permalink(kind: str, number: int) -> nodes.raw:
    return nodes.raw("", PERMALINK.format(kind, number), format="html")


def _answers(exercise: nodes.Element) -> Iterator[nodes.Element]:
    children = (child for child in exercise.children if isinstance(child, nodes.Element))
    return (child for child in children if is_answer(child) or begins_answer(child))


def add_exercises(app: Sphinx) -> None:
    """Have Sphinx name and link exercises and answers."""
    app.connect("doctree-read", _name, priority=400)  # before the contents of the page are collected
    app.add_post_transform(LinkExercises)
