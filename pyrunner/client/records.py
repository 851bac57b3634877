"""Records as the bridge's control methods give them (bridge_go/control/METHODS.md)."""

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyrunner.client.control import ControlClient

PAGE = 500


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
    client: ControlClient, stream: str, start: int, most: int, wait_ms: int = 0
) -> tuple[list[Record], int]:
    """Up to `most` records from a position on (0 the oldest kept, -1 behind the newest), and the position behind them."""
    found, after = client.call("tail", stream, start, most, wait_ms, deadline=5.0 + wait_ms / 1000)
    return [record(stream, r) for r in found], after


def read_all(client: ControlClient, stream: str, start: int = 0) -> Iterator[Record]:
    """All records of a stream from a position to its present end."""
    while True:
        found, start = read(client, stream, start, PAGE)
        if not found:
            return
        yield from found


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
