"""The storms on a real Kafka: at least once loses nothing, exactly once loses and doubles nothing (T1, T2, T3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .audits import Audit, Auditor, program

GUARANTEES = pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
ALL = ("--kill", "bridge,worker,broker", "--seed", "20131002")


def require(audit: Audit, guarantee: str, **kills: int) -> None:
    audit.require(done={f"kill {part}": count for part, count in kills.items()}, inversions=0, dead=0)
    assert audit.lost() == 0
    if guarantee == "exactly-once":
        audit.require(duplicates=0)


@GUARANTEES
def test_T1_T2_T3_kills_of_bridge_workers_and_broker_keep_the_promise_on_kafka(
    auditor: Auditor, own_component: Callable[[str], Component], guarantee: str
) -> None:
    kafka = own_component("kafka")
    audit = auditor.run(
        *ALL, "--times", "bridge=4,worker=4,broker=1", "--events", "12000",
        program=program(kafka.url, guarantee, {"session_timeout": "6s"}),
        broker=kafka,
    )  # fmt: skip
    require(audit, guarantee, bridge=4, worker=4, broker=1)


@pytest.mark.long
@GUARANTEES
def test_T1_T2_T3_fifty_kills_of_bridge_and_workers_and_five_of_the_broker_over_100000_events(
    auditor: Auditor, own_component: Callable[[str], Component], guarantee: str
) -> None:
    kafka = own_component("kafka")
    audit = auditor.run(
        *ALL, "--times", "bridge=50,worker=50,broker=5", "--events", "100000", "--deadline", "25m",
        program=program(kafka.url, guarantee, {"session_timeout": "6s"}),
        broker=kafka,
        seconds=1_600,
    )  # fmt: skip
    require(audit, guarantee, bridge=50, worker=50, broker=5)
