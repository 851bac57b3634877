"""The dtype of each declared field in a pandas frame, for batches and for fit's history alike.

float, float | None   float64, NaN for null         int      int64             int | None    Int64
bool                  bool                          bool | None                boolean
str, str | None       pandas' own string type (str; object on pandas 2)
Literal, enum         Categorical with the declared values in their order
datetime              datetime64[us, UTC]           date     datetime64[us]    all others    object
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pyrunner.errors import UserError
from pyrunner.schema import EventSchema, FieldSchema

Maker = Callable[[Sequence[Any]], Any]

STRING = "str" if int(pd.__version__.partition(".")[0]) >= 3 else object


class Columns:
    """For each field of an event class, a function from values to its column."""

    def __init__(self, schema: EventSchema) -> None:
        self.makers: dict[str, Maker] = {field.name: maker(field) for field in schema}


def maker(field: FieldSchema) -> Maker:
    """The function for one field. Values are what the decoder made: of the declared type, or None."""
    if field.kind == "category":
        return _categories(field)
    if field.kind == "int" and field.nullable:
        return lambda values: pd.array(values, dtype="Int64")
    if field.kind == "bool" and field.nullable:
        return lambda values: pd.array(values, dtype="boolean")
    return _MAKERS.get(field.kind, _objects)


def cast_history(frame: pd.DataFrame, schema: EventSchema) -> pd.DataFrame:
    """A copy of `frame` in which the columns that the event names have its dtypes; the others are left alone.

    A column that cannot be cast is a UserError that says how many rows stand against it and what to declare.
    """
    columns = {}
    problems = []
    for field in schema:
        if field.name in frame.columns:
            try:
                columns[field.name] = _cast(frame[field.name], field)
            except (ValueError, TypeError) as e:
                problems.append(f"history.{field.name}: {e}")
    if problems:
        raise UserError("\n".join(problems))
    return frame.assign(**columns)


def _cast(column: pd.Series[Any], field: FieldSchema) -> Any:
    nulls = int(column.isna().sum())
    if nulls and not field.nullable and field.kind in ("int", "bool"):
        raise ValueError(
            f"{nulls} rows are null, the class says {field.kind}. Declare it {field.kind} | None."
        )
    if field.kind == "category":
        return _cast_category(column, field)
    if field.kind in ("datetime", "date"):
        return _cast_time(column, field)
    dtype = _dtype(field)
    return column if dtype is None else column.astype(dtype)


def _cast_category(column: pd.Series[Any], field: FieldSchema) -> Any:
    dtype = pd.CategoricalDtype(list(field.choices or ()), ordered=False)
    values = column.astype(object).map(lambda v: v.value if isinstance(v, enum.Enum) else v)
    strange = values[~values.isin(dtype.categories) & values.notna()]
    if len(strange):
        shown = ", ".join(map(repr, strange.unique()[:3]))
        raise ValueError(
            f"{len(strange)} rows are not {field.expected}: {shown}. Add the values to the class, or drop the rows."
        )
    return values.astype(dtype)


def _cast_time(column: pd.Series[Any], field: FieldSchema) -> Any:
    times = pd.to_datetime(column, utc=True).dt.as_unit("us")
    return times if field.kind == "datetime" else times.dt.tz_localize(None)


def _dtype(field: FieldSchema) -> Any:
    if field.kind == "int":
        return "Int64" if field.nullable else "int64"
    if field.kind == "bool":
        return "boolean" if field.nullable else "bool"
    return {"float": "float64", "str": STRING}.get(field.kind)


def _categories(field: FieldSchema) -> Maker:
    dtype = pd.CategoricalDtype(list(field.choices or ()), ordered=False)
    codes: dict[Any, int] = {choice: code for code, choice in enumerate(field.choices or ())}
    if isinstance(field.bare, type) and issubclass(field.bare, enum.Enum):
        codes = {member: codes[member.value] for member in field.bare}
    codes[None] = -1

    def make(values: Sequence[Any]) -> Any:
        found = np.fromiter(map(codes.__getitem__, values), dtype=np.int64, count=len(values))
        return pd.Categorical.from_codes(found, dtype=dtype)

    return make


def _floats(values: Sequence[Any]) -> Any:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _integers(values: Sequence[Any]) -> Any:
    return np.array(values, dtype=np.int64)


def _booleans(values: Sequence[Any]) -> Any:
    return np.array(values, dtype=np.bool_)


def _strings(values: Sequence[Any]) -> Any:
    if STRING is object:
        return _objects(values)
    return pd.array(values, dtype="str")


def _objects(values: Sequence[Any]) -> Any:
    column = np.empty(len(values), dtype=object)  # np.array would make a matrix of lists
    for at, value in enumerate(values):
        column[at] = value
    return column


def _times(values: Sequence[Any]) -> Any:
    plain = [None if v is None else v.astimezone(datetime.UTC).replace(tzinfo=None) for v in values]
    return pd.DatetimeIndex(np.array(plain, dtype="datetime64[us]")).tz_localize("UTC")


def _dates(values: Sequence[Any]) -> Any:
    return np.array(values, dtype="datetime64[D]").astype("datetime64[us]")


_MAKERS: dict[str, Maker] = {
    "float": _floats,
    "int": _integers,
    "bool": _booleans,
    "str": _strings,
    "datetime": _times,
    "date": _dates,
}
