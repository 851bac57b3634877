"""The bridge's part in Python: payloads as the COLUMNS frame that a bridge would send. For tests and `check_model`.

Slow and plain: the decoder of payloads finds the values, so that a model sees by columns what it sees by payloads.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrunner.columns.plan import Plan
from pyrunner.columns.read import NULL_TIME
from pyrunner.columns.write import BodyWriter, offsets_of
from pyrunner.protocol.frames import MAX_UNKNOWN, Batch, Columns
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import EventSchema, FieldSchema
from pyrunner.scoring.decode import EventDecoder

_FEW = 4  # rows a word, on average, from which on texts go as words


class Composer:
    """Made once for a model's input class and its plan."""

    def __init__(self, schema: EventSchema, plan: Plan) -> None:
        self._schema = schema
        self._plan = plan
        self._decoder = EventDecoder(schema)

    def columns(self, batch: Batch) -> Columns | None:
        """The frame that stands for a batch of payloads, None where no event is a row. Its `pad` is empty: the codec fills it in."""
        before = dict(self._decoder.unknown)
        decoded = self._decoder.each(batch.payloads)
        if not decoded.events:
            return None
        writer = BodyWriter()
        for field in self._plan.fields:
            write(writer, field, [getattr(event, field.name) for event in decoded.events])
        unknown = {
            name: n - before.get(name, 0)
            for name, n in self._decoder.unknown.items()
            if n > before.get(name, 0)
        }
        return Columns(
            *batch.lease, batch.attempt, batch.deadline_ms, batch.stream, batch.positions, batch.keys, batch.headers,
            batch.timestamps,
            sum(len(payload) for payload in batch.payloads if payload is not None),
            [part for row in decoded.failures for part in (row, batch.payloads[row])],
            [part for name in list(unknown)[:MAX_UNKNOWN] for part in (name, unknown[name])],
            len(decoded.rows), writer.layout, b"", memoryview(bytearray(writer.body())),
        )  # fmt: skip


def write(writer: BodyWriter, field: FieldSchema, values: Sequence[Any]) -> None:
    """One column of values as the decoder makes them, None for null."""
    missing = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    if field.kind == "str":
        _write_texts(writer, values, missing)
        return
    encoding, dtype, null, convert = _FIXED[field.kind]
    convert = _codes(field) if field.kind == "category" else convert
    numbers = [null if value is None else convert(value) for value in values]
    writer.fixed(encoding, np.array(numbers, dtype=dtype), missing)


def _write_texts(writer: BodyWriter, values: Sequence[Any], missing: Any) -> None:
    words = {value: code for code, value in enumerate(dict.fromkeys(v for v in values if v is not None))}
    if values and len(words) * _FEW <= len(values):
        codes = np.array([-1 if value is None else words[value] for value in values], dtype="<i4")
        data = [word.encode() for word in words]
        writer.words(codes, offsets_of(data), b"".join(data), missing)
        return
    data = [b"" if value is None else value.encode() for value in values]
    writer.text(offsets_of(data), b"".join(data), missing)


def _codes(field: FieldSchema) -> Any:
    codes = {choice: code for code, choice in enumerate(field.choices or ())}
    return lambda value: codes[value.value if isinstance(value, enum.Enum) else value]


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)

_FIXED: dict[str, tuple[Encoding, str, Any, Any]] = {
    "float": (Encoding.FLOAT, "<f8", np.nan, float),
    "int": (Encoding.INT, "<i8", 0, int),
    "bool": (Encoding.BOOL, "?", False, bool),
    "category": (Encoding.CATEGORY, "<i4", -1, None),
    "datetime": (Encoding.TIME, "<i8", NULL_TIME, lambda time: (time - _EPOCH) // _US),
    "date": (Encoding.DATE, "<i8", NULL_TIME, lambda day: (day - _EPOCH.date()).days),
}
