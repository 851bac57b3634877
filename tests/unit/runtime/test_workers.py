"""Real worker processes under a real supervisor, against the fake bridge: what user code does to a process harms nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunner.runtime import supervisor
from pyrunner.testing import FakeBridge
from tests.unit.runtime.project import MODEL, Running, project, running


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    with project(tmp_path) as path:
        yield path


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The file that is there once the model hangs, or is about to."""
    return tmp_path / "begun"


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=16) as fake:
        yield fake


def number(x: int, do: str = "") -> bytes:
    return json.dumps({"x": x, "do": do} if do else {"x": x}).encode()


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_events_are_answered_and_a_drain_ends_in_order(program, bridge):
    with running(program, bridge, workers=2) as run:
        ids = bridge.give([number(x) for x in range(500)])
        answers = bridge.answers(500)
        assert [answers[i].outputs for i in ids] == [
            [json.dumps({"y": 2 * x}, separators=(",", ":")).encode()] for x in range(500)
        ]
        bridge.wait_ready(2)
        assert run.stop() == 0
    assert sorted(run.kinds()) == ["ended", "ended", "ready", "ready", "started", "started"]


def test_workers_that_somebody_needs_still_answer_until_they_may_go(program, bridge):
    parents, may_go = [], threading.Event()

    def part(parent):
        parents.append(parent)
        may_go.wait(100)

    with running(program, bridge, part=part) as run:
        bridge.wait_ready()
        run.supervisor.stop()
        until(lambda: parents)
        bridge.give([number(x) for x in range(10)])
        assert len(bridge.answers(10)) == 10
        assert bridge.wait_ready()[0].worker.startswith(parents[0] + "-"), "a bridge knows them by it"
        may_go.set()
        until(lambda: run.code is not None)
        assert run.code == 0


def test_a_second_signal_waits_for_nobody(program, bridge):
    with running(program, bridge, part=lambda _: threading.Event().wait(300)) as run:
        bridge.wait_ready()
        run.supervisor.stop()
        run.supervisor.stop()
        until(lambda: run.code is not None)


def test_start_order_does_not_matter_and_a_bridge_may_come_again(program, bridge):
    with running(program, bridge) as run:
        bridge.give([number(1)])
        bridge.answers(1)
        bridge.restart()
        bridge.give([number(2)])
        assert len(bridge.answers(2)) == 2
        assert run.kinds().count("started") == 1


def test_what_was_scored_for_a_lost_connection_is_dropped_and_comes_again(program, bridge):
    with running(program, bridge):
        bridge.wait_ready()
        bridge.give([number(x) for x in range(100)])
        bridge.drop_links()
        assert len(bridge.answers(100)) == 100


@pytest.mark.parametrize(
    ("do", "cause", "detail"),
    [
        ("segfault", "signal", "SIGSEGV"),
        ("leave", "exit", "exit code 7"),
        ("fork_and_leave", "exit", "exit code 9"),
    ],
)
def test_a_death_is_named_and_told_at_once(program, bridge, do, cause, detail):
    with running(program, bridge) as run:
        bridge.give([number(1, do)])
        bridge.wait_for(lambda: bool(bridge.deaths))
        assert (bridge.deaths[0].cause, bridge.deaths[0].detail) == (cause, detail)
        until(lambda: run.kinds().count("started") >= 2)
        assert run.logged("worker was ended by") or run.logged("worker ended by itself")


def test_a_forked_child_neither_hides_a_death_nor_outlives_it(program, bridge):
    with running(program, bridge):
        bridge.give([number(1)])
        bridge.answers(1)
        (hello,) = bridge.wait_ready()
        bridge.give([number(2, "fork_and_leave")])
        bridge.wait_for(lambda: bool(bridge.deaths))  # the child lives for 600 s
        until(lambda: not group_members(hello.pid))


def test_a_fork_that_lives_on_does_no_harm(program, bridge):
    with running(program, bridge) as run:
        bridge.give([number(1, "fork"), number(2)])
        assert len(bridge.answers(2)) == 2
        (hello,) = bridge.wait_ready()
        assert len(group_members(hello.pid)) == 2
        assert run.stop() == 0
        until(lambda: not group_members(hello.pid))


