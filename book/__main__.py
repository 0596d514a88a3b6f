"""Build the book: ``python -m book COMMAND``. The Makefile names the commands that people use."""

import argparse
import os
import sys

from .source import NOTEBOOKS, ROOT, BookError, compile_sections, is_installed


def build() -> None:
    """Compile, run what changed, render; go on past a section that fails and name it at the end."""
    from .execute import run_cached
    from .pages import HTML, STAMP, inputs_hash, render
    from .recordings import show_results

    page = HTML / "index.html"
    stamp = inputs_hash()
    if page.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        print(f"Nothing has changed. The page: {page}")
        return
    STAMP.unlink(missing_ok=True)
    shown, failures = [], []
    for section in compile_sections():
        smoke = section.notebook
        if is_installed(section.tab):
            try:
                smoke = run_cached(section)
            except BookError as error:
                failures.append(str(error))
        elif section.code_cells:
            print(f"{section}: not run, its framework is not installed here; the page shows what is recorded")
        shown.append((section, show_results(section, smoke)))
    if failures:
        kept = "The page was not rebuilt." if page.exists() else "There is no page yet."
        raise BookError("\n\n".join([*failures, f"{len(failures)} of {len(shown)} notebooks failed. {kept}"]))
    render(shown)
    STAMP.write_text(stamp)
    print(f"The page: {page}")


def notebooks() -> None:
    """Compile the sources into notebooks without outputs."""
    compile_sections()
    print(f"A notebook per section and framework: {NOTEBOOKS}")


def record(tab: str, limits: list[str]) -> None:
    """Run one tab in full and store its outputs."""
    from .recordings import record

    record(compile_sections(), tab, ",".join(limits) or "full")


def main() -> int:
    """Parse the command line and run a command."""
    parser = argparse.ArgumentParser(prog="python -m book", description="Build the book from its Markdown sources.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("build", help=build.__doc__).set_defaults(run=lambda args: build())
    commands.add_parser("notebooks", help=notebooks.__doc__).set_defaults(run=lambda args: notebooks())
    recorder = commands.add_parser("record", help=record.__doc__)
    recorder.add_argument("tab")
    recorder.add_argument("limits", nargs="*", help="such as epochs=1 images=6000")
    recorder.set_defaults(run=lambda args: record(args.tab, args.limits))
    args = parser.parse_args()
    os.chdir(ROOT)
    try:
        args.run(args)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: finished notebooks are kept, the next run goes on from there.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
