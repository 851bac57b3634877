"""Bounded data from files (parquet, csv and jsonl, the last two also gzipped) and queries, with the types that the event declares.

Types come from the declaration and never from the data, so that one null does not turn a column of integers into floats and
`"007"` stays a string. Everything is read through Arrow; a column that does not fit its declaration is a UserError that names
file, column and what to do.

    read_table(source, schemas)   the whole of it, for fit and evaluate
    batches(source, schemas, n)   the same in batches, for score-batch: memory does not grow with the data
    shape(source)                 rows and columns, for check: parquet is answered from its footer
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner.data.dataset import Query
from pyrunner.errors import UserError
from pyrunner.program.words import nearest
from pyrunner.schema import EventSchema, FieldSchema

if TYPE_CHECKING:
    import pyarrow as pa

Source = Path | Query

FORMATS = (".parquet", ".csv", ".jsonl")
BLOCK_BYTES = 1 << 20  # of csv or jsonl decoded at a time


@dataclass(frozen=True)
class Shape:
    """How large a dataset is."""

    rows: int
    columns: tuple[str, ...]


def format_of(path: Path) -> str:
    """`.parquet`, `.csv` or `.jsonl`, whether gzipped or not. A UserError for anything else."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz" and suffixes[:-1] and suffixes[-2] in (".csv", ".jsonl"):
        return suffixes[-2]
    if suffixes and suffixes[-1] in FORMATS:
        return suffixes[-1]
    raise UserError(f"{path}: unknown format. Datasets are .parquet, .csv, .jsonl, .csv.gz or .jsonl.gz")


def shape(source: Source) -> Shape:
    """Rows and columns of a dataset."""
    if isinstance(source, Query):
        return Shape(source.rows(), source.columns())
    if format_of(_existing(source)) == ".parquet":
        with _translated(source):
            file = _parquet().ParquetFile(source)
            return Shape(file.metadata.num_rows, tuple(file.schema_arrow.names))
    rows, columns = 0, dict[str, None]()
    for batch in _raw_batches(source, (), 65_536):
        rows += batch.num_rows
        columns |= dict.fromkeys(batch.schema.names)
    return Shape(rows, tuple(columns))


def columns_of(source: Source) -> tuple[str, ...]:
    """The names of a dataset's columns, from the file's beginning where its format tells them there."""
    if isinstance(source, Query):
        return source.columns()
    if format_of(_existing(source)) == ".parquet":
        return shape(source).columns
    first = next(_raw_batches(source, (), 65_536), None)
    return tuple(first.schema.names) if first else ()


def read_table(source: Source, schemas: Sequence[EventSchema] = ()) -> pa.Table:
    """The whole dataset; columns that one of the schemas declares have its types, the first that names a column decides."""
    import_arrow(source)
    import pyarrow as pa

    parts = [pa.Table.from_batches([b]) for b in batches(source, schemas, 65_536)]
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})


def batches(source: Source, schemas: Sequence[EventSchema], size: int) -> Iterator[pa.RecordBatch]:
    """The dataset in batches of at most `size` rows, cast as `read_table` does."""
    declared = _declared(schemas)
    if isinstance(source, Path):
        _existing(source)
    for batch in _raw_batches(source, schemas, size):
        yield _cast(batch, declared, source)


def missing_columns(source: Source, columns: Sequence[str], schema: EventSchema) -> list[str]:
    """One sentence for each required field of the event that the dataset has no column for."""
    if not columns:
        return [f"{source} is empty: it has neither columns nor rows"]
    return [
        _missing(source, f, columns, schema)
        for f in schema
        if f.required and not {f.name, f.wire} & {*columns}
    ]


def rows_as_json(batch: pa.RecordBatch, schema: EventSchema | None = None) -> list[bytes]:
    """Each row as a JSON object, as an event would come over the wire; with a schema only the fields that it names.

    NaN is null, and so is a null in a column.
    """
    import msgspec

    present = batch.schema.names
    names = {n: n for n in present} if schema is None else _wire_names(schema, present)
    rows = batch.select(list(names)).rename_columns(list(names.values())).to_pylist()
    encode = msgspec.json.Encoder(decimal_format="string").encode
    return [encode(row) for row in rows]


def _wire_names(schema: EventSchema, columns: Sequence[str]) -> dict[str, str]:
    """For each declared field that has a column, the column and the name in JSON."""
    found = {f.wire if f.wire in columns else f.name: f.wire for f in schema}
    return {column: wire for column, wire in found.items() if column in columns}


