"""Peer of the HTTP rows: what an engineer writes in a day to have batches. Starlette and orjson, no validation, and one call of the
model at a time on a thread, with all rows that came during the last one. MODEL names the model."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.peers import models

kind = os.environ.get("MODEL", "lr")


def spinning(rows: list[dict[str, Any]]) -> list[int]:
    models.spin(float(os.environ["SPIN_MS"]))
    return [1] * len(rows)


def scoring() -> Any:
    if kind == "spin":
        return spinning
    model = getattr(models, kind)()
    if kind == "pipeline":
        import pandas as pd

        return lambda rows: model.predict(pd.DataFrame(rows)).tolist()
    return lambda rows: model.predict(models.matrix(rows)).tolist()


class Batcher:
    """Rows that wait for the model, and the task that empties them while there are any."""

    def __init__(self, score: Any, cap: int) -> None:
        self._score, self._cap = score, cap
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[int]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, row: dict[str, Any]) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._cap], self._waiting[self._cap :]
            try:
                found = await asyncio.to_thread(self._score, [row for row, _ in batch])
            except Exception as error:
                for _, answer in batch:
                    answer.set_exception(error)
                continue
            for (_, answer), value in zip(batch, found, strict=True):
                if not answer.done():  # its client may have gone
                    answer.set_result(value)
        self._task = None


batcher = Batcher(scoring(), int(os.environ.get("CAP", models.CAP)))


async def predict(request: Request) -> Response:
    value = await batcher.ask(orjson.loads(await request.body()))
    return Response(orjson.dumps({"prediction": value}), media_type="application/json")


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
