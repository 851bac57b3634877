"""Pages of a query into a file: parquet, csv or jsonl by its name, a page in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner.datasets import format_of
from pyrunner.replacing import replacing

if TYPE_CHECKING:
    import pyarrow as pa


def write_file(
    pages: Iterable[pa.Table], path: Path, on_rows: Callable[[int], None] = lambda rows: None
) -> int:
    """Write all pages, of which there is at least one. The number of rows; the file is there whole or not at all."""
    kind = format_of(path)
    rows = 0
    with replacing(path, "rows.parquet") as file:
        writer: Any = None
        for page in pages:
            writer = writer or _writer(kind, file, page.schema)
            writer.write_table(page)
            rows += page.num_rows
            on_rows(page.num_rows)
        if writer is not None:
            writer.close()
    return rows


def lines(page: pa.Table) -> Iterator[str]:
    """Each row as a JSON object; times as ISO 8601, decimals as texts, bytes as base64."""
    import msgspec

    encode = msgspec.json.Encoder(decimal_format="string").encode
    for row in page.to_pylist():
        yield encode(row).decode()


def _writer(kind: str, file: Any, schema: pa.Schema) -> Any:
    from pyarrow import csv, parquet

    if kind == ".jsonl":
        return _Lines(file)
    return parquet.ParquetWriter(file, schema) if kind == ".parquet" else csv.CSVWriter(file, schema)


class _Lines:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write_table(self, page: pa.Table) -> None:
        self._file.write("".join(line + "\n" for line in lines(page)).encode())

    def close(self) -> None: ...
