"""`Meta`: where the events of a batch come from, as the wire tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Meta:
    """Stream, positions and, where asked for, keys, headers and timestamps of a batch; each parallel to its events.

    `positions` is runs of three: partition, first offset, number of events. Nothing is computed before it is asked for.
    `lease` is that of the batch, under which its calls are made.
    """

    __slots__ = ("headers", "keys", "lease", "positions", "stream", "timestamps")

    def __init__(
        self,
        stream: str = "",
        positions: Sequence[int] = (),
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Sequence[Any]] | None = None,
        timestamps: Sequence[int] | None = None,
        lease: Any = None,
    ) -> None:
        self.stream = stream
        self.positions = positions
        self.keys = keys
        self.headers = headers
        self.timestamps = timestamps
        self.lease = lease

    def id(self, index: int) -> str:
        """`stream/partition/offset` of one event; empty if nothing is known of it."""
        runs = self.positions
        for at in range(0, len(runs), 3):
            if index < runs[at + 2]:
                return f"{self.stream}/{runs[at]}/{runs[at + 1] + index}"
            index -= runs[at + 2]
        return ""

    def ids(self, n: int) -> list[str]:
        """The ids of the first n events."""
        known = [
            f"{self.stream}/{runs[0]}/{offset}"
            for runs in zip(*[iter(self.positions)] * 3, strict=True)
            for offset in range(runs[1], runs[1] + runs[2])
        ]
        return known if len(known) == n else [""] * n

    def take(self, rows: Sequence[int]) -> Meta:
        """The meta of some of the events, in the order given."""
        return Meta(
            self.stream,
            self._positions_of(rows) if self.positions else (),
            None if self.keys is None else [self.keys[row] for row in rows],
            None if self.headers is None else [self.headers[row] for row in rows],
            None if self.timestamps is None else [self.timestamps[row] for row in rows],
            self.lease,
        )

    def _positions_of(self, rows: Sequence[int]) -> list[int]:
        single = [
            (runs[0], offset)
            for runs in zip(*[iter(self.positions)] * 3, strict=True)
            for offset in range(runs[1], runs[1] + runs[2])
        ]
        return [figure for row in rows for figure in (*single[row], 1)]


NOTHING = Meta()


def header_pairs(flat: Sequence[Any]) -> list[tuple[str, bytes]]:
    """Headers as the wire has them (name, value, name, value, ...) as pairs."""
    return list(zip(flat[0::2], flat[1::2], strict=True))
