"""The parser row: what an event of twelve fields and 300 bytes costs the bridge on its way into columns, beside other parsers in Go.

Ours validates, checks the types and fills the body of a COLUMNS frame. json/v2 and sonic fill a struct; fastjson looks fields
up and does not validate. They are built in a module of their own (eventparse/), which the product knows nothing of.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .cpu import median, spread
from .events import payloads
from .row import Row

MODULE = Path(__file__).parent / "eventparse"
GOAL = 0.6  # us of CPU time an event


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        binary, events = Path(folder, "eventparse"), Path(folder, "events.jsonl")
        go = {**os.environ, "GOEXPERIMENT": "jsonv2", "CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-o", binary, "."], cwd=MODULE, env=go, check=True)
        events.write_bytes(b"\n".join(payloads(2_000 if quick else 20_000)) + b"\n")
        done = subprocess.run([binary, events, str(rounds)], capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    ours = found.pop("columns")
    yield Row(
        "event_parse_us", median(ours), "us/event", rounds, spread=spread(ours),
        peers={name: median(values) for name, values in found.items()},
        goal=f"{GOAL} us", met=median(ours) <= GOAL,
    )  # fmt: skip
