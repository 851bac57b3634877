"""`dict[str, np.ndarray]`: one array a field. What numpy has no missing value for comes as float64 with NaN or as objects."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from pyrunner.columns.read import ColumnBatch
from pyrunner.columns.to_numpy import ArraysBuilder
from pyrunner.containers.base import TypedBatch
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.context import Context
from pyrunner.schema import FieldSchema
from pyrunner.signature import Signature


class NumpyContainer:
    """dtypes: float64 for float and for `float | None` (NaN), int64, bool, datetime64[us] in UTC, datetime64[D]; objects (str,
    None) for all others and for what else may be null."""

    name: ClassVar[str] = "numpy"

    def __init__(self, signature: Signature) -> None:
        self._makers = {field.name: array_maker(field) for field in signature.input_schema}
        self._answers = ColumnAnswers(signature)
        self._by_columns: ArraysBuilder | None = None

    def build(self, batch: TypedBatch) -> dict[str, np.ndarray[Any, Any]]:
        return {name: make(batch.column(name)) for name, make in self._makers.items()}

    def build_columns(self, batch: ColumnBatch) -> dict[str, np.ndarray[Any, Any]]:
        """The same, from columns of a class that plan.py calls safe."""
        if self._by_columns is None:
            self._by_columns = ArraysBuilder(batch.schema)
        return self._by_columns.build(batch)

    def keep(self, batch: ColumnBatch) -> memoryview:
        """The body as it is now, whatever the model does to what it is given: for a second try."""
        return memoryview(bytes(batch.body))

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        return self._answers.outcomes(answer, ctx)


def array_maker(field: FieldSchema) -> Callable[[Sequence[Any]], np.ndarray[Any, Any]]:
    """A function from a field's values to its array."""
    if field.kind == "float":
        return lambda values: np.array(values, dtype=np.float64)
    if field.kind == "datetime":
        return _times
    if field.kind == "date":
        return lambda values: np.array(values, dtype="datetime64[D]")
    if field.kind in ("int", "bool") and not field.nullable:
        dtype = np.int64 if field.kind == "int" else np.bool_
        return lambda values: np.array(values, dtype=dtype)
    return _objects


def _times(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    plain = [None if v is None else v.astimezone(datetime.UTC).replace(tzinfo=None) for v in values]
    return np.array(plain, dtype="datetime64[us]")


def _objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        column[at] = value
    return column


CONTAINER = NumpyContainer