def group_members(leader: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("do", ["hang", "hold"])
def test_a_hang_is_cut_with_its_stack_shown(program, begun, bridge, do):
    with running(program, bridge) as run:
        bridge.give([number(1)])
        bridge.answers(1)
        (hello,) = bridge.wait_ready()
        bridge.give([number(2, do)])
        until(begun.exists)
        bridge.cut(hello.worker, "batch 2 is over its deadline of 200 ms")
        bridge.wait_for(lambda: bool(bridge.deaths))
        assert (bridge.deaths[0].cause, bridge.deaths[0].detail) == (
            "hang",
            "batch 2 is over its deadline of 200 ms",
        )
        until(lambda: bool(run.logged("was cut")))
        stack = run.logged("was cut")[0]["stack"]
        assert f"in {do}" in stack and "doubler_science.py" in stack
        assert "pyrunner/runtime" not in stack


def test_a_worker_that_hangs_while_the_bridge_starts_anew_is_replaced(program, begun, monkeypatch):
    """The new bridge knows nothing of it, so that it asks nobody to end it."""
    monkeypatch.setattr(supervisor, "_RETURN", 0.5)
    with FakeBridge(stream="numbers", deadline_ms=300) as bridge, running(program, bridge) as run:
        (hello,) = bridge.wait_ready()
        bridge.give([number(1, "hang")])
        until(begun.exists)
        bridge.restart()
        until(lambda: not alive(hello.pid))
        until(lambda: bool(run.logged("was cut")))  # the parent tells of it a moment after the death
        assert "in hang" in run.logged("was cut")[0]["stack"]


def test_a_worker_that_comes_back_to_a_new_bridge_is_left_alone(program, bridge, monkeypatch):
    monkeypatch.setattr(supervisor, "_RETURN", 600.0)
    with running(program, bridge) as run:
        until(lambda: run.kinds() == ["started", "ready"])
        bridge.restart()
        until(lambda: run.kinds() == ["started", "ready", "ready"])
        until(lambda: known_to(run)[0] == bridge.nonce)
        end_the_time_to_come_back(run)
        assert left_alone(run)


def test_a_worker_that_is_with_a_new_bridge_before_its_parent_is_left_alone(program, bridge, monkeypatch):
    """It was cut for not having come back to the one that the parent knew, when a bridge was started anew twice within seconds."""
    monkeypatch.setattr(supervisor, "_RETURN", 600.0)
    with running(program, bridge) as run:
        until(lambda: run.kinds() == ["started", "ready"])
        until(lambda: known_to(run)[0] == bridge.nonce)
        run.supervisor._lines["score-stream"].close()  # it reaches no other
        bridge.restart()
        until(lambda: run.kinds() == ["started", "ready", "ready"])
        end_the_time_to_come_back(run)
        assert left_alone(run)


def known_to(run: Running) -> tuple[int | None, float, float]:
    """The bridge that the parent has reached, since when, and until when its workers have to be there."""
    return run.supervisor._bridges.get("score-stream", (None, 0.0, 0.0))


def end_the_time_to_come_back(run: Running) -> None:
    bridge, since, _ = known_to(run)
    run.supervisor._bridges["score-stream"] = (bridge, since, since)  # type: ignore[assignment]


def left_alone(run: Running) -> bool:
    """Whether the parent has not cut its only worker when it has looked at it once more."""
    for _ in range(
        2
    ):  # it looks at its workers behind what it is asked: once it is asked again, it has looked
        asked = threading.Event()
        run.supervisor._changes.put(asked.set)
        run.supervisor._waker.set()
        assert asked.wait(60)
    (slot,) = run.supervisor._slots
    return slot.process is not None and slot.process.cut_reason is None


@pytest.mark.parametrize("do", ["print", "threads", "loop"])
def test_user_code_does_not_touch_the_wire(program, bridge, do):
    with running(program, bridge) as run:
        bridge.give([number(x, do) for x in range(20)])
        answers = bridge.answers(20)
        assert {answer.error for answer in answers.values()} == {None}
        assert run.stop() == 0


def test_closed_descriptors_are_a_death_with_its_cause_named(program, bridge):
    with running(program, bridge) as run:
        bridge.give([number(1, "close")])
        bridge.wait_for(lambda: bool(bridge.deaths))
        assert bridge.deaths[0].cause == "exit"
        assert "closed descriptors" in bridge.deaths[0].detail
        until(lambda: run.kinds().count("started") == 2)


def test_an_exception_is_its_events_error_and_shown_once_with_how_to_reproduce_it(program, bridge, capfd):
    with running(program, bridge, log_json=True):
        ids = bridge.give([number(x, "boom" if x % 2 else "") for x in range(10)])
        answers = bridge.answers(10)
    assert [answers[i].error is None for i in ids] == [True, False] * 5
    assert answers[ids[1]].error[1] == "exception"
    shown = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"event failed"' in line]
    assert len(shown) == 1
    assert shown[0]["reproduce"] == f"ds-runner replay --only {ids[1]} --pdb"
    assert "in boom" in shown[0]["traceback"] and "pyrunner/scoring" not in shown[0]["traceback"]


def test_the_surroundings_fault_gives_the_batch_back(program, bridge):
    with running(program, bridge):
        bridge.give([number(1, "crowd")])
        bridge.wait_for(lambda: bool(bridge.returns))
        assert bridge.returns[0].code == "out_of_memory"


def test_a_model_that_cannot_be_loaded_gets_no_leases_and_one_line(tmp_path, bridge):
    with (
        project(tmp_path, MODEL + "\nraise RuntimeError('no licence')\n") as program,
        running(program, bridge, 2) as run,
    ):
        until(lambda: run.kinds().count("failed") >= 3)
        assert not bridge.hellos or all(h.worker.endswith("score-stream") for h in bridge.hellos)
        lines = run.logged("could not load")
        print(lines)
        assert len(lines) == 1 and "no licence" in lines[0]["reason"]
        bridge.wait_for(lambda: bool(bridge.deaths))
        assert bridge.deaths[0].cause == "load"


def test_a_parent_without_workers_ends_at_once(tmp_path, bridge):
    """Between two attempts to load a model nobody is there to be waited for."""
    unloadable = MODEL + "\n\nraise RuntimeError('weights are missing')\n"
    with project(tmp_path, unloadable) as program, running(program, bridge, grace=60.0) as run:
        until(lambda: "failed" in run.kinds())
        assert run.stop(timeout=40) == 0


def test_fail_fast_ends_with_code_2(tmp_path, bridge):
    with (
        project(tmp_path, "import nothing_of_this_name\n") as program,
        running(program, bridge, fail_fast=True) as run,
    ):
        until(lambda: run.code is not None)
        assert run.code == 2


def test_a_worker_killed_from_outside_is_replaced_and_nothing_is_lost(program, bridge):
    with running(program, bridge, workers=2) as run:
        bridge.wait_ready(2)
        ids = bridge.give([number(x) for x in range(300)])
        for hello in bridge.wait_ready(2)[:1]:
            os.kill(hello.pid, signal.SIGKILL)
        assert bridge.answers(300).keys() == set(ids)
        bridge.wait_for(lambda: bool(bridge.deaths))
        assert bridge.deaths[0].cause == "killed"
        until(lambda: run.kinds().count("died") == 1)


def test_a_stopped_worker_goes_on_with_a_link_of_its_own(program, bridge):
    with running(program, bridge):
        (hello,) = bridge.wait_ready()
        os.kill(hello.pid, signal.SIGSTOP)
        bridge.give([number(1)])
        time.sleep(0.1)
        bridge.drop_links()
        os.kill(hello.pid, signal.SIGCONT)
        assert len(bridge.answers(1)) == 1


def test_a_drain_that_takes_too_long_is_ended(program, begun, bridge):
    with running(program, bridge, grace=0.5) as run:
        bridge.wait_ready()
        bridge.give([number(1, "hang")])
        until(begun.exists)
        assert run.stop() == 1


@pytest.mark.parametrize("do", ["", "hold"])
def test_workers_end_when_their_parent_is_gone_whatever_they_do(program, begun, bridge, do):
    script = (
        "import sys; from pathlib import Path; from pyrunner import logs\n"
        "from pyrunner.runtime import Supervisor, WorkerSpec\n"
        f"Supervisor([WorkerSpec(Path({str(program)!r}), 'score-stream')], bridge={bridge.address!r}, "
        f"token_file=Path({str(bridge.token_file)!r}), log=logs.get()).run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    try:
        (hello,) = bridge.wait_ready()
        if do:
            bridge.give([number(1, do)])
            until(begun.exists)
        parent.kill()
        until(lambda: not alive(hello.pid))
    finally:
        parent.kill()
        parent.wait()


def test_T40_the_log_says_what_was_wrong_with_an_event_and_not_what_was_in_it(program, bridge, capfd):
    """The dead letter has both. The log once held the first hundred characters of a payload that was no JSON."""
    with running(program, bridge, log_json=True):
        ids = bridge.give([b'{"x": "planted4711", "what": ""}', b'{"x": planted4711'])
        answers = bridge.answers(2)
    assert "planted4711" in answers[ids[0]].error[2]
    said = capfd.readouterr().err
    assert "planted4711" not in said
    lines = [json.loads(line) for line in said.splitlines() if '"event failed"' in line]
    assert lines[0]["reason"].startswith("x: expected")
