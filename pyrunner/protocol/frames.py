"""The frames, one struct each, with the constraints that refuse hostile counts before memory is taken.

A frame is a msgpack array `[type, ...]` (PROTOCOL.md section 2). The structs name its fields in order; msgspec checks the
types, the number of fields and the announced length of each list while it decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Raw, Struct

MAX_EVENTS = 16_384  # events a batch
MAX_ELEMENTS = 262_144  # elements a frame
MAX_DEPTH = 16
MAX_TEXT = 8 * 1024  # bytes of a reason or detail
MAX_NAME = 255  # bytes of any other str in HELLO
MAX_CODE = 64
MAX_DESCRIBE = 48 * 1024
MAX_CALLS = 64  # calls in flight
FIRST_MAX_FRAME = 64 * 1024  # until WELCOME
MAX_FRAME = 16 * 1024 * 1024
LAST_FATAL_TYPE = 127  # unknown types above it are skipped

MIN_MAX_FRAME = 64 * 1024  # every peer takes frames of this size
MAX_COLUMNS = 4096  # columns a frame
MAX_ROWS = 262_144  # rows an ANSWERS
MAX_UNKNOWN = 16  # names of fields that a class does not have, told a frame
LAYOUT = 10  # numbers a column
ALIGNMENT = 64  # bytes: of a body in its frame, and of each buffer in its body

Uint = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
FrameLimit = Annotated[int, Meta(ge=MIN_MAX_FRAME, le=2**63 - 1)]


@dataclass(frozen=True)
class Str:
    """What msgspec does not check of a str: bytes instead of characters, control characters, emptiness."""

    max_bytes: int
    free: bool = False  # any character; a name has no control character
    empty: bool = True


Name = Annotated[str, Str(MAX_NAME)]
NonEmptyName = Annotated[str, Str(MAX_NAME, empty=False)]
Code = Annotated[str, Str(MAX_CODE)]
Text = Annotated[str, Str(MAX_TEXT, free=True)]
Bins = Annotated[list[bytes | None], Meta(max_length=MAX_EVENTS)]
HeaderList = Annotated[list[Any], Meta(max_length=MAX_ELEMENTS)]  # str and bytes in turn, which codec checks
EventInts = Annotated[list[Int], Meta(max_length=MAX_EVENTS)]
Misfits = Annotated[list[Uint | bytes | None], Meta(max_length=2 * MAX_EVENTS)]
Pad = Annotated[bytes, Meta(max_length=ALIGNMENT - 1)]
LayoutNumbers = Annotated[list[Uint], Meta(max_length=LAYOUT * MAX_COLUMNS)]


class Role(IntEnum):
    """What a connection is for, told in the preface."""

    EVENTS = 1
    CALLS = 2
    SUPERVISOR = 3
    CONTROL = 4


class ByeCode(IntEnum):
    """Why a connection ends."""

    DONE = 0
    MALFORMED = 1
    LIMIT = 2
    ORDER = 3
    WINDOW = 4
    UNKNOWN_TYPE = 5
    DEADLINE = 6
    DRAINING = 7
    REPLACED = 8
    REFUSED = 9
    INTERNAL = 10


class Wants(IntFlag):
    """Metadata that a worker asks for, events as columns, to answer batches in any order, and to be held for the loss of another."""

    KEYS = 1
    HEADERS = 2
    TIMESTAMPS = 4
    COLUMNS = 8
    ANY_ORDER = 16
    STANDBY = 32


class Kind(IntEnum):
    """Whose fault an event's error is."""

    REJECT = 1
    FAIL = 2
    RETRY = 3


class Lease(NamedTuple):
    """One batch on one connection in one life of the bridge."""

    nonce: int
    batch: int
    epoch: int


class Frame(Struct, array_like=True, forbid_unknown_fields=True):
    """What all frames share: a fixed array, as long as the table says."""


class Hello(Frame, tag=1):
    program: Name
    command: Name
    worker: Name
    slot: Uint
    pid: Uint
    sdk: Name
    model: Name
    wants: Uint
    max_frame: FrameLimit
    describe: Annotated[bytes, Meta(max_length=MAX_DESCRIBE)]


class Welcome(Frame, tag=2):
    nonce: Uint
    bridge: Name
    max_frame: FrameLimit
    deadline_ms: Uint
    heartbeat_ms: Uint


class Ready(Frame, tag=3):
    events: Uint
    bytes: Uint


