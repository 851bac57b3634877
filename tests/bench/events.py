"""The events of the stream rows: twelve fields, about 300 bytes of JSON, one logistic score over five of them.

Every row and every peer scores the same events in the same way, so that their figures can be set side by side.
"""

from __future__ import annotations

import json
import random

WEIGHTS = (1e-4, -0.7, 0.3, 0.2, 1e-7)
BIAS = -0.4

SCIENCE = """\
import math

from pyrunner import Event, Model


class Click(Event):
    event_id: str
    ts: int
    user_id: int
    session: str
    kind: str
    path: str
    referrer: str
    country: str
    dwell_ms: float
    scroll: float
    priority: int
    is_member: bool


class Score(Event):
    event_id: str
    score: float


class Scorer(Model[Click, Score]):
    def predict(self, events: list[Click]) -> list[Score]:
        return [self.score(e) for e in events]

    def score(self, e: Click) -> Score:
        z = (
            1e-4 * e.dwell_ms - 0.7 * e.scroll + 0.3 * e.priority + 0.2 * e.is_member + 1e-7 * e.user_id - 0.4
        )
        return Score(event_id=e.event_id, score=1 / (1 + math.exp(-z)))
"""


def payloads(n: int, seed: int = 7) -> list[bytes]:
    """n JSON events, the same for a seed."""
    rng = random.Random(seed)
    return [json.dumps(_event(rng, i), separators=(",", ":")).encode() for i in range(n)]


def _event(rng: random.Random, i: int) -> dict[str, object]:
    project = rng.choice(["PAY", "OPS", "WEB", "MOB", "DATA"])
    return {
        "event_id": f"{rng.getrandbits(128):032x}",
        "ts": 1718031234567 + 13 * i,
        "user_id": rng.randrange(1, 500_000),
        "session": f"s-{rng.getrandbits(48):012x}",
        "kind": rng.choice(["issue_viewed", "issue_edited", "comment_added", "status_changed", "search"]),
        "path": f"/projects/{project}/issues/{project}-{rng.randrange(1, 9000)}?tab=activity",
        "referrer": f"/projects/{project}/board/{rng.randrange(1, 40)}",
        "country": rng.choice(["DE", "US", "IN", "FR", "BR"]),
        "dwell_ms": round(rng.expovariate(1 / 4000), 2),
        "scroll": round(rng.random(), 4),
        "priority": rng.randrange(1, 6),
        "is_member": rng.random() < 0.8,
    }
