"""`Batch[In]`: the events of one call together with what the broker knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, overload

In = TypeVar("In")


class Batch(Sequence[In], Generic[In]):
    """A list of events with, position by position, `.keys .timestamps .headers .ids`.

    `keys` are bytes or None, `timestamps` nanoseconds since 1970 UTC (the broker's, not the event's own), `headers` lists of
    (name, bytes), `ids` strings `stream/partition/offset`. In a notebook they are all empty values.
    """

    __slots__ = ("_events", "headers", "ids", "keys", "timestamps")

    def __init__(
        self,
        events: Sequence[In],
        *,
        keys: Sequence[bytes | None] | None = None,
        timestamps: Sequence[int] | None = None,
        headers: Sequence[list[tuple[str, bytes]]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        n = len(events)
        self._events = events
        self.keys: Sequence[bytes | None] = [None] * n if keys is None else keys
        self.timestamps: Sequence[int] = [0] * n if timestamps is None else timestamps
        self.headers: Sequence[list[tuple[str, bytes]]] = (
            [[] for _ in range(n)] if headers is None else headers
        )
        self.ids: Sequence[str] = [""] * n if ids is None else ids

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, at: int) -> In: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[In]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self._events[at]

    def __repr__(self) -> str:
        return f"Batch({list(self._events)!r})"
