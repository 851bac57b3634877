"""A link that misbehaves: a TCP proxy on loopback that delays, throttles, slices, cuts and breaks what it passes.

    with ToxicProxy(broker_port, latency=0.1, jitter=0.05) as link:     # connect to link.port
        link.set(bandwidth=10_000)                                      # from now on, also for open connections
        link.reset()                                                    # all connections die, with a reset

Between a client and a component of tests.providers: `component.through(...)`, whose `url` leads through the proxy.
"""

from __future__ import annotations

import contextlib
import queue
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

_CHUNK = 16 * 1024
# What a direction holds while it is delayed: a link's worth. More is not read, and the sender feels it.
_IN_FLIGHT = 64
# How often, in seconds, a thread that waits for something else looks whether its link is over.
_LOOK = 0.05


@dataclass(frozen=True)
class Toxics:
    """What the link does to each connection. The defaults pass everything as it comes."""

    latency: float = 0.0  # seconds until what was read is passed on
    jitter: float = 0.0  # the latency varies by up to this much; the order of bytes does not
    bandwidth: float | None = None  # bytes a second, in each direction
    slices: int | None = None  # bytes passed at a time, at most
    pause: float = 0.0  # seconds between two slices
    black_hole: bool = False  # nothing passes, connections stay; goes on where it was when this is lifted
    refuse: bool = False  # new connections are reset
    cut_after: int | None = None  # bytes of one direction after which the connection is reset
    lifetime: tuple[float, float] | None = None  # seconds, drawn for each connection, until it is reset
    direction: Literal["both", "up", "down"] = "both"  # up: from the client; for what happens to bytes

    def on(self, direction: str) -> Toxics:
        """What holds for the bytes of one direction."""
        if self.direction in ("both", direction):
            return self
        return Toxics(refuse=self.refuse, lifetime=self.lifetime)


class ToxicProxy:
    """Listens on `port`, passes bytes to `target`, both on loopback. Safe from several threads.

    Counts `connections` accepted, `broken` ones that ended by a reset, and the bytes it `passed` on.
    """

    def __init__(
        self, target: int, listen: int = 0, rng: random.Random | None = None, url: str = "", **toxics: Any
    ) -> None:
        self.toxics = Toxics(**toxics)
        self.rng = rng or random.Random()
        self.connections = self.broken = self.passed = 0
        self._target, self._url = target, url
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._listener = socket.create_server(("127.0.0.1", listen))
        self.port = int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The target's address with this proxy's port, where `url` was given with a `{port}` in it."""
        return self._url.format(port=self.port)

    def set(self, **toxics: Any) -> None:
        """Changes some of the toxics, at once."""
        self.toxics = replace(self.toxics, **toxics)

    def heal(self) -> None:
        """Takes all toxics away."""
        self.toxics = Toxics()

    def reset(self) -> None:
        """Ends all connections, with a reset."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.end()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self.reset()
        deadline = time.monotonic() + 5
        while self._links and time.monotonic() < deadline:
            time.sleep(0.01)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near = self._listener.accept()[0]
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        """In a thread of its own: a target that does not answer delays nobody else."""
        try:
            if self.toxics.refuse:
                raise ConnectionRefusedError
            far = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            _close(near, reset=True)
            return
        link = _Link(self, near, far)
        with self._lock:
            self.connections += 1
            self._links.add(link)
        link.start()

    def count_broken(self) -> None:
        with self._lock:
            self.broken += 1

    def forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def count(self, size: int) -> None:
        with self._lock:
            self.passed += size


