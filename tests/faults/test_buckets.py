"""Models and large objects by the bridge, in a folder and in an S3-compatible service: whole, verified, gone on with after a cut."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from pyrunner.context import Context
from pyrunner.data import DataError
from pyrunner.data.connect import access_to
from pyrunner.data.objects import Objects
from pyrunner.project import open_project
from tests.providers.component import Component

from .rig import Rig, wait_until

SCIENCE = """
from typing import Annotated, Any

from pyrunner import Event, Key, Model


class Number(Event):
    id: Annotated[str, Key()]
    n: int


class Answer(Event):
    id: str
    value: float


class Mean(Model[Number, Answer]):
    def fit(self, history: Any) -> "Mean":
        self.mean_ = float(history.n.mean())
        self.ballast_ = bytes(9_000_000)
        return self

    def predict(self, events: list[Number]) -> list[Answer]:
        return [Answer(id=e.id, value=e.n * self.mean_) for e in events]
"""

READING = """
from typing import Annotated

from pyrunner import Context, Event, Key, Model


class Number(Event):
    id: Annotated[str, Key()]
    n: int


class Answer(Event):
    id: str
    value: float


class Reading(Model[Number, Answer]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Answer]:
        objects = ctx.objects("models")
        factor = float(objects.get("factor"))
        for e in events:
            objects.put(f"seen/{e.id}", str(e.n).encode())
            if e.n == 13:
                raise ValueError("thirteen")
        return [Answer(id=e.id, value=factor * e.n) for e in events]
"""

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: rig}}}}
spec:
  model: rig_science:{{model}}
  model_store: models
  connections:
    events: {{{{url: "embedded:"}}}}
    models: {{{{url: "{bucket}"}}}}
  datasets:
    history: {{{{path: history.jsonl}}}}
  streams:
    numbers: {{{{connection: events}}}}
    answers: {{{{connection: events}}}}
  commands:
    - {{{{name: train, input: history}}}}
    - {{{{name: score-stream, input: numbers, output: answers, workers: 1, deadline: {{deadline}}, order: {{order}}}}}}
"""


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty bucket."""
    if request.param == "folder":
        return f"file://{tmp_path}/bucket"
    service: Component = request.getfixturevalue("s3")
    url, _, settings = service.url.partition("?")
    key, _, rest = url.removeprefix("s3://").partition(":")
    secret, _, place = rest.partition("@")
    request.getfixturevalue("monkeypatch").setenv("DS_TEST_SECRET", secret)
    return f"s3://{key}:${{{{env:DS_TEST_SECRET}}}}@{place}/{uuid4().hex}?{settings}"


def pod_of(rig: Callable[..., Rig], bucket: str) -> Rig:
    pod = rig(SCIENCE, model="Mean", program=PROGRAM.format(bucket=bucket))
    (pod.folder / "history.jsonl").write_text(
        "".join(json.dumps({"id": f"h{n}", "n": n}) + "\n" for n in range(1, 6))
    )
    return pod


def train(pod: Rig) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyrunner.cli", "train"],
        cwd=pod.folder, env={**os.environ, "PYTHONPATH": str(pod.folder)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def reached(pod: Rig) -> Iterator[Context]:
    """What a notebook beside this pod's bridge has."""
    with access_to(open_project(pod.folder), f"tcp://127.0.0.1:{pod.port}", pod.token) as access:
        yield Context(access=access)


def test_a_pod_gets_the_model_that_another_has_trained_and_none_whose_hash_is_wrong(
    rig: Callable[..., Rig], bucket: str
) -> None:
    trained = pod_of(rig, bucket)
    assert "saved rig/1 in models" in train(trained)
    assert not (trained.folder / "models").exists()

    fresh = pod_of(rig, bucket)
    fresh.start_bridge()
    fresh.start_runner()
    fresh.publish({"id": f"a-{n}", "n": n} for n in range(100))
    wait_until(lambda: len(fresh.collect().results) >= 100, seconds=120, what="the answers")
    assert set(fresh.ledger.results) == {(f"a-{n}", 3.0 * n) for n in range(100)}

    with reached(fresh) as ctx:
        store = ctx.objects("models")
        (payload,) = (o.key for o in store.list("rig/files/") if o.size > 9_000_000)
        assert store.head(payload).sha256 == payload.rpartition("/")[2]  # type: ignore[union-attr]
        store.put(payload, store.get(payload)[::-1])
    deceived = pod_of(rig, bucket)
    deceived.start_bridge()
    deceived.start_runner()
    wait_until(
        lambda: "is not the file that was trained" in deceived.log("runner"), seconds=120, what="the refusal"
    )
    assert not list(deceived.folder.rglob("*.pickle"))


