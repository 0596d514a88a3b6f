"""Ports of this machine, for servers that the tests start."""

import random
import socket
from contextlib import suppress

# Below those that systems give to whoever asks for any, so that no other process gets one in the meantime.
CANDIDATES = range(15_000, 30_000)


def free_ports(count):
    """As many ports on which nothing listens."""
    ports = []
    for port in random.SystemRandom().sample(CANDIDATES, 200):
        with socket.socket() as server, suppress(OSError):
            server.bind(("127.0.0.1", port))
            ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"of 200 ports from {CANDIDATES.start} on, fewer than {count} are free")
