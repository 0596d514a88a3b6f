"""A folder that one run uses at a time: the lock, and who holds it."""

import errno
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import lock_descriptor

NAME = "run.lock"
LONGEST_RECORD = 1000  # bytes
# What file systems without locks say, as some that machines share.
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}

_held: set[int] = set()  # descriptors


class FolderInUse(RuntimeError):
    """Another run holds the lock. The message says which."""


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other runs out of a folder, in this process and in others, until this context or the process ends.

    The lock is the system's (``flock``), on a file in the folder that says whose it is. With a process that is killed
    it is gone, so the file that such a run leaves behind locks nothing.

    Args:
        folder: The folder.

    Yields:
        Whether there is a lock: on a file system that has none, a line says so.

    Raises:
        FolderInUse: Another run holds it.
        OSError: The file cannot be written, or is something else.
    """
    path = folder / NAME
    descriptor = _open(path)
    try:
        is_locked = _lock(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    _held.add(descriptor)
    try:
        yield is_locked
    finally:
        if descriptor in _held:  # and not in a process that has been forked since
            with suppress(OSError):  # on Windows it stays, for it is open
                path.unlink()  # before the lock is gone, so that it is nobody else's
            _held.remove(descriptor)
            os.close(descriptor)


def _open(path: Path) -> int:
    """Open the file, and never what a link of its name points to."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, "there is something else than a file", str(path))
    return descriptor


def _lock(path: Path, descriptor: int) -> bool:
    """Take the lock and write whose it is."""
    try:
        free = lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(
            f"{path.parent}: this file system has no locks, so see to it that no other run uses this folder",
            file=sys.stderr,
        )
        return False
    # Without a name, it has been that of a run which has ended this moment.
    if not free or not os.fstat(descriptor).st_nlink:
        raise FolderInUse(f"{path.parent}: another run uses this folder{_holder(descriptor)}")
    os.ftruncate(descriptor, 0)
    started = datetime.now(UTC).astimezone().isoformat(" ", timespec="seconds")
    record = {"process": os.getpid(), "host": socket.gethostname(), "started": started}
    os.write(descriptor, json.dumps(record).encode())
    return True


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file says."""
    try:
        record = json.loads(os.read(descriptor, LONGEST_RECORD))
        process, host, started = (str(record[name]) for name in ("process", "host", "started"))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    said = f": process {process} on {host}, started {started}"
    return said if said.isprintable() else ""


def _forget() -> None:
    """Leave a lock to the process that has forked this one, with which it is to end."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
