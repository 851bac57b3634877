"""Parts end in order, under load or while the other part is away (T36)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from .rig import Rig, wait_until
from .science import DOUBLE, twice

ROUNDS = 5


def test_T36_rolling_restarts_of_both_parts_lose_nothing_and_repeat_nothing(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    stop = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not stop.wait(0.02):
            pod.publish({"id": f"p{n % 7}-{n}", "n": n} for n in range(published, published + 200))
            published += 200

    def works() -> bool:
        now = pod.status()
        return bool(now["state"] == "running" and now["scored"] > 0)

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    for _ in range(ROUNDS):
        wait_until(works, seconds=60, what="results")
        pod.stop_bridge()
        pod.start_bridge()
        wait_until(works, seconds=60, what="results of the new bridge")
        pod.stop_runner()
        pod.start_runner()
    stop.set()
    publisher.join(60)
    assert not publisher.is_alive()

    verdict = pod.wait_settled(seconds=60).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.dead, verdict.inversions) == (0, 0, 0), verdict
    assert "records with these ids already" not in pod.log("bridge"), "something was written twice"


@pytest.mark.parametrize("away", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_runner_ends_within_seconds_while_its_bridge_is_away(rig: Callable[..., Rig], away: int) -> None:
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    wait_until(lambda: pod.status()["scored"] == 100, seconds=30, what="100 scored")
    assert pod.bridge is not None and pod.runner is not None
    os.kill(pod.bridge.pid, away)

    pod.runner.terminate()

    assert pod.runner.wait(15) == 0
