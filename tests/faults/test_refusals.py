"""Events that a model cannot score and results that a sink does not take end as dead letters, and nothing else does (T9, T10, T11, T32)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.providers.component import Component

from .programs import program
from .rig import wait_until
from .science import HEADER, twice
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]

SPOILT = (
    HEADER
    + """

class Spoilt(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        answers = [self.answer(e) for e in events]
        return answers[:-1] if any(e.n == 400 for e in events) else answers  # a wrong length

    def answer(self, e: Number) -> Answer:
        if e.n == 100:
            raise ZeroDivisionError("division by zero")
        if e.n == 200:
            return Answer(id=e.id, value=float("nan"))
        if e.n == 300:
            return "a text"  # type: ignore
        if e.n == 500:
            return Answer(id=e.id, value="a text")  # type: ignore
        return Answer(id=e.id, value=e.n * 2.0)
"""
)

FRAMES = (
    HEADER
    + """
import pandas as pd


class Frames(Model[Number, Answer]):
    def predict(self, events: pd.DataFrame) -> pd.DataFrame:
        out = pd.DataFrame({"id": events["id"], "value": events["n"] * 2.0})
        if (events["n"] == 100).any():
            return out.set_axis(range(7, len(out) + 7))  # a wrong index
        if (events["n"] == 200).any():
            return out.iloc[:-1]  # a wrong length
        out.loc[events["n"] == 300, "value"] = float("inf")
        return out
"""
)


@pytest.mark.parametrize(
    ("science", "model", "poisons"),
    [(SPOILT, "Spoilt", {100, 200, 300, 400, 500}), (FRAMES, "Frames", {100, 200, 300})],
    ids=["objects", "frames"],
)
def test_T9_what_raises_or_answers_what_cannot_be_is_dead_lettered_and_its_neighbours_are_not(
    rig: Rigs, science: str, model: str, poisons: set[int]
) -> None:
    pod = rig(science, model=model, workers=2)
    pod.poisons = poisons
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"p{n % 20}-{n}", "n": n} for n in range(3_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (3_000 - len(poisons), len(poisons), 0), verdict
    assert verdict.inversions == 0, verdict


TALKATIVE = (
    HEADER
    + """

class Long(Answer):
    note: str


class Talkative(Model[Number, Long]):
    def predict(self, events: list[Number]) -> list[Long]:
        return [Long(id=e.id, value=e.n * 2.0, note="x" * (2 << 20 if e.n % 200 == 50 else 10)) for e in events]
"""
)


@pytest.mark.parametrize(
    ("broker", "guarantee"),
    [
        ("embedded", "at-least-once"),
        pytest.param("nats", "at-least-once", marks=pytest.mark.long),
        pytest.param("kafka", "at-least-once", marks=pytest.mark.long),
        ("kafka", "exactly-once"),
    ],
)
def test_T10_a_result_above_the_limit_of_its_sink_is_dead_lettered_once_and_not_tried_again(
    rig: Rigs, request: pytest.FixtureRequest, broker: str, guarantee: str
) -> None:
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    pod = rig(
        TALKATIVE, model="Talkative", workers=2, deadline="60s", program=program(url, guarantee=guarantee)
    )
    pod.poisons = {n for n in range(1_000) if n % 200 == 50}
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"p{n % 20}-{n}", "n": n} for n in range(1_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (995, 5, 0), verdict
    assert pod.status()["unsettled"] == 0
    assert pod.metric("ds_sink_refusals_total") == 5, "an output was tried again"
    assert pod.metric("ds_events_leased_total") == 1_000, "an event was scored again"
    letters, _ = pod.call("tail", "numbers.dead", "", 100, 0)  # type: ignore[misc]
    assert {headers_of(letter)["ds-error-code"] for letter in letters} == {b"output_refused"}


def headers_of(record: Any) -> dict[str, bytes]:
    return dict(zip(record[5][::2], record[5][1::2], strict=True))


SOUR = (
    HEADER
    + """

class Sour(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        return [self.answer(e) for e in events]

    def answer(self, e: Number) -> Answer:
        if e.n == 1_300:
            raise ZeroDivisionError("division by zero")
        return Answer(id=e.id, value=e.n * 2.0)
"""
)


@pytest.mark.parametrize(
    "broker", [*(pytest.param(one, marks=pytest.mark.long) for one in ("embedded", "nats")), "kafka"]
)
def test_T11_nothing_is_committed_past_a_poison_while_the_dead_letters_have_nowhere_to_go(
    rig: Rigs, request: pytest.FixtureRequest, own_component: Callable[[str], Component], broker: str
) -> None:
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    letters = own_component("nats")
    text = program(url, settings={"partitions": 1} if broker == "kafka" else {}, letters=letters.url)
    pod = rig(SOUR, model="Sour", workers=2, program=text)
    pod.poisons = {1_300}
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"p{n % 20}-{n}", "n": n} for n in range(1_000))
    pod.wait_settled(seconds=150)

    letters.kill()
    pod.publish({"id": f"p{n % 20}-{n}", "n": n} for n in range(1_000, 3_000))
    wait_until(
        lambda: pod.metric("ds_sink_retries_total") > 3, seconds=120, what="the letter to be tried again"
    )
    (moved,) = pod.call("seek", "numbers", "", ["newest"], True)[2]  # type: ignore[index]
    first = moved[3] - 3_000  # the offset of number 0
    assert 1_000 <= moved[1] - first <= 1_300, (
        f"the position is {moved[1]}, the poison stands at {first + 1_300}"
    )

    letters.restart()
    wait_until(
        lambda: pod.metric("ds_events_total", fate="dead") == 1, seconds=120, what="the letter to be stored"
    )
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates, verdict.inversions) == (2_999, 1, 0, 0), verdict
