"""A column of an answer, of numpy, pandas or Arrow, as arrays of numpy: its values, and where they are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MOST_BYTES = 4 << 20  # of a body; the bridge writes all of it as JSON at once


class NotPlain(Exception):
    """The answer is no plain columns."""


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


def arrow_strings(array: Any) -> Any:
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


def buffers_of(strings: Any) -> tuple[Array, Any]:
    """Offsets from 0 on and the text between the first and the last of them."""
    _, offsets, text = strings.buffers()
    wide = np.dtype("<i8") if str(strings.type) == "large_string" else np.dtype("<i4")
    if offsets is None or not len(strings):
        return np.zeros(1, dtype="<i4"), b""
    ends = np.frombuffer(offsets, dtype=wide, count=len(strings) + 1, offset=strings.offset * wide.itemsize)
    first, last = int(ends[0]), int(ends[-1])
    if last - first > MOST_BYTES:
        raise NotPlain
    return (ends - first).astype("<i4"), b"" if text is None else memoryview(text)[first:last]


def listed(array: Any, types: tuple[type, ...]) -> list[Any]:
    """Values of exactly these types, or None."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "OUi":
        raise NotPlain
    values: list[Any] = array.tolist()
    if not set(map(type, values)) <= {*types, type(None)}:
        raise NotPlain
    return values
