"""The pages' look: a theme of Sphinx, and HTML for what d2lbook adds to a text: tabs, outputs, pictures, answers."""

import copy
import gc
import re
from pathlib import Path
from typing import Any, cast

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

from book.formulas import FormulaError, mathml
from book.frameworks import FRAMEWORKS
from book.sanitize_svg import SvgError

from .convolution import Convolution
from .exercises import add_exercises
from .explorer import Explorer
from .helper import add_helper, names_of
from .lenet import LeNet, write_data
from .outputs import add_directives
from .pictures import finish_pictures, read_picture
from .publication import add_publication
from .references import add_references, pages_of_works
from .search import add_search
from .structure import PANEL, begins_answer, is_answer, is_code, is_entry
from .training import Training

LOGGER = logging.getLogger(__name__)
TAB = re.compile(r'<a href="#((\w+)-\d+-\d+)"')
NUMBER_IN_CONTENTS = re.compile(r'(?<=">)[\d.]+ ')
ANSWER_IN_CONTENTS = re.compile(r'<li><a class="reference internal" href="#[^"]*">Answer</a></li>')
# Pygments marks every name and bracket. Those that look like the rest of the code would be half of a page.
PLAIN_TOKEN = re.compile(r'<span class="(?:bp|n|n[abntov]|o|p|w)">([^<]*)</span>')
# What only the pages with these figures load, by the figures' ids.
SCRIPTS_OF_FIGURES = {"explorer": ("explorer.js", "layers.js"), "convolution": ("convolution.js",)}
MARKS_AFTER_FORMULA = re.compile(r"[.,;:!?)\u201d\u2019]+")
PHONE_COLUMNS = 52  # letters of an output side by side that can still be read on a phone
READABLE = 0.75  # of its own size a plot may be shown at and still be read