def import_arrow(source: Source) -> None:
    """Refuse early, with the fix, where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(f"reading {source} needs pyarrow. Run: pip install 'ds-runner[frames]'") from None


def _existing(path: Path) -> Path:
    if not path.exists():
        beside = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        near = nearest(path.name, beside)
        raise UserError(f"no file {path}." + (f" Did you mean {path.parent / near}?" if near else ""))
    return path


def _raw_batches(source: Source, schemas: Sequence[EventSchema], size: int) -> Iterator[pa.RecordBatch]:
    import_arrow(source)
    if isinstance(source, Query):
        yield from source.batches(size)
        return
    kind = format_of(source)
    reader = {".parquet": _parquet_batches, ".csv": _csv_batches, ".jsonl": _jsonl_batches}[kind]
    with _translated(source):
        for batch in reader(source, _declared(schemas), size):
            for start in range(0, batch.num_rows, size):
                yield batch.slice(start, size)


def _parquet_batches(path: Path, declared: dict[str, _Declared], size: int) -> Iterator[pa.RecordBatch]:
    file = _parquet().ParquetFile(path)
    yield from file.iter_batches(batch_size=size)


def _csv_batches(path: Path, declared: dict[str, _Declared], size: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import csv

    texts = {
        name: pa.string() for name, d in declared.items()
    }  # cast afterwards, so that mistakes are told our way
    convert = csv.ConvertOptions(
        column_types=texts, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    if path.stat().st_size == 0:
        return
    with pa.input_stream(str(path), compression="detect") as stream:
        yield from csv.open_csv(stream, csv.ReadOptions(block_size=BLOCK_BYTES), convert_options=convert)


def _jsonl_batches(path: Path, declared: dict[str, _Declared], size: int) -> Iterator[pa.RecordBatch]:
    import msgspec
    import pyarrow as pa

    decode = msgspec.json.Decoder(dict[str, Any]).decode
    rows: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                rows.append(decode(line))
            except msgspec.DecodeError as e:
                raise UserError(f"not a JSON object: {e}", place=f"{path}:{number}") from None
            columns |= dict.fromkeys(rows[-1])
            if len(rows) == size:
                yield pa.RecordBatch.from_pydict({c: _column([r.get(c) for r in rows]) for c in columns})
                rows = []
    if rows:
        yield pa.RecordBatch.from_pydict({c: _column([r.get(c) for r in rows]) for c in columns})


def _column(values: list[Any]) -> pa.Array:
    """A column of JSON values; numbers of both kinds are floats, other mixtures text."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        if all(isinstance(v, int | float) or v is None for v in values):
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        return pa.array([v if v is None or isinstance(v, str) else _text(v) for v in values], pa.string())


def _text(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


@dataclass(frozen=True)
class _Declared:
    event: str
    field: FieldSchema


def _declared(schemas: Sequence[EventSchema]) -> dict[str, _Declared]:
    found: dict[str, _Declared] = {}
    for schema in schemas:
        for field in schema:
            for name in (field.name, field.wire):
                found.setdefault(name, _Declared(schema.name, field))
    return found


def _cast(batch: pa.RecordBatch, declared: dict[str, _Declared], source: Source) -> pa.RecordBatch:
    import pyarrow as pa

    columns: list[pa.Array] = []
    problems: list[str] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        wanted = declared.get(name)
        type_ = arrow_type(wanted.field) if wanted else None
        if wanted is None or type_ is None or column.type == type_:
            columns.append(column)
            continue
        try:
            _refuse_floats_as_text(column, type_)
            columns.append(_filled(column.cast(type_), wanted.field))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            problems.append(_misfit(source, name, column, wanted, e))
            columns.append(column)
    if problems:
        raise UserError("\n".join(problems))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _refuse_floats_as_text(column: pa.Array, wanted: pa.DataType) -> None:
    """A float is no identifier: as text it would read 1400.0 here and 1400 there. Integers are taken."""
    import pyarrow as pa

    if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
        raise pa.ArrowInvalid("numbers with a fraction are not text")


def _filled(column: pa.Array, field: FieldSchema) -> pa.Array:
    """An empty cell of a csv is null where the field may be null, and an empty string where it may not."""
    return column.fill_null("") if field.kind == "str" and not field.nullable else column


def arrow_type(field: FieldSchema) -> pa.DataType | None:
    """The Arrow type of a declared field; None for lists and nested events, which are left as they come."""
    import pyarrow as pa

    if field.kind == "category":
        if all(isinstance(c, str) for c in field.choices or ()):
            return pa.string()
        return pa.int64() if all(type(c) is int for c in field.choices or ()) else None
    return {
        "float": pa.float64(),
        "int": pa.int64(),
        "bool": pa.bool_(),
        "str": pa.string(),
        "datetime": pa.timestamp("us", "UTC"),
        "date": pa.date32(),
        "decimal": pa.string(),
    }.get(field.kind)


def _misfit(source: Source, name: str, column: pa.Array, wanted: _Declared, error: Exception) -> str:
    why = str(error).splitlines()[0]
    return (
        f"{source}: column {name} is {column.type}, {wanted.event}.{name} is {wanted.field.type_name}: {why}. "
        f"Mend the data, or change the type of {wanted.event}.{name}"
    )


def _missing(source: Source, field: FieldSchema, columns: Sequence[str], schema: EventSchema) -> str:
    near = nearest(field.name, columns)
    hint = f" Did you mean {near}?" if near else ""
    return f"{source} has no column {field.name}, which {schema.name} declares. It has: {', '.join(columns)}.{hint}"


def _parquet() -> Any:
    import pyarrow.parquet

    return pyarrow.parquet


class _translated:
    """What Arrow says of a broken file, with the file's name before it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        import_arrow(self.path)

    def __exit__(self, kind: Any, error: BaseException | None, tb: Any) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError) and not isinstance(error, UserError):
            raise UserError(
                f"{self.path} cannot be read as {format_of(self.path)[1:]}: {str(error).splitlines()[0]}"
            ) from error
