"""Writes that a model asks for while it predicts: they wait, and are done with the answers or never.

An answer that does not count (its try raised, its batch was taken back) leaves no write behind. What was written is seen by
reads of the same call of predict, and by nobody else before the bridge has taken the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Write = list[Any]  # as METHODS.md has it under `stage`: [kind, ...]

MOST_AT_ONCE = 10_000  # writes in one call, far below the elements that a frame may have
MOST_BYTES = 4 << 20  # in one call, but for a single larger one


class Writes:
    """The writes of one call of a model's method, in their order."""

    def __init__(self) -> None:
        self.all: list[Write] = []
        self._keys: dict[tuple[str, str], bytes | None] = {}

    def publish(self, stream: str, record: Sequence[Any]) -> None:
        """A record is value, key and headers."""
        self.all.append(["publish", stream, *record])

    def put_key(self, con: str, key: str, value: bytes, ttl_ms: int | None) -> None:
        self.all.append(["kv.put", con, key, value, ttl_ms])
        self._keys[con, key] = value

    def delete_key(self, con: str, key: str) -> None:
        self.all.append(["kv.delete", con, key])
        self._keys[con, key] = None

    def put_object(self, con: str, key: str, data: bytes) -> None:
        self.all.append(["objects.put", con, key, data])

    def has_key(self, con: str, key: str) -> bool:
        """Whether this call has written or deleted the key."""
        return (con, key) in self._keys

    def key(self, con: str, key: str) -> bytes | None:
        """What this call has written."""
        return self._keys[con, key]


def in_calls(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Parts that fit into a call each."""
    part: list[Write] = []
    size = 0
    for write in writes:
        weight = sum(len(item) for item in write if isinstance(item, (str, bytes)))
        if part and (len(part) >= MOST_AT_ONCE or size + weight > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(write)
        size += weight
    if part:
        yield part
