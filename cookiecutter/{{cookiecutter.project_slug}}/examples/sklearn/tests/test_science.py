"""What the model is held to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyrunner import check_model

from {{ cookiecutter.package_name }}.science import Departure, FlightDelays

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def model() -> FlightDelays:
    return FlightDelays(alpha=1.0).fit(pd.read_parquet(DATA / "history.parquet"))


def departure(carrier: str = "UA", dep_delay: float | None = 12.0) -> Departure:
    return Departure(flight_id="1", carrier=carrier, origin="JFK", distance=1400.0, dep_delay=dep_delay)


def test_a_cancelled_flight_is_rejected(model: FlightDelays, run_model: Callable[..., Any]) -> None:
    flown, cancelled = run_model(model, [departure(), departure(dep_delay=None)])
    assert flown.output is not None
    assert cancelled.code == "rejected"


def test_a_carrier_never_seen_is_scored(model: FlightDelays, run_model: Callable[..., Any]) -> None:
    (answer,) = run_model(model, [departure(carrier="??")])
    assert -30 < answer.output["arr_delay"] < 30


def test_canary_an_hour_late_in_new_york_is_late_at_the_other_end(
    model: FlightDelays, run_model: Callable[..., Any]
) -> None:
    (answer,) = run_model(model, [departure(dep_delay=60.0)])
    assert answer.output["late"]
    assert 40 < answer.output["arr_delay"] < 70


def test_it_beats_the_mean_by_half(model: FlightDelays) -> None:
    validation = pd.read_parquet(DATA / "validation.parquet")
    assert model.evaluate(validation)["rmse"] < validation.arr_delay.std() / 2


def test_answers_do_not_depend_on_the_batch_or_on_saving(model: FlightDelays) -> None:
    check_model(model, [departure(), departure("AA", 3.0), departure(dep_delay=None), departure("B6", -4.0)])
