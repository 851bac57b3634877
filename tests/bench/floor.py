"""The floor of the typed row: decode, call, encode as straight-line code in one process, without any wire.

    python -m tests.bench.floor N        prints {"n": N, "cpu_s": ...}

256 payloads at a time are decoded one by one into structs, one call an event makes a result struct, and the results are
encoded as lines: the least that Python can do for typed events. What ours costs above it is ours to answer for.
"""

from __future__ import annotations

import json
import sys
import time

import msgspec

from .events import SCIENCE, payloads

BATCH = 256


def main(n: int) -> None:
    namespace: dict[str, object] = {"__name__": "floor_science"}
    exec(SCIENCE, namespace)  # the very class that the row runs
    model = namespace["Scorer"]()  # type: ignore[operator]
    decode = msgspec.json.Decoder(namespace["Click"]).decode
    encode = msgspec.json.Encoder().encode_lines
    batches = [payloads(BATCH, seed) for seed in range(16)]
    rounds = n // BATCH
    for i in range(64):
        encode(model.predict(list(map(decode, batches[i % 16]))))
    start = time.process_time()
    for i in range(rounds):
        encode(model.predict(list(map(decode, batches[i % 16]))))
    print(json.dumps({"n": rounds * BATCH, "cpu_s": time.process_time() - start}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
