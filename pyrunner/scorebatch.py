"""Batch scoring: a file in, a file out, through the same Scorer as the stream and the API, in this process.

    file -> datasets.batches -> JSON rows -> Scorer.score -> Writer (temporary name) -> rename

Each row becomes the very payload that a stream would carry, so that validation, misspelt fields and answers are the same by
every way in. The output holds, for each output of a row: the event's key, the output's fields, and `_input_row` (from 0) to
join by. Rows that were rejected or failed are counted and, if asked, told of in a file of their own. Nothing appears under the
output's name before the last row is written.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pyrunner import datasets
from pyrunner.errors import UserError
from pyrunner.replacing import replacing
from pyrunner.schema import EventSchema, FieldSchema

if TYPE_CHECKING:
    import pyarrow as pa

    from pyrunner.scoring import Scored, Scorer

_LOG = logging.getLogger("pyrunner.scorebatch")
ROW = "_input_row"
REJECTED = 1  # the wire's kind of an error that is the model's own verdict


@dataclass
class Tally:
    """What became of the rows."""

    rows: int = 0
    outputs: int = 0
    rejected: int = 0
    failed: int = 0
    routed: int = 0  # outputs for other streams, which a file has no place for
    seconds: float = 0.0

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "rows_per_second": round(self.rows_per_second, 1)}


def score_file(
    scorer: Scorer,
    source: datasets.Source,
    output: Path,
    *,
    rejects: Path | None = None,
    size: int = 4096,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Tally:
    """Score a dataset into a dataset. `on_rows` is told the number of rows of each batch that is done.

    Raises UserError before the first row when a required column is missing or a format is unknown.
    """
    taken, given = scorer.signature.input_schema, scorer.signature.output_schema
    columns = datasets.columns_of(source)
    problems = datasets.missing_columns(source, columns, taken)
    if problems:
        raise UserError("\n".join(problems))
    _warn_misspelt(scorer, columns)
    tally, began = Tally(), time.perf_counter()
    with ExitStack() as stack:
        sink = stack.enter_context(_opened(output, _fields(taken, given, columns)))
        told = stack.enter_context(replacing(rejects)) if rejects else None
        for batch in datasets.batches(source, [taken], size):
            payloads = datasets.rows_as_json(batch, taken)
            keys = batch.column(taken.key).to_pylist() if taken.key in columns else [None] * len(payloads)
            scored = scorer.score(payloads)
            if scored.writes and scorer.access is not None:
                scorer.access.apply(scored.writes)
            sink.write(list(_records(scored, taken.key, keys, tally)))
            verdicts = list(_verdicts(scored, keys, tally))
            if told:
                told.write(b"".join(verdicts))
            tally.rows += len(payloads)
            on_rows(len(payloads))
    tally.seconds = time.perf_counter() - began
    return tally


def _warn_misspelt(scorer: Scorer, columns: Sequence[str]) -> None:
    """Tell of columns that seem to be meant for a field that has none. Others are usual: data holds more than an event."""
    unknown, known = (
        scorer.unknown_fields,
        {n for f in scorer.signature.input_schema for n in (f.name, f.wire)},
    )
    for column in set(columns) - known:
        if unknown.nearest(column) not in (None, *columns):
            _LOG.warning("%s", unknown.sentence(column))


def _records(scored: Scored, key: str | None, keys: Sequence[Any], tally: Tally) -> Iterator[dict[str, Any]]:
    """The rows of the output file, in the order of the input."""
    routed = set((scored.routes or [])[::2])
    outputs = scored.split()
    for position, row in enumerate(_rows_of(scored, len(keys))):
        if position in routed:
            tally.routed += 1
            continue
        tally.outputs += 1
        record = {key: keys[row]} if key else {}
        yield {**record, **msgspec.json.decode(outputs[position]), ROW: tally.rows + row}


def _rows_of(scored: Scored, rows: int) -> Iterator[int]:
    """For each output, the row of the batch that it belongs to."""
    if scored.counts is not None:
        for row, n in enumerate(scored.counts):
            yield from [row] * n
        return
    without = {e.index for e in scored.errors}
    yield from (row for row in range(rows) if row not in without)


def _verdicts(scored: Scored, keys: Sequence[Any], tally: Tally) -> Iterator[bytes]:
    """One JSON line for each row that has no output by a verdict."""
    for e in scored.errors:
        if e.kind == REJECTED:
            tally.rejected += 1
        else:
            tally.failed += 1
        verdict = {
            ROW: tally.rows + e.index,
            "key": keys[e.index],
            "fate": "rejected" if e.kind == REJECTED else "failed",
            "code": e.code,
            "reason": e.reason,
            "detail": json.loads(e.detail) if e.detail else None,
        }
        yield msgspec.json.encode(verdict) + b"\n"


def _fields(taken: EventSchema, given: EventSchema, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """The output's columns and their types: key, the output's own fields, the input's row."""
    import pyarrow as pa

    fields: dict[str, pa.DataType] = {}
    if taken.key and taken.key in columns:
        fields[taken.key] = _type(taken.by_name[taken.key])
    fields |= {f.name: _type(f) for f in given}
    return fields | {ROW: pa.int64()}


def _type(field: FieldSchema) -> pa.DataType:
    """The column's type; lists and nested events are JSON text."""
    import pyarrow as pa

    return datasets.arrow_type(field) or pa.string()


class _Sink(Protocol):
    def write(self, records: list[dict[str, Any]]) -> None: ...


@contextmanager
def _opened(path: Path, fields: dict[str, Any]) -> Iterator[_Sink]:
    kind = datasets.format_of(path)
    with replacing(path) as file:
        if kind == ".jsonl":
            yield _Lines(file)
            return
        sink = _Columns(file, fields, kind)
        try:
            yield sink
        finally:
            sink.writer.close()


class _Lines:
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, records: list[dict[str, Any]]) -> None:
        self.file.write(b"".join(msgspec.json.encode(r) + b"\n" for r in records))


class _Columns:
    """Parquet or csv, by Arrow, with the declared types."""

    def __init__(self, file: Any, fields: dict[str, Any], kind: str) -> None:
        import pyarrow as pa
        from pyarrow import csv, parquet

        self.fields = fields
        self.schema = pa.schema(list(fields.items()))
        self.writer = (
            parquet.ParquetWriter(file, self.schema)
            if kind == ".parquet"
            else csv.CSVWriter(file, self.schema)
        )

    def write(self, records: list[dict[str, Any]]) -> None:
        import pyarrow as pa

        columns = [self._column([r.get(n) for r in records], t) for n, t in self.fields.items()]
        self.writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def _column(self, values: list[Any], type_: Any) -> pa.Array:
        import pyarrow as pa

        if pa.types.is_string(type_):
            values = [
                v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values
            ]
        elif pa.types.is_timestamp(type_) or pa.types.is_date(type_):
            return pa.array(values, pa.string()).cast(type_)
        elif pa.types.is_floating(type_):
            values = [v if v is None else float(v) for v in values]
        return pa.array(values, type_)
