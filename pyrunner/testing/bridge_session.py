"""The bridge's side of a conversation, for tests: the state table of PROTOCOL.md section 5 as a pure machine."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

from pyrunner.protocol import codec
from pyrunner.protocol.errors import LocalError, ProtocolError
from pyrunner.protocol.frames import (
    FIRST_MAX_FRAME,
    MAX_CALLS,
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


class BridgeState(Enum):
    NEW = "new"
    GREETED = "greeted"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"


@dataclass
class Received:
    """A frame and what became of it: windowed, settled, part, returned, dropped, ignored, skipped, draining, called, died."""

    frame: Frame | None
    outcome: str | None = None


class BridgeSession:
    """`receive` takes bodies, `send` makes them; `replies` are frames that the rules demand next, such as a goodbye.

    `open` holds the batches leased and not answered in full, oldest first, with the number of events answered;
    `returned` those whose leases ended unanswered with the connection.
    """

    def __init__(self, role: Role, max_frame: int = MAX_FRAME, minor: int = 0) -> None:
        self.role = role
        self.minor = minor
        self.state = BridgeState.NEW
        self.hello: Hello | None = None
        self.max_frame = FIRST_MAX_FRAME
        self.window = (0, 0)
        self.open: OrderedDict[Lease, list[int]] = OrderedDict()  # lease -> [answered, sizes of payloads...]
        self.returned: list[Lease] = []
        self.replies: list[Frame] = []
        self._own_max = max_frame
        self._worker_drains = False
        self._calls: set[int] = set()

    # ---- what comes in

    def receive(self, body: codec.Body) -> Received:
        """What a body means. When it breaks a rule the session closes and a BYE is in `replies`."""
        if self.state is BridgeState.CLOSED:
            return Received(None, "ignored")
        try:
            frame = codec.decode(body, self.minor)
            if frame is None:
                return Received(None, "skipped")
            return Received(frame, self._accept(frame))
        except ProtocolError as error:
            self.refuse(error.code, error.reason)
            return Received(None)

    def end_of_file(self) -> None:
        self._close()

    def refuse(self, code: ByeCode, reason: str) -> None:
        """Close with a reason that the peer is told."""
        self._close()
        self.replies.append(Bye(code, reason))

    def _accept(self, frame: Frame) -> str | None:
        if isinstance(frame, Bye):
            self._close()
            return None
        if isinstance(frame, Hello) and self.state is BridgeState.NEW:
            self._greet(frame)
            return None
        allowed = _ALLOWED[self.role] if self.state is not BridgeState.NEW else ()
        started = self.state in (BridgeState.READY, BridgeState.DRAINING)
        if not isinstance(frame, allowed) or (isinstance(frame, Result | Answers | Return) and not started):
            raise ProtocolError(ByeCode.ORDER, f"{codec.name(frame)} in state {self.state.value}")
        if isinstance(frame, Result | Answers | Return):
            return self._settle(frame)
        if isinstance(frame, Ready):
            return self._take_window(frame)
        if isinstance(frame, Drain):
            return self._drain()
        if isinstance(frame, Call):
            return self._called(frame)
        if isinstance(frame, Pulse):
            self.replies.append(frame)
        return "died" if isinstance(frame, Died) else None

    def _greet(self, hello: Hello) -> None:
        self.hello = hello
        self.state = BridgeState.GREETED
        named = {
            Role.EVENTS: (hello.program, hello.command, hello.worker),
            Role.CONTROL: ("-",),
        }.get(self.role, (hello.worker,))
        if not all(named):
            self.refuse(ByeCode.REFUSED, "HELLO names no program, command or worker")

    def _take_window(self, ready: Ready) -> str:
        if self.state is BridgeState.DRAINING:
            return "ignored"
        self.window = (ready.events, ready.bytes)
        self.state = BridgeState.READY
        return "windowed"

    def _settle(self, frame: Result | Answers | Return) -> str:
        held = self.open.get(frame.lease)
        if held is None:
            return "dropped"
        any_order = self.hello is not None and self.hello.wants & Wants.ANY_ORDER
        if not any_order and next(iter(self.open)) != frame.lease:
            raise ProtocolError(ByeCode.ORDER, f"{codec.name(frame)} out of turn")
        if isinstance(frame, Return):
            outcome = "returned"
            del self.open[frame.lease]
        else:
            outcome = self._settle_part(frame, held)
        if self._worker_drains and not self.open:
            self.refuse(ByeCode.DONE, "drained")
        return outcome

    def _settle_part(self, result: Result | Answers, held: list[int]) -> str:
        answered, events = held[0], len(held) - 1
        if result.first != answered or result.first + result.count > events:
            raise ProtocolError(
                ByeCode.ORDER, f"RESULT covers {result.first} + {result.count}, expected from {answered}"
            )
        held[0] += result.count
        if held[0] < events:
            return "part"
        del self.open[result.lease]
        return "settled"

    def _drain(self) -> str:
        if self.state is BridgeState.DRAINING:
            return "ignored"
        self._worker_drains = True
        self.state = BridgeState.DRAINING
        if not self.open:
            self.refuse(ByeCode.DONE, "drained")
        return "draining"

    def _called(self, call: Call) -> str:
        if call.id in self._calls:
            raise ProtocolError(ByeCode.ORDER, f"call {call.id} is in flight")
        if len(self._calls) >= MAX_CALLS:
            raise ProtocolError(ByeCode.LIMIT, f"more than {MAX_CALLS} calls in flight")
        self._calls.add(call.id)
        return "called"

    # ---- what goes out

    def send(self, frame: Frame) -> bytearray:
        """The bytes of a frame that the state allows. Raises LocalError."""
        if isinstance(frame, Welcome):
            assert self.hello is not None
            self.max_frame = min(frame.max_frame, self.hello.max_frame, self._own_max)
        elif isinstance(frame, Batch | Columns):
            self._lease(frame)
        elif isinstance(frame, Drain) and self.role is Role.EVENTS:
            self.state = BridgeState.DRAINING
        elif isinstance(frame, Answer):
            self._calls.discard(frame.id)
        elif isinstance(frame, Bye):
            self._close()
        elif isinstance(frame, Cut) and self.role is not Role.SUPERVISOR:
            raise LocalError("CUT goes to supervisors")
        if isinstance(frame, Columns):
            return codec.encode_aligned(frame, self.max_frame)
        return codec.encode(frame, self.max_frame)

    def has_room(self, events: int, size: int) -> bool:
        """Whether so many more events and payload bytes fit into the window. One event always fits an empty one."""
        if self.state is not BridgeState.READY or self.window[0] < 1:
            return False
        held_events = sum(len(held) - 1 - held[0] for held in self.open.values())
        held_bytes = sum(sum(held[1 + held[0] :]) for held in self.open.values())
        if held_events == 0 and events == 1:
            return True
        return held_events + events <= self.window[0] and held_bytes + size <= self.window[1]

    def _lease(self, batch: Batch | Columns) -> None:
        if self.state is not BridgeState.READY:
            raise LocalError(f"{codec.name(batch)} in state {self.state.value}")
        if isinstance(batch, Columns):
            self.open[batch.lease] = [0, batch.bytes, *[0] * (batch.count - 1)]
        else:
            self.open[batch.lease] = [0, *(len(p or b"") for p in batch.payloads)]

    def _close(self) -> None:
        self.state = BridgeState.CLOSED
        self.returned = list(self.open)
        self.open.clear()


_ALLOWED: dict[Role, tuple[type[Frame], ...]] = {
    Role.EVENTS: (Ready, Result, Answers, Return, Drain),
    Role.CALLS: (Call, Pulse, Drain),
    Role.SUPERVISOR: (Died, Pulse, Drain),
    Role.CONTROL: (Call, Drain),
}
