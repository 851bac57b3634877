"""Controls: a loss or a duplicate that is really there is seen (T0a, T0b). Without these the other tests prove nothing.

The bridge of these tests is built with the tag `faults`, which compiles seeded bugs in; DS_FAULT names the one to run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .auditor import Ledger
from .rig import Rig
from .science import DOUBLE, twice
from .test_kills import storm


@pytest.mark.usefixtures("faulty_bridge")
def test_T0a_a_position_committed_before_the_result_is_stored_is_seen_as_loss(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE, workers=2, environment={"DS_FAULT": "commit-first"})

    def kill(_: object) -> bool:
        pod.kill_bridge()
        return True

    verdict = storm(pod, kill, 10, events=30_000, patience=10)  # what is lost does not come
    print(verdict)
    assert verdict.lost, "the seeded bug lost nothing: the storm is too tame to prove anything"


@pytest.mark.usefixtures("faulty_bridge")
def test_T0b_results_written_twice_are_seen_as_duplicates(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1, environment={"DS_FAULT": "write-twice"})
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_000))
    assert pod.wait_settled(seconds=30).audit(twice).duplicates > 0


def test_T0b_answers_shifted_by_one_are_seen_as_wrong() -> None:
    ids = [f"a-{n}" for n in range(10)]
    shifted = [(event, twice(ids[(i + 1) % 10])) for i, event in enumerate(ids)]
    verdict = Ledger(attempted=set(ids), acknowledged=set(ids), results=shifted).audit(twice)
    assert len(verdict.wrong) == 10


def test_T0b_an_innocent_in_the_dead_letters_does_not_hide_a_loss() -> None:
    verdict = Ledger(attempted={"a-1"}, acknowledged={"a-1"}, dead=["a-1"]).audit(twice)
    with pytest.raises(AssertionError):
        verdict.require_at_least_once()
