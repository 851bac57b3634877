"""Which of a model's writes go with its answers.

A call of predict may write by `ctx`; the writes belong to the events of that call. They count when one of these events has an
answer that counts, a rejection included. A call that raised, or whose answer was refused, leaves nothing; nor does one
whose events all fail or come again, which would write once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pyrunner.scoring.failures import FAIL, RETRY, RowError


class Tries:
    """The calls of one batch that have passed so far, with what they wrote."""

    __slots__ = ("_passed",)

    def __init__(self) -> None:
        self._passed: list[tuple[Sequence[int], list[Any]]] = []

    def passed(self, rows: Sequence[int], writes: list[Any]) -> None:
        """A call that answered these rows."""
        if writes:
            self._passed.append((rows, writes))

    def refuse(self, low: int, high: int) -> None:
        """Calls within these rows passed, but together they are refused."""
        self._passed = [(rows, writes) for rows, writes in self._passed if not low <= rows[0] < high]

    def renumber(self, rows: Sequence[int]) -> None:
        """The events were only some of the batch: those at `rows`."""
        self._passed = [([rows[row] for row in some], writes) for some, writes in self._passed]

    def follow(self, earlier: Tries) -> None:
        """Put the calls of `earlier` in front of these."""
        self._passed = earlier._passed + self._passed

    def writes(self, errors: Iterable[RowError]) -> list[Any]:
        """What is to be written, given the errors of the batch, in the order of the calls."""
        if not self._passed:
            return []
        void = {error.index for error in errors if error.kind in (FAIL, RETRY)}
        return [write for rows, writes in self._passed if not void.issuperset(rows) for write in writes]