class Translator(HTML5Translator):
    """Writes what works with a keyboard, a screen reader, on paper, and where scripts are switched off."""

    def visit_raw(self, node: nodes.raw) -> None:
        """Tabs after the pattern of ARIA; d2lbook's own are links that only its scripts understand."""
        text = node.astext()
        if tabs := TAB.findall(text):
            self.body.append(_tab_list(tabs))
        elif match := PANEL.search(text):
            self.body.append(_panel(*match.groups()))
        else:
            super().visit_raw(node)
        raise nodes.SkipNode

    def visit_literal_block(self, node: nodes.literal_block) -> None:
        """Code, and outputs: those are text, and no keyword of Python stands out in them."""
        if not is_code(node):
            lines = node.astext().splitlines()
            node["classes"] += ["sentence"] if len(lines) == 1 else []
            columns = max(map(len, lines), default=0)
            fits: Any = {"style": f"--columns: {columns}"} if len(lines) > 1 and columns <= PHONE_COLUMNS else {}
            self.body.append(f"{self.starttag(node, 'pre', suffix='', **fits)}{self.encode(node.astext())}</pre>\n")
            raise nodes.SkipNode
        try:
            super().visit_literal_block(node)
        finally:
            self.body[-1] = PLAIN_TOKEN.sub(r"\1", self.body[-1])

    def visit_image(self, node: nodes.image) -> None:
        """A picture with its size, so that nothing moves when it has come, and with words in its place."""
        try:
            picture = read_picture(Path(self.builder.srcdir, node["uri"]))
        except (OSError, SvgError) as error:
            LOGGER.warning("the picture %s cannot be read: %s", node["uri"], error, location=node)
            raise nodes.SkipNode from None
        width = float(node.get("width", f"{picture.width}px").removesuffix("px"))
        caption = node.next_node(nodes.caption, descend=False, siblings=True, ascend=True)
        attributes = {
            "src": f"{self.builder.imgpath}/{self.builder.images[node['uri']]}",
            "alt": picture.words or (caption.astext() if caption else ""),
            "width": f"{width:.0f}",
            "height": f"{max(1, width * picture.height / picture.width):.0f}",
            "loading": "lazy",
            "class": picture.kind,
        }
        if Path(node["uri"]).name.startswith("output_"):  # as nbconvert calls what cells have drawn
            attributes["style"] = f"--least: {READABLE * width:.0f}px"
        image = self.emptytag(node, "img", "", **attributes)
        linked = isinstance(node.parent, nodes.reference)
        # What code has drawn can be looked into as well; a figure with a width has its link from Sphinx.
        self.body.append(image if linked else f'<a class="image-reference" href="{attributes["src"]}">{image}</a>')

    def depart_image(self, node: nodes.image) -> None:
        """All is written when it is entered."""

    def visit_Text(self, node: nodes.Text) -> None:
        """Text; what `_write_formula` keeps together with its marks ends after these."""
        super().visit_Text(node)
        if marks := _marks_after_formula(node):
            text = self.body[-1]
            self.body[-1] = f"{text[: len(marks)]}</span>{text[len(marks) :]}"

    def visit_citation(self, node: nodes.citation) -> None:
        """An entry of the bibliography; docutils closes a list here that it has not opened."""
        self.body.append(self.starttag(node, "div", CLASS="citation"))

    def depart_citation(self, node: nodes.citation) -> None:
        """See `visit_citation`."""
        self.body.append("</div>\n")

    def visit_rubric(self, node: nodes.rubric) -> None:
        """The heading of the bibliography."""
        self.body.append(self.starttag(node, "h2", suffix=""))

    def depart_rubric(self, node: nodes.rubric) -> None:
        """See `visit_rubric`."""
        self.body.append("</h2>\n")

    def visit_section(self, node: nodes.section) -> None:
        """An answer waits until it is asked for."""
        super().visit_section(node)
        if is_answer(node):
            self.body[-1] = self.starttag(node, "details", CLASS="answer")

    def depart_section(self, node: nodes.section) -> None:
        """See `visit_section`."""
        super().depart_section(node)
        if is_answer(node):
            self.body[-1] = "</details>\n"

    def visit_paragraph(self, node: nodes.paragraph) -> None:
        """An answer beside an exercise, too: it begins with the word in bold, and ends where the exercise does."""
        if begins_answer(node):
            self.body.append(self.starttag(node, "details", CLASS="answer") + "<summary>Answer</summary>\n")
            node["ids"] = []
        super().visit_paragraph(node)

    def visit_strong(self, node: nodes.strong) -> None:
        """The word that an answer begins with is what opens it."""
        if begins_answer(node.parent) and node is node.parent[0]:
            raise nodes.SkipNode
        super().visit_strong(node)

    def depart_list_item(self, node: nodes.list_item) -> None:
        """See `visit_paragraph`."""
        if any(map(begins_answer, node.children)):
            self.body.append("</details>\n")
        super().depart_list_item(node)

    def add_permalink_ref(self, node: nodes.Element, title: str) -> None:
        """The sign at a heading that is a link to it, with a name for those who do not see it."""
        super().add_permalink_ref(node, title)
        self.body[-1] = self.body[-1].replace(" title=", " aria-label=")

    def add_secnumber(self, node: nodes.Element) -> None:
        """The number of a section, which an entry of the helper's reference goes without."""
        if not any(map(is_entry, node.parent.get("ids", ()))):
            super().add_secnumber(node)

    def visit_title(self, node: nodes.title) -> None:
        """The heading of an answer is what opens it."""
        if not is_answer(node.parent):
            super().visit_title(node)
            return
        self.body.append("<summary>Answer</summary>\n")
        raise nodes.SkipNode


def _tab_list(tabs: list[tuple[str, str]]) -> str:
    """The tabs of one group, each given as the id of its panel and its framework."""
    if len(tabs) < len(FRAMEWORKS):
        return '<div class="some-tabs">'
    buttons = "\n".join(
        f'<button type="button" role="tab" id="tab-{panel}" aria-controls="{panel}" data-framework="{framework}" '
        f'aria-selected="false" tabindex="-1">{FRAMEWORKS[framework].title}</button>'
        for panel, framework in tabs
    )
    return f'<div class="tabs">\n<div class="tab-list" role="tablist" aria-label="Framework">\n{buttons}\n</div>\n'


