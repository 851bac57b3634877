"""Workers of a shadow: spawned like any other, known by a name of their own, and never the reason why something ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunner.local import worker_specs
from pyrunner.project import open_project
from pyrunner.runtime import WorkerSpec
from pyrunner.runtime.slots import Slot
from pyrunner.testing import FakeBridge

from .project import PROGRAM, project, running

MISSING = "9"  # no such version


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=16) as fake:
        yield fake


def beside(program: Path, model: str | None = None) -> WorkerSpec:
    return WorkerSpec(program, "score-stream", model_ref=model, shadow=True)


def test_a_command_with_a_shadow_has_workers_for_it(tmp_path: Path) -> None:
    with project(tmp_path) as program:
        program.write_text(PROGRAM % {"module": "doubler_science"})
        opened = open_project(program)
        [own] = worker_specs(opened, opened.program.command("score-stream"), model="4", workers=3)
        assert (own.route, own.model_ref, own.workers, own.shadow) == ("score-stream", "4", 3, False)

        text = program.read_text().replace(
            "output: answers}", "output: answers, shadow: 3, shadow_workers: 2}"
        )
        program.write_text(text)
        opened = open_project(program)
        own, shadow = worker_specs(opened, opened.program.command("score-stream"), model="4", workers=3)
        assert (own.route, own.model_ref, own.workers, own.shadow) == ("score-stream", "4", 3, False)
        assert (shadow.route, shadow.model_ref, shadow.workers) == ("score-stream/shadow", "3", 2)
        assert (shadow.command, shadow.shadow, shadow.secrets) == ("score-stream", True, own.secrets)


def test_a_shadow_joins_by_its_own_name_and_lets_others_go_first(tmp_path: Path, bridge: FakeBridge) -> None:
    with project(tmp_path) as program, running(program, bridge, workers=0, more=[beside(program)]) as run:
        [hello] = bridge.wait_ready()
        assert hello.command == "score-stream/shadow"
        assert os.getpriority(os.PRIO_PROCESS, hello.pid) >= 10
        assert Path(f"/proc/{hello.pid}/oom_score_adj").read_text().strip() == "500"
        assert {event.command for event in run.events} == {"score-stream/shadow"}
        assert all(event.of_shadow for event in run.events)
        assert run.stop() == 0


def test_a_shadow_that_cannot_be_loaded_ends_nothing(tmp_path: Path, bridge: FakeBridge) -> None:
    with (
        project(tmp_path) as program,
        running(program, bridge, more=[beside(program, MISSING)], fail_fast=True) as run,
    ):
        bridge.give([b'{"x": 1}'])
        bridge.answers(1)
        end = time.monotonic() + 60
        while run.kinds().count("failed") < 2:
            assert time.monotonic() < end, "the shadow is not tried again"
            time.sleep(0.01)
        assert len(run.logged("could not load its model")) == 1, "one line for each cause"
        bridge.give([b'{"x": 2}'])
        bridge.answers(2)
        assert run.stop() == 0


def test_a_command_that_cannot_be_loaded_ends_though_its_shadow_can(
    tmp_path: Path, bridge: FakeBridge
) -> None:
    with (
        project(tmp_path) as program,
        running(
            program,
            bridge,
            workers=0,
            more=[beside(program), WorkerSpec(program, "score-stream", model_ref=MISSING)],
            fail_fast=True,
        ) as run,
    ):
        end = time.monotonic() + 60
        while run.code is None:
            assert time.monotonic() < end, "it goes on with nothing but a shadow"
            time.sleep(0.01)
        assert run.code == 2


def test_the_end_does_not_wait_for_a_shadow_that_hangs(tmp_path: Path, bridge: FakeBridge) -> None:
    with (
        project(tmp_path) as program,
        running(program, bridge, workers=0, more=[beside(program)], grace=100.0) as run,
    ):
        [hello] = bridge.wait_ready()
        bridge.give([b'{"x": 1, "do": "hold"}'])
        end = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end, "it was not given its event"
            time.sleep(0.01)
        assert run.stop(timeout=50) == 0  # well within the grace
        assert not Path(f"/proc/{hello.pid}").exists()


def test_a_shadow_that_dies_comes_back_ever_later() -> None:
    pauses = []
    slot = Slot(WorkerSpec(Path("p"), "score-stream", shadow=True), 0)
    for _ in range(8):
        slot.ready(0.0)
        pauses.append(slot.died(1.0, while_loading=False))
    assert pauses[0] >= 0.5 and pauses[-1] > 8 * pauses[0] and max(pauses) <= 75
