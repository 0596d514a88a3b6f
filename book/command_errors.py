"""What the commands of ``book`` and ``qa`` share: an error is one line, and one that is stopped says what is kept."""

import argparse
import errno
import signal
import sys

from .errors import BookError
from .helper_origin import check_helper


def run_command(parser: argparse.ArgumentParser) -> int:
    """Parse the command line, and run the command that it names.

    Args:
        parser: Each of its commands sets ``run``, which takes the parsed arguments. One of which something is kept when
            it is stopped says so in ``interrupted``.

    Returns:
        The exit status: 1 after an error of the user's or a full disk, 130 after Ctrl-C or SIGTERM.
    """
    parser.set_defaults(interrupted="nothing is left half-written; the same command begins anew.")
    args = parser.parse_args()
    # What make, timeout and CI send ends a command as Ctrl-C does.
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_helper()
        args.run(args)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: the disk is full. Make room on it: {args.interrupted}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted: {args.interrupted}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, kept)
    return 0
