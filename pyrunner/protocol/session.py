"""The worker's side of a conversation, for all four roles: bodies in, frames out, and what may be sent.

    start -> hello() -> GREETING -> WELCOME -> GREETED -> ready() -> READY -> DRAIN, drain() -> DRAINING -> BYE, bye() -> CLOSED

Only an events connection leaves GREETED. A session belongs to one connection: when that ends, its leases end, and a new
session begins with an empty window. `receive` never sends; when the peer breaks a rule it raises ProtocolError, and
`goodbye` gives the bytes to close with. Not safe from two threads: the shell brings the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from pyrunner.protocol import codec, results
from pyrunner.protocol.errors import LocalError, ProtocolError
from pyrunner.protocol.frames import (
    FIRST_MAX_FRAME,
    MAX_CALLS,
    MAX_CODE,
    MAX_DESCRIBE,
    MAX_FRAME,
    Answer,
    Answers,
    Batch,
    Bye,
    ByeCode,
    Call,
    Columns,
    Cut,
    Died,
    Drain,
    Frame,
    Hello,
    Lease,
    Pulse,
    Ready,
    Result,
    Return,
    Role,
    Wants,
    Welcome,
)


class State(Enum):
    START = auto()
    GREETING = auto()
    GREETED = auto()
    READY = auto()
    DRAINING = auto()
    CLOSED = auto()


class _Leased:
    """A batch that is not answered in full yet. `size` bounds its payload bytes from above: the whole body, or what COLUMNS said."""

    __slots__ = ("answered", "events", "payloads", "size")

    def __init__(self, batch: Batch | Columns, size: int) -> None:
        self.payloads: list[bytes | None] | None
        if isinstance(batch, Columns):
            self.payloads, self.events, self.size = None, batch.count, batch.bytes
        else:
            self.payloads, self.events, self.size = batch.payloads, len(batch.payloads), size
        self.answered = 0

    def payload_bytes(self) -> int:
        """Of what is unanswered. Which event of columns has which bytes is not known: those answered in part weigh nothing here."""
        if self.payloads is None:
            return 0 if self.answered else self.size
        return sum(len(p) for p in self.payloads[self.answered :] if p is not None)


class Session:
    """One connection's state. Methods that send return the bytes to send; they raise LocalError when the state forbids it."""

    def __init__(self, role: Role, minor: int = 0) -> None:
        self.role = role
        self.minor = minor
        self.state = State.START
        self.welcome: Welcome | None = None
        self.max_frame = FIRST_MAX_FRAME
        self.farewell: Bye | None = None
        self._offered = MAX_FRAME
        self._by_columns = False
        self._any_order = False
        self._window = (0, 0)  # the largest announced: the bridge may not have read a smaller one yet
        self._leased: dict[Lease, _Leased] = {}  # oldest first
        self._events = 0
        self._size = 0  # of all that is leased; never below the payload bytes
        self._bridge_drains = False
        self._we_drain = False
        self._calls: set[int] = set()
        self._last_call = 0

    @property
    def unanswered(self) -> int:
        """Events leased and not answered."""
        return self._events

    # ---- what comes in

    def receive(self, body: codec.Body) -> Frame | None:
        """The frame in a body, None when it is to be ignored. Raises ProtocolError; the session is then closed."""
        try:
            if self.state in (State.START, State.CLOSED):
                raise ProtocolError(ByeCode.ORDER, f"frame in state {self.state.name}")
            if len(body) > self.max_frame:
                raise ProtocolError(
                    ByeCode.LIMIT, f"frame of {len(body)} bytes, the limit is {self.max_frame}"
                )
            frame = codec.decode(body, self.minor)
            return None if frame is None else self._accept(frame, len(body))
        except ProtocolError:
            self._end()
            raise

    def _accept(self, frame: Frame, size: int) -> Frame | None:
        if isinstance(frame, Batch | Columns):
            return self._accept_batch(frame, size)
        if isinstance(frame, Bye):
            self.farewell = frame
            self._end()
            return frame
        if isinstance(frame, Welcome) and self.state is State.GREETING:
            return self._accept_welcome(frame)
        if self.state is State.GREETING or not isinstance(frame, _FROM_BRIDGE.get(self.role, ())):
            raise _out_of_order(frame, self.state)
        if isinstance(frame, Drain):
            self._bridge_drains = True
            if self.role is Role.EVENTS:
                self.state = State.DRAINING
        if isinstance(frame, Answer):
            return self._accept_answer(frame)
        return frame

    def _accept_welcome(self, welcome: Welcome) -> Welcome:
        self.welcome = welcome
        self.max_frame = min(welcome.max_frame, self._offered)
        self.state = State.GREETED
        return welcome

    def _accept_batch(self, batch: Batch | Columns, size: int) -> Batch | Columns:
        what = codec.name(batch)
        if isinstance(batch, Columns) and not self._by_columns:
            raise ProtocolError(ByeCode.ORDER, "COLUMNS, which were not asked for")
        may_come = self.state is State.READY or (self.state is State.DRAINING and not self._bridge_drains)
        if self.role is not Role.EVENTS or not may_come:
            raise _out_of_order(batch, self.state)
        lease = batch.lease
        if self.welcome is None or batch.nonce != self.welcome.nonce:
            raise ProtocolError(ByeCode.ORDER, f"{what} {batch.batch} of another nonce than that of WELCOME")
        if lease in self._leased:
            raise ProtocolError(ByeCode.ORDER, f"{what} {batch.batch} is leased already")
        leased = self._leased[lease] = _Leased(batch, size)
        self._events += leased.events
        self._size += leased.size
        if not self._within_window():
            events, limit = self._window
            raise ProtocolError(
                ByeCode.WINDOW, f"{what} {batch.batch} overruns the window of {events} events, {limit} bytes"
            )
        return batch

    def _within_window(self) -> bool:
        events, limit = self._window
        if self._events > events:
            return False
        if self._events == 1:
            return True  # one event is always deliverable on an empty window
        return self._size <= limit or sum(held.payload_bytes() for held in self._leased.values()) <= limit

    def _accept_answer(self, answer: Answer) -> Answer:
        if answer.id not in self._calls:
            raise ProtocolError(ByeCode.ORDER, f"ANSWER to call {answer.id}, which is not in flight")
        self._calls.discard(answer.id)
        return answer

    # ---- what goes out

    def hello(self, hello: Hello) -> bytearray:
        self._need(self.state is State.START, "HELLO")
        if len(hello.describe) > MAX_DESCRIBE:
            raise LocalError(
                f"HELLO describe has {len(hello.describe)} bytes, at most {MAX_DESCRIBE} are allowed"
            )
        self._offered = hello.max_frame
        self._by_columns = self.minor >= 1 and bool(hello.wants & Wants.COLUMNS)
        self._any_order = bool(hello.wants & Wants.ANY_ORDER)
        self.state = State.GREETING
        return codec.encode(hello, FIRST_MAX_FRAME)

    def ready(self, events: int, size: int) -> bytearray:
        """Announce the window; `0, 0` pauses."""
        self._need(
            self.role is Role.EVENTS and self.state in (State.GREETED, State.READY, State.DRAINING), "READY"
        )
        self._window = (max(self._window[0], events), max(self._window[1], size))
        if self.state is State.GREETED:
            self.state = State.READY
        return self._encode(Ready(events, size))

    def result(self, result: Result) -> list[bytearray]:
        """The frames of a result; more than one where it is over the frame limit.

        Results come in the order of the batches unless HELLO said any order, parts of one without gaps. A result whose lease has ended may be sent:
        the bridge counts and drops it.
        """
        leased = self._covers(result, "RESULT")
        frames = results.encode_result(result, self.max_frame)
        if leased is not None:
            self._answered(result.lease, leased, result.count)
        return frames

    def answers(self, answers: Answers) -> bytearray | None:
        """The frame of answers as columns, its pad filled in; None where it is over the frame limit, and a result has to be sent."""
        leased = self._covers(answers, "ANSWERS")
        try:
            data = codec.encode_aligned(answers, self.max_frame)
        except ValueError:
            return None
        if leased is not None:
            self._answered(answers.lease, leased, answers.count)
        return data

    def _covers(self, result: Result | Answers, what: str) -> _Leased | None:
        leased = self._turn(result.lease, what)
        if leased is not None:
            whole = leased.events
            if result.first != leased.answered or not 1 <= result.count <= whole - leased.answered:
                raise LocalError(
                    f"{what} covers {result.first} + {result.count} of {leased.answered} to {whole}"
                )
        return leased

    def give_back(self, lease: Lease, code: str, reason: str, retry_ms: int) -> bytearray:
        """RETURN what is left of a batch: nobody's fault, it comes again."""
        leased = self._turn(lease, "RETURN")
        data = self._encode(Return(*lease, results.clip(code, MAX_CODE), results.clip(reason), retry_ms))
        if leased is not None:
            self._answered(lease, leased, leased.events - leased.answered)
        return data

    def drain(self, reason: str) -> bytearray:
        """Ask for no more batches. Those on their way still come and are answered; then the bridge says goodbye."""
        self._need(self.state in (State.GREETED, State.READY, State.DRAINING) and not self._we_drain, "DRAIN")
        self._we_drain = True
        if self.role is Role.EVENTS:
            self.state = State.DRAINING
        return self._encode(Drain(results.clip(reason)))

    def goodbye(self, code: ByeCode = ByeCode.DONE, reason: str = "") -> bytearray:
        """The last frame. May be sent in every state, also after a ProtocolError."""
        self._end()
        return codec.encode(Bye(code, results.clip(reason)), FIRST_MAX_FRAME)

    def call(
        self,
        method: str,
        args: Sequence[Any],
        deadline_ms: int,
        lease: Lease | None = None,
        *,
        number: int | None = None,
    ) -> tuple[int, bytearray]:
        """The id by which the answer will be known, and the bytes. A `number` in flight may not be used again."""
        self._need(self.role in (Role.CALLS, Role.CONTROL) and self.state is State.GREETED, "CALL")
        if len(self._calls) >= MAX_CALLS:
            raise LocalError(f"more than {MAX_CALLS} calls in flight")
        number = self._last_call + 1 if number is None else number
        if number in self._calls:
            raise LocalError(f"call {number} is in flight")
        held = None if lease is None else (lease[0], lease[1], lease[2])
        data = self._encode(Call(number, held, deadline_ms, method, codec.encode_value(list(args))))
        self._last_call = max(self._last_call, number)
        self._calls.add(number)
        return number, data

    def pulse(self, seq: int) -> bytearray:
        self._need(self.role in (Role.CALLS, Role.SUPERVISOR) and self.state is State.GREETED, "PULSE")
        return self._encode(Pulse(seq))

    def died(self, worker: str, cause: str, detail: str) -> bytearray:
        self._need(self.role is Role.SUPERVISOR and self.state is State.GREETED, "DIED")
        return self._encode(Died(worker, cause, results.clip(detail)))

    def end_of_file(self) -> None:
        """The connection has ended without a goodbye; all its leases have ended with it."""
        self._end()

    # ---- helpers

    def _turn(self, lease: Lease, what: str) -> _Leased | None:
        """The batch of a lease, which must be the oldest where they go in order; None when the lease is not, or no longer, ours."""
        self._need(self.role is Role.EVENTS and self.state in (State.READY, State.DRAINING), what)
        leased = self._leased.get(lease)
        if leased is not None and not self._any_order and (oldest := next(iter(self._leased))) != lease:
            raise LocalError(f"{what} for batch {lease.batch} before that for batch {oldest.batch}")
        return leased

    def _answered(self, lease: Lease, leased: _Leased, count: int) -> None:
        leased.answered += count
        self._events -= count
        self._size -= leased.size
        if leased.answered == leased.events:
            del self._leased[lease]
        else:
            leased.size = leased.payload_bytes()
            self._size += leased.size

    def _encode(self, frame: Frame) -> bytearray:
        try:
            return codec.encode(frame, self.max_frame)
        except ValueError as error:
            raise LocalError(str(error)) from None

    def _need(self, allowed: bool, what: str) -> None:
        if not allowed:
            raise LocalError(
                f"{what} may not be sent in state {self.state.name} of a connection for {self.role.name.lower()}"
            )

    def _end(self) -> None:
        self.state = State.CLOSED
        self._leased.clear()
        self._events = self._size = 0
        self._calls.clear()


_FROM_BRIDGE: dict[Role, tuple[type[Frame], ...]] = {
    Role.EVENTS: (Drain,),
    Role.CALLS: (Drain, Answer, Pulse),
    Role.SUPERVISOR: (Drain, Pulse, Cut),
    Role.CONTROL: (Drain, Answer),
}


def _out_of_order(frame: Frame, state: State) -> ProtocolError:
    return ProtocolError(ByeCode.ORDER, f"{codec.name(frame)} in state {state.name}")
