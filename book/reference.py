"""The stored outputs that the notebook tests compare with."""

from pathlib import Path

from nbformat import NotebookNode

from .source import ROOT, Section, write_notebook

REFERENCES = ROOT / "tests" / "reference"


def reference_path(section: Section) -> Path:
    """Where a section's reference is kept."""
    return REFERENCES / section.tab / f"{section.name}.ipynb"


def store(section: Section, executed: NotebookNode) -> None:
    """Make an executed notebook the section's reference."""
    path = reference_path(section)
    write_notebook(executed, path)
    print(f"Stored {path.relative_to(ROOT)}")
