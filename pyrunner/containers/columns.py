"""Answers that come as columns (DataFrame, Series, array, Arrow table, dict of arrays), read back as one output a row.

Rows are told apart by the frame's index, which must be the one that the frame came with: a sorted, merged or filtered answer
is refused, because by position it would be somebody else's. Arrays and tables have no index, so only their length tells.
"""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pyrunner.containers.base import BadAnswer, from_sequence, with_rejections, wrong_count
from pyrunner.context import Context
from pyrunner.schema import FieldSchema
from pyrunner.signature import Signature

_INDEX_FIX = (
    "Keep the index 0..n-1 that the frame came with: join instead of merge, sort_index() after a sort, and "
    "ctx.reject(mask, reason) instead of dropping rows."
)


class ColumnAnswers:
    """Reads the columnar answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._output = signature.output_schema
        self._known = set(self._output.names) | set(signature.input_schema.names)
        self._many = signature.many
        self._makers: dict[tuple[str, ...], Callable[..., list[Any]]] = {}

    def reads(self, answer: Any) -> bool:
        """Whether an answer is columnar at all."""
        return isinstance(answer, dict) or _library(answer) in ("pandas", "numpy", "pyarrow")

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        """One outcome an event, rejected rows included."""
        if isinstance(answer, (list, tuple)):
            return with_rejections(from_sequence(answer, ctx.n), ctx)
        if not self.reads(answer):
            raise BadAnswer(
                "wrong_type",
                f"returned {type(answer).__name__}",
                fix="Return a frame, a Series, an array, or a list with one answer for each event.",
                systematic=True,
            )
        rows = self._rows(answer, ctx)
        outputs = self._outputs(self.columns(answer))
        if self._many:
            return with_rejections(_grouped(outputs, rows, ctx.n), ctx)
        if rows is None:
            return with_rejections(_in_order(outputs, ctx.n), ctx)
        outcomes: list[Any] = [None] * ctx.n
        for row, output in zip(rows, outputs, strict=True):
            outcomes[row] = output
        return with_rejections(outcomes, ctx)

    def _rows(self, answer: Any, ctx: Context) -> list[int] | None:
        """The row that each line of a pandas answer belongs to; None when lines are simply 0..n-1 in order."""
        if _library(answer) != "pandas":
            if self._many:
                raise BadAnswer(
                    "wrong_index", "is to give 0..n rows an event, but its answer has no index to tell whose they are",
                    fix="Return a pd.DataFrame.", systematic=True,
                )  # fmt: skip
            return None
        index: list[Any] = answer.index.tolist()
        if self._many:
            return _check_many(index, ctx.n)
        if index == list(range(ctx.n)):
            return None
        if ctx.rejected and index == [row for row in range(ctx.n) if row not in ctx.rejected]:
            return index
        raise _bad_index(index, ctx.n)

    def columns(self, answer: Any) -> dict[str, Any]:
        """The answer's columns by output field."""
        if getattr(answer, "ndim", None) == 1 or _is_arrow_array(answer):
            return {self._only_field(): answer}
        if _library(answer) == "numpy":
            return self._columns_of_matrix(answer)
        if _library(answer) == "pyarrow":
            answer = dict(zip(answer.column_names, answer.columns, strict=True))
        return self._checked({str(name): answer[name] for name in answer})

    def _only_field(self) -> str:
        if len(self._output.fields) == 1:
            return self._output.fields[0].name
        raise BadAnswer(
            "wrong_type",
            f"returned one column for {self._output.name}, which has {len(self._output.fields)}",
            fix=f"Return a frame with the columns {', '.join(self._output.names)}.",
            systematic=True,
        )

    def _columns_of_matrix(self, matrix: Any) -> dict[str, Any]:
        names = self._output.names
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise BadAnswer(
                "wrong_type",
                f"returned an array of shape {matrix.shape}",
                fix=f"Return one column for each of {', '.join(names)}, in this order.",
                systematic=True,
            )
        return {name: matrix[:, at] for at, name in enumerate(names)}

    def _checked(self, columns: dict[str, Any]) -> dict[str, Any]:
        missing = [f.name for f in self._output if f.required and f.name not in columns]
        unknown = [name for name in columns if name not in self._known]
        if missing or unknown:
            said = f"without {', '.join(missing)}" if missing else f"with {', '.join(unknown)}"
            raise BadAnswer(
                "wrong_type",
                f"returned columns {said}",
                fix=f"{self._output.name} has: {', '.join(self._output.names)}.",
                systematic=True,
            )
        return {f.name: columns[f.name] for f in self._output if f.name in columns}

    def _outputs(self, columns: dict[str, Any]) -> list[Any]:
        names = tuple(columns)
        make = self._makers.get(names)
        if make is None:
            make = self._makers[names] = _maker(self._output.cls, names)
        by_name = self._output.by_name
        return make([field_values(column, by_name[name]) for name, column in columns.items()])