def _panel(panel: str, framework: str) -> str:
    label = f'<p class="framework">{FRAMEWORKS[framework].title}</p>'
    return f'<div class="panel" id="{panel}" data-framework="{framework}">{label}\n'


def _add_context(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """What the templates need besides what Sphinx gives them."""
    context["frameworks"] = FRAMEWORKS
    context["toc"] = ANSWER_IN_CONTENTS.sub("", NUMBER_IN_CONTENTS.sub("", context.get("toc", "")))
    body = context.get("body", "")
    scripts = ((script, id) for id, files in SCRIPTS_OF_FIGURES.items() for script in files)
    context["scripts_of_figures"] = [script for script, id in scripts if f'id="{id}"' in body]
    add_publication(app, page, context, doctree)


def _marks_after_formula(node: nodes.Node | None) -> str:
    """The marks that a text behind a formula begins with, before which browsers would begin a new line."""
    if not isinstance(node, nodes.Text):
        return ""
    before = node.parent[node.parent.index(node) - 1] if node.parent.index(node) else None
    match = MARKS_AFTER_FORMULA.match(node) if isinstance(before, nodes.math) else None
    return match[0] if match else ""


def _write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """A formula as MathML, which browsers show by themselves."""
    inline = isinstance(node, nodes.math)
    try:
        formula = mathml(node.astext(), inline=inline)
    except FormulaError as error:
        LOGGER.warning("the formula %s cannot be shown: %s", node.astext(), error, location=node)
        raise nodes.SkipNode from None
    if inline and _marks_after_formula(node.next_node(descend=False, siblings=True)):
        formula = f'<span class="unbroken">{formula}'
    if not inline:
        writer = cast(Any, translator)  # Sphinx 5.3 declares its translator to HTML 4 here, and takes this one
        number = f'<span class="number">({get_node_equation_number(writer, node)})</span>' if node["number"] else ""
        formula = f"{translator.starttag(node, 'div', CLASS='formula')}{formula}{number}</div>\n"
    translator.body.append(formula)
    raise nodes.SkipNode


def _pages_to_write(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Besides the pages whose text has changed, all if something has that pages show of each other."""
    std, math, cite = (env.domaindata[name] for name in ("std", "math", "cite"))
    titles = {page: str(title) for page, title in env.titles.items()}
    numbers = (env.toctree_includes, env.toc_secnumbers, env.toc_fignumbers, math["objects"])
    works = [(work.citation_id, work.key, work.formatted_entry.label) for work in cite["citations"]]
    shown = copy.deepcopy((titles, numbers, std["labels"], std["anonlabels"], works, names_of(env)))
    before = vars(env).get("shown_of_others")
    vars(env)["shown_of_others"] = shown  # Sphinx keeps it with the rest of the environment
    return sorted(pages_of_works(env) if shown == before else env.found_docs)


def _take_labels_for_addresses(app: Sphinx, doctree: nodes.document) -> None:
    """Have a figure's label come first among its names, as its address: what docutils counts changes with the others.

    Sphinx then numbers the figure under that name.
    """
    for figure in doctree.findall(nodes.figure):
        figure["ids"].sort(key=lambda name: re.fullmatch(r"id\d+", name) is not None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx, which `config.ini` tells to use this package."""
    # Sphinx loads each text many times, thousands of nodes in one: to look for garbage there takes a fifth of a build.
    gc.disable()
    app.add_html_theme("theme", str(Path(__file__).parent))
    app.set_translator("html", Translator)
    formula: Any = (_write_formula, None)  # nothing is left to write at its end; Sphinx does not declare the None
    app.add_html_math_renderer("mathml", formula, formula)
    add_directives(app)
    add_references(app)
    add_exercises(app)
    add_search(app)
    add_helper(app)
    app.add_directive("explorer", Explorer)
    app.add_directive("training", Training)
    app.add_directive("convolution", Convolution)
    app.add_directive("lenet", LeNet)
    app.connect("doctree-read", _take_labels_for_addresses)
    app.connect("env-get-updated", _pages_to_write, priority=900)  # after Sphinx has numbered what is new
    app.connect("html-page-context", _add_context)
    app.connect("build-finished", write_data)
    app.connect("build-finished", finish_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
