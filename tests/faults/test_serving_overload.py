"""More is asked than can be answered: as much as can be is, and the others are told at once (T55)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.httpload.run import Report

from .science import resting
from .service import Service

CAPACITY = 16 / 0.025  # 16 rows a call of 20 ms, and what lies between two calls


def overloaded(service: Callable[..., Service], seconds: float) -> tuple[Report, int]:
    """Twice as many rows as the model can score, and the bytes that they cost the bridge."""
    pod = service(
        resting(20), model="Resting", workers=1, keys=", request_timeout: 2s, batch: {events: 16}"
    ).start()
    before = pod.memory.bridge
    with pod.load(seconds=seconds, rate=2 * 16 / 0.02, connections=3000, seed=3) as load:
        report = load.report()
    print(report, (pod.memory.bridge - before) >> 20, "MiB more")
    return report, pod.memory.bridge - before


def require_goodput(report: Report, grown: int) -> None:
    report.require_all_right(beside=(429, 504))
    # The time that a row waits is an estimate, and a machine that is busy with other things proves some of them wrong.
    assert report.answered.get(504, 0) < report.sent / 20, report
    # Half of what a quiet machine does, since tests run beside others; the benchmark has the figure.
    assert report.rate > CAPACITY / 2, report
    assert report.latency[429].p50_ms < 50, report
    assert grown < 128 << 20


def test_T55_in_overload_the_rest_is_refused_at_once(service: Callable[..., Service]) -> None:
    require_goodput(*overloaded(service, 6))


@pytest.mark.long
def test_T55_in_a_minute_of_overload_nothing_grows(service: Callable[..., Service]) -> None:
    require_goodput(*overloaded(service, 60))
