"""Peer of the HTTP rows: a model behind FastAPI, pydantic in and out, one row a call: `/predict` is an async endpoint, `/threads` a
plain one, which FastAPI runs on a thread. MODEL names the model."""

from __future__ import annotations

import os
from typing import Literal

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.peers import models

kind = os.environ.get("MODEL", "lr")
model = getattr(models, kind)()


class Flower(BaseModel):
    sl: float
    sw: float
    pl: float
    pw: float


class Flight(BaseModel):
    distance: float
    dep_delay: float
    hour: int
    carrier: str
    origin: Literal["EWR", "JFK", "LGA"]


class Prediction(BaseModel):
    prediction: int


app = FastAPI()


def of_flower(row: Flower) -> Prediction:
    return Prediction(prediction=int(model.predict([[row.sl, row.sw, row.pl, row.pw]])[0]))


def of_flight(row: Flight) -> Prediction:
    return Prediction(prediction=int(model.predict(pd.DataFrame([row.model_dump()]))[0]))


if kind == "pipeline":

    @app.post("/predict")
    async def predict_flight(row: Flight) -> Prediction:
        return of_flight(row)

    @app.post("/threads")
    def predict_flight_on_a_thread(row: Flight) -> Prediction:
        return of_flight(row)

else:

    @app.post("/predict")
    async def predict_flower(row: Flower) -> Prediction:
        return of_flower(row)

    @app.post("/threads")
    def predict_flower_on_a_thread(row: Flower) -> Prediction:
        return of_flower(row)
