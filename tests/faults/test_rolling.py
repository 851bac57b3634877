"""Twenty rolling restarts of both parts under load: parts that end in order repeat nothing, even at least once (T36). Kafka's are in test_ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .programs import program
from .rig import wait_until
from .science import DOUBLE, twice
from .traffic import publishing
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]
ROUNDS = 20


def works(pod: WatchedRig) -> bool:
    now = pod.status()
    return bool(now["state"] == "running" and now["scored"] > 0)


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded", "nats", "redis"])
def test_T36_twenty_rolling_restarts_under_load_lose_and_repeat_nothing(
    rig: Rigs, request: pytest.FixtureRequest, broker: str
) -> None:
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    pod = rig(DOUBLE, workers=2, program=program(url))
    pod.start_bridge()
    pod.start_runner()
    with publishing(pod):
        for _ in range(ROUNDS):
            wait_until(lambda: works(pod), seconds=120, what="results")
            pod.stop_bridge()
            pod.start_bridge()
            wait_until(lambda: works(pod), seconds=120, what="results of the new bridge")
            pod.stop_runner()
            pod.start_runner()

    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.dead, verdict.inversions) == (0, 0, 0), verdict
