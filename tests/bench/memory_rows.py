"""The row of a dead sink: what the bridge holds in memory while a source of ten million events has nowhere to go.

The source is a memory stream, as fast as it is asked; the sink is a Redis that is stopped (SIGSTOP) once events flow, so that connections
stand and nothing answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.providers import start_all

from .cpu import rss_mib
from .row import Row
from .stream import PRELOADED, StreamBench

EVENTS = 10_000_000
SECONDS = 20.0

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench}}
spec:
  model: bench_science:Scorer
  connections:
    source: {{url: "memory:", settings: {{preload: "events.jsonl", repeat: "{repeat}"}}}}
    sink: {{url: "{url}"}}
  streams:
    clicks: {{connection: source, topic: clicks}}
    scores: {{connection: sink, topic: scores}}
    dead: {{connection: sink, topic: dead}}
  commands:
    - {{name: score-stream, input: clicks, output: scores, dead_letter: dead, workers: 1, order: none}}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    with start_all(["redis"]) as started:
        redis = started.components["redis"]
        program = PROGRAM.format(repeat=EVENTS // PRELOADED, url=redis.url)
        with StreamBench.of(program) as bench:
            bench.settled(PRELOADED)
            flowing = rss_mib(bench.bridge.pid)
            redis.pause()
            try:
                first = _peak(bench, SECONDS / 4 if quick else SECONDS / 2)
                stuck = bench.status()["scored"]
                last = _peak(bench, SECONDS / 4 if quick else SECONDS / 2)
                assert bench.status()["scored"] == stuck < EVENTS, "the sink was not dead"
            finally:
                redis.resume()
    yield Row(
        "dead_sink_bridge_rss", last, "MiB", 1, peers={"while events flowed": flowing, "10 s before": first},
        goal="flat within 10 %", met=last <= 1.1 * first,
    )  # fmt: skip


def _peak(bench: StreamBench, seconds: float) -> float:
    peak, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        peak = max(peak, rss_mib(bench.bridge.pid))
        time.sleep(0.1)
    return peak
