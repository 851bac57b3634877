"""HTTP rows of closed loops: one row a request, 64 connections or one, one worker each, batches of at most 64 rows for all who batch.

Ours, the floor (Go's bare net/http with a constant reply) and the peers take turns. The load generator runs on the same
processors, so that the CPU time of a server's processes for a request is the steadier figure, and comes first; latency under
saturation is not quoted from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack

from . import wrk
from .cpu import median, spread
from .row import Row
from .serving import (
    BARE,
    BENTO,
    BENTO_PYTHON,
    FASTAPI,
    HAND,
    THREADS,
    TRITON,
    TRITON_PYTHON,
    Served,
    Server,
    bare,
    bento,
    fastapi,
    hand_batcher,
    ours_of,
    triton,
)

SECONDS = 3
Measured = dict[str, list[Served]]
Least = Mapping[str, float]  # how many times a peer's rate ours has to be


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    if not wrk.found():
        print(wrk.MISSING, flush=True)
        return
    seconds = 1 if quick else SECONDS
    yield from _of_lr(rounds, seconds)
    yield from _of_rf(rounds, seconds)
    yield from _of_pipeline(rounds, seconds)


def _of_lr(rounds: int, seconds: int) -> Iterator[Row]:
    servers = {
        "ours": ours_of("lr"), BARE: bare(), FASTAPI: fastapi("lr"), THREADS: fastapi("lr", "/threads"),
        HAND: hand_batcher("lr"), **_batching_peers("lr"),
    }  # fmt: skip
    with _started(servers) as started:
        many = _turns(started, rounds, seconds)
        one = _turns(started, rounds, seconds, connections=1)
    least = {BARE: 0.45, FASTAPI: 6, HAND: 2} | ({TRITON: 7} if TRITON in many else {BENTO: 25})
    yield from _pair("lr", many, rounds, {name: n for name, n in least.items() if name in many})
    yield _row("api_cpu_us_c1", "us/request", one, rounds, lambda s: s.cpu_us)
    p50 = _row("api_p50_c1", "ms", one, rounds, lambda s: s.load.p50_ms)
    met = p50.value <= 1.1 * p50.peers[FASTAPI]
    yield _row("api_p50_c1", "ms", one, rounds, lambda s: s.load.p50_ms, "<= 1.1 x FastAPI async", met)


def _of_rf(rounds: int, seconds: int) -> Iterator[Row]:
    servers = {"ours": ours_of("rf"), HAND: hand_batcher("rf"), **_batching_peers("rf")}
    with _started(servers) as started:
        many = _turns(started, rounds, seconds)
    least = {BENTO: 5.0} | ({TRITON: 1.3} if TRITON in many else {HAND: 1.4})
    yield from _pair("rf", many, rounds, {name: n for name, n in least.items() if name in many})


def _of_pipeline(rounds: int, seconds: int) -> Iterator[Row]:
    servers = {
        "ours": ours_of("pipeline"),
        FASTAPI: fastapi("pipeline"),
        THREADS: fastapi("pipeline", "/threads"),
        HAND: hand_batcher("pipeline"),
    }
    with _started(servers) as started:
        many = _turns(started, rounds, seconds)
    yield from _pair("pipeline", many, rounds, {FASTAPI: 15})


def _batching_peers(kind: str) -> dict[str, AbstractContextManager[Server]]:
    """Those whose environment could be made: PyTriton's needs the distribution's Python 3.11."""
    found = {}
    if BENTO_PYTHON.exists():
        found[BENTO] = bento(kind)
    if TRITON_PYTHON.exists():
        found[TRITON] = triton(kind)
    return found


class _started(ExitStack):
    """Servers that all give the same prediction for their row."""

    def __init__(self, servers: Mapping[str, AbstractContextManager[Server]]) -> None:
        super().__init__()
        self._servers = servers

    def __enter__(self) -> dict[str, Server]:  # type: ignore[override]
        try:
            found = {name: self.enter_context(server) for name, server in self._servers.items()}
            answers = {name: server.answer() for name, server in found.items()}
            assert len(set(answers.values())) == 1, f"they do not answer alike: {answers}"
        except BaseException:
            self.close()
            raise
        return found


def _turns(
    servers: Mapping[str, Server], rounds: int, seconds: int, connections: int = wrk.CONNECTIONS
) -> Measured:
    for server in servers.values():
        server.round(1, connections)  # warm
    turns = [
        {name: server.round(seconds, connections) for name, server in servers.items()} for _ in range(rounds)
    ]
    return {name: [turn[name] for turn in turns] for name in servers}


def _pair(kind: str, measured: Measured, rounds: int, least: Least) -> Iterator[Row]:
    """CPU time first, then the rate with its goal."""
    yield _row(f"api_cpu_us_{kind}", "us/request", measured, rounds, lambda s: s.cpu_us)
    rates = {name: median([s.load.rate for s in of]) for name, of in measured.items()}
    goal = ", ".join(f">= {n:g} x {name}" for name, n in least.items())
    met = all(rates["ours"] >= n * rates[name] for name, n in least.items())
    yield _row(f"api_rps_{kind}", "requests/s", measured, rounds, lambda s: s.load.rate, goal, met)


def _row(
    name: str, unit: str, measured: Measured, rounds: int, of: Callable[[Served], float], goal: str = "", met: bool | None = None
) -> Row:  # fmt: skip
    middle = {server: median([of(s) for s in served]) for server, served in measured.items()}
    return Row(
        name, middle.pop("ours"), unit, rounds, floor=middle.pop(BARE, None), peers=middle,
        spread=spread([of(s) for s in measured["ours"]]), goal=goal, met=met,
    )  # fmt: skip