def test_a_download_goes_on_where_a_killed_bridge_has_cut_it(
    rig: Callable[..., Rig], bucket: str, tmp_path: Path
) -> None:
    pod = pod_of(rig, bucket)
    pod.start_bridge()
    pod.await_bridge()
    large = tmp_path / "large"
    block = os.urandom(1 << 20)
    with large.open("wb") as file:
        for n in range(64):
            file.write(n.to_bytes(4, "big") + block)
    with reached(pod) as ctx:
        stored = ctx.objects("models").upload(large, "big/one")
    assert stored.size == large.stat().st_size

    came: list[int] = []

    def killing(n: int) -> None:
        came.append(n)
        if sum(came) > 24 << 20 and pod.bridge is not None and pod.bridge.poll() is None:
            pod.bridge.kill()
            pod.bridge.wait()

    with reached(pod) as ctx, pytest.raises(DataError):
        ctx.objects("models").download("big/one", tmp_path / "copy", timeout=10, on_bytes=killing)
    assert not (tmp_path / "copy").exists() and 24 << 20 < sum(came) < stored.size

    pod.start_bridge()
    pod.await_bridge()
    rest: list[int] = []
    with reached(pod) as ctx:
        ctx.objects("models").download("big/one", tmp_path / "copy", on_bytes=rest.append)
        assert ctx.objects("models").head("big/one").sha256 == stored.sha256  # type: ignore[union-attr]
    with (tmp_path / "copy").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == stored.sha256
    assert sum(came) + sum(rest) == stored.size, "nothing came twice"


def test_an_upload_that_its_bridge_does_not_survive_leaves_what_was_there(
    rig: Callable[..., Rig], bucket: str
) -> None:
    pod = pod_of(rig, bucket)
    pod.start_bridge()
    pod.await_bridge()
    with reached(pod) as ctx:
        ctx.objects("models").put("k", b"before")

    class Killing:
        """A file that kills the bridge in its middle."""

        def __init__(self) -> None:
            self.parts = 0

        def read(self, size: int) -> bytes:
            self.parts += 1
            if self.parts == 6 and pod.bridge is not None:
                pod.bridge.kill()
                pod.bridge.wait()
            return bytes(size) if self.parts < 20 else b""

    with reached(pod) as ctx, pytest.raises(DataError):
        ctx.objects("models").put("k", Killing(), timeout=10)  # type: ignore[arg-type]
    pod.start_bridge()
    pod.await_bridge()
    with reached(pod) as ctx:
        assert ctx.objects("models").get("k") == b"before"
        assert [o.key for o in ctx.objects("models").list()] == ["k"]


def test_a_model_reads_objects_and_what_it_writes_is_there_with_its_answers_only(
    rig: Callable[..., Rig], bucket: str
) -> None:
    program = PROGRAM.format(bucket=bucket).replace("  model_store: models\n", "")
    program = program.replace("  datasets:\n    history: {{path: history.jsonl}}\n", "")
    program = program.replace("    - {{name: train, input: history}}\n", "")
    pod = rig(READING, model="Reading", program=program)
    pod.poisons = {13}
    pod.start_bridge()
    pod.await_bridge()
    with reached(pod) as ctx:
        ctx.objects("models").put("factor", b"2.5")
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(30))
    wait_until(lambda: len(pod.collect().results) >= 29, seconds=90, what="the answers")
    assert set(pod.ledger.results) == {(f"a-{n}", 2.5 * n) for n in range(30) if n != 13}
    with reached(pod) as ctx:
        seen = {o.key: ctx.objects("models").get(o.key) for o in ctx.objects("models").list("seen/")}
    assert seen == {f"seen/a-{n}": str(n).encode() for n in range(30) if n != 13}


def memory_of(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


@pytest.mark.long
def test_large_objects_pass_the_bridge_in_the_memory_of_a_few_parts(
    rig: Callable[..., Rig], bucket: str
) -> None:
    pod = pod_of(rig, bucket)
    pod.start_bridge()
    pod.await_bridge()
    assert pod.bridge is not None
    block = os.urandom(4 << 20)

    class Blocks:
        """256 MiB that are nowhere."""

        left = 64

        def read(self, size: int) -> bytes:
            self.left -= 1
            return block if self.left >= 0 else b""

    with reached(pod) as ctx:
        objects: Objects = ctx.objects("models")
        objects.put("small", block)
        before = memory_of(pod.bridge.pid)
        stored = objects.put("large", Blocks())  # type: ignore[arg-type]
        with objects.open("large") as file:
            digest = hashlib.sha256()
            while part := file.read(4 << 20):
                digest.update(part)
        objects.delete("large")
    assert digest.hexdigest() == stored.sha256 and stored.size == 256 << 20
    grown = memory_of(pod.bridge.pid) - before
    print(f"the bridge's memory grew by {grown >> 20} MiB")
    assert grown < 128 << 20
