"""HTTP rows of open loops: requests come when they come, and latency counts from the time that they were due.

`api_open_loop`: a thousand people a second ask for LogisticRegression; a round in which the sender itself was more than a
millisecond late at p99 is void. `api_overload`: a model that takes its processor for 20 ms a call of at most 16 rows is asked for
twice as much as it can do. Refusals count from the scheduled time, too, so that they are void where the sender was late.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.httpload.run import Report, build, load

from .cpu import median, spread
from .peers.models import SEED
from .row import Row
from .serving import FASTAPI, HAND, Server, body_of, fastapi, hand_batcher, ours, ours_of

RATE, SECONDS = 1000, 10
LAG_MS = 1.0
SPIN_MS, CAP, OFFERED = 20, 16, 1600
CAPACITY = CAP / SPIN_MS * 1000  # rows a second, were there nothing between two calls
SPINNING = """\
from pyrunner import Event, Model
from tests.bench.peers import models


class Flower(Event):
    sl: float
    sw: float
    pl: float
    pw: float


class Species(Event):
    prediction: int


class Spinning(Model[Flower, Species]):
    def predict(self, events: list[Flower]) -> list[Species]:
        models.spin({milliseconds})
        return [Species(prediction=1) for _ in events]
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    seconds = 2 if quick else SECONDS
    with tempfile.TemporaryDirectory(prefix="ds-bench-") as folder:
        loader = build(Path(folder))
        yield from _steady(loader, rounds, seconds)
        yield from _overload(loader, rounds, seconds)


def _steady(loader: Path, rounds: int, seconds: int) -> Iterator[Row]:
    with ExitStack() as stack:
        servers = {
            "ours": stack.enter_context(ours_of("lr")),
            FASTAPI: stack.enter_context(fastapi("lr")),
            HAND: stack.enter_context(hand_batcher("lr")),
        }
        for server in servers.values():
            _asked(loader, server, RATE, 1, 256, 0)
        turns = [
            {name: _asked(loader, server, RATE, seconds, 256, turn) for name, server in servers.items()}
            for turn in range(rounds)
        ]
    ours_lag = [turn["ours"].lag.p99_ms for turn in turns if turn["ours"].lag]
    valid = [turn for turn in turns if _on_time(turn["ours"])]
    for name, at in (("p50", 0.5), ("p99", 0.99)):
        found = {server: [_latency(turn[server], at) for turn in valid or turns] for server in servers}
        middle = {server: median(values) for server, values in found.items()}
        value = middle.pop("ours")
        goal = f"<= 5 ms at {RATE:,} requests/s" if name == "p99" else ""
        if not valid:
            goal = f"void: the sender was {median(ours_lag):.1f} ms late at p99"
        met = value <= 5 if name == "p99" and valid else None
        yield Row(
            f"api_open_loop_{name}", value, "ms", len(valid), peers=middle, spread=spread(found["ours"]), goal=goal, met=met
        )  # fmt: skip
    yield Row("api_open_loop_lag_p99", median(ours_lag), "ms", len(turns), spread=spread(ours_lag))


def _on_time(report: Report) -> bool:
    return report.lag is not None and report.lag.p99_ms <= LAG_MS


def _latency(report: Report, at: float) -> float:
    of = report.latency[200]
    return of.p50_ms if at == 0.5 else of.p99_ms


def _asked(loader: Path, server: Server, rate: float, seconds: float, connections: int, turn: int) -> Report:
    report = load(
        loader,
        server.url,
        seconds=seconds,
        rate=rate,
        connections=connections,
        body=server.body,
        seed=SEED + turn,
    )
    assert report.lost == 0, report
    return report


def _overload(loader: Path, rounds: int, seconds: int) -> Iterator[Row]:
    model = SPINNING.format(milliseconds=SPIN_MS)
    spin = {"SPIN_MS": str(SPIN_MS), "CAP": str(CAP)}
    with (
        ours(model, "Spinning", body_of("lr"), keys=", request_timeout: 1s", cap=CAP) as server,
        hand_batcher("spin", **spin) as peer,
    ):
        _asked(loader, server, OFFERED, 2, 1500, 0)  # it learns how long a batch takes
        alone = [_asked(loader, server, 0, seconds, CAP * 4, turn).rate for turn in range(rounds)]
        turns = [_asked(loader, server, OFFERED, seconds, 1500, turn) for turn in range(rounds)]
        theirs = [_asked(loader, peer, OFFERED, seconds, 1500, turn) for turn in range(rounds)]
    able = median(alone)  # what it answers when it is asked for no more than it can
    goodput = [turn.rate / able for turn in turns]
    late = [turn.answered.get(504, 0) / turn.sent for turn in turns]
    yield Row(
        "api_overload_goodput", median(goodput), "of capacity", rounds, spread=spread(goodput),
        peers={"capacity, requests/s": able, "capacity in theory, requests/s": CAPACITY, "offered, requests/s": OFFERED},
        goal=">= 0.9", met=median(goodput) >= 0.9,
    )  # fmt: skip
    yield _refusals(turns, late)
    yield Row(
        "api_overload_p99",
        median([_latency(turn, 0.99) for turn in turns]),
        "ms",
        rounds,
        peers={HAND: median([_latency(turn, 0.99) for turn in theirs])},
    )


def _refusals(turns: list[Report], late: list[float]) -> Row:
    """How long a refusal takes, from the time that its request was due; as everywhere, a turn whose sender was late is void."""
    shedding = [turn for turn in turns if 429 in turn.latency]
    valid = [turn for turn in shedding if _on_time(turn)]
    refused = [turn.latency[429].p99_ms for turn in valid or shedding]
    lag = median([turn.lag.p99_ms for turn in turns if turn.lag])
    if shedding and not valid:
        goal, met = f"void: the sender was {lag:.1f} ms late at p99", None
    else:
        goal, met = (
            "<= 50 ms, and no other answer than 200 and 429",
            bool(refused) and median(refused) <= 50 and max(late) == 0,
        )
    return Row(
        "api_overload_429_p99",
        median(refused) if refused else 0.0,
        "ms",
        len(valid),
        peers={"our sender's lag": lag, "504, share of requests": median(late)},
        spread=spread(refused) if refused else None,
        goal=goal,
        met=met,
    )
