"""Columns of a query as a DataFrame: dtypes by the columns' types, never by the values of a page.

    integers       Int64 (int64 where the column cannot be null)      booleans   boolean (bool)
    floats         float64, NaN for null                              text       pandas' own string type (object on pandas 2)
    timestamps     datetime64[us, UTC], datetime64[us] without zone   dates      datetime64[us]
    all others     object

One null in ten million rows does not turn a column of integers into floats, and the first page of a result has the
dtypes of the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrunner.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def frame_of(table: pa.Table) -> pd.DataFrame:
    """A frame of its own; the table is not to be used any more."""
    concat = _pandas().concat
    from pyrunner.containers.dtypes import STRING

    schema = table.schema
    numbered = table.rename_columns(
        [str(at) for at in range(len(schema))]
    )  # a query may name two columns alike
    frame: pd.DataFrame = numbered.to_pandas(
        types_mapper=_nullable,
        date_as_object=False,
        ignore_metadata=True,
        split_blocks=True,
        self_destruct=True,
    )
    casts = {at: dtype for at, field in enumerate(schema) if (dtype := _cast(field, STRING)) is not None}
    if not casts:
        return frame.set_axis(schema.names, axis="columns")
    columns = [
        frame.iloc[:, at].astype(casts[at])
        if at in casts and frame.dtypes.iloc[at] != casts[at]
        else frame.iloc[:, at]
        for at in range(len(schema))
    ]
    joined: pd.DataFrame = concat(columns, axis=1)
    return joined.set_axis(schema.names, axis="columns")


def page_of(data: bytes, what: str) -> pa.Table:
    """The columns of a page: an Arrow IPC stream."""
    return arrow(what).ipc.open_stream(data).read_all()


def arrow(what: str) -> Any:
    """pyarrow, or the mistake that it is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.ipc
    except ImportError:
        raise UserError(f"{what} needs pyarrow. Run: pip install 'ds-runner[frames]'") from None
    return pa


def _nullable(kind: pa.DataType) -> Any:
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return pd.UInt64Dtype() if pa.types.is_uint64(kind) else pd.Int64Dtype()
    return pd.BooleanDtype() if pa.types.is_boolean(kind) else None


def _cast(field: pa.Field, string: Any) -> Any:
    """The dtype that pandas would not choose by itself."""
    import pyarrow as pa

    kind = field.type
    if pa.types.is_integer(kind) and not field.nullable:
        return "int64"
    if pa.types.is_boolean(kind) and not field.nullable:
        return "bool"
    if pa.types.is_float32(kind):
        return "float64"
    if pa.types.is_string(kind):
        return string
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return "datetime64[us]"
    return "datetime64[us, UTC]" if pa.types.is_timestamp(kind) else None


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError(
            "DataFrames need pandas. Run: pip install 'ds-runner[frames]', or use ctx.read_arrow"
        ) from None
    return pandas
