"""Columns as a DataFrame, block by block: the same dtypes as containers/dtypes.py, without what a constructor infers again each time.

A frame built plainly costs several times what all its columns do. Here floats (and integers, bools, days) are one block each; where the
body has a block's columns at equal distances, as for a class of floats alone, the block is a view of the body. Index of the columns and
dtypes of categories are made once for a class.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from pyrunner.columns import to_numpy
from pyrunner.columns.read import Column, ColumnBatch
from pyrunner.containers.dtypes import STRING
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import EventSchema, FieldSchema

Array = np.ndarray[Any, Any]

try:
    _from_blocks: Any = import_module("pandas.api.internals").create_dataframe_from_blocks
except ImportError:  # pandas 2
    _from_blocks = None

_BLOCKS = {"float": np.dtype("f8"), "int": np.dtype("i8"), "bool": np.dtype("?"), "date": np.dtype("M8[us]")}


class FrameBuilder:
    """Made once for a class."""

    def __init__(self, schema: EventSchema) -> None:
        self._names = pd.Index(list(schema.names))
        groups: dict[str, list[int]] = {}
        self._single: list[tuple[int, Array, Callable[[Column], Any]]] = []
        for at, field in enumerate(schema):
            if is_block(field):
                groups.setdefault(field.kind, []).append(at)
            else:
                self._single.append((at, np.array([at], dtype=np.intp), extension_of(field)))
        self._groups = [(kind, members, np.array(members, dtype=np.intp)) for kind, members in groups.items()]

    def build(self, batch: ColumnBatch) -> pd.DataFrame:
        index = pd.RangeIndex(batch.rows)
        names = self._names.view()  # a model may name the axes of its frame
        if len(self._groups) == 1 and not self._single:
            kind, members, _ = self._groups[0]
            return pd.DataFrame(self._block(kind, members, batch).T, index=index, columns=names, copy=False)
        if _from_blocks is None:
            return pd.DataFrame(self._columns(batch), index=index, copy=False)
        blocks = [(self._block(kind, members, batch), placement) for kind, members, placement in self._groups]
        blocks += [(make(batch.order[at]), placement) for at, placement, make in self._single]
        frame: pd.DataFrame = _from_blocks(blocks, index, names)
        return frame

    def _block(self, kind: str, members: Sequence[int], batch: ColumnBatch) -> Array:
        """The columns of one kind as rows of a matrix."""
        columns = [batch.order[at] for at in members]
        if kind == "date":
            return _rows([days(column) for column in columns], _BLOCKS[kind], batch.rows)
        step = _distance(columns)
        if step is None:
            return _rows([column.data() for column in columns], _BLOCKS[kind], batch.rows)
        dtype = _BLOCKS[kind]
        return np.ndarray(
            (len(columns), batch.rows), dtype, batch.body, columns[0].at, (step, dtype.itemsize)
        )

    def _columns(self, batch: ColumnBatch) -> dict[str, Any]:
        """Column by column, for pandas 2."""
        found: dict[int, Any] = {at: make(batch.order[at]) for at, _, make in self._single}
        for kind, members, _ in self._groups:
            found |= dict(zip(members, self._block(kind, members, batch), strict=True))
        return {name: found[at] for at, name in enumerate(self._names)}


def is_block(field: FieldSchema) -> bool:
    """Whether numpy has the field's dtype: then columns of its kind are one block."""
    return field.kind in ("float", "date") or (field.kind in ("int", "bool") and not field.nullable)


def days(column: Column) -> Array:
    """Days as datetime64[us]."""
    return column.data().view("M8[D]").astype("M8[us]")


def _distance(columns: Sequence[Column]) -> int | None:
    """By how many bytes the data of each column is behind that of the one before, None where that differs."""
    if len(columns) == 1:
        return columns[0].rows * 8
    step = columns[1].at - columns[0].at
    follows = all(b.at - a.at == step for a, b in itertools.pairwise(columns))
    return step if follows and step > 0 else None


def _rows(arrays: Iterable[Array], dtype: np.dtype[Any], n: int) -> Array:
    found = list(arrays)
    block = np.empty((len(found), n), dtype=dtype)
    for row, array in zip(block, found, strict=True):
        row[:] = array
    return block


def extension_of(field: FieldSchema) -> Callable[[Column], Any]:
    """A function from a column to an array of pandas' own, or to a matrix of one row."""
    if field.kind == "category":
        return _categories(field)
    if field.kind == "datetime":
        return _times
    if field.kind == "int":
        return lambda column: pd.arrays.IntegerArray(column.data(), column.missing())
    if field.kind == "bool":
        return lambda column: pd.arrays.BooleanArray(column.data(), column.missing())
    return _strings


def _categories(field: FieldSchema) -> Callable[[Column], Any]:
    dtype = pd.CategoricalDtype(list(field.choices or ()), ordered=False)
    width: Any = np.int8 if len(dtype.categories) < 128 else np.int16
    if len(dtype.categories) >= 32768:
        width = np.int32

    def make(column: Column) -> Any:
        codes = column.data().astype(width)  # they were checked
        return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)

    return make


_UTC = pd.DatetimeTZDtype("us", "UTC")


def _times_plainly(column: Column) -> Any:
    return pd.DatetimeIndex(column.data().view("M8[us]")).tz_localize("UTC").array


def _times_at_once(column: Column) -> Any:
    """The same without the looks at every value that a zone of constant offset does not need."""
    return pd.arrays.DatetimeArray._simple_new(column.data().view("M8[us]"), dtype=_UTC)  # type: ignore[attr-defined]


_times = _times_at_once if hasattr(pd.arrays.DatetimeArray, "_simple_new") else _times_plainly


def _strings_of_objects(column: Column) -> Any:
    values = to_numpy.strings(column)
    return values if STRING is object else pd.array(values, dtype="str")


def _strings_of_arrow(column: Column) -> Any:
    """pandas' string type holds an Arrow array: the body's buffers, but for wider offsets."""
    body = pa.py_buffer(column.body)
    if column.encoding == Encoding.WORDS:
        words = to_arrow.texts(column, body, _LARGE, words=True)
        return _ArrowStrings(words.take(to_arrow.codes(column, body)), dtype=_STRING)
    return _ArrowStrings(to_arrow.texts(column, body, _LARGE), dtype=_STRING)


_strings: Callable[[Column], Any] = _strings_of_objects
if STRING is not object and find_spec("pyarrow"):
    import pyarrow as pa

    from pyrunner.columns import to_arrow

    _LARGE = pa.large_string()
    _STRING: Any = pd.array([""], dtype="str").dtype
    _ArrowStrings: Any = type(pd.array([""], dtype="str"))
    if hasattr(pd.arrays, "ArrowStringArray") and _ArrowStrings is pd.arrays.ArrowStringArray:
        _strings = _strings_of_arrow
