"""Peer of the HTTP rows: PyTriton, batches without a delay, the Open Inference Protocol. MODEL names the model, the argument the port.

It needs the distribution's own Python 3.11.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from tests.bench.peers import models

model = getattr(models, os.environ.get("MODEL", "lr"))()


@batch
def infer(x: Any) -> dict[str, Any]:
    return {"y": model.predict(x).astype(np.int64)[:, None]}


if __name__ == "__main__":
    at = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(sys.argv[1]),
        allow_grpc=False,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=at) as triton:
        triton.bind(
            model_name="iris",
            infer_func=infer,
            inputs=[Tensor(name="x", dtype=np.float64, shape=(4,))],
            outputs=[Tensor(name="y", dtype=np.int64, shape=(1,))],
            config=ModelConfig(
                max_batch_size=models.CAP, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
        )
        triton.serve()
