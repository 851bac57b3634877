"""What is nobody's fault ends nobody: outages, models that cannot load, children that outlive a worker (T42, T44, T47, T48)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from .rig import Rig, wait_until
from .science import DOUBLE, FORKING, OUTAGE, UNLOADABLE, twice


def test_T42_an_outage_pauses_the_source_and_the_dead_letters_stay_empty(rig: Callable[..., Rig]) -> None:
    pod = rig(OUTAGE, model="Outage", workers=2)
    outage = pod.folder / "outage"
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000))
    wait_until(lambda: pod.status()["scored"] == 2_000, seconds=30, what="2,000 scored before the outage")

    outage.touch()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000, 6_000))
    wait_until(lambda: pod.status()["state"] == "paused", seconds=30, what="the breaker to open")
    assert pod.collect().dead == []

    outage.unlink()
    verdict = pod.wait_settled(seconds=60).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (6_000, 0), verdict
    assert verdict.inversions == 0, verdict


def test_T44_results_for_a_dead_bridge_are_dropped_by_the_next(rig: Callable[..., Rig]) -> None:
    """The workers are stopped while they hold leases; the bridge dies and comes back; then they go on."""
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500))
    wait_until(lambda: pod.status()["scored"] == 500, seconds=30, what="500 scored")
    stopped = pod.workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500, 3_000))
    pod.kill_bridge()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    verdict = pod.wait_settled(seconds=60).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates) == (3_000, 0), verdict


def test_T47_a_worker_that_cannot_load_gets_no_lease_and_says_why_once(rig: Callable[..., Rig]) -> None:
    pod = rig(UNLOADABLE, model="Unloadable", workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(10))

    def said() -> int:
        return (pod.folder / "runner.log").read_text().count("weights are missing")

    wait_until(lambda: said() > 0, seconds=30, what="the cause in the runner's log")
    now = pod.status()
    assert (now["state"], now["in"], now["scored"], now["dead"]) == ("waiting", 0, 0, 0), now


def test_T48_a_forked_child_that_outlives_its_worker_hides_nothing(rig: Callable[..., Rig]) -> None:
    pod = rig(FORKING, model="Forking", workers=1, deadline="30s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_000))

    verdict = pod.wait_settled(seconds=20).audit(twice)  # well under the deadline and the child's minute

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (1_000, 0), verdict
