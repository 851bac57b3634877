"""The frames of a tape, as bridge_go/tape/FORMAT.md has them. Pure: bytes in, frames out.

A tape may come from anywhere, so nothing is believed: each frame is held against its checksum before it is decoded, and memory follows
the bytes that are there. What cannot be read any further ends the reading; what stands before it is good.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from pyrunner.errors import UserError

NAME = b"ds-tape"
VERSION = 1
MAX_FRAME = 256 << 20

_HEAD = 8  # length and checksum
_MOST = 1 << 20  # items of a list


class Recording(Struct, array_like=True, tag=1):
    program: str
    command: str
    stream: str
    began: int  # nanoseconds since 1970 UTC, as all times here
    bridge: str
    lookups: bool


class Worker(Struct, array_like=True, tag=2):
    number: int
    id: str
    model: str
    sdk: str
    describe: bytes


class Call(Struct, array_like=True):
    """`state`: 0 answered, 1 failed, 2 the answer was not kept."""

    method: str
    args: bytes
    state: int
    value: bytes


class Batch(Struct, array_like=True, tag=3):
    """`batch` is a BATCH and `answers` are RESULTs or a RETURN, as on the wire, without their lengths."""

    worker: int
    sent: int
    took: int
    batch: bytes
    calls: Annotated[list[Call], Meta(max_length=_MOST)]
    answers: Annotated[list[bytes], Meta(max_length=_MOST)]


class FateRun(Struct, array_like=True):
    """`kind`: 0 scored, 1 rejected, 2 dead."""

    partition: int
    first: int
    n: int
    kind: int
    attempts: int
    model: str
    code: str
    reason: str


class Fates(Struct, array_like=True, tag=4):
    runs: Annotated[list[FateRun], Meta(max_length=_MOST)]


class Gap(Struct, array_like=True, tag=5):
    batches: int
    events: int


class End(Struct, array_like=True, tag=6):
    ended: int


Frame = Recording | Worker | Batch | Fates | Gap | End

_decoder = msgspec.msgpack.Decoder(Frame)
_LAST = 6  # of the types that are known


class Torn(Exception):
    """Where a tape cannot be read any further: it was cut off, or damaged."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(f"torn at byte {at}: {why}")
        self.at = at


def is_tape(path: Path) -> bool:
    """Whether a file begins as a tape does, of whatever version."""
    try:
        with path.open("rb") as f:
            return f.read(len(NAME)) == NAME
    except OSError:
        return False


def frames(path: Path) -> Iterator[Frame]:
    """The frames of a tape. Raises UserError for a file that is no tape, or one of another version, and Torn where it breaks off."""
    with path.open("rb") as f:
        begin = f.read(len(NAME) + 1)
        if begin[:-1] != NAME:
            raise UserError(f"{path} is no tape. Record one with: ds-runner record STREAM --output {path}")
        if begin[-1] != VERSION:
            raise UserError(
                f"{path} is a tape of version {begin[-1]}, this ds-runner reads version {VERSION}. Use the release that recorded it"
            )
        at = len(begin)
        while body := _body(f, at):
            if (frame := _decoded(body, at)) is not None:
                yield frame
            at += _HEAD + len(body)


def _body(f: BinaryIO, at: int) -> bytes:
    head = f.read(_HEAD)
    if not head:
        return b""
    if len(head) < _HEAD:
        raise Torn(at, f"the file ends {len(head)} bytes into the head of a frame")
    size, checksum = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    if not 0 < size <= MAX_FRAME:
        raise Torn(at, f"a frame of {size} bytes, at most {MAX_FRAME}")
    body = f.read(size)
    if len(body) < size:
        raise Torn(at, f"the file ends {len(body)} bytes into a frame of {size}")
    if zlib.crc32(body) != checksum:
        raise Torn(at, f"the checksum of a frame of {size} bytes does not fit it")
    return body


def _decoded(body: bytes, at: int) -> Frame | None:
    """The frame in a body, None when it is of a type that is not known."""
    try:
        frame: Frame = _decoder.decode(body)
        return frame
    except msgspec.DecodeError as error:
        if (kind := _kind(body)) is not None and kind > _LAST:
            return None
        raise Torn(at, str(error)) from None


def _kind(body: bytes) -> int | None:
    try:
        value = msgspec.msgpack.decode(body, type=list[msgspec.Raw])
        return msgspec.msgpack.decode(value[0], type=int) if value else None
    except msgspec.DecodeError:
        return None
