"""The storms into a real PostgreSQL: exactly once loses and doubles nothing, at least once loses nothing (T1, T2, T3).

The server that is killed is the one that is written to: a transaction's rows and positions go with it together, or stay.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow
import pytest

from pyrunner import bridge as bridges
from pyrunner.client.control import ControlClient
from tests.providers.component import Component

from .audits import Auditor
from .rig import Rig, wait_until
from .science import DOUBLE, twice
from .test_steps import end_at
from .traffic import publishing
from .watch import WatchedRig

ROUTE = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: theirs}}
spec:
  model: nobody.imports:ThisClass
  connections:
    events: {{url: "{source}", settings: {settings}}}
    rows: {{url: "{sink}"}}
  streams:
    numbers: {{connection: events}}
    answers: {{connection: rows}}
    letters: {{connection: rows}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, dead_letter: letters, workers: 2, guarantee: {guarantee}}}
"""
KAFKA = "{session_timeout: 6s, instance_id: audit-0}"  # known again when it comes back: nobody waits for a session's end
POISONS = 20


def storm(
    auditor: Auditor, rows: Component, guarantee: str, *more: str,
    kafka: Component | None, seconds: float = 170, **kills: int,
) -> None:  # fmt: skip
    """Under these kills the promise is kept, from Kafka or from the embedded broker."""
    source, settings = (kafka.url, KAFKA) if kafka else ("embedded:", "{}")
    audit = auditor.run(
        "--kill", ",".join(kills), "--times", ",".join(f"{part}={n}" for part, n in kills.items()),
        "--poisons", str(POISONS), "--seed", "20131004", *more,
        program=ROUTE.format(source=source, settings=settings, sink=rows.url, guarantee=guarantee),
        broker=rows,
        seconds=seconds,
    )  # fmt: skip
    audit.require(done={f"kill {part}": n for part, n in kills.items()}, inversions=0)
    assert audit.ledger["dead"] >= POISONS, (
        "a batch whose answer was lost may be stored, and its poisons die too"
    )
    for mistake in ("lost", "wrong", "innocents", "spared", "both"):
        assert audit.ledger[mistake]["count"] == 0, mistake
    assert audit.ledger["duplicates"] == 0, "by the position, or by the ids that a table of ours keeps"
    assert " is left: " not in audit.said, "the audit's tables are removed"


def test_T1_T2_T3_kills_of_bridge_workers_and_server_keep_exactly_once_from_kafka_into_postgres(
    auditor: Auditor, kafka: Component, own_component: Callable[[str], Component]
) -> None:
    storm(
        auditor, own_component("postgres"), "exactly-once", "--events", "5000",
        kafka=kafka, bridge=2, worker=2, broker=2,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_T1_T2_T3_kills_of_bridge_workers_and_server_keep_the_promise_from_the_embedded_broker_into_postgres(
    auditor: Auditor, own_component: Callable[[str], Component], guarantee: str
) -> None:
    storm(
        auditor, own_component("postgres"), guarantee, "--events", "20000",
        kafka=None, bridge=10, worker=10, broker=4,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_T1_T2_T3_fifty_kills_of_bridge_and_workers_and_ten_of_the_server_over_100000_events(
    auditor: Auditor, kafka: Component, own_component: Callable[[str], Component], guarantee: str
) -> None:
    storm(
        auditor, own_component("postgres"), guarantee, "--events", "100000", "--deadline", "25m",
        kafka=kafka, seconds=1_600, bridge=50, worker=50, broker=10,
    )  # fmt: skip


PLAIN = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: rig}}}}
spec:
  model: rig_science:{{model}}
  connections:
    events: {{{{url: "embedded:"}}}}
    rows: {{{{url: "{sink}", settings: {{{{create: "true"}}}}}}}}
  streams:
    numbers: {{{{connection: events}}}}
    answers: {{{{connection: rows}}}}
    numbers.dead: {{{{connection: rows, topic: letters}}}}
  commands:
    - {{{{name: score-stream, input: numbers, output: answers, workers: {{workers}}, deadline: {{deadline}},
       order: {{order}}, guarantee: {guarantee}}}}}
"""


STEPS = {  # where rows are stored and nobody has committed what they were made of, or both are about to be
    "at-least-once": ("after-produce", "before-commit"),
    "exactly-once": ("transaction-end", "transaction-sent"),
}


@pytest.mark.usefixtures("faulty_bridge")
@pytest.mark.parametrize("guarantee", list(STEPS))
def test_T2_T3_T4_a_table_without_ids_gets_each_row_once_by_the_position_alone(
    rig: Callable[..., WatchedRig], own_component: Callable[[str], Component], guarantee: str
) -> None:
    """What a user's own table looks like: nothing in it refuses a row that comes again, as at least once shows."""
    server = own_component("postgres")
    pod = rig(DOUBLE, program=PLAIN.format(sink=server.url, guarantee=guarantee))
    witness = bridges.Options(
        program=pod.folder / "program.yaml", commands=[], state=pod.folder / "witness", data_only=True
    )
    with (
        bridges.running(witness, log=pod.folder / "witness.log") as child,
        ControlClient(child.wire, witness.token_file) as asked,
    ):
        asked.call("sql.execute", "rows", "create table answers (id text, value double precision)")
        end_by_turns(pod, server, STEPS[guarantee])
        wait_until(lambda: all_there(asked, pod), seconds=90, what="all rows")
        rows = select(asked, "select id, value from answers")

    pod.ledger.results = [(row["id"], row["value"]) for row in rows]
    verdict = pod.ledger.audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.dead == 0
    assert (verdict.duplicates == 0) == (guarantee == "exactly-once"), verdict


def end_by_turns(pod: WatchedRig, server: Component, steps: Sequence[str]) -> None:
    """The bridge at each of the steps, then a worker and the server, while events keep coming; then all is left alone."""
    rng = random.Random(20131004)
    with publishing(pod):
        for step in steps:
            end_at(pod, step, rng.randint(2, 6))
            pod.start_bridge()
            wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results")
            pod.kill_worker(rng)
            server.kill()
            server.restart()
            pod.kills += 1
            pod.kill_bridge()
            wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results")
            assert pod.bridge is not None
            pod.bridge.kill()
            pod.bridge.wait()
        pod.start_bridge()


def all_there(asked: ControlClient, pod: Rig) -> bool:
    """And nothing is at work that could come twice."""
    (row,) = select(asked, "select count(distinct id) as n from answers")
    return len(pod.ledger.acknowledged) <= row["n"] and pod.status()["unsettled"] == 0


def select(asked: ControlClient, sql: str) -> list[dict[str, Any]]:
    """All rows of a result."""
    cursor, page, done = asked.call("sql.open", "rows", sql)
    pages = [page]
    while not done:
        page, done = asked.call("sql.next", cursor)
        pages.append(page)
    return [row for one in pages for row in pyarrow.ipc.open_stream(one).read_all().to_pylist()]
