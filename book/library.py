"""What the helper takes from the chapter: code marked ``#@save``, and the aliases of ``config.ini``."""

import tempfile
from pathlib import Path

from .errors import BookError
from .files import ROOT
from .source import check_contents, check_sources, configured_tabs, d2lbook_build, in_root


@in_root
def library() -> dict[Path, str]:
    """The text that each framework's module of the helper should have, by path, as d2lbook extracts it.

    Raises:
        BookError: ``config.ini`` names no module for a tab, a module has no place for what d2lbook writes, or a
            source is not as it should be, see `check_sources` and `check_contents`.
    """
    check_sources()
    check_contents()
    build = d2lbook_build()
    config = build.Config()
    modules = {}
    for tab in configured_tabs():
        if "lib_file" not in config.library.get(tab, {}):
            raise BookError(f"config.ini: no section [library-{tab}] with a lib_file")
        modules[tab] = ROOT / config.library[tab]["lib_file"]
    with tempfile.TemporaryDirectory() as folder:
        for tab, module in modules.items():
            text = module.read_text("utf-8")
            if build.library.HEADER not in text:
                # d2lbook would overwrite all of it.
                raise BookError(f"{module}: no line {build.library.HEADER.strip()!r} above the part that is generated")
            copy = Path(folder) / module.name
            copy.write_text(text, "utf-8")
            config.library[tab]["lib_file"] = str(copy)
        for tab in modules:
            config.tabs, config.default_tab = [tab], tab  # to d2lbook, whose a cell without a mark is
            build.Builder(config).lib()
        return {module: _tidy((Path(folder) / module.name).read_text("utf-8")) for module in modules.values()}


def _tidy(text: str) -> str:
    """The text without the blanks that d2lbook leaves at the ends of lines and of the file."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
