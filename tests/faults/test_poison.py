"""Events that kill, hang or raise end as dead letters, alone (T8, T9, T13)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from .rig import Rig, wait_until
from .science import HEADER, TREACHEROUS, twice

POISONS = {1234, 5678, 42, 4242, 6000, 6001, 9999}
SEED = 20131001

# Kills its process for the events named, and writes down what each call was given before it begins.
SEGFAULTING = (
    HEADER
    + """
import ctypes
import json

POISONS = set({poisons})
CALLS = os.open("calls.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Segfaulting(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        numbers = [e.n for e in events]
        os.write(CALLS, json.dumps(numbers).encode() + b"\\n")
        if not POISONS.isdisjoint(numbers):
            ctypes.string_at(0)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)

# Holds the interpreter's lock in C for ever, whenever it meets the event: with its stack, by a name that a test looks for.
HANGING = (
    HEADER
    + """
import ctypes


class Hanging(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        for e in events:
            if e.n == 700:
                with open("hangs", "a") as file:
                    file.write(str(len(events)) + "\\n")
                self.hold()
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]

    def hold(self) -> None:
        ctypes.PyDLL(None).sleep(3600)
"""
)


def test_T8_seven_poisons_in_ten_thousand_die_alone(rig: Callable[..., Rig]) -> None:
    pod = rig(TREACHEROUS, model="Treacherous", workers=2, deadline="1s")
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = POISONS
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(10_000))

    verdict = pod.wait_settled(seconds=120).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (9_993, 7, 0), verdict
    assert verdict.inversions == 0, verdict


def test_T8_a_dead_letter_tells_position_cause_and_attempts(rig: Callable[..., Rig]) -> None:
    pod = rig(TREACHEROUS, model="Treacherous", workers=1, deadline="1s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_200, 1_300))
    pod.wait_settled(seconds=150)

    records, _ = pod.call("tail", "numbers.dead", "", 10, 0)
    (record,) = records
    headers = dict(zip(record[5][::2], (value.decode() for value in record[5][1::2]), strict=True))

    assert json.loads(record[4]) == {"id": "a-1234", "n": 1234}
    assert headers["ds-source"].endswith("/0/35"), headers
    assert "SIGSEGV" in headers["ds-error-reason"], headers
    assert int(headers["ds-attempts"]) >= 3, headers


def extra_calls(calls: list[list[int]], poison: int) -> int:
    """The calls that a poison cost beyond the first: those that met it again, and those for the rest of its batch alone."""
    first = next(number for number, call in enumerate(calls) if poison in call)
    batch = set(calls[first])
    return sum(poison in call or batch.issuperset(call) for call in calls[first + 1 :])


def dead_letters(pod: Rig) -> list[tuple[int, dict[str, str]]]:
    """The number of each dead event, and its headers."""
    records: Any = pod.call("tail", "numbers.dead", "", 1000, 0)[0]  # type: ignore[index]
    return [
        (
            json.loads(record[4])["n"],
            dict(zip(record[5][::2], (v.decode() for v in record[5][1::2]), strict=True)),
        )
        for record in records
    ]


def offsets(pod: Rig) -> dict[int, str]:
    """Partition and offset of each event, from the stream itself."""
    found, after = {}, ""
    while True:
        records, after = pod.call("tail", "numbers", after, 10_000, 0)  # type: ignore[misc]
        if not records:
            return found
        found |= {json.loads(record[4])["n"]: f"{record[0]}/{record[1]}" for record in records}


def segfaults(rig: Callable[..., Rig], events: int, poisons: set[int]) -> list[int]:
    """Publish so many with these among them; exactly these die, each where it was. Returns what each cost in calls."""
    pod = rig(SEGFAULTING.replace("{poisons}", repr(sorted(poisons))), model="Segfaulting", workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = poisons
    pod.publish(({"id": f"p{n % 1000}-{n}", "n": n} for n in range(events)), batch=5_000)

    verdict = pod.wait_settled(seconds=150).audit(twice)

    print(f"seed {SEED}, {verdict}")
    verdict.require_at_least_once()
    settled = events - len(poisons), len(poisons), 0, 0
    assert (verdict.out, verdict.dead, verdict.duplicates, verdict.inversions) == settled, verdict
    where = offsets(pod)
    for n, headers in dead_letters(pod):
        assert headers["ds-source"].endswith(f"/{where[n]}"), headers
        assert "SIGSEGV" in headers["ds-error-reason"], headers
    calls = [json.loads(line) for line in (pod.folder / "calls.jsonl").read_text().splitlines()]
    return [extra_calls(calls, poison) for poison in sorted(poisons)]


@pytest.mark.long
@pytest.mark.timeout(200)
def test_T8_ten_segfaults_in_a_hundred_thousand_die_alone_after_at_most_twenty_calls_each(
    rig: Callable[..., Rig],
) -> None:
    rng = random.Random(SEED)
    poisons = {10_000 * part + rng.randrange(1_000, 9_000) for part in range(10)}
    extra = segfaults(rig, 100_000, poisons)
    print(f"extra calls {extra}")
    assert len(extra) == 10 and max(extra) <= 20, extra


def test_T8_a_segfault_costs_at_most_twenty_calls_and_no_neighbour(rig: Callable[..., Rig]) -> None:
    (extra,) = segfaults(rig, 3_000, {1_777})
    assert 2 <= extra <= 20, extra


def test_T8_calls_of_a_poison_that_is_tried_for_ever_are_counted() -> None:
    """The control: what the count of calls is made of."""
    whole = list(range(8))
    assert extra_calls([[90, 91], whole, whole, whole[:4], whole[4:], [4], [4], [92, 93]], 4) == 5
    assert extra_calls([[4, 5]] * 30, 4) == 29


def test_T13_an_event_that_always_hangs_is_dead_after_a_bounded_number_of_tries_and_the_lag_recovers(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(HANGING, model="Hanging", workers=2, deadline="2s")
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = {700}
    pod.publish({"id": f"p{n % 100}-{n}", "n": n} for n in range(3_000))

    verdict = pod.wait_settled(seconds=100).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (2_999, 1, 0), verdict
    assert verdict.inversions == 0, verdict
    tries = (pod.folder / "hangs").read_text().split()
    assert 3 <= len(tries) <= 20 and tries[-2:] == ["1", "1"], tries
    assert pod.log("runner").count("in hold") >= 3, "each hang leaves its stack"
    wait_until(lambda: pod.status()["lag"] == 0, seconds=120, what="the lag to be gone")
