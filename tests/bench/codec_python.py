"""What the Python codec rows measure: a BATCH of 256 events read, a RESULT of 256 lines written.

`cases` is the codec that workers run, `plain_cases` the one-file client's, which is written for reading. Both get the same
bytes and make the same bytes: tests hold them together, here they are only timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pyrunner import plain
from pyrunner.protocol import codec
from pyrunner.protocol.frames import MAX_FRAME, Batch, Result

from .events import payloads

EVENTS = 256
Case = Callable[[], Any]


def cases() -> dict[str, Case]:
    body, result = bytearray(codec.encode(_batch(), MAX_FRAME)[4:]), _result()
    return {
        "decode_batch": lambda: codec.decode(body),
        "encode_result": lambda: codec.encode(result, MAX_FRAME),
    }


def plain_cases() -> dict[str, Case]:
    """The same frames; the plain client's frames are lists."""
    body = bytes(codec.encode(_batch(), MAX_FRAME)[4:])
    result = msgspec.msgpack.decode(codec.encode(_result(), MAX_FRAME)[4:])
    return {
        "decode_batch": lambda: plain.decode(body),
        "encode_result": lambda: plain.encode(result),
    }


def _batch() -> Batch:
    return Batch(7, 1, 1, 1, 30_000, "clicks", [0, 0, EVENTS], list(payloads(EVENTS)), None, None, None)


def _result() -> Result:
    lines = b'{"event_id":"cf01a26cb45d4f0a9d2f3e1c5b7a8d90","score":0.4871203}\n' * EVENTS
    return Result(7, 1, 1, 0, EVENTS, lines, None, None, [])
