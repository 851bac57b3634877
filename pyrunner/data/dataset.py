"""A dataset of program.yaml that is a query: read through the bridge, a page at a time, wherever a file could be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyrunner.data import queries
from pyrunner.data.access import Access

if TYPE_CHECKING:
    import pyarrow as pa

TIMEOUT = 300.0  # of a page: the first of a large sort takes minutes


@dataclass(frozen=True)
class Query:
    """One dataset. `name` is that in program.yaml; `str()` is what messages call it."""

    access: Access
    name: str
    connection: str
    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"dataset {self.name} (a query of {self.connection})"

    def batches(self, size: int) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most `size`. Stopping early closes the cursor. Raises DataError."""
        with closing(self._pages(self.sql, size)) as pages:
            for page in pages:
                yield from page.to_batches(max_chunksize=size)

    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        with closing(self._pages(self.sql, 1)) as pages:
            return tuple(next(pages).column_names)

    def rows(self) -> int:
        """The number of its rows, counted by the database."""
        counted = f"select count(*) as n from ({self.sql.rstrip().rstrip(';')}\n) as counted"
        with closing(self._pages(counted, 1)) as pages:
            return int(next(pages).column(0)[0].as_py())

    def _pages(self, sql: str, rows: int) -> Any:
        return queries.pages(self.access, str(self), sql, self.connection, self.params, rows, TIMEOUT)
