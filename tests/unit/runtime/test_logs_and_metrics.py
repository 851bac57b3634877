"""Logs mask secrets; metrics of all workers, by slot, are served by the parent."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import structlog

from pyrunner import logs, metrics
from pyrunner.testing import FakeBridge
from tests.unit.runtime.project import MODEL, project, running


@pytest.fixture
def restored():
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def test_a_line_is_json_where_there_is_no_terminal(restored):
    stream = io.StringIO()
    logs.configure(stream=stream)
    logs.get(slot=1).info("worker ready", model="3")
    logging.getLogger("their.library").warning("watch %s", "out")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert {k: ours[k] for k in ("event", "slot", "model", "level")} == {
        "event": "worker ready",
        "slot": 1,
        "model": "3",
        "level": "info",
    }
    assert theirs["event"] == "watch out"


def test_a_terminal_gets_it_pretty(restored):
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    logs.configure(stream=stream)
    logs.get().info("worker ready")
    assert "worker ready" in stream.getvalue() and not stream.getvalue().startswith("{")


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_masked_at_any_depth_and_in_texts(restored, as_json):
    stream = io.StringIO()
    logs.configure(stream=stream, json=as_json)
    logs.get().info(
        "dialled nats://me:planted-1@host:4222",
        token="planted-2",
        db_password="planted-3",
        nested={"api_key": "planted-4", "url": "postgres://u:planted-5@h/db"},
        urls=["kafka://a:planted-6@b"],
        token_file="/run/token",
    )
    try:
        raise RuntimeError("cannot reach redis://x:planted-7@h")
    except RuntimeError:
        logs.get().exception("failed")
    text = stream.getvalue()
    assert "planted" not in text
    assert "/run/token" in text


def test_levels_are_kept(restored):
    stream = io.StringIO()
    logs.configure(stream=stream, level="warning")
    logs.get().info("quiet")
    assert not stream.getvalue()


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")
    }


def test_metrics_of_all_workers_and_the_users_own_outlive_a_death(tmp_path: Path):
    counted = MODEL.replace(
        "class Doubler",
        "from prometheus_client import Counter\nSEEN = Counter('seen', 'Numbers seen.')\n\n\nclass Doubler",
    ).replace("return [self.one(e)", "SEEN.inc(len(events)); return [self.one(e)")
    with (
        project(tmp_path, counted) as program,
        FakeBridge(stream="numbers", batch=10) as bridge,
        running(program, bridge, 2, metrics=("127.0.0.1", 0)) as run,
    ):
        bridge.give([b'{"x": 1}'] * 100)
        bridge.answers(100)
        first = bridge.wait_ready(2)[0]
        bridge.give([b'{"x": 1, "do": "boom", "dq": 1}'])
        bridge.answers(101)
        subprocess.run(["kill", "-9", str(first.pid)], check=True)
        bridge.wait_for(lambda: bool(bridge.deaths))
        while first in bridge.wait_ready(2):  # its end of file may come behind its parent's word
            time.sleep(0.01)
        bridge.give([b'{"x": 1}'] * 99)
        bridge.answers(200)
        labels = '{command="score-stream",program="doubler"}'
        while (seen := scrape(run.supervisor.metrics_port or 0))[f"ds_py_events_total{labels}"] < 200 or seen[
            f"ds_py_connected{labels}"
        ] < 2:
            time.sleep(0.01)  # counted behind the answer, and behind the greeting
        assert seen[f"ds_py_events_total{labels}"] == 200
        assert seen["seen_total"] >= 200
        failed = '{code="exception",command="score-stream",kind="fail",program="doubler"}'
        assert seen[f"ds_py_failed_events_total{failed}"] == 1
        unknown = '{command="score-stream",field="dq",program="doubler"}'
        assert seen[f"ds_py_unknown_fields_total{unknown}"] == 1
        assert seen['ds_py_worker_deaths_total{cause="killed",command="score-stream"}'] == 1
        assert seen['ds_py_worker_starts_total{command="score-stream"}'] == 3
        assert seen[f"ds_py_connected{labels}"] == 2


def test_files_are_named_by_slot(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from pyrunner import metrics\n"
        "metrics.count_in_files(Path(sys.argv[1]), '7')\n"
        "metrics.WorkerMetrics('p', 'c').events.inc(5)\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=100)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "counter_7.db",
        "gauge_livesum_7.db",
        "histogram_7.db",
    ]
    metrics.forget_gauges(tmp_path, ["7"])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["counter_7.db", "histogram_7.db"]
