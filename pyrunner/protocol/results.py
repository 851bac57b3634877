"""Results under the frame limit.

Nearly every result is one frame. One that is larger is split between events; an event whose outputs alone do not fit
becomes that event's error (`output_too_large`), never a frame over the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pyrunner.protocol import codec
from pyrunner.protocol.frames import MAX_CODE, MAX_EVENTS, MAX_TEXT, Kind, Result, RowFailure

OUTPUT_TOO_LARGE = "output_too_large"
_FRAME_OVERHEAD = 128  # more than type, lease, first, count and the heads of all arrays take
_ITEM_OVERHEAD = 16  # more than the heads of an output and of its count take
_ERROR_OVERHEAD = 64


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """`text` as at most `limit` bytes of UTF-8; lone surrogates become question marks."""
    data = text.encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore")


def failure(
    index: int, kind: int, code: str, reason: str, detail: bytes | None = None, retry_ms: int = 0
) -> RowFailure:
    """An event's error within the bounds of the protocol; a detail over the bound is left out."""
    if detail is not None and len(detail) > MAX_TEXT:
        detail = None
    return RowFailure(index, kind, clip(code, MAX_CODE), clip(reason), detail, retry_ms)


def encode_result(result: Result, max_frame: int) -> list[bytearray]:
    """The frames of a result, each under the limit."""
    try:
        return [codec.encode(result, max_frame)]
    except ValueError:
        return [codec.encode(part, max_frame) for part in split(result, max_frame)]


@dataclass(slots=True)
class _Row:
    """What became of one event."""

    index: int
    outputs: list[bytes] = field(default_factory=list)
    streams: dict[int, str] = field(default_factory=dict)  # position among outputs -> stream
    error: RowFailure | None = None

    def size(self) -> int:
        size = _ITEM_OVERHEAD + sum(_ITEM_OVERHEAD + len(o) for o in self.outputs)
        size += sum(_ITEM_OVERHEAD + len(s.encode()) for s in self.streams.values())
        if e := self.error:
            size += _ERROR_OVERHEAD + len(e.code.encode()) + len(e.reason.encode()) + len(e.detail or b"")
        return size


def split(result: Result, max_frame: int) -> list[Result]:
    """A result as parts of at most `max_frame` bytes each, in order and without gaps."""
    lines = isinstance(result.outputs, bytes)
    limit = max_frame - _FRAME_OVERHEAD
    parts: list[list[_Row]] = []
    room = -1
    for whole in _rows(result):
        row = _fitting(whole, limit)
        size = row.size()
        if size > room or len(parts[-1]) == MAX_EVENTS:
            parts.append([])
            room = limit
        parts[-1].append(row)
        room -= size
    return [_part(result, rows, lines) for rows in parts]


def _rows(result: Result) -> list[_Row]:
    outputs = result.outputs
    if isinstance(outputs, bytes):
        outputs = outputs.split(b"\n")[:-1]
    errors = {e.index: e for e in result.errors}
    routes = result.routes or []
    streams = dict(zip(routes[0::2], routes[1::2], strict=True))
    rows, at = [], 0
    for position in range(result.count):
        index = result.first + position
        row = _Row(index, error=errors.get(index))
        count = result.counts[position] if result.counts is not None else int(row.error is None)
        row.outputs = outputs[at : at + count]
        row.streams = {i: str(streams[at + i]) for i in range(count) if at + i in streams}
        rows.append(row)
        at += count
    return rows


def _fitting(row: _Row, limit: int) -> _Row:
    if row.size() <= limit:
        return row
    size = sum(map(len, row.outputs))
    reason = f"{len(row.outputs)} outputs of {size} bytes do not fit into a frame of {limit + _FRAME_OVERHEAD} bytes"
    return _Row(row.index, error=failure(row.index, Kind.FAIL, OUTPUT_TOO_LARGE, reason))


def _part(result: Result, rows: list[_Row], lines: bool) -> Result:
    outputs = [o for row in rows for o in row.outputs]
    counts = [len(row.outputs) for row in rows]
    routes: list[int | str] = []
    at = 0
    for row in rows:
        for position, stream in row.streams.items():
            routes += [at + position, stream]
        at += len(row.outputs)
    plain = all(count == (row.error is None) for count, row in zip(counts, rows, strict=True))
    return Result(
        *result.lease,
        rows[0].index,
        len(rows),
        b"".join(o + b"\n" for o in outputs) if lines else outputs,
        None if plain else counts,
        routes or None,
        [row.error for row in rows if row.error is not None],
    )
