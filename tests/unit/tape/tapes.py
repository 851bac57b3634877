"""Tapes for tests, made of frames by hand."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pyrunner.protocol import codec
from pyrunner.protocol.frames import MAX_FRAME, Batch, Lease, Result, RowFailure
from pyrunner.tape import frames
from pyrunner.tape.environment import Environment, described

LEASE = Lease(1, 1, 1)


def framed(frame: Any) -> bytes:
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def tape(*following: Any, version: int = frames.VERSION) -> bytes:
    first = frames.Recording("flights", "score-stream", "departures", 1, "ds-bridge", True)
    return frames.NAME + bytes([version]) + b"".join(map(framed, (first, *following)))


def write(path: Path, *following: Any) -> Path:
    path.write_bytes(tape(*following))
    return path


def worker(number: int = 1, model: str = "3", **environment: Any) -> frames.Worker:
    describe = described(b"{}", Environment(model=model, **environment))
    return frames.Worker(number, f"w-{number}", model, "ds-runner", describe)


def batch(
    first: int,
    outputs: Sequence[bytes],
    *,
    errors: Sequence[RowFailure] = (),
    by: int = 1,
    calls: Sequence[frames.Call] = (),
    answered: bool = True,
) -> frames.Batch:
    """Events from an offset on: those that have outputs, and one for each error."""
    n = len(outputs) + len(errors)
    sent = Batch(*LEASE, 1, 5000, "departures", [0, first, n], [b"{}"] * n, [None] * n, [None] * n, [0] * n)
    result = Result(*LEASE, 0, n, b"".join(o + b"\n" for o in outputs), None, None, list(errors))
    answers = [bytes(codec.encode(result, MAX_FRAME)[4:])] if answered else []
    return frames.Batch(by, 1, 1, bytes(codec.encode(sent, MAX_FRAME)[4:]), list(calls), answers)
