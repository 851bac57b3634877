"""The template's flights as a project of its own for each container, and the ways in which its events can be asked.

Every way in gives the same form: for each of the 1,000 events, in their order, the output's fields or {"rejected": reason}.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrunner.client import ControlClient

from .shell import Shell, terminate

ROOT = Path(__file__).parents[2]
DATA = ROOT / "cookiecutter/{{cookiecutter.project_slug}}/examples/flights-data/data"

Answer = dict[str, Any]

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: same-flights}
spec:
  model: same_flights.science:FlightDelays
  connections:
    events: {url: "embedded:"}
  datasets:
    history: {path: data/history.parquet}
  streams:
    departures: {connection: events, topic: departures}
    estimates:  {connection: events, topic: estimates}
  commands:
    - {name: train, input: history}
    - {name: score-stream, input: departures, output: estimates}
    - {name: serve-api, port: 0}
"""

SCIENCE = '''\
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pyrunner import Batch, Context, Event, Field, Key, Model, Reject


class Departure(Event):
    flight_id: Annotated[str, Key()]
    carrier: Annotated[str, Field(min_length=2, max_length=2)]
    origin: Literal["EWR", "JFK", "LGA"]
    distance: Annotated[float, Field(gt=0)]
    dep_delay: float | None = None


class Estimate(Event):
    """One field of each plain type."""

    arr_delay: float
    late: bool
    minutes: int
    route: str


class FlightDelays(Model[Departure, Estimate]):
    def fit(self, history: pd.DataFrame) -> Self:
        self.gain_ = (history.arr_delay - history.dep_delay).groupby(history.carrier).mean().to_dict()
        return self

'''

# The same arithmetic in each container: delay + gain + a share of the distance; a cancelled flight is rejected.
PREDICT = {
    "list": """\
    def predict(self, events: list[Departure]) -> list[Estimate | Reject]:
        return [self.estimate(e) for e in events]
""",
    "batch": """\
    def predict(self, events: Batch[Departure]) -> list[Estimate | Reject]:
        assert len(events) == len(events.keys) == len(events.ids)
        return [self.estimate(e) for e in events]
""",
    "pandas": """\
    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        ctx.reject(X.dep_delay.isna(), "cancelled flight")
        delay = X.dep_delay + X.carrier.map(self.gain_).fillna(0.0).astype(float) + X.distance / 7000
        return pd.DataFrame({
            "arr_delay": delay,
            "late": delay > 15,
            "minutes": np.floor(delay.fillna(0)).astype("int64"),
            "route": X.origin.astype(str) + "/" + X.carrier,
        })
""",
    "arrow": """\
    def predict(self, X: pa.Table, *, ctx: Context) -> pa.Table:
        ctx.reject(pc.is_null(X["dep_delay"]), "cancelled flight")
        gain = pa.array([self.gain_.get(carrier, 0.0) for carrier in X["carrier"].to_pylist()], pa.float64())
        delay = pc.add(pc.add(X["dep_delay"], gain), pc.divide(X["distance"], 7000.0))
        route = pc.binary_join_element_wise(X["origin"].cast(pa.string()), X["carrier"], "/")
        minutes = pc.floor(delay).cast(pa.int64())
        return pa.table({"arr_delay": delay, "late": pc.greater(delay, 15.0), "minutes": minutes, "route": route})
""",
    "numpy": """\
    def predict(self, X: dict[str, np.ndarray], *, ctx: Context) -> dict[str, np.ndarray]:
        ctx.reject(np.isnan(X["dep_delay"]), "cancelled flight")
        gain = np.array([self.gain_.get(carrier, 0.0) for carrier in X["carrier"]])
        delay = X["dep_delay"] + gain + X["distance"] / 7000
        return {
            "arr_delay": delay,
            "late": delay > 15,
            "minutes": np.floor(np.nan_to_num(delay)).astype(np.int64),
            "route": X["origin"] + "/" + X["carrier"],
        }
""",
}

ESTIMATE = """
    def estimate(self, e: Departure) -> Estimate | Reject:
        if e.dep_delay is None:
            return Reject("cancelled flight")
        delay = e.dep_delay + self.gain_.get(e.carrier, 0.0) + e.distance / 7000
        return Estimate(arr_delay=delay, late=delay > 15, minutes=int(delay // 1), route=f"{e.origin}/{e.carrier}")
"""

# The plain call, as in a notebook: no codec, no command line. Prints the answers of the whole file as JSON lines.
PLAIN_CALL = {
    "list": "answers = model.predict([Departure(**row) for row in rows])",
    "batch": "answers = model.predict(Batch([Departure(**row) for row in rows]))",
    "pandas": "answers = table(model.predict(frame, ctx=ctx).to_dict('records'))",
    "arrow": "answers = table(model.predict(pa.Table.from_pylist(rows), ctx=ctx).to_pylist())",
    "numpy": """\
columns = model.predict({name: frame[name].to_numpy() for name in frame}, ctx=ctx)
answers = table([dict(zip(columns, row)) for row in zip(*(c.tolist() for c in columns.values()))])""",
}

NOTEBOOK = """\
import json, sys
import msgspec
import pandas as pd, pyarrow as pa
from pyrunner import Batch, Context, Reject
from pyrunner.models import ModelStore
from pathlib import Path
from same_flights.science import Departure, FlightDelays

rows = [json.loads(line) for line in open("data/departures.jsonl")]
rows = [{{**row, "distance": float(row["distance"])}} for row in rows]
frame = pd.DataFrame(rows).astype({{"dep_delay": "float64"}})
ctx = Context(len(rows))
model = ModelStore(Path("models")).load("same-flights", "latest", FlightDelays).model

def table(records):
    return [ctx.rejected.get(at, record) for at, record in enumerate(records)]

{call}
for a in answers:
    plain = {{"rejected": a.reason}} if isinstance(a, Reject) else msgspec.to_builtins(a)
    print(json.dumps(plain))
"""


