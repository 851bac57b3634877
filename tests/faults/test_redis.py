"""The same storms on a real Redis: kills of bridge, workers and server lose nothing (T1, T2, T3)."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.providers.component import Component

from .rig import Rig
from .science import DOUBLE
from .test_kafka import storm

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: rig}}
spec:
  model: rig_science:{model}
  connections:
    events: {{url: "URL", settings: {{SETTINGS}}}}
  streams:
    numbers: {{connection: events, topic: numbers}}
    answers: {{connection: events, topic: answers}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: {workers}, deadline: {deadline}, order: {order}}}
"""


def test_T1_T2_T3_kills_of_bridge_workers_and_server_lose_nothing_on_redis(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    redis = own_component("redis")
    pod = rig(
        DOUBLE, workers=2, program=PROGRAM.replace("URL", redis.url).replace("SETTINGS", "takeover: 5s")
    )

    def server(_: random.Random) -> None:
        redis.kill()
        redis.restart()

    verdict = storm(pod, [lambda _: pod.kill_bridge()] * 6 + [pod.kill_worker] * 6 + [server], events=30_000)
    print(verdict)
    verdict.require_at_least_once()


def test_message_ids_that_are_remembered_keep_kills_of_the_bridge_from_doubling_anything_on_redis(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    redis = own_component("redis")
    program = PROGRAM.replace("URL", redis.url).replace("SETTINGS", "takeover: 5s, dedup: 10m")
    pod = rig(DOUBLE, workers=2, program=program)
    verdict = storm(pod, [lambda _: pod.kill_bridge()] * 6 + [pod.kill_worker] * 3, events=20_000)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, verdict
