"""Peer: FastStream on confluent-kafka, batches of 256, published together.

python -m tests.bench.peers.faststream_batch N SERVERS IN OUT
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
from faststream import FastStream
from faststream.confluent import KafkaBroker

from .confluent_loop import Click, score
from .meter import Meter

BATCH = 256


async def main(n: int, servers: str, source: str, sink: str) -> None:
    broker = KafkaBroker(servers, logger=None)
    app = FastStream(broker, logger=None)
    meter = Meter()
    decode, encode = msgspec.json.Decoder(Click).decode, msgspec.json.Encoder().encode

    async def raw(message: object) -> object:
        return message.body  # type: ignore[attr-defined]

    @broker.subscriber(
        source,
        group_id=f"peer-{sink}",
        auto_offset_reset="earliest",
        batch=True,
        max_records=BATCH,
        decoder=raw,
    )
    async def handle(bodies: list[bytes]) -> None:
        meter.start()
        await broker.publish_batch(*[encode(score(decode(body))) for body in bodies], topic=sink)
        meter.n += len(bodies)
        if meter.n >= n:
            app.exit()

    await app.run()
    meter.stop()
    print(meter)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
