"""Peer: nats-py, pull consumer, fetch 256, results published together, acks in bulk.

    python -m tests.bench.peers.nats_fetch URL N       prints {"n": N, "cpu_s": ...}; runs in the peers' environment

URL is a NATS server with JetStream on loopback; the streams that it makes are deleted at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import msgspec
import nats
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from ..events import payloads
from .confluent_loop import Click, score

FETCH = 256


async def main(url: str, n: int) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    for name in ("peer_in", "peer_out"):
        await stream.add_stream(StreamConfig(name=name, subjects=[name]))
    events = payloads(n)
    for start in range(0, n, 500):
        await asyncio.gather(*(stream.publish("peer_in", event) for event in events[start : start + 500]))
    pull = await stream.pull_subscribe(
        "peer_in", durable="peer", config=ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=100_000)
    )
    decode, encode = msgspec.json.Decoder(Click).decode, msgspec.json.Encoder().encode
    done, begin = 0, time.process_time()
    while done < n:
        messages = await pull.fetch(FETCH)
        outputs = [encode(score(decode(message.data))) for message in messages]
        await asyncio.gather(*(stream.publish("peer_out", output) for output in outputs))
        await messages[-1].ack()
        done += len(messages)
    cpu = time.process_time() - begin
    for name in ("peer_in", "peer_out"):
        await stream.delete_stream(name)
    await client.close()
    print(json.dumps({"n": done, "cpu_s": cpu}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
