"""Science goes here: what an event is, what the answer is, and how to get from one to the other."""

from typing import Annotated, Literal, Self

import pandas as pd
from pyrunner import Event, Field, Key, Model, Params, Reject


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
    """Arrival delay = departure delay + what the carrier usually makes good in the air."""

    class Params(Params):
        shrink: Annotated[float, Field(ge=0, description="flights at which half is believed")] = 50.0

    def fit(self, history: pd.DataFrame) -> Self:
        gain = (history.arr_delay - history.dep_delay).groupby(history.carrier)
        self.gain_ = (gain.sum() / (gain.count() + self.params.shrink)).to_dict()
        return self

    def predict(self, events: list[Departure]) -> list[Estimate | Reject]:
        return [self.estimate(e) for e in events]

    def estimate(self, e: Departure) -> Estimate | Reject:
        if e.dep_delay is None:
            return Reject("cancelled flight")
        delay = e.dep_delay + self.gain_.get(e.carrier, 0.0)
        return Estimate(arr_delay=delay, late=delay > 15)
