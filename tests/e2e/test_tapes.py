"""Live traffic is recorded, and replayed where there is no broker and no database: the same to the bit, or the first difference explained."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS, PARTS, PAUSE = 600, 3, 0.7
SECRET = "hunter2-rates.db"  # stands for all that a connection's URL may hold

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: taped}
spec:
  model: taped_science:Delays
  connections:
    events: {url: "embedded:"}
    rates: {url: "${env:RATES_URL}"}
  streams:
    departures: {connection: events, topic: departures}
    estimates:  {connection: events, topic: estimates}
    alerts:     {connection: events, topic: alerts}
  datasets:
    history: {path: history.csv}
  commands:
    - {name: train, input: history}
    - {name: score-stream, input: departures, output: estimates}
"""

SCIENCE = """\
from typing import Annotated, Self

import numpy as np
import pandas as pd

from pyrunner import Context, Event, Key, Model


class Departure(Event):
    flight_id: Annotated[str, Key()]
    distance: float
    delay: float | None = None


class Estimate(Event):
    arr_delay: float
    asked_at: float


class Delays(Model[Departure, Estimate]):
    def fit(self, history: pd.DataFrame) -> Self:
        self.weights_ = np.random.rand(64)
        return self

    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        ctx.reject(X.delay.isna(), "cancelled flight")
        rate = ctx.read_sql("select rate from rates where name = :name", "rates", {"name": "now"}).rate[0]
        offsets = np.array([float(v or 0) for v in ctx.kv("rates").get_many(X.flight_id.tolist())])
        noise = np.array([ctx.random.random() for _ in range(len(X))])
        sums = np.outer(X.distance.to_numpy(), self.weights_).sum(axis=1) / 7
        ctx.kv("rates").put("last", X.flight_id.iloc[-1])
        ctx.publish("alerts", {"n": len(X)})
        return pd.DataFrame({"arr_delay": X.delay.fillna(0) + sums * rate + offsets + noise, "asked_at": ctx.now().timestamp()})
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(folder: Path, environment: dict[str, str]) -> Run:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "ds-runner", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, (
            f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    return run


class Site:
    """Where the traffic is: a program with a database, at work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "RATES_URL": f"sqlite:{SECRET}", "OMP_NUM_THREADS": "1"}
        self.run = runner(folder, self.environment)
        folder.mkdir()
        (folder / "program.yaml").write_text(PROGRAM)
        (folder / "taped_science.py").write_text(SCIENCE)
        (folder / "history.csv").write_text("flight_id,distance,delay\na,1.0,2.0\n")
        with sqlite3.connect(folder / SECRET) as db:
            db.execute("create table rates (name text, rate real)")
            db.execute("insert into rates values ('now', 1.0625)")
        self.run("train")
        for part in range(PARTS):
            lines = [self._event(part * EVENTS + n) for n in range(EVENTS)]
            (folder / f"part-{part}.jsonl").write_text("\n".join(lines) + "\n")

    @staticmethod
    def _event(n: int) -> str:
        delay = None if n % 50 == 7 else n / 3
        return json.dumps({"flight_id": f"f-{n}", "distance": 100.1 + n / 7, "delay": delay})

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [Path(sys.executable).parent / "ds-runner", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def record(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin to record. Returns when the bridge has begun."""
        recording = self.start("record", "departures", "--output", name, "--json", *arguments)
        until(lambda: recording.poll() is not None or size(self.folder / name) > 8, "a tape has begun")
        return recording

    def publish(self) -> None:
        for part in range(PARTS):
            self.run("publish", "departures", f"part-{part}.jsonl")
            time.sleep(PAUSE)  # traffic that has a spacing, not a wait for something


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def ended(recording: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = recording.communicate(timeout=300)
    assert recording.returncode == 0, errors
    return dict(json.loads(out))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two tapes of the same kind of traffic: `live.tape`, and `bare.tape` without the answers of calls."""
    site = Site(tmp_path_factory.mktemp("tapes") / "site")
    stream = site.start("score-stream")
    try:
        until(lambda: (site.folder / ".ds-runner" / "bridge.json").exists(), "the bridge is ready")
        recording = site.record("live.tape", "-n", str(EVENTS * PARTS))
        assert (
            "is being recorded already"
            in site.run("record", "departures", "--output", "second.tape", code=3).stderr
        )
        site.publish()
        site.said = ended(recording)  # type: ignore[attr-defined]
        recording = site.record("bare.tape", "--no-lookups")
        site.run("publish", "departures", "part-0.jsonl")
        until(lambda: size(site.folder / "bare.tape") > 30_000, "events are on the second tape")
        recording.send_signal(signal.SIGINT)
        site.bare = ended(recording)  # type: ignore[attr-defined]
        yield site
    finally:
        stream.send_signal(signal.SIGTERM)
        stream.communicate(timeout=300)


@pytest.fixture(scope="module")
def laptop(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Code and model, and no broker, no database, nor where they would be."""
    folder = tmp_path_factory.mktemp("laptop") / "project"
    shutil.copytree(
        site.folder,
        folder,
        ignore=shutil.ignore_patterns(".ds-runner", SECRET, "part-*.jsonl", "__pycache__"),
    )
    return folder


@pytest.fixture
def replay(laptop: Path) -> Run:
    environment = {k: v for k, v in os.environ.items() if k not in ("RATES_URL", "OMP_NUM_THREADS")}
    return lambda *arguments, code=0: runner(laptop, environment)("replay", *arguments, code=code)


@pytest.fixture
def science(laptop: Path) -> Iterator[Path]:
    """The model's file, to be changed; it is as it was afterwards."""
    path = laptop / "taped_science.py"
    yield path
    path.write_text(SCIENCE)


def test_a_tape_is_for_its_owner_alone_holds_no_credentials_and_all_that_came(site: Site) -> None:
    said = site.said  # type: ignore[attr-defined]
    assert said["events"] == said["fates"] == EVENTS * PARTS
    assert (said["dropped_events"], said["command"]) == (0, "score-stream")
    tape = site.folder / "live.tape"
    assert stat.S_IMODE(tape.stat().st_mode) == 0o600
    assert SECRET.encode() not in tape.read_bytes()
    assert not (site.folder / "second.tape").exists(), "a recording that never began leaves a file"
    refused = site.run("record", "departures", "--output", "live.tape", code=2)
    assert "is there already" in refused.stderr


def test_a_replay_without_the_database_is_the_same_to_the_bit(replay: Run, laptop: Path) -> None:
    done = replay("live.tape", "--expect", "live.tape", "--output", "again.jsonl")
    assert "same as expected, to the bit: 1,800 events compared" in done.stdout
    assert "36 rejected, 0 dead, model 1" in done.stdout
    assert "not as it was recorded" not in done.stderr
    assert not (laptop / SECRET).exists(), "the database was opened"
    done = replay("live.tape", "--expect", "again.jsonl")
    assert "same as expected: 1,800 events compared" in done.stdout


def test_another_code_is_explained_by_event_field_values_and_versions(replay: Run, science: Path) -> None:
    science.write_text(SCIENCE.replace("/ 7\n", "/ 7.5\n"))
    done = replay("live.tape", "--expect", "live.tape", code=1)
    first = next(line for line in done.stdout.splitlines() if line.startswith("first difference: "))
    assert first.startswith("first difference: departures/0/1 arr_delay: expected ")
    assert "expected by model 1, code " in first
    assert "got from model 1, code " in first
    assert "1,764 of 1,800 events differ" in done.stdout
    assert "not as it was recorded: code " in done.stderr


def test_another_lookup_is_the_difference_and_asks_no_system(replay: Run, science: Path) -> None:
    science.write_text(SCIENCE.replace('{"name": "now"}', '{"name": "tomorrow"}'))
    done = replay("live.tape", "--expect", "live.tape", code=1)
    assert 'departures/0/1 call sql.open: expected ["rates","select rate from rates' in done.stdout
    assert '["name","tomorrow"]' in done.stdout
    assert "calls of the model were not recorded and were refused" in done.stderr


def test_another_write_is_a_difference_though_the_answers_are_the_same(replay: Run, science: Path) -> None:
    science.write_text(SCIENCE.replace('put("last"', 'put("latest"'))
    done = replay("live.tape", "--expect", "live.tape", code=1)
    assert "departures/0/1 call stage: expected " in done.stdout


def test_another_model_is_named(replay: Run, laptop: Path) -> None:
    runner(laptop, {**os.environ, "RATES_URL": "sqlite:none.db"})("train")
    try:
        done = replay("live.tape", "--expect", "live.tape")
        assert "model 1" in done.stdout, "the recorded version is replayed, not the newest"
        done = replay("live.tape", "--expect", "live.tape", "--model", "latest")
        assert "to the bit" in done.stdout, "the same seed and history make the same model"
        assert "not as it was recorded: model 1, now 2" in done.stderr
    finally:
        shutil.rmtree(laptop / "models" / "taped" / "2")
    (laptop / "models" / "taped" / "1").rename(laptop / "models" / "taped" / "9")
    try:
        missing = replay("live.tape", code=2)
        assert "recorded with model 1, which is not here" in missing.stderr
    finally:
        (laptop / "models" / "taped" / "9").rename(laptop / "models" / "taped" / "1")


def test_without_recorded_lookups_the_diff_says_that_it_cannot_be_trusted(replay: Run) -> None:
    done = replay("bare.tape", "--expect", "bare.tape", code=1)
    assert "recorded with --no-lookups" in done.stderr
    assert "this diff cannot be trusted" in done.stderr


def test_at_1x_batches_come_as_far_apart_as_they_came(replay: Run) -> None:
    done = json.loads(replay("live.tape", "--speed", "1x", "--json").stdout)
    assert done["seconds"] >= (PARTS - 1) * PAUSE
    assert "write 1x, 10x or max" in replay("live.tape", "--speed", "fast", code=2).stderr


def test_a_tape_that_was_cut_off_is_replayed_as_far_as_it_goes(replay: Run, laptop: Path) -> None:
    whole = (laptop / "live.tape").read_bytes()
    (laptop / "torn.tape").write_bytes(whole[: len(whole) // 2])
    done = replay("torn.tape", "--expect", "torn.tape")
    assert "to the bit" in done.stdout
    assert "the tape is torn at byte" in done.stderr
    (laptop / "newer.tape").write_bytes(whole[:7] + b"\x02" + whole[8:])
    assert "is a tape of version 2" in replay("newer.tape", code=2).stderr


def test_single_events_are_replayed_in_their_batches(replay: Run) -> None:
    done = replay("live.tape", "--expect", "live.tape", "--only", "departures/0/700")
    assert "same as expected, to the bit: 1 event compared" in done.stdout
