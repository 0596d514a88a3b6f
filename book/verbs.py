"""What one can do here, verb by verb: what it needs, what it takes, and what it runs.

It runs before anything is installed, so it needs Python alone: what a verb itself needs is imported by then.
"""

import argparse
import locale
import os
import shlex
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from .command_errors import NOTHING_KEPT, in_one_line, run_command
from .errors import BookError
from .files import BUILD, NOTEBOOKS, ROOT
from .install import Needs, prepare
from .programs import run_all, run_program, script

# What commits are checked with; each program comes with the extra test.
LINT = ("ruff check", "ruff format --check", "codespell", "basedpyright")
PYTEST = ("-m", "pytest", "--numprocesses", "auto", "--maxprocesses", "4")
QUICK = ("-m", "quick and not slow")
FIGURES = (
    *("alexnet", "two_gpus", "convolution", "pooling", "dropout", "ring", "timeline", "pipeline", "receptive"),
    *("activations", "training", "challenge", "result", "window"),  # in a second each
    *("filters", "training_images", "card", "lenet", "views", "layers"),
)
GOES_ON = "finished notebooks are kept, the next run goes on from there."

TOOLS = ("book", "test", "figures")
ALL = Needs(TOOLS, "all")
THERE = Needs(TOOLS, "there")
UNIT_TESTS = Needs(("pytorch", "test"))
PYTHON_ALONE = Needs(())

TABS = ("tabs", {"nargs": "*", "metavar": "TABS", "help": "frameworks, such as pytorch jax; all if none is named"})
SECTION = ("--section", {"default": "", "help": "one section only, such as alexnet"})

Argument = tuple[str, dict]
VERBS: dict[str, tuple[Callable[[Namespace], int | None], Needs, tuple[Argument, ...], str]] = {}


def verb(
    needs: Needs, *arguments: Argument, name: str = "", interrupted: str = NOTHING_KEPT
) -> Callable[[Callable], Callable]:
    """Decorator for a verb, which its docstring describes.

    Args:
        needs: What has to be installed.
        arguments: What it takes, by names and options as `argparse` has them.
        name: What it is called, if not as the function.
        interrupted: What is kept of one that is stopped.
    """

    def register(function: Callable) -> Callable:
        VERBS[name or function.__name__] = function, needs, arguments, interrupted
        return function

    return register


def _python(*arguments: str) -> int:
    return run_program([sys.executable, *arguments])


@verb(ALL, TABS, interrupted=GOES_ON)
def book(args: Namespace) -> None:
    """From a bare clone to the page in _build/html, then run the notebooks"""
    from .commands import build

    build(args.tabs)


@verb(ALL)
def test(args: Namespace) -> int:
    """Lint, spelling, types, unit tests, browser tests, and every notebook against its stored outputs"""
    return _lint() or _python(*PYTEST)


@verb(UNIT_TESTS)
def quick(args: Namespace) -> int:
    """Lint, spelling, types, and the unit tests that need PyTorch at most, in a minute"""
    return _lint() or _python(*PYTEST, *QUICK)


def _lint() -> int:
    return run_all([script(name), *options] for name, *options in map(str.split, LINT))


@verb(THERE)
def notebooks(args: Namespace) -> None:
    """Compile a notebook per section and framework into _build/notebooks"""
    from .commands import notebooks

    notebooks()


@verb(THERE, interrupted=GOES_ON)
def slides(args: Namespace) -> None:
    """Make a deck of slides per section and framework, to be shown in JupyterLab"""
    from .commands import slides

    slides()


@verb(THERE, ("tab", {"nargs": "?", "default": "", "metavar": "TAB", "help": "such as pytorch"}), interrupted=GOES_ON)
def pdf(args: Namespace) -> None:
    """Make a PDF per framework with LaTeX"""
    from .commands import pdf

    pdf(args.tab)


@verb(ALL, TABS, interrupted=GOES_ON)
def site(args: Namespace) -> None:
    """Build the page, and write it into _build/site with what a static host needs"""
    from .commands import build, site

    build(args.tabs)
    site()


@verb(ALL, TABS, interrupted=GOES_ON)
def serve(args: Namespace) -> int:
    """Build the page and serve it at http://localhost:8000"""
    book(args)
    return _python("-m", "http.server", "--bind", "127.0.0.1", "--directory", str(BUILD / "html"), "8000")