class Batch(Frame, tag=4):
    """Leased events. Payloads are `bytes`: copying 300 B out of the frame costs 0.03 us, a memoryview 0.07."""

    nonce: Uint
    batch: Uint
    epoch: Uint
    attempt: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    deadline_ms: Uint
    stream: NonEmptyName
    positions: Annotated[list[Int], Meta(max_length=3 * MAX_EVENTS)]
    payloads: Bins
    keys: Bins | None
    headers: Annotated[list[HeaderList | None], Meta(max_length=MAX_EVENTS)] | None
    timestamps: EventInts | None

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.batch, self.epoch)


class RowFailure(Struct, array_like=True, forbid_unknown_fields=True):
    """The error of one event of a result."""

    index: Uint
    kind: Annotated[int, Meta(ge=1, le=3)]
    code: Code
    reason: Text
    detail: Annotated[bytes, Meta(max_length=MAX_TEXT)] | None
    retry_ms: Uint


class Result(Frame, tag=5):
    nonce: Uint
    batch: Uint
    epoch: Uint
    first: Uint
    count: Uint
    outputs: Annotated[list[bytes], Meta(max_length=MAX_ELEMENTS)] | bytes
    counts: Annotated[list[Uint], Meta(max_length=MAX_EVENTS)] | None
    routes: Annotated[list[Uint | str], Meta(max_length=MAX_ELEMENTS)] | None
    errors: Annotated[list[RowFailure], Meta(max_length=MAX_EVENTS)]

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.batch, self.epoch)


class Return(Frame, tag=6):
    nonce: Uint
    batch: Uint
    epoch: Uint
    code: Code
    reason: Text
    retry_ms: Uint

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.batch, self.epoch)


class Drain(Frame, tag=7):
    reason: Text


class Bye(Frame, tag=8):
    code: Annotated[int, Meta(ge=0, le=255)]
    reason: Text


class Call(Frame, tag=9):
    """`args` is a raw msgpack array, checked against the budget but not decoded."""

    id: Uint
    lease: tuple[Uint, Uint, Uint] | None
    deadline_ms: Uint
    method: NonEmptyName
    args: Raw


class Answer(Frame, tag=10):
    """`value` is raw msgpack, checked against the budget but not decoded."""

    id: Uint
    ok: bool
    value: Raw


class Pulse(Frame, tag=11):
    seq: Uint


class Died(Frame, tag=12):
    worker: Name
    cause: Code
    detail: Text


class Cut(Frame, tag=13):
    worker: Name
    reason: Text


class Columns(Frame, tag=14):
    """Leased events as columns. `body` is a view of the frame's own buffer, which nobody uses again: it can be written into.

    Events that are no rows are `misfits`: index and payload in turn. `unknown` alternates name and number of events.
    """

    nonce: Uint
    batch: Uint
    epoch: Uint
    attempt: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    deadline_ms: Uint
    stream: NonEmptyName
    positions: Annotated[list[Int], Meta(max_length=3 * MAX_EVENTS)]
    keys: Bins | None
    headers: Annotated[list[HeaderList | None], Meta(max_length=MAX_EVENTS)] | None
    timestamps: EventInts | None
    bytes: Uint
    misfits: Misfits
    unknown: Annotated[list[str | Uint], Meta(max_length=2 * MAX_UNKNOWN)]
    rows: Uint
    layout: LayoutNumbers
    pad: Pad
    body: memoryview

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.batch, self.epoch)

    @property
    def count(self) -> int:
        """The number of events, misfits included."""
        return sum(self.positions[2::3])


class Answers(Frame, tag=15):
    """Results as columns: `rows` outputs of the events `first` to `first + count - 1`, `counts` as in Result."""

    nonce: Uint
    batch: Uint
    epoch: Uint
    first: Uint
    count: Uint
    rows: Uint
    counts: Annotated[list[Uint], Meta(max_length=MAX_EVENTS)] | None
    errors: Annotated[list[RowFailure], Meta(max_length=MAX_EVENTS)]
    layout: LayoutNumbers
    pad: Pad
    body: memoryview

    @property
    def lease(self) -> Lease:
        return Lease(self.nonce, self.batch, self.epoch)


AnyFrame = (
    Hello
    | Welcome
    | Ready
    | Batch
    | Result
    | Return
    | Drain
    | Bye
    | Call
    | Answer
    | Pulse
    | Died
    | Cut
    | Columns
    | Answers
)
