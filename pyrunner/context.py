"""`ctx`: what a model may know and do besides answering. Passed only to methods that name it."""

from __future__ import annotations

import datetime
import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrunner.meta import NOTHING, Meta, header_pairs
from pyrunner.outcomes import Reject

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pyrunner.data import Access
    from pyrunner.data.keyvalues import KeyValues
    from pyrunner.data.objects import Objects

_LOG = logging.getLogger("pyrunner.model")


class Context:
    """One call of a model's method.

    `ctx.reject(where, reason, code=)` rejects rows of a frame: `ctx.reject(X["dep_delay"].isna(), "cancelled flight")`.
    `log` is a standard logger, `seed` the model's seed, `random` a generator drawn from it, `now()` the time. `ids`, and when the class asks for them
    in `metadata` also `keys`, `headers` and `timestamps`, hold one value an event.

    `read_sql`, `iter_sql`, `kv`, `objects` and `publish` ask the bridge, by the names of program.yaml's connections. Each takes a
    `timeout` in seconds and raises DataError. In predict they are refused once the batch belongs to another worker, an outage gives the
    batch back instead of failing its events, and writes are done together with the answers of this call, or never.
    """

    __slots__ = ("_access", "_meta", "_predicts", "_random", "log", "n", "rejected", "seed")

    def __init__(
        self,
        n: int = 0,
        *,
        seed: int = 0,
        meta: Meta = NOTHING,
        log: logging.Logger = _LOG,
        access: Access | None = None,
        predicts: bool = False,
    ) -> None:
        self.n = n
        self.seed = seed
        self.log = log
        self.rejected: dict[int, Reject] = {}  # row -> the first reason given
        self._meta = meta
        self._random: random.Random | None = None
        self._access = access
        self._predicts = predicts  # writes wait; once something was asked, in the access

    @property
    def ids(self) -> list[str]:
        """`stream/partition/offset` of each event; empty texts outside of a stream."""
        return self._meta.ids(self.n)

    @property
    def keys(self) -> Sequence[bytes | None]:
        return self._meta.keys or [None] * self.n

    @property
    def headers(self) -> list[list[tuple[str, bytes]]]:
        return [header_pairs(flat) for flat in self._meta.headers or [()] * self.n]

    @property
    def timestamps(self) -> Sequence[int]:
        """Nanoseconds since 1970 UTC, as the broker has them; 0 where nothing is known."""
        return self._meta.timestamps or [0] * self.n

    @property
    def random(self) -> random.Random:
        """A generator of this call's own, the same for the same seed."""
        if self._random is None:
            self._random = random.Random(self.seed)
        return self._random

    def now(self) -> datetime.datetime:
        """The time, in UTC. In predict behind a stream it is the same for all events of a batch, and the same again in a replay.

        That costs a round trip for each batch in which it is asked for.
        """
        nanoseconds = self._data().now("ctx.now")
        return datetime.datetime.fromtimestamp(
            nanoseconds // 1_000_000_000, datetime.UTC
        ) + datetime.timedelta(microseconds=nanoseconds // 1000 % 1_000_000)

    def reject(self, where: Any, reason: str, *, code: str = "rejected", retry: bool = False) -> None:
        """Reject the rows at `where`: an index, a list of them, or a mask with one bool a row.

        Masks and lists may be Python's, numpy's, pandas' or Arrow's. The answer's values in rejected rows are not looked at. The
        first reason given for a row stays.
        """
        outcome = Reject(reason, code=code, retry=retry)
        for row in _rows(where, self.n):
            self.rejected.setdefault(row, outcome)

    def read_sql(
        self,
        sql: str,
        con: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float = 30.0,
    ) -> pd.DataFrame:
        """The rows of a query: `ctx.read_sql("select * from rates where day = :day", "warehouse", {"day": today})`.

        `con` may be left out where the program has one database. Dtypes depend on the columns' types alone (data/frames.py): integers
        that may be null are Int64.
        """
        from pyrunner.data.frames import frame_of

        return frame_of(self.read_arrow(sql, con, params, timeout=timeout))

    def read_arrow(
        self,
        sql: str,
        con: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float = 30.0,
    ) -> pa.Table:
        """The rows of a query as an Arrow table."""
        from pyrunner.data import queries

        return queries.read(self._data(), "ctx.read_sql", sql, con, params, timeout)

    def iter_sql(
        self,
        sql: str,
        con: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        chunksize: int = 50_000,
        timeout: float = 30.0,
    ) -> Iterator[pd.DataFrame]:
        """The rows of a query in frames of at most `chunksize` rows and about 4 MiB, the next on its way while one is worked on.

        Memory does not grow with the result. `timeout` is for each frame. Leaving the loop early closes the cursor.
        """
        from contextlib import closing

        from pyrunner.data import queries
        from pyrunner.data.frames import frame_of

        with closing(
            queries.pages(self._data(), "ctx.iter_sql", sql, con, params, chunksize, timeout)
        ) as pages:
            for page in pages:
                yield frame_of(page)

    def execute_sql(
        self,
        sql: str,
        con: str | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float = 30.0,
    ) -> int:
        """Run a statement that changes something, outside of predict. The number of rows changed."""
        from pyrunner.data import queries

        return queries.execute(self._data(), "ctx.execute_sql", sql, con, params, timeout)

    def write_sql(
        self, data: Any, table: str, con: str | None = None, *, mode: str = "append", timeout: float = 30.0
    ) -> int:
        """Write a frame, an Arrow table, a dict of columns or rows to a table, outside of predict. The number of rows.

        Columns go by name. `mode="replace"` empties the table first. About 4 MiB are written in one transaction; `timeout` is for each.
        """
        from pyrunner.data import queries

        return queries.write(self._data(), "ctx.write_sql", data, table, con, mode, timeout)

    def kv(self, name: str) -> KeyValues:
        """The keys and values of a connection: `ctx.kv("features").get_many(keys)`."""
        from pyrunner.data.keyvalues import KeyValues

        return KeyValues(self._data(), name)

    def objects(self, name: str) -> Objects:
        """The objects of a connection: `ctx.objects("models").download("embeddings.npy", path)`."""
        from pyrunner.data.objects import Objects

        return Objects(self._data(), name)

    def publish(
        self,
        stream: str,
        event: Any,
        *,
        key: str | bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        timeout: float = 5.0,
    ) -> None:
        """An event to a stream of program.yaml: an Event, anything that is JSON, or bytes. Its key is its own Key field unless given."""
        from pyrunner.data import publishing

        publishing.publish(self._data(), stream, [publishing.record_of(event, key, headers)], timeout)

    def publish_many(
        self, stream: str, events: Iterable[Any], *, keys: Sequence[Any] | None = None, timeout: float = 5.0
    ) -> int:
        """Many events, a thousand in a round trip. Their number."""
        from pyrunner.data import publishing

        return publishing.publish(self._data(), stream, publishing.records_of(events, keys), timeout)

    @property
    def writes(self) -> list[Any]:
        """What predict has asked to be written with its answers, as the bridge is told it (bridge_go/calls/METHODS.md, `stage`)."""
        held = None if self._access is None else self._access.writes
        return [] if held is None else held.all

    def _data(self) -> Access:
        """The way to the bridge, under this batch's lease."""
        from pyrunner.data.access import Access
        from pyrunner.data.writes import Writes

        access = self._access
        if access is None:
            access = self._access = Access(None)
        if self._predicts:
            access = self._access = access.under(self._meta.lease, Writes())
            self._predicts = False
        return access


def _rows(where: Any, n: int) -> list[int]:
    values = _plain(where)
    if isinstance(values, _Mask):
        if values.rows != n:
            raise ValueError(f"ctx.reject: a mask of {values.rows} for {n} rows")
        return values.hits
    if values and all(isinstance(v, bool) for v in values):
        if len(values) != n:
            raise ValueError(f"ctx.reject: a mask of {len(values)} for {n} rows")
        return [row for row, hit in enumerate(values) if hit]
    for row in values:
        if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < n:
            raise ValueError(f"ctx.reject: {row!r} is no row of 0 to {n - 1}")
    return values


class _Mask(NamedTuple):
    """A mask of numpy's bools, of which only the rows that it hits become Python's."""

    rows: int
    hits: list[int]


def _plain(where: Any) -> list[Any] | _Mask:
    if isinstance(where, int):
        return [where]
    if hasattr(where, "to_pylist"):  # Arrow
        return list(where.to_pylist())
    if hasattr(where, "iloc"):  # a pandas Series
        if not _is_range(where.index) and list(where.index) != list(range(len(where))):
            raise ValueError(
                "ctx.reject: the mask has another index than the frame. Make it from the frame as it came."
            )
        if getattr(where.dtype, "kind", "") == "b" and not hasattr(where.dtype, "numpy_dtype"):
            where = where.to_numpy()
    if _is_mask(where):
        return _Mask(len(where), where.nonzero()[0].tolist())
    values = where.tolist() if hasattr(where, "tolist") else where
    return [values] if isinstance(values, int) else list(values)


def _is_mask(where: Any) -> bool:
    """Whether this is an array of numpy's bools."""
    kind = getattr(getattr(where, "dtype", None), "kind", "")
    return kind == "b" and getattr(where, "ndim", 0) == 1 and hasattr(where, "nonzero") and len(where) > 0


def _is_range(index: Any) -> bool:
    """Whether an index is 0..n-1 by construction."""
    return bool(getattr(index, "step", 0) == 1 and index.start == 0 and index.stop == len(index))
