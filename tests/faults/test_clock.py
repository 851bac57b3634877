"""The clock jumps an hour while events are being scored (T21)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import clock
from .programs import program
from .rig import wait_until
from .science import HEADER, twice
from .traffic import publishing
from .watch import WatchedRig

pytestmark = pytest.mark.long

Rigs = Callable[..., WatchedRig]

LEISURELY = (
    HEADER
    + """

class Leisurely(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        time.sleep(0.2)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("jumping") / "ds-bridge"
    clock.build(binary)
    return binary


@pytest.mark.timeout(600)
@pytest.mark.parametrize("by", [3600, -3600], ids=["forward", "back"])
@pytest.mark.parametrize("broker", ["embedded", "kafka", "nats", "redis"])
def test_T21_a_clock_that_jumps_an_hour_has_nothing_delivered_again_and_no_latency_below_zero(
    rig: Rigs,
    request: pytest.FixtureRequest,
    jumping: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: str,
    by: int,
) -> None:
    monkeypatch.setenv("DS_BRIDGE", str(jumping))
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    at = math.ceil(time.time()) + 8
    environment = {clock.AT: str(at), clock.BY: str(by)}
    pod = rig(LEISURELY, model="Leisurely", workers=2, environment=environment, program=program(url))
    (pod.folder / "sitecustomize.py").write_text(clock.SITE)
    pod.start_bridge()
    pod.start_runner()
    with publishing(pod):
        wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results before the jump")
        while time.time() < at + 0.5:
            lowest_latency(pod)
            time.sleep(0.1)
        scored = pod.status()["scored"]
        wait_until(
            lambda: pod.status()["scored"] > scored + 1_000, seconds=120, what="results after the jump"
        )
        lowest_latency(pod)

    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.dead, verdict.inversions) == (0, 0, 0), verdict
    status = pod.status()
    assert (status["worker_deaths"], status["suspects"]) == (0, 0), status
    assert pod.metric("ds_events_retried_total") == 0
    assert pod.metric("ds_deadlines_missed_total") == 0
    pod.call("pause", "numbers")  # which is logged, with the time
    assert f'"time":"{hour(time.time() + by)}' in pod.log("bridge"), "the clock did not jump"


def lowest_latency(pod: WatchedRig) -> None:
    """No series that tells a time is below zero."""
    for line in pod.metrics().splitlines():
        if "_seconds" in line and not line.startswith("#"):
            assert float(line.rsplit(" ", 1)[1]) >= 0, line


def hour(seconds: float) -> str:
    """The beginning of a time in a log."""
    return time.strftime("%Y-%m-%dT%H:", time.gmtime(seconds))
