"""One writer a kind of field: an answer's column, of any library, as the buffers of ANSWERS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyrunner.columns.read import FIRST_DAY, FIRST_US, LAST_DAY, LAST_US, NULL_TIME, choices
from pyrunner.columns.values import MOST_BYTES, Array, NotPlain, arrow_strings, buffers_of, listed, plain
from pyrunner.columns.write import BodyWriter, offsets_of
from pyrunner.fields import INT64_MAX, INT64_MIN
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import FieldSchema

_EXACT = 2**53  # integers up to it are floats without loss


def write_column(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    """Add the column of one output field. Raises `NotPlain` where a value does not fit it."""
    _WRITERS[field.kind](writer, field, array)


def _numbers(array: Any, kind: type) -> tuple[Array, Array | None]:
    """As `plain`, and objects of one type, as numpy has numbers that may be null."""
    if not isinstance(array, np.ndarray) or array.dtype != object:
        return plain(array)
    values = listed(array, (kind,))
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
    strings = arrow_strings(array)
    if strings is None:
        _write_list(writer, field, listed(array, (str,)))
        return
    offsets, text = buffers_of(strings)
    missing = strings.is_null().to_numpy(zero_copy_only=False) if strings.null_count else None
    writer.text(offsets, text, _nulls(field, missing))


def _write_words(writer: BodyWriter, field: FieldSchema, categorical: Any) -> None:
    words = listed(categorical.categories.to_numpy(), (str,))
    encoded = [word.encode() for word in words]
    if len(categorical) * max(map(len, encoded), default=0) > MOST_BYTES:
        raise NotPlain
    codes = categorical.codes.astype("<i4")
    writer.words(codes, offsets_of(encoded), b"".join(encoded), _nulls(field, codes < 0))


def _write_list(writer: BodyWriter, field: FieldSchema, values: list[Any]) -> None:
    missing = np.fromiter((v is None for v in values), dtype=np.bool_, count=len(values))
    encoded = [b"" if v is None else v.encode() for v in values]
    writer.text(offsets_of(encoded), b"".join(encoded), _nulls(field, missing))


def _write_choices(writer: BodyWriter, field: FieldSchema, array: Any) -> None:
    codes: dict[Any, int] = {choice: code for code, choice in enumerate(field.choices or ())}
    codes[None] = -1
    if hasattr(array, "categories"):
        known = [codes.get(c, -2) if type(c) in (str, int) else -2 for c in array.categories.tolist()]
        data = np.array([*known, -1], dtype="<i4")[array.codes]
    else:
        strings = arrow_strings(array)
        types = {type(choice) for choice in choices(field)}
        if field.choices is not None and choices(field)[0] is not field.choices[0]:
            codes |= dict(zip(choices(field), range(len(field.choices)), strict=False))
        values = strings.to_pylist() if strings is not None else listed(array, (str, int, *types))
        data = np.array([codes.get(v, -2) for v in values], dtype="<i4")
    missing = data < 0
    if missing.any() and int(data.min()) == -2:
        raise NotPlain
    writer.fixed(Encoding.CATEGORY, data, _nulls(field, missing))


def write_nulls(writer: BodyWriter, field: FieldSchema, rows: int) -> None:
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
