"""The second connection of a worker: calls and pulses, on a thread of its own. A command's control connection works alike.

A large transfer or a slow answer here never delays events there. The thread reads and pulses; any thread may call, and may
begin further calls before the first is answered. One lock guards the session and the order of bytes sent; nobody holds it while
waiting for the bridge, except for a write that the bridge's reader takes (it never waits for its own writer). A frame of
a large transfer is at most a few megabytes, so that a pulse behind it is not late.

A call under a lease ends before the batch's deadline does, whatever time it was given: a database that does not answer would
otherwise look like a model that hangs, and the batch's events like its cause.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from pyrunner.client.connection import Connection, LinkLost
from pyrunner.client.dialler import Dialler
from pyrunner.client.pending import CallError, Pending, Unreachable
from pyrunner.protocol import Answer, Drain, Lease, LocalError, Role
from pyrunner.protocol.frames import MAX_CALLS

_GRACE = 0.5  # the bridge keeps the deadline; this is for the way back
# Of a batch's time: when its calls end, and when nobody waits for them any more.
_LAST_CALL, _LAST_ANSWER = 0.75, 0.9
_FOR_EVER = (math.inf, math.inf)
_LOST = "the connection to the bridge ended before the answer"


class Begun:
    """A call on its way. `wait` may be called once, by any thread."""

    def __init__(self, pending: Pending, until: float) -> None:
        self._pending = pending
        self._until = until

    def wait(self) -> Any:
        """The bridge's answer. Raises CallError."""
        return self._pending.wait(max(0.0, self._until - time.monotonic()))


class Calls:
    """Start it, call, close it. `close` ends the thread and waits for it."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._changed = threading.Condition(self._lock)
        self._connection: Connection | None = None
        self._pending: dict[int, Pending] = {}
        self._until: dict[Lease, tuple[float, float]] = {}  # of batches: the last call, the last answer
        self._thread = threading.Thread(target=self._run, name="ds-runner-calls", daemon=True)

    def start(self) -> None:
        """Begin to dial. Called again, nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
            if self._connection is not None:
                self._connection.close(goodbye=True)
        if self._thread.ident is not None:
            self._thread.join(timeout=2)

    def batch(self, lease: Lease, seconds: float | None) -> None:
        """So long a batch has that is being answered from now on; calls under its lease keep within it. None: it is answered."""
        if seconds is None:
            self._until.pop(lease, None)
            return
        now, seconds = time.monotonic(), seconds or math.inf
        self._until[lease] = now + _LAST_CALL * seconds, now + _LAST_ANSWER * seconds

    def call(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> Any:
        """The bridge's answer. Raises CallError; safe from any thread."""
        return self.begin(method, *args, lease=lease, deadline=deadline).wait()

    def begin(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> Begun:
        """Send a call and return before its answer; several may be on their way. Waits only for a connection and for room.

        Raises CallError when the call could not be sent; safe from any thread.
        """
        now = time.monotonic()
        until, answered = now + deadline, now + deadline + _GRACE
        last_call, last_answer = _FOR_EVER if lease is None else self._until.get(lease, _FOR_EVER)
        until, answered = min(until, last_call), min(answered, last_answer)
        with self._changed:
            if not self._changed.wait_for(self._may_send, max(0.0, until - now)):
                raise _crowded() if self._connection else Unreachable("no connection to the bridge")
            if time.monotonic() >= last_call:
                raise CallError("deadline", "the batch's deadline is too near for another call", True)
            return Begun(self._send(method, args, lease, until), answered)

    def _may_send(self) -> bool:
        return self._stop.is_set() or (self._connection is not None and len(self._pending) < MAX_CALLS)

    def _send(self, method: str, args: tuple[Any, ...], lease: Lease | None, until: float) -> Pending:
        if self._connection is None:
            raise Unreachable(_LOST)
        left = max(1, int((until - time.monotonic()) * 1000))
        try:
            number, data = self._connection.session.call(method, args, left, lease)
        except LocalError as error:  # a frame over the limit
            raise CallError("too_large", str(error), False) from None
        self._pending[number] = pending = Pending()
        try:
            self._connection.send(data)
        except LinkLost:
            self._pending.pop(number, None)
            raise Unreachable(_LOST) from None
        return pending

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = self._dialler.dial_until(self._stop.wait)
            if connection is None:
                return
            self._serve(connection)

    def _serve(self, connection: Connection) -> None:
        with self._changed:
            self._connection = connection
            self._changed.notify_all()
        try:
            self._read(connection)
        except LinkLost:
            pass  # dialled again; the events connection tells of it
        finally:
            self._drop()

    def _read(self, connection: Connection) -> None:
        every = max(0.1, connection.welcome.heartbeat_ms / 1000)
        pulses = connection.session.role is Role.CALLS  # a command's silence means nothing
        seq, due = 0, time.monotonic()
        while not self._stop.is_set():
            if (now := time.monotonic()) >= due:
                seq, due = seq + 1, now + every
                if pulses:
                    with self._lock:
                        connection.send(connection.session.pulse(seq))
            body = connection.receive_body(due - now)
            if body is None:
                continue
            with self._changed:
                frame = connection.accept(body)
                pending = self._pending.pop(frame.id, None) if isinstance(frame, Answer) else None
                self._changed.notify_all()  # there is room again
            if isinstance(frame, Answer) and pending is not None:
                pending.answer(frame)
            if isinstance(frame, Drain) or pending is not None:
                self._dialler.settled()

    def _drop(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            lost, self._pending = self._pending, {}
        for pending in lost.values():
            pending.fail(Unreachable(_LOST))


def _crowded() -> CallError:
    return CallError("too_many_calls", f"{MAX_CALLS} calls are on their way, none was answered in time", True)
