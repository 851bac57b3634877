"""The parent's connection to the bridge: it tells of deaths and hears of workers to cut. On a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pyrunner.client import Connection, Dialler, LinkLost
from pyrunner.protocol import Cut
from pyrunner.runtime.waker import Waker

_KEPT = 256  # deaths that wait for a connection; older ones the bridge has seen by end of file


class Line:
    """One for each command. `close` ends the thread and waits for it.

    `on_bridge` hears of each life of the bridge that is reached, and of the deadline of its batches in seconds.
    """

    def __init__(
        self,
        dialler: Dialler,
        on_cut: Callable[[str, str], None],
        on_bridge: Callable[[int, float], None],
        log: Any,
    ) -> None:
        self._dialler = dialler
        self._on_cut, self._on_bridge = on_cut, on_bridge
        self._log = log
        self._waker = Waker()
        self._stop = threading.Event()
        self._deaths: deque[tuple[str, str, str]] = deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._run, name="ds-runner-line", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def died(self, worker: str, cause: str, detail: str) -> None:
        """Tell the bridge as soon as there is a connection. Never blocks."""
        self._deaths.append((worker, cause, detail))
        self._waker.set()

    def close(self, timeout: float = 2.0) -> None:
        """Say what is left to say, and goodbye."""
        self._stop.set()
        self._waker.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = self._dialler.dial_until(self._pause)
            if connection is None:
                return
            try:
                self._serve(connection)
            except LinkLost as lost:
                if lost.bye is not None:
                    self._dialler.parted()
                self._pause(0.02)  # dialled again; the workers tell of it
            finally:
                connection.close(goodbye=True)

    def _serve(self, connection: Connection) -> None:
        connection.watch(self._waker.fileno())
        welcome = connection.welcome
        self._on_bridge(welcome.nonce, welcome.deadline_ms / 1000)
        every = max(0.1, welcome.heartbeat_ms / 1000)
        seq, due = 0, time.monotonic()
        while True:
            while self._deaths:
                connection.send(connection.session.died(*self._deaths[0]))
                self._deaths.popleft()
            if self._stop.is_set():
                return
            if (now := time.monotonic()) >= due:
                seq, due = seq + 1, now + every
                connection.send(connection.session.pulse(seq))
            frame = connection.receive(due - now)
            self._waker.clear()
            if isinstance(frame, Cut):
                self._on_cut(frame.worker, frame.reason)
            if frame is not None:
                self._dialler.settled()

    def _pause(self, seconds: float) -> bool:
        self._waker.wait(seconds)
        self._waker.clear()
        return self._stop.is_set()
