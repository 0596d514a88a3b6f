"""One build at a time in the folder ``_build``, which has to be writable."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import BookError
from .files import BUILD, ROOT

LOCK = FileLock(BUILD / "lock")
CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it, no other process builds here: it waits for one that does, and says so. It may be entered again.

    The lock goes with its process, however that ends.

    Raises:
        BookError: ``_build``, or what is in it, cannot be written to, then or later; the message names it.
    """
    try:
        BUILD.mkdir(exist_ok=True)
        _check_writable()
        try:
            LOCK.acquire(timeout=0)
        except Timeout:
            print("Another build is at work here; this one begins when it has ended. Ctrl-C ends the wait.", flush=True)
            LOCK.acquire()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise _unwritable(error) from None
    try:
        yield
    except OSError as error:
        in_build = BUILD in Path(os.path.abspath(error.filename or ROOT)).parents
        if error.errno not in CANNOT_WRITE or not in_build:
            raise
        raise _unwritable(error) from None
    finally:
        LOCK.release()


def _unwritable(error: OSError) -> BookError:
    place = os.path.relpath(error.filename or BUILD, ROOT)
    return BookError(f"{place}: {error.strerror}: a build has to write there, and into all that is below")


def _check_writable() -> None:
    """Check that ``_build`` and the folders in it can be written to, before some of them have been.

    Raises:
        OSError: One cannot.
    """
    for folder in (BUILD, *filter(Path.is_dir, BUILD.iterdir())):
        if not os.access(folder, os.W_OK | os.X_OK):
            is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
            number = errno.EROFS if is_read_only else errno.EACCES
            raise OSError(number, os.strerror(number), str(folder))
