"""What lies beside the pages for readers to take along: notebooks, the helper's wheel, PDFs and decks of slides."""

import shutil
from pathlib import Path

from .cache import is_kept, keep
from .export_notebooks import COMPILED, DOWNLOADS
from .files import BUILD, ROOT
from .frameworks import FRAMEWORKS
from .publication import Publication
from .stale import PICTURES, STORED, TEXTS, files_hash
from .wheel import make_wheel

PDF = BUILD / "pdf"
DECKS = COMPILED / "slides"  # as they were made; people work in the copies of these
CARD = ROOT / "img" / "card.png"  # what is shown where somebody links to a page
PRINTED = ("_build/pdf/*.pdf", "_build/compiled/slides/**/*.ipynb")


def keep_printed(what: str) -> None:
    """Note that PDFs or decks are made from today's text: ``pdf/TAB`` or ``slides``."""
    keep(f"printed/{what}", [_readers_hash()])


def printed() -> tuple[dict[str, Path], list[str]]:
    """The PDFs and decks that are there, by their places beside the pages.

    Returns:
        Those of today's text, and the places of those of an earlier one, to which no page is to link.
    """
    today = [_readers_hash()]
    found = {f"pdf/{tab}": {f"pdf/alexnet-{tab}.pdf": PDF / f"alexnet-{tab}.pdf"} for tab in FRAMEWORKS}
    # A section that is no more may have left its deck.
    names = [deck.relative_to(DECKS) for deck in sorted(DECKS.rglob("*.ipynb"))]
    found["slides"] = {f"slides/{name.as_posix()}": DECKS / name for name in names if (DOWNLOADS / name).exists()}
    current, old = {}, []
    for what, files in found.items():
        there = {place: path for place, path in files.items() if path.exists()}
        if is_kept(f"printed/{what}", today):
            current |= there
        else:
            old += there
    return current, old


def copy_downloads(folder: Path, publication: Publication) -> None:
    """Put all of it beside the pages in a folder, in place of what an earlier build has put there.

    Pages that have an address have a picture for those who link to them as well.

    Raises:
        BookError: See `make_wheel`.
    """
    for name in ("notebooks", "pdf", "slides"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in (*folder.glob("*.whl"), folder / CARD.name):
        path.unlink(missing_ok=True)
    shutil.copytree(DOWNLOADS, folder / "notebooks")
    for path in [make_wheel(), *([CARD] if publication.site_url else [])]:
        shutil.copy(path, folder)
    current, _ = printed()
    for place, path in current.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / place)


def _readers_hash() -> str:
    """Hash of the text, pictures and outputs that readers see."""
    return files_hash((*TEXTS, *PICTURES, *STORED, "references.bib"))
