"""Events behind a schema registry, on a real Kafka: Avro by another encoder than ours, and a registry that goes away."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.providers.component import Component

from .rig import Rig, wait_until

SCIENCE = """
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pyrunner import Event, Key, Model


TOO_MUCH = Decimal("12345678901234567890")  # for the schema of answers


class Flight(Event):
    id: Annotated[str, Key()]
    n: int
    delay: float | None
    at: datetime
    day: date
    fare: Decimal


class Answer(Event):
    id: str
    value: float | None
    at: datetime
    fare: Decimal


class Double(Model[Flight, Answer]):
    def predict(self, events: list[Flight]) -> list[Answer]:
        return [
            Answer(id=e.id, value=None if e.delay is None else 2 * e.delay, at=e.at, fare=TOO_MUCH if e.n == 13 else e.fare)
            for e in events
        ]
"""

FLIGHT = json.dumps(
    {
        "type": "record",
        "name": "Flight",
        "namespace": "flights",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "n", "type": "long"},
            {"name": "delay", "type": ["null", "double"], "default": None},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        ],
    }
)
ANSWER = json.dumps(
    {
        "type": "record",
        "name": "Answer",
        "namespace": "flights",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "value", "type": ["null", "double"]},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            {"name": "version", "type": "int", "default": 7},
        ],
    }
)
_topics = count()


def program(kafka: str, registry: str, guarantee: str = "at-least-once", more: str = "") -> tuple[str, int]:
    """A program on topics of its own. `bytes_in` and `bytes_out` are the same topics without a format."""
    number = next(_topics)
    return (
        f"""\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: formats{number}}}}}
spec:
  model: rig_science:{{model}}
  connections:
    events: {{{{url: "{kafka}"}}}}
    registry: {{{{url: "{registry}", settings: {{{{user: reader, password: "${{{{env:DS_TEST_PASSWORD}}}}"}}}}}}}}
  streams:
    flights: {{{{connection: events, topic: flights-{number}, format: avro, registry: registry}}}}
    answers: {{{{connection: events, topic: answers-{number}, format: avro, registry: registry,
      schema_file: answer.avsc, register_schema: true}}}}
    bytes_in: {{{{connection: events, topic: flights-{number}}}}}
    bytes_out: {{{{connection: events, topic: answers-{number}}}}}
{more}
  commands:
    - {{{{name: score-stream, input: flights, output: answers, workers: {{workers}}, deadline: {{deadline}}, order: {{order}},
       guarantee: {guarantee}}}}}
