"""`FakeData`: databases, keys and objects in memory, which answer the data methods of bridge_go/calls/METHODS.md.

    data = FakeData(sql={"select * from rates": [{"carrier": "UA", "rate": 1.2}]}, kv={"features": {"UA": b"3"}})
    answers = run_model(FlightDelays(), events, data=data)
    assert data.published["alerts"] == [...]

What a model writes while it predicts is staged under its lease and done when the result is taken, as by a bridge.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from pyrunner.protocol import Lease

PART = 4 << 20
_PAGE = 65_536

Rows = Any  # a list of dicts, a frame, an Arrow table, a dict of columns
Query = Callable[[str, dict[str, Any]], Rows]


class Refused(Exception):
    """A call that the bridge would refuse, by its code."""

    def __init__(self, code: str, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.code, self.reason, self.retry = code, reason, retry


class FakeData:
    """The data of a program under test. Public attributes are what it holds; methods of models change them in place.

    sql        the rows of each query by its text (blanks do not count), or a function of text and params; for every connection
    kv         name -> keys and values (bytes or str); a time to live is kept in `ttl` and not watched
    objects    name -> keys and bytes
    published  stream -> [(value, key, headers), ...], filled by ctx.publish
    executed, written   what ctx.execute_sql and ctx.write_sql were given: (con, sql, params) and (con, table, mode, Arrow table)

    now        what `ctx.now` is told; None: the time

    `outage` makes every call fail as an unreachable database does. Safe from one thread at a time.
    """

    def __init__(
        self,
        *,
        sql: Mapping[str, Rows] | Query | None = None,
        kv: Mapping[str, dict[str, Any]] | None = None,
        objects: Mapping[str, dict[str, bytes]] | None = None,
        now: datetime.datetime | None = None,
    ) -> None:
        self.now = now
        self.sql = sql or {}
        self.kv: dict[str, dict[str, Any]] = dict(kv or {})
        self.objects: dict[str, dict[str, bytes]] = dict(objects or {})
        self.published: dict[str, list[tuple[bytes | None, bytes | None, list[Any]]]] = {}
        self.executed: list[tuple[str, str, dict[str, Any]]] = []
        self.written: list[tuple[str, str, str, Any]] = []
        self.ttl: dict[tuple[str, str], int | None] = {}
        self.calls: list[str] = []  # the methods called, in order
        self.outage = False
        self.stale: set[Lease] = set()
        self._cursors: dict[int, list[Any]] = {}
        self._uploads: dict[int, tuple[str, str, dict[int, bytes], bool]] = {}
        self._staged: dict[Lease, list[list[Any]]] = {}
        self._last = 0

    @property
    def open_cursors(self) -> int:
        return len(self._cursors)

    def answer(self, method: str, args: Sequence[Any], lease: Lease | None = None) -> Any:
        """The answer to a call. Raises Refused."""
        self.calls.append(method)
        if self.outage:
            raise Refused("unavailable", "the connection cannot be reached", retry=True)
        if lease is not None and lease in self.stale:
            raise Refused("stale_lease", "the lease has ended: the events are another worker's")
        handle = getattr(self, "_" + method.replace(".", "_"), None)
        if handle is None:
            raise Refused("unknown_method", f"no method {method}")
        if method in _FREE and lease is not None:
            raise Refused("under_lease", f"{method} is not for a lease")
        if method == "stage":
            if lease is None:
                raise Refused("needs_lease", "stage is for a lease")
            return self._stage(lease, args[0])
        return handle(*args)

    def settle(self, lease: Lease) -> None:
        """Do the writes that were staged: the result of the lease was taken."""
        for kind, place, *rest in self._staged.pop(lease, []):
            if kind == "publish":
                self._publish(place, [rest])
            elif kind == "kv.put":
                self._kv_put(place, [rest])
            elif kind == "kv.delete":
                self._kv_delete(place, rest)
            else:
                self._bucket(place)[rest[0]] = rest[1]

    def forget(self, lease: Lease) -> None:
        """Drop the writes that were staged: the lease has ended otherwise."""
        self._staged.pop(lease, None)

    # ---- sql

    def _sql_open(self, con: str, sql: str, params: Any = None, rows: int | None = None) -> list[Any]:
        table = _table(self._result(sql, _params(params)))
        size = rows or _PAGE
        pages = [_page(table.slice(at, size)) for at in range(0, max(1, table.num_rows), size)]
        if len(pages) == 1:
            return [None, pages[0], True]
        self._last += 1
        self._cursors[self._last] = pages[1:]
        return [self._last, pages[0], False]

    def _result(self, sql: str, params: dict[str, Any]) -> Rows:
        if callable(self.sql):
            return self.sql(sql, params)
        known = {" ".join(text.split()): rows for text, rows in self.sql.items()}
        found = known.get(" ".join(sql.split()))
        if found is None:
            raise Refused(
                "bad_sql",
                f"the test has no rows for: {sql}. It has them for: {'; '.join(known) or 'nothing'}",
            )
        return found

    def _sql_next(self, cursor: int) -> list[Any]:
        pages = self._cursors.get(cursor)
        if pages is None:
            raise Refused("unknown_cursor", f"no cursor {cursor}")
        page = pages.pop(0)
        if not pages:
            del self._cursors[cursor]
        return [page, not pages]

    def _sql_close(self, cursor: int) -> None:
        self._cursors.pop(cursor, None)

    def _sql_execute(self, con: str, sql: str, params: Any = None) -> int:
        self.executed.append((con, sql, _params(params)))
        return 0

    def _sql_write(self, con: str, table: str, mode: str, page: bytes) -> int:
        from pyrunner.data.frames import page_of

        rows = page_of(page, "sql.write")
        self.written.append((con, table, mode, rows))
        return int(rows.num_rows)

    # ---- keys

    def _keys(self, con: str) -> dict[str, Any]:
        if con not in self.kv:
            raise Refused("unknown_connection", f"the test has no keys for {con}. Give kv={{{con!r}: {{}}}}")
        return self.kv[con]

    def _clock(self) -> int:
        if self.now is None:
            return time.time_ns()
        return int(self.now.timestamp() * 1_000_000) * 1000

    def _kv_get(self, con: str, keys: list[str]) -> list[bytes | None]:
        return [_bytes(self._keys(con).get(key)) for key in keys]

    def _kv_put(self, con: str, entries: list[list[Any]]) -> None:
        for key, value, *ttl in entries:
            self._keys(con)[key] = value
            self.ttl[con, key] = ttl[0] if ttl else None

    def _kv_delete(self, con: str, keys: list[str]) -> None:
        for key in keys:
            self._keys(con).pop(key, None)

    # ---- objects

    def _bucket(self, con: str) -> dict[str, bytes]:
        if con not in self.objects:
            raise Refused(
                "unknown_connection", f"the test has no objects for {con}. Give objects={{{con!r}: {{}}}}"
            )
        return self.objects[con]

    def _objects_head(self, con: str, key: str) -> list[Any] | None:
        data = self._bucket(con).get(key)
        return None if data is None else [len(data), hashlib.sha256(data).hexdigest()]

    def _objects_get(self, con: str, key: str, offset: int, length: int) -> list[Any]:
        data = self._bucket(con).get(key)
        if data is None:
            raise Refused("not_found", f"no object {key}")
        return [data[offset : offset + min(length, PART)], len(data)]

    def _objects_list(self, con: str, prefix: str, after: str) -> list[Any]:
        found = sorted(k for k in self._bucket(con) if k.startswith(prefix) and k > after)
        return [[key, len(self._bucket(con)[key])] for key in islice(found, 1000)]

    def _objects_delete(self, con: str, key: str) -> None:
        self._bucket(con).pop(key, None)

    def _objects_begin(self, con: str, key: str, size: int = -1, digest: str = "", new: bool = False) -> int:
        self._bucket(con)
        self._last += 1
        self._uploads[self._last] = (con, key, {}, new)
        return self._last

    def _objects_part(self, upload: int, number: int, data: bytes) -> None:
        if upload not in self._uploads:
            raise Refused("unknown_upload", f"no upload {upload}")
        self._uploads[upload][2][number] = data

    def _objects_finish(self, upload: int, size: int, digest: str) -> None:
        con, key, parts, new = self._uploads.pop(upload)
        data = b"".join(parts[number] for number in sorted(parts))
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise Refused("damaged", "size or hash differ from what was announced")
        if new and key in self._bucket(con):
            raise Refused("exists", f"there is an object {key} already")
        self._bucket(con)[key] = data

    def _objects_abort(self, upload: int) -> None:
        self._uploads.pop(upload, None)

    # ---- streams

    def _publish(self, stream: str, records: list[list[Any]]) -> int:
        kept = self.published.setdefault(stream, [])
        for value, *rest in records:
            key, headers = [*rest, None, None][:2]
            kept.append((value, key, headers or []))
        return len(records)

    def _stage(self, lease: Lease, writes: list[list[Any]]) -> None:
        for kind, place, *_ in writes:
            if kind.startswith("kv."):
                self._keys(place)
            elif kind == "objects.put":
                self._bucket(place)
        self._staged.setdefault(lease, []).extend(writes)


_FREE = {"sql.execute", "sql.write", "kv.put", "kv.delete", "publish"} | {
    f"objects.{verb}" for verb in ("delete", "begin", "part", "finish", "abort")
}


def _table(rows: Rows) -> Any:
    from pyrunner.data.queries import columns

    return columns("the test's rows", rows)


def _page(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue().to_pybytes())


def _params(flat: Sequence[Any] | None) -> dict[str, Any]:
    """Parameters as they were given to ctx."""
    return dict(zip((flat or [])[::2], map(_value, (flat or [])[1::2]), strict=True))


def _value(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind, *rest = value
    if kind == "list":
        return [_value(item) for item in rest]
    if kind == "decimal":
        return decimal.Decimal(rest[0])
    return _time(kind, rest[0])


def _time(kind: str, number: int) -> Any:
    if kind == "date":
        return datetime.date(1970, 1, 1) + datetime.timedelta(days=number)
    zone = datetime.UTC if kind == "timestamptz" else None
    return datetime.datetime(1970, 1, 1, tzinfo=zone) + datetime.timedelta(microseconds=number)


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
