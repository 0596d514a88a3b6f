"""Folders in which frameworks keep what they have compiled, and from which they run it in later processes."""

import getpass
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Where a user can have them.
VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR")
INDUCTOR = VARIABLES[0]


def check_caches(say: Callable[[str], None]) -> None:
    """See that nobody else can put code into these folders, as on a machine that several people use.

    PyTorch has one in the folder for temporary files, with a name that can be foreseen. Where somebody else has made
    it before, this process gets a new one. Of folders that the environment names, only a line says so.

    Args:
        say: Prints a line.
    """
    if not hasattr(os, "geteuid"):
        return
    for variable in VARIABLES:
        folder = os.environ.get(variable)
        wrong = folder and _not_ours(Path(folder))
        if wrong:
            say(f"{variable}={folder} {wrong}, who can have this process run what they like: give a folder of yours")
    if INDUCTOR not in os.environ and "torch" in sys.modules:
        own = _inductor_folder()
        with suppress(OSError):  # so that nobody else can from now on
            own.mkdir(mode=0o700)
        wrong = _not_ours(own)
        if wrong:
            os.environ[INDUCTOR] = tempfile.mkdtemp(prefix="torchinductor_")
            say(f"{own} {wrong}: PyTorch keeps what it compiles in {os.environ[INDUCTOR]} in its place")


def user_cache(name: str) -> Path:
    """A folder for what a framework compiles, in this user's own cache folder; it is made if it is not there.

    Raises:
        OSError: It cannot be made, or others can put code into it; the message says so.
    """
    choices = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")
    home = next(filter(os.path.isabs, choices), None)
    if home is None:
        raise FileNotFoundError("there is no home folder")
    own = Path(home, "d2l")
    own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (own, own / name):
        folder.mkdir(mode=0o700, exist_ok=True)
        wrong = _not_ours(folder) if hasattr(os, "geteuid") else None
        if wrong:
            raise PermissionError(f"{folder} {wrong}")
    return own / name


def _inductor_folder() -> Path:
    """Where PyTorch has its own unasked."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # as in a container, whose users may have no names
        user = f"uid_{os.getuid()}"
    return Path(tempfile.gettempdir(), f"torchinductor_{user}")


def _not_ours(folder: Path) -> str | None:
    """Whose a folder is, if it is not this user's or the system's alone."""
    try:
        status = folder.lstat()
        if stat.S_ISLNK(status.st_mode) and status.st_uid in (os.geteuid(), 0):
            status = folder.stat()
    except OSError:
        return None  # it is not there yet
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (number {status.st_uid})"
    return "can be written to by all users" if status.st_mode & stat.S_IWOTH else None
