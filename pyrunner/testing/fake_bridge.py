"""A bridge in this process: real sockets, real preface, real frames; a list of events instead of a broker.

    with FakeBridge() as bridge:
        bridge.give([b'{"x": 1}', b'{"x": 2}'])
        ...start a worker that dials bridge.address with bridge.token_file...
        answers = bridge.answers(2)

It delivers what is given until it is answered: a batch whose worker leaves comes again, with its attempt raised. It holds no
opinion on suspects and dead letters; `bridge_go/delivery` does. With `data` it answers what models ask for, with `columns` it speaks
columns to workers that want them: `FakeBridge(columns=BridgeSide(read_signature(FlightDelays)))`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pyrunner.protocol import ProtocolError, codec, preface
from pyrunner.protocol.frames import (
    MAX_FRAME,
    Answer,
    Answers,
    Batch,
    Bye,
    Call,
    Cut,
    Died,
    Drain,
    Frame,
    Hello,
    Lease,
    Ready,
    Result,
    Return,
    Role,
    Wants,
    Welcome,
)
from pyrunner.testing.bridge_session import BridgeSession, BridgeState
from pyrunner.testing.fake_data import FakeData, Refused

if TYPE_CHECKING:
    from pyrunner.columns.through import BridgeSide


@dataclass(frozen=True)
class Given:
    """One event to deliver, and how often it was."""

    id: str
    payload: bytes | None
    offset: int
    attempt: int = 1
    key: bytes | None = None


@dataclass(frozen=True)
class Answered:
    """What came back for one event."""

    id: str
    outputs: list[bytes] = field(default_factory=list)
    error: tuple[int, str, str] | None = None  # kind, code, reason
    routes: list[str | None] = field(default_factory=list)


class FakeBridge:
    """Start with `with`. All public methods are safe from any thread; those that wait raise TimeoutError."""

    def __init__(
        self,
        *,
        stream: str = "events",
        batch: int = 256,
        max_frame: int = MAX_FRAME,
        deadline_ms: int = 5000,
        heartbeat_ms: int = 200,
        unix: Path | None = None,
        answer_call: Callable[[Call, list[Any]], Any] | None = None,
        data: FakeData | None = None,
        columns: BridgeSide | None = None,
        port: int = 0,
    ) -> None:
        self.nonce = secrets.randbits(62)
        self.stream = stream
        self.token = secrets.token_hex(16).encode()
        self.hellos: list[Hello] = []
        self.deaths: list[Died] = []
        self.byes: list[Bye] = []
        self.returns: list[Return] = []
        self.pulses = 0
        self.dropped = 0
        self.by_columns = 0  # batches that were sent as columns and answered so
        self._batch, self._max_frame = batch, max_frame
        self._deadline_ms, self._heartbeat_ms = deadline_ms, heartbeat_ms
        self.data = data
        self._columns = columns
        self._answer_call = answer_call or (self._from_data if data else lambda call, args: args)
        self._queue: deque[Given] = deque()
        self._answers: dict[str, Answered] = {}
        self._changed = threading.Condition()
        self._links: list[_Link] = []
        self._next_batch = 0
        self._given = 0
        self._closed = False
        self._folder = tempfile.TemporaryDirectory(prefix="ds-runner-fake-")
        self.token_file = Path(self._folder.name) / "token"
        self.token_file.write_bytes(self.token + b"\n")
        self._listener, self.address = _listen(unix, port)
        self._accepting = threading.Thread(target=self._accept, name="fake-bridge", daemon=True)

    # ---- what a test does

    def give(
        self, payloads: Sequence[bytes | None], *, keys: Sequence[bytes | None] | None = None
    ) -> list[str]:
        """Put events into the stream. Returns their ids."""
        with self._changed:
            events = [
                Given(
                    f"{self.stream}/0/{self._given + i}",
                    payload,
                    self._given + i,
                    key=keys[i] if keys else None,
                )
                for i, payload in enumerate(payloads)
            ]
            self._given += len(events)
            self._queue.extend(events)
        self._feed()
        return [event.id for event in events]

    def answers(self, count: int, timeout: float = 60.0) -> dict[str, Answered]:
        """All answers by event id, once there are so many."""
        self.wait_for(
            lambda: len(self._answers) >= count, timeout, lambda: f"{len(self._answers)} of {count} answers"
        )
        return dict(self._answers)

    def wait_for(
        self,
        condition: Callable[[], bool],
        timeout: float = 60.0,
        what: Callable[[], str] = lambda: "condition",
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"{what()} within {timeout:g} s")

    def wait_ready(self, workers: int = 1, timeout: float = 60.0) -> list[Hello]:
        """The greetings of the workers that are ready, once there are so many."""
        self.wait_for(
            lambda: len(self._ready()) >= workers, timeout, lambda: f"{len(self._ready())} of {workers} ready"
        )
        return [link.session.hello for link in self._ready() if link.session.hello is not None]

    def drain(self, reason: str = "the bridge ends") -> None:
        """Say DRAIN to every worker."""
        for link in self._all():
            link.send(Drain(reason))

    def drop_links(self) -> None:
        """End every connection without a word, as a bridge does that is killed."""
        for link in self._all():
            link.kill()

    def cut(self, worker: str, reason: str = "over its deadline") -> None:
        """Ask the parent to end a worker, once there is one: it dials on its own, and may do so behind its workers."""
        self.wait_for(lambda: bool(self._parents()), what=lambda: "no parent of workers has joined")
        for link in self._parents():
            link.send(Cut(worker, reason))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that a correct bridge never would, on every events connection."""
        for link in self._all():
            if link.session.role is Role.EVENTS:
                link.send_bytes(data)

    def overrun(self) -> None:
        """Lease more events than any window allows."""
        for link in self._ready():
            count = link.session.window[0] + 1
            link.send(self._make_batch([Given("", b"{}", i) for i in range(count)], 0))

    def restart(self) -> None:
        """Become another life of the bridge: all connections end, leases of the old nonce mean nothing."""
        self.drop_links()
        self.nonce += 1

    def close(self) -> None:
        self._closed = True
        _shut(self._listener)
        for link in self._all():
            link.kill()
        self._accepting.join(timeout=2)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- delivery

    def _feed(self) -> None:
        with self._changed:
            for link in self._ready():
                while not link.held and (events := self._take_batch(link.session)):
                    self._lease(link, events)

    def _take_batch(self, session: BridgeSession) -> list[Given]:
        """The next events of the queue, of one attempt, that the window has room for."""
        events: list[Given] = []
        size = 0
        while self._queue and len(events) < self._batch:
            head = self._queue[0]
            size += len(head.payload or b"")
            if (events and head.attempt != events[0].attempt) or not session.has_room(len(events) + 1, size):
                break
            events.append(self._queue.popleft())
        return events

    def _lease(self, link: _Link, events: list[Given]) -> None:
        batch = self._make_batch(events, int(link.session.hello.wants) if link.session.hello else 0)
        link.leased[batch.lease] = events
        by_columns = None
        if self._columns is not None and link.wants_columns:
            by_columns = self._columns.columns(batch)
        link.send(by_columns or batch)

    def _make_batch(self, events: Sequence[Given], wants: int) -> Batch:
        self._next_batch += 1
        runs: list[int] = []
        for event in events:
            if runs and runs[-2] + runs[-1] == event.offset:
                runs[-1] += 1
            else:
                runs += [0, event.offset, 1]
        return Batch(
            self.nonce,
            self._next_batch,
            0,
            max(1, events[0].attempt),
            self._deadline_ms,
            self.stream,
            runs,
            [e.payload for e in events],
            [e.key for e in events] if wants & Wants.KEYS else None,
            [[] for _ in events] if wants & Wants.HEADERS else None,
            [0 for _ in events] if wants & Wants.TIMESTAMPS else None,
        )

    def _settle(self, link: _Link, result: Result | Answers, outcome: str | None) -> None:
        if outcome == "dropped":
            self.dropped += 1
            return
        if isinstance(result, Answers):
            assert self._columns is not None
            result = self._columns.result(result)
            self.by_columns += 1
        events = link.leased[result.lease]
        for answered in read_result(result, [event.id for event in events]):
            self._answers[answered.id] = answered
        if outcome == "settled":
            del link.leased[result.lease]
            if self.data is not None:
                self.data.settle(result.lease)

    def _again(self, events: Sequence[Given], *, raised: bool) -> None:
        unanswered = [event for event in events if event.id not in self._answers]
        self._queue.extendleft(reversed([replace(e, attempt=e.attempt + raised) for e in unanswered]))

    # ---- connections

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), name="fake-bridge-link", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        link: _Link | None = None
        try:
            role, minor = _prove(sock, self.token)
            link = _Link(sock, BridgeSession(role, self._max_frame, minor))
            with self._changed:
                self._links.append(link)
            while (body := link.read()) is not None:
                self._take(link, body)
        except (OSError, preface.PrefaceError, ProtocolError):
            pass
        finally:
            if link is not None:
                self._left(link)
            sock.close()

    def _take(self, link: _Link, body: bytes) -> None:
        with self._changed:
            received = link.session.receive(body)
            self._note(link, received.frame, received.outcome)
            for reply in link.session.replies:
                link.send_bytes(codec.encode(reply, MAX_FRAME))
            link.session.replies.clear()
            self._changed.notify_all()
        if isinstance(received.frame, Call) and received.outcome == "called":
            answer = self._call(received.frame)
            with self._changed:
                link.send(answer)
        self._feed()
        if link.session.state is BridgeState.CLOSED:
            _shut(link.sock)

    def _note(self, link: _Link, frame: Frame | None, outcome: str | None) -> None:
        if isinstance(frame, Hello) and link.session.state is not BridgeState.CLOSED:
            self.hellos.append(frame)
            link.send(Welcome(self.nonce, "fake", self._max_frame, self._deadline_ms, self._heartbeat_ms))
        elif isinstance(frame, Ready):
            link.readies += frame.events > 0
        elif isinstance(frame, Result | Answers):
            self._settle(link, frame, outcome)
        elif isinstance(frame, Return) and outcome == "returned":
            self.returns.append(frame)
            self._again(link.leased.pop(frame.lease), raised=False)
            self._forget(frame.lease)
        elif isinstance(frame, Died):
            self.deaths.append(frame)
        elif isinstance(frame, Bye):
            self.byes.append(frame)
        self.pulses += type(frame).__name__ == "Pulse"

    def _call(self, call: Call) -> Answer:
        try:
            value = self._answer_call(call, codec.decode_value(call.args))
            return Answer(call.id, True, codec.encode_value(value))
        except Refused as refused:
            told = [refused.code, refused.reason, refused.retry]
            return Answer(call.id, False, codec.encode_value(told))
        except Exception as error:
            return Answer(call.id, False, codec.encode_value(["failed", str(error), False]))

    def _from_data(self, call: Call, args: list[Any]) -> Any:
        assert self.data is not None
        lease = None if call.lease is None else Lease(*call.lease)
        with self._changed:
            if lease is not None and not any(lease in link.leased for link in self._links):
                raise Refused("stale_lease", "the lease has ended: the events are another worker's")
            return self.data.answer(call.method, args, lease)

    def _forget(self, lease: Lease) -> None:
        if self.data is not None:
            self.data.forget(lease)

    def _left(self, link: _Link) -> None:
        with self._changed:
            for lease in link.leased:
                self._forget(lease)
            link.session.end_of_file()
            self._links.remove(link)
            for number, events in enumerate(list(link.leased.values())[::-1]):
                self._again(events, raised=number == len(link.leased) - 1)
            self._changed.notify_all()
        if not self._closed:
            self._feed()

    def _all(self) -> list[_Link]:
        with self._changed:
            return list(self._links)

    def _parents(self) -> list[_Link]:
        return [link for link in self._all() if link.session.role is Role.SUPERVISOR]

    def _ready(self) -> list[_Link]:
        return [link for link in self._links if link.session.state is BridgeState.READY]


