"""Parts are killed while events flow, and nothing is lost (T1, T2)."""

from __future__ import annotations

import pytest

from .audits import Auditor

EVENTS = ["--events", "50000", "--seed", "20131001"]


def test_T2_twenty_worker_kills_lose_nothing_and_blame_nobody(auditor: Auditor) -> None:
    audit = auditor.run("--kill", "worker", "--times", "20", *EVENTS)
    audit.require(done={"kill worker": 20}, duplicates=0, inversions=0, dead=0)


def test_T1_ten_bridge_kills_lose_nothing_and_blame_nobody(auditor: Auditor) -> None:
    audit = auditor.run("--kill", "bridge", "--times", "10", *EVENTS)
    audit.require(done={"kill bridge": 10}, duplicates=0, inversions=0, dead=0)


@pytest.mark.long
def test_T1_T2_fifty_bridge_kills_and_a_hundred_worker_kills_lose_nothing(auditor: Auditor) -> None:
    audit = auditor.run(
        "--kill", "bridge,worker", "--times", "bridge=50,worker=100", "--events", "100000", "--poisons", "10",
        "--seed", "20131001", "--deadline", "10m", seconds=700,
    )  # fmt: skip
    audit.require(done={"kill bridge": 50, "kill worker": 100}, duplicates=0, inversions=0)
    assert audit.ledger["dead"] >= 10, "the planned poisons"
