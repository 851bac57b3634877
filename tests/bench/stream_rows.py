"""Rows of stream scoring: typed events from a memory stream to a memory stream, over the real bridge."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .children import cpu_us, peer_us
from .cpu import median, spread
from .row import Row
from .server import ended, free_port, listening
from .stream import measure

MOCK_EVENTS = 40_000  # librdkafka's mock broker keeps 5 MB a partition and drops what is older
NATS_EVENTS = 20_000


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    yield from _typed(rounds, 100_000 if quick else 600_000)
    yield from _growth(1, [100_000, 200_000] if quick else [100_000, 1_000_000, 5_000_000])
    yield from _idle(rounds)


def _typed(rounds: int, events: int) -> Iterator[Row]:
    ours, floors, confluent, fetch = [], [], [], []
    with _nats_server() as url:
        for _ in range(rounds):
            ours.append(measure(events))
            floors.append(cpu_us("tests.bench.floor", events))
            confluent.append(peer_us("confluent_loop", MOCK_EVENTS))
            fetch.append(peer_us("nats_fetch", url, NATS_EVENTS))
    python, bridge, floor = [m.python_us for m in ours], [m.bridge_us for m in ours], median(floors)
    hand = median(confluent)
    yield Row(
        "stream_python_us_typed", median(python), "us/event", rounds, floor=floor, spread=spread(python),
        peers={"confluent-kafka hand-tuned": hand, "nats-py fetch 256": median(fetch)},
        goal="<= 1.15 x floor and <= 0.4 x confluent-kafka",
        met=median(python) <= 1.15 * floor and median(python) <= 0.4 * hand,
    )  # fmt: skip
    yield Row(
        "stream_bridge_us", median(bridge), "us/event", rounds, spread=spread(bridge),
        peers={"our Python's share": median(python)}, goal="<= 0.5 x Python's", met=median(bridge) <= 0.5 * median(python),
    )  # fmt: skip
    yield Row("stream_rate", median([m.rate for m in ours]), "events/s", rounds)


def _growth(rounds: int, sizes: list[int]) -> Iterator[Row]:
    runs = {size: [measure(size) for _ in range(rounds)] for size in sizes}
    cost = {
        f"{size:,} events": median([m.python_us + m.bridge_us for m in measured])
        for size, measured in runs.items()
    }
    yield Row(
        "stream_growth", max(cost.values()) / min(cost.values()), "ratio", rounds, peers=cost,
        goal="us/event of both flat within 10 %", met=max(cost.values()) <= 1.1 * min(cost.values()),
    )  # fmt: skip
    for side in ("python", "bridge"):
        memory = {
            f"{size:,} events": median([getattr(m, f"{side}_mib") for m in measured])
            for size, measured in runs.items()
        }
        yield Row(
            f"stream_growth_{side}_rss", max(memory.values()), "MiB", rounds, peers=memory,
            goal="flat within 10 %", met=max(memory.values()) <= 1.1 * min(memory.values()),
        )  # fmt: skip


def _idle(rounds: int) -> Iterator[Row]:
    from .idle import added_p50_us

    values = [added_p50_us() for _ in range(rounds)]
    yield Row(
        "frame_rtt_us", median(values), "us", rounds, spread=spread(values),
        goal="added p50 of one event at idle < 300 us", met=median(values) < 300,
    )  # fmt: skip


@contextmanager
def _nats_server() -> Iterator[str]:
    """A nats-server with JetStream on loopback, the one that the bridge embeds."""
    with tempfile.TemporaryDirectory(prefix="ds-bench-nats-") as name:
        binary, port = Path(name) / "nats-server", free_port()
        subprocess.run(["go", "build", "-o", binary, "./tests/bench/natsserver"], check=True)
        server = subprocess.Popen([binary, str(port), name], stderr=subprocess.DEVNULL)
        try:
            listening(port)
            yield f"nats://127.0.0.1:{port}"
        finally:
            ended(server)