@dataclass
class Flights:
    """A trained project whose predict takes one kind of container."""

    container: str
    shell: Shell

    @property
    def folder(self) -> Path:
        return self.shell.folder

    def rows(self) -> list[dict[str, Any]]:
        return _lines((self.folder / "data/departures.jsonl").read_text())

    def plain_call(self) -> list[Answer]:
        script = NOTEBOOK.format(call=PLAIN_CALL[self.container])
        return _lines(self.shell.run(sys.executable, "-c", script).out)

    def predict(self) -> list[Answer]:
        return _positional(json.loads(self.shell.run("ds-runner", "predict", "@data/departures.jsonl").out))

    def replay(self) -> list[Answer]:
        self.shell.run("ds-runner", "replay", "data/departures.jsonl", "--output", "ledger.jsonl")
        fates = {fate["event"]: fate for fate in _lines((self.folder / "ledger.jsonl").read_text())}
        return [_fate(fates[f"departures/0/{at}"]) for at in range(len(fates))]

    def score_batch(self) -> list[Answer]:
        self.shell.run(
            *("ds-runner", "score-batch", "--input", "data/departures.jsonl"),
            *("--output", "scored.jsonl", "--rejects", "rejects.jsonl"),
        )
        scored = {o.pop("_input_row"): o for o in _lines((self.folder / "scored.jsonl").read_text())}
        for output in scored.values():
            del output["flight_id"]  # the event's key, to join by
        rejected = _lines((self.folder / "rejects.jsonl").read_text())
        found = scored | {r["_input_row"]: {"rejected": r["reason"]} for r in rejected}
        return [found[at] for at in range(len(found))]


@contextmanager
def serving(flights: Flights) -> Iterator[Served]:
    """`ds-runner up` for the project, on free ports."""
    process = flights.shell.start("ds-runner", "up", "--workers", "1")
    try:
        yield Served(flights, _http_address(flights, process))
    finally:
        terminate(process)


@dataclass
class Served:
    """A project that streams and answers over HTTP."""

    flights: Flights
    url: str

    def stream(self, seconds: float = 120) -> list[Answer]:
        """Through the embedded broker: published, scored, tailed. A rejected event leaves no output but is counted."""
        shell, rows = self.flights.shell, self.flights.rows()
        shell.run("ds-runner", "publish", "departures", "data/departures.jsonl")
        rejected = sum(row["dep_delay"] is None for row in rows)
        until = time.monotonic() + seconds
        outputs: dict[int, Answer] = {}
        while len(outputs) < len(rows) - rejected:
            assert time.monotonic() < until, f"{len(outputs)} outputs after {seconds:g} s\n{shell.log()}"
            outputs = {r["headers"]["ds-source"]: r["value"] for r in self._tail("estimates")}
        return [outputs.get(r["id"], {"rejected": "cancelled flight"}) for r in self._tail("departures")]

    def _tail(self, stream: str) -> list[Any]:
        return _lines(self.flights.shell.run("ds-runner", "tail", stream, "--from", "start", "--json").out)

    def sent(self) -> dict[str, int]:
        """The events that went to the workers so far, by form: columns, misfit, payload. They are counted behind their answers."""
        found = json.loads((self.flights.folder / ".ds-runner/bridge.json").read_text())
        with ControlClient(found["wire"], Path(found["token_file"])) as client:
            client.call("status", deadline=60.0)  # otherwise the figures are up to a second old
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        sent: dict[str, int] = {}
        for form, number in re.findall(r'^ds_wire_events_total{.*form="(\w+)".*} (\S+)$', text, re.MULTILINE):
            sent[form] = sent.get(form, 0) + int(float(number))
        return {form: number for form, number in sent.items() if number}

    def list_of_rows(self) -> list[Answer]:
        return _positional(self.post(self.flights.rows()))

    def row_by_row(self) -> list[Answer]:
        return [self.post(row) for row in self.flights.rows()]

    def post(self, body: Any) -> Any:
        with urllib.request.urlopen(f"{self.url}/predict", json.dumps(body).encode(), timeout=120) as answer:
            return json.load(answer)


def make(container: str, folder: Path) -> Flights:
    """A project for that container, trained by the command line of this environment."""
    package = folder / "same_flights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "science.py").write_text(SCIENCE + PREDICT[container] + ESTIMATE)
    (folder / "program.yaml").write_text(PROGRAM)
    shutil.copytree(DATA, folder / "data")
    shell = Shell(folder, path=f"{Path(sys.executable).parent}:/usr/bin:/bin")
    shell.run("ds-runner", "train")
    return Flights(container, shell)


def _http_address(flights: Flights, process: subprocess.Popen[bytes], seconds: float = 120) -> str:
    """Where the bridge that just started listens, once a worker has answered."""
    discovery = flights.folder / ".ds-runner/bridge.json"
    until = time.monotonic() + seconds
    while not discovery.exists():
        assert process.poll() is None and time.monotonic() < until, flights.shell.log()
        time.sleep(0.05)
    flights.shell.url = "http://" + json.loads(discovery.read_text())["http"]
    flights.shell.wait_ready(process, seconds)
    return flights.shell.url


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def _positional(body: dict[str, Any]) -> list[Answer]:
    """The answer to a list, both by position: a prediction, or why there is none."""
    return [
        prediction or error for prediction, error in zip(body["predictions"], body["errors"], strict=True)
    ]


def _fate(entry: dict[str, Any]) -> Answer:
    return {"rejected": entry["rejected"]["reason"]} if "rejected" in entry else entry["outputs"][0]
