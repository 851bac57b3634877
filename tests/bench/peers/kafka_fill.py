"""Fills a topic with the benchmark's events, keyed by a thousand users over four partitions; makes the topics that peers write.

python -m tests.bench.peers.kafka_fill SERVERS N TOPIC [EMPTY_TOPIC ...]
"""

from __future__ import annotations

import sys

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ..events import payloads

PARTITIONS = 4


def main(servers: str, n: int, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "queue.buffering.max.messages": 2_000_000,
            "linger.ms": 50,
            "acks": "all",
        }
    )
    few = payloads(min(n, 20_000))
    for i in range(n):
        producer.produce(topic, few[i % len(few)], key=b"k%d" % (i % 1000), partition=i % PARTITIONS)
        if i % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise SystemExit(f"{left} events were not stored")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
