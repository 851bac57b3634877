"""A model's answer as the columns of ANSWERS, where it is plainly columnar; else None, and it goes as lines.

Plain is: columns of the output class's own types, every value fit for its field, rows that follow from the index. Then nothing is done
for each row. Whatever is not so (a value out of bounds, NaN where no null may be, an index that is not the frame's) is
left to containers/columns.py, which tells rows and reasons apart; so an answer has the same fate by both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyrunner.columns.plan import Plan
from pyrunner.columns.read import FIRST_DAY, FIRST_US, LAST_DAY, LAST_US, NULL_TIME, choices
from pyrunner.columns.write import BodyWriter, offsets_of
from pyrunner.containers.base import BadAnswer
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.context import Context
from pyrunner.fields import INT64_MAX, INT64_MIN
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import FieldSchema
from pyrunner.signature import Signature

Array = np.ndarray[Any, Any]

_MOST_BYTES = 4 << 20  # of a body; the bridge writes all of it as JSON at once
_MOST_NAMES = 64  # sets of names that are remembered
_EXACT = 2**53  # integers up to it are floats without loss


class NotPlain(Exception):
    """The answer is no plain columns."""


class Answered(NamedTuple):
    """`counts` has the number of outputs of each row that came, None where each that is not rejected has one."""

    rows: int
    counts: list[int] | None
    layout: list[int]
    body: bytes


_ODD = (
    NotPlain, BadAnswer, TypeError, ValueError, ArithmeticError, AttributeError, LookupError, ImportError
)  # fmt: skip


class AnswerColumns:
    """Reads the answers of one model. `read` looks at no rejected row's values."""

    def __init__(self, signature: Signature, plan: Plan) -> None:
        self._outputs = plan.outputs
        self._answers = ColumnAnswers(signature)
        self._many = signature.many
        self._wanted: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def read(self, answer: Any, ctx: Context) -> Answered | None:
        """The columns of an answer to `ctx.n` rows, or None."""
        if self._outputs is None or not self._answers.reads(answer):
            return None
        try:
            keep, counts = self._rows(answer, ctx)
            columns = self._columns(answer)
            return self._written(columns, keep, counts, ctx)
        except _ODD:
            return None  # whatever is odd about it is told row by row

    def _columns(self, answer: Any) -> dict[str, Any]:
        """The answer's columns by output field. Which names of a dict are those of fields is found once."""
        if not isinstance(answer, dict):
            return self._answers.columns(answer)
        names = tuple(answer)
        wanted = self._wanted.get(names)
        if wanted is None:
            wanted = tuple(self._answers.columns(answer))
            if len(self._wanted) < _MOST_NAMES:
                self._wanted[names] = wanted
        return {name: answer[name] for name in wanted}

    def _written(
        self, columns: dict[str, Any], keep: Array | None, counts: Any, ctx: Context
    ) -> Answered | None:
        n = None if self._many else ctx.n
        arrays = {name: taken(column, keep, n, len(ctx.rejected)) for name, column in columns.items()}
        lengths = {len(array) for array in arrays.values()}
        rows = lengths.pop() if len(lengths) == 1 else 0
        if lengths or not rows:
            return None
        writer = BodyWriter()
        for field in self._outputs or ():
            if field.name in arrays:
                _WRITERS[field.kind](writer, field, arrays[field.name])
            elif field.nullable and field.default is None:
                _write_nulls(writer, field, rows)
            else:
                return None
        return Answered(rows, counts, writer.layout, writer.body()) if writer.size <= _MOST_BYTES else None

    def _rows(self, answer: Any, ctx: Context) -> tuple[Array | None, list[int] | None]:
        """Which lines of the answer count, None for all, and how many each row has."""
        index = getattr(answer, "index", None) if hasattr(answer, "iloc") else None
        if self._many:
            if index is None:
                raise NotPlain
            return _of_many(_labels(index), ctx)
        if index is not None and not _is_range(index, ctx.n):
            labels = _labels(index)
            if ctx.rejected and np.array_equal(labels, _kept(ctx)):
                return None, None
            raise NotPlain
        return (_kept(ctx) if ctx.rejected else None), None


