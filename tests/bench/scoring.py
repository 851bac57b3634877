"""Scorer rows: what answering 256 payloads costs in this process, beside the straight line of the same work.

`scoring_us_typed` is the hot path: its floor decodes, calls and encodes without recovery, checks or layout. The others show what
leaving it costs: frames, unknown fields in every event, one bad payload a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .cpu import median, spread
from .events import SCIENCE, payloads
from .row import Row

BATCH = 256

FRAMES = """
import numpy as np
import pandas as pd


def logistic(X):
    z = 1e-4 * X["dwell_ms"] - 0.7 * X["scroll"] + 0.3 * X["priority"] + 0.2 * X["is_member"] + 1e-7 * X["user_id"]
    return 1 / (1 + np.exp(0.4 - z))


class FrameScorer(Model[Click, Score]):
    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"event_id": X["event_id"], "score": logistic(X)})


class ArrayScorer(Model[Click, Score]):
    def predict(self, X: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"event_id": X["event_id"], "score": logistic(X)}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    repeats = 50 if quick else 400
    for name, case, floor in _cases():
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(_us(floor, repeats))
            ours.append(_us(case, repeats))
        yield Row(
            f"scoring_us_{name}", median(ours), "us/event", rounds, floor=median(theirs), spread=spread(ours),
            goal="1.10 x the floor" if name == "typed" else "",
            met=median(ours) <= 1.10 * median(theirs) if name == "typed" else None,
        )  # fmt: skip


def _cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    from pyrunner.meta import Meta
    from pyrunner.scoring import Scorer

    names: dict[str, Any] = {"__name__": "bench_science"}
    exec(SCIENCE + FRAMES, names)
    decode, encode = msgspec.json.Decoder(names["Click"]).decode, msgspec.json.Encoder().encode_lines
    model = names["Scorer"]()
    plain = payloads(BATCH)
    more = [p[:-1] + b',"colour":"red"}' for p in plain]
    one_bad = [*plain[:100], b"{", *plain[101:]]
    meta = Meta("clicks", [0, 0, BATCH])

    def straight() -> Any:
        return encode(model.predict(list(map(decode, plain))))

    def scored(cls: str, batch: list[bytes]) -> Callable[[], Any]:
        scorer = Scorer(names[cls]())
        return lambda: scorer.score(batch, meta)

    yield "typed", scored("Scorer", plain), straight
    yield "unknown_fields", scored("Scorer", more), straight
    yield "one_bad_payload", scored("Scorer", one_bad), straight
    yield "numpy", scored("ArrayScorer", plain), straight
    yield "pandas", scored("FrameScorer", plain), straight


def _us(case: Callable[[], Any], repeats: int) -> float:
    for _ in range(8):
        case()
    start = time.process_time()
    for _ in range(repeats):
        case()
    return (time.process_time() - start) / repeats / BATCH * 1e6
