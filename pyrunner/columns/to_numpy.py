"""Columns as `dict[str, np.ndarray]`: views of the body for numbers and times, objects for the rest, as containers/numpy_.py has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyrunner.columns.read import Column, ColumnBatch, choices, texts
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import EventSchema, FieldSchema

Array = np.ndarray[Any, Any]


class ArraysBuilder:
    """Made once for a class."""

    def __init__(self, schema: EventSchema) -> None:
        self._makers = [(field.name, array_of(field)) for field in schema]

    def build(self, batch: ColumnBatch) -> dict[str, Array]:
        return {name: make(column) for (name, make), column in zip(self._makers, batch.order, strict=True)}


def array_of(field: FieldSchema) -> Callable[[Column], Array]:
    """A function from a column of the field to its array."""
    if field.kind == "float" or (field.kind in ("int", "bool") and not field.nullable):
        return Column.data
    if field.kind == "datetime":
        return lambda column: column.data().view("M8[us]")  # the least int64 is numpy's NaT, too
    if field.kind == "date":
        return lambda column: column.data().view("M8[D]")
    if field.kind == "category":
        values = objects(choices(field))
        return lambda column: values[column.data()]  # -1 is the last: None
    if field.kind == "str":
        return strings
    return _nullable


def strings(column: Column) -> Array:
    """A column of texts as objects."""
    if column.encoding == Encoding.WORDS:
        words = objects([*texts(column), None])
        found: Array = words[column.data()]
        return found
    found = objects(texts(column) if column.rows else [])
    if column.nulls:
        found[column.missing()] = None
    return found


def objects(values: list[Any]) -> Array:
    """An array of objects, whatever they are."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _nullable(column: Column) -> Array:
    found = column.data().astype(object)
    if column.nulls:
        found[column.missing()] = None
    return found
