"""What is nobody's fault ends nobody: outages, models that cannot load, children that outlive a worker (T42, T44, T47, T48)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .auditor import Verdict
from .rig import PROGRAM, Rig, wait_until
from .science import DOUBLE, FORKING, HEADER, OUTAGE, TREACHEROUS, UNLOADABLE, twice
from .test_leases import Liar


def outage(pod: Rig, down: Callable[[], object], up: Callable[[], object], seconds: float) -> Verdict:
    """What the model depends on is down for so long while events come: the source pauses, nothing is dead, and it goes on."""
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a{n % 50}-{n}", "n": n} for n in range(2_000))
    wait_until(lambda: pod.status()["scored"] == 2_000, seconds=120, what="2,000 scored before the outage")

    down()
    began = time.monotonic()
    pod.publish({"id": f"a{n % 50}-{n}", "n": n} for n in range(2_000, 6_000))
    wait_until(lambda: pod.status()["state"] == "paused", seconds=120, what="the breaker to open")
    while time.monotonic() < began + seconds:
        assert pod.collect().dead == []
        assert pod.status()["ready"] is False
        time.sleep(0.5)

    up()
    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(f"down for {seconds:g} s: {verdict}")
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates, verdict.inversions) == (6_000, 0, 0, 0), verdict
    return verdict


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(240)])])
def test_T42_an_outage_in_which_every_event_raises_pauses_the_source(
    rig: Callable[..., Rig], seconds: float
) -> None:
    pod = rig(OUTAGE, model="Outage", workers=2)
    flag = pod.folder / "outage"
    outage(pod, flag.touch, flag.unlink, seconds)


LOOKUP = (
    HEADER.replace("from pyrunner import ", "from pyrunner import Context, ")
    + """

class Lookup(Model[Number, Answer]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Answer]:
        ctx.kv("features").get_many([e.id for e in events])
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_T42_an_outage_in_which_every_call_of_a_model_hangs_pauses_the_source_and_blames_nobody(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    redis = own_component("redis")
    connection = '    events: {{url: "embedded:"}}\n'
    program = PROGRAM.replace(connection, f'{connection}    features: {{{{url: "{redis.url}"}}}}\n')
    pod = rig(LOOKUP, model="Lookup", workers=2, program=program, deadline="4s")
    outage(pod, redis.kill, redis.restart, 60)
    assert pod.metric("ds_worker_deaths_total") == 0
    assert pod.status()["suspects"] == 0


def test_T42_an_event_that_raises_by_itself_is_dead_and_pauses_nothing(rig: Callable[..., Rig]) -> None:
    """The control: what keeps the dead letters empty above is that everything fails, not that nothing ever dies."""
    pod = rig(TREACHEROUS, model="Treacherous", workers=2)
    pod.poisons = {42}
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a{n % 50}-{n}", "n": n} for n in range(1_000))
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (999, 1), verdict
    assert pod.metric("ds_breaker_opened_total") == 0


def test_T44_results_for_a_dead_bridge_are_dropped_by_the_next(rig: Callable[..., Rig]) -> None:
    """The workers are stopped while they hold leases; the bridge dies and comes back; then they go on."""
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500))
    wait_until(lambda: pod.status()["scored"] == 500, seconds=120, what="500 scored")
    stopped = pod.workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500, 3_000))
    pod.kill_bridge()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates) == (3_000, 0), verdict


def test_T44_a_result_of_a_dead_bridges_lease_is_counted_and_settles_nothing(rig: Callable[..., Rig]) -> None:
    """By hand, since our own client drops what it could not send: the same worker brings it to the next bridge."""
    pod = rig(DOUBLE, deadline="100s")
    pod.start_bridge()
    pod.await_bridge()
    before = Liar(pod, "liar")
    pod.publish({"id": f"a-{n}", "n": n} for n in range(10))
    old = before.batch()
    pod.kill_bridge()
    pod.await_bridge()
    before.connection.close()

    after = Liar(pod, "liar")
    batch = after.batch()
    assert (batch.batch, batch.positions[:2]) == (old.batch, old.positions[:2]), (
        "the same number, the same events"
    )
    assert batch.nonce != old.nonce
    after.answer(old)
    wait_until(
        lambda: pod.metric("ds_results_dropped_total", reason="other_bridge") == 1,
        seconds=120,
        what="the count",
    )
    assert pod.status()["scored"] == 0, "the old result settled the new lease's events"
    after.answer(batch)
    settled = len(batch.payloads)
    while settled < 10:
        settled += len((batch := after.batch()).payloads)
        after.answer(batch)
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates) == (10, 0), verdict


def test_T47_a_worker_that_cannot_load_gets_no_lease_and_says_why_once(rig: Callable[..., Rig]) -> None:
    pod = rig(UNLOADABLE, model="Unloadable", workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(10))

    def tries() -> float:
        return pod.metric("ds_worker_deaths_total", cause="load")

    wait_until(lambda: tries() >= 3, seconds=120, what="three tries to load")
    said = [line for line in pod.log("runner").splitlines() if "weights are missing" in line]
    assert len(said) == 1, "one line for a cause, not one for each try"
    now = pod.status()
    assert (now["state"], now["ready"], now["in"], now["scored"], now["dead"]) == (
        "waiting",
        False,
        0,
        0,
        0,
    ), now
    assert pod.metric("ds_events_leased_total") == 0


def test_T48_a_forked_child_that_outlives_its_worker_hides_nothing(rig: Callable[..., Rig]) -> None:
    """The child lives for ten minutes and holds the worker's socket open, as far as the bridge can see."""
    pod = rig(FORKING, model="Forking", workers=1, deadline="500s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_000))
    wait_until((pod.folder / "forked").exists, seconds=120, what="the fork")
    wait_until(lambda: "exit code 3" in pod.log("runner"), seconds=120, what="the parent's word")

    verdict = pod.wait_settled(seconds=150).audit(twice)  # well under the deadline and the child's life

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (1_000, 0, 0), verdict
    assert pod.metric("ds_worker_deaths_total", cause="exit") == 1
