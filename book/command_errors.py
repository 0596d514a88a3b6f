"""What the commands of ``book`` and ``qa`` share: an error is one line, and one that is stopped says what is kept."""

import errno
import signal
import sys
from argparse import Namespace
from collections.abc import Callable

from .errors import BookError
from .helper_origin import check_helper

NOTHING_KEPT = "nothing is left half-written; the same command begins anew."


def run_command(args: Namespace) -> int:
    """Run the command that a parsed command line names.

    Args:
        args: Has the command as ``run``, which takes these arguments and may return an exit status. One of which
            something is kept when it is stopped says so in ``interrupted``.

    Returns:
        The exit status: 1 after an error of the user's or a full disk, 130 after Ctrl-C or SIGTERM.
    """

    def run() -> int:
        check_helper()
        return args.run(args) or 0

    return in_one_line(run, getattr(args, "interrupted", NOTHING_KEPT))


def in_one_line(run: Callable[[], int], interrupted: str) -> int:
    """Run something whose errors are one line each; its exit status, as `run_command` has it.

    Args:
        run: What is run; gives its exit status.
        interrupted: What is kept if it is stopped.
    """
    # What make, timeout and CI send ends a command as Ctrl-C does.
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run()
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: the disk is full. Make room on it: {interrupted}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted: {interrupted}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, kept)
