"""What `ds-runner audit` refuses, and where it says to look."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pyrunner.audit.options import deeds_of
from pyrunner.cli import app

KAFKA = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: theirs}
spec:
  model: theirs:Science
  connections: {events: {url: "kafka://127.0.0.1:9"}}
  streams: {departures: {}, estimates: {}}
  commands:
    - {name: score-stream, input: departures, output: estimates}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kill", "brigde"], 'no part "brigde"'),
        (["--kill", "bridge", "--times", "many"], "--times many: write a number"),
        (["--kill", "bridge", "--times", "worker=3"], 'nothing is done to "worker"'),
        (["--kill", "bridge,worker", "--times", "bridge=3"], "says nothing of worker. Add worker=N"),
        (["--stop", "broker"], 'no part "broker"'),
        (["--kill", "broker"], "Write --kill bridge, which kills both"),
        (["--broker-pid", "7"], "go with --kill broker"),
        (["--at", "night"], "write random or steps"),
        (["--deadline", "soon"], "--deadline soon"),
        (["--embedded", "--program", "."], "exclude each other"),
    ],
)
def test_mistakes_are_named_with_what_to_write(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["audit", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_a_broker_outside_is_killed_only_by_those_who_say_how(elsewhere: Path) -> None:
    (elsewhere / "program.yaml").write_text(KAFKA)
    for options in ([], ["--broker-pid", "7"], ["--broker-start", "true"]):
        done = CliRunner().invoke(app, ["audit", "--kill", "broker", *options])
        assert done.exit_code == 2
        assert "Write --broker-start COMMAND and one of" in done.output


def test_a_command_that_is_not_there_is_named(elsewhere: Path) -> None:
    (elsewhere / "program.yaml").write_text(KAFKA)
    done = CliRunner().invoke(app, ["audit", "--command", "score-steam"])
    assert done.exit_code == 2
    assert 'no command "score-steam"' in done.output and "score-stream" in done.output


def test_steps_ask_for_a_bridge_that_has_them(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = elsewhere / "ds-bridge"
    plain.write_text("#!/bin/sh\nexit 2\n")
    plain.chmod(0o755)
    monkeypatch.setenv("DS_BRIDGE", str(plain))
    done = CliRunner().invoke(app, ["audit", "--at", "steps", "--times", "1"])
    assert done.exit_code == 2
    assert "has no named steps" in done.output and "-tags faults" in done.output


def test_each_part_has_its_own_number_of_times() -> None:
    deeds = deeds_of("bridge, worker", "bridge", None, "bridge=2,worker=1")
    assert deeds == [("kill", "bridge")] * 2 + [("kill", "worker")] + [("stop", "bridge")] * 2
    assert deeds_of("worker,worker", None, None, "3") == [("kill", "worker")] * 3
