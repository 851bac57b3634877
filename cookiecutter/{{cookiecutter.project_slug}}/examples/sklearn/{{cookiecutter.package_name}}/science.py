"""Science goes here: what an event is, what the answer is, and how to get from one to the other."""

from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
from pyrunner import Context, Event, Field, Key, Model, Params
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

FEATURES = ["carrier", "origin", "distance", "dep_delay"]


class Departure(Event):
    """A flight that has left its gate, or was cancelled (then it has no delay)."""

    flight_id: Annotated[str, Key()]
    carrier: Annotated[str, Field(min_length=2, max_length=2)]
    origin: Literal["EWR", "JFK", "LGA"]
    distance: Annotated[float, Field(gt=0, description="miles")]
    dep_delay: Annotated[float | None, Field(description="minutes; null when cancelled")] = None


class Estimate(Event):
    """How late it will arrive, in minutes."""

    arr_delay: float
    late: bool


class FlightDelays(Model[Departure, Estimate]):
    """A ridge regression on carrier, airport, distance and departure delay."""

    class Params(Params):
        alpha: Annotated[float, Field(gt=0, description="strength of the ridge penalty")] = 1.0

    def fit(self, history: pd.DataFrame) -> Self:
        flown = history.dropna(subset=["dep_delay", "arr_delay"])
        self.pipeline_ = self.pipeline().fit(flown[FEATURES], flown.arr_delay)
        return self

    def pipeline(self) -> Pipeline:
        columns = ColumnTransformer(
            [
                ("names", OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
                ("curves", SplineTransformer(n_knots=5, extrapolation="linear"), ["distance"]),
            ],
            remainder="passthrough",
        )
        return make_pipeline(columns, Ridge(alpha=self.params.alpha))

    def predict(self, departures: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        cancelled = departures.dep_delay.isna()
        ctx.reject(cancelled, "cancelled flight")
        delay = pd.Series(np.nan, index=departures.index)
        if not cancelled.all():
            delay[~cancelled] = self.pipeline_.predict(departures.loc[~cancelled, FEATURES])
        return pd.DataFrame({"arr_delay": delay, "late": delay > 15})
