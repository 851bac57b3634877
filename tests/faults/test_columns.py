"""Events by columns, while parts are killed: what holds of payloads holds of them (T1, T2, T8, T9)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from .rig import Rig, wait_until
from .science import HEADER, twice

SEGFAULT, RAISE = 1234, 4242
SEED = 20131001

FRAMED = (
    HEADER
    + f"""
import ctypes

import pandas as pd


class Framed(Model[Number, Answer]):
    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        if (X.n == {SEGFAULT}).any():
            ctypes.string_at(0)
        if (X.n == {RAISE}).any():
            raise ZeroDivisionError("division by zero")
        return pd.DataFrame({{"id": X.id, "value": X.n * 2.0}})
"""
)

# What the bridge's parser leaves to Python, which refuses it.
MISFITS = [
    b"",
    b'{"id": "m-1", "n": 1.0}',
    b'{"id": "m-2", "n": "2"}',
    b'{"id": "m-3"}',
    b'{"id": "m-4", "n": 4}{"id": "m-5", "n": 5}',
    b'{"id": "m-6", "n": 6, "more": "\xff"}',
    b'{"id": "m-7", "n": 7, "more": 1e999}',
]


def test_T1_T2_T8_T9_kills_and_poisons_lose_nothing_by_columns(rig: Callable[..., Rig]) -> None:
    rng = random.Random(SEED)
    pod = rig(FRAMED, model="Framed", workers=2, deadline="5s")
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = {SEGFAULT, RAISE}
    for part in range(4):
        pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(3_000 * part, 3_000 * (part + 1)))
        if part == 2:
            pod.kill_bridge()
        else:
            wait_until(lambda: pod.kill_worker(rng), seconds=120, what="a worker to kill")

    verdict = pod.wait_settled(seconds=120).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.dead, verdict.inversions) == (2, 0), verdict
    assert pod.metric("ds_wire_events_total", form="columns") > 0


def test_T9_T45_misfits_are_dead_lettered_alone_with_pythons_reason(rig: Callable[..., Rig]) -> None:
    pod = rig(FRAMED, model="Framed", workers=1)
    pod.start_bridge()
    pod.start_runner()
    around = [json.dumps({"id": f"a-{n}", "n": n}).encode() for n in range(2 * len(MISFITS))]
    records = [
        [value, b"a"] for pair in zip(around[::2], MISFITS, around[1::2], strict=True) for value in pair
    ]
    pod.call("publish", "numbers", records)
    wait_until(lambda: pod.status()["in"] == len(records), seconds=120, what="the events to be read")
    wait_until(lambda: pod.status()["unsettled"] == 0, seconds=120, what="the events to be settled")

    answers = [json.loads(value) for value in pod._values("answers")]
    assert [answer["id"] for answer in answers] == [f"a-{n}" for n in range(len(around))]
    letters = pod.call("tail", "numbers.dead", "", 100, 0)[0]
    assert [letter[4] for letter in letters] == MISFITS
    assert all("invalid_event" in repr(letter) for letter in letters), "the verdict of Python, by field"
    assert pod.metric("ds_wire_events_total", form="misfit") >= len(MISFITS)
