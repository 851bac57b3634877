"""What grows with requests, connections and features of an event: nothing, little, and in proportion.

The CPU time of all processes for a request is what is compared: it is disturbed least by other load. `value` of a row is how much more the
last point costs than it should: 1 is as it should be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from . import wrk
from .row import Row
from .serving import Served, Server, ours, ours_of

REQUESTS, SLICES = 1_000_000, 10
CONNECTIONS = (1, 10, 100, 1000)
FEATURES = (1, 10, 50, 100, 200)
WIDE = """\
import numpy as np

from pyrunner import Event, Model


class Wide(Event):
{fields}


class Sum(Event):
    prediction: float


class Summing(Model[Wide, Sum]):
    def predict(self, X: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {{"prediction": np.column_stack(list(X.values())).sum(axis=1)}}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    if not wrk.found():
        print(wrk.MISSING, flush=True)
        return
    with ours_of("lr") as server:
        server.round(1)
        yield from _requests(server, REQUESTS // 20 if quick else REQUESTS)
        yield _connections(server, 1 if quick else 3)
    yield _features(1 if quick else 3)


def _requests(server: Server, requests: int) -> Iterator[Row]:
    """Slices of a run, each as long as a tenth of the requests take."""
    length = max(1, round(requests / SLICES / server.round(2).load.rate))
    slices: list[Served] = []
    memory: list[float] = []
    while sum(served.load.requests for served in slices) < requests:
        slices.append(server.round(length))
        memory.append(server.rss())
    done = f"{sum(served.load.requests for served in slices):,} requests"
    for name, unit, values in (
        ("cpu", "us/request", [served.cpu_us for served in slices]),
        ("p99", "ms", [served.load.p99_ms for served in slices]),
        ("rss", "MiB", memory),
    ):
        ratio = _late(values) / _early(values)
        limit = 1.25 if name == "p99" else 1.1
        yield Row(
            f"api_growth_{name}", ratio, "ratio", len(values), peers={f"begin, {unit}": _early(values), f"end, {unit}": _late(values)},
            goal=f"flat within {limit - 1:.0%} over {done}", met=ratio <= limit,
        )  # fmt: skip


def _early(values: Sequence[float]) -> float:
    """The middle of the first third; the very first slice is there to warm."""
    return _middle(values[1 : max(2, len(values) // 3 + 1)] or values)


def _late(values: Sequence[float]) -> float:
    return _middle(values[-max(1, len(values) // 3) :])


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _connections(server: Server, seconds: int) -> Row:
    points = {n: server.round(seconds, n).cpu_us for n in CONNECTIONS}
    ratio = points[1000] / points[100]
    return Row(
        "api_growth_connections", ratio, "ratio", 1, peers={f"{n:,}, us/request": us for n, us in points.items()},
        goal="1,000 cost <= 1.25 x what 100 do", met=ratio <= 1.25,
    )  # fmt: skip


def _features(seconds: int) -> Row:
    """Cost by features: that of 200 beside the line through those of 10 and 100."""
    points = {n: _wide(n, seconds) for n in FEATURES}
    line = points[100] + (points[100] - points[10]) / 90 * 100
    ratio = points[200] / line
    return Row(
        "api_growth_features", ratio, "ratio", 1, peers={f"{n}, us/request": us for n, us in points.items()},
        goal="linear: 200 cost <= 1.25 x what the line through 10 and 100 says", met=ratio <= 1.25,
    )  # fmt: skip


def _wide(features: int, seconds: int) -> float:
    fields = "\n".join(f"    x{n}: float" for n in range(features))
    body = json.dumps({f"x{n}": n + 0.5 for n in range(features)})
    with ours(WIDE.format(fields=fields), "Summing", body) as server:
        server.round(1)
        return server.round(seconds).cpu_us
