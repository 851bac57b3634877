"""Codec rows: what a frame of 256 events costs to read and a result of 256 outputs to write, in each language."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from .cpu import median, spread
from .row import Row

BATCH = 256


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    yield from _python(rounds, 200 if quick else 2_000)
    yield from _go(rounds)


def _python(rounds: int, repeats: int) -> Iterator[Row]:
    from .codec_python import cases, plain_cases

    plain = {name: _us(case, max(repeats // 10, 10)) for name, case in plain_cases().items()}
    for name, case in cases().items():
        values = [_us(case, repeats) for _ in range(rounds)]
        yield Row(
            f"codec_python_{name}", median(values), "us/frame", rounds, spread=spread(values),
            peers={"plain.py (msgpack)": plain[name]},
        )  # fmt: skip


def _us(case: Callable[[], Any], repeats: int) -> float:
    case()
    start = time.process_time()
    for _ in range(repeats):
        case()
    return (time.process_time() - start) / repeats * 1e6


def _go(rounds: int) -> Iterator[Row]:
    """The benchmarks of package wire for a batch of 256 events and its result."""
    done = subprocess.run(
        ["go", "test", "./bridge_go/wire", "-run", "^$", "-bench", "^Benchmark(AppendBatch|DecodeBatch|DecodeResult|SplitResult)$", "-count", str(rounds)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, list[float]] = {}
    for name, ns in re.findall(
        r"^Benchmark(\w+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op", done.stdout, re.MULTILINE
    ):
        found.setdefault(_snake(name), []).append(float(ns) / 1e3)
    if not found:
        raise RuntimeError(f"no benchmark ran: {json.dumps(done.stdout[-500:])}")
    for name, values in found.items():
        yield Row(f"codec_go_{name}", median(values), "us/frame", rounds, spread=spread(values))


def _snake(name: str) -> str:
    """AppendBatch as append_batch."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
