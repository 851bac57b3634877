"""Peer: the confluent-kafka loop that people write: poll one, json in, dict, json out, produce, serve callbacks.

python -m tests.bench.peers.confluent_plain N SERVERS IN OUT
"""

from __future__ import annotations

import json
import math
import sys

from confluent_kafka import Consumer, Producer

from .meter import Meter


def score(event: dict[str, float]) -> dict[str, object]:
    z = (
        1e-4 * event["dwell_ms"] - 0.7 * event["scroll"] + 0.3 * event["priority"] + 0.2 * event["is_member"]
        + 1e-7 * event["user_id"] - 0.4
    )  # fmt: skip
    return {"event_id": event["event_id"], "score": 1 / (1 + math.exp(-z))}


def main(n: int, servers: str, source: str, sink: str) -> None:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"peer-{sink}", "auto.offset.reset": "earliest"}
    )
    meter = Meter()
    consumer.subscribe([source], on_assign=lambda *_: meter.start())
    producer = Producer({"bootstrap.servers": servers})
    while meter.n < n:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value())
        while True:
            try:
                producer.produce(sink, json.dumps(score(event)).encode(), key=message.key())
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        meter.n += 1
    producer.flush()
    meter.stop()
    consumer.close()
    print(meter)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
