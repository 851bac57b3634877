"""A worker's main thread: take a batch, score it, answer it, until told to drain.

Theory of operation. One thread reads, scores and writes, so results are in the order of batches by nature, and a batch that
waits is in the socket, not in a queue of ours. When the connection ends, its leases end: what is scored but not sent is
dropped and the bridge delivers it again. SIGTERM never interrupts a call of the model: the handler only wakes the wait for
the next frame; then DRAIN is sent, what was leased is answered, and the bridge says goodbye. Nothing here is done per
event; a batch costs two clock reads and a handful of additions.

With `concurrency` above 1 this thread only reads, and a crew of threads scores and writes (crew.py), each batch when it is ready.
An answer to a connection that has ended meanwhile is dropped; the next connection's batches wait for a thread that is free.

A standby says so in HELLO, and the bridge gives it nothing until another worker is lost. When its parent calls it, over the lifeline, it says
READY again, and is no standby for any later connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import msgspec

from pyrunner.client import Connection, Dialler, LinkLost
from pyrunner.metrics import WorkerMetrics
from pyrunner.protocol import (
    Answers,
    Batch,
    ByeCode,
    Columns,
    Drain,
    Frame,
    Kind,
    Lease,
    ProtocolError,
    Result,
    RowFailure,
    Wants,
)
from pyrunner.protocol.results import failure
from pyrunner.runtime.crew import Crew
from pyrunner.runtime.lifeline import Lifeline
from pyrunner.runtime.mishaps import Mishaps
from pyrunner.runtime.waker import Waker

_PATIENCE = 3.0  # seconds in which a bridge that lives has said goodbye to a worker that has answered all

_KINDS = {Kind.REJECT: "reject", Kind.FAIL: "fail", Kind.RETRY: "retry"}


class Scores(Protocol):
    """What a scorer answers: the fields of RESULT."""

    outputs: bytes | list[bytes]
    counts: list[int] | None
    routes: list[Any] | None
    errors: Sequence[tuple[int, int, str, str, bytes | None, int]]


class Score(Protocol):
    """The way a batch is scored: payloads and where they come from."""

    def __call__(self, payloads: Sequence[Any], meta: Any) -> Scores: ...


class ScoreColumns(Protocol):
    """The way a frame of columns is scored; its answer is a Scores, or has `layout` and what else ANSWERS needs."""

    def __call__(self, columns: Columns, meta: Any) -> Any: ...


class Ways(NamedTuple):
    """How one thread scores: what it calls for payloads, and for columns."""

    score: Score
    score_columns: ScoreColumns | None


class GiveBack(Exception):
    """The surroundings failed: the whole batch goes back."""

    def __init__(self, code: str, reason: str, retry_ms: int) -> None:
        super().__init__(reason)
        self.code, self.reason, self.retry_ms = code, reason, retry_ms


class Robbed(Exception):
    """User code has closed the process's descriptors, the wire's among them: this process can only end."""


class Loop:
    """`run` returns when the worker is to end: drained, replaced by another, or left by its parent.

    `kept` says whether events can be had again by their id; requests over HTTP cannot. `on_batch` hears before each batch of its
    lease and of the seconds that it has, and afterwards of the lease and None. `beside` are further ways to score: with any, batches are scored by as many threads more
    as there are, beside each other, and HELLO has to say any order.
    """

    def __init__(
        self,
        *,
        dialler: Dialler,
        score: Score,
        score_columns: ScoreColumns | None = None,
        meta: Callable[..., Any],
        window: tuple[int, int],
        waker: Waker,
        metrics: WorkerMetrics,
        log: Any,
        on_ready: Callable[[int], None] = lambda bridge: None,
        on_batch: Callable[[Lease, float | None], None] = lambda lease, seconds: None,
        lifeline: Lifeline | None = None,
        kept: bool = True,
        beside: Sequence[Ways] = (),
    ) -> None:
        self._dialler, self._meta = dialler, meta
        self._ways = Ways(score, score_columns)
        self._window, self._waker, self._metrics, self._log = window, waker, metrics, log
        self._on_ready, self._on_batch = on_ready, on_batch
        self._lifeline = lifeline
        self._standby = bool(dialler.identity.wants & Wants.STANDBY)
        self._mishaps = Mishaps(log, kept)
        self._sending = (
            threading.Lock()
        )  # of the session, the socket and the mishaps; nobody waits for it without a crew
        self._crew: Crew[tuple[Connection, Batch | Columns], Ways] | None = None
        if beside:
            self._crew = Crew([self._ways, *beside], self._answer_beside, waker.set)
        self._ending = False
        self._ended = False

    def end(self) -> None:
        """Drain and return. May be called from a signal handler, and more than once."""
        self._ending = True
        self._waker.set()

    def run(self) -> None:
        while not self._is_over():
            self._heed()
            connection = self._dialler.dial_until(self._pause)
            if connection is None:
                return
            self._metrics.connected.set(1)
            try:
                self._serve(connection)
            except LinkLost as lost:
                self._note_loss(lost)
            finally:
                self._metrics.connected.set(0)
                connection.close()
            if self._pause(0.02):
                return

    def _is_over(self) -> bool:
        return self._ending or self._ended

    def _serve(self, connection: Connection) -> None:
        connection.watch(self._waker.fileno())
        if self._lifeline is not None:
            connection.watch(self._lifeline.fileno())
        held = self._standby  # as HELLO said
        connection.send(connection.session.ready(*self._window))
        self._on_ready(connection.welcome.nonce)
        draining: float | None = None  # since when nothing has come
        leaving: Drain | None = None  # the bridge's, while batches are being scored
        while True:
            if leaving is not None and not self._busy():
                self._part(connection, leaving)
                return
            if self._ending and draining is None:
                draining = time.monotonic()
                with self._sending:
                    connection.send(connection.session.drain("the worker is to end"))
            frame = self._receive(connection, None if draining is None else _PATIENCE)
            if isinstance(frame, Batch | Columns):
                self._take(connection, frame)
                draining = None if draining is None else time.monotonic()
                self._dialler.settled()
                frame = None  # else two batches live at a time, and the next is built in cold memory
            elif isinstance(frame, Drain):
                leaving = frame  # frames come in order: what is left to answer is with the crew
            elif frame is None:
                self._waker.clear()
                if draining is not None and self._quiet(draining):
                    self._log.warning("the bridge does not say goodbye, ending without it")
                    return
                self._heed()
                if self._ended:
                    connection.close(ByeCode.DONE, "the parent is gone", goodbye=True)
                    return
                if held and not self._standby:
                    held = False
                    with self._sending:
                        connection.send(connection.session.ready(*self._window))

    def _heed(self) -> None:
        """See whether the parent is gone, or gives this standby the place of another."""
        if self._lifeline is None:
            return
        self._lifeline.look()
        self._ended = self._ended or self._lifeline.closed
        if self._standby and self._lifeline.called:
            self._standby = False
            identity = self._dialler.identity
            self._dialler.identity = replace(identity, wants=identity.wants & ~Wants.STANDBY)

    def _receive(self, connection: Connection, timeout: float | None) -> Frame | None:
        if self._crew is None:
            return connection.receive(timeout)
        self._crew.check()
        body = connection.receive_body(timeout)
        if body is None:
            return None
        with self._sending:
            return connection.accept(body)

    def _take(self, connection: Connection, batch: Batch | Columns) -> None:
        if self._crew is None:
            self._answer(connection, batch, self._ways)
        else:
            self._crew.give((connection, batch))

    def _busy(self) -> bool:
        return self._crew is not None and self._crew.busy()

    def _quiet(self, draining: float) -> bool:
        """Whether a bridge that was asked to drain has had nothing to say for too long."""
        if self._busy():
            return False
        last = draining if self._crew is None else max(draining, self._crew.quiet_since)
        return time.monotonic() >= last + _PATIENCE

    def _part(self, connection: Connection, told: Drain) -> None:
        connection.close(ByeCode.DONE, "drained", goodbye=True)
        self._dialler.parted()
        self._log.info("bridge drained", reason=told.reason)

    def _answer_beside(self, task: tuple[Connection, Batch | Columns], ways: Ways) -> None:
        """On a thread of the crew. A connection that was lost is the loop's to note, if it is still the loop's."""
        connection, batch = task
        try:
            self._answer(connection, batch, ways)
        except LinkLost:
            connection.close()  # the loop's next look at it says so

    def _answer(self, connection: Connection, batch: Batch | Columns, ways: Ways) -> None:
        try:
            self._answer_within(connection, batch, ways)
        finally:
            self._on_batch(batch.lease, None)

    def _answer_within(self, connection: Connection, batch: Batch | Columns, ways: Ways) -> None:
        began = time.perf_counter()
        self._on_batch(batch.lease, batch.deadline_ms / 1000)
        n = batch.count if isinstance(batch, Columns) else len(batch.payloads)
        try:
            scored = self._scored(batch, ways)
        except GiveBack as back:
            self._metrics.returned.inc()
            self._log.warning("batch given back", code=back.code, reason=back.reason, retry_ms=back.retry_ms)
            with self._sending:
                self._still_there(connection)
                connection.send(
                    connection.session.give_back(batch.lease, back.code, back.reason, back.retry_ms)
                )
            return
        except ProtocolError as error:
            with self._sending:
                raise connection.broken(error) from None
        try:
            with self._sending:
                self._still_there(connection)
                self._send(connection, batch, scored, n)
        except LinkLost:
            self._metrics.unsent.inc()
            raise
        self._metrics.score_seconds.observe(time.perf_counter() - began)
        self._metrics.batches.inc()
        self._metrics.events.inc(n)

    def _still_there(self, connection: Connection) -> None:
        """Another thread may have found the connection ended while this one scored: its leases have ended with it."""
        if connection.fileno() < 0:
            raise LinkLost("the connection ended before the answer")

    def _scored(self, batch: Batch | Columns, ways: Ways) -> Any:
        if isinstance(batch, Batch):
            return ways.score(batch.payloads, self._meta_of(batch))
        assert ways.score_columns is not None, "the session lets no columns through that were not asked for"
        return ways.score_columns(batch, self._meta_of(batch))

    def _send(self, connection: Connection, batch: Batch | Columns, scored: Any, n: int) -> None:
        """As columns where the scorer could, and the frame is not too large; else as lines."""
        errors = self._failures(batch, scored.errors) if scored.errors else []
        if hasattr(scored, "layout"):
            body = memoryview(scored.body)
            answers = Answers(
                *batch.lease, 0, n, scored.rows, scored.counts, errors, scored.layout, b"", body
            )
            data = connection.session.answers(answers)
            if data is not None:
                connection.send(data)
                return
            scored = scored.lines()
        result = Result(*batch.lease, 0, n, scored.outputs, scored.counts, scored.routes, errors)
        for part in connection.session.result(result):
            connection.send(part)

    def _meta_of(self, batch: Batch | Columns) -> Any:
        headers = None if batch.headers is None else [pairs or [] for pairs in batch.headers]
        return self._meta(batch.stream, batch.positions, batch.keys, headers, batch.timestamps, batch.lease)

    def _failures(self, batch: Batch | Columns, errors: Sequence[tuple[Any, ...]]) -> list[RowFailure]:
        """The errors within the bounds of the wire, counted; the user's own exceptions are shown once in a while."""
        now = time.monotonic()
        meta = self._meta_of(batch)
        for index, kind, code, reason, detail, _ in errors:
            self._metrics.failed(_KINDS[Kind(kind)], code)
            if kind == Kind.FAIL:
                self._mishaps.note(
                    meta.id(index), code, _for_logs(code, reason, detail), _traceback(detail), now
                )
        return [failure(*error) for error in errors]

    def _note_loss(self, lost: LinkLost) -> None:
        if not self._waker.intact():
            raise Robbed(str(lost)) from lost
        if lost.bye is not None and lost.bye.code == ByeCode.DONE and self._ending:
            self._log.info("drained")
            return
        self._metrics.links_lost.inc()
        self._log.warning("connection to the bridge ended", reason=str(lost))
        if lost.bye is not None and lost.bye.code == ByeCode.REPLACED:
            self._ended = True  # another process has our name: dialling on would drive it out in turn

    def _pause(self, seconds: float) -> bool:
        """Wait; whether the worker is to end."""
        self._waker.wait(seconds, *([] if self._lifeline is None else [self._lifeline.fileno()]))
        self._waker.clear()
        self._heed()
        return self._is_over()


def _for_logs(code: str, reason: str, detail: bytes | None) -> str:
    """What was wrong with an event, without what was in it: a log is read by more people than a dead letter is."""
    if code != "invalid_event" or not detail:
        return reason
    return "; ".join(
        f"{p['field'] or 'event'}: expected {p['expected']}" for p in msgspec.json.decode(detail)
    )


def _traceback(detail: bytes | None) -> str | None:
    """The traceback that a scorer puts into the detail of an exception."""
    if not detail:
        return None
    try:
        value = msgspec.json.decode(detail)
    except msgspec.DecodeError:
        return None
    trace = value.get("traceback") if isinstance(value, dict) else None
    return trace if isinstance(trace, str) else None
