"""The bridge ends at named steps, where it hurts most, and what each guarantee says of it holds (T4).

The steps are those of bridge_go/steps: the bridge of these tests is built with the tag `faults`.
"""

from __future__ import annotations

import random
import secrets
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.providers.component import Component

from .auditor import Verdict
from .programs import program
from .rig import wait_until
from .science import HEADER, twice
from .traffic import publishing
from .watch import WatchedRig

pytestmark = pytest.mark.usefixtures("faulty_bridge")

SEED, TIMES = 20131004, 20

SOUR = (
    HEADER
    + """

class Sour(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        return [self.answer(e) for e in events]

    def answer(self, e: Number) -> Answer:
        if e.n % 500 == 7:
            raise ZeroDivisionError("division by zero")
        return Answer(id=e.id, value=e.n * 2.0)
"""
)
POISONS = set(range(7, 1_000_000, 500))

# Where events are read, scored and stored, and where a transaction ends: with it, positions are committed nowhere else.
STEPS = (
    "after-poll", "after-send", "half-results", "dead-lettering", "after-produce", "before-commit", "draining",
)  # fmt: skip
TRANSACTION = ("transaction-end", "transaction-sent")
# Behind these something is stored that nobody has committed: at least once, it must be seen twice.
STORED = ("half-results", "dead-lettering", "after-produce", "before-commit")


def end_at(pod: WatchedRig, step: str, n: int) -> None:
    """One life of the bridge, which ends when it comes to the step for the n-th time."""
    pod.start_bridge(DS_STEP=f"{step}:{n}")
    assert pod.bridge is not None
    if pod.runner is None:
        pod.start_runner()
    if step == "draining":
        wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results")
        pod.bridge.terminate()
    try:
        assert pod.bridge.wait(120) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the bridge did not come to {step} for the {n}. time") from None
    pod.kills += 1


def walk(pod: WatchedRig, steps: Sequence[str], *, passes: int = 4) -> Verdict:
    """The bridge comes to one step after the other, and ends at each; then it is left alone and audited."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    pod.poisons = POISONS
    with publishing(pod):
        for step in steps:
            end_at(pod, step, rng.randint(1, 2 if step in ("draining", "dead-lettering") else passes))
        pod.start_bridge()
    verdict = pod.wait_settled(seconds=120).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    return verdict


def on_kafka(kafka: Component, guarantee: str) -> str:
    """With an identity that outlives a process: the group need not wait until it has given the dead one up."""
    return program(kafka.url, guarantee=guarantee, settings={"partitions": 4, "instance_id": "rig-0"})


Rigs = Callable[..., WatchedRig]


def test_T4_the_steps_are_those_of_the_bridge(faulty_binary: Path) -> None:
    names = subprocess.run(
        [faulty_binary, "steps"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(names) == sorted((*STEPS, *TRANSACTION))


def test_T4_a_bridge_that_ends_at_each_step_loses_and_doubles_nothing_on_the_embedded_store(
    rig: Rigs,
) -> None:
    verdict = walk(rig(SOUR, model="Sour", workers=2), STEPS, passes=1)
    assert verdict.duplicates == 0, "the embedded store de-duplicates by message id"


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_T4_twenty_ends_at_one_step_lose_and_double_nothing_on_the_embedded_store(
    rig: Rigs, step: str
) -> None:
    verdict = walk(rig(SOUR, model="Sour", workers=2), [step] * TIMES)
    assert verdict.duplicates == 0, "the embedded store de-duplicates by message id"


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("broker", ["embedded", "nats"])
def test_T4_twenty_ends_at_one_step_lose_and_double_nothing_where_the_fates_of_events_are_whole(
    rig: Rigs, request: pytest.FixtureRequest, broker: str, step: str
) -> None:
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    text = program(url, guarantee="exactly-once", settings={"stream": f"whole{secrets.token_hex(4)}"})
    verdict = walk(rig(SOUR, model="Sour", workers=2, program=text), [step] * TIMES)
    assert verdict.duplicates == 0, verdict


def test_T4_a_bridge_that_ends_in_a_transaction_loses_and_doubles_nothing_on_kafka(
    rig: Rigs, kafka: Component
) -> None:
    pod = rig(SOUR, model="Sour", workers=2, program=on_kafka(kafka, "exactly-once"))
    verdict = walk(pod, TRANSACTION, passes=1)
    assert (verdict.duplicates, verdict.inversions) == (0, 0), verdict


@pytest.mark.long
@pytest.mark.parametrize("step", [*(step for step in STEPS if step != "before-commit"), *TRANSACTION])
def test_T4_twenty_ends_at_one_step_lose_and_double_nothing_exactly_once_on_kafka(
    rig: Rigs, kafka: Component, step: str
) -> None:
    pod = rig(SOUR, model="Sour", workers=2, program=on_kafka(kafka, "exactly-once"))
    verdict = walk(pod, [step] * TIMES)
    assert (verdict.duplicates, verdict.inversions) == (0, 0), verdict


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_T4_twenty_ends_at_one_step_lose_nothing_at_least_once_on_kafka_and_double_what_was_not_committed(
    rig: Rigs, kafka: Component, step: str
) -> None:
    pod = rig(SOUR, model="Sour", workers=2, program=on_kafka(kafka, "at-least-once"))
    verdict = walk(pod, [step] * TIMES)
    if step in STORED:
        assert verdict.duplicates > 0, "nothing was stored before the end: the step is not where it says"
