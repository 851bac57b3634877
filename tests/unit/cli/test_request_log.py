"""`request_log` of serve-api: requests on a stream, from program.yaml to `ds-runner tail`, without what the classes hide."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCIENCE = """\
from typing import Annotated

from pyrunner import Event, Field, Model


class Payment(Event):
    card: Annotated[str, Field(log=False)]
    amount: float


class Risk(Event):
    score: float
    twin: Annotated[str, Field(log=False)]


class Risks(Model[Payment, Risk]):
    def predict(self, payments: list[Payment]) -> list[Risk]:
        return [Risk(score=p.amount * 2, twin=p.card) for p in payments]
"""
PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: risks}
spec:
  model: logged_science:Risks
  connections:
    here: {url: "embedded:"}
  streams:
    requests: {connection: here}
  commands:
    - {name: serve-api, port: 0, request_log: requests, request_log_sample: 1}
"""
CLI = [sys.executable, "-m", "pyrunner.cli"]


def test_requests_are_logged_to_a_stream(tmp_path: Path) -> None:
    (tmp_path / "logged_science.py").write_text(SCIENCE)
    (tmp_path / "program.yaml").write_text(PROGRAM)
    with serving(tmp_path) as url:
        body = json.dumps([{"card": "4929-1", "amount": 2}, {"card": "4929-2", "amount": "two"}])
        asked = urllib.request.Request(
            f"{url}/predict", body.encode(), {"X-Request-Id": "r-17", "Request-Timeout": "60s"}
        )
        with urllib.request.urlopen(asked, timeout=90) as answer:
            assert json.load(answer)["predictions"] == [{"score": 4.0, "twin": "4929-1"}, None]
        record = until(lambda: tailed(tmp_path), seconds=90)
    assert record.pop("time") and record.pop("latency_ms") > 0
    assert record == {
        "request": "r-17",
        "version": "untrained",
        "rows_in": 2,
        "rows_scored": 1,
        "rows": [{"card": "(hidden)", "amount": 2}, "(hidden)"],
        "answers": [
            {"score": 4.0, "twin": "(hidden)"},
            {"errors": [{"field": "amount", "got": "two", "expected": "number"}]},
        ],
    }


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*CLI, "serve-api"], cwd=folder, stdout=log, stderr=log)
    try:
        yield until(lambda: ready(folder), seconds=120)
    finally:
        process.terminate()
        process.wait(90)


def ready(folder: Path) -> str | None:
    try:
        found = json.loads((folder / ".ds-runner" / "bridge.json").read_text())
        url = f"http://{found['http']}"
        with urllib.request.urlopen(f"{url}/readyz", timeout=30):
            return url
    except (OSError, ValueError, KeyError):
        return None


def tailed(folder: Path) -> dict[str, Any] | None:
    said = subprocess.run(
        [*CLI, "tail", "requests", "--from", "start"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    return json.loads(said.stdout.splitlines()[0]) if said.stdout else None


def until(look: Callable[[], Any], *, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found
