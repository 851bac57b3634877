"""Peer of the HTTP rows: BentoML with its batching, tuned: one worker, no access log, no limit on what waits. MODEL names the model.

Its batching takes arrays, so a row comes as {"x": [[5.9, 3.0, 4.2, 1.5]]}.
"""

import os

import bentoml
import numpy as np

from tests.bench.peers import models


@bentoml.service(
    workers=1,
    logging={"access": {"enabled": False}},
    traffic={"timeout": 60, "max_concurrency": 100_000},
    metrics={"enabled": False},
)
class Iris:
    def __init__(self) -> None:
        self.model = getattr(models, os.environ.get("MODEL", "lr"))()

    @bentoml.api(batchable=True, max_batch_size=models.CAP, max_latency_ms=1000)
    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(x)
