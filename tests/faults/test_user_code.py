"""What user code does to its process harms nobody (T7, T37)."""

from __future__ import annotations

from collections.abc import Callable

from .rig import Rig
from .science import CROWDED, UNRULY, twice


def test_T7_a_batch_that_does_not_fit_into_memory_comes_again_in_parts(rig: Callable[..., Rig]) -> None:
    pod = rig(CROWDED, model="Crowded", workers=1)
    pod.start_bridge()
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(500))
    pod.start_runner()

    verdict = pod.wait_settled(seconds=60).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (500, 0, 0), verdict
    assert "out of memory" in pod.log("runner") and "out_of_memory" in pod.log("bridge")


def test_T37_user_code_that_prints_forks_and_closes_descriptors_harms_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(UNRULY, model="Unruly", workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(3_000))

    verdict = pod.wait_settled(seconds=60).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (3_000, 0, 0), verdict
    assert "closed descriptors" in pod.log("runner")
