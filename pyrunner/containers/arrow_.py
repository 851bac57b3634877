"""`pa.Table`: one column a field, types by the declaration, null where the event has null."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import msgspec
import pyarrow as pa

from pyrunner.columns.read import ColumnBatch
from pyrunner.columns.to_arrow import TableBuilder
from pyrunner.containers.base import TypedBatch
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.context import Context
from pyrunner.schema import EventSchema, FieldSchema
from pyrunner.signature import Signature

_TYPES: dict[str, pa.DataType] = {
    "float": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "str": pa.string(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "decimal": pa.string(),
}


class ArrowContainer:
    """Literal and enums are dictionaries of the declared values in their order; nested events, lists and dicts are what Arrow
    infers from them as plain objects; Decimal is its string."""

    name: ClassVar[str] = "arrow"

    def __init__(self, signature: Signature) -> None:
        self._schema = signature.input_schema
        self._answers = ColumnAnswers(signature)
        self._by_columns: TableBuilder | None = None

    def build(self, batch: TypedBatch) -> pa.Table:
        columns = [_column(batch.column(field.name), field) for field in self._schema]
        return pa.Table.from_arrays(columns, names=list(self._schema.names))

    def build_columns(self, batch: ColumnBatch) -> pa.Table:
        """The same, from columns of a class that plan.py calls safe."""
        if self._by_columns is None:
            self._by_columns = TableBuilder(batch.schema)
        return self._by_columns.build(batch)

    def keep(self, batch: ColumnBatch) -> memoryview:
        """The body as it is now, whatever the model does to what it is given: for a second try."""
        return batch.body  # a table cannot be written into

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        return self._answers.outcomes(answer, ctx)


def arrow_type(field: FieldSchema) -> pa.DataType | None:
    """The Arrow type of a field; None where it is inferred."""
    return _TYPES.get(field.kind)


def table_schema(schema: EventSchema) -> dict[str, pa.DataType | None]:
    """Arrow types by field name."""
    return {field.name: arrow_type(field) for field in schema}


def _column(values: list[Any], field: FieldSchema) -> pa.Array:
    if field.kind == "category":
        return _dictionary(values, field)
    if field.kind in ("event", "list", "dict", "any", "decimal"):
        values = msgspec.to_builtins(values)
    return pa.array(values, type=arrow_type(field))


def _dictionary(values: list[Any], field: FieldSchema) -> pa.Array:
    codes: dict[Any, int | None] = {choice: code for code, choice in enumerate(field.choices or ())}
    codes[None] = None
    plain = [v.value if isinstance(v, enum.Enum) else v for v in values]
    indices = pa.array([codes[v] for v in plain], type=pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(field.choices))


CONTAINER = ArrowContainer
