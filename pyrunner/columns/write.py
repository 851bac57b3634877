"""A body of columns, buffer by buffer, with its layout. Nothing is copied before `body`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrunner.protocol.frames import ALIGNMENT
from pyrunner.protocol.layout import Encoding

_PADS = [bytes(n) for n in range(ALIGNMENT)]
_NOTHING = (0, 0)


class BodyWriter:
    """Add each column in the plan's order, then take `layout` and `body()`."""

    __slots__ = ("_parts", "_size", "layout")

    def __init__(self) -> None:
        self.layout: list[int] = []
        self._parts: list[Any] = []
        self._size = 0

    def fixed(self, encoding: Encoding, data: Any, missing: Any = None) -> None:
        """A column of numbers: `data` is an array of the encoding's width; `missing` is True where a row is null, or None."""
        nulls, validity = self._validity(missing)
        self.layout += (encoding, nulls, *validity, *self._put(data), 0, 0, 0, 0)

    def text(self, offsets: Any, data: Any, missing: Any = None) -> None:
        """A column of texts: int32 offsets, one more than rows, and their UTF-8."""
        nulls, validity = self._validity(missing)
        self.layout += (Encoding.TEXT, nulls, *validity, 0, 0, *self._put(offsets), *self._put(data))

    def words(self, codes: Any, offsets: Any, data: Any, missing: Any = None) -> None:
        """A column of texts of which few are different: int32 codes, -1 for null, and the words as in `text`."""
        nulls, validity = self._validity(missing)
        self.layout += (
            Encoding.WORDS, nulls, *validity, *self._put(codes), *self._put(offsets), *self._put(data)
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self._size

    def body(self) -> bytes:
        return b"".join(self._parts)

    def _validity(self, missing: Any) -> tuple[int, tuple[int, int]]:
        nulls = 0 if missing is None else int(np.count_nonzero(missing))
        return nulls, self._put(np.packbits(~missing, bitorder="little")) if nulls else _NOTHING

    def _put(self, buffer: Any) -> tuple[int, int]:
        data = memoryview(buffer).cast("B") if len(buffer) else b""
        if not len(data):
            return _NOTHING
        if pad := -self._size % ALIGNMENT:
            self._parts.append(_PADS[pad])
            self._size += pad
        at = self._size
        self._parts.append(data)
        self._size += len(data)
        return at, len(data)


def offsets_of(texts: list[bytes]) -> Any:
    """int32 offsets of texts that lie one behind the other."""
    ends = np.zeros(len(texts) + 1, dtype="<i4")
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return ends
