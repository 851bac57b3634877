"""The row of JetStream to JetStream: the same typed events on a nats-server outside, the bridge and Python together.

The server is the one that the bridge embeds, as a process of its own. nats-py fetches 256 and publishes them together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

from tests.providers import start_all

from .children import peer_us
from .cpu import median, spread
from .row import Row
from .stream import Measured, StreamBench

EVENTS, FEW = 200_000, 20_000
BATCH = 500
_numbers = count()

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench{run}}}
spec:
  model: bench_science:Scorer
  connections:
    events: {{url: "{url}"}}
  streams:
    clicks: {{connection: events, topic: clicks{run}}}
    scores: {{connection: events, topic: scores{run}}}
    dead: {{connection: events, topic: dead{run}}}
  commands:
    - {{name: score-stream, input: clicks, output: scores, dead_letter: dead, workers: 1}}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    events = EVENTS // 4 if quick else EVENTS
    ours, theirs = [], []
    with start_all(["nats"]) as started:
        url = started.components["nats"].url
        for _ in range(rounds):
            ours.append(_ours(url, events))
            theirs.append(peer_us("nats_fetch", url, FEW))
    both = [m.python_us + m.bridge_us for m in ours]
    yield Row(
        "jetstream_to_jetstream_us", median(both), "us/event", rounds, spread=spread(both),
        peers={"nats-py fetch 256": median(theirs), "our Python's share": median([m.python_us for m in ours])},
        goal="below nats-py", met=median(both) < median(theirs),
    )  # fmt: skip
    yield Row("jetstream_to_jetstream_rate", median([m.rate for m in ours]), "events/s", rounds)


def _ours(url: str, events: int) -> Measured:
    with StreamBench.of(PROGRAM.format(url=url, run=next(_numbers)), workers=False) as bench:
        lines = (bench.folder / "events.jsonl").read_bytes().splitlines()
        for start in range(0, events, BATCH):
            records = [[lines[i % len(lines)], None] for i in range(start, start + BATCH)]
            bench.control.call("publish", "clicks", records, deadline=30.0)
        assert json.loads(bench.control.call("status"))["commands"]["score-stream"]["scored"] == 0  # type: ignore[arg-type]
        bench.start_runner()
        return bench.measured(events)
