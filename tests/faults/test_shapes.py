"""Rows in the wrong place and events that join never reach a neighbour (T43, T45)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .rig import Rig, wait_until
from .science import DOUBLE, HEADER, twice

FRAME = (
    HEADER
    + """
import pandas as pd


class Frame(Model[Number, Answer]):
    def predict(self, events: pd.DataFrame) -> pd.DataFrame:
        out = pd.DataFrame({{"id": events["id"], "value": events["n"] * 2.0}})
        if (events["n"] == 77).any():
            out = {spoil}
        return out
"""
)

SPOILS = {
    "reversed rows": "out.iloc[::-1].reset_index(drop=True).iloc[::-1]",
    "a dropped row": "out[out['id'] != 'a-77']",
    "a wrong index": "out.set_axis(range(1, len(out) + 1))",
    "two rows merged": "pd.concat([out, out.iloc[:1]])",
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS.keys())
def test_T43_rows_out_of_place_are_refused_and_no_answer_moves(rig: Callable[..., Rig], spoil: str) -> None:
    pod = rig(FRAME.format(spoil=spoil), model="Frame", workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = {77}
    pod.publish({"id": f"a-{n}", "n": n} for n in range(200))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (199, 1, 0), verdict
    assert moved(events_at(pod), sources(pod)) == []


def events_at(pod: Rig) -> dict[str, str]:
    """The id of each event by where it is in the stream, as PARTITION/OFFSET."""
    records: Any = pod.call("tail", "numbers", "", 10_000, 0)[0]  # type: ignore[index]
    return {f"{record[0]}/{record[1]}": json.loads(record[4])["id"] for record in records}


def sources(pod: Rig) -> list[tuple[str, str]]:
    """Of each answer the place of the event that it was stored for, and the id in it."""
    records: Any = pod.call("tail", "answers", "", 10_000, 0)[0]  # type: ignore[index]
    found = []
    for record in records:
        headers = dict(zip(record[5][::2], record[5][1::2], strict=True))
        found.append((headers["ds-source"].decode().split("/", 1)[1], json.loads(record[4])["id"]))
    return found


def moved(events: dict[str, str], answers: list[tuple[str, str]]) -> list[str]:
    """The ids whose answers were stored for another event."""
    return [event for place, event in answers if events[place] != event]


def test_T43_an_answer_on_another_event_is_seen() -> None:
    """The control: an answer in which the id and the value agree, stored for its neighbour."""
    events = {"0/1": "a-1", "0/2": "a-2", "0/3": "a-3"}
    assert moved(events, [("0/1", "a-1"), ("0/2", "a-3"), ("0/3", "a-2")]) == ["a-3", "a-2"]


def test_T45_smuggled_events_die_and_no_neighbours_answer_moves(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.start_runner()
    good = [json.dumps({"id": f"a-{n}", "n": n}).encode() for n in range(6)]
    smuggled = [
        b'{"id":"a-100","n":100}{"id":"a-101","n":101}',  # two values in one payload
        b'{"id":"',  # these two join into one event
        b'","n":7}',
        b'{"id":"a-102","n":102}\n{"id":"a-103","n":103}',
    ]
    values = [*good[:2], smuggled[0], good[2], smuggled[1], smuggled[2], good[3], smuggled[3], *good[4:]]
    pod.call("publish", "numbers", [[value, b"k"] for value in values])
    wanted = {f"a-{n}" for n in range(6)}
    pod.ledger.attempted = pod.ledger.acknowledged = wanted

    wait_until(lambda: pod.status()["in"] == len(values), seconds=120, what="the events to be read")
    wait_until(lambda: pod.status()["unsettled"] == 0, seconds=120, what="the events to be settled")
    dead = [record[4] for record in pod.call("tail", "numbers.dead", "", 100, 0)[0]]
    answers, _ = pod.call("tail", "answers", "", 100, 0)
    results = {json.loads(record[4])["id"]: json.loads(record[4])["value"] for record in answers}

    assert sorted(dead) == sorted(smuggled)
    assert results == {event: twice(event) for event in wanted}
