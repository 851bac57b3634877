"""A worker's main thread: take a batch, score it, answer it, until told to drain.

Theory of operation. One thread reads, scores and writes, so results are in the order of batches by nature, and a batch that
waits is in the socket, not in a queue of ours. When the connection ends, its leases end: what is scored but not sent is
dropped and the bridge delivers it again. SIGTERM never interrupts a call of the model: the handler only wakes the wait for
the next frame; then DRAIN is sent, what was leased is answered, and the bridge says goodbye. Nothing here is done per
event; a batch costs two clock reads and a handful of additions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from pyrunner.client import Connection, Dialler, LinkLost
from pyrunner.metrics import WorkerMetrics
from pyrunner.protocol import (
    Answers,
    Batch,
    ByeCode,
    Columns,
    Drain,
    Kind,
    ProtocolError,
    Result,
    RowFailure,
)
from pyrunner.protocol.results import failure
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


class GiveBack(Exception):
    """The surroundings failed: the whole batch goes back."""

    def __init__(self, code: str, reason: str, retry_ms: int) -> None:
        super().__init__(reason)
        self.code, self.reason, self.retry_ms = code, reason, retry_ms


class Robbed(Exception):
    """User code has closed the process's descriptors, the wire's among them: this process can only end."""


class Loop:
    """`run` returns when the worker is to end: drained, replaced by another, or left by its parent.

    `kept` says whether events can be had again by their id; requests over HTTP cannot. `on_batch` hears before each batch of the
    seconds that it has.
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
        on_batch: Callable[[float], None] = lambda seconds: None,
        orphaned: Callable[[], bool] = lambda: False,
        lifeline: int | None = None,
        kept: bool = True,
    ) -> None:
        self._dialler, self._score, self._score_columns, self._meta = dialler, score, score_columns, meta
        self._window, self._waker, self._metrics, self._log = window, waker, metrics, log
        self._on_ready, self._on_batch = on_ready, on_batch
        self._orphaned, self._lifeline = orphaned, lifeline
        self._mishaps = Mishaps(log, kept)
        self._ending = False
        self._ended = False

    def end(self) -> None:
        """Drain and return. May be called from a signal handler, and more than once."""
        self._ending = True
        self._waker.set()

    def run(self) -> None:
        while not self._is_over():
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
            connection.watch(self._lifeline)
        connection.send(connection.session.ready(*self._window))
        self._on_ready(connection.welcome.nonce)
        draining: float | None = None  # since when nothing has come
        while True:
            if self._ending and draining is None:
                draining = time.monotonic()
                connection.send(connection.session.drain("the worker is to end"))
            frame = connection.receive(None if draining is None else _PATIENCE)
            if isinstance(frame, Batch | Columns):
                self._answer(connection, frame)
                draining = None if draining is None else time.monotonic()
                self._dialler.settled()
                frame = None  # else two batches live at a time, and the next is built in cold memory
            elif isinstance(frame, Drain):
                # Frames come in order and are answered one by one, so nothing is left to answer.
                connection.close(ByeCode.DONE, "drained", goodbye=True)
                self._dialler.parted()
                self._log.info("bridge drained", reason=frame.reason)
                return
            elif frame is None:
                self._waker.clear()
                if draining is not None and time.monotonic() >= draining + _PATIENCE:
                    self._log.warning("the bridge does not say goodbye, ending without it")
                    return
                if self._orphaned():
                    connection.close(ByeCode.DONE, "the parent is gone", goodbye=True)
                    self._ended = True
                    return

    def _answer(self, connection: Connection, batch: Batch | Columns) -> None:
        began = time.perf_counter()
        self._on_batch(batch.deadline_ms / 1000)
        n = batch.count if isinstance(batch, Columns) else len(batch.payloads)
        try:
            scored = self._scored(batch)
        except GiveBack as back:
            self._metrics.returned.inc()
            self._log.warning("batch given back", code=back.code, reason=back.reason, retry_ms=back.retry_ms)
            connection.send(connection.session.give_back(batch.lease, back.code, back.reason, back.retry_ms))
            return
        except ProtocolError as error:
            raise connection.broken(error) from None
        try:
            self._send(connection, batch, scored, n)
        except LinkLost:
            self._metrics.unsent.inc()
            raise
        self._metrics.score_seconds.observe(time.perf_counter() - began)
        self._metrics.batches.inc()
        self._metrics.events.inc(n)

    def _scored(self, batch: Batch | Columns) -> Any:
        if isinstance(batch, Batch):
            return self._score(batch.payloads, self._meta_of(batch))
        assert self._score_columns is not None, "the session lets no columns through that were not asked for"
        return self._score_columns(batch, self._meta_of(batch))

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
        self._waker.wait(seconds, *([] if self._lifeline is None else [self._lifeline]))
        self._waker.clear()
        self._ended = self._ended or self._orphaned()
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