def _is_range(index: Any, n: int) -> bool:
    if hasattr(index, "step"):
        return bool(index.start == 0 and index.step == 1 and len(index) == n)
    return np.array_equal(_labels(index), np.arange(n))


def _labels(index: Any) -> Array:
    labels: Array = index.to_numpy()
    if labels.dtype.kind != "i":
        raise NotPlain
    return labels


def _kept(ctx: Context) -> Array:
    keep = np.ones(ctx.n, dtype=np.bool_)
    keep[list(ctx.rejected)] = False
    return np.flatnonzero(keep)


def _of_many(labels: Array, ctx: Context) -> tuple[Array | None, list[int] | None]:
    if len(labels) and not (labels[0] >= 0 and labels[-1] < ctx.n and (labels[1:] >= labels[:-1]).all()):
        raise NotPlain
    keep = None
    if ctx.rejected:
        keep = np.flatnonzero(~np.isin(labels, list(ctx.rejected)))
        labels = labels[keep]
    return keep, np.bincount(labels, minlength=ctx.n).tolist()


def taken(column: Any, keep: Array | None, n: int | None, rejected: int) -> Any:
    """A column as an array of numpy, pandas or Arrow, with the rows that count. `n` is how long it has to be."""
    array = _bare(column)
    if n is not None and len(array) != n and not (keep is None and len(array) == n - rejected):
        raise NotPlain
    return array if keep is None else array.take(keep)


def _bare(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        if column.ndim != 1:
            raise NotPlain
        return column
    if hasattr(column, "iloc"):  # a pandas Series; two of one name are a frame
        return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    if hasattr(column, "num_chunks"):
        import pyarrow as pa

        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
    if not hasattr(column, "null_count"):
        raise NotPlain  # a list: what is in it only a look at each value tells
    return column


# ---- values and nulls of any library as those of numpy


def plain(array: Any) -> tuple[Array, Array | None]:
    """Values, and where they are missing; what floats and times lack themselves (NaN, NaT) is not looked at."""
    if isinstance(array, np.ndarray):
        return array, None
    if hasattr(array, "null_count"):
        return _of_arrow(array)
    dtype = array.dtype
    if hasattr(dtype, "tz"):
        if str(dtype.tz) != "UTC":
            raise NotPlain  # lines say the zone's own time
        return array.to_numpy(dtype="M8[us]"), None
    if hasattr(dtype, "pyarrow_dtype"):
        return _of_arrow(array.__arrow_array__())
    if hasattr(dtype, "numpy_dtype"):  # Int64, boolean, Float64
        missing = array.isna()
        return array.to_numpy(dtype=dtype.numpy_dtype, na_value=0), missing if missing.any() else None
    raise NotPlain


def _of_arrow(array: Any) -> tuple[Array, Array | None]:
    import pyarrow as pa

    kind = array.type
    if pa.types.is_timestamp(kind):
        if kind.tz not in (None, "UTC"):
            raise NotPlain
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date(kind)
    ):
        raise NotPlain
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False), None
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return array.to_numpy(zero_copy_only=False), None  # NaT
    zero = pa.scalar(0).cast(kind)
    return array.fill_null(zero).to_numpy(zero_copy_only=False), missing


# ---- one writer a kind


def _numbers(array: Any, kind: type) -> tuple[Array, Array | None]:
    """As `plain`, and objects of one type, as numpy has numbers that may be null."""
    if not isinstance(array, np.ndarray) or array.dtype != object:
        return plain(array)
    values = _listed(array, (kind,))
    missing = np.fromiter((v is None for v in values), dtype=np.bool_, count=len(values))
    return np.array([kind() if v is None else v for v in values], dtype=kind), missing


