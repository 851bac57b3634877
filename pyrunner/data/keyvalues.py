"""`ctx.kv(name)`: keys and values of a connection, one round trip for a whole batch of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pyrunner.data.access import Access
from pyrunner.data.errors import DataError

TIMEOUT = 5.0
_AT_ONCE = 10_000  # keys in a call: far below the elements that a frame may have
_BYTES = 4 << 20  # of values in a call

Value = bytes | str  # a text is stored as UTF-8
Ttl = float | datetime.timedelta | None  # seconds


class KeyValues:
    """The keys of one connection. Values are bytes; a str is stored as UTF-8, `*_json` store any value as JSON.

    `timeout` is in seconds, of each call. Raises DataError. In predict, writes wait for the answers and are done with them
    or never; reads of the same call see them.
    """

    def __init__(self, access: Access, con: str) -> None:
        self._what = f'ctx.kv("{con}")'
        self._access = access
        self._con = access.named(self._what, con)

    def get(self, key: str, *, timeout: float = TIMEOUT) -> bytes | None:
        """The value, None where there is none."""
        return self.get_many([key], timeout=timeout)[0]

    def get_many(self, keys: Iterable[str], *, timeout: float = TIMEOUT) -> list[bytes | None]:
        """The value of each key, in order, None where there is none. One round trip; each key is asked for once."""
        wanted = _texts(self._what, keys)
        found = self._found(list(dict.fromkeys(wanted)), timeout)
        return [found[key] for key in wanted]

    def get_json(self, key: str, *, timeout: float = TIMEOUT) -> Any:
        """The value read as JSON, None where there is none."""
        return self.get_many_json([key], timeout=timeout)[0]

    def get_many_json(self, keys: Iterable[str], *, timeout: float = TIMEOUT) -> list[Any]:
        """The values read as JSON, in order, None where there is none."""
        wanted = _texts(self._what, keys)
        found = {
            key: self._parsed(key, value)
            for key, value in self._found(list(dict.fromkeys(wanted)), timeout).items()
        }
        return [found[key] for key in wanted]

    def put(self, key: str, value: Value, *, ttl: Ttl = None, timeout: float = TIMEOUT) -> None:
        """Store a value; `ttl` seconds later it is gone."""
        self.put_many({key: value}, ttl=ttl, timeout=timeout)

    def put_many(
        self,
        values: Mapping[str, Value] | Iterable[tuple[str, Value]],
        *,
        ttl: Ttl = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Store many values in one round trip."""
        pairs = values.items() if isinstance(values, Mapping) else values
        life = _milliseconds(self._what, ttl)
        entries = [(_text(self._what, key), _bytes(self._what, key, value), life) for key, value in pairs]
        if (writes := self._access.writes) is not None:
            for key, value, _ in entries:
                writes.put_key(self._con, key, value, life)
            return
        begun = [
            self._access.begin(self._what, "kv.put", self._con, part, timeout=timeout)
            for part in _parts(entries, lambda entry: len(entry[1]))
        ]
        for call in begun:
            call.wait()

    def put_json(self, key: str, value: Any, *, ttl: Ttl = None, timeout: float = TIMEOUT) -> None:
        """Store a value as JSON."""
        self.put(key, msgspec.json.encode(value), ttl=ttl, timeout=timeout)

    def delete(self, keys: str | Iterable[str], *, timeout: float = TIMEOUT) -> None:
        """Delete one key or many. One that is not there is no error."""
        gone = _texts(self._what, [keys] if isinstance(keys, str) else keys)
        if (writes := self._access.writes) is not None:
            for key in gone:
                writes.delete_key(self._con, key)
            return
        for first in range(0, len(gone), _AT_ONCE):
            part = gone[first : first + _AT_ONCE]
            self._access.ask(self._what, "kv.delete", self._con, part, timeout=timeout)

    def _found(self, keys: list[str], timeout: float) -> dict[str, bytes | None]:
        writes = self._access.writes
        ours = [] if writes is None else [key for key in keys if writes.has_key(self._con, key)]
        others = keys if not ours else [key for key in keys if key not in set(ours)]
        parts = [others[first : first + _AT_ONCE] for first in range(0, len(others), _AT_ONCE)]
        begun = [self._access.begin(self._what, "kv.get", self._con, part, timeout=timeout) for part in parts]
        found = {
            key: value
            for part, call in zip(parts, begun, strict=True)
            for key, value in zip(part, call.wait(), strict=True)
        }
        if writes is not None:
            found |= {key: writes.key(self._con, key) for key in ours}
        return found

    def _parsed(self, key: str, value: bytes | None) -> Any:
        try:
            return None if value is None else msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise DataError(self._what, "bad_value", f"the value of {key} is no JSON: {error}") from None


def _parts(entries: Sequence[Any], weight: Any) -> Iterable[list[Any]]:
    part: list[Any] = []
    size = 0
    for entry in entries:
        if part and (len(part) >= _AT_ONCE or size + weight(entry) > _BYTES):
            yield part
            part, size = [], 0
        part.append(list(entry))
        size += weight(entry)
    if part:
        yield part


def _texts(what: str, keys: Iterable[Any]) -> list[str]:
    if isinstance(keys, (str, bytes)):
        raise TypeError(
            f"{what}: keys is one {type(keys).__name__}. Give a list, or use get for a single key"
        )
    values = keys.tolist() if hasattr(keys, "tolist") else keys
    return [_text(what, key) for key in values]


def _text(what: str, key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{what}: a key is a str, not {type(key).__name__} ({key!r:.60})")
    return str(key)


def _bytes(what: str, key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(
        f"{what}: the value of {key} is a {type(value).__name__}. Give bytes or str, or use put_json"
    )


def _milliseconds(what: str, ttl: Ttl) -> int | None:
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, datetime.timedelta) else float(ttl)
    if not seconds > 0:
        raise ValueError(f"{what}: ttl={ttl} is no time to live. Give seconds above 0, or None for ever")
    return max(1, round(seconds * 1000))
