"""Controls: a loss or a duplicate that is really there is seen (T0a, T0b). Without these the other tests prove nothing.

The bridge of these tests is built with the tag `faults`, which compiles seeded bugs in; DS_FAULT names the one to run. It
is `ds-runner audit` that has to see them, because it is what users and the other tests ask.
"""

from __future__ import annotations

import pytest

from tests.providers.component import Component

from .auditor import Ledger
from .audits import Auditor, program
from .science import twice


@pytest.mark.usefixtures("faulty_bridge")
def test_T0a_a_position_committed_before_the_result_is_stored_is_seen_as_loss(auditor: Auditor) -> None:
    audit = auditor.run(
        "--kill", "bridge", "--times", "10", "--events", "30000", "--seed", "20131001", "--patience", "10s",
        environment={"DS_FAULT": "commit-first"},
    )  # fmt: skip
    assert audit.code == 1
    assert audit.lost() > 0, "the seeded bug lost nothing: the storm is too tame to prove anything"
    assert "acknowledged events never came out: p" in audit.said


@pytest.mark.usefixtures("faulty_bridge")
def test_T0a_the_same_is_seen_on_a_real_broker(auditor: Auditor, redis: Component) -> None:
    """Read and written through a bridge that nobody kills."""
    audit = auditor.run(
        "--kill", "bridge", "--at", "steps", "--times", "6", "--events", "10000", "--seed", "20131001", "--patience", "15s",
        program=program(redis.url, settings={"takeover": "3s"}),
        environment={"DS_FAULT": "commit-first"},
    )  # fmt: skip
    assert (audit.code, audit.lost() > 0) == (1, True)


@pytest.mark.usefixtures("faulty_bridge")
def test_T0b_results_written_twice_are_seen_as_duplicates(auditor: Auditor) -> None:
    audit = auditor.run(
        "--kill", "worker", "--times", "0", "--events", "1000", environment={"DS_FAULT": "write-twice"}
    )
    assert (audit.code, audit.ledger["duplicates"] > 0) == (1, True)
    assert "came out more than once: p" in audit.said


def test_T0b_answers_shifted_by_one_are_seen_as_wrong() -> None:
    ids = [f"a-{n}" for n in range(10)]
    shifted = [(event, twice(ids[(i + 1) % 10])) for i, event in enumerate(ids)]
    verdict = Ledger(attempted=set(ids), acknowledged=set(ids), results=shifted).audit(twice)
    assert len(verdict.wrong) == 10


def test_T0b_an_innocent_in_the_dead_letters_does_not_hide_a_loss() -> None:
    verdict = Ledger(attempted={"a-1"}, acknowledged={"a-1"}, dead=["a-1"]).audit(twice)
    with pytest.raises(AssertionError):
        verdict.require_at_least_once()