@verb(THERE, ("notebook", {"nargs": "?", "metavar": "NOTEBOOK", "help": "such as pytorch/chapter_cnn/alexnet"}))
def lab(args: Namespace) -> int:
    """Open the notebooks in JupyterLab, or one of them"""
    notebooks(args)
    chosen = [str(NOTEBOOKS / f"{args.notebook}.ipynb")] if args.notebook else []
    status = _python("-m", "jupyterlab", "--notebook-dir", str(NOTEBOOKS), *chosen, *args.handed_on)
    if status and getattr(os, "geteuid", lambda: None)() == 0 and "--allow-root" not in args.handed_on:
        raise BookError(
            "JupyterLab does not start for root, as in most containers, unless it is told to: "
            "make lab ARGS=--allow-root, or python -m book lab -- --allow-root. From outside a container, started with "
            '--publish 8888:8888, it is reached with "--allow-root --ip=0.0.0.0".'
        )
    return status


@verb(THERE)
def data(args: Namespace) -> None:
    """Look for Fashion-MNIST, and fetch it if it is not here"""
    from .commands import data

    data()


@verb(
    ALL,
    ("tab", {"metavar": "TAB", "help": "such as pytorch"}),
    ("limits", {"nargs": "*", "metavar": "LIMITS", "help": "such as epochs=1 images=6000"}),
    SECTION,
    interrupted="finished recordings are kept; a section that is named (SECTION, --section) is recorded alone.",
)
def record(args: Namespace) -> None:
    """Run one framework in full and keep its outputs"""
    from .commands import record

    record(args.tab, args.limits, args.section)


@verb(
    ALL,
    ("--write", {"choices": ("yes", ""), "default": "", "help": "yes: without asking"}),
    SECTION,
    interrupted="references are renewed at the end only.",
)
def reference(args: Namespace) -> None:
    """Show what changed since the outputs that make test compares with, ask, and renew them"""
    from .commands import reference

    reference(bool(args.write), args.section)


@verb(ALL, ("parts", {"nargs": "*", "metavar": "PARTS", "help": "such as gpu"}))
def bench(args: Namespace) -> int:
    """Measure training, data, imports and builds against plain recipes and the machine"""
    return _python("-m", "bench", *args.parts)


@verb(ALL)
def chapters(args: Namespace) -> int:
    """Run the sections that the helper is tested with, and renew their table"""
    return _python("-m", "qa", "chapters")


@verb(ALL)
def contract(args: Namespace) -> int:
    """Show what changed in the helper's names and signatures, and renew the file that tests compare with"""
    folders = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    return run_program([sys.executable, "-m", "contract.interface"], PYTHONPATH=folders)


@verb(ALL)
def faults(args: Namespace) -> int:
    """Make every fault happen that the tests know, and renew the table of what the user sees"""
    return _python("-m", "qa", "faults")


@verb(
    ALL,
    ("only", {"nargs": "?", "default": "", "metavar": "ONLY", "help": "a word of the defect's or the file's name"}),
    ("--random", {"default": "", "help": "how many defects to draw at random in place of the chosen ones"}),
    ("--seed", {"default": "", "help": "a whole number; with the same one the same defects are drawn"}),
)
def mutants(args: Namespace) -> int:
    """Put in one defect after the other and see which test catches it, in an hour"""
    return _python("-m", "qa", "mutants", "--random", args.random, "--seed", args.seed, args.only)


@verb(
    PYTHON_ALONE,
    ("--runs", {"type": int, "default": 6, "help": "how many, 6 unasked"}),
    ("--under", {"default": "", "help": "a program that runs them, such as 'taskset --cpu-list 0'"}),
)
def soak(args: Namespace) -> int:
    """Run all tests in new clones, one after the other, until one fails"""
    python = getattr(sys, "_base_executable", sys.executable)  # without what is installed here
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder) / "a book"
            command = [*shlex.split(args.under), python, "-m", "book", "test"]
            status = run_program(["git", "clone", "--quiet", str(ROOT), str(clone)]) or run_program(
                command, cwd=clone, D2L_DATA=None, PYTHONPATH=None
            )
        if status:
            return status
    return 0


