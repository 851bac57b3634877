"""A worker that scores batches beside each other, as a real process against the fake bridge. Overlap is shown by calls that wait for each other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pyrunner.program import load_program
from pyrunner.runtime import WorkerSpec
from pyrunner.testing import FakeBridge, FakeData
from tests.unit.runtime.project import Running, running

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: waiter}
spec:
  model: waiter_science:Waiter
  connections:
    events: {url: "memory:"}
    features: {url: "redis://db:6379"}
  commands:
    - {name: serve-api, concurrency: 4, batch: {events: 1}}
"""

MODEL = """\
import threading
import time
from pathlib import Path

from pyrunner import Context, Event, Model

MEETING = threading.Barrier(4)


class Number(Event):
    x: int
    do: str = ""


class Found(Event):
    y: str


class Waiter(Model[Number, Found]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Found]:
        [e] = events
        if e.do == "wait":
            Path(__file__).with_name(f"began-{e.x}").touch()
            while not Path(__file__).with_name("go").exists():
                time.sleep(0.01)
        if e.do == "meet":
            MEETING.wait(60)  # four calls are here at a time, or this breaks
        [value] = ctx.kv("features").get_many([str(e.x)])
        ctx.kv("features").put(f"seen-{e.x}", value or b"")
        if e.do == "meet":
            MEETING.wait(60)  # and all have asked before one goes on
        if e.x % 2:
            ctx.reject(0, f"{e.x} is odd")
        return [Found(y=(value or b"none").decode())]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "waiter_science.py").write_text(MODEL)
    (tmp_path / "program.yaml").write_text(PROGRAM)
    return tmp_path / "program.yaml"


@pytest.fixture
def data() -> FakeData:
    return FakeData(kv={"features": {str(n): f"v{n}" for n in range(100)}})


@pytest.fixture
def bridge(data: FakeData) -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=1, data=data) as fake:
        yield fake


def serving(program: Path, bridge: FakeBridge) -> AbstractContextManager[Running]:
    return running(program, bridge, 0, more=[WorkerSpec(program, "serve-api")], grace=60.0)


def numbers(*xs: int, do: str = "meet") -> list[bytes | None]:
    return [json.dumps({"x": x, "do": do}).encode() for x in xs]


def test_four_calls_overlap_and_each_has_its_own_answer_its_rejections_and_its_writes(program, bridge, data):
    assert load_program(program).command("serve-api").concurrency == 4
    with serving(program, bridge):
        [hello] = bridge.wait_ready()
        assert hello.wants & 16
        ids = bridge.give(numbers(*range(40)))
        answers = bridge.answers(40)
    for x, id in enumerate(ids):
        if x % 2:
            assert f"{x} is odd" in (answers[id].error or ())
        else:
            assert json.loads(answers[id].outputs[0]) == {"y": f"v{x}"}
    assert all(data.kv["features"][f"seen-{x}"] == f"v{x}".encode() for x in range(40))


def wait_for_files(folder: Path, *names: str) -> None:
    end = time.monotonic() + 60
    while not all((folder / name).exists() for name in names):
        assert time.monotonic() < end, f"not all of {names}"
        time.sleep(0.01)


@pytest.mark.parametrize("by", ["bridge", "signal"])
def test_a_drain_waits_for_all_that_are_being_scored(program, bridge, by):
    with serving(program, bridge) as run:
        bridge.wait_ready()
        ids = bridge.give(numbers(0, 2, 4, do="wait"))
        wait_for_files(program.parent, "began-0", "began-2", "began-4")
        bridge.drain() if by == "bridge" else run.supervisor.stop()
        (program.parent / "go").touch()
        answers = bridge.answers(3)
        if by == "signal":
            run._thread.join(60)  # a second signal would kill
    assert run.code == 0
    assert [answers[id].outputs[0] for id in ids] == [b'{"y":"v%d"}' % x for x in (0, 2, 4)]


def test_batches_of_a_link_that_was_lost_are_answered_on_the_next(program, bridge):
    with serving(program, bridge):
        bridge.wait_ready()
        ids = bridge.give(numbers(0, 2, 4, do="wait"))
        wait_for_files(program.parent, "began-0", "began-2", "began-4")
        bridge.drop_links()
        bridge.wait_ready()
        (program.parent / "go").touch()
        ids += bridge.give(numbers(6, 8, do=""))
        answers = bridge.answers(5)
    assert [answers[id].outputs[0] for id in ids] == [b'{"y":"v%d"}' % x for x in (0, 2, 4, 6, 8)]
