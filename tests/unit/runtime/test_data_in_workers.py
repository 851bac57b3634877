"""Models in real worker processes that ask for data: leases, staged writes, outages, and no credential anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunner.local import worker_spec
from pyrunner.project import open_project
from pyrunner.runtime.process import WorkerProcess
from pyrunner.testing import FakeBridge, FakeData
from tests.unit.runtime.memory_of import found_in
from tests.unit.runtime.project import running

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: looker}
spec:
  model: looker_science:Looker
  connections:
    events: {url: "memory:"}
    features: {url: "redis://reader:${env:DS_TEST_FEATURES_PASSWORD}@db:6379"}
    warehouse: {url: "postgres://db/flights", settings: {password: "${env:DS_TEST_WAREHOUSE_PASSWORD}"}}
  streams:
    numbers: {connection: events, topic: numbers}
    answers: {connection: events, topic: answers}
  commands:
    - {name: score-stream, input: numbers, output: answers}
"""

MODEL = """\
from pyrunner import Context, Event, Model


class Number(Event):
    x: int


class Found(Event):
    y: str


class Looker(Model[Number, Found]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Found]:
        values = ctx.kv("features").get_many([str(e.x) for e in events])
        for e in events:
            ctx.kv("features").put(f"seen-{e.x}", "yes")
            ctx.publish("alerts", {"x": e.x})
            if e.x == 13:
                raise ValueError("thirteen")
        return [Found(y=(value or b"none").decode()) for value in values]
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "looker_science.py").write_text(MODEL)
    (tmp_path / "program.yaml").write_text(PROGRAM)
    return tmp_path / "program.yaml"


@pytest.fixture
def data() -> FakeData:
    return FakeData(kv={"features": {str(n): f"v{n}" for n in range(10)}})


@pytest.fixture
def bridge(data: FakeData) -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=16, data=data) as fake:
        yield fake


def numbers(*xs: int) -> list[bytes | None]:
    return [json.dumps({"x": x}).encode() for x in xs]


def test_a_batch_reads_in_one_round_trip_and_its_writes_are_done_with_its_result(program, bridge, data):
    with running(program, bridge):
        bridge.wait_ready()
        ids = bridge.give(numbers(*range(12)))
        answers = bridge.answers(12)
    assert [json.loads(answers[i].outputs[0])["y"] for i in ids] == [f"v{n}" for n in range(10)] + [
        "none"
    ] * 2
    assert data.calls == ["kv.get", "stage"]
    assert len([key for key in data.kv["features"] if key.startswith("seen-")]) == 12
    assert [json.loads(value)["x"] for value, _, _ in data.published["alerts"]] == list(range(12))


def test_a_raising_event_takes_only_its_own_writes_along(program, bridge, data):
    with running(program, bridge):
        bridge.wait_ready()
        ids = bridge.give(numbers(*range(10, 18)))
        answers = bridge.answers(8)
    assert [answers[i].error is None for i in ids] == [x != 13 for x in range(10, 18)]
    assert sorted(json.loads(value)["x"] for value, _, _ in data.published["alerts"]) == [
        10,
        11,
        12,
        14,
        15,
        16,
        17,
    ]


def test_an_outage_gives_batches_back_and_the_answers_come_when_it_is_over(program, bridge, data):
    data.outage = True
    with running(program, bridge):
        bridge.wait_ready()
        bridge.give(numbers(1, 2, 3))
        bridge.wait_for(lambda: len(bridge.returns) > 0)
        assert bridge.returns[0].code == "unavailable"
        assert "cannot be reached" in bridge.returns[0].reason
        data.outage = False
        answers = bridge.answers(3)
    assert all(answer.error is None for answer in answers.values())
    assert len(data.published["alerts"]) == 3


def test_the_credentials_are_nowhere_in_a_workers_environment_or_memory(program, bridge, monkeypatch):
    secrets = {
        "DS_TEST_FEATURES_PASSWORD": "pw-f-4242424242",
        "DS_TEST_WAREHOUSE_PASSWORD": "pw-w-9898989898",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DS_TEST_OTHER", "not-a-secret-123")
    project = open_project(program)
    spec = worker_spec(project, project.program.command("score-stream"))
    assert spec.secrets == secrets.keys()
    arguments = ["--bridge", bridge.address, "--token-file", str(bridge.token_file)]
    worker = WorkerProcess(spec, 0, "w-1", arguments)
    try:
        bridge.wait_ready()
        bridge.give(numbers(1))
        bridge.answers(1)
        for value in secrets.values():
            assert found_in(worker.pid, value.encode()) == []
        assert found_in(worker.pid, b"not-a-secret-123"), "the search finds what is there"
    finally:
        worker.bury()


def test_a_worker_gets_its_model_through_the_bridge(program, bridge, data, tmp_path):
    data.objects["models"] = {}
    program.write_text(
        program.read_text()
        .replace("  connections:\n", '  model_store: models\n  connections:\n    models: {url: "s3://bucket"}\n')
    )  # fmt: skip
    (tmp_path / "looker_science.py").write_text(LEARNT)
    project = open_project(program).beside(bridge.address, bridge.token_file)
    trained = project.model_class()().fit("learnt")
    assert project.store.save("looker", trained).version == "1"
    shutil.rmtree(project.state)
    with running(program, bridge):
        bridge.wait_ready()
        ids = bridge.give(numbers(1))
        assert json.loads(bridge.answers(1)[ids[0]].outputs[0]) == {"y": "learnt"}
    assert (project.state / "models" / "looker" / "1" / "manifest.json").is_file()


LEARNT = (
    MODEL.partition("class Looker")[0]
    + """\
class Looker(Model[Number, Found]):
    def fit(self, history):
        self.word_ = history
        return self

    def predict(self, events: list[Number]) -> list[Found]:
        return [Found(y=self.word_) for _ in events]
"""
)
