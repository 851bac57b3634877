"""The same storms on a real Kafka: at least once loses nothing, exactly once loses and doubles nothing (T1, T2, T3)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from itertools import count

import pytest

from tests.providers.component import Component

from .auditor import Verdict
from .rig import Rig, wait_until
from .science import DOUBLE, twice

SEED = 20131002
_topics = count()


def program(url: str, guarantee: str) -> str:
    """A program on topics of its own, so that tests may share a broker."""
    number = next(_topics)
    return f"""\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: rig{number}}}}}
spec:
  model: rig_science:{{model}}
  connections:
    events: {{{{url: "{url}", settings: {{{{partitions: 4}}}}}}}}
  streams:
    numbers: {{{{connection: events, topic: numbers-{number}}}}}
    answers: {{{{connection: events, topic: answers-{number}}}}}
  commands:
    - {{{{name: score-stream, input: numbers, output: answers, workers: {{workers}}, deadline: {{deadline}}, order: {{order}},
       guarantee: {guarantee}}}}}
"""


def storm(pod: Rig, kills: list[Callable[[random.Random], object]], *, events: int) -> Verdict:
    """Publish while parts are killed, in a drawn order, about half a second apart; then audit."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    rng.shuffle(kills)
    pod.start_bridge()
    pod.start_runner()
    publisher = threading.Thread(
        target=lambda: pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(events)), daemon=True
    )
    publisher.start()
    wait_until(lambda: pod.status()["scored"] > 0, seconds=60, what="the first result")
    pause = threading.Event()
    for kill in kills:
        pause.wait(0.3 + rng.random() * 0.4)
        kill(rng)
    publisher.join(120)
    assert not publisher.is_alive()
    return pod.wait_settled(seconds=120).audit(twice)


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_T1_T2_T3_kills_of_bridge_workers_and_broker_keep_the_promise_on_kafka(
    rig: Callable[..., Rig], own_component: Callable[[str], Component], guarantee: str
) -> None:
    kafka = own_component("kafka")
    pod = rig(DOUBLE, workers=2, program=program(kafka.url, guarantee))

    def broker(_: random.Random) -> None:
        kafka.kill()
        kafka.restart()

    verdict = storm(
        pod,
        [lambda _: pod.kill_bridge()] * 6 + [pod.kill_worker] * 6 + [broker],
        events=30_000,
    )
    print(verdict)
    verdict.require_at_least_once()
    if guarantee == "exactly-once":
        assert verdict.duplicates == 0, verdict
        assert verdict.inversions == 0, verdict
