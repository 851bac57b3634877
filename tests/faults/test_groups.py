"""Bridges share a topic of Kafka: some are stopped for too long, some come and go (T6, T12, T14)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .programs import program
from .rig import wait_until
from .science import DOUBLE, HEADER, twice
from .traffic import publishing
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]
SEED = 20131006
SESSION = {"partitions": 8, "session_timeout": "6s", "rebalance_timeout": "20s", "revoke_wait": "5s"}


def scores(pod: WatchedRig) -> bool:
    return bool(pod.status()["scored"] > 0)


@pytest.mark.long
@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_T6_partitions_of_a_bridge_that_is_stopped_move_and_what_it_commits_afterwards_is_refused(
    rig: Rigs, kafka: Component, guarantee: str
) -> None:
    text = program(kafka.url, guarantee=guarantee, settings=SESSION)
    pod, other = rig(DOUBLE, workers=2, program=text), rig(DOUBLE, workers=2, program=text)
    for one in (pod, other):
        one.start_bridge()
        one.start_runner()
    with publishing(other, pause=0.1):
        for one in (pod, other):
            wait_until(lambda one=one: scores(one), seconds=120, what="both bridges to have a share")  # type: ignore[misc]
        assert pod.bridge is not None
        for _ in range(2):
            before = other.status()["in"]
            os.kill(pod.bridge.pid, signal.SIGSTOP)
            time.sleep(9)  # half as much again as the session
            wait_until(lambda: other.status()["in"] > before, seconds=120, what="the other to take over")  # noqa: B023
            os.kill(pod.bridge.pid, signal.SIGCONT)
            wait_until(
                lambda: pod.status()["state"] == "running", seconds=30, what="the stopped one to come back"
            )
            time.sleep(2)

    verdict = other.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    refused = pod.metric("ds_kafka_stale_positions_total") + pod.metric("ds_commit_errors_total")
    refused += pod.metric("ds_kafka_unsettled_partitions_total") + pod.metric(
        "ds_kafka_aborted_transactions_total"
    )
    assert refused > 0, "nothing of the zombie's was refused: it was not stopped for long enough"
    if guarantee == "exactly-once":
        assert (verdict.duplicates, verdict.inversions) == (0, 0), verdict


@pytest.mark.long
def test_T14_a_bridge_that_is_added_or_removed_every_ten_seconds_loses_nothing_and_keeps_the_order(
    rig: Rigs, kafka: Component
) -> None:
    """For two minutes. Every third of those removed is killed."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    text = program(kafka.url, settings=SESSION)
    pod = rig(DOUBLE, workers=1, program=text)
    pod.start_bridge()
    pod.start_runner()
    others: list[WatchedRig] = []
    with publishing(pod, pause=0.1):
        for change in range(12):
            began = time.monotonic()
            if len(others) < 2 and (not others or rng.random() < 0.5):
                others.append(rig(DOUBLE, workers=1, program=text))
                join(others[-1])
            else:
                leave(others.pop(rng.randrange(len(others))), killed=change % 3 == 0)
            time.sleep(max(0.0, 10 - (time.monotonic() - began)))

    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.inversions == 0, verdict


def join(pod: WatchedRig) -> None:
    """The runner is up before anybody asks it to end."""
    pod.start_bridge()
    pod.start_runner()
    wait_until(lambda: pod.status()["workers"], seconds=120, what="its worker")


def leave(pod: WatchedRig, *, killed: bool) -> None:
    assert pod.bridge is not None
    if killed:
        pod.bridge.kill()
        pod.bridge.wait()
    else:
        pod.stop_bridge()
    pod.stop_runner()


SLOW = (
    HEADER
    + """

class Slow(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        with open("calls", "a") as calls:
            calls.write("".join(f"{e.id}\\n" for e in events))
        time.sleep(9)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("broker", "settings"),
    [
        ("kafka", {"session_timeout": "6s", "rebalance_timeout": "6s", "revoke_wait": "4s"}),
        ("nats", {"ack_wait": "2s"}),
        ("redis", {"takeover": "2s"}),
    ],
)
def test_T12_a_model_slower_than_the_broker_waits_is_given_each_event_once(
    rig: Rigs, broker: str, settings: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """Three times as slow, and a second bridge stands by to take what seems abandoned."""
    text = program(request.getfixturevalue(broker).url, settings=settings)
    pods = [rig(SLOW, model="Slow", workers=1, deadline="60s", program=text) for _ in range(2)]
    for pod in pods:
        pod.start_bridge()
        pod.start_runner()
    pods[0].publish(({"id": f"p{n % 20}-{n}", "n": n} for n in range(400)), batch=50)

    verdict = pods[0].wait_settled(seconds=100).audit(twice)

    verdict.require_at_least_once()
    calls = [
        line
        for pod in pods
        if (pod.folder / "calls").exists()
        for line in (pod.folder / "calls").read_text().split()
    ]
    assert sorted(calls) == sorted(pods[0].ledger.acknowledged), "the model was called twice for an event"
    assert (verdict.out, verdict.duplicates) == (400, 0), verdict
    if broker != "redis":  # whose readers share the keys
        assert verdict.inversions == 0, verdict
