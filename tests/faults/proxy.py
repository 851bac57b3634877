"""A link that breaks: a TCP proxy whose connections die after a random while, with a reset."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from types import TracebackType
from typing import Self


class BreakingLink:
    """Listens on `port`, passes bytes to `target`, and ends each connection after `shortest` to `longest` seconds."""

    def __init__(self, target: int, rng: random.Random, shortest: float = 0.5, longest: float = 1.5) -> None:
        self._target, self._rng, self._bounds = target, rng, (shortest, longest)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.broken = 0
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for sock in list(self._open):
            _reset(sock)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                self._link(self._listener.accept()[0])

    def _link(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            _reset(near)
            return
        far.settimeout(None)
        self._open |= {near, far}
        for a, b in ((near, far), (far, near)):
            threading.Thread(target=_pass, args=(a, b), daemon=True).start()
        timer = threading.Timer(self._rng.uniform(*self._bounds), self._break, (near, far))
        timer.daemon = True
        timer.start()

    def _break(self, near: socket.socket, far: socket.socket) -> None:
        self.broken += 1
        self._open -= {near, far}
        _reset(near)
        _reset(far)


def _pass(a: socket.socket, b: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
    sock.close()
