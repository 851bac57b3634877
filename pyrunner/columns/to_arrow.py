"""Columns as `pa.Table`: the body's own buffers for numbers, times and texts, types as containers/arrow_.py has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from pyrunner.columns.read import Column, ColumnBatch
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import EventSchema, FieldSchema

Maker = Callable[[Column, pa.Buffer], pa.Array]


class TableBuilder:
    """Made once for a class."""

    def __init__(self, schema: EventSchema) -> None:
        self._makers = [_maker(field) for field in schema]
        self._names = list(schema.names)

    def build(self, batch: ColumnBatch) -> pa.Table:
        body = pa.py_buffer(batch.body)
        columns = [make(column, body) for make, column in zip(self._makers, batch.order, strict=True)]
        return pa.Table.from_arrays(columns, names=self._names)


def _maker(field: FieldSchema) -> Maker:
    if field.kind == "category":
        return _categories(field)
    if field.kind == "str":
        return strings
    return _MAKERS[field.kind]


def _plain(arrow_type: pa.DataType) -> Maker:
    """Numbers that lie in the body as Arrow has them."""

    def make(column: Column, body: pa.Buffer) -> pa.Array:
        buffers = [_validity(column, body), body.slice(*column.spans("data"))]
        return pa.Array.from_buffers(arrow_type, column.rows, buffers, column.nulls)

    return make


def _bools(column: Column, body: pa.Buffer) -> pa.Array:
    bits = pa.py_buffer(np.packbits(column.data(), bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), column.rows, [_validity(column, body), bits], column.nulls)


def _days(column: Column, body: pa.Buffer) -> pa.Array:
    days = pa.py_buffer(column.data().astype(np.int32))
    return pa.Array.from_buffers(pa.date32(), column.rows, [_validity(column, body), days], column.nulls)


def strings(column: Column, body: pa.Buffer) -> pa.Array:
    """A column of texts, however they came."""
    if column.encoding == Encoding.WORDS:
        return texts(column, body, pa.string(), words=True).take(codes(column, body))
    return texts(column, body, pa.string())


def texts(column: Column, body: pa.Buffer, arrow_type: pa.DataType, *, words: bool = False) -> pa.Array:
    """The texts, or words, of a column as string or large_string."""
    at, length = column.spans("offsets")
    if not length:
        return pa.array([], type=arrow_type)
    offsets = body.slice(at, length)
    if pa.types.is_large_string(arrow_type):
        offsets = pa.py_buffer(column.offsets().astype(np.int64))
    buffers = [None if words else _validity(column, body), offsets, body.slice(*column.spans("text"))]
    return pa.Array.from_buffers(arrow_type, length // 4 - 1, buffers, 0 if words else column.nulls)


codes = _plain(pa.int32())


def _categories(field: FieldSchema) -> Maker:
    values = pa.array(field.choices)

    def make(column: Column, body: pa.Buffer) -> pa.Array:
        return pa.DictionaryArray.from_arrays(codes(column, body), values, safe=False)  # they were checked

    return make


def _validity(column: Column, body: pa.Buffer) -> Any:
    return body.slice(*column.spans("validity")) if column.nulls else None


_MAKERS: dict[str, Maker] = {
    "float": _plain(pa.float64()),
    "int": _plain(pa.int64()),
    "datetime": _plain(pa.timestamp("us", tz="UTC")),
    "bool": _bools,
    "date": _days,
}
