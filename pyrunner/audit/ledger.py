"""The ledger of an audit: what went in, what came out, and what that says of the promise.

With A attempted, P acknowledged, R read from the output and D dead-lettered ids:

    lost        P - R - D           must be empty, whatever was killed
    unexpected  (R + D) - A         must be empty
    duplicates  |R| - |set(R)|      and the same of D; 0 where it is promised
    wrong       answers that are not f(id), or not on their event's key
    inversions  per key, among first occurrences
    innocents   D - planned poisons, and spared: acknowledged poisons that are not in D
    both        R and D, must be empty under exactly-once

An id is `producer-counter`; the producer is the key, and its counter increases in the order of publishing. A ledger takes
three bytes an id, so that an audit of ten million events fits anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_ATTEMPTED, _ACKNOWLEDGED, _POISON = 1, 2, 4
_MOST = 255  # what a count of one id holds; more is as bad
_FIRST = 1000  # ids of a kind that are named


@dataclass
class Ids:
    """How many ids, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, event: str) -> None:
        self.count += 1
        if len(self.first) < _FIRST:
            self.first.append(event)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        return iter(self.first)

    def __contains__(self, event: object) -> bool:
        return event in self.first

    def __str__(self) -> str:
        return f"{self.count}" + (f" ({', '.join(self.first[:5])} ...)" if self.count else "")

    __repr__ = __str__


@dataclass(frozen=True)
class Verdict:
    """What a ledger says. Kinds of mistakes are Ids: empty where all is well."""

    attempted: int
    acknowledged: int
    out: int
    dead: int
    duplicates: int
    inversions: int
    lost: Ids
    unexpected: Ids
    repeated: Ids
    wrong: Ids
    innocents: Ids
    spared: Ids
    both: Ids

    def require_at_least_once(self) -> None:
        """Nothing lost, nothing invented, nothing wrong, no innocent dead, each poison dead."""
        for what in (self.lost, self.unexpected, self.wrong, self.innocents, self.spared, self.both):
            if what:
                raise AssertionError(str(self))

    def __str__(self) -> str:
        return (
            f"acknowledged {self.acknowledged}, out {self.out}, dead {self.dead}, LOST {self.lost}, "
            f"DUP {self.duplicates}, WRONG {self.wrong}, inversions {self.inversions}, "
            f"unexpected {self.unexpected}, innocents {self.innocents}, spared {self.spared}, both {self.both}"
        )


class _Producer:
    """The ids of one producer, by their counters."""

    __slots__ = ("dead", "marks", "newest", "out")

    def __init__(self) -> None:
        self.marks, self.out, self.dead = bytearray(), bytearray(), bytearray()
        self.newest = -1  # the highest that came out

    def reach(self, counter: int) -> None:
        short = counter + 1 - len(self.marks)
        if short > 0:
            more = bytes(max(short, len(self.marks) // 8))
            for column in (self.marks, self.out, self.dead):
                column.extend(more)


class Tally:
    """Counts as events go in and come out. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._producers: dict[str, _Producer] = {}
        self._unexpected = Ids()
        self._wrong = Ids()
        self._inversions = 0
        self.attempted = self.acknowledged = 0
        self.out = self.dead = 0
        self.settled = 0  # acknowledged ids that came out or died

    def attempt(self, events: Iterable[str], poisons: frozenset[str] | set[str] = frozenset()) -> None:
        """These are about to be published."""
        with self._lock:
            for event in events:
                producer, counter = self._place(event)
                producer.reach(counter)
                if not producer.marks[counter] & _ATTEMPTED:
                    self.attempted += 1
                producer.marks[counter] |= _ATTEMPTED | (_POISON if event in poisons else 0)

    def acknowledge(self, events: Iterable[str]) -> None:
        """These were attempted, and the broker has said that it has them."""
        with self._lock:
            for event in events:
                producer, counter = self._place(event)
                producer.reach(counter)
                if not producer.marks[counter] & _ACKNOWLEDGED:
                    producer.marks[counter] |= _ACKNOWLEDGED
                    self.acknowledged += 1
                    self.settled += bool(producer.out[counter] or producer.dead[counter])

    def result(self, event: str, right: bool) -> None:
        """One came out, with the answer that it has to have or another."""
        with self._lock:
            self.out += 1
            if not right:
                self._wrong.add(event)
            found = self._attempted(event)
            if found is None:
                return
            producer, counter = found
            if not producer.out[counter]:
                self._inversions += counter < producer.newest
                producer.newest = max(producer.newest, counter)
            self._settle(producer, counter)
            producer.out[counter] = min(producer.out[counter] + 1, _MOST)

    def letter(self, event: str) -> None:
        """One was dead-lettered."""
        with self._lock:
            self.dead += 1
            found = self._attempted(event)
            if found is None:
                return
            producer, counter = found
            self._settle(producer, counter)
            producer.dead[counter] = min(producer.dead[counter] + 1, _MOST)

    def verdict(self) -> Verdict:
        """What it says by now."""
        with self._lock:
            lost, repeated, innocents, spared, both = Ids(), Ids(), Ids(), Ids(), Ids()
            duplicates = 0
            for event, marks, out, dead in self._events():
                known = marks & _ACKNOWLEDGED
                if known and not out and not dead:
                    lost.add(event)
                if out > 1 or dead > 1:
                    duplicates += max(out - 1, 0) + max(dead - 1, 0)
                    repeated.add(event)
                if out and dead:
                    both.add(event)
                if dead and not marks & _POISON:
                    innocents.add(event)
                if marks & _POISON and known and not dead:
                    spared.add(event)
            return Verdict(
                attempted=self.attempted, acknowledged=self.acknowledged, out=self.out, dead=self.dead,
                duplicates=duplicates, inversions=self._inversions, lost=lost, unexpected=self._unexpected,
                repeated=repeated, wrong=self._wrong, innocents=innocents, spared=spared, both=both,
            )  # fmt: skip

    def _events(self) -> Iterator[tuple[str, int, int, int]]:
        for name, producer in self._producers.items():
            columns = zip(producer.marks, producer.out, producer.dead, strict=True)
            for counter, (marks, out, dead) in enumerate(columns):
                if marks:
                    yield f"{name}-{counter}", marks, out, dead

    def _attempted(self, event: str) -> tuple[_Producer, int] | None:
        """Where an id is kept; one that nobody published is counted."""
        name, _, digits = event.rpartition("-")
        producer = self._producers.get(name)
        counter = int(digits) if digits.isdecimal() else -1
        if (
            producer is None
            or not 0 <= counter < len(producer.marks)
            or not producer.marks[counter] & _ATTEMPTED
        ):
            self._unexpected.add(event)
            return None
        return producer, counter

    def _place(self, event: str) -> tuple[_Producer, int]:
        name, _, counter = event.rpartition("-")
        producer = self._producers.get(name)
        if producer is None:
            producer = self._producers[name] = _Producer()
        return producer, int(counter)

    def _settle(self, producer: _Producer, counter: int) -> None:
        first = not producer.out[counter] and not producer.dead[counter]
        self.settled += first and bool(producer.marks[counter] & _ACKNOWLEDGED)
