"""Ten kills of a broker, half of them together with those of bridge and workers (T3)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from pyrunner.audit.gauges import percentile
from tests.providers.component import Component

from .auditor import Verdict
from .programs import program
from .rig import wait_until
from .science import DOUBLE, twice
from .traffic import publishing
from .watch import WatchedRig

pytestmark = pytest.mark.long

Rigs = Callable[..., WatchedRig]
Kill = Callable[[random.Random], object]
SEED = 20131003
WITHIN = 30.0  # seconds, most kills' recovery: a broker that starts, and everybody who finds it again


def storm(pod: WatchedRig, kills: list[Kill], record: Callable[..., None]) -> Verdict:
    """Events keep coming while parts are killed in a drawn order; each time until results come again."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    rng.shuffle(kills)
    pod.start_bridge()
    pod.start_runner()
    recoveries = []
    with publishing(pod):
        wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="the first result")
        for kill in kills:
            threading.Event().wait(rng.random() * 0.3)
            kill(rng)
            recoveries.append(recovery(pod))
    verdict = pod.wait_settled(seconds=120).audit(twice)
    p95 = percentile(recoveries, 0.95)
    print(f"{verdict}, recovery p95 {p95:.1f} s")
    record(seed=SEED, kills=len(kills), p95=round(p95, 1))
    verdict.require_at_least_once()
    assert p95 < WITHIN
    return verdict


def recovery(pod: WatchedRig) -> float:
    """Seconds from now until a result more has been stored."""
    began, before = time.monotonic(), None
    while True:
        scored = pod.status()["scored"]
        if before is not None and scored != before and scored > 0:
            return time.monotonic() - began
        before = scored
        assert time.monotonic() - began < 60, "no result for a minute after a kill"
        time.sleep(0.02)


@pytest.mark.parametrize("broker", ["nats", "kafka", "redis"])
def test_T3_ten_kills_of_the_broker_with_both_halves_lose_nothing(
    rig: Rigs, own_component: Callable[[str], Component], record: Callable[..., None], broker: str
) -> None:
    server = own_component(broker)
    settings = {"kafka": {"partitions": 4, "instance_id": "rig-0"}, "redis": {"takeover": "3s"}}
    guarantee = "exactly-once" if broker == "kafka" else "at-least-once"
    pod = rig(
        DOUBLE, workers=2, program=program(server.url, guarantee=guarantee, settings=settings.get(broker, {}))
    )

    def kill(_: random.Random) -> None:
        pod.kills += 1
        server.kill()
        server.restart()

    def kill_all(rng: random.Random) -> None:
        """The broker is there again before a bridge asks for it: most connectors give up a broker that is not there."""
        pod.kill_worker(rng)
        assert pod.bridge is not None
        pod.bridge.kill()
        pod.bridge.wait()
        kill(rng)
        pod.start_bridge()

    kills: list[Kill] = (
        [kill] * 5 + [kill_all] * 5 + [lambda _: pod.kill_bridge()] * 3 + [pod.kill_worker] * 3
    )
    verdict = storm(pod, kills, record)
    if broker != "redis":
        assert verdict.duplicates == 0, "outputs are in transactions, or de-duplicated by message id"
