"""SQL through the bridge: a statement and its parameters out, pages of columns in.

A page holds at most so many rows as were asked for and about 4 MiB. While one is being worked on the next is on its way, and
the bridge reads the one after that: three pages at most are anywhere, however long the result is.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from pyrunner.data import frames
from pyrunner.data.access import Access
from pyrunner.data.errors import DataError
from pyrunner.data.parameters import encoded

if TYPE_CHECKING:
    import pyarrow as pa

TIMEOUT = 30.0
CHUNK = 50_000
PAGE = 65_536  # rows of a page where the whole result is wanted
_CLOSE_TIMEOUT = 5.0
_WRITE_BYTES = 4 << 20


def pages(
    access: Access,
    what: str,
    sql: str,
    con: str | None,
    params: Mapping[str, Any] | None,
    rows: int,
    timeout: float,
) -> Generator[pa.Table, None, None]:
    """The result in pages, the next always on its way; the first is there although it may have no rows.

    `timeout` is for each page. Closing the generator closes the cursor. Raises DataError.
    """
    if rows < 1:
        raise ValueError(f"{what}: chunksize={rows} is no number of rows. Give 1 or more")
    frames.arrow(what)
    name = access.database(what, con)
    cursor, page, done = access.ask(what, "sql.open", name, sql, encoded(what, params), rows, timeout=timeout)
    try:
        while not done:
            coming = access.begin(what, "sql.next", cursor, timeout=timeout)
            yield frames.page_of(page, what)
            page, done = coming.wait()
        cursor = None
        yield frames.page_of(page, what)
    finally:
        if cursor is not None:
            with suppress(DataError):  # the bridge closes it soon by itself
                access.ask(what, "sql.close", cursor, timeout=_CLOSE_TIMEOUT)


def read(
    access: Access, what: str, sql: str, con: str | None, params: Mapping[str, Any] | None, timeout: float
) -> pa.Table:
    """The whole result, within `timeout`."""
    until = time.monotonic() + timeout
    parts = []
    with closing(pages(access, what, sql, con, params, PAGE, timeout)) as found:
        for page in found:
            parts.append(page)
            if time.monotonic() > until:
                raise DataError(what, "deadline", f"not all rows came within {timeout:g} s", retry=True)
    import pyarrow as pa

    return pa.concat_tables(parts)


def execute(
    access: Access, what: str, sql: str, con: str | None, params: Mapping[str, Any] | None, timeout: float
) -> int:
    """Run a statement that changes something. The number of rows changed."""
    access.require_now(what, "Return what is to be written, or use ctx.publish or ctx.kv")
    name = access.database(what, con)
    return int(access.ask(what, "sql.execute", name, sql, encoded(what, params), timeout=timeout))


def write(
    access: Access, what: str, data: Any, table: str, con: str | None, mode: str, timeout: float
) -> int:
    """Write rows to a table, a page in a transaction. The number of rows written."""
    if mode not in ("append", "replace"):
        raise ValueError(f'{what}: mode="{mode}" is unknown. Write mode="append" or mode="replace"')
    access.require_now(what, "Return what is to be written, or use ctx.publish or ctx.kv")
    name, written = access.database(what, con), 0
    for page in _written_pages(columns(what, data)):
        written += access.ask(what, "sql.write", name, table, mode, page, timeout=timeout)
        mode = "append"
    return written


def columns(what: str, data: Any) -> pa.Table:
    """A frame, a table, a dict of columns, or rows, as an Arrow table."""
    pa = frames.arrow(what)
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if hasattr(data, "iloc"):
        return pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, Mapping):
        return pa.table(dict(data))
    return pa.Table.from_pylist([dict(row) if isinstance(row, Mapping) else _asdict(row) for row in data])


def _asdict(row: Any) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(row))


def _written_pages(table: pa.Table) -> Generator[bytes, None, None]:
    """Pages of about 4 MiB; one without rows where there are none, so that `replace` empties."""
    import pyarrow as pa

    weight = max(1, table.nbytes // max(1, table.num_rows))
    step = max(1, min(PAGE, _WRITE_BYTES // weight))
    for first in range(0, max(1, table.num_rows), step):
        sink = pa.BufferOutputStream()
        part = table.slice(first, step).combine_chunks()
        with pa.ipc.new_stream(sink, part.schema) as stream:
            stream.write_table(part)
        yield sink.getvalue().to_pybytes()
