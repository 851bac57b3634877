"""What a route promises under what is done to it, and whether a ledger keeps it.

Nothing is lost, invented, wrong, out of order or dead without a reason, on every route. What differs is whether anything may
come out twice:

    exactly-once                                        never
    a sink that knows message ids                       never, within the time for which it knows them
    only workers are killed, or parts stop as planned   never
    otherwise                                           what was at work at each kill, which is what at-least-once says
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pyrunner.audit.ledger import Ids, Verdict
from pyrunner.audit.route import Place, Route


@dataclass(frozen=True)
class Promise:
    """What may not be, and why it may not come twice."""

    once: bool
    because: str
    ordered: bool

    def __str__(self) -> str:
        twice = f"duplicated 0 ({self.because})" if self.once else f"duplicates allowed ({self.because})"
        return f"lost 0, {twice}" + (", inversions 0" if self.ordered else "")


def promise_of(route: Route, deeds: Collection[tuple[str, str]]) -> Promise:
    """`deeds` are (verb, part) that are going to happen."""
    ordered = route.order != "none"
    if route.guarantee == "exactly-once":
        return Promise(True, "guarantee: exactly-once", ordered)
    if knows_ids(route.sink) and knows_ids(route.letters):
        return Promise(True, f"{route.sink.scheme} knows message ids", ordered)
    if all(verb == "stop" or (verb == "kill" and part == "worker") for verb, part in deeds):
        return Promise(True, "nothing but workers is killed", ordered)
    return Promise(
        False, f"at least once, and {route.sink.scheme or 'the sink'} knows no message ids", ordered
    )


def knows_ids(place: Place) -> bool:
    """Whether what is written there again under the same id is stored once."""
    match place.scheme:
        case "embedded" | "memory" | "file":
            return True
        case "nats":
            return place.setting("duplicates") not in ("0", "0s")
        case "redis":
            return place.setting("dedup") not in ("", "0", "0s")
        case "postgres":
            return True  # the audit's tables are of our own layout, which keeps ids
    return False


def broken(promise: Promise, verdict: Verdict) -> list[str]:
    """The sentences that say how a promise was broken; none when it was kept."""
    faults = [
        _say(verdict.lost, "acknowledged events never came out"),
        _say(verdict.wrong, "answers are wrong, or on another event's key"),
        _say(verdict.unexpected, "events came out that nobody published"),
        _say(verdict.innocents, "events are dead letters without a reason"),
        _say(verdict.spared, "events that cannot be scored are not among the dead letters"),
    ]
    if promise.once:
        faults.append(_say(verdict.repeated, "events came out more than once"))
        faults.append(_say(verdict.both, "events came out and are dead letters as well"))
    if promise.ordered and verdict.inversions:
        faults.append(f"{verdict.inversions:,} events came out behind a later one of their key")
    return [fault for fault in faults if fault]


def _say(ids: Ids, what: str) -> str:
    return f"{len(ids):,} {what}: {', '.join(ids.first[:5])}{', ...' if len(ids) > 5 else ''}" if ids else ""
