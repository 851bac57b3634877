"""Links between bridge and workers that break, stall, crawl and are cut (T16, T17).

A proxy stands where the network would be. What it did is asserted beside what became of the events: a link that was never
broken proves nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from .auditor import Verdict
from .proxy import ToxicProxy
from .rig import Rig, wait_until
from .science import DOUBLE, twice

SEED, LINKS = 20131001, 20
RUNS = 50


def numbers(pod: Rig, start: int, stop: int) -> None:
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(start, stop))


def behind(rig: Callable[..., Rig], link: ToxicProxy, pod: Rig) -> None:
    """Bridge and runner with the link between them, and the first events scored."""
    pod.start_runner(port=link.port)
    numbers(pod, 0, 500)
    wait_until(lambda: pod.status()["scored"] == 500, seconds=120, what="500 scored")


def unharmed(pod: Rig, events: int) -> Verdict:
    """All came out once and in order, and nobody was blamed."""
    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates, verdict.dead, verdict.inversions) == (events, 0, 0, 0), verdict
    return verdict


def test_T16_links_that_are_reset_are_dialled_again(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        behind(rig, link, pod)
        for part in range(12):
            numbers(pod, 500 + 500 * part, 1_000 + 500 * part)
            link.reset()
            time.sleep(0.2)
        unharmed(pod, 6_500)
        assert link.broken >= 20
    assert pod.status()["suspects"] == 0


def test_T16_links_that_stall_past_the_deadline_are_given_up_and_dialled_again(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE, workers=2, deadline="1s")
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        behind(rig, link, pod)
        link.set(black_hole=True)
        numbers(pod, 500, 2_500)
        wait_until(lambda: pod.metric("ds_deadlines_missed_total") > 0, seconds=120, what="a missed deadline")
        link.set(black_hole=False)
        numbers(pod, 2_500, 3_000)
        unharmed(pod, 3_000)


def test_T16_a_link_of_10_kilobytes_a_second_is_slow_and_nothing_else(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2, deadline="30s")
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        behind(rig, link, pod)
        link.set(bandwidth=10_000)
        passed, began = link.passed, time.monotonic()
        numbers(pod, 500, 2_000)
        unharmed(pod, 2_000)
        rate = (link.passed - passed) / (time.monotonic() - began)
        print(f"{rate:.0f} bytes a second")
        assert 500 < rate < 10_000 * 2 * 5 * 1.2, "up and down of five connections"
        assert link.broken == 0
    assert pod.status()["suspects"] == 0


def test_T16_frames_in_slices_of_seven_bytes_are_put_together(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=2, deadline="30s")
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        behind(rig, link, pod)
        link.set(slices=7, pause=0.0001)
        numbers(pod, 500, 1_500)
        unharmed(pod, 1_500)
        assert link.broken == 0
    assert pod.metric("ds_wire_malformed_total") == 0


@pytest.mark.parametrize("direction", ["up", "down"])
def test_T16_connections_that_are_cut_within_a_frame_are_dialled_again(
    rig: Callable[..., Rig], direction: str
) -> None:
    """After 20,011 bytes of one direction, which is in the middle of something."""
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        behind(rig, link, pod)
        link.set(cut_after=20_011, direction=direction)
        for part in range(10):
            numbers(pod, 500 + 500 * part, 1_000 + 500 * part)
            wait_until(lambda: pod.status()["unsettled"] < 500, seconds=120, what="most to be settled")
        unharmed(pod, 5_500)
        assert link.broken >= 5


def dying_links(rig: Callable[..., Rig], seed: int, links: int) -> None:
    """Publish until so many connections have died, each half a second to one and a half after it stood."""
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(seed), lifetime=(0.5, 1.5)) as link:
        pod.start_runner(port=link.port)
        wait_until(lambda: pod.status()["state"] == "running", seconds=120, what="the first worker")
        published = 0
        while link.broken < links:
            numbers(pod, published, published := published + 500)
            wait_until(lambda: pod.status()["unsettled"] < 2_000, seconds=120, what="most to be settled")
        print(f"seed {seed}, {link.broken} links broken")
        unharmed(pod, published)
    assert pod.log("bridge").count('"level":"ERROR"') == 0


def test_T17_connections_that_die_after_a_second_lose_nothing_and_blame_nobody(
    rig: Callable[..., Rig],
) -> None:
    dying_links(rig, SEED, LINKS)


@pytest.mark.long
@pytest.mark.parametrize("run", range(RUNS))
def test_T17_connections_that_die_after_a_second_lose_nothing_in_any_run(
    rig: Callable[..., Rig], run: int
) -> None:
    dying_links(rig, SEED + 1 + run, LINKS)
