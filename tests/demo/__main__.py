"""The main job, end to end, on the flights that left New York City in 2013. Run it with: make demo

    ds-runner new -> check -> train (January to September) -> up (broker, bridge, two workers, API)
      -> publish (October to December, and three broken events) -> ask over HTTP -> dead letters
      -> Ctrl-C -> replay with a golden diff -> what was measured

Everything is done by the commands that a user types; every figure is taken from this run.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyrunner.bridge import Running, discover
from tests.data import make_flights
from tests.demo.measure import Metrics, cpu_seconds, descendants, scrape, wait_for

ROOT = Path(__file__).parents[2]
SCRATCH = ROOT / "build" / "demo"
PROJECT = SCRATCH / "my-flights"
RUNNER = str(Path(sys.executable).with_name("ds-runner"))

PACE = 500  # events a second while latency is measured: far from the limit, so that it is not the time in a queue
PACED = 2_500
BROKEN = (
    '{"flight_id": "x1", "carrier": "UNITED", "origin": "JFK", "distance": 1400}',
    '{"flight_id": "x2"',
    "{}",
)
ROW = {"flight_id": "1", "carrier": "UA", "origin": "JFK", "distance": 1400, "dep_delay": 12}


@dataclass(frozen=True)
class Streamed:
    """What was measured while events went through."""

    events: int
    again: int
    fates: dict[str, int]
    seconds: float
    bridge_us: float
    python_us: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Run it all. Ends with an exception, and so with a code other than 0, when anything is not as it should be."""
    began = time.monotonic()
    make_project()
    trained = json.loads(ds_runner("train", "--json"))
    with up() as (bridge, runner):
        streamed = stream(bridge, runner)
        ask(bridge)
        rmse, rmse_of_mean = judge()
    replay()
    report(streamed, rmse, rmse_of_mean, trained, time.monotonic() - began)


