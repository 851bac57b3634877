"""`ctx`: what a model may know and do besides answering. Passed only to methods that name it."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any

from pyrunner.meta import NOTHING, Meta, header_pairs
from pyrunner.outcomes import Reject

_LOG = logging.getLogger("pyrunner.model")


class Context:
    """One call of a model's method.

    `ctx.reject(where, reason, code=)` rejects rows of a frame: `ctx.reject(X["dep_delay"].isna(), "cancelled flight")`.
    `log` is a standard logger, `seed` the model's seed, `random` a generator drawn from it. `ids`, and when the class asks for them
    in `metadata` also `keys`, `headers` and `timestamps`, hold one value an event.
    """

    __slots__ = ("_meta", "_random", "log", "n", "rejected", "seed")

    def __init__(
        self, n: int = 0, *, seed: int = 0, meta: Meta = NOTHING, log: logging.Logger = _LOG
    ) -> None:
        self.n = n
        self.seed = seed
        self.log = log
        self.rejected: dict[int, Reject] = {}  # row -> the first reason given
        self._meta = meta
        self._random: random.Random | None = None

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

    def reject(self, where: Any, reason: str, *, code: str = "rejected", retry: bool = False) -> None:
        """Reject the rows at `where`: an index, a list of them, or a mask with one bool a row.

        Masks and lists may be Python's, numpy's, pandas' or Arrow's. The answer's values in rejected rows are not looked at. The
        first reason given for a row stays.
        """
        outcome = Reject(reason, code=code, retry=retry)
        for row in _rows(where, self.n):
            self.rejected.setdefault(row, outcome)


def _rows(where: Any, n: int) -> list[int]:
    values = _plain(where)
    if values and all(isinstance(v, bool) for v in values):
        if len(values) != n:
            raise ValueError(f"ctx.reject: a mask of {len(values)} for {n} rows")
        return [row for row, hit in enumerate(values) if hit]
    for row in values:
        if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < n:
            raise ValueError(f"ctx.reject: {row!r} is no row of 0 to {n - 1}")
    return values


def _plain(where: Any) -> list[Any]:
    if isinstance(where, int):
        return [where]
    if hasattr(where, "to_pylist"):  # Arrow
        return list(where.to_pylist())
    if hasattr(where, "iloc") and list(where.index) != list(range(len(where))):  # a pandas Series
        raise ValueError(
            "ctx.reject: the mask has another index than the frame. Make it from the frame as it came."
        )
    values = where.tolist() if hasattr(where, "tolist") else where
    return [values] if isinstance(values, int) else list(values)
