"""A standby: one more loaded worker that gets nothing until another dies, and then has its place."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunner.local import worker_specs
from pyrunner.project import open_project
from pyrunner.protocol import Hello, Wants
from pyrunner.runtime import WorkerSpec
from pyrunner.runtime.lifeline import Lifeline
from pyrunner.runtime.process import wait_any
from pyrunner.testing import FakeBridge

from .project import MODEL, Running, project, running


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=4) as fake:
        yield fake


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    with project(tmp_path) as path:
        yield path


def spec(program: Path, workers: int = 1) -> WorkerSpec:
    return WorkerSpec(program, "score-stream", workers, standby=1)


def both(bridge: FakeBridge, number: int = 2) -> tuple[list[Hello], list[Hello]]:
    """Those who work, and those who stand by, by how they have greeted."""
    ready = bridge.wait_ready(number)
    held = [hello for hello in ready if hello.wants & Wants.STANDBY]
    return [hello for hello in ready if hello not in held], held


def greeted(bridge: FakeBridge) -> list[Hello]:
    """The greetings of all workers so far; the calls connection of each comes as the same one."""
    return [hello for hello in bridge.hellos if hello.model]


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def number(x: int, do: str = "") -> bytes:
    return json.dumps({"x": x, "do": do} if do else {"x": x}).encode()


def test_a_standby_is_loaded_and_its_memory_told(program: Path, bridge: FakeBridge) -> None:
    with running(program, bridge, 0, more=[spec(program, 2)]) as run:
        working, held = both(bridge, 3)
        assert (len(working), len(held)) == (2, 1)
        until(lambda: run.logged("standby ready"))
        [line] = run.logged("standby ready")
        assert line["pid"] == held[0].pid
        figure, unit = line["memory"].split()
        assert (int(figure) > 5, unit) == (True, "MiB")
        bridge.give([number(x) for x in range(100)])
        assert len(bridge.answers(100)) == 100
        assert run.stop() == 0
    assert run.kinds().count("ended") == 3, "it ends with the others"
    assert run.kinds().count("started") == 3


def killed(run: Running, bridge: FakeBridge) -> tuple[Hello, Hello, Hello]:
    """Who worked and was killed, who stood by, and who stands by after it."""
    [worker], [standby] = both(bridge)
    os.kill(worker.pid, signal.SIGKILL)
    bridge.wait_for(lambda: len(greeted(bridge)) == 3, what=lambda: "nobody comes in its place")
    bridge.wait_ready(2)
    return worker, standby, greeted(bridge)[-1]


def test_a_standby_is_called_when_a_worker_dies_and_the_next_one_stands_by(
    program: Path, bridge: FakeBridge
) -> None:
    with running(program, bridge, 0, more=[spec(program)]) as run:
        worker, standby, after = killed(run, bridge)
        assert after.wants & Wants.STANDBY
        assert after.slot == worker.slot
        bridge.give([number(1)])
        bridge.answers(1)
        until(lambda: [line["pid"] for line in run.logged("standby takes")] == [standby.pid])
        bridge.restart()
        bridge.wait_for(lambda: len(greeted(bridge)) == 5)
        [working], [held] = both(bridge)
        assert (working.pid, held.pid) == (standby.pid, after.pid), "each dials as what it is now"
        assert run.stop() == 0


def test_the_death_of_a_standby_is_nobodys(program: Path, bridge: FakeBridge) -> None:
    with running(program, bridge, 0, more=[spec(program)]) as run:
        [worker], [standby] = both(bridge)
        os.kill(standby.pid, signal.SIGKILL)
        bridge.wait_for(lambda: len(greeted(bridge)) == 3)
        [working], [held] = both(bridge)
        assert (working.pid, held.slot) == (worker.pid, standby.slot)
        assert not run.logged("standby takes")
        assert run.stop() == 0


def test_workers_that_are_replaced_by_plan_call_no_standby(program: Path, bridge: FakeBridge) -> None:
    with running(program, bridge, 0, more=[spec(program)]) as run:
        before = both(bridge)
        other = WorkerSpec(program, "score-stream", 1, secrets=frozenset({"NOBODYS"}), standby=1)
        run.supervisor.replace(other)
        bridge.wait_for(lambda: len(greeted(bridge)) == 4)
        [working], [held] = both(bridge)
        assert working.pid != before[0][0].pid
        assert held.pid != before[1][0].pid
        assert not run.logged("standby takes")
        assert run.stop() == 0


def test_a_version_that_comes_later_has_a_standby_and_goes_with_it(program: Path, bridge: FakeBridge) -> None:
    with running(program, bridge) as run:
        bridge.wait_ready()
        run.supervisor.change([WorkerSpec(program, "score-stream", version="4", standby=1)], ())
        bridge.wait_ready(3)
        run.supervisor.change((), ["score-stream@4"])
        until(lambda: run.kinds().count("ended") == 2)
        assert run.kinds().count("started") == 3
        assert run.stop() == 0


def test_a_standby_that_is_called_while_it_loads_comes_as_a_worker(
    tmp_path: Path, bridge: FakeBridge
) -> None:
    gate = tmp_path / "gate"
    waits = f'if "--standby" in sys.argv:\n    while not Path({str(gate)!r}).exists():\n        time.sleep(0.01)\n'
    slow = f"{MODEL}\n\n{waits}"
    with project(tmp_path, slow) as program, running(program, bridge, 0, more=[spec(program)]) as run:
        [worker] = bridge.wait_ready()
        until(lambda: run.kinds().count("started") == 2)
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: run.logged("standby takes"))
        gate.touch()
        [working], [held] = both(bridge)
        assert held.slot == worker.slot != working.slot
        assert run.stop() == 0


def test_where_there_is_memory_for_one_alone_it_is_the_standby_that_works(
    tmp_path: Path, bridge: FakeBridge
) -> None:
    fails = f'{MODEL}\n\nif "--standby" not in sys.argv:\n    raise MemoryError("one is all that fits")\n'
    with project(tmp_path, fails) as program, running(program, bridge, 0, more=[spec(program)]) as run:
        bridge.give([number(1)])
        bridge.answers(1)
        assert run.logged("standby takes")
        assert run.stop() == 0


def test_a_shadow_has_no_standby(program: Path) -> None:
    text = program.read_text().replace("output: answers}", "output: answers, standby: 1, shadow: 3}")
    program.write_text(text)
    opened = open_project(program)
    own, beside = worker_specs(opened, opened.program.command("score-stream"))
    assert (own.standby, beside.standby, beside.shadow) == (1, 0, True)


def test_a_lifeline_tells_a_call_and_its_end() -> None:
    read, write = os.pipe()
    line = Lifeline(read)
    line.look()
    assert (line.called, line.closed) == (False, False)
    os.write(write, b"!")
    wait_any([line.fileno()], 10)
    line.look()
    assert (line.called, line.closed) == (True, False)
    os.write(write, b"!")
    os.close(write)
    line.look()
    assert (line.called, line.closed) == (True, True)
    os.close(read)
