"""Counts what a frame announces, before anything is built from it.

Decoders take memory as they go: 16 MiB of empty arrays become a gigabyte of objects. This walk takes none. It is pure
Python and costs a third of a microsecond a value; batches, whose shape bounds them already, are not walked.
"""

from __future__ import annotations

from pyrunner.protocol.errors import DecodeError, malformed, over_limit
from pyrunner.protocol.frames import MAX_DEPTH, MAX_ELEMENTS, ByeCode

_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8}
_FIXED |= {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_STR = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY = {0xDC: 2, 0xDD: 4}
_UINT64 = 0xCF


class ShapeError(DecodeError):
    """A frame of an impossible shape. `item` is the index of the frame's own item in which it was found, if any."""

    def __init__(self, code: ByeCode, reason: str, item: int | None) -> None:
        super().__init__(code, reason)
        self.item = item


def check(body: memoryview) -> None:
    """Raise ShapeError unless `body` is one msgpack value within the limits of depth and number, without map and ext."""
    left = [1]  # values still to come at each depth
    try:
        end = _walk(body, left)
        if end != len(body):
            raise malformed(f"{len(body) - end} bytes after the frame")
    except DecodeError as error:
        raise ShapeError(error.code, error.reason, _item(body, left)) from None


def _item(body: memoryview, left: list[int]) -> int | None:
    """The index of the frame's item that was being read when the walk ended, None outside of them."""
    announced = array_length(body, 0) if len(left) > 1 else None
    return None if announced is None else announced - left[1] - 1


def array_length(view: memoryview, at: int) -> int | None:
    """How many items the array at a position announces, None when there is none. Raises DecodeError when it is cut."""
    op = view[at]
    if 0x90 <= op <= 0x9F:
        return op & 0x0F
    if width := _ARRAY.get(op):
        return _uint(view, at + 1, width)
    return None


def frame_type(body: memoryview) -> int:
    """The type of a frame. Raises DecodeError when it is no array that starts with an unsigned integer."""
    announced = array_length(body, 0)
    at = 1 + _ARRAY.get(body[0], 0)
    if not announced:
        raise malformed("a frame is an array that starts with its type")
    if at >= len(body):
        raise _cut(at)
    op = body[at]
    if op <= 0x7F:
        return op
    if op not in _FIXED or op < 0xCC:
        raise malformed("the type is not an unsigned integer")
    number = int.from_bytes(_take(body, at + 1, _FIXED[op]), "big", signed=op >= 0xD0)
    if not 0 <= number < 2**63:
        raise malformed(f"the type {number} is not from 0 to 2^63-1")
    return number


def _walk(view: memoryview, left: list[int]) -> int:
    """The position behind the value. `left` is kept by the caller to tell where an error was."""
    size, at, budget = len(view), 0, MAX_ELEMENTS
    while left:
        if left[-1] == 0:
            left.pop()
            continue
        left[-1] -= 1
        budget -= 1
        if budget < 0:
            raise over_limit(f"more than {MAX_ELEMENTS} values")
        if at >= size:
            raise _cut(at)
        op = view[at]
        if op <= 0x7F or op >= 0xE0:
            at += 1
        elif (items := array_length(view, at)) is not None:
            at += 1 + _ARRAY.get(op, 0)
            _check_array(items, len(left), size - at, budget)
            left.append(items)
        else:
            at = _skip_scalar(view, at)
    return at


def _check_array(items: int, depth: int, bytes_left: int, budget: int) -> None:
    if depth > MAX_DEPTH:
        raise over_limit(f"nested deeper than {MAX_DEPTH}")
    if items > budget:
        raise over_limit(f"more than {MAX_ELEMENTS} values")
    if items > bytes_left:
        raise malformed(f"an array of {items} in {bytes_left} bytes")


def _skip_scalar(view: memoryview, at: int) -> int:
    """The position behind a value that holds no others."""
    op = view[at]
    at += 1
    if 0xA0 <= op <= 0xBF:
        return _skip_text(view, at, op & 0x1F)
    if op in _FIXED:
        data = _take(view, at, _FIXED[op])
        if op == _UINT64 and data[0] & 0x80:
            raise malformed("an integer above 2^63-1")
        return at + len(data)
    if width := _BIN.get(op):
        return at + width + len(_take(view, at + width, _uint(view, at, width)))
    if width := _STR.get(op):
        return _skip_text(view, at + width, _uint(view, at, width))
    raise malformed(f"a {_name(op)}, which no frame holds")


def _skip_text(view: memoryview, at: int, length: int) -> int:
    try:
        str(_take(view, at, length), "utf-8")
    except UnicodeDecodeError:
        raise malformed("a str that is not UTF-8") from None
    return at + length


def _uint(view: memoryview, at: int, width: int) -> int:
    return int.from_bytes(_take(view, at, width), "big")


def _take(view: memoryview, at: int, length: int) -> memoryview:
    if length > len(view) - at:
        raise _cut(at)
    return view[at : at + length]


def _cut(at: int) -> DecodeError:
    return malformed(f"ends in the middle of a value at byte {at}")


def _name(op: int) -> str:
    if op == 0xC1:
        return "byte 0xc1"
    return "map" if 0x80 <= op <= 0x8F or op in (0xDE, 0xDF) else "ext"
