"""The ledger of a fault test: what went in, what came out, and what that says of the promise.

With A attempted, P acknowledged, R read from the output and D dead-lettered ids:

    lost        P - R - D           must be empty, whatever was killed
    unexpected  (R + D) - A         must be empty
    duplicates  |R| - |set(R)|      at most what was in flight at each kill; 0 where the sink de-duplicates
    wrong       answers that are not f(id)
    inversions  per key, among first occurrences
    innocents   D - planned poisons

`Ledger` only counts; a test says what it demands. That it does count is shown by the seeded bugs in
`test_controls.py`: an auditor that cannot see a loss proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Ids are `producer-counter`; the counter of one producer increases in the order of publishing."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    results: list[tuple[str, float]] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    poisons: set[str] = field(default_factory=set)

    def audit(self, answer: Callable[[str], float]) -> Verdict:
        seen = Counter(event for event, _ in self.results)
        settled = seen.keys() | set(self.dead)
        return Verdict(
            acknowledged=len(self.acknowledged),
            out=len(self.results),
            dead=len(self.dead),
            lost=sorted(self.acknowledged - settled),
            unexpected=sorted(settled - self.attempted),
            duplicates=sum(seen.values()) - len(seen) + len(self.dead) - len(set(self.dead)),
            both=sorted(seen.keys() & set(self.dead)),
            wrong=sorted(event for event, value in self.results if value != answer(event)),
            inversions=inversions(event for event, _ in self.results),
            innocents=sorted(set(self.dead) - self.poisons),
            spared=sorted((self.poisons & self.acknowledged) - set(self.dead)),
        )


@dataclass(frozen=True)
class Verdict:
    """What the ledger says. Lists hold the ids, so that a failing test shows them."""

    acknowledged: int
    out: int
    dead: int
    lost: list[str]
    unexpected: list[str]
    duplicates: int
    both: list[str]
    wrong: list[str]
    inversions: int
    innocents: list[str]
    spared: list[str]

    def require_at_least_once(self) -> None:
        """Nothing lost, nothing invented, nothing wrong, no innocent dead, each poison dead."""
        assert not self.lost, self
        assert not self.unexpected, self
        assert not self.wrong, self
        assert not self.innocents, self
        assert not self.spared, self
        assert not self.both, self

    def __str__(self) -> str:
        def few(ids: list[str]) -> str:
            return f"{len(ids)}" + (f" ({', '.join(ids[:5])} ...)" if ids else "")

        return (
            f"acknowledged {self.acknowledged}, out {self.out}, dead {self.dead}, LOST {few(self.lost)}, "
            f"DUP {self.duplicates}, WRONG {few(self.wrong)}, inversions {self.inversions}, "
            f"unexpected {few(self.unexpected)}, innocents {few(self.innocents)}, spared {few(self.spared)}, "
            f"both {few(self.both)}"
        )


def inversions(events: Iterable[str]) -> int:
    """Events that came out behind a later one of the same producer, first occurrences alone."""
    newest: dict[str, int] = {}
    seen: set[str] = set()
    count = 0
    for event in events:
        if event in seen:
            continue
        seen.add(event)
        producer, number = event.rsplit("-", 1)
        if int(number) < newest.get(producer, -1):
            count += 1
        newest[producer] = max(int(number), newest.get(producer, -1))
    return count
