"""What the helper takes from the chapter: code marked ``#@save``, and the aliases of ``config.ini``."""

import tempfile
from pathlib import Path

from .source import ROOT, configured_tabs, in_root


@in_root
def library() -> dict[Path, str]:
    """The text that each of the helper's framework modules should have, by path, as d2lbook extracts it."""
    from d2lbook.build import Builder
    from d2lbook.config import Config

    config = Config()
    modules = {tab: ROOT / config.library[tab]["lib_file"] for tab in configured_tabs()}
    with tempfile.TemporaryDirectory() as folder:
        for tab, module in modules.items():
            # d2lbook writes in place, and keeps what stands above its own part.
            copy = Path(folder) / module.name
            copy.write_text(module.read_text("utf-8"), "utf-8")
            config.library[tab]["lib_file"] = str(copy)
        Builder(config).lib()
        return {module: _tidy((Path(folder) / module.name).read_text("utf-8")) for module in modules.values()}


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
