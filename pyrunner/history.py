"""Bounded data on its way into a model: what `fit` and `evaluate` are given, in the container that their annotation names.

Sources are paths (parquet, csv, jsonl), queries (data/dataset.py), frames, Arrow tables, dicts of columns, and lists of dicts or events.

    pd.DataFrame     the dtypes that the event declares, in the columns that it names (containers/dtypes.py)
    pa.Table         as it is read, typed by the declaration
    dict[str, np.ndarray]   the same arrays as a batch has
    list[Row]        events of the class Row (a subclass of In with the target, say); list[dict] as they are
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from pyrunner import containers
from pyrunner.data.dataset import Query
from pyrunner.errors import UserError
from pyrunner.schema import EventSchema, schema_of
from pyrunner.signature import annotation_of, event_classes


def prepared(source: Any, method: Callable[..., Any], cls: type[Any], argument: str | None = None) -> Any:
    """`source` as the container that the method's first argument (or the one named) is annotated with.

    Without an annotation of ours, data is handed over as it is, files and queries as DataFrames.
    """
    parameters = list(inspect.signature(method).parameters)
    name = argument or (parameters[1] if len(parameters) > 1 else None)
    annotation = annotation_of(method, cls, name) if name else None
    schemas = [schema_of(c) for c in event_classes(cls)]
    wanted = containers.name_for(annotation)
    if wanted is None:
        return _frame(source, schemas) if is_outside(source) else source
    if wanted in ("list", "batch"):
        return _rows(source, annotation, schemas)
    return {"pandas": _frame, "arrow": _table, "numpy": _arrays}[wanted](source, schemas)


def length_of(source: Any) -> int:
    """Rows of any source that is in memory."""
    if isinstance(source, Mapping):
        return len(next(iter(source.values()), ()))
    return len(source)


def columns_of(source: Any) -> dict[str, Sequence[Any]]:
    """The columns of data in memory as Python values, None for null."""
    if hasattr(source, "to_pylist"):  # Arrow
        return {name: source.column(name).to_pylist() for name in source.column_names}
    if hasattr(source, "columns") and hasattr(source, "to_dict"):  # pandas
        return {str(name): source[name].tolist() for name in source.columns}
    if isinstance(source, Mapping):
        return {
            name: values.tolist() if hasattr(values, "tolist") else list(values)
            for name, values in source.items()
        }
    rows = [r if isinstance(r, Mapping) else msgspec.structs.asdict(r) for r in source]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def payloads_of(source: Any, schema: EventSchema) -> list[bytes]:
    """Each row as the JSON event that a stream would carry, with the fields that the event declares; nulls of any kind are null."""
    from pyrunner.containers.columns import field_values

    columns = columns_of(source)
    present = [field for field in schema if field.name in columns or field.wire in columns]
    values = [field_values(columns.get(f.name, columns.get(f.wire)), f) for f in present]
    names = [f.wire for f in present]
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return [encode(dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]


def read(source: str | Path | Query, schemas: Sequence[EventSchema]) -> Any:
    """A file or a query as an Arrow table typed by the declarations."""
    from pyrunner.datasets import read_table

    return read_table(Path(source) if isinstance(source, str) else source, schemas)


def is_outside(source: Any) -> bool:
    """Whether it is yet to be read: a file or a query."""
    return isinstance(source, (str, Path, Query))


def _frame(source: Any, schemas: Sequence[EventSchema]) -> Any:
    import pandas as pd

    from pyrunner.containers.dtypes import cast_history

    if is_outside(source):
        source = read(source, schemas).to_pandas(ignore_metadata=True)
    elif hasattr(source, "to_pandas"):
        source = source.to_pandas()
    elif not isinstance(source, pd.DataFrame):
        source = pd.DataFrame(columns_of(source))
    return cast_history(source, schemas[0])


def _table(source: Any, schemas: Sequence[EventSchema]) -> Any:
    import pyarrow as pa

    if is_outside(source):
        return read(source, schemas)
    if isinstance(source, pa.Table):
        return source
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        return pa.Table.from_pandas(source, preserve_index=False)
    return pa.table(columns_of(source))


def _arrays(source: Any, schemas: Sequence[EventSchema]) -> Any:
    from pyrunner.containers.columns import field_values
    from pyrunner.containers.numpy_ import array_maker

    frame = _frame(source, schemas)
    arrays = {str(name): frame[name].to_numpy() for name in frame.columns}
    for field in schemas[0]:
        if field.name in arrays:
            arrays[field.name] = array_maker(field)(field_values(frame[field.name], field))
    return arrays


def _rows(source: Any, annotation: Any, schemas: Sequence[EventSchema]) -> list[Any]:
    """The source as a list of the annotation's items."""
    item = next(iter(get_args(annotation)), None)
    if item is dict or get_origin(item) is dict or item is None:
        return _dicts(source, schemas)
    rows = source if isinstance(source, (list, tuple)) else None
    if rows is not None and all(isinstance(row, item) for row in rows):
        return list(rows)
    schema = schema_of(item)
    if is_outside(source):
        source = read(source, [schema, *schemas])
    return _events(payloads_of(source, schema), schema)


def _dicts(source: Any, schemas: Sequence[EventSchema]) -> list[Any]:
    if is_outside(source):
        return list(read(source, schemas).to_pylist())
    if isinstance(source, (list, tuple)):
        return list(source)
    columns = columns_of(source)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _events(payloads: Sequence[bytes], schema: EventSchema) -> list[Any]:
    from pyrunner.scoring.decode import EventDecoder

    decoded = EventDecoder(schema).each(payloads)
    if decoded.failures:
        row, failure = next(iter(decoded.failures.items()))
        raise UserError(
            f"history: {len(decoded.failures)} rows are no {schema.name}. Row {row}: {failure.reason}"
        )
    return decoded.events
