"""Exactly once on the embedded broker and on NATS: an event's outputs or its dead letter, whole, once, of one attempt (T1, T2, T3, T8)."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

from pyrunner.client import CallError
from tests.providers.component import Component

from .rig import Rig, wait_until
from .science import HEADER, twice

SEED = 20131003

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: rig}}}}
spec:
  model: rig_science:{{model}}
  connections:
    events: {{{{url: "{url}", settings: {{{{stream: storm}}}}}}}}
  streams:
    numbers: {{{{connection: events, topic: numbers}}}}
    answers: {{{{connection: events, topic: answers}}}}
  commands:
    - {{{{name: score-stream, input: numbers, output: answers, workers: {{workers}}, deadline: {{deadline}}, order: {{order}},
       guarantee: exactly-once}}}}
"""

MIXED = (
    HEADER.replace("    value: float\n", "    value: float\n    attempt: int\n")
    + """
import ctypes

KILLS, RAISES = {2_345}, {42, 1_242, 5_000, 5_001}


class Mixed(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[list[Answer]]:
        return [self.answers(e) for e in events]

    def answers(self, e: Number) -> list[Answer]:
        if e.n in KILLS:
            ctypes.string_at(0)
        if e.n in RAISES:
            raise ZeroDivisionError("division by zero")
        attempt = int.from_bytes(os.urandom(6), "big")
        return [Answer(id=f"{k}:{e.id}", value=e.n * 2.0, attempt=attempt) for k in range(e.n % 4)]
"""
)
POISONS = {2_345, 42, 1_242, 5_000, 5_001}


def read(pod: Rig, stream: str) -> list[dict[str, Any]]:
    found, after = [], ""
    while True:
        records, after = pod.call("tail", stream, after, 5000, 0)  # type: ignore[misc]
        if not records:
            return found
        found += [json.loads(record[4]) for record in records]


def storm(pod: Rig, kills: list[Callable[[random.Random], object]], *, events: int) -> None:
    """Publish as long as parts are killed, in a drawn order, each while results are being stored; then wait for all to be settled."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    rng.shuffle(kills)
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = POISONS
    over = threading.Event()

    def numbers() -> Iterator[int]:
        for n in count():
            if over.is_set() and n >= events:
                return
            yield n

    def publish() -> None:
        stream = numbers()
        while chunk := list(islice(stream, 200)):
            with contextlib.suppress(
                CallError
            ):  # the broker is away: these are attempted, and not acknowledged
                pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in chunk)
            over.wait(0.05)  # a storm that lasts does not need many events

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    for kill in kills:
        wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results of this life")
        threading.Event().wait(rng.random() * 0.3)
        kill(rng)
    over.set()
    publisher.join(120)
    assert not publisher.is_alive()

    def settled() -> bool:
        status = pod.status()
        return bool(status["lag"] == 0 and status["unsettled"] == 0)

    def complete() -> bool:
        """The lag is up to a second old: events that were stored since have no fate yet."""
        of, dead = fates(pod)
        numbers = {event: int(event.rsplit("-", 1)[1]) for event in pod.ledger.acknowledged}
        leaves = (
            event for event, n in numbers.items() if n % 4 or n in POISONS
        )  # the others are answered by nothing
        return all(event in of or event in dead for event in leaves)

    wait_until(lambda: settled() and complete(), seconds=300, what="all events to be settled")


def fates(pod: Rig) -> tuple[dict[str, list[dict[str, Any]]], Counter[str]]:
    """The answers of each event, and how many dead letters it has."""
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for answer in read(pod, "answers"):
        of[answer["id"].split(":", 1)[1]].append(answer)
    return of, Counter(event["id"] for event in read(pod, "numbers.dead"))


def audit(pod: Rig) -> None:
    """Each event has all of its outputs, of one attempt, or its dead letter: once."""
    of, dead = fates(pod)
    ledger = pod.ledger
    lost, torn, doubled, mixed = [], [], [], []
    for event in sorted(ledger.acknowledged):
        n = int(event.rsplit("-", 1)[1])
        wanted = [] if n in POISONS else [f"{k}:{event}" for k in range(n % 4)]
        ids = sorted(answer["id"] for answer in of[event])
        if (n in POISONS and not dead[event]) or (wanted and not ids):
            lost.append(event)
        elif ids != wanted:
            (doubled if len(ids) > len(wanted) else torn).append(event)
        if len({answer["attempt"] for answer in of[event]}) > 1:
            mixed.append(event)
    doubled += [event for event, times in dead.items() if times > 1]
    both = [event for event in dead if of[event]]
    print(f"acknowledged {len(ledger.acknowledged)}, out {sum(map(len, of.values()))}, dead {len(dead)}, "
          f"LOST {len(lost)}, DUP {len(doubled)}, torn {len(torn)}, mixed {len(mixed)}, both {len(both)}")  # fmt: skip
    assert (lost, torn, doubled, mixed, both) == ([], [], [], [], [])
    assert set(of) - {""} <= ledger.attempted
    assert set(dead) <= ledger.poisons
    wrong = [a for answers in of.values() for a in answers if a["value"] != twice(a["id"])]
    assert not wrong
    ledger.results = [
        (event, twice(event)) for event in ledger.attempted if event not in dead
    ]  # for the report
    ledger.dead = list(dead)


def test_T1_T2_T8_whole_fates_of_the_embedded_broker_survive_kills_of_bridge_and_workers(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(MIXED, model="Mixed", workers=2, program=PROGRAM.format(url="embedded:"))
    storm(pod, [lambda _: pod.kill_bridge()] * 4 + [pod.kill_worker] * 2, events=6_000)
    audit(pod)


def test_T1_T2_T3_T8_whole_fates_of_nats_survive_kills_of_bridge_workers_and_server(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    nats = own_component("nats")
    pod = rig(MIXED, model="Mixed", workers=2, program=PROGRAM.format(url=nats.url))

    def server(_: random.Random) -> None:
        nats.kill()
        nats.restart()

    storm(pod, [lambda _: pod.kill_bridge()] * 3 + [pod.kill_worker] * 2 + [server], events=6_000)
    audit(pod)


@pytest.mark.usefixtures("faulty_bridge")
def test_T0b_fates_written_twice_are_seen_under_exactly_once(rig: Callable[..., Rig]) -> None:
    pod = rig(
        MIXED, model="Mixed", workers=1, program=PROGRAM.format(url="embedded:"), environment={"DS_FAULT": "write-twice"}
    )  # fmt: skip
    storm(pod, [], events=1_000)
    with pytest.raises(AssertionError):
        audit(pod)
