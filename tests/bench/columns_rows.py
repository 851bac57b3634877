"""Rows of columns: what a worker pays for an event that a model takes as arrays or in a frame, over the real bridge.

`arrays` and `frame5` name five of the twelve fields, all floats, so the bridge projects; `frame12` names all, of mixed types. The floor is
the model's own predict on a container that is there already, in this process: what nobody could take away. The row is measured as a program
has it that says nothing of batches; peers are batches of sizes that are told, the same class asked for payloads, and both sides together beside those of the
typed model of stream_python_us_typed, all of the same run.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Iterator

from .cpu import median, spread
from .row import Row
from .stream import PRELOADED, PROGRAM, Measured, StreamBench
from .stream import measure as measure_typed

HEAD = """\
from typing import Literal

import numpy as np
import pandas as pd

from pyrunner import Event, Model


class Five(Event):
    dwell_ms: float
    scroll: float
    priority: float
    user_id: float
    ts: float


class Click(Event):
    event_id: str
    ts: int
    user_id: int
    session: str
    kind: Literal["issue_viewed", "issue_edited", "comment_added", "status_changed", "search"]
    path: str
    referrer: str
    country: Literal["DE", "US", "IN", "FR", "BR"]
    dwell_ms: float
    scroll: float
    priority: int
    is_member: bool


class Score(Event):
    score: float


W = np.array([1e-4, -0.7, 0.3, 1e-7, 1e-14])

"""

MODELS = {
    "arrays": """\
class Scorer(Model[Five, Score]):
    def predict(self, X: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        z = 1e-4 * X["dwell_ms"] - 0.7 * X["scroll"] + 0.3 * X["priority"]
        return {"score": 1 / (1 + np.exp(0.4 - z))}
""",
    "frame5": """\
class Scorer(Model[Five, Score]):
    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp(0.4 - X.to_numpy() @ W))
""",
    "frame12": """\
class Scorer(Model[Click, Score]):
    def predict(self, X: pd.DataFrame) -> np.ndarray:
        z = 1e-4 * X["dwell_ms"].to_numpy() - 0.7 * X["scroll"].to_numpy() + 0.3 * X["priority"].to_numpy()
        return 1 / (1 + np.exp(0.4 - z))
""",
}
LARGEST = 4096  # events: what a batch by columns grows to
TOLD = (256, 1024, LARGEST)
GOALS = {"arrays": 0.12, "frame5": 0.2, "frame12": 1.5}
#: The same class by payloads: a constraint that only Python judges keeps it from going as columns.
_RAW = "\n\nFive.__post_init__ = Click.__post_init__ = lambda self: None\n"


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    events = 200_000 if quick else 1_000_000
    for name, goal in GOALS.items():
        ours, raw, typed, floors = [], [], [], []
        told: dict[int, list[float]] = {size: [] for size in TOLD}
        for _ in range(rounds):
            ours.append(measure(name, events))
            raw.append(measure(name, events // 5, columns=False))
            typed.append(measure_typed(events // 5))
            floors.append(floor_us(name))
            for size, found in told.items():
                found.append(measure(name, events // 2, batch=size).python_us)
        python, both, beside = [m.python_us for m in ours], [_sum(m) for m in ours], [_sum(m) for m in typed]
        yield Row(
            f"stream_python_us_columns_{name}", median(python), "us/event", rounds, floor=median(floors), spread=spread(python),
            peers={
                **{f"batches of {size}": median(found) for size, found in told.items()},
                "by payloads": median([m.python_us for m in raw]),
                "the bridge's share": median([m.bridge_us for m in ours]),
                "the bridge's share by payloads": median([m.bridge_us for m in raw]),
                "both sides": median(both),
                "both sides, typed": median(beside),
            },
            goal=f"<= {goal} us, both sides < typed", met=median(python) <= goal and median(both) < median(beside),
        )  # fmt: skip


def _sum(measured: Measured) -> float:
    return measured.python_us + measured.bridge_us


def science(name: str, *, columns: bool = True) -> str:
    return HEAD + MODELS[name] + ("" if columns else _RAW)


def measure(name: str, events: int, *, columns: bool = True, batch: int | None = None) -> Measured:
    """Stream so many events through a model, as columns or as payloads, in batches of the default or of a size that is told."""
    source = f'preload: "events.jsonl", repeat: "{events // PRELOADED}"'
    program = PROGRAM.format(source=source)
    if batch is not None:
        program = program.replace("order: none}", f"order: none, batch: {{events: {batch}, bytes: 4MiB}}}}")
    with StreamBench.of(program, science=science(name, columns=columns)) as bench:
        return bench.measured(events)


def floor_us(name: str, n: int = LARGEST, repeats: int = 100) -> float:
    """predict alone, for each event of a batch."""
    from pyrunner.scoring import Scorer

    from .events import payloads

    module = types.ModuleType("bench_science")
    sys.modules["bench_science"] = module  # annotations are looked up there
    exec(science(name), module.__dict__)
    scorer = Scorer(module.Scorer())
    given, predict = scorer.given(payloads(n)), scorer.model.predict
    for _ in range(8):
        predict(given)
    start = time.process_time()
    for _ in range(repeats):
        predict(given)
    return (time.process_time() - start) / repeats / n * 1e6
