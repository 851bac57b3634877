"""`ctx.publish`: events to a stream of program.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pyrunner.data.access import Access

TIMEOUT = 5.0
_AT_ONCE = 1000  # records in a call

Record = list[Any]  # value, key, headers in turn


def publish(access: Access, stream: str, records: Iterable[Record], timeout: float) -> int:
    """Publish records, or in predict leave them to be. Their number."""
    what = f'ctx.publish("{stream}")'
    made = list(records)
    if (writes := access.writes) is not None:
        for record in made:
            writes.publish(stream, record)
        return len(made)
    for first in range(0, len(made), _AT_ONCE):
        access.ask(what, "publish", stream, made[first : first + _AT_ONCE], timeout=timeout)
    return len(made)


def record_of(event: Any, key: Any, headers: Mapping[str, Any] | None) -> Record:
    """An event as a record: bytes and texts as they are, all else as JSON; the key is the event's own unless one is given."""
    flat = [part for name, value in (headers or {}).items() for part in (name, _bytes(value))]
    return [_payload(event), _bytes(_own_key(event) if key is None else key), flat or None]


def _payload(event: Any) -> bytes | None:
    if event is None or isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    if hasattr(event, "model_dump_json"):
        return bytes(event.model_dump_json(by_alias=True).encode())
    return msgspec.json.encode(event)


def _own_key(event: Any) -> Any:
    """The field that the event's class marks as its key."""
    from pyrunner.events import Event

    if not isinstance(event, Event):
        return None
    from pyrunner.schema import schema_of

    key = schema_of(type(event)).key
    return None if key is None else getattr(event, key)


def _bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def records_of(events: Iterable[Any], keys: Sequence[Any] | None) -> list[Record]:
    """Many events, with a key each where keys are given."""
    made = list(events)
    if keys is not None and len(keys) != len(made):
        raise ValueError(f"ctx.publish_many: {len(keys)} keys for {len(made)} events")
    return [record_of(event, None if keys is None else keys[at], None) for at, event in enumerate(made)]
