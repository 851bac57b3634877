"""The servers of the HTTP rows: ours, the floor, and the peers, each in an environment of its own.

Each is started, asked once for the row that it will be asked for, and ended with its block. CPU time is that of all of its processes.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import wrk
from .children import ENVIRONMENTS, PEERS, SINGLE
from .cpu import cpu_seconds, family, rss_mib
from .peers.models import CAP, FLIGHT, FLOWER
from .server import ended, free_port

ROOT = Path(__file__).parents[2]
FASTAPI, THREADS, HAND = "FastAPI async", "FastAPI def", "hand-written batcher"
BENTO, TRITON, BARE = "BentoML batching", "PyTriton", "Go net/http, constant reply"
BENTO_PYTHON, TRITON_PYTHON = (ENVIRONMENTS / name / "bin" / "python" for name in ("bento", "triton"))


def prediction(answer: Any) -> Any:
    return answer["prediction"]


@dataclass(frozen=True)
class Served:
    """One round of one server."""

    load: wrk.Load
    cpu_us: float  # a request


@dataclass(frozen=True)
class Server:
    """Listens, and answers `body`; `read` finds the prediction in an answer."""

    url: str
    pid: int
    body: str
    read: Callable[[Any], Any] = field(default=prediction)

    def round(self, seconds: int, connections: int = wrk.CONNECTIONS) -> Served:
        before = self.cpu()
        load = wrk.load(self.url, self.body, seconds, connections)
        return Served(load, (self.cpu() - before) / load.requests * 1e6)

    def cpu(self) -> float:
        """Seconds that its processes have had."""
        return sum(map(cpu_seconds, family(self.pid)))

    def rss(self) -> float:
        """MiB of all of its processes."""
        return sum(map(rss_mib, family(self.pid)))

    def answer(self) -> Any:
        asked = urllib.request.Request(self.url, self.body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as response:
            return self.read(json.load(response))


PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench}}
spec:
  model: bench_model:{model}
  commands:
    - {{name: serve-api, host: 127.0.0.1, port: {port}, workers: 1, drain_delay: 0s, batch: {{events: {cap}}}{keys}}}
"""
IRIS = """\
import numpy as np

from pyrunner import Event, Model
from tests.bench.peers import models

FITTED = models.{kind}()


class Flower(Event):
    sl: float
    sw: float
    pl: float
    pw: float


class Species(Event):
    prediction: int


class Iris(Model[Flower, Species]):
    def predict(self, X: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {{"prediction": FITTED.predict(np.column_stack([X["sl"], X["sw"], X["pl"], X["pw"]]))}}
"""
FLIGHTS = """\
from typing import Literal

import pandas as pd

from pyrunner import Event, Model
from tests.bench.peers import models

FITTED = models.pipeline()


class Flight(Event):
    distance: float
    dep_delay: float
    hour: int
    carrier: str
    origin: Literal["EWR", "JFK", "LGA"]


class Lateness(Event):
    prediction: int


class Flights(Model[Flight, Lateness]):
    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"prediction": FITTED.predict(X)})
"""


def body_of(kind: str) -> str:
    return json.dumps(FLIGHT if kind == "pipeline" else FLOWER)


def ours_of(kind: str) -> AbstractContextManager[Server]:
    """`ds-runner serve-api` with one of the models that the peers have, too."""
    science, model = (FLIGHTS, "Flights") if kind == "pipeline" else (IRIS.format(kind=kind), "Iris")
    return ours(science, model, body_of(kind))


@contextmanager
def ours(
    science: str, model: str, body: str, *, keys: str = "", cap: int = CAP, read: Callable[[Any], Any] = prediction
) -> Iterator[Server]:  # fmt: skip
    """`ds-runner serve-api` with one worker and a model of a row's own. `keys` are further keys of its command."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ds-bench-") as name:
        folder = Path(name)
        (folder / "bench_model.py").write_text(science)
        (folder / "program.yaml").write_text(PROGRAM.format(model=model, port=port, cap=cap, keys=keys))
        command = [sys.executable, "-m", "pyrunner.cli", "serve-api"]
        at = f"http://127.0.0.1:{port}/predict"
        environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
        with _serving(command, at, body, read, environment, folder) as server:
            yield server


def fastapi(kind: str, path: str = "/predict") -> AbstractContextManager[Server]:
    return _uvicorn("tests.bench.peers.fastapi_app:app", kind, path)


def hand_batcher(kind: str, **environment: str) -> AbstractContextManager[Server]:
    return _uvicorn("tests.bench.peers.hand_batcher:app", kind, "/predict", environment)


def _uvicorn(
    app: str, kind: str, path: str, environment: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    port = free_port()
    command = [
        str(PEERS), "-m", "uvicorn", app, "--port", str(port), "--workers", "1", "--loop", "uvloop", "--http", "httptools",
        "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    more = {"MODEL": kind, **(environment or {})}
    return _serving(command, f"http://127.0.0.1:{port}{path}", body_of(kind), prediction, more)


def bento(kind: str) -> AbstractContextManager[Server]:
    port = free_port()
    command = [
        str(BENTO_PYTHON), "-m", "bentoml", "serve", "tests.bench.peers.bento_app:Iris", "--host", "127.0.0.1", "--port",
        str(port),
    ]  # fmt: skip
    body = json.dumps({"x": [list(FLOWER.values())]})
    more = {"MODEL": kind, "BENTOML_DO_NOT_TRACK": "true"}
    return _serving(command, f"http://127.0.0.1:{port}/predict", body, lambda answer: answer[0], more)


def triton(kind: str) -> AbstractContextManager[Server]:
    port = free_port()
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": list(FLOWER.values())}
    at = f"http://127.0.0.1:{port}/v2/models/iris/infer"
    command = [str(TRITON_PYTHON), "-m", "tests.bench.peers.triton_app", str(port)]
    return _serving(
        command,
        at,
        json.dumps({"inputs": [tensor]}),
        lambda said: said["outputs"][0]["data"][0],
        {"MODEL": kind},
    )


@contextmanager
def bare() -> Iterator[Server]:
    """The floor: what a Go server of any kind can reach here."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ds-bench-") as name:
        binary = f"{name}/barehttp"
        subprocess.run(
            ["go", "build", "-buildvcs=false", "-o", binary, "./tests/bench/barehttp"], cwd=ROOT, check=True
        )
        at = f"http://127.0.0.1:{port}/predict"
        with _serving([binary, f"127.0.0.1:{port}"], at, body_of("lr"), prediction) as server:
            yield server


@contextmanager
def _serving(
    command: list[str],
    url: str,
    body: str,
    read: Callable[[Any], Any],
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator[Server]:
    """A server that has answered once; ended at the end."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **SINGLE, **(environment or {})}, stdout=said, stderr=said
        )
        server = Server(url, process.pid, body, read)
        try:
            _answering(server, process)
            yield server
        except BaseException:
            said.seek(0)
            print(said.read()[-4000:].decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            ended(process)


def _answering(server: Server, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            server.answer()
            return
        except (OSError, urllib.error.URLError) as error:  # not listening yet, or no worker is ready
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{server.url} does not answer: {error}") from None
            time.sleep(0.1)
