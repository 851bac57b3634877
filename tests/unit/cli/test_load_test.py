"""`serve-api --load-test`: what it measures, and what it says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunner.commands.serve_api import _tell
from pyrunner.loadtest import Stage, processor_seconds

from .conftest import ROW, Shell

NAMES = ["alone", "full", "open 25 %", "open 50 %", "open 75 %", "open 90 %"]


def stage(name: str, **changes: object) -> Stage:
    given = {
        "connections": 64,
        "asked": 0.0,
        "rate": 1000.0,
        "requests": 5000,
        "statuses": {"200": 5000},
        "failed": 0,
        "why": "",
        "unsent": 0,
        "p50_ms": 1.25,
        "p99_ms": 3.5,
        "late_ms": 0.1,
        "void": False,
        "server_cpu_us": 40.4,
    }
    return Stage(name, **{**given, **changes})  # type: ignore[arg-type]


def test_the_api_is_served_measured_and_ended(trained: Shell) -> None:
    said = trained("serve-api", "--load-test", "--seconds", "3", "--connections", "4", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [s["name"] for s in found] == NAMES
    for s in found:
        # A machine that is busy with something else takes less than it took a moment ago: what is too much is shed.
        beyond = {"429", "503", "504"} if s["name"].startswith("open") else set()
        assert s["rate"] > 0 and s["failed"] == 0 and {"200"} <= set(s["statuses"]) <= {"200"} | beyond, s
        assert 0 < s["p50_ms"] <= s["p99_ms"]
    if sys.platform == "linux":
        assert any(s["server_cpu_us"] > 0 for s in found) and None not in [s["server_cpu_us"] for s in found]


def test_rows_may_be_given(trained: Shell) -> None:
    (trained.folder / "rows.jsonl").write_text(ROW + "\n" + '{"no": "event"}\n')
    said = trained(
        "serve-api", "--load-test", "--seconds", "1", "--connections", "2", "--rows", "rows.jsonl", "--json"
    )
    assert said.code == 0, said.err
    assert set(json.loads(said.out)[0]["statuses"]) == {"200", "422"}


def test_mistakes_are_told(trained: Shell) -> None:
    assert "leave --bridge out" in trained("serve-api", "--load-test", "--bridge", "tcp://127.0.0.1:1").err
    (trained.folder / "empty.jsonl").write_text("\n")
    said = trained("serve-api", "--load-test", "--rows", "empty.jsonl")
    assert said.code == 2 and "empty.jsonl has no rows" in said.err


def test_the_table_shows_what_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    _tell(
        [
            stage("alone", connections=1),
            stage("full", rate=2000.0),
            stage("open 25 %", asked=500.0, rate=498.0, statuses={"200": 4990, "429": 10}),
            stage("open 50 %", asked=1000.0, rate=900.0, failed=2, why="reset"),
            stage("open 75 %", asked=1500.0, rate=1499.0, void=True, late_ms=27.0),
            stage("open 90 %", asked=1800.0, rate=1795.0, unsent=30),
        ],
        workers=2,
    )
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("2 workers, ") and lines[1].split() == [
        *("CPU", "us", "asked/s", "answered/s", "p50", "ms", "p99", "ms")
    ]
    assert lines[2].split() == ["alone", "40", "-", "1,000", "1.25", "3.50"]
    assert lines[3].split() == ["64", "at", "once", "40", "-", "2,000", "1.25", "-"]
    assert lines[6].split()[-4:] == ["1,500", "1,499", "-", "-"]
    assert lines[7].split()[-4:] == ["1,800", "1,795", "-", "-"]
    assert lines[8] == (
        "2,000 requests a second at most; of 500 a second 99 in 100 are answered within 3.5 ms."
    )
    assert err.splitlines() == [
        "open 25 %: answered 10 times 429",
        "open 50 %: 2 requests without an answer, the first: reset",
        "open 90 %: 30 requests due and not sent, since all connections waited, so latencies are not shown",
        "open 75 %: the sender itself was late (p99 up to 27 ms), so latencies are not shown. "
        "Send from another machine: ds-bridge load URL --rows FILE",
    ]


def test_a_server_that_answers_nothing_has_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    _tell([stage("alone", rate=0.0), stage("full", rate=0.0, server_cpu_us=None)], workers=1)
    assert capsys.readouterr().out.splitlines()[-1].split() == ["64", "at", "once", "-", "-", "0", "-", "-"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processor_time_is_that_of_the_whole_family() -> None:
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline()
        spent = processor_seconds(os.getpid(), without={os.getpid()})
        without = processor_seconds(os.getpid(), without={os.getpid(), child.pid})
        child.communicate()
    assert spent is not None and without is not None
    assert spent - without >= 0.25  # as far as the system's ticks tell
