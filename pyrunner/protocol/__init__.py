"""The wire protocol as a pure machine: bytes in, frames out, and what may be sent next.

`preface` proves both sides to each other before anything is decoded, `frames` are the messages as typed structs, `budget`
refuses hostile shapes before memory is taken, `codec` turns frames into bytes and back, `results` keeps results under the
frame limit, and `session` is the worker's side of a conversation. Nothing here knows of a socket, a clock, a thread or a
process; `pyrunner.client` is the thin coat that does. The rules are those of bridge_go/wire/PROTOCOL.md.
"""

from pyrunner.protocol.codec import FrameBuffer, decode, encode
from pyrunner.protocol.errors import DecodeError, LocalError, ProtocolError
from pyrunner.protocol.frames import (
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
    Kind,
    Lease,
    Pulse,
    Ready,
    Result,
    Return,
    Role,
    RowFailure,
    Wants,
    Welcome,
)
from pyrunner.protocol.preface import ClientPreface, PrefaceError, Refusal
from pyrunner.protocol.session import Session, State

__all__ = [
    "Answer",
    "Answers",
    "Batch",
    "Bye",
    "ByeCode",
    "Call",
    "ClientPreface",
    "Columns",
    "Cut",
    "DecodeError",
    "Died",
    "Drain",
    "Frame",
    "FrameBuffer",
    "Hello",
    "Kind",
    "Lease",
    "LocalError",
    "PrefaceError",
    "ProtocolError",
    "Pulse",
    "Ready",
    "Refusal",
    "Result",
    "Return",
    "Role",
    "RowFailure",
    "Session",
    "State",
    "Wants",
    "Welcome",
    "decode",
    "encode",
]
