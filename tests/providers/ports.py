"""Free ports on loopback that stay free."""

from __future__ import annotations

import contextlib
import random
import socket

# Below what Linux (from 32768) and macOS (from 49152) hand to clients: while a server is down for its restart, no
# connection of somebody else gets its port.
_RANGE = range(15_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on."""
    for port in random.SystemRandom().sample(_RANGE, 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port among 200 of {_RANGE.start} to {_RANGE.stop}")
