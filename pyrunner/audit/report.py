"""An outcome as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyrunner.audit.ledger import Ids
from pyrunner.audit.run import Outcome

_NAMED = 20  # ids of a kind in JSON


def table(outcome: Outcome) -> Iterator[str]:
    """Lines: what was done, what came of it, and what was measured."""
    route, verdict = outcome.route, outcome.verdict
    yield f"route       {route.source.scheme or '?'} -> {route.sink.scheme or '?'}, {route.guarantee}, order: {route.order}"
    yield f"promise     {outcome.promise}"
    yield f"done        {deeds(outcome)}; seed {outcome.seed}"
    if outcome.steps_reached or outcome.steps_missed:
        yield f"steps       {_counts(outcome.steps_reached)}; not reached: {_counts(outcome.steps_missed)}"
    if outcome.ended:
        yield f"ended       {len(outcome.ended)} parts by themselves, started again"
    again = f", {outcome.published_again} batches again" if outcome.published_again else ""
    yield f"attempted   {verdict.attempted:,}{again}"
    yield f"acked       {verdict.acknowledged:,}"
    yield f"out         {verdict.out:,}"
    yield f"dead        {verdict.dead:,}"
    yield f"LOST        {len(verdict.lost):,}"
    yield f"UNEXPECTED  {len(verdict.unexpected):,}"
    yield f"DUP         {verdict.duplicates:,}"
    yield f"WRONG       {len(verdict.wrong):,}"
    yield f"INVERSIONS  {verdict.inversions:,}"
    yield f"took        {outcome.seconds:.1f} s, {outcome.rate:,.0f} results/s"
    yield f"stalls      longest {outcome.stall:.1f} s, recovery p95 {outcome.recovery:.1f} s"
    yield f"peak RSS    bridge {outcome.bridge_memory / 2**20:.0f} MiB, worker {outcome.worker_memory / 2**20:.0f} MiB"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The same for programs; ids are the first of their kind."""
    verdict = outcome.verdict
    return {
        "route": {
            "from": outcome.route.source.scheme, "to": outcome.route.sink.scheme,
            "guarantee": outcome.route.guarantee, "order": outcome.route.order, "program": outcome.route.name,
        },
        "promise": {"lost": 0, "duplicates": 0 if outcome.promise.once else None,
                    "inversions": 0 if outcome.promise.ordered else None, "because": outcome.promise.because},
        "kept": not outcome.broken,
        "broken": outcome.broken,
        "done": outcome.deeds,
        "steps": {"reached": outcome.steps_reached, "missed": outcome.steps_missed},
        "ended": outcome.ended,
        "seed": outcome.seed,
        "attempted": verdict.attempted,
        "acknowledged": verdict.acknowledged,
        "out": verdict.out,
        "dead": verdict.dead,
        "lost": _ids(verdict.lost),
        "unexpected": _ids(verdict.unexpected),
        "duplicates": verdict.duplicates,
        "repeated": _ids(verdict.repeated),
        "wrong": _ids(verdict.wrong),
        "innocents": _ids(verdict.innocents),
        "spared": _ids(verdict.spared),
        "both": _ids(verdict.both),
        "inversions": verdict.inversions,
        "seconds": round(outcome.seconds, 3),
        "results_per_second": round(outcome.rate, 1),
        "longest_stall_seconds": round(outcome.stall, 3),
        "recovery_p95_seconds": round(outcome.recovery, 3),
        "peak_rss_bytes": {"bridge": outcome.bridge_memory, "worker": outcome.worker_memory},
    }  # fmt: skip


def deeds(outcome: Outcome) -> str:
    """`5 bridge kills, 20 worker kills, 1 broker stop`."""
    done = []
    for name, count in sorted(outcome.deeds.items()):
        verb, part = name.split()
        done.append(f"{count} {part} {verb}{'' if count == 1 else 's'}")
    return ", ".join(done) or "nothing was killed"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _ids(ids: Ids) -> dict[str, Any]:
    return {"count": len(ids), "first": ids.first[:_NAMED]}