""",
        number,
    )


def post(registry: str, path: str, body: dict[str, str]) -> Any:
    request = urllib.request.Request(
        registry + path, json.dumps(body).encode(), {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def got(registry: str, path: str) -> Any:
    with urllib.request.urlopen(registry + path, timeout=60) as answer:
        return json.load(answer)


def zigzag(n: int) -> bytes:
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def flight(schema: int, n: int, *, delay: float | None) -> bytes:
    """A flight in Avro, by the specification and nothing of ours."""
    name, fare = f"f-{n}".encode(), (100 * n + 5).to_bytes(4, "big", signed=True)
    union = zigzag(0) if delay is None else zigzag(1) + struct.pack("<d", delay)
    body = zigzag(len(name)) + name + zigzag(n) + union + zigzag(1_359_626_400_500) + zigzag(15736)
    return struct.pack(">bI", 0, schema) + body + zigzag(len(fare)) + fare


def unzigzag(data: bytes, at: int) -> tuple[int, int]:
    n = shift = 0
    while True:
        byte = data[at]
        n, at, shift = n | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return (n >> 1) ^ -(n & 1), at


def answer(data: bytes) -> tuple[int, str, float | None, int, int, int]:
    """Schema, id, value, at, fare and version of a result, read likewise."""
    magic, schema = struct.unpack(">bI", data[:5])
    assert magic == 0
    size, at = unzigzag(data, 5)
    name, at = data[at : at + size].decode(), at + size
    branch, at = unzigzag(data, at)
    value = struct.unpack("<d", data[at : at + 8])[0] if branch else None
    when, at = unzigzag(data, at + (8 if branch else 0))
    size, at = unzigzag(data, at)
    fare, at = int.from_bytes(data[at : at + size], "big", signed=True), at + size
    version, at = unzigzag(data, at)
    assert at == len(data)
    return schema, name, value, when, fare, version


def tail(pod: Rig, stream: str) -> list[Any]:
    records, _ = pod.call("tail", stream, "", 5000, 1000)
    return list(records)


def started(rig: Callable[..., Rig], text: str) -> Rig:
    pod = rig(SCIENCE, program=text, environment={"DS_TEST_PASSWORD": "planted-pw-77"})
    (pod.folder / "answer.avsc").write_text(ANSWER)
    pod.start_bridge()
    return pod


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_avro_is_scored_and_answered_in_avro_and_what_does_not_decode_is_a_dead_letter_as_it_was(
    rig: Callable[..., Rig], kafka: Component, registry: Component, guarantee: str
) -> None:
    text, number = program(kafka.url, registry.url, guarantee)
    schema = post(registry.url, f"/subjects/flights-{number}-value/versions", {"schema": FLIGHT})["id"]
    pod = started(rig, text)
    events = [flight(schema, n, delay=None if n % 5 == 0 else n / 2) for n in range(100)]
    broken = [b"", b"{}", b"\0\0\0", flight(schema, 1, delay=1.0)[:-1], flight(schema, 2, delay=2.0) + b"x"]
    pod.call("publish", "bytes_in", [[e, f"f-{n}".encode()] for n, e in enumerate(events)])
    pod.call("publish", "bytes_in", [[b, b"broken", ["trace", b"t"]] for b in broken])
    pod.start_runner()
    wait_until(lambda: len(tail(pod, "bytes_out")) >= 99, seconds=90, what="the answers")
    wait_until(lambda: len(tail(pod, "flights.dead")) >= 6, seconds=120, what="the dead letters")

    answers = [answer(r[4]) for r in tail(pod, "bytes_out")]
    ids = got(registry.url, f"/subjects/answers-{number}-value/versions/latest")["id"]
    wanted = {
        (ids, f"f-{n}", None if n % 5 == 0 else float(n), 1_359_626_400_500, 100 * n + 5, 7)
        for n in range(100)
        if n != 13
    }
    assert set(answers) == wanted and len(answers) == 99

    dead = {r[4]: dict(zip(r[5][::2], r[5][1::2], strict=True)) for r in tail(pod, "flights.dead")}
    assert set(dead) == {*broken, events[13]}
    for payload in broken:
        assert dead[payload]["ds-error-code"] == b"undecodable" and dead[payload]["trace"] == b"t"
    assert dead[events[13]]["ds-error-code"] == b"output_refused"
    assert b"fare: 12345678901234567890 has more digits than" in dead[events[13]]["ds-error-reason"]

    # What people see is JSON: tail of the same topics by their formats, and publish by the schema.
    shown = json.loads(tail(pod, "flights")[0][4])
    assert (
        shown["at"] == "2013-01-31T10:00:00.5Z"
        and shown["day"] == "2013-01-31"
        and shown["fare"].endswith(".05")
    )
    with pytest.raises(Exception, match="no field colour"):
        pod.call("publish", "answers", [[b'{"id":"x","colour":"red"}', b"x"]])


def test_a_registry_that_is_away_is_waited_for_and_blames_no_event(
    rig: Callable[..., Rig], kafka: Component, own_component: Callable[[str], Component]
) -> None:
    registry = own_component("registry")
    text, number = program(kafka.url, registry.url)
    schema = post(registry.url, f"/subjects/flights-{number}-value/versions", {"schema": FLIGHT})["id"]
    registry.kill()
    pod = started(rig, text)
    pod.start_runner()
    pod.call("publish", "bytes_in", [[flight(schema, n, delay=1.0), b"k"] for n in range(50)])
    wait_until(lambda: "waiting for the schema registry" in pod.log("bridge"), seconds=120, what="the wait")
    assert tail(pod, "bytes_out") == [] and tail(pod, "flights.dead") == []
    registry.restart()
    wait_until(lambda: len(tail(pod, "bytes_out")) >= 49, seconds=90, what="the answers")
    wait_until(lambda: len(tail(pod, "flights.dead")) > 0, seconds=120, what="the dead letter")
    assert len(tail(pod, "flights.dead")) == 1, "the one whose answer does not fit"
    assert "planted-pw-77" not in pod.log("bridge")


def test_an_id_that_the_registry_does_not_know_is_waited_for(
    rig: Callable[..., Rig], kafka: Component, own_component: Callable[[str], Component]
) -> None:
    registry = own_component("registry")
    text, number = program(kafka.url, registry.url)
    known = post(registry.url, f"/subjects/flights-{number}-value/versions", {"schema": FLIGHT})["id"]
    pod = started(rig, text)
    pod.start_runner()
    coming = known + 1
    with pytest.raises(urllib.error.HTTPError):
        got(registry.url, f"/schemas/ids/{coming}")
    pod.call("publish", "bytes_in", [[flight(coming, 1, delay=1.0), b"k"]])
    wait_until(lambda: f"schema {coming}" in pod.log("bridge"), seconds=120, what="the wait")
    assert tail(pod, "flights.dead") == []
    renamed = FLIGHT.replace('"Flight"', f'"Flight{number}"')
    assert post(registry.url, f"/subjects/later-{number}/versions", {"schema": renamed})["id"] == coming
    wait_until(lambda: len(tail(pod, "bytes_out")) == 1, seconds=120, what="the answer")