def _write_floats(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    values, missing = _numbers(array, float)
    if values.dtype.kind in "iu":
        if len(values) and not -_EXACT <= int(values.min()) <= int(values.max()) <= _EXACT:
            raise NotPlain
    elif values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise NotPlain
    data = values.astype("<f8", copy=False)
    if missing is not None:
        data = np.where(missing, np.nan, data)
    if not np.isfinite(data).all():
        missing = np.isnan(data)
        if not field.nullable or np.isinf(data).any():
            raise NotPlain
    _hold_bounds(field, data, missing)
    writer.fixed(Encoding.FLOAT, np.ascontiguousarray(data), missing)


def _write_integers(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    values, missing = _numbers(array, int)
    if values.dtype.kind == "f":
        missing = np.isnan(values) if missing is None else missing | np.isnan(values)
        values = np.where(missing, 0, values)
        if not ((np.floor(values) == values) & (np.abs(values) < 2.0**63)).all():
            raise NotPlain
    elif values.dtype.kind == "u":
        if len(values) and int(values.max()) > INT64_MAX:
            raise NotPlain
    elif values.dtype.kind != "i":
        raise NotPlain
    data = values.astype("<i8", copy=False)
    _hold_bounds(field, data, missing)
    writer.fixed(Encoding.INT, np.ascontiguousarray(data), _nulls(field, missing))


def _write_bools(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    values, missing = _numbers(array, bool)
    if values.dtype.kind != "b":
        raise NotPlain
    writer.fixed(Encoding.BOOL, np.ascontiguousarray(values).view(np.uint8), _nulls(field, missing))


def _write_times(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    _write_moments(writer, field, array, "M8[us]", FIRST_US, LAST_US, Encoding.TIME)


def _write_days(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    _write_moments(writer, field, array, "M8[D]", FIRST_DAY, LAST_DAY, Encoding.DATE)


def _write_moments(
    writer: BodyWriter, field: FieldSchema, array: Any, unit: str, first: int, last: int, encoding: Encoding
) -> None:
    values, _ = plain(array)
    if values.dtype.kind != "M" or values.dtype == np.dtype("M8"):
        raise NotPlain
    data = values.astype(unit).view("<i8")
    missing = data == NULL_TIME
    known = data[~missing] if missing.any() else data
    if len(known) and not first <= int(known.min()) <= int(known.max()) <= last:
        raise NotPlain
    writer.fixed(encoding, np.ascontiguousarray(data), _nulls(field, missing))


def _write_texts(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    if hasattr(array, "categories"):
        _write_words(writer, field, array)
        return
    strings = _arrow_strings(array)
    if strings is None:
        _write_list(writer, field, _listed(array, (str,)))
        return
    offsets, text = _buffers_of(strings)
    missing = strings.is_null().to_numpy(zero_copy_only=False) if strings.null_count else None
    writer.text(offsets, text, _nulls(field, missing))


def _write_words(writer: BodyWriter, field: FieldSchema, categorical: Any) -> None:
    words = _listed(categorical.categories.to_numpy(), (str,))
    encoded = [word.encode() for word in words]
    if len(categorical) * max(map(len, encoded), default=0) > _MOST_BYTES:
        raise NotPlain
    codes = categorical.codes.astype("<i4")
    writer.words(codes, offsets_of(encoded), b"".join(encoded), _nulls(field, codes < 0))


def _write_list(writer: BodyWriter, field: FieldSchema, values: list[Any]) -> None:
    missing = np.fromiter((v is None for v in values), dtype=np.bool_, count=len(values))
    encoded = [b"" if v is None else v.encode() for v in values]
    writer.text(offsets_of(encoded), b"".join(encoded), _nulls(field, missing))


def _arrow_strings(array: Any) -> Any:
    """A string array of Arrow, if the column is one or holds one."""
    if hasattr(array, "__arrow_array__") and hasattr(array, "dtype") and "str" in str(array.dtype):
        array = array.__arrow_array__()
        if hasattr(array, "combine_chunks") and hasattr(array, "num_chunks"):
            array = array.combine_chunks()
    if not hasattr(array, "null_count"):
        return None
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise NotPlain
    return array


def _buffers_of(strings: Any) -> tuple[Array, Any]:
    """Offsets from 0 on and the text between the first and the last of them."""
    _, offsets, text = strings.buffers()
    wide = np.dtype("<i8") if str(strings.type) == "large_string" else np.dtype("<i4")
    if offsets is None or not len(strings):
        return np.zeros(1, dtype="<i4"), b""
    ends = np.frombuffer(offsets, dtype=wide, count=len(strings) + 1, offset=strings.offset * wide.itemsize)
    first, last = int(ends[0]), int(ends[-1])
    if last - first > _MOST_BYTES:
        raise NotPlain
    return (ends - first).astype("<i4"), b"" if text is None else memoryview(text)[first:last]


def _listed(array: Any, types: tuple[type, ...]) -> list[Any]:
    """Values of exactly these types, or None."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "OUi":
        raise NotPlain
    values: list[Any] = array.tolist()
    if not set(map(type, values)) <= {*types, type(None)}:
        raise NotPlain
    return values


def _write_choices(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    codes: dict[Any, int] = {choice: code for code, choice in enumerate(field.choices or ())}
    codes[None] = -1
    if hasattr(array, "categories"):
        known = [codes.get(c, -2) if type(c) in (str, int) else -2 for c in array.categories.tolist()]
        data = np.array([*known, -1], dtype="<i4")[array.codes]
    else:
        strings = _arrow_strings(array)
        types = {type(choice) for choice in choices(field)}
        if field.choices is not None and choices(field)[0] is not field.choices[0]:
            codes |= dict(zip(choices(field), range(len(field.choices)), strict=False))
        values = strings.to_pylist() if strings is not None else _listed(array, (str, int, *types))
        data = np.array([codes.get(v, -2) for v in values], dtype="<i4")
    missing = data < 0
    if missing.any() and int(data.min()) == -2:
        raise NotPlain
    writer.fixed(Encoding.CATEGORY, data, _nulls(field, missing))


def _write_nulls(writer: BodyWriter, field: FieldSchema, rows: int) -> None:
    missing = np.ones(rows, dtype=np.bool_)
    if field.kind == "str":
        writer.text(np.zeros(rows + 1, dtype="<i4"), b"", missing)
        return
    encoding, empty = _EMPTY[field.kind]
    writer.fixed(encoding, np.full(rows, *empty), missing)


_EMPTY: dict[str, tuple[Encoding, tuple[Any, str]]] = {
    "float": (Encoding.FLOAT, (np.nan, "<f8")),
    "int": (Encoding.INT, (0, "<i8")),
    "bool": (Encoding.BOOL, (0, "u1")),
    "category": (Encoding.CATEGORY, (-1, "<i4")),
    "datetime": (Encoding.TIME, (NULL_TIME, "<i8")),
    "date": (Encoding.DATE, (NULL_TIME, "<i8")),
}


def _nulls(field: FieldSchema, missing: Array | None) -> Array | None:
    if missing is None or not missing.any():
        return None
    if not field.nullable:
        raise NotPlain
    return missing


_HOLDS = {"gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal}


def _hold_bounds(field: FieldSchema, values: Array, missing: Array | None) -> None:
    for name, bound in field.marks.constraints:
        if name in _HOLDS and bound not in (INT64_MIN, INT64_MAX):
            holds = _HOLDS[name](values, bound)
            if not (holds if missing is None else holds | missing).all():
                raise NotPlain


_WRITERS: dict[str, Callable[[BodyWriter, FieldSchema, Any], None]] = {
    "float": _write_floats,
    "int": _write_integers,
    "bool": _write_bools,
    "str": _write_texts,
    "category": _write_choices,
    "datetime": _write_times,
    "date": _write_days,
}
