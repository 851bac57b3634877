"""Peer of the HTTP row: LogisticRegression behind FastAPI, an async endpoint, pydantic in and out."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

model = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))


class Row(BaseModel):
    sl: float
    sw: float
    pl: float
    pw: float


class Prediction(BaseModel):
    prediction: int


app = FastAPI()


@app.post("/predict")
async def predict(row: Row) -> Prediction:
    return Prediction(prediction=int(model.predict(np.array([[row.sl, row.sw, row.pl, row.pw]]))[0]))
