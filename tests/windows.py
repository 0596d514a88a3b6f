"""Windows, as far as this repository would notice, with D2L_TEST_SYSTEM=windows in the environment.

Its modules miss here what they would miss there, and read and write text in Windows' encoding unless they name another.

Only modules of this repository see it, since what others do on Windows is their affair. Paths stay as they are here.
"""

import builtins
import io
import multiprocessing
import os
import pathlib
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
ENCODING = "cp1252"
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
# What these modules lack on Windows, in the words of their documentation: "Availability: Unix".
MISSING = {
    os: """
        O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC
        EX_OK RTLD_LAZY RTLD_NOW ST_RDONLY WIFEXITED WIFSIGNALED WEXITSTATUS WTERMSIG WNOHANG chown chroot confstr
        environb fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs getegid geteuid getgid getgroups
        getloadavg getpgid getpgrp getpriority getresuid getsid getuid getxattr initgroups killpg lchown listxattr lockf
        major makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise
        posix_fallocate posix_spawn pread preadv pwrite pwritev register_at_fork sched_getaffinity
        sched_setaffinity sched_yield sendfile set_blocking setegid seteuid setgid setgroups setpgid setpriority
        setsid setuid setxattr splice statvfs sync sysconf sysconf_names tcgetpgrp ttyname uname wait wait3 wait4 waitid
    """,
    signal: """
        SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP SIGTRAP SIGTSTP SIGTTIN
        SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIG_BLOCK SIG_SETMASK SIG_UNBLOCK ITIMER_REAL alarm getitimer
        pause pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait
    """,
    socket: "AF_UNIX CMSG_LEN recv_fds send_fds",
    sys: "abiflags getdlopenflags setdlopenflags",
    time: "clock_gettime clock_settime pthread_getcpuclockid tzset",
}
DIFFERENT = {os: {"name": "nt"}, sys: {"platform": "win32"}}


class OnWindows(ModuleType):
    """A module as it would be on Windows; what a test sets in it is set in the real one, too, if Windows has it."""

    def __init__(self, real: ModuleType, missing: Sequence[str], different: Mapping[str, Any]):
        super().__init__(real.__name__)
        vars(self).update(different, _real=real, _missing={*missing}, _own={*different, *missing}, _replaced={})

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._own:
            vars(self)[name] = value
        else:
            self._replaced.setdefault(name, getattr(self._real, name, None))
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._own:
            del vars(self)[name]
        elif name in self._replaced:  # as pytest's monkeypatch ends what it has set, since it is not in __dict__
            setattr(self._real, name, self._replaced.pop(name))
        else:
            delattr(self._real, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._real)} - self._missing)


def emulate() -> None:
    """Have the modules of this repository that are imported from now on find themselves on Windows."""
    modules = {one.__name__: OnWindows(one, names.split(), DIFFERENT.get(one, {})) for one, names in MISSING.items()}
    import_module, open_file = builtins.__import__, io.open

    def import_on_windows(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        module = import_module(name, globals, locals, fromlist, level)
        if level or not _is_ours(globals):
            return module
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
        return modules.get(module.__name__, module)

    def open_on_windows(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *more: Any, **options: Any
    ) -> Any:
        # The caller, or that of one of pathlib's functions.
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals.get("__name__") == pathlib.__name__:
            frame = frame.f_back
        if encoding in (None, "locale") and "b" not in mode:
            encoding = ENCODING if _is_ours(frame.f_globals) else None
        return open_file(file, mode, buffering, encoding, *more, **options)

    builtins.__import__ = import_on_windows
    builtins.open = io.open = open_on_windows
    # By which pathlib says that nothing was said; in Python's UTF-8 mode it says "utf-8".
    io.text_encoding = lambda encoding, stacklevel=2: encoding
    multiprocessing.set_start_method("spawn", force=True)


def _is_ours(module: Mapping[str, Any] | None) -> bool:
    """Whether a module, by its names, is one of this repository."""
    file = (module or {}).get("__file__")
    return file is not None and ROOT in (parents := Path(file).parents) and ROOT / ".venv" not in parents


if os.environ.get("D2L_TEST_SYSTEM") == "windows":
    emulate()
