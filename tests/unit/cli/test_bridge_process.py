"""The bridge as a child: found, started, discovered, stopped, and never left behind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunner import bridge
from pyrunner.bridge import Options, Unavailable
from pyrunner.errors import UserError

FAKE = Path(__file__).with_name("fake_ds_bridge.py")


@pytest.fixture(autouse=True)
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "ds-bridge"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("DS_BRIDGE", str(script))
    return script


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(program=tmp_path / "program.yaml", commands=["score-stream"], state=tmp_path / "state")


def test_a_started_bridge_is_discovered_until_it_is_stopped(options: Options) -> None:
    with bridge.running(options) as child:
        found = bridge.discover(options.state)
        assert found is not None
        assert (found.pid, found.wire) == (child.process.pid, "tcp://127.0.0.1:7400")
    assert bridge.discover(options.state) is None
    assert (options.state / "drained").exists()


def test_the_token_is_new_and_the_owners_alone(options: Options) -> None:
    with bridge.running(options):
        first = options.token_file.read_text()
        assert stat.S_IMODE(options.token_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(options.state.stat().st_mode) == 0o700
    with bridge.running(options):
        assert options.token_file.read_text() != first
    assert len(first) >= 32


def test_options_become_the_binarys_flags(options: Options) -> None:
    options.params, options.only, options.env = ["a=1", "b=2"], ["s/0/1"], "prod"
    options.input, options.exit_at_end = "file:///in.jsonl", True
    with bridge.running(options):
        said = json.loads((options.state / "arguments.json").read_text())
    assert said[0] == "run"
    for flag, value in (("--param", "a=1"), ("--param", "b=2"), ("--only", "s/0/1"), ("--env", "prod")):
        assert (flag, value) in itertools.pairwise(said)
    assert "--exit-at-end" in said
    assert "--output" not in said


def test_a_mistake_in_the_program_is_the_users(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_FAKE", "mistake")
    with pytest.raises(UserError, match=r"program\.yaml:14:7"):
        bridge.start(options, log=tmp_path / "log")


def test_a_bridge_that_cannot_start_is_quoted(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_FAKE", "crash")
    with pytest.raises(Unavailable, match=r"exit code 1 .*\ncannot listen error=address in use"):
        bridge.start(options, log=tmp_path / "log")


def test_a_bridge_that_never_gets_ready_is_killed(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DS_FAKE", "never")
    with pytest.raises(Unavailable, match="not ready"):
        bridge.start(options, log=tmp_path / "log", seconds=0.5)


def test_a_second_bridge_of_the_project_is_refused_with_the_way_to_join(options: Options) -> None:
    with (
        bridge.running(options),
        pytest.raises(UserError, match=r"--bridge tcp://127\.0\.0\.1:7400 --token-file"),
    ):
        bridge.start(options)


def test_what_a_killed_bridge_left_behind_is_not_a_bridge(options: Options) -> None:
    child = bridge.start(options)
    child.process.kill()
    child.process.wait()
    assert (options.state / "bridge.json").exists()
    assert bridge.discover(options.state) is None
    bridge.start(options).stop()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_discovery_file_that_is_not_whole_is_no_bridge(tmp_path: Path, text: str) -> None:
    (tmp_path / "bridge.json").write_text(text)
    assert bridge.discover(tmp_path) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: PR_SET_PDEATHSIG")
def test_it_dies_with_a_parent_that_is_killed(options: Options, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from pyrunner.bridge import Options, start\n"
            f"start(Options(program=Path('p'), commands=[], state=Path({str(options.state)!r})))\n"
            "time.sleep(600)",
        ],
        cwd=Path(__file__).parents[3],
    )
    _until(lambda: bridge.discover(options.state) is not None)
    found = bridge.discover(options.state)
    assert found is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: (options.state / "drained").exists())


def test_a_binary_that_is_not_there_is_named_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DS_BRIDGE", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"no ds-bridge at .*nowhere"):
        bridge.find_bridge()
    monkeypatch.delenv("DS_BRIDGE")
    monkeypatch.setattr(bridge, "packaged_binary", lambda: tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="make build"):
        bridge.find_bridge()


def test_the_version_is_what_the_binary_says(binary: Path) -> None:
    assert bridge.version_of(binary) == "ds-bridge 9.9.9"


def _until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)
