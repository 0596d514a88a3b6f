"""One PDF per framework, through d2lbook, Sphinx and LaTeX."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .build_lock import alone
from .d2lbook_adapter import in_root, pdf_builder
from .downloads import PDF
from .errors import BookError
from .export_notebooks import listing
from .files import BUILD, ROOT, write_notebook
from .frameworks import FRAMEWORKS
from .latex_outputs import printable
from .pages import running_sphinx
from .rst_outputs import with_rst
from .sanitize_outputs import Safe
from .section import Executed
from .source import configured_tabs, fill_with_nothing

LATEX = BUILD / "latex"  # what d2lbook, Sphinx and LaTeX write on the way, in a folder per tab

# What has to be here, and Debian's package for it: programs, a font's measures that hyperref reads, and the fonts
# that config.ini names.
PROGRAMS = {"xelatex": "texlive-xetex", "latexmk": "latexmk", "rsvg-convert": "librsvg2-bin"}
MEASURES = {"pzdr.tfm": "texlive-fonts-recommended"}
FONTS = {"TeX Gyre Pagella": "fonts-texgyre", "DejaVu Sans Mono": "fonts-dejavu-core"}

# For Sphinx's Makefile, which d2lbook starts: LaTeX stops at an error instead of asking what to do, says so with the
# line of the text, and does not break its lines. It starts no programs, and reads and writes no files but those of its
# installation and of the folder that it is started in.
LATEX_SETTINGS = {
    "LATEXOPTS": "-interaction=nonstopmode -halt-on-error -file-line-error -no-shell-escape",
    "MAKEFLAGS": "--silent",
    "max_print_line": "1000",
    "openin_any": "p",
    "openout_any": "p",
}

# Lines of LaTeX's log: errors with the line of the text that they stand at, and what a reader would stumble over.
ERROR = re.compile(r"^(?:! |\S+:\d+: |l\.\d+ ).*$", re.M)
FLAW = re.compile(r"^(?:Missing character: |Overfull \\[hv]box |.*Warning: .*(?:undefined|multiply)).*$", re.M)


def chosen_tab(tab: str) -> list[str]:
    """The tabs to make PDFs of: the given one, or all if it is empty.

    Raises:
        BookError: The tab is unknown.
    """
    tabs = configured_tabs()
    if tab and tab not in tabs:
        raise BookError(f"TAB={tab!r}: known tabs are {', '.join(tabs)}")
    return [tab] if tab else tabs


def check_tools() -> None:
    """Look for LaTeX, its fonts, and the converter of SVG figures.

    Raises:
        BookError: Something is missing; the message says what, and which Debian packages bring it.
    """
    missing = {name: package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    missing |= {name: package for name, package in MEASURES.items() if not _output("kpsewhich", name)}
    missing |= {name: package for name, package in FONTS.items() if not _output("fc-list", name)}
    if missing:
        packages = sorted(set(missing.values()))
        raise BookError(
            f"a PDF needs {', '.join(missing)}, which cannot be found here. On Debian or Ubuntu:\n"
            f"  sudo apt-get install --no-install-recommends {' '.join(packages)}"
        )


def _output(*command: str) -> str:
    """What a command prints; nothing if it is not here."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout


@in_root
@alone()
def make_pdf(shown: list[Executed], tab: str) -> Path:
    """Make one framework's PDF, and print what LaTeX warns of. A failure leaves the last good PDF.

    Args:
        shown: The sections with the outputs to show; those of other tabs are passed over.

    Returns:
        Where the PDF is.

    Raises:
        BookError: Sphinx or LaTeX failed; the message says where to look, and has LaTeX's errors.
    """
    shutil.rmtree(LATEX / tab, ignore_errors=True)
    builder = pdf_builder(tab, FRAMEWORKS[tab].title, LATEX / tab)
    config = builder.config
    mine = [Safe(section) for section in shown if section.tab == tab]
    names = [section.name for section in mine]
    for section in mine:
        whole = listing(with_rst(printable(section.notebook)), section.name, names)
        write_notebook(whole, Path(config.eval_dir) / f"{section.name}.ipynb")
    fill_with_nothing(Path(config.eval_dir))
    made = Path(config.tex_fname).with_suffix(".pdf").absolute()
    messages = made.with_suffix(".messages")
    os.environ |= LATEX_SETTINGS | {"LATEXMKOPTS": f"-silent >{messages.name} 2>&1"}
    try:
        with running_sphinx("Sphinx could not write the text for LaTeX; its messages are above"):
            builder.pdf()
    except BookError:
        if messages.exists():
            raise BookError(_failure(made.with_suffix(".log"), messages)) from None
        raise
    for flaw in dict.fromkeys(FLAW.findall(_read(made.with_suffix(".log")))):
        print(f"{tab}: LaTeX says: {flaw}")
    PDF.mkdir(parents=True, exist_ok=True)
    return made.replace(PDF / f"alexnet-{tab}.pdf")


def _failure(log: Path, messages: Path) -> str:
    """What to say of a failed run of LaTeX: its errors, and the file that has more."""
    if errors := ERROR.findall(_read(log)):
        return "\n".join([f"LaTeX failed: {log.relative_to(ROOT)}", *errors])
    return f"LaTeX failed: {messages.relative_to(ROOT)}\n{_read(messages)}"


def _read(path: Path) -> str:
    """A file's text, nothing if there is no such file; LaTeX's logs may break a line within a letter."""
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
