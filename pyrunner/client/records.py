"""Records as the bridge's control methods give them (bridge_go/control/METHODS.md)."""

import datetime
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyrunner.client import cursors
from pyrunner.client.control import ControlClient

PAGE = 500
_FURTHER = 8  # times as many offsets back when too few records were found


@dataclass(frozen=True)
class Record:
    """One event as its stream keeps it."""

    stream: str
    partition: int
    offset: int
    time: int  # nanoseconds since 1970 UTC
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def id(self) -> str:
        return f"{self.stream}/{self.partition}/{self.offset}"

    @property
    def when(self) -> str:
        """The time as ISO 8601 in UTC, empty when the system keeps none."""
        if not self.time:
            return ""
        return datetime.datetime.fromtimestamp(self.time / 1e9, datetime.UTC).isoformat(
            timespec="milliseconds"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "time": self.when,
            "key": text(self.key),
            "value": value(self.value),
            "headers": {name: structured(v) for name, v in self.headers.items()},
        }


def record(stream: str, fields: Sequence[Any]) -> Record:
    """A record from its fields on the wire."""
    partition, offset, time, key, payload, flat = fields[:6]
    return Record(
        stream, partition, offset, time, key, payload, dict(zip(flat[::2], flat[1::2], strict=False))
    )


def read(
    client: ControlClient, stream: str, cursor: str, most: int, wait_ms: int = 0
) -> tuple[list[Record], str]:
    """Up to `most` records from a cursor on, and the cursor behind them (pyrunner/client/cursors.py says what it is)."""
    found, after = client.call("tail", stream, cursor, most, wait_ms, deadline=15.0 + wait_ms / 1000)
    return [record(stream, r) for r in found], after


def end_of(client: ControlClient, stream: str) -> str:
    """The cursor behind the newest record of each partition."""
    return read(client, stream, cursors.END, 0)[1]


def read_all(
    client: ControlClient, stream: str, start: str = cursors.OLDEST, end: str | None = None
) -> Iterator[Record]:
    """All records of a stream from a cursor to its end, which is where the stream ends now if none is given."""
    until = cursors.offsets(end_of(client, stream) if end is None else end)
    while not cursors.reached(start, until):
        found, start = read(client, stream, start, PAGE)
        if not found:
            return
        yield from (r for r in found if r.offset < until.get(r.partition, 0))


def read_in_order(client: ControlClient, stream: str) -> Iterator[Record]:
    """All records that a stream holds now, partition by partition: the order in which dead letters are numbered."""
    end = end_of(client, stream)
    ends = cursors.offsets(end)
    for partition in sorted(ends):
        start = cursors.of({**ends, partition: 0})  # the other partitions have nothing from there on
        yield from read_all(client, stream, start, end)


def newest(client: ControlClient, stream: str, count: int) -> tuple[list[Record], str]:
    """The newest `count` records of all partitions together, in the order of their times, and the cursor behind them.

    Each partition is read from so many offsets before its end on, and from further back while that was too little (offsets
    may have gaps). What is held is at most `count` records of each partition.
    """
    end = end_of(client, stream)
    ends, back = cursors.offsets(end), count
    while True:
        starts = {partition: max(0, offset - back) for partition, offset in ends.items()}
        last = _last(read_all(client, stream, cursors.of(starts), end), count)
        if sum(map(len, last.values())) >= count or not any(starts.values()):
            return _by_time(last)[-count:] if count else [], end
        back *= _FURTHER


def one(client: ControlClient, stream: str, partition: int, offset: int) -> Record | None:
    """The record at one place, None when it is not kept there any more."""
    ends = cursors.offsets(end_of(client, stream))
    if offset >= ends.get(partition, 0):
        return None
    start = cursors.of({**ends, partition: offset})  # the other partitions have nothing from there on
    for r in read_all(client, stream, start, cursors.of({**ends, partition: offset + 1})):
        return r if (r.partition, r.offset) == (partition, offset) else None
    return None


def _last(found: Iterable[Record], count: int) -> dict[int, deque[Record]]:
    last: dict[int, deque[Record]] = {}
    for r in found:
        last.setdefault(r.partition, deque(maxlen=count)).append(r)
    return last


def _by_time(partitions: dict[int, deque[Record]]) -> list[Record]:
    """Merged by time; records of one partition keep their order, whatever times their producers gave them."""
    timed: list[tuple[int, int, int, Record]] = []
    for partition, found in partitions.items():
        latest = 0
        for r in found:
            latest = max(latest, r.time)
            timed.append((latest, partition, r.offset, r))
    return [r for *_, r in sorted(timed, key=lambda row: row[:3])]


def text(data: bytes | None) -> str | None:
    """Bytes for people: UTF-8, or with escapes."""
    return None if data is None else bytes(data).decode("utf-8", "backslashreplace")


def value(data: bytes | None) -> Any:
    """JSON as its value, anything else as text."""
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return text(data)


def structured(data: bytes) -> Any:
    """A header: JSON where it is a list or an object, else text, so that version "1" stays one."""
    return value(data) if bytes(data[:1]) in (b"{", b"[") else text(data)
