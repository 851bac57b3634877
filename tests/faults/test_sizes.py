"""Events of every size and shape are byte-exact or dead letters, and heartbeats do not wait for them (T32)."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from pyrunner.audit.gauges import percentile
from pyrunner.client.pending import CallError
from tests.providers.component import Component

from .programs import program
from .rig import wait_until
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]
LIMIT = 1 << 20  # of a value, by default

SIZED = """\
from typing import Annotated
import hashlib
from pyrunner import Event, Key, Model


class Sized(Event):
    id: Annotated[str, Key()]
    n: int
    pad: str


class Digest(Event):
    id: str
    value: float
    digest: str


class Digests(Model[Sized, Digest]):
    def predict(self, events: list[Sized]) -> list[Digest]:
        return [Digest(id=e.id, value=e.n * 2.0, digest=hashlib.sha256(e.pad.encode()).hexdigest()) for e in events]
"""


def event(n: int, size: int) -> bytes:
    """An event of exactly so many bytes."""
    bare = json.dumps({"id": f"a-{n}", "n": n, "pad": ""}).encode()
    return bare[:-2] + b"x" * (size - len(bare)) + bare[-2:]


def digest(value: bytes) -> str:
    return hashlib.sha256(json.loads(value)["pad"].encode()).hexdigest()


def records(pod: WatchedRig, stream: str) -> list[Any]:
    found, cursor = [], ""
    while True:
        some, cursor = pod.call("tail", stream, cursor, 1_000, 0)
        if not some:
            return found
        found.extend(some)


@pytest.mark.parametrize(
    "broker", ["embedded", *(pytest.param(one, marks=pytest.mark.long) for one in ("kafka", "redis", "nats"))]
)
def test_T32_events_of_any_size_are_byte_exact_or_dead_letters(
    rig: Rigs, request: pytest.FixtureRequest, broker: str
) -> None:
    url = "embedded:" if broker == "embedded" else request.getfixturevalue(broker).url
    pod = rig(SIZED, model="Digests", workers=2, program=program(url))
    pod.start_bridge()
    pod.start_runner()
    largest = LIMIT - (64 << 10 if broker in ("kafka", "nats") else 0)  # these count keys and headers, too
    good = [event(0, 100), event(1, largest), event(2, largest // 2), event(3, 101)]
    bad = [b"1", b"", b"\x00", b" ", json.dumps({"id": "a-9", "n": 9}).encode()]
    for value in [*good[:2], *bad, *good[2:]]:
        pod.call("publish", "numbers", [[value, b""]])
    headers = [part for i in range(10_000) for part in (f"h{i}", b"x")]
    refused = 0
    for value, extra in ((event(4, LIMIT + (64 << 10)), []), (event(5, 200), headers)):
        try:
            pod.call("publish", "numbers", [[value, b"k", extra]])
            good.append(value)  # it was taken, and so has a result
        except CallError as error:
            assert error.code == "write_refused", error
            refused += 1
    assert refused >= 1, "a value above the limit was taken"

    wait_until(lambda: len(records(pod, "answers")) >= len(good), seconds=120, what="all results")
    wait_until(lambda: len(records(pod, "numbers.dead")) >= len(bad), seconds=120, what="all dead letters")
    answers = {
        json.loads(record[4])["id"]: json.loads(record[4])["digest"] for record in records(pod, "answers")
    }
    assert answers == {json.loads(value)["id"]: digest(value) for value in good}
    assert sorted(record[4] or b"" for record in records(pod, "numbers.dead")) == sorted(bad)


def test_T32_an_event_that_fits_in_no_frame_is_dead_and_its_neighbours_are_not(
    rig: Rigs, redis: Component
) -> None:
    """64 MiB, written by somebody else. The letter says where it stands."""
    pod = rig(SIZED, model="Digests", workers=1, program=program(redis.url))
    topic = "numbers-" + (pod.folder / "program.yaml").read_text().partition("{name: rig")[2][:8]
    pod.start_bridge()
    pod.start_runner()
    neighbours = [event(0, 1_000), event(2, 1_000)]
    pod.call("publish", "numbers", [[neighbours[0], b"k"]])
    add(redis.url, topic, event(1, 64 << 20))
    pod.call("publish", "numbers", [[neighbours[1], b"k"]])

    wait_until(lambda: len(records(pod, "answers")) >= 2, seconds=120, what="the neighbours' results")
    wait_until(lambda: len(records(pod, "numbers.dead")) >= 1, seconds=120, what="the dead letter")
    (letter,) = records(pod, "numbers.dead")
    assert json.loads(letter[4])["bytes"] == 64 << 20
    assert {json.loads(record[4])["id"] for record in records(pod, "answers")} == {"a-0", "a-2"}


def add(url: str, topic: str, value: bytes) -> None:
    """XADD, by hand: what another program writes."""
    words = [b"XADD", topic.encode(), b"*", b"ds", b"1", b"key", b"k", b"value", value]
    at = urlsplit(url)
    with socket.create_connection((at.hostname or "127.0.0.1", at.port or 6379), 30) as server:
        server.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        answer = server.recv(100)
    assert answer.startswith(b"$"), answer


@pytest.mark.long
def test_T32_heartbeats_do_not_wait_for_large_events(rig: Rigs) -> None:
    """They have a connection of their own, a second apart: the time since the last one never grows far beyond that."""
    pod = rig(SIZED, model="Digests", workers=2)
    pod.start_bridge()
    pod.start_runner()
    wait_until(lambda: len(pod.status()["workers"]) == 2, seconds=120, what="two workers")
    quiet = lateness(pod)
    over = threading.Event()

    def publish() -> None:
        n = 0
        while not over.is_set():
            pod.call("publish", "numbers", [[event(n + i, LIMIT), b"k%d" % i] for i in range(8)])
            n += 8

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    loaded = lateness(pod)
    over.set()
    publisher.join(90)
    scored = pod.status()["scored"]
    print(
        f"{scored} events of 1 MiB; late at p99: {quiet * 1000:.0f} ms without them, {loaded * 1000:.0f} ms with them"
    )
    assert scored > 50
    assert loaded < max(0.0, quiet) + 0.05


def lateness(pod: WatchedRig) -> float:
    """How late heartbeats come, in seconds, at the 99th percentile."""
    silences = []
    ends = time.monotonic() + 4
    while time.monotonic() < ends:
        silences.append(pod.metric("ds_wire_silence_seconds"))
        time.sleep(0.02)
    return percentile(silences, 0.99) - 1.0
