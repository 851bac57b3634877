"""What the rig has published and read, event by event, for the one auditor that there is: `pyrunner.audit.ledger`.

That the auditor sees what is wrong is shown by the seeded bugs in `test_controls.py`: one that cannot see a loss proves
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyrunner.audit import Tally, Verdict

__all__ = ["Ledger", "Verdict"]


@dataclass
class Ledger:
    """Ids are `producer-counter`; the counter of one producer increases in the order of publishing."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    results: list[tuple[str, float]] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    poisons: set[str] = field(default_factory=set)

    def audit(self, answer: Callable[[str], float]) -> Verdict:
        tally = Tally()
        tally.attempt(self.attempted, self.poisons)
        tally.acknowledge(self.acknowledged)
        for event, value in self.results:
            tally.result(event, right=value == answer(event))
        for event in self.dead:
            tally.letter(event)
        return tally.verdict()
