"""HTTP rows: LogisticRegression on iris, one row a request, 64 connections, one worker each.

`api_rps_lr` is `ds-runner serve-api`: the bridge's front, the wire and one Python worker. Its peer is FastAPI under uvicorn
with uvloop and httptools; its floor, here a ceiling, is Go's bare net/http with a constant reply. The load generator runs
on the same processors, so that `api_cpu_us_lr`, the CPU time of a server's processes for a request, is the steadier figure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import wrk
from .children import PEERS, SINGLE
from .cpu import cpu_seconds, family, median, spread
from .row import Row
from .server import ended, free_port

SCIENCE = """\
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from pyrunner import Event, Model

FITTED = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))


class Flower(Event):
    sl: float
    sw: float
    pl: float
    pw: float


class Species(Event):
    prediction: int


class Iris(Model[Flower, Species]):
    def predict(self, X: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"prediction": FITTED.predict(np.column_stack([X["sl"], X["sw"], X["pl"], X["pw"]]))}
"""
PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench}}
spec:
  model: bench_iris:Iris
  commands:
    - {{name: serve-api, host: 127.0.0.1, port: {port}, workers: 1, drain_delay: 0s}}
"""
SECONDS = 3
FASTAPI, BARE = "FastAPI async", "Go net/http, constant reply"


@dataclass(frozen=True)
class Served:
    """One round of one server."""

    load: wrk.Load
    cpu_us: float


@dataclass(frozen=True)
class Server:
    url: str
    pid: int

    def round(self, seconds: int) -> Served:
        processes = family(self.pid)
        before = sum(map(cpu_seconds, processes))
        load = wrk.load(self.url, seconds)
        return Served(load, (sum(map(cpu_seconds, processes)) - before) / load.requests * 1e6)


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    if not wrk.found():
        print(wrk.MISSING, flush=True)
        return
    seconds = 1 if quick else SECONDS
    with _ours() as ours, _fastapi() as fastapi, _bare() as bare:
        servers = {"ours": ours, FASTAPI: fastapi, BARE: bare}
        for server in servers.values():
            server.round(1)  # warm
        turns = [{name: server.round(seconds) for name, server in servers.items()} for _ in range(rounds)]
    yield from _figures({name: [turn[name] for turn in turns] for name in servers}, rounds)


def _figures(served: dict[str, list[Served]], rounds: int) -> Iterator[Row]:
    def row(name: str, unit: str, of: Callable[[Served], float], **more: object) -> Row:
        middle = {server: median([of(s) for s in measured]) for server, measured in served.items()}
        return Row(
            name, middle["ours"], unit, rounds, floor=middle[BARE], peers={FASTAPI: middle[FASTAPI]},
            spread=spread([of(s) for s in served["ours"]]), **more,  # type: ignore[arg-type]
        )  # fmt: skip

    rates = row("api_rps_lr", "requests/s", lambda s: s.load.rate)
    met = rates.value >= 5 * rates.peers[FASTAPI]
    yield row("api_rps_lr", "requests/s", lambda s: s.load.rate, goal=">= 5 x FastAPI async", met=met)
    yield row("api_cpu_us_lr", "us/request", lambda s: s.cpu_us)
    yield row("api_p50_ms_lr", "ms", lambda s: s.load.p50_ms)
    yield row("api_p99_ms_lr", "ms", lambda s: s.load.p99_ms)


@contextmanager
def _ours() -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ds-bench-") as name:
        folder = Path(name)
        (folder / "bench_iris.py").write_text(SCIENCE)
        (folder / "program.yaml").write_text(PROGRAM.format(port=port))
        command = [sys.executable, "-m", "pyrunner.cli", "serve-api"]
        with _serving(command, port, folder, folder / "log") as server:
            yield server


def _fastapi() -> AbstractContextManager[Server]:
    port = free_port()
    command = [
        str(PEERS), "-m", "uvicorn", "tests.bench.peers.fastapi_app:app", "--port", str(port), "--workers", "1",
        "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    return _serving(command, port)


@contextmanager
def _bare() -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ds-bench-") as name:
        binary = f"{name}/barehttp"
        subprocess.run(["go", "build", "-o", binary, "./tests/bench/barehttp"], check=True)
        with _serving([binary, f"127.0.0.1:{port}"], port) as server:
            yield server


@contextmanager
def _serving(
    command: list[str], port: int, folder: Path | None = None, log: Path | None = None
) -> Iterator[Server]:
    """A server that has answered once; ended at the end."""
    url = f"http://127.0.0.1:{port}/predict"
    with (log or Path(os.devnull)).open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **SINGLE}, stdout=said, stderr=said
        )
        try:
            _answering(url, process)
            yield Server(url, process.pid)
        except BaseException:
            if log is not None:
                print(log.read_text()[-4000:], file=sys.stderr)
            raise
        finally:
            ended(process)


def _answering(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            asked = urllib.request.Request(url, wrk.BODY.encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked, timeout=10) as response:
                assert json.load(response) == {"prediction": 1}, "not the class that this flower has"
                return
        except urllib.error.URLError as error:  # not listening yet, or no worker is ready
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{url} does not answer: {error}") from None
            time.sleep(0.1)