class _Link:
    """One connection: two directions, each with a reader and a writer and what is in flight between them.

    The sockets are closed by the last of its threads, never under one that uses them: the number of a closed socket is
    given to the next connection.
    """

    def __init__(self, proxy: ToxicProxy, near: socket.socket, far: socket.socket) -> None:
        for sock in (near, far):
            sock.settimeout(None)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # slices leave as slices
        self._proxy, self._near, self._far = proxy, near, far
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._broken = False
        self._busy = 0

    def start(self) -> None:
        duties: list[Callable[[], None]] = []
        for source, sink, direction in ((self._near, self._far, "up"), (self._far, self._near, "down")):
            flight: queue.Queue[tuple[float, bytes]] = queue.Queue(_IN_FLIGHT)
            duties.append(partial(self._read, source, flight))
            duties.append(partial(self._write, sink, flight, direction))
        self._busy = len(duties)
        for duty in duties:
            threading.Thread(target=self._do, args=(duty,), daemon=True).start()
        if self._proxy.toxics.lifetime:
            lifetime = self._proxy.rng.uniform(*self._proxy.toxics.lifetime)
            threading.Thread(target=self._expire, args=(lifetime,), daemon=True).start()

    def end(self) -> None:
        """Resets both sides: also for an error on one of them, which the other is to see."""
        with self._lock:
            if self._over.is_set():
                return
            self._broken = True
            self._proxy.count_broken()
            self._over.set()
        for sock in (self._near, self._far):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RD)  # wakes its reader, and tells the peer nothing

    def _do(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except OSError:
            self.end()
        with self._lock:
            self._busy -= 1
            last = self._busy == 0
        if last:
            self._over.set()
            for sock in (self._near, self._far):
                _close(sock, reset=self._broken)
            self._proxy.forget(self)

    def _expire(self, lifetime: float) -> None:
        if not self._over.wait(lifetime):
            self.end()

    def _read(self, source: socket.socket, flight: queue.Queue[tuple[float, bytes]]) -> None:
        """An empty read, the end of this direction, travels like the others."""
        data = b"-"
        while data and not self._over.is_set():
            data = source.recv(_CHUNK)
            self._put(flight, (time.monotonic(), data))

    def _put(self, flight: queue.Queue[tuple[float, bytes]], item: tuple[float, bytes]) -> None:
        while not self._over.is_set():
            with contextlib.suppress(queue.Full):
                flight.put(item, timeout=_LOOK)
                return

    def _write(self, sink: socket.socket, flight: queue.Queue[tuple[float, bytes]], direction: str) -> None:
        sent = 0
        while not self._over.is_set():
            try:
                read_at, data = flight.get(timeout=_LOOK)
            except queue.Empty:
                continue
            self._delay(read_at, direction)
            if not data and not self._over.is_set():
                sink.shutdown(socket.SHUT_WR)
                return
            sent = self._send(sink, data, sent, direction)

    def _delay(self, read_at: float, direction: str) -> None:
        toxics = self._proxy.toxics.on(direction)
        late = toxics.latency + self._proxy.rng.uniform(-toxics.jitter, toxics.jitter)
        self._over.wait(max(0.0, read_at + late - time.monotonic()))
        while self._proxy.toxics.on(direction).black_hole and not self._over.wait(_LOOK):
            pass

    def _send(self, sink: socket.socket, data: bytes, sent: int, direction: str) -> int:
        """Sends `data` slice by slice; returns how much this direction has sent in all."""
        while data and not self._over.is_set():
            toxics = self._proxy.toxics.on(direction)
            room = len(data) if toxics.cut_after is None else max(0, toxics.cut_after - sent)
            done = self._push(sink, data[: min(_slice(toxics), room)])
            self._proxy.count(done)
            sent, data = sent + done, data[done:]
            if toxics.cut_after is not None and sent >= toxics.cut_after:
                self.end()
            self._over.wait(toxics.pause + (done / toxics.bandwidth if toxics.bandwidth else 0))
        return sent

    def _push(self, sink: socket.socket, part: bytes) -> int:
        """Sends what `sink` takes of `part`, as soon as it takes any; nothing once the link is over."""
        while part and not self._over.is_set():
            if select.select([], [sink], [], _LOOK)[1]:
                return sink.send(part, socket.MSG_DONTWAIT)
        return 0


def _slice(toxics: Toxics) -> int:
    """How much is sent at a time: under a bandwidth at most a twentieth of a second's worth, so that it flows."""
    sizes = [_CHUNK, toxics.slices or _CHUNK]
    if toxics.bandwidth:
        sizes.append(max(1, int(toxics.bandwidth / 20)))
    return min(sizes)


def _close(sock: socket.socket, reset: bool) -> None:
    """Closes with RST instead of FIN where a reset is meant."""
    if reset:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
