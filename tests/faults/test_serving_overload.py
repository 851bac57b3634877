"""More is asked than can be answered: as much as can be is, and the others are told at once (T55)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.httpload.run import Report

from .science import resting
from .service import Service

REST_MS, CAP = 100, 16  # of a call, so long that a busy machine adds little to it
CAPACITY = CAP / REST_MS * 1000


def overloaded(service: Callable[..., Service], seconds: float) -> tuple[Report, int]:
    """Four times as many rows as the model can score, and the bytes that they cost the bridge."""
    pod = service(
        resting(REST_MS), model="Resting", workers=1, keys=", request_timeout: 10s, batch: {events: 16}"
    ).start()
    before = pod.memory.bridge
    with pod.load(seconds=seconds, rate=4 * CAPACITY, connections=2500, seed=3) as load:
        report = load.report()
    print(report, (pod.memory.bridge - before) >> 20, "MiB more")
    return report, pod.memory.bridge - before


def require_goodput(report: Report, grown: int) -> None:
    report.require_all_right(beside=(429, 504))
    # The time that a row waits is an estimate, and a machine that stands still for a second proves some of them wrong. Without
    # it all that is too much would end so, two in five of what is sent.
    assert report.answered.get(504, 0) < report.sent / 5, report
    # Bounds for a machine that does other things beside; the benchmark has the figures of a quiet one.
    assert report.rate > CAPACITY / 4, report
    assert report.latency[429].p50_ms < report.latency[200].p50_ms / 4, report
    assert grown < 128 << 20


def test_T55_in_overload_the_rest_is_refused_at_once(service: Callable[..., Service]) -> None:
    require_goodput(*overloaded(service, 8))


@pytest.mark.long
def test_T55_in_a_minute_of_overload_nothing_grows(service: Callable[..., Service]) -> None:
    require_goodput(*overloaded(service, 60))