def make_project() -> None:
    """The project, and the events in two files: a part that is paced and the rest."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    ds_runner("new", "my-flights", "--example", "flights", "--no-input", cwd=SCRATCH)
    program = PROJECT / "program.yaml"
    program.write_text(re.sub(r"port: \d+", "port: 0", program.read_text()))  # any free one
    flights = make_flights.from_october()
    make_flights.write_events(flights.head(PACED), PROJECT / "data/paced.jsonl")
    make_flights.write_events(flights.iloc[PACED:], PROJECT / "data/rest.jsonl")
    (PROJECT / "data/broken.jsonl").write_text("\n".join(BROKEN) + "\n")
    ds_runner("check")


@contextmanager
def up() -> Iterator[tuple[Running, int]]:
    """`ds-runner up`, until the end of the block: then Ctrl-C, and it must drain and end well. Gives its pid, too."""
    say("ds-runner up")
    log = (SCRATCH / "up.log").open("wb")
    process = subprocess.Popen([RUNNER, "up"], cwd=PROJECT, stdout=log, stderr=log)
    try:
        yield ready(process), process.pid
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(120)
    if code not in (0, 130):
        raise RuntimeError(f"ds-runner up ended with {code}:\n{(SCRATCH / 'up.log').read_text()}")


def ready(process: subprocess.Popen[bytes]) -> Running:
    """The bridge, once it has its three workers."""

    def has_workers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"ds-runner up ended:\n{(SCRATCH / 'up.log').read_text()}")
        found = discover(PROJECT / ".ds-runner")
        return found is not None and scrape(found.metrics).total("ds_workers_ready") == 3

    wait_for("two workers for the stream and one for the API", has_workers, 180)
    found = discover(PROJECT / ".ds-runner")
    assert found is not None
    return found


def stream(bridge: Running, runner: int) -> Streamed:
    """Publish first at a pace, for the latency; then all that is left, for the throughput; and wait for every fate."""
    first = scrape(bridge.metrics)
    publish("data/paced.jsonl", "--rate", str(PACE))
    settled(bridge, PACED)
    paced = scrape(bridge.metrics)

    python = [pid for pid in [runner, *descendants(runner)] if pid != bridge.pid]
    cpu, began = cpu_seconds(python), time.monotonic()
    sent = publish("data/rest.jsonl")
    fated(bridge, PACED + sent)
    seconds, python_cpu = time.monotonic() - began, cpu_seconds(python) - cpu
    rest = scrape(bridge.metrics)

    publish("data/broken.jsonl")
    settled(bridge, PACED + sent + len(BROKEN))
    last = scrape(bridge.metrics)
    bridge_cpu = rest.total("process_cpu_seconds_total") - paced.total("process_cpu_seconds_total")
    return Streamed(
        events=PACED + sent + len(BROKEN),
        again=int(last.total("ds_events_in_total", command="score-stream")) - PACED - sent - len(BROKEN),
        fates=fates(last),
        seconds=seconds,
        bridge_us=bridge_cpu / sent * 1e6,
        python_us=python_cpu / sent * 1e6,
        p50_ms=latency(0.50, first, paced),
        p99_ms=latency(0.99, first, paced),
    )


def publish(file: str, *options: str) -> int:
    """The number of events that the broker has stored."""
    return int(json.loads(ds_runner("publish", "departures", file, "--json", *options))["events"])


def fated(bridge: Running, events: int) -> None:
    """Wait until so many events have their fate."""
    wait_for(f"{events:,} fates", lambda: sum(fates(scrape(bridge.metrics)).values()) >= events, 300)


def settled(bridge: Running, events: int) -> None:
    """Wait until so many events have their fate and none is on its way: what comes twice is counted twice until then."""
    fated(bridge, events)
    gauges = ("ds_lag_events", "ds_unsettled_events")

    def is_quiet() -> bool:
        now = scrape(bridge.metrics)
        return all(now.total(name, command="score-stream") == 0 for name in gauges)

    wait_for("an end of what is on its way", is_quiet, 120)


def fates(metrics: Metrics) -> dict[str, int]:
    """How many events were scored, rejected, dead-lettered."""
    kinds = ("scored", "rejected", "dead")
    return {kind: int(metrics.total("ds_events_total", command="score-stream", fate=kind)) for kind in kinds}


def latency(q: float, since: Metrics, now: Metrics) -> float:
    """Milliseconds from the event read to its result stored."""
    return 1e3 * now.quantile(q, since, "ds_stage_seconds", command="score-stream", stage="total")


def ask(bridge: Running) -> None:
    """The API must say what `ds-runner predict` says."""
    say(f"curl {bridge.http}/predict -d '{json.dumps(ROW)}'")
    with urllib.request.urlopen(
        f"http://{bridge.http}/predict", json.dumps(ROW).encode(), timeout=60
    ) as answer:
        served = json.loads(answer.read())
    print(f"  {json.dumps(served)}")
    if served != json.loads(ds_runner("predict", json.dumps(ROW))):
        raise RuntimeError("serve-api and predict do not agree")


def judge() -> tuple[float, float]:
    """RMSE of the estimates in the output stream, and of the mean of the training months. Each is found by its key."""
    lines = ds_runner("tail", "estimates", "--from", "start", "--json", quiet=True).splitlines()
    estimates = {line["key"]: line["value"]["arr_delay"] for line in map(json.loads, lines)}
    ds_runner("dead", "list")
    flights = make_flights.from_october()
    if set(estimates) != set(flights.flight_id[flights.dep_delay.notna()]) or len(estimates) != len(lines):
        raise RuntimeError(
            f"{len(lines):,} estimates of {len(estimates):,} flights: some are lost, or there twice"
        )
    flights = flights.dropna(subset=["arr_delay"])
    mean = make_flights.until_september().arr_delay.mean()
    truth = list(zip(flights.flight_id, flights.arr_delay, strict=True))
    return (
        math.sqrt(sum((estimates[flight] - delay) ** 2 for flight, delay in truth) / len(truth)),
        math.sqrt(sum((mean - delay) ** 2 for _, delay in truth) / len(truth)),
    )


def replay() -> None:
    """The same answers for the same file, twice through the wire."""
    ds_runner("replay", "data/departures.jsonl", "--output", "golden.jsonl")
    ds_runner("replay", "data/departures.jsonl", "--expect", "golden.jsonl")


def report(
    streamed: Streamed, rmse: float, rmse_of_mean: float, trained: dict[str, object], seconds: float
) -> None:
    """The table."""
    rows = [
        ("events in", f"{streamed.events:,}"),
        ("  scored", f"{streamed.fates['scored']:,}"),
        ("  rejected (cancelled flights)", f"{streamed.fates['rejected']:,}"),
        ("  dead-lettered (broken on purpose)", f"{streamed.fates['dead']:,}"),
        *([("  delivered again", f"{streamed.again:,}")] if streamed.again else []),
        ("events per second", f"{(streamed.events - PACED - len(BROKEN)) / streamed.seconds:,.0f}"),
        ("CPU per event, bridge and broker", f"{streamed.bridge_us:.1f} us"),
        ("CPU per event, Python", f"{streamed.python_us:.1f} us"),
        ("RMSE of the arrival delay", f"{rmse:.1f} min"),
        ("  of predicting the mean", f"{rmse_of_mean:.1f} min"),
        (f"latency at {PACE}/s, p50", f"{streamed.p50_ms:.2f} ms"),
        (f"latency at {PACE}/s, p99", f"{streamed.p99_ms:.2f} ms"),
    ]
    print(f"\nTrained on {trained['rows']:,} flights until September; asked about those from October on.\n")
    for name, value in rows:
        print(f"  {name:<36}{value:>12}")
    print(
        f"\nAll of it took {seconds:.0f} s. The project is in {PROJECT.relative_to(ROOT)}: cd there and change science.py."
    )


def ds_runner(*command: str, cwd: Path | None = None, quiet: bool = False) -> str:
    """Run a command as a user would, show it, and return what it printed."""
    if not quiet:
        say(f"ds-runner {' '.join(command)}")
    done = subprocess.run(
        [RUNNER, *command], cwd=cwd or PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(
            f"ds-runner {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    if not quiet:
        print("".join(f"  {line}\n" for line in done.stdout.splitlines()), end="", flush=True)
    return done.stdout


def say(command: str) -> None:
    print(f"$ {command}", flush=True)


if __name__ == "__main__":
    main()
