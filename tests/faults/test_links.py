"""Links between bridge and workers break all the time (T16, T17)."""

from __future__ import annotations

import random
from collections.abc import Callable

from .proxy import ToxicProxy
from .rig import Rig, wait_until
from .science import DOUBLE, twice

SEED, LINKS = 20131001, 20


def test_T17_connections_that_die_after_a_second_lose_nothing_and_blame_nobody(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED), lifetime=(0.5, 1.5)) as link:
        pod.start_runner(port=link.port)
        wait_until(lambda: pod.status()["state"] == "running", seconds=60, what="the first worker")
        for start in range(0, 100_000, 500):
            pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(start, start + 500))
            wait_until(lambda: pod.status()["unsettled"] < 2_000, seconds=60, what="most to be settled")
            if link.broken >= LINKS:
                break
        verdict = pod.wait_settled(seconds=60).audit(twice)

    print(f"{link.broken} links broken, {verdict}")
    assert link.broken >= LINKS
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.dead, verdict.inversions) == (0, 0, 0), verdict
