"""`make demo` works, and what it measures with measures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.demo.measure import cpu_seconds, descendants, parse, wait_for

ROOT = Path(__file__).parents[2]

PAGE = """
# TYPE ds_events_total counter
ds_events_total{command="a",fate="scored"} 90
ds_events_total{command="a",fate="dead"} 10
ds_events_total{command="b",fate="scored"} 7
# TYPE ds_stage_seconds histogram
ds_stage_seconds_bucket{command="a",stage="total",le="0.001"} %d
ds_stage_seconds_bucket{command="a",stage="total",le="0.002"} %d
ds_stage_seconds_bucket{command="a",stage="total",le="+Inf"} %d
ds_stage_seconds_count{command="a",stage="total"} %d
ds_stage_seconds_sum{command="a",stage="total"} 1
"""


@pytest.mark.timeout(900)
def test_the_demo_ends_with_its_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], cwd=ROOT, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for figure in ("events in", "scored", "rejected", "dead-lettered", "CPU per event", "RMSE", "p50", "p99"):
        assert figure in done.stdout


def test_samples_are_summed_by_label() -> None:
    page = parse(PAGE % (0, 0, 0, 0))
    assert page.total("ds_events_total", command="a") == 100
    assert page.total("ds_events_total", fate="scored") == 97
    assert page.total("ds_no_such_total") == 0


def test_a_quantile_counts_only_what_came_since() -> None:
    before, after = parse(PAGE % (100, 100, 100, 100)), parse(PAGE % (150, 200, 200, 200))
    labels = {"command": "a", "stage": "total"}
    assert after.quantile(0.25, before, "ds_stage_seconds", **labels) == pytest.approx(0.0005)
    assert after.quantile(0.75, before, "ds_stage_seconds", **labels) == pytest.approx(0.0015)


def test_cpu_time_of_a_child_is_seen() -> None:
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        wait_for("the child", lambda: child.pid in descendants(os.getpid()), 60)
        wait_for("its CPU time", lambda: cpu_seconds([child.pid]) > 0.05, 90)
    finally:
        child.kill()
        child.wait()
    assert cpu_seconds([child.pid]) == 0


def test_waiting_in_vain_names_what_did_not_come() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="rain: not after 0 s"):
        wait_for("rain", lambda: False, 0.1)
    assert time.monotonic() - began < 30
