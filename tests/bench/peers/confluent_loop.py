"""Peer: a hand-tuned confluent-kafka loop (consume 500, msgspec in and out, produce).

    python -m tests.bench.peers.confluent_loop N                     against librdkafka's mock broker
    python -m tests.bench.peers.confluent_loop N SERVERS IN OUT      against a real one

It prints {"n": N, "cpu_s": ..., "wall_s": ...} and runs in the peers' environment. The mock broker lives in a process of its
own, so that only the loop's CPU time is counted. Offsets are stored for what has been produced, as a careful user writes it.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
from multiprocessing.connection import Connection

import msgspec
from confluent_kafka import Consumer, Message, Producer

from ..events import payloads
from .meter import Meter

CONSUME = 500


class Click(msgspec.Struct, gc=False):
    event_id: str
    ts: int
    user_id: int
    session: str
    kind: str
    path: str
    referrer: str
    country: str
    dwell_ms: float
    scroll: float
    priority: int
    is_member: bool


class Score(msgspec.Struct, gc=False):
    event_id: str
    score: float


def score(e: Click) -> Score:
    z = 1e-4 * e.dwell_ms - 0.7 * e.scroll + 0.3 * e.priority + 0.2 * e.is_member + 1e-7 * e.user_id - 0.4
    return Score(event_id=e.event_id, score=1 / (1 + math.exp(-z)))


def broker(n: int, ready: Connection) -> None:
    """A mock cluster with n events in topic `in`, alive until the parent closes the pipe."""
    producer = Producer(
        {"bootstrap.servers": "x", "test.mock.num.brokers": 1, "queue.buffering.max.messages": 2_000_000}
    )
    metadata = producer.list_topics("in", timeout=10)
    address = next(iter(metadata.brokers.values()))
    for i, payload in enumerate(payloads(n)):
        producer.produce("in", payload, key=b"k%d" % (i % 1000), partition=i % 4)
        if i % 1000 == 0:
            producer.poll(0)
    producer.flush(60)
    producer.list_topics("out", timeout=10)
    ready.send(f"{address.host}:{address.port}")
    ready.poll(None)


def loop(servers: str, source: str, sink: str, n: int) -> Meter:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"peer-{sink}",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    meter = Meter()
    # Joining the group is not counted; all fetching is, most of which is done by threads ahead of the loop.
    consumer.subscribe([source], on_assign=lambda *_: meter.start())
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": 5, "queue.buffering.max.messages": 2_000_000}
    )
    decode, encode = msgspec.json.Decoder(Click).decode, msgspec.json.Encoder().encode
    while meter.n < n:
        messages: list[Message] = consumer.consume(CONSUME, 0.2)
        if not messages:
            continue
        for message in messages:
            producer.produce(sink, encode(score(decode(message.value()))), key=message.key())
        producer.poll(0)
        meter.n += len(messages)
        for message in messages[-4:]:
            consumer.store_offsets(message)
    producer.flush()
    meter.stop()
    consumer.close()
    return meter


def mocked(n: int) -> Meter:
    """The loop against a broker that is made for it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=broker, args=(n, theirs), daemon=True)
    process.start()
    meter = loop(ours.recv(), "in", "out", n)
    process.terminate()
    return meter


def main(n: str, *where: str) -> None:
    print(loop(*where, int(n)) if where else mocked(int(n)))  # type: ignore[call-arg]


if __name__ == "__main__":
    main(*sys.argv[1:])