def _maker(cls: type, names: tuple[str, ...]) -> Callable[..., list[Any]]:
    """`lambda columns: [Estimate(arr_delay=a, late=b) for a, b in zip(*columns)]`, compiled for the fields at hand.

    Three times as fast as keywords from a dict, and this is what frame models pay for each row.
    """
    values = [f"v{i}" for i in range(len(names))]
    keywords = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    source = f"lambda columns: [cls({keywords}) for {', '.join(values)}, in zip(*columns, strict=True)]"
    make: Callable[..., list[Any]] = eval(
        source, {"cls": cls}
    )  # names are identifiers: they are attributes of cls
    return make


def _in_order(outputs: list[Any], n: int) -> list[Any]:
    if len(outputs) != n:
        raise wrong_count(len(outputs), n)
    return outputs


def _grouped(outputs: list[Any], rows: list[int] | None, n: int) -> list[Any]:
    groups: list[Any] = [[] for _ in range(n)]
    for row, output in zip(rows or (), outputs, strict=True):
        groups[row].append(output)
    return groups


def _check_many(index: list[Any], n: int) -> list[int]:
    before = 0
    for label in index:
        if not isinstance(label, int) or not before <= label < n:
            raise BadAnswer(
                "wrong_index",
                f"returned row {label!r} for {n} events",
                fix="Each row carries the index of its event, in ascending order.",
            )
        before = label
    return index


def _bad_index(index: list[Any], n: int) -> BadAnswer:
    labels = set(index)
    missing = [row for row in range(n) if row not in labels]
    if missing and len(index) == n - len(missing) and labels <= set(range(n)):
        return BadAnswer(
            "wrong_index",
            f"returned {len(index)} rows for {n} events ({_list('rows', missing)} missing)",
            fix=_INDEX_FIX,
        )
    if len(index) != n:
        return BadAnswer("wrong_index", f"returned {len(index)} rows for {n} events", fix=_INDEX_FIX)
    at = next(i for i, label in enumerate(index) if label != i)
    return BadAnswer("wrong_index", f"returned row {index[at]!r} where row {at} was", fix=_INDEX_FIX)


def _list(what: str, rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:10]))
    return f"{what} {shown}{', ...' if len(rows) > 10 else ''}"


def field_values(column: Any, field: FieldSchema) -> list[Any]:
    """A column as Python values of the field's type where that loses nothing; what does not fit stays and fails its row."""
    values = _plain(column)
    if field.kind == "float" and not field.nullable:
        return [math.nan if _missing(v) else v for v in values] if _has_missing(values) else values
    if _has_missing(values) or field.kind != "float":
        values = [None if _missing(v) else v for v in values]
    convert = _CONVERT.get(field.kind)
    if convert is not None:
        values = [convert(v, field) if v is not None else None for v in values]
    return values


def _plain(column: Any) -> list[Any]:
    if hasattr(column, "to_pylist"):
        return list(column.to_pylist())
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind == "M" and _library(column) == "numpy":
        return list(column.astype("datetime64[us]").tolist())
    return list(column.tolist()) if hasattr(column, "tolist") else list(column)


def _has_missing(values: Iterable[Any]) -> bool:
    return any(map(_missing, values))


def _missing(value: Any) -> bool:
    """None, NaN, NaT and pd.NA: all that does not equal itself, or cannot say."""
    if value is None:
        return True
    same = value == value
    return same is not True and (type(value).__name__ in ("NAType", "NaTType") or not same)


def _integer(value: Any, field: FieldSchema) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _category(value: Any, field: FieldSchema) -> Any:
    if (
        isinstance(field.bare, type)
        and issubclass(field.bare, enum.Enum)
        and not isinstance(value, enum.Enum)
    ):
        return field.bare(value) if value in (field.choices or ()) else value
    return value


def _time(value: Any, field: FieldSchema) -> Any:
    if hasattr(value, "to_pydatetime"):
        value = value.floor("us").to_pydatetime()
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)  # numpy has no zones; its times are UTC
    return value


def _date(value: Any, field: FieldSchema) -> Any:
    value = _time(value, field)
    return value.date() if isinstance(value, datetime.datetime) else value


_CONVERT: dict[str, Callable[[Any, FieldSchema], Any]] = {
    "int": _integer,
    "category": _category,
    "datetime": _time,
    "date": _date,
}


def _library(answer: Any) -> str:
    return type(answer).__module__.partition(".")[0]


def _is_arrow_array(answer: Any) -> bool:
    return _library(answer) == "pyarrow" and not hasattr(answer, "column_names")
