"""Figures that come alive: where scripts run, a reader sees something to try in the place of the figure's picture."""

from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from jinja2 import Environment, FileSystemLoader

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def figure_before(directive: Directive) -> nodes.figure:
    """Return the figure that a directive follows and brings to life."""
    before = directive.state.parent[-1] if len(directive.state.parent) else None
    if not isinstance(before, nodes.figure):
        raise directive.error(f'"{directive.name}" has to follow the figure whose picture it takes the place of.')
    return before


class LiveFigure(Directive):
    """A directive right after a figure. On paper, in a PDF and without scripts, the figure keeps its picture.

    Attributes:
        template: The file in this folder that has the HTML.
    """

    template: ClassVar[str]

    def facts(self) -> dict[str, Any]:
        """Return what the template needs to know."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Put the HTML between the figure's picture and its caption; nothing stands in the directive's own place."""
        figure = figure_before(self)
        figure["classes"].append("live")
        html = TEMPLATES.get_template(self.template).render(self.facts())
        figure.insert(figure.first_child_matching_class(nodes.caption) or 1, nodes.raw("", html, format="html"))
        return []
