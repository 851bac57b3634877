"""What models ask for and write beside their answers, while workers and bridges die; and who never learns a password (T40)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.unit.runtime.memory_of import found_in

from .rig import PASSWORD, PROGRAM, Rig, leaks, wait_until
from .science import twice

SECRET = PASSWORD
WITH_DATA = PROGRAM.replace(
    '    events: {{url: "embedded:"}}\n',
    '    events: {{url: "embedded:"}}\n'
    '    features: {{url: "sqlite:features.db"}}\n'
    '    warehouse: {{url: "postgres://reader:${{env:DS_TEST_PASSWORD}}@127.0.0.1:9/flights"}}\n',
)

SEEN = """
from pyrunner import Context, Event, Model


class Number(Event):
    id: str
    n: int


class Answer(Event):
    id: str
    value: int


class Seen(Model[Number, Answer]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Answer]:
        kv = ctx.kv("features")
        kv.get_many([e.id for e in events])
        for e in events:
            kv.put(e.id, str(2 * e.n))
            if e.n % 1000 == 7:
                raise ValueError("seven")
        return [Answer(id=e.id, value=2 * e.n) for e in events]
"""

CURIOUS = """
from pyrunner import Context, DataError, Event, Model


class Number(Event):
    id: str
    n: int


class Answer(Event):
    id: str
    value: int
    said: str


class Curious(Model[Number, Answer]):
    def predict(self, events: list[Number], *, ctx: Context) -> list[Answer]:
        try:
            ctx.read_sql("select 1", "warehouse", timeout=2)
            said = "?"
        except DataError as error:
            said = str(error)
        return [Answer(id=e.id, value=2 * e.n, said=said) for e in events]
"""


def kept(pod: Rig, ids: list[str]) -> list[bytes | None]:
    """The values that the models have written."""
    with pod.control() as client:
        return list(client.call("kv.get", "features", ids, deadline=60.0))


def test_every_answer_has_its_write_and_no_other_while_workers_and_bridge_are_killed(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(SEEN, model="Seen", program=WITH_DATA, environment={"DS_TEST_PASSWORD": SECRET})
    pod.poisons = {n for n in range(4_000) if n % 1000 == 7}
    pod.start_bridge()
    pod.start_runner()
    rng = random.Random(7)
    for part in range(8):
        pod.publish({"id": f"a-{n}", "n": n} for n in range(500 * part, 500 * part + 500))
        if part % 4 == 3:
            pod.kill_bridge()
            pod.await_bridge()
        else:
            pod.kill_worker(rng)
        time.sleep(0.2)

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    answers = dict(pod.ledger.results)
    values = kept(pod, list(answers))
    assert [None if v is None else int(v) for v in values] == list(answers.values())
    assert len(pod.ledger.dead) >= 4
    assert set(kept(pod, pod.ledger.dead)) == {None}, "a write of an event that raised"


@pytest.mark.parametrize("place", ["pod", "laptop"])
def test_T40_no_python_process_knows_the_password_of_a_connection(
    rig: Callable[..., Rig], place: str
) -> None:
    """In a pod the runner's container has no such variable. On a laptop one terminal starts both, so the parent of the workers
    inherits it, but they do not."""
    pod = rig(CURIOUS, model="Curious", program=WITH_DATA, environment={"DS_TEST_PASSWORD": SECRET})
    pod.start_bridge()
    if place == "pod":
        del pod.environment["DS_TEST_PASSWORD"]
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(20))
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()

    said = [json.loads(value)["said"] for value in values_of(pod)]
    assert all("warehouse" in text and SECRET not in text for text in said), said
    wait_until(
        lambda: len(pod.status()["workers"]) == 2, seconds=120, what="two workers, with all that they know"
    )
    assert pod.bridge is not None and pod.runner is not None
    for pid in pod.workers():
        assert found_in(pid, SECRET.encode()) == []
        assert found_in(pid, b"rig_science"), "the search finds what is there"
    if place == "pod":
        assert found_in(pod.runner.pid, SECRET.encode()) == []
    else:
        assert "environ" in found_in(pod.runner.pid, SECRET.encode()), (
            "the search finds it in a Python process"
        )
    assert found_in(pod.bridge.pid, SECRET.encode()), "the bridge has used it"
    for log in ("bridge", "runner"):
        assert SECRET not in pod.log(log)
    files = [p for p in pod.folder.rglob("*") if p.is_file() and os.access(p, os.R_OK)]
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []


def test_T40_a_secret_in_the_memory_of_a_python_process_is_found() -> None:
    """The control: in a str, in bytes, and only in memory."""
    holds = "import sys; a = 'planted-' + 'x' * 3 + str(4711); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        places = found_in(process.pid, b"planted-xxx4711")
        assert found_in(process.pid, b"planted-xxx4712") == []
        process.communicate()
    assert places and "environ" not in places, places


def test_T40_the_search_of_logs_finds_tokens_passwords_and_payloads() -> None:
    """The control of what every rig does at its end."""
    token = "0123456789abcdef"
    assert leaks(f"a {token} b", token)
    assert leaks(f"url=postgres://reader:{PASSWORD}@db", token)
    assert leaks('{"msg":"got {\\"id\\": \\"a-1\\"}"}', token)
    assert leaks('{"id":"a-1","n":1}', token)
    assert leaks('{"level":"INFO","msg":"scored","event_id":"numbers/0/1"}', token) == []


def values_of(pod: Rig) -> list[bytes]:
    """The answers, from the beginning."""
    with pod.control() as client:
        records, _ = client.call("tail", "answers", "", 5000, 0, deadline=60.0)
    return [record[4] for record in records]
