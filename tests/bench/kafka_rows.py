"""Rows of Kafka to Kafka: 300 B typed events in, typed results out, on a real broker; the bridge and Python together.

Every run and every peer reads the same topic of four partitions from its start with a group of its own, and writes a topic of its own.
The floor is franz-go copying alone plus Python's straight line: what this way of working cannot go below.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.providers import start_all

from .children import PEERS, QUIX, Figures, cpu_us, figures, peer
from .cpu import median, spread
from .row import Row
from .stream import Measured, measure_program

EVENTS, FEW = 400_000, 60_000
_numbers = count()

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench{run}}}
spec:
  model: bench_science:Scorer
  connections:
    events: {{url: "{url}", settings: {{partitions: 4}}}}
  streams:
    clicks: {{connection: events, topic: clicks}}
    scores: {{connection: events, topic: scores-{run}}}
    dead: {{connection: events, topic: dead-{run}}}
  commands:
    - {{name: score-stream, input: clicks, output: scores, dead_letter: dead, workers: 1, order: {order}, guarantee: {guarantee}}}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    events = EVENTS // 4 if quick else EVENTS
    with _broker(events) as cluster:
        yield from _beside_peers(cluster, rounds, events)
        yield from _exactly_once(cluster, rounds, events)


class Cluster:
    """A broker with the events in topic `clicks`."""

    def __init__(self, url: str, copier: Path) -> None:
        self.url, self.servers, self._copier = url, url.removeprefix("kafka://"), copier

    def ours(self, events: int, *, guarantee: str = "at-least-once", order: str = "key") -> Measured:
        run = next(_numbers)
        return measure_program(
            PROGRAM.format(url=self.url, run=run, guarantee=guarantee, order=order), events
        )

    def peer(self, name: str, events: int, python: Path = PEERS) -> Figures:
        return peer(name, events, self.servers, "clicks", self.empty(), python=python)

    def copied(self, events: int) -> float:
        """CPU us an event of franz-go alone."""
        return figures([self._copier, self.servers, events, "clicks", self.empty()]).cpu_us

    def fill(self, topic: str, events: int) -> None:
        subprocess.run(
            [PEERS, "-m", "tests.bench.peers.kafka_fill", self.servers, str(events), topic],
            check=True,
            stderr=subprocess.DEVNULL,  # librdkafka tells of each leader that it waits for
        )

    def empty(self) -> str:
        """A topic to write to: some peers do not wait for one that the broker would make."""
        self.fill(topic := f"results-{next(_numbers)}", 0)
        return topic


def _beside_peers(cluster: Cluster, rounds: int, events: int) -> Iterator[Row]:
    ours: list[Measured] = []
    floors: list[float] = []
    peers: dict[str, list[Figures]] = {
        name: []
        for name in ("confluent-kafka hand-tuned", "confluent-kafka as written", "Quix Streams", "FastStream batch 256")
    }  # fmt: skip
    for _ in range(rounds):
        peers["confluent-kafka hand-tuned"].append(cluster.peer("confluent_loop", events))
        ours.append(cluster.ours(events))
        floors.append(cluster.copied(events) + cpu_us("tests.bench.floor", events))
        peers["confluent-kafka as written"].append(cluster.peer("confluent_plain", FEW))
        peers["Quix Streams"].append(cluster.peer("quix_app", FEW, QUIX))
        peers["FastStream batch 256"].append(cluster.peer("faststream_batch", FEW))
    both = [m.python_us + m.bridge_us for m in ours]
    costs = {name: median([f.cpu_us for f in runs]) for name, runs in peers.items()}
    tuned = costs["confluent-kafka hand-tuned"]
    yield Row(
        "kafka_to_kafka_us", median(both), "us/event", rounds, floor=median(floors), spread=spread(both),
        peers={**costs, "our Python's share": median([m.python_us for m in ours])},
        goal="<= 0.8 x the hand-tuned confluent-kafka loop", met=median(both) <= 0.8 * tuned,
    )  # fmt: skip
    yield Row(
        "kafka_to_kafka_rate", median([m.rate for m in ours]), "events/s", rounds,
        spread=spread([m.rate for m in ours]),
        peers={name: median([f.rate for f in runs]) for name, runs in peers.items()},
    )  # fmt: skip


def _exactly_once(cluster: Cluster, rounds: int, events: int) -> Iterator[Row]:
    plain, once = [], []
    for _ in range(rounds):
        plain.append(cluster.ours(events).rate)
        once.append(cluster.ours(events, guarantee="exactly-once").rate)
    cost = 1 - median(once) / median(plain)
    yield Row(
        "exactly_once_cost", cost * 100, "% of the rate", rounds,
        peers={"at least once, events/s": median(plain), "exactly once, events/s": median(once)},
        goal="<= 15", met=cost <= 0.15,
    )  # fmt: skip


@contextmanager
def _broker(events: int) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ds-bench-kafka-") as name, start_all(["kafka"]) as started:
        copier = Path(name) / "kafkacopy"
        subprocess.run(["go", "build", "-o", copier, "./tests/bench/kafkacopy"], check=True)
        cluster = Cluster(started.components["kafka"].url, copier)
        cluster.fill("clicks", events)
        yield cluster
