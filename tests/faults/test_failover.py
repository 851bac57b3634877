"""Two brokers of different kinds under one stream: either may stand still or die, and nothing is lost or scored twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from tests.providers.component import Component

from .rig import Rig, wait_until
from .science import DOUBLE, twice

COMMAND = "{{name: score-stream, input: numbers, output: answers, workers: {workers}, deadline: {deadline}, order: {order}}}"
HEAD = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: NAME}}
spec:
  model: rig_science:{model}
  connections:
    munich: {{url: "MUNICH"}}
    dublin: {{url: "DUBLIN"}}
    here: {{url: "embedded:"}}
"""
READER = (
    HEAD
    + """\
    both: {{url: "failover:", settings: {{primary: munich, secondary: dublin, id: value.id, after: 2s, back: 2s}}}}
  streams:
    numbers: {{connection: both}}
    numbers.dead: {{connection: here}}
    answers: {{connection: here}}
  commands:
    - """
    + COMMAND
)
PRODUCER = (
    HEAD
    + """\
  streams:
    numbers: {{connection: munich}}
    mirror: {{connection: dublin, topic: numbers}}
    numbers.dead: {{connection: here}}
    answers: {{connection: here}}
  commands:
    - """
    + COMMAND
)


class Producers:
    """They write each event to both sides, or to the one that stands."""

    def __init__(self, bridge: Rig, reader: Rig) -> None:
        self._bridge = bridge
        self._ledger = reader.ledger

    def write(self, numbers: Iterable[int], *streams: str) -> None:
        ids = [f"p{n % 50}-{n}" for n in numbers]
        for begin in range(0, len(ids), 500):
            some = ids[begin : begin + 500]
            self._ledger.attempted.update(some)
            records = [
                [
                    json.dumps({"id": id, "n": int(id.rsplit("-", 1)[1])}).encode(),
                    id.rsplit("-", 1)[0].encode(),
                ]
                for id in some
            ]
            for stream in streams or ("numbers", "mirror"):
                self._bridge.call("publish", stream, records)
            self._ledger.acknowledged.update(some)


def test_a_primary_that_stands_still_and_a_secondary_that_is_killed_lose_and_double_nothing(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    munich, dublin = own_component("nats"), own_component("redis")

    def program(text: str, name: str) -> str:
        return text.replace("MUNICH", munich.url).replace("DUBLIN", dublin.url).replace("NAME", name)

    source = rig(DOUBLE, program=program(PRODUCER, "producer"))
    pod = rig(DOUBLE, workers=2, program=program(READER, "reader"))
    source.start_bridge()
    source.await_bridge()
    pod.start_bridge()
    pod.start_runner()
    producers = Producers(source, pod)

    def scored(n: int, what: str) -> None:
        wait_until(
            lambda: len({id for id, _ in pod.collect().results}) >= n,
            seconds=120,
            what=f"{n} results, {what}",
        )

    def active(side: str, times: int) -> None:
        told = f'"active":"{side}"'
        wait_until(
            lambda: pod.log("bridge").count(told) >= times, seconds=120, what=f"the {side} to be active"
        )

    producers.write(range(2000))
    scored(2000, "both sides alive")

    munich.pause()
    producers.write(range(2000, 4000), "mirror")
    scored(4000, "the primary stopped")
    active("secondary", 1)
    munich.resume()
    producers.write(range(2000, 4000), "numbers")
    active("primary", 1)

    dublin.kill()
    producers.write(range(4000, 6000), "numbers")
    scored(6000, "the secondary killed")
    dublin.restart()
    source.kill_bridge()
    producers.write(range(4000, 6000), "mirror")

    munich.kill()
    pod.kill_bridge()
    producers.write(range(6000, 8000), "mirror")
    scored(8000, "the primary dead and the bridge restarted")
    munich.restart()
    source.kill_bridge()  # and with it a client that has yet to find its server again
    producers.write(range(6000, 8000), "numbers")
    producers.write(range(8000, 9000))
    scored(9000, "all alive again")

    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, verdict
