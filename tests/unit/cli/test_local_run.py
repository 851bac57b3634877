"""Workers beside a bridge of their own: who is told of signals, in which order things end, whose fault is said."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pyrunner import bridge, local
from pyrunner.bridge import Bridge, Options, Unavailable
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project

from .conftest import Shell

FAKE = Path(__file__).with_name("fake_ds_bridge.py")


class Workers:
    """Stands in for the supervisor: runs until it is stopped, and notes whether the bridge lived then."""

    def __init__(self, child: Bridge) -> None:
        self.child = child
        self.running, self.stopped = threading.Event(), threading.Event()
        self.stops: list[bool] = []

    def run(self) -> int:
        self.running.set()
        assert self.stopped.wait(120)
        return 0

    def stop(self) -> None:
        self.stops.append(self.child.poll() is None)
        self.stopped.set()


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    script = tmp_path / "ds-bridge"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("DS_BRIDGE", str(script))
    with bridge.running(Options(tmp_path / "program.yaml", ["score-stream"], tmp_path / "state")) as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_bridge_and_the_workers_end_after_it(child: Bridge, number: int) -> None:
    workers = Workers(child)
    threading.Thread(target=lambda: (workers.running.wait(), os.kill(os.getpid(), number))).start()
    before = signal.getsignal(number)
    assert local.run_beside(child, workers) == local.Ended(0, signalled=True)  # type: ignore[arg-type]
    assert workers.stops == [False]
    assert (child.process.returncode, signal.getsignal(number)) == (0, before)


def test_a_bridge_that_is_killed_ends_the_workers_and_is_told(child: Bridge) -> None:
    workers = Workers(child)
    threading.Thread(target=lambda: (workers.running.wait(), child.process.kill())).start()
    with pytest.raises(Unavailable, match="ds-bridge ended with exit code -9"):
        local.run_beside(child, workers)  # type: ignore[arg-type]
    assert workers.stops == [False]


def test_a_bridge_that_is_done_ends_the_workers(child: Bridge) -> None:
    workers = Workers(child)
    threading.Thread(target=lambda: (workers.running.wait(), child.drain())).start()
    assert local.run_beside(child, workers) == local.Ended(0, signalled=False)  # type: ignore[arg-type]


def test_what_the_workers_say_rises_while_the_bridge_lives(child: Bridge) -> None:
    class Unloadable(Workers):
        def run(self) -> int:
            raise UserError("the model could not be loaded")

    with pytest.raises(UserError, match="could not be loaded"):
        local.run_beside(child, Unloadable(child))  # type: ignore[arg-type]
    assert child.poll() is None


@pytest.fixture
def project(shell: Shell) -> Project:
    return open_project(shell.folder)


def test_a_worker_spec_is_what_program_yaml_says(project: Project) -> None:
    spec = local.worker_spec(project, project.program.command("score-stream"))
    assert (spec.program, spec.command, spec.workers, spec.name) == (
        project.path,
        "score-stream",
        2,
        "my-flights",
    )
    assert local.worker_spec(project, project.program.command("score-stream"), workers=5).workers == 5


def test_auto_leaves_one_processor_to_the_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, workers in ((1, 1), (2, 1), (8, 7)):
        monkeypatch.setattr(local, "usable_processors", lambda n=processors: n)
        assert local.worker_count("auto") == workers
    assert local.worker_count(None) == 1


def test_a_command_of_another_kind_is_refused_with_its_own_verb(project: Project) -> None:
    with pytest.raises(UserError, match="Run: ds-runner serve-api --command serve-api"):
        local.command_of(project, "score-stream", "serve-api")
    with pytest.raises(UserError, match=r'no command "score-steam".*Did you mean score-stream'):
        local.command_of(project, "score-stream", "score-steam")


def test_up_serves_what_has_an_input(project: Project) -> None:
    assert [c.name for c in local.serving(project)] == ["score-stream", "serve-api"]


def test_a_bridge_elsewhere_needs_its_token(shell: Shell) -> None:
    shell("train")
    said = shell("score-stream", "--bridge", "tcp://127.0.0.1:7400")
    assert (said.code, said.err) == (
        2,
        "--bridge needs --token-file: the file with the token that the bridge was started with\n",
    )
    assert (
        shell("score-stream", "--bridge", "tcp://127.0.0.1:7400", "--token-file", "none").err
        == "no token file none\n"
    )
    assert "write HOST:PORT" in shell("serve-api", "--metrics", "nowhere").err