@verb(ALL)
def coverage(args: Namespace) -> int:
    """Show which lines and branches of the helper its tests run, at least 95 percent"""
    shutil.rmtree(BUILD / "coverage", ignore_errors=True)
    (BUILD / "coverage").mkdir(parents=True)
    steps = ("run -m pytest -q -m helper", "combine -q", "report")
    return run_all([sys.executable, "-m", "coverage", *step.split()] for step in steps)


@verb(ALL)
def figures(args: Namespace) -> int:
    """Draw the figures again: most in a second, lenet and filters in minutes, views and layers in half an hour"""
    for name in FIGURES:
        print(f"img/{name}.py", flush=True)
        if status := _python(f"img/{name}.py"):
            return status
    return 0


@verb(THERE)
def lib(args: Namespace) -> None:
    """Take what the chapter marks #@save, and the aliases of config.ini, into the helper d2l"""
    from .commands import lib

    lib()


@verb(
    THERE,
    ("database", {"nargs": "?", "default": "", "metavar": "DATABASE", "help": "a folder or zip file of advisories"}),
)
def audit(args: Namespace) -> int:
    """Look the pinned packages up in the database of known vulnerabilities"""
    return _python("-m", "qa", "audit", args.database)


@verb(
    THERE,
    (
        "--check",
        {"nargs": "?", "choices": ("yes", ""), "const": "yes", "default": "", "help": "yes: ask for each"},
    ),
)
def links(args: Namespace) -> None:
    """List the links that lead out of the book and its documents, or ask for each"""
    from .commands import links

    links(bool(args.check))


@verb(THERE, name="format")
def format_code(args: Namespace) -> int:
    """Format and lint the Python code"""
    return run_all([[script("ruff"), "format"], [script("ruff"), "check", "--fix"]])


@verb(PYTHON_ALONE)
def clean(args: Namespace) -> None:
    """Remove what was built; the environment, downloaded data and _build/notebooks, where people work, stay"""
    for path in BUILD.glob("*"):
        if path.name not in (NOTEBOOKS.name, "compiled", "lock"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@verb(ALL, TABS)
def install(args: Namespace) -> None:
    """Install what all other verbs need, with all frameworks or some"""
    print(f"All is here, in {sys.prefix}.")


def make_parser() -> argparse.ArgumentParser:
    """The command line of all verbs."""
    parser = argparse.ArgumentParser(
        prog="python -m book",
        description="Build, test and measure the book, on every system; `make VERB` does the same.",
        epilog="What a verb lacks is installed first: into .venv, or by you where this Python is in an environment of "
        "yours. `python -m book VERB --help` says what a verb takes.",
    )
    commands = parser.add_subparsers(required=True, metavar="VERB")
    for name, (run, needs, arguments, interrupted) in VERBS.items():
        aliases = ["build"] if name == "book" else []
        command = commands.add_parser(name, aliases=aliases, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run, needs=needs, interrupted=interrupted, tabs=())
        for argument, options in arguments:
            command.add_argument(argument, **options)
    commands.choices["lab"].epilog = "What stands after -- is JupyterLab's: python -m book lab -- --allow-root"
    return parser


def parse(words: Sequence[str]) -> Namespace:
    """A command line, parsed: what stands after ``--`` is handed on to the program that a verb starts."""
    own = list(words[: words.index("--")] if "--" in words else words)
    parser = make_parser()
    args = parser.parse_args(own)
    args.handed_on = list(words[len(own) + 1 :])
    if args.handed_on and args.run is not lab:
        parser.error(f"{own[0]} hands on no options, and was given {args.handed_on[0]} after --")
    return args


def run_here(words: Sequence[str]) -> int:
    """Run the verb of a command line in this environment, as it is; its exit status."""
    return run_command(parse(words))


def main() -> int:
    """Run a verb in an environment that has what it needs."""
    words = sys.argv[1:]
    args = parse(words)

    def run() -> int:
        # d2lbook reads and writes files in the encoding of the locale, which may have no sign for what is in them.
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("D2L_DATA", str(ROOT / "data"))
        python = prepare(args.needs, args.tabs)
        if python is None and (sys.flags.utf8_mode or locale.getencoding().lower() == "utf-8"):
            return run_here(words)
        return run_program([python or sys.executable, "-m", "book", *words])

    return in_one_line(run, "the same command goes on with the installation.")
