"""From payloads to events. Each payload is decoded alone; payloads are never joined (PROTOCOL.md, section 3).

The hot path is one line, `list(map(decode, payloads))`, with a decoder that is strict: whatever is not exactly the declared
event raises there. Then each payload is decoded by itself, so that one bad event costs its neighbours some time and nothing
else. An event that only has fields too many is decoded without them and counted. Where most events are so, batches go
through a lenient decoder at once, and the strict one is tried again now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from pyrunner.schema import EventSchema
from pyrunner.scoring.failures import REJECT, Failure
from pyrunner.scoring.invalid import invalid_event
from pyrunner.scoring.lenient import LenientDecoder, unknown_names
from pyrunner.scoring.unknown import UnknownFields

Payload = bytes | bytearray | memoryview | None

NULL_VALUE = Failure(REJECT, "null_value", "null value (a tombstone); predict does not take None")

_FREQUENT = 0.25  # share of events with unknown fields above which the lenient decoder is the cheaper one
_FIRST_REST, _LONGEST_REST = 64, 4096  # batches until the strict decoder is tried again


class Decoded(NamedTuple):
    """A batch of which some payloads are no events. `rows` are the positions of `events`."""

    events: list[Any]
    rows: list[int]
    failures: dict[int, Failure]


class EventDecoder:
    """Decodes the events of one class. Used by one thread at a time."""

    def __init__(self, schema: EventSchema, *, nulls: bool = False) -> None:
        self._schema = schema
        self._nulls = nulls
        self._strict: Callable[[Any], Any] = decoder_of(schema)
        self._lenient = _lenient_decoder(schema)
        self._rest = 0  # batches that go through the lenient decoder before the strict one is tried again
        self._next_rest = _FIRST_REST
        self.unknown = UnknownFields(schema)

    def all(self, payloads: Sequence[Payload]) -> list[Any]:
        """Every payload as an event, or an exception: then `each` tells them apart."""
        if self._rest:
            return self._all_lenient(payloads)
        return list(map(self._strict, payloads))

    def each(self, payloads: Sequence[Payload]) -> Decoded:
        """Every payload by itself: an event or a failure."""
        events, rows = [], []
        failures: dict[int, Failure] = {}
        skipped = 0
        for row, payload in enumerate(payloads):
            event, names = self._one(payload)
            if isinstance(event, Failure):
                failures[row] = event
                continue
            skipped += bool(names)
            self.unknown.note(names)
            events.append(event)
            rows.append(row)
        self._adapt(skipped, len(payloads))
        return Decoded(events, rows, failures)

    def skipped(self, told: Sequence[Any]) -> None:
        """Count the unknown fields that a bridge has skipped: name and number of events in turn."""
        if self._lenient is not None:  # other classes say nothing of them
            for name, n in zip(told[0::2], told[1::2], strict=True):
                self.unknown.note([name], n)

    def _one(self, payload: Payload) -> tuple[Any, Sequence[str]]:
        """An event or Failure, and the unknown names that were skipped in it."""
        if payload is None:
            return (None if self._nulls else NULL_VALUE), ()
        try:
            return self._strict(payload), ()
        except MemoryError:
            raise
        except Exception as error:
            return self._without_unknown(payload, error)

    def _without_unknown(self, payload: Any, error: Exception) -> tuple[Any, Sequence[str]]:
        if self._lenient is None:
            return invalid_event(self._schema, payload, error, {}), ()
        try:
            value = msgspec.json.decode(payload)  # also what is skipped must be JSON, UTF-8 and within range
            names = unknown_names(self._schema.cls, value)
            return self._lenient.one(payload), names
        except MemoryError:
            raise
        except Exception as still:
            return invalid_event(self._schema, payload, still, self._meant(payload)), ()

    def _meant(self, payload: Any) -> dict[str, str]:
        """Unknown names by the declared name that is nearest."""
        try:
            names = unknown_names(self._schema.cls, msgspec.json.decode(payload))
        except Exception:
            return {}
        return {near: name for name in names if (near := self.unknown.nearest(name))}

    def _adapt(self, skipped: int, n: int) -> None:
        if skipped > n * _FREQUENT:
            self._rest = self._next_rest
            self._next_rest = min(2 * self._next_rest, _LONGEST_REST)
            self.unknown.sampled = True
        else:
            self._next_rest = _FIRST_REST

    def _all_lenient(self, payloads: Sequence[Any]) -> list[Any]:
        """As `all`, but unknown fields are no error: the first event's are counted for all.

        A skipped text is not decoded, so that UTF-8 is looked at here, over all bytes at once: they are ASCII, or each
        payload is decoded as text. A skipped number is not converted: one beyond float64 (1e999) is an error only in the
        first event, as PROTOCOL.md says in section 6.
        """
        self._rest -= 1
        assert self._lenient is not None
        events = self._lenient.many(payloads)
        if not b"".join(payloads).isascii():
            for payload in payloads:
                str(payload, "utf-8")
        if payloads:
            self.unknown.note(unknown_names(self._schema.cls, msgspec.json.decode(payloads[0])))
        return events


def decoder_of(schema: EventSchema) -> Callable[[Any], Any]:
    """The strict decoder of an event class, from JSON bytes to one event."""
    if schema.is_struct:
        return msgspec.json.Decoder(schema.cls).decode
    validate: Callable[..., Any] = schema.cls.model_validate_json  # type: ignore[attr-defined]
    return lambda payload: validate(bytes(payload))


def _lenient_decoder(schema: EventSchema) -> LenientDecoder | None:
    """None where the class itself says what becomes of unknown fields: pydantic models, plain structs, and events that refuse."""
    cls = schema.cls
    if not schema.is_struct or not cls.__struct_config__.forbid_unknown_fields:  # type: ignore[attr-defined]
        return None
    return None if getattr(cls, "refuses_unknown_fields", True) else LenientDecoder(cls)
