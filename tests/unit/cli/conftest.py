"""A small flights project in a folder, and the command line to run in it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from pyrunner.cli import app

SCIENCE = '''\
from typing import Annotated, Literal, Self

import pandas as pd

from pyrunner import Event, Field, Key, Model, Params, Reject, command
from pyrunner.project import Project


class Departure(Event):
    flight_id: Annotated[str, Key()]
    carrier: Annotated[str, Field(min_length=2, max_length=2)]
    origin: Literal["EWR", "JFK", "LGA"]
    distance: Annotated[float, Field(gt=0)]
    dep_delay: float | None = None


class Estimate(Event):
    arr_delay: float
    late: bool


class FlightDelays(Model[Departure, Estimate]):
    class Params(Params):
        shrink: Annotated[float, Field(ge=0)] = 50.0

    def fit(self, history: pd.DataFrame) -> Self:
        gain = (history.arr_delay - history.dep_delay).groupby(history.carrier)
        self.gain_ = (gain.sum() / (gain.count() + self.params.shrink)).to_dict()
        return self

    def predict(self, events: list[Departure]) -> list[Estimate | Reject]:
        return [self.estimate(e) for e in events]

    def estimate(self, e: Departure) -> Estimate | Reject:
        if e.dep_delay is None:
            return Reject("cancelled flight")
        delay = e.dep_delay + self.gain_.get(e.carrier, 0.0)
        return Estimate(arr_delay=delay, late=delay > 15)


@command
def busiest(project: Project, top: int = 1) -> None:
    """The carriers with the most flights."""
    flights = pd.read_parquet(project.data_path("history"))
    print(project.name, *flights.carrier.value_counts().index[:top])
'''

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: my-flights}
spec:
  model: my_flights.science:FlightDelays
  params: {shrink: 50}
  connections:
    events: {url: "embedded:"}
  datasets:
    history:    {path: data/history.parquet}
    validation: {path: data/validation.parquet}
  streams:
    departures: {connection: events, topic: departures}
    estimates:  {connection: events, topic: estimates}
  commands:
    - {name: train, input: history, validation: validation}
    - {name: score-stream, input: departures, output: estimates, workers: 2}
    - {name: serve-api, port: 8080}
"""

ROW = '{"flight_id": "1", "carrier": "UA", "origin": "JFK", "distance": 1400, "dep_delay": 12}'


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Shell:
    """The project's folder and `ds-runner` in it. Each run imports the project's code anew."""

    folder: Path

    def __call__(self, *command: str, stdin: str = "") -> Said:
        _forget("my_flights")
        done = CliRunner().invoke(app, command, input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.folder / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """In a fresh project, not trained."""
    folder = tmp_path / "my-flights"
    (folder / "my_flights").mkdir(parents=True)
    (folder / "my_flights" / "__init__.py").touch()
    (folder / "my_flights" / "science.py").write_text(SCIENCE)
    (folder / "program.yaml").write_text(PROGRAM)
    (folder / "data").mkdir()
    parquet.write_table(flights(300), folder / "data" / "history.parquet")
    parquet.write_table(flights(100), folder / "data" / "validation.parquet")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits within a second look alike to the cache
    yield Shell(folder)
    _forget("my_flights")


@pytest.fixture
def trained(shell: Shell) -> Shell:
    assert shell("train").code == 0
    return shell


@pytest.fixture
def numberless() -> Callable[[str], str]:
    """A text with its figures replaced by N, to compare with a golden one."""
    return lambda text: re.sub(r"\d+(\.\d+)?", "N", text)


Numberless = Callable[[str], str]


def flights(n: int) -> pa.Table:
    delays = [float(i % 40 - 10) for i in range(n)]
    return pa.table(
        {
            "flight_id": [str(i) for i in range(n)],
            "carrier": [("UA", "AA", "UA", "B6")[i % 4] for i in range(n)],
            "origin": [("EWR", "JFK", "LGA")[i % 3] for i in range(n)],
            "distance": [500.0 + i for i in range(n)],
            "dep_delay": [None if i % 50 == 49 else d for i, d in enumerate(delays)],
            "arr_delay": [d - 4 + i % 3 for i, d in enumerate(delays)],
        }
    )


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        del sys.modules[name]
    importlib.invalidate_caches()
