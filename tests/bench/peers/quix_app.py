"""Peer: Quix Streams, apply and to_topic, as its pages have it.

python -m tests.bench.peers.quix_app N SERVERS IN OUT      runs in an environment of its own: it pins its Kafka client
"""

from __future__ import annotations

import logging
import math
import sys

from quixstreams import Application

from .meter import Meter


def score(event: dict[str, float]) -> dict[str, object]:
    z = (
        1e-4 * event["dwell_ms"] - 0.7 * event["scroll"] + 0.3 * event["priority"] + 0.2 * event["is_member"]
        + 1e-7 * event["user_id"] - 0.4
    )  # fmt: skip
    return {"event_id": event["event_id"], "score": 1 / (1 + math.exp(-z))}


def main(n: int, servers: str, source: str, sink: str) -> None:
    logging.disable(logging.CRITICAL)
    app = Application(broker_address=servers, consumer_group=f"peer-{sink}", auto_offset_reset="earliest")
    meter = Meter()

    def counted(event: dict[str, float]) -> dict[str, object]:
        meter.start()
        meter.n += 1
        return score(event)

    frame = app.dataframe(app.topic(source, value_deserializer="json"))
    frame.apply(counted).to_topic(app.topic(sink, value_serializer="json"))
    app.run(count=n)
    meter.stop()
    print(meter)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
