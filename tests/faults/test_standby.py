"""A stream with one worker and a standby: deaths cost no event and no order, and each part knows which is which afterwards (T2, T8)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from .rig import PROGRAM, Rig, wait_until
from .science import DOUBLE, TREACHEROUS, twice

STANDBY = PROGRAM.replace("workers: {workers}", "workers: {workers}, standby: 1")
CHUNK = 2_000
SEGFAULT = 1234  # of science.TREACHEROUS


def working(pod: Rig) -> set[int]:
    """The worker that scores, once it and one that stands by are there."""
    found: list[set[int]] = []

    def both() -> bool:
        rows = [w for w in pod.status()["workers"] if w["window"]]  # it has said READY
        found[:] = [{w["pid"] for w in rows if not w["standby"]}, {w["pid"] for w in rows if w["standby"]}]
        return [len(pids) for pids in found] == [1, 1]

    wait_until(both, seconds=120, what="a worker and a standby")
    return found[0]


def give(pod: Rig, chunk: int) -> None:
    pod.publish({"id": f"{n % 7}-{n}", "n": n} for n in range(chunk * CHUNK, (chunk + 1) * CHUNK))


def test_T2_a_standby_takes_over_again_and_again_also_of_a_new_bridge(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1, program=STANDBY)
    pod.start_bridge()
    pod.start_runner()
    for chunk in range(3):
        [pid] = working(pod)
        give(pod, chunk)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in working(pod), seconds=120, what="the standby to work")  # type: ignore[misc]
    wait_until(lambda: pod.metric("ds_standby_taken_total") == 3, seconds=30, what="metrics that count them")
    before = working(pod)
    pod.kill_bridge()
    assert working(pod) == before, "each is what it was"
    give(pod, 3)

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.dead, verdict.inversions) == (0, 0), verdict


def test_T8_an_event_that_kills_is_found_by_a_worker_and_a_standby(rig: Callable[..., Rig]) -> None:
    pod = rig(TREACHEROUS, model="Treacherous", workers=1, program=STANDBY)
    pod.poisons = {42, SEGFAULT}
    pod.start_bridge()
    pod.start_runner()
    working(pod)
    give(pod, 0)

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.inversions) == (CHUNK - 2, 2, 0), verdict
    working(pod)
