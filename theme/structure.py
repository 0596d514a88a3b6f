"""What is what in a text that Sphinx has read, for all parts of the theme that walk through one."""

import re

from docutils import nodes
from sphinx.environment import BuildEnvironment

PANEL = re.compile(r'<div class="mdl-tabs__panel[^"]*" id="((\w+)-\d+-\d+)">')  # d2lbook's, for a framework


def is_code(block: nodes.literal_block) -> bool:
    """Whether a block is code, and not an output."""
    return "output" not in block["classes"]


def is_answer(section: nodes.Node) -> bool:
    """Whether a section is an answer, folded until it is asked for."""
    return isinstance(section, nodes.section) and section[0].astext() == "Answer"


def begins_answer(node: nodes.Node) -> bool:
    """Whether a paragraph of a list begins with `**Answer.**`: with it, an answer begins that ends with the item."""
    if not (isinstance(node, nodes.paragraph) and isinstance(node.parent, nodes.list_item)):
        return False
    return isinstance(node[0], nodes.strong) and node[0].astext() == "Answer."


def is_entry(anchor: str) -> bool:
    """Whether an anchor is that of a name of the helper, which is found by it and not by a number."""
    return anchor.startswith("d2l.")


def titled(section: nodes.Element) -> nodes.Element:
    """The section that a reader knows a section by: of an answer, the exercise."""
    return section.parent if is_answer(section) else section


def number_of(env: BuildEnvironment, page: str, anchor: str) -> str:
    """A section's number, such as ``1.3.2``; none where the contents give it none. The page's own has no anchor."""
    if is_entry(anchor):
        return ""
    number = env.toc_secnumbers.get(page, {}).get(anchor and f"#{anchor}", ())
    return ".".join(map(str, number))
