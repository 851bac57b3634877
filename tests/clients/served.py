"""Two models behind the Open Inference Protocol, for the clients of tests/clients: one with fields of every kind, one of numbers alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READINGS = """\
import time
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pyrunner import Event, Field, Model, Reject


class Place(Event):
    city: str
    floor: int = 0


class Reading(Event):
    sensor: str
    value: Annotated[float, Field(ge=-1000)]
    limit: float | None = None
    count: int = 0
    night: bool = False
    kind: Literal["a", "b"] = "a"
    at: datetime | None = None
    price: Decimal = Decimal("1.5")
    place: Place | None = None
    tags: list[str] = []


class Verdict(Event):
    sensor: str
    double: float
    over: float | None
    count: int
    night: bool
    kind: str
    at: datetime | None
    price: Decimal
    place: Place | None
    tags: list[str]


class Readings(Model[Reading, Verdict]):
    def predict(self, events: list[Reading]) -> list[Verdict | Reject]:
        return [self.verdict(e) for e in events]

    def verdict(self, e: Reading) -> Verdict | Reject:
        if e.sensor == "broken":
            return Reject("a broken sensor")
        if e.sensor == "slow":
            time.sleep(1)
        over = None if e.limit is None else e.value - e.limit
        return Verdict(
            sensor=e.sensor, double=2 * e.value, over=over, count=e.count, night=e.night, kind=e.kind, at=e.at,
            price=e.price, place=e.place, tags=e.tags,
        )
"""
POINTS = """\
from pyrunner import Event, Model


class Point(Event):
    x: float
    y: float | None
    n: int


class Total(Event):
    total: float
    n: int


class Points(Model[Point, Total]):
    def predict(self, events: list[Point]) -> list[Total]:
        return [Total(total=e.x + (e.y or 0.0), n=e.n) for e in events]
"""
PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: {name}}}
spec:
  model: {name}_science:{model}
  commands:
    - {{name: serve-api, port: 0, grpc_port: 0, max_body: 1MiB}}
"""


@dataclass(frozen=True)
class Served:
    """Where a model is served, as host:port."""

    model: str
    http: str
    grpc: str


@contextmanager
def served(folder: Path, name: str, model: str, science: str) -> Iterator[Served]:
    """`ds-runner serve-api` of a model in a folder, until the block ends."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}_science.py").write_text(science)
    (folder / "program.yaml").write_text(PROGRAM.format(name=name, model=model))
    log = folder / "log"
    command = [sys.executable, "-m", "pyrunner.cli", "serve-api"]
    repository = str(Path(__file__).parents[2])
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": repository}
        )
    try:
        yield _ready(process, folder, name, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], folder: Path, name: str, log: Path) -> Served:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            found = json.loads((folder / ".ds-runner" / "bridge.json").read_text())
            with urllib.request.urlopen(f"http://{found['http']}/readyz", timeout=30):
                return Served(name, found["http"], found["grpc"])
        except (OSError, ValueError):
            time.sleep(0.05)  # between looks, not for anything to happen
    raise AssertionError(f"{name} is not served:\n{log.read_text()}")
