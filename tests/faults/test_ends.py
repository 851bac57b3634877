"""Parts end in order, under load or while the other part is away (T36)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .audits import Auditor, program
from .rig import Rig, wait_until
from .science import DOUBLE


def test_T36_rolling_restarts_of_both_parts_lose_nothing_and_repeat_nothing(auditor: Auditor) -> None:
    audit = auditor.run("--stop", "bridge,worker", "--times", "5", "--events", "10000", "--seed", "20131001")
    audit.require(done={"stop bridge": 5, "stop worker": 5}, duplicates=0, inversions=0, dead=0)


@pytest.mark.long
def test_T36_twenty_rolling_restarts_on_kafka_repeat_nothing_even_at_least_once(
    auditor: Auditor, kafka: Component
) -> None:
    audit = auditor.run(
        "--stop", "bridge,worker", "--times", "20", "--events", "40000", "--seed", "20131001",
        program=program(kafka.url),
        seconds=600,
    )  # fmt: skip
    audit.require(done={"stop bridge": 20, "stop worker": 20}, duplicates=0, inversions=0, dead=0)


@pytest.mark.parametrize("away", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_runner_ends_within_seconds_while_its_bridge_is_away(rig: Callable[..., Rig], away: int) -> None:
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    wait_until(lambda: pod.status()["scored"] == 100, seconds=120, what="100 scored")
    assert pod.bridge is not None and pod.runner is not None
    os.kill(pod.bridge.pid, away)

    pod.runner.terminate()

    assert pod.runner.wait(90) == 0
