"""What the helper takes from the chapter: code marked ``#@save``, and the aliases of ``config.ini``."""

from pathlib import Path

from . import d2lbook_adapter
from .errors import BookError
from .files import ROOT
from .source import check_contents, check_sources, configured_tabs


def library() -> dict[Path, str]:
    """The text that each framework's module of the helper should have, by path, as d2lbook extracts it.

    Raises:
        BookError: ``config.ini`` names no module for a tab, a module has no place for what d2lbook writes, or a
            source is not as it should be, see `check_sources` and `check_contents`.
    """
    check_sources()
    check_contents()
    settings = d2lbook_adapter.settings()
    modules = {}
    for tab in configured_tabs():
        if "lib_file" not in settings.library.get(tab, {}):
            raise BookError(f"config.ini: no section [library-{tab}] with a lib_file")
        modules[tab] = ROOT / settings.library[tab]["lib_file"]
    return {modules[tab]: _tidy(text) for tab, text in d2lbook_adapter.with_saved_code(modules).items()}


def _tidy(text: str) -> str:
    """The text without the blanks that d2lbook leaves at the ends of lines and of the file."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
