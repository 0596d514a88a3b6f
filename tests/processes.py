"""What tests need of processes that they start: ports of this machine, and patience."""

import itertools
import os
import random
import socket
from contextlib import suppress

# Seconds after which a process hangs, also on a busy machine; less than pytest gives a test, in pyproject.toml.
TIME_LIMIT = 1800
# Below those that systems give to whoever asks for any, so that no other process gets one in the meantime.
# Each of pytest-xdist's workers has its own: between the choice of a port and its use another could take it.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
CANDIDATES = range(15_000, 30_000)[WORKER :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
# No port comes again before all have come: what asked for it may not listen yet.
in_turn = itertools.cycle(random.SystemRandom().sample(CANDIDATES, len(CANDIDATES)))


def free_ports(count):
    """As many ports on which nothing listens."""
    ports = []
    for port in itertools.islice(in_turn, 200):
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"of 200 ports from {CANDIDATES.start} on, fewer than {count} are free")
