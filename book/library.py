"""What the helper takes from the chapter: code marked ``#@save``, and the aliases of ``config.ini``."""

import tempfile
from pathlib import Path

from .source import ROOT, BookError, configured_tabs, d2lbook_build, in_root


@in_root
def library() -> dict[Path, str]:
    """The text that each framework's module of the helper should have, by path, as d2lbook extracts it.

    Raises:
        BookError: A module has no line that says where d2lbook's part begins.
    """
    build = d2lbook_build()
    config = build.Config()
    modules = {tab: ROOT / config.library[tab]["lib_file"] for tab in configured_tabs()}
    with tempfile.TemporaryDirectory() as folder:
        for tab, module in modules.items():
            text = module.read_text("utf-8")
            if build.library.HEADER not in text:
                # d2lbook would overwrite all of it.
                raise BookError(f"{module}: no line {build.library.HEADER.strip()!r} above the part that is generated")
            copy = Path(folder) / module.name
            copy.write_text(text, "utf-8")
            config.library[tab]["lib_file"] = str(copy)
        build.Builder(config).lib()
        return {module: _tidy((Path(folder) / module.name).read_text("utf-8")) for module in modules.values()}


def _tidy(text: str) -> str:
    """The text without the blanks that d2lbook leaves at the ends of lines and of the file."""
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
