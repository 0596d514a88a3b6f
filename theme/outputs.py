"""Outputs of cells, which the build gives to Sphinx as letters and digits, see `book.rst_outputs`."""

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from book.rst_outputs import HTML, TEXT, decoded


class ShownText(Directive):
    """A text as it is."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A block that d2lbook's style for LaTeX draws as an output."""
        text = decoded(self.content.data).expandtabs().strip("\n")
        style = nodes.raw("", r"\diilbookstyleoutputcell", format="latex")
        return [style, nodes.literal_block(text, text, classes=["output"], language="none")]


class ShownHtml(Directive):
    """HTML as it is."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The HTML, which a PDF leaves out."""
        return [nodes.raw("", decoded(self.content.data), format="html")]


def add_directives(app: Sphinx) -> None:
    """Have Sphinx know what outputs are."""
    app.add_directive(TEXT, ShownText)
    app.add_directive(HTML, ShownHtml)
