"""A small process that speaks for one that cannot: JAX ends a process in C++ when the first one of a run is gone.

It waits for the end of the process that has started it. If that has not said before that it ends in order, and nobody
answers at the first process's address, it prints what Python would have said.
"""

import atexit
import subprocess
import sys

# What the small process runs: the address and the line are its arguments, and its input ends with what has started it.
WATCH = """
import signal, socket, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
host, port, line = sys.argv[1:]
if not sys.stdin.read():
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        print(line, file=sys.stderr)
"""


def speak_if_first_is_gone(address: str, line: str) -> None:
    """Have a line printed to standard error if this process ends because the first one is gone.

    Args:
        address: The first process's, as host:port.
        line: What to print.
    """
    host, _, port = address.rpartition(":")
    command = [sys.executable, "-I", "-S", "-c", WATCH, host.strip("[]"), port, line]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def end_in_order() -> None:
        process.communicate("in order")

    atexit.register(end_in_order)
