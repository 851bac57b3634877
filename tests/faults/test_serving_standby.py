"""A worker that is killed under load while its model takes long to load: with a standby nobody notices, without one everybody does (T50)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.httpload.run import Report

from .rig import wait_until
from .science import DOUBLE
from .service import Service

Services = Callable[..., Service]
LOADS = 4  # seconds
SLOW = DOUBLE + f"\n\ntime.sleep({LOADS})\n"


@contextmanager
def asking(pod: Service) -> Iterator[list[object]]:
    """Asks /readyz all the time. Yields what it said besides yes."""
    no: list[object] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            status, said = pod.get("/readyz")
            if status != 200:
                no.append(said)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield no
    finally:
        over.set()
        asker.join()


def complete(pod: Service, standby: int) -> bool:
    """All have joined and said READY, by which they have a window."""
    workers = pod.status()["workers"]
    return sorted(w["standby"] for w in workers) == [False, *[True] * standby] and all(
        w["window"] for w in workers
    )


def killed(pod: Service, standby: int, times: int) -> tuple[Report, list[object]]:
    """What became of the requests and of /readyz while the worker that scores is killed, again once all are there."""
    with pod.load(connections=16) as load, asking(pod) as no:
        load.await_answers()
        for _ in range(times):
            wait_until(lambda: complete(pod, standby), seconds=120, what="all workers")
            [pid] = [w["pid"] for w in pod.status()["workers"] if not w["standby"]]
            os.kill(pid, signal.SIGKILL)
            pod.kills += 1
            wait_until(
                lambda pid=pid: (
                    complete(pod, standby) and pid not in {w["pid"] for w in pod.status()["workers"]}
                ),  # type: ignore[misc]
                seconds=120,
                what="another in its place",
            )
        report = load.end()
    print(report, no[:1])
    return report, no


def serving(service: Services, standby: int) -> Service:
    pod = service(SLOW, model="Double", workers=1, keys=f", standby: {standby}, request_timeout: 60s").start()
    wait_until(lambda: complete(pod, standby), seconds=120, what="all workers")
    return pod


def test_T50_with_a_standby_nobody_waits_for_a_model_to_load(service: Services) -> None:
    pod = serving(service, standby=1)
    report, no = killed(pod, standby=1, times=3)
    report.require_all_right()
    assert not no, "/readyz has shown a gap"
    assert max(report.stall_ms, report.latency[200].max_ms) < LOADS * 1000, report
    wait_until(lambda: pod.metric("ds_standby_taken_total") == 3, seconds=30, what="metrics that count them")
    wait_until(
        lambda: (pod.metric("ds_workers_ready"), pod.metric("ds_workers_standby")) == (1, 1),
        seconds=120,
        what="metrics that say so",
    )


def test_T50_without_a_standby_the_gap_is_seen(service: Services) -> None:
    report, no = killed(serving(service, standby=0), standby=0, times=1)
    report.require_all_right(beside=(503,))
    assert no, "/readyz has not shown the gap"
    assert report.stall_ms >= LOADS * 1000, report
