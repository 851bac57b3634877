"""One event at idle: what the way through the bridge adds to it.

Events are published one at a time to a memory stream, each after the one before has been settled. The bridge's own
clock runs from the moment at which it has read the event to the moment at which the sink has stored the result; the
model's time (microseconds here) is inside.
"""

from __future__ import annotations

import json

from .events import payloads
from .stream import StreamBench


def added_p50_us(events: int = 1_000) -> float:
    """The median of one event's way, in microseconds."""
    with StreamBench.idle() as bench:
        for i, payload in enumerate(payloads(events)):
            bench.control.call("publish", "clicks", [[payload, None]])
            bench.settled(i + 1)
        return bench.status()["latency_p50_ms"] * 1e3


if __name__ == "__main__":
    print(json.dumps({"p50_us": added_p50_us()}))
