"""Judge the work: ``python -m qa COMMAND``. They are verbs of `book.verbs`."""

import argparse
import sys

from book.command_errors import run_command
from book.errors import BookError


def chapters() -> None:
    """Run the sections that the helper is tested with, and update their table."""
    from .run_chapters import update_table

    update_table()


def faults() -> None:
    """Run the tests that make faults happen, and update the table of what the user sees."""
    from .failure_modes import update_table

    update_table()


def mutants(only: str, count: str, seed: str) -> None:
    """Put defects into copies of the repository, one at a time, and write down which test catches each."""
    from .mutants import try_all
    from .random_defects import try_random

    if count or seed:
        if not count.isdecimal() or int(count) == 0 or not seed.isdecimal():
            raise BookError(
                f"RANDOM={count} SEED={seed}: give how many defects to draw, one at least, and a whole number to draw "
                "the same ones again with, such as RANDOM=40 SEED=1"
            )
        try_random(int(count), int(seed), only)
    else:
        try_all(only)


def audit(database: str) -> None:
    """Look the pinned packages up in the database of known vulnerabilities."""
    from .package_audit import audit

    audit(database)


def main() -> int:
    """Parse the command line and run a command."""
    parser = argparse.ArgumentParser(prog="python -m qa", description="Judge the tests, the helper and its packages.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (chapters, faults):
        commands.add_parser(command.__name__, help=command.__doc__).set_defaults(run=lambda args, run=command: run())
    tester = commands.add_parser("mutants", help=mutants.__doc__)
    tester.add_argument("only", nargs="?", default="", help="a word of the defect's or the file's name")
    tester.add_argument("--random", default="", help="how many defects to draw at random in place of the chosen ones")
    tester.add_argument("--seed", default="", help="a whole number; with the same one the same defects are drawn")
    tester.set_defaults(
        run=lambda args: mutants(args.only, args.random, args.seed),
        interrupted="what was found is kept; ONLY=... tries some of the others.",
    )
    auditor = commands.add_parser("audit", help=audit.__doc__)
    auditor.add_argument("database", nargs="?", default="", help="a folder or zip file of advisories, without network")
    auditor.set_defaults(run=lambda args: audit(args.database))
    return run_command(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
