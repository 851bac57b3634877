"""Parts are stopped and go on, or hang: what is late changes nothing, and who hangs is ended (T5, T6, T13)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from .rig import Rig, wait_until
from .science import DOUBLE, HOLDING, twice


def test_T5_the_late_result_of_a_worker_that_was_stopped_is_dropped(rig: Callable[..., Rig]) -> None:
    """The parent is stopped, too, or it would kill the worker: a debugger's stop."""
    pod = rig(DOUBLE, workers=2, deadline="3s", order="none")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500))
    wait_until(lambda: pod.status()["scored"] == 500, seconds=120, what="500 scored")
    assert pod.runner is not None
    wait_until(lambda: len(pod.status()["workers"]) == 2, seconds=120, what="two workers")
    os.kill(pod.runner.pid, signal.SIGSTOP)
    stopped = pod.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500, 5_000))
    wait_until(lambda: pod.metric("ds_deadlines_missed_total") > 0, seconds=120, what="its leases to end")

    os.kill(stopped, signal.SIGCONT)  # before the bridge closes its connection, 5 s behind the deadline
    wait_until(
        lambda: pod.metric("ds_results_dropped_total", reason="ended") > 0,
        seconds=120,
        what="the late result to be counted",
    )
    os.kill(pod.runner.pid, signal.SIGCONT)

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (5_000, 0, 0), verdict


def test_T6_a_bridge_that_was_stopped_past_the_deadline_blames_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2, deadline="4s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500))
    wait_until(lambda: pod.status()["scored"] == 500, seconds=120, what="500 scored")
    assert pod.bridge is not None
    for start in range(500, 10_500, 2_500):
        pod.publish({"id": f"a-{n}", "n": n} for n in range(start, start + 2_500))
        os.kill(pod.bridge.pid, signal.SIGSTOP)
        time.sleep(5)  # past the deadline
        os.kill(pod.bridge.pid, signal.SIGCONT)

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (10_500, 0, 0), verdict
    assert (pod.status()["suspects"], pod.status()["worker_deaths"]) == (0, 0)


def test_T13_a_hang_that_holds_the_interpreter_is_cut_with_its_stack(rig: Callable[..., Rig]) -> None:
    pod = rig(HOLDING, model="Holding", workers=1, deadline="1s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (2_000, 0), verdict
    assert "in hold" in pod.log("runner") and "rig_science.py" in pod.log("runner")


def test_T13_a_worker_that_hangs_while_the_bridge_is_killed_is_ended_by_its_parent(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(HOLDING, model="Holding", workers=1, deadline="2s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000))
    wait_until((pod.folder / "held").exists, seconds=120, what="the hang")
    pod.kill_bridge()

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (2_000, 0), verdict
    assert "has not come back to the bridge" in pod.log("runner")
