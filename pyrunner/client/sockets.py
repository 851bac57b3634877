"""Sockets of the wire: out of the way of user code, and not inherited by what it starts.

User code prints, closes descriptors in a loop, forks and runs programs in the process that holds the wire. So the wire's
descriptors are high numbers, closed on exec, and closed in a forked child: a child that kept one open would make a dead
worker look alive to the bridge.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import weakref

_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def connect(address: str, timeout: float) -> socket.socket:
    """A connected blocking socket for `tcp://host:port` or `unix:///path`. Raises OSError, or ValueError for another form."""
    if address.startswith("unix://"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(address.removeprefix("unix://"))
        except BaseException:
            sock.close()
            raise
    else:
        sock = socket.create_connection(host_and_port(address), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return keep(sock)


def host_and_port(address: str) -> tuple[str, int]:
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdigit():
        raise ValueError(f"{address} is not an address. Write tcp://host:port or unix:///path")
    return host.strip("[]"), int(port)


def keep(sock: socket.socket) -> socket.socket:
    """The same connection on a high descriptor that a forked child does not hold."""
    timeout, family = sock.gettimeout(), sock.family
    high = socket.socket(family, socket.SOCK_STREAM, fileno=raise_descriptor(sock.detach()))
    high.settimeout(timeout)
    _open.add(high)
    return high


def raise_descriptor(low: int) -> int:
    """Move a descriptor up, closed on exec. Returns the new number; the old one is closed."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    floor = max(3, min(soft if soft > 0 else 1024, 1024) - 64)
    try:
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, floor)
    finally:
        os.close(low)
    return high


def _close_in_child() -> None:
    for sock in list(_open):
        try:
            os.close(sock.detach())
        except OSError:
            continue
    _open.clear()


os.register_at_fork(after_in_child=_close_in_child)
