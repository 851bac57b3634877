"""Controls of the tests that count by a rig: what is really lost or wrong is seen there, too (T0a, T0b)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .science import DOUBLE, HEADER, twice
from .test_steps import end_at
from .traffic import publishing
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]

SHIFTED = (
    HEADER
    + """

class Shifted(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        return [Answer(id=e.id, value=of.n * 2.0) for e, of in zip(events, [*events[1:], events[0]])]
"""
)


@pytest.mark.usefixtures("faulty_bridge")
def test_T0a_an_end_at_a_step_with_positions_committed_first_is_seen_as_loss(rig: Rigs) -> None:
    pod = rig(DOUBLE, workers=1, environment={"DS_FAULT": "commit-first"})
    with publishing(pod, pause=0.02):
        end_at(pod, "after-send", 3)
        pod.start_bridge()
    assert pod.wait_settled(seconds=5).audit(twice).lost, "the step is not where something can be lost"


@pytest.mark.usefixtures("faulty_bridge")
def test_T0b_half_a_batch_that_is_taken_for_the_whole_is_seen_as_loss(rig: Rigs) -> None:
    pod = rig(DOUBLE, workers=1, environment={"DS_FAULT": "half-stored"})
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_000))
    assert pod.wait_settled(seconds=5).audit(twice).lost


def test_T0b_answers_on_anothers_event_are_seen_as_wrong(rig: Rigs) -> None:
    pod = rig(SHIFTED, model="Shifted", workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_000))
    assert pod.wait_settled(seconds=30).audit(twice).wrong
