"""Parts are killed while events flow, and nothing is lost (T1, T2)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from .auditor import Verdict
from .rig import Rig, wait_until
from .science import DOUBLE, twice

EVENTS = 100_000
SEED = 20131001


def storm(
    pod: Rig,
    kill: Callable[[random.Random], bool],
    times: int,
    *,
    events: int = EVENTS,
    patience: float = 120,
) -> Verdict:
    """Publish while something is killed so often, at random moments of at most 0.4 s apart; then audit."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    pod.start_bridge()
    pod.start_runner()
    publisher = threading.Thread(
        target=lambda: pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(events)), daemon=True
    )
    publisher.start()
    wait_until(lambda: pod.status()["scored"] > 0, seconds=60, what="the first result")
    done, pause = 0, threading.Event()
    while done < times:
        pause.wait(0.1 + rng.random() * 0.3)
        done += kill(rng)
    publisher.join(120)
    assert not publisher.is_alive()
    return pod.wait_settled(seconds=patience).audit(twice)


def test_T2_twenty_worker_kills_lose_nothing_and_blame_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2)
    verdict = storm(pod, pod.kill_worker, 20)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, "the embedded store de-duplicates by message id"
    assert verdict.inversions == 0, verdict


def test_T1_ten_bridge_kills_lose_nothing_and_blame_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2)

    def kill(_: random.Random) -> bool:
        pod.kill_bridge()
        return True

    verdict = storm(pod, kill, 10)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, "the embedded store de-duplicates by message id"
