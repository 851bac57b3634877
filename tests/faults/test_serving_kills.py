"""Workers that are killed, or that a row kills, hangs or fills, while they serve: every request is answered, innocents rightly (T50, T51)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from .rig import wait_until
from .science import DOUBLE, LIMITED, ORDERED, resting
from .service import Posted, Service
from .test_seeded import SHIFTED

Services = Callable[..., Service]
SEED = 20131001
# While no worker lives, what comes is told so at once: a row that kills may have met both before the first is back.
NO_WORKER = (503,)
DIE, HANG, RAISE, SWELL = -1, -2, -3, -4  # of science.ORDERED


def killed_again_and_again(pod: Service, rng: random.Random, times: int) -> None:
    """A worker each time, once all of them are there again."""
    for _ in range(times):
        wait_until(lambda: len(pod.status()["workers"]) == 2, seconds=120, what="both workers")
        deaths = pod.metric("ds_worker_deaths_total")
        assert pod.kill_worker(rng)
        wait_until(
            lambda deaths=deaths: pod.metric("ds_worker_deaths_total") > deaths,  # type: ignore[misc]
            seconds=120,
            what="the death to be seen",
        )


def test_T50_requests_are_answered_rightly_though_workers_are_killed(service: Services) -> None:
    pod = service(DOUBLE, workers=2).start()
    with pod.load(connections=32) as load:
        load.await_answers()
        killed_again_and_again(pod, random.Random(SEED), 2)
        report = load.end()
    print(report)
    report.require_all_right()


@pytest.mark.long
def test_T50_requests_are_answered_rightly_through_fifty_kills(service: Services) -> None:
    pod = service(DOUBLE, workers=2).start()
    with pod.load(seconds=900, connections=64) as load:
        load.await_answers()
        killed_again_and_again(pod, random.Random(SEED), 50)
        report = load.end()
    print(report, pod.memory.bridge >> 20, "MiB")
    report.require_all_right()


def test_T50_answers_on_anothers_row_are_seen_as_wrong(service: Services) -> None:
    pod = service(SHIFTED, model="Shifted", workers=1).start()
    with pod.load(connections=32) as load:
        load.await_answers()
        assert load.end().wrong > 0


def test_T50_what_a_killed_bridge_had_accepted_is_seen_as_lost(service: Services) -> None:
    pod = service(resting(50), model="Resting", workers=1).start()
    with pod.load(connections=32, until_refused=True) as load:
        load.await_answers()
        assert pod.bridge is not None
        pod.bridge.kill()
        assert load.report().lost > 0


@pytest.mark.parametrize(
    ("order", "statuses"), [(DIE, {500}), (HANG, {504}), (RAISE, {500})], ids=["dies", "hangs", "raises"]
)
def test_T51_a_row_that_takes_its_worker_with_it_fails_alone(
    service: Services, order: int, statuses: set[int]
) -> None:
    pod = service(ORDERED, model="Ordered", workers=2, deadline="3s", keys=", request_timeout: 300s").start()
    with pod.load(connections=16) as load:
        load.await_answers()
        status, said = pod.post({"id": "bad", "n": order}, seconds=300)
        report = load.end()
    print(status, said, report)
    assert status in statuses, said
    report.require_all_right(beside=NO_WORKER)


def test_T51_a_row_that_kills_leaves_its_list_and_its_neighbours_their_answers(service: Services) -> None:
    pod = service(ORDERED, model="Ordered", workers=1, keys=", request_timeout: 300s").start()
    rows = [{"id": f"a-{n}", "n": n} for n in range(40)]
    rows[17] = {"id": "bad", "n": DIE}
    neighbours = [Posted(pod, {"id": f"b-{n}", "n": n}) for n in range(5)]
    status, said = pod.post(rows, seconds=300)
    assert status == 200
    wanted = [None if row["n"] == DIE else {"id": row["id"], "value": row["n"] * 2.0} for row in rows]  # type: ignore[operator]
    assert said["predictions"] == wanted
    assert [n for n, error in enumerate(said["errors"]) if error] == [17]
    for n, one in enumerate(neighbours):
        assert one.answer() == (200, {"id": f"b-{n}", "value": n * 2.0})


def test_T51_a_row_that_does_not_fit_into_memory_fails_alone(service: Services) -> None:
    pod = service(LIMITED, model="Ordered", workers=2, keys=", request_timeout: 300s").start()
    with pod.load(connections=16) as load:
        load.await_answers()
        status, said = pod.post({"id": "bad", "n": SWELL}, seconds=300)
        report = load.end()
    print(status, said, report)
    assert status >= 500, said
    report.require_all_right()
