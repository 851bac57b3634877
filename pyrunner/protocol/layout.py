"""Where the buffers of a body of columns lie: ten numbers a column (PROTOCOL.md, section 6).

encoding, nulls, then offset and length in the body of validity, data, offsets and text. Only these numbers are judged here; what the
buffers hold (offsets that go back, codes of no word) is judged by whoever reads them (pyrunner/columns/read.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

from pyrunner.protocol.errors import malformed
from pyrunner.protocol.frames import ALIGNMENT, LAYOUT


class Encoding(IntEnum):
    """How the values of a column lie in its buffers."""

    FLOAT = 0
    INT = 1
    BOOL = 2
    TEXT = 3
    WORDS = 4
    CATEGORY = 5
    TIME = 6
    DATE = 7


#: Bytes of `data` for each row.
WIDTHS = {
    Encoding.FLOAT: 8,
    Encoding.INT: 8,
    Encoding.BOOL: 1,
    Encoding.TEXT: 0,
    Encoding.WORDS: 4,
    Encoding.CATEGORY: 4,
    Encoding.TIME: 8,
    Encoding.DATE: 8,
}
_TEXTS = (Encoding.TEXT, Encoding.WORDS)


def check(frame: str, layout: Sequence[int], rows: int, size: int) -> None:
    """Raise DecodeError unless each column of so many rows has the buffers of its encoding, inside of a body of `size` bytes."""
    _check(frame, tuple(layout), rows, size)


@lru_cache(maxsize=64)  # full batches of numbers alone have the same layout again and again
def _check(frame: str, layout: Sequence[int], rows: int, size: int) -> None:
    if len(layout) % LAYOUT:
        raise malformed(f"{frame}.layout: {len(layout)} numbers, a column has {LAYOUT}")
    for at in range(0, len(layout), LAYOUT):
        if problem := _problem(layout[at : at + LAYOUT], rows, size):
            raise malformed(f"{frame}.layout: column {at // LAYOUT} {problem}")


def _problem(numbers: Sequence[int], rows: int, size: int) -> str:
    encoding, nulls, v_at, validity, d_at, data, o_at, offsets, t_at, text = numbers
    width = WIDTHS.get(encoding)  # type: ignore[call-overload]
    if width is None:
        return f"has encoding {encoding}"
    if nulls > rows or validity != ((rows + 7) // 8 if nulls else 0):
        return f"has {nulls} nulls and {validity} bytes of validity for {rows} rows"
    if data != width * rows:
        return f"has {data} bytes of data for {rows} rows"
    if encoding in _TEXTS:
        if encoding == Encoding.TEXT and offsets != 4 * (rows + 1):
            return f"has {offsets} bytes of offsets for {rows} rows"
        if offsets % 4 or not offsets:
            return f"has {offsets} bytes of offsets"
    elif offsets or text:
        return "has text, which its encoding has not"
    if (v_at | d_at | o_at | t_at) % ALIGNMENT:
        return f"has a buffer that is not on a multiple of {ALIGNMENT}"
    if (v_at and not validity) or (d_at and not data) or (o_at and not offsets) or (t_at and not text):
        return "has an empty buffer that is not at 0"
    if max(v_at + validity, d_at + data, o_at + offsets, t_at + text) > size:
        return f"goes past the body of {size} bytes"
    return ""
