"""Frames to bytes and back.

A batch, of payloads or of columns, the one frame that is large and frequent, is decoded by a single typed call: its shape bounds
its values (at most 8 an event, and the layout), so it needs no walk. All other frames are walked first (`budget`), then decoded by type, then judged by
the rules that types cannot tell (`rules`). Verdicts are the same as those of bridge_go/wire and pyrunner/plain.py; tests
hold them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from pyrunner.protocol import budget, rules
from pyrunner.protocol.errors import DecodeError, malformed, over_limit
from pyrunner.protocol.frames import (
    ALIGNMENT,
    FIRST_MAX_FRAME,
    LAST_FATAL_TYPE,
    MAX_ELEMENTS,
    Answers,
    AnyFrame,
    Batch,
    ByeCode,
    Columns,
    Frame,
    HeaderList,
)
from pyrunner.protocol.preface import MINOR

Body = bytes | bytearray | memoryview
Leased = Batch | Columns


class _BareBatch(Batch):
    """A batch as most classes ask for it. With headers, counts inside could ask for more memory than its bytes."""

    headers: None


class _HeaderBatch(Batch):
    """A batch whose header lists are only skipped over, so that they can be counted first."""

    headers: list[msgspec.Raw]  # type: ignore[assignment]


class _BareColumns(Columns):
    """Columns as most classes ask for them."""

    headers: None


class _HeaderColumns(Columns):
    """Columns whose header lists are only skipped over."""

    headers: list[msgspec.Raw]  # type: ignore[assignment]


_TYPES: dict[int, type[Frame]] = {kind.__struct_config__.tag: kind for kind in AnyFrame.__args__}
_SINCE = {14: 1, 15: 1}  # minor version that brought a type
_encoder = msgspec.msgpack.Encoder()
_decoders = {number: msgspec.msgpack.Decoder(frame) for number, frame in _TYPES.items()}
_bare: dict[Any, Any] = {
    Batch: msgspec.msgpack.Decoder(_BareBatch),
    Columns: msgspec.msgpack.Decoder(_BareColumns),
}
_with_headers: dict[Any, Any] = {
    Batch: msgspec.msgpack.Decoder(_HeaderBatch),
    Columns: msgspec.msgpack.Decoder(_HeaderColumns),
}
_header_list = msgspec.msgpack.Decoder(HeaderList)
_BATCH_START = b"\x9c\x04"  # an array of 12 whose first item is 4
_COLUMNS_START = b"\xdc\x00\x12\x0e"  # an array of 18 whose first item is 14
_MOST_AN_EVENT = 8  # values of a batch without headers and layout
_SHORT_HEADERS = 64


def encode(frame: Frame, max_frame: int) -> bytearray:
    """Length and body of a frame, ready to be sent. Raises ValueError when it is over the limit."""
    out = bytearray(4)
    _encoder.encode_into(frame, out, 4)
    length = len(out) - 4
    if length > max_frame:
        raise ValueError(f"{name(frame)} of {length} bytes is over the frame limit of {max_frame}")
    out[:4] = length.to_bytes(4, "big")
    return out


def encode_aligned(frame: Columns | Answers, max_frame: int) -> bytearray:
    """As `encode`, with the pad that puts the body on a multiple of 64 from the frame's first byte. The frame's own is left out."""
    out = bytearray(4)
    _encoder.encode_into(msgspec.structs.replace(frame, pad=b"", body=_EMPTY), out, 4)
    del out[-4:]  # pad and body
    size = len(frame.body)
    head = _bin_head(size)
    pad = -(len(out) - 4 + 2 + len(head)) % ALIGNMENT
    out += b"\xc4" + bytes((pad,)) + bytes(pad) + head
    out += frame.body
    length = len(out) - 4
    if length > max_frame:
        raise ValueError(f"{name(frame)} of {length} bytes is over the frame limit of {max_frame}")
    out[:4] = length.to_bytes(4, "big")
    return out


_EMPTY = memoryview(b"")


def _bin_head(size: int) -> bytes:
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big")
    return b"\xc5" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xc6" + size.to_bytes(4, "big")


def decode(body: Body, minor: int = 0) -> Frame | None:
    """The frame in a body, None when its type is unknown and may be skipped. Raises DecodeError, and nothing else.

    `minor` is the negotiated minor version: above ours, frames may be longer than we know.
    """
    if body[:2] == _BATCH_START and (batch := _decode_leased(body, Batch)) is not None:
        return batch
    if minor and body[:4] == _COLUMNS_START and (columns := _decode_leased(body, Columns)) is not None:
        return columns
    return _decode_any(memoryview(body), minor)


def encode_value(value: Any) -> msgspec.Raw:
    """The raw part of a call or an answer."""
    return msgspec.Raw(_encoder.encode(value))


def decode_value(raw: msgspec.Raw | bytes) -> Any:
    """The raw part of a frame that `decode` let through."""
    return msgspec.msgpack.decode(raw)


def name(frame: Frame) -> str:
    """The name of a frame in PROTOCOL.md."""
    number = type(frame).__struct_config__.tag
    assert isinstance(number, int)
    return _TYPES[number].__name__.upper()


def check_length(header: Body, max_frame: int) -> int:
    """The length in a header of four bytes. Raises DecodeError when it is not from 1 to `max_frame`."""
    length = int.from_bytes(header, "big")
    if length == 0:
        raise malformed("frame of no bytes")
    if length > max_frame:
        raise over_limit(f"frame of {length} bytes, the limit is {max_frame}")
    return length


class FrameBuffer:
    """Bytes in, bodies out. Memory grows with the bytes fed, never with a length announced."""

    def __init__(self, max_frame: int = FIRST_MAX_FRAME) -> None:
        self.max_frame = max_frame
        self._pending = bytearray()

    def feed(self, data: Body) -> None:
        self._pending += data

    def __iter__(self) -> Iterator[bytes]:
        """The bodies that are complete. Raises DecodeError for a length that is over the limit, or 0."""
        while len(self._pending) >= 4:
            end = 4 + check_length(self._pending[:4], self.max_frame)
            if len(self._pending) < end:
                return
            body = bytes(self._pending[4:end])
            del self._pending[:end]
            yield body


# ---- batches


def _decode_leased(body: Body, kind: type[Leased]) -> Leased | None:
    """The batch in a body, None when it is to be judged at leisure: it is malformed, or encoded in an unusual way."""
    batch: Leased
    try:
        batch = _bare[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        maybe = _decode_with_headers(body, kind)
        if maybe is None:
            return None
        batch = maybe
    rules.check_leased(batch)
    _check_aligned(batch, len(body))
    return batch


def _decode_with_headers(body: Body, kind: type[Leased]) -> Leased | None:
    try:
        raw = _with_headers[kind].decode(body)
        lists = [memoryview(array) for array in raw.headers]
        room = MAX_ELEMENTS - _MOST_AN_EVENT * len(lists) - len(getattr(raw, "layout", ()))
        if sum(budget.array_length(array, 0) or 0 for array in lists) > room:
            return None
        values = {field: getattr(raw, field) for field in raw.__struct_fields__}
        return kind(**values | {"headers": list(map(_decode_header_list, lists))})
    except (msgspec.DecodeError, DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _decode_header_list(array: memoryview) -> list[Any] | None:
    count = budget.array_length(array, 0)
    if count is None and bytes(array) == b"\xc0":
        return None
    if count is not None and count <= _SHORT_HEADERS:
        return list(_short_headers(count).decode(array))
    budget.check(array)
    return _header_list.decode(array)


@cache
def _short_headers(count: int) -> msgspec.msgpack.Decoder[tuple[Any, ...]]:
    """A decoder for exactly so many names and values in turn: no walk is needed where the types leave no room."""
    pairs = (str, bytes) * (count // 2) + (str,) * (count % 2)
    return msgspec.msgpack.Decoder(tuple[pairs] if pairs else tuple[()])  # type: ignore[valid-type]


# ---- all frames, with a verdict that names the field


def _decode_any(body: memoryview, minor: int) -> Frame | None:
    if not body:
        raise malformed("frame of no bytes")
    number = budget.frame_type(body)
    known = _TYPES.get(number) if minor >= _SINCE.get(number, 0) else None
    if known is None and number <= LAST_FATAL_TYPE:
        raise DecodeError(ByeCode.UNKNOWN_TYPE, f"frame type {number} is not known")
    try:
        budget.check(body)
    except budget.ShapeError as error:
        raise DecodeError(error.code, f"{_place(known, error.item)}: {error.reason}") from None
    return None if known is None else _decode_known(number, known, body, minor)


def _decode_known(number: int, known: type[Frame], body: Body, minor: int) -> Frame:
    if minor > MINOR:
        values = msgspec.msgpack.decode(body)[: len(known.__struct_fields__) + 1]
        body = bytearray(_encoder.encode(values))  # columns can be written into
    try:
        frame: Frame = _decoders[number].decode(body)
    except msgspec.DecodeError as error:
        raise _translate(known, str(error)) from None
    rules.check(frame)
    if minor <= MINOR:
        _check_aligned(frame, len(body))
    return frame


def _check_aligned(frame: Frame, size: int) -> None:
    """A body of columns is the last field, so that it begins where the frame's size less its own says."""
    if isinstance(frame, Columns | Answers) and (at := size - len(frame.body)) % ALIGNMENT:
        raise malformed(f"{name(frame)}.body: begins at byte {at}, which is no multiple of {ALIGNMENT}")


_WHERE = re.compile(r" - at `\$\[(\d+)\].*`$")


def _translate(known: type[Frame], text: str) -> DecodeError:
    """msgspec's verdict, with the names of the protocol."""
    where = _WHERE.search(text)
    item = int(where[1]) if where else None
    code = ByeCode.LIMIT if " of length <= " in text else ByeCode.MALFORMED
    return DecodeError(code, f"{_place(known, item)}: {_WHERE.sub('', text).lower()}")


def _place(known: type[Frame] | None, item: int | None) -> str:
    if known is None:
        return "frame of unknown type"
    fields = known.__struct_fields__
    if item is None or not 1 <= item <= len(fields):
        return known.__name__.upper()
    return f"{known.__name__.upper()}.{fields[item - 1]}"