class _Link:
    """One connection, read by its own thread, written under the bridge's lock."""

    def __init__(self, sock: socket.socket, session: BridgeSession) -> None:
        self.sock = sock
        self.session = session
        self.leased: dict[Lease, list[Given]] = {}
        self.readies = 0  # that granted something

    @property
    def wants_columns(self) -> bool:
        hello = self.session.hello
        return self.session.minor >= 1 and hello is not None and bool(hello.wants & Wants.COLUMNS)

    @property
    def held(self) -> bool:
        """Whether it is a standby that has not said READY again: this bridge gives it nothing, whoever dies."""
        hello = self.session.hello
        return hello is not None and bool(hello.wants & Wants.STANDBY) and self.readies < 2

    def send(self, frame: Frame) -> None:
        self.send_bytes(self.session.send(frame))

    def send_bytes(self, data: bytes | bytearray) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            return  # its reader notices

    def read(self) -> bytes | None:
        header = _read(self.sock, 4)
        return None if header is None else _read(self.sock, codec.check_length(header, MAX_FRAME))

    def kill(self) -> None:
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            return
        _shut(self.sock)


def read_result(result: Result, ids: Sequence[str]) -> list[Answered]:
    """The answers of the events that a result covers; `ids` are those of the whole batch."""
    outputs = result.outputs.split(b"\n")[:-1] if isinstance(result.outputs, bytes) else result.outputs
    errors = {error.index: (error.kind, error.code, error.reason) for error in result.errors}
    routes = result.routes or []
    streams = dict(zip(routes[0::2], routes[1::2], strict=True))
    answered, at = [], 0
    for position in range(result.count):
        index = result.first + position
        count = result.counts[position] if result.counts is not None else int(index not in errors)
        ways = [streams.get(at + i) for i in range(count)]
        answered.append(
            Answered(
                ids[index],
                outputs[at : at + count],
                errors.get(index),
                [None if w is None else str(w) for w in ways],
            )
        )
        at += count
    return answered


def _prove(sock: socket.socket, token: bytes) -> tuple[Role, int]:
    """The bridge's side of the preface: the role, and the minor version that both speak."""
    sock.settimeout(30)
    hello = _read(sock, preface.HELLO_SIZE)
    if hello is None:
        raise OSError("closed during the preface")
    challenge, refused = preface.challenge(token, hello, os.urandom(preface.NONCE_SIZE))
    sock.sendall(challenge)
    if refused:
        raise preface.PrefaceError("refused", refused)
    verdict = preface.verdict(token, hello, challenge, _read(sock, preface.PROOF_SIZE) or b"")
    sock.sendall(bytes((verdict,)))
    if verdict:
        raise preface.PrefaceError("refused", verdict)
    sock.settimeout(None)
    return Role(hello[11]), challenge[9]


def _listen(unix: Path | None, port: int) -> tuple[socket.socket, str]:
    if unix is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
        listener.listen()
        return listener, f"unix://{unix}"
    listener = socket.create_server(("127.0.0.1", port))
    return listener, f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def _read(sock: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
