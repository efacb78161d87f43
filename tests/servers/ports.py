"""Ports for servers that must keep theirs over a restart."""

import random
import socket

LOOPBACK = "127.0.0.1"
BUS_OFFSET = 10_000
"""A Redis Cluster node talks to the others on its port plus this."""

# Both the port and its bus port stay below 32768, where Linux begins to hand out local ports
# to outgoing connections (macOS: 49152). While a server is down nothing else can be given its
# port, and a client that keeps connecting to it cannot end up connected to itself.
FIRST_PORT = 15_000
LAST_PORT = 22_700

# Tests seed the shared generator, and parallel runs would then all choose the same ports.
_choice = random.SystemRandom()


def free_port() -> int:
    """Return a loopback port that is free at this moment, its bus port too.

    Another process may take it before the caller does: whoever binds it must be ready to try
    another.

    Raises:
        OSError: A hundred ports were tried and none was free.
    """
    for _ in range(100):
        port = _choice.randint(FIRST_PORT, LAST_PORT)
        if is_free(port) and is_free(port + BUS_OFFSET):
            return port
    raise OSError(f"no free port found between {FIRST_PORT} and {LAST_PORT}")


def is_free(port: int) -> bool:
    """Say whether nothing listens on `port` of the loopback address, by binding it."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
