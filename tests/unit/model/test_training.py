"""`train`: what fit and evaluate are given, what is measured, what is saved."""

import random
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyrunner import Context, Event, Model, ModelStore, UserError, train
from pyrunner.evaluation import baseline
from pyrunner.scoring import Scorer
from pyrunner.training import evaluate
from tests.typing.science_example import Departure, Estimate, FlightDelays


def flights(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    delay = np.where(np.arange(n) % 10 == 0, np.nan, rng.normal(10, 30, n))
    return pd.DataFrame(
        {
            "flight_id": [str(i) for i in range(n)],
            "carrier": rng.choice(["UA", "AA"], n),
            "origin": rng.choice(["EWR", "JFK", "LGA"], n),
            "distance": rng.uniform(100, 2000, n),
            "dep_delay": delay,
            "arr_delay": delay - 5,
        }
    )


def save_as(kind: str, folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / f"history.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_model_is_trained_on_files_of_any_kind(kind: str, tmp_path: Path) -> None:
    data = save_as(kind, tmp_path, flights())
    stages: list[str] = []
    store = ModelStore(tmp_path / "models")
    result = train(FlightDelays, data, data, {"shrink": 0}, store, name="f", seed=9, on_stage=stages.append)
    assert result.rows == 60
    assert stages == ["reading", "fitting", "evaluating", "saving"]
    assert result.metrics["rmse"] < 1
    assert (result.metrics["rows"], result.metrics["left_out"]) == (54, 6)
    assert 20 < result.baseline["rmse"] < 40
    assert result.version is not None
    manifest = result.version.manifest
    assert (manifest.rows, manifest.seed, manifest.metrics) == (60, 9, result.metrics)
    loaded = store.load("f", cls=FlightDelays)
    assert len(loaded.sample) == 16
    assert Scorer(loaded.model).score(list(loaded.sample)).split()


def test_data_in_memory_and_no_store_are_enough_for_a_notebook() -> None:
    result = train(FlightDelays, flights())
    assert (result.metrics, result.version) == ({}, None)
    assert set(result.model.gain_) == {"UA", "AA"}  # type: ignore[attr-defined]
    assert evaluate(result.model, flights())["rmse"] < 10
    assert result.model.evaluate(flights())["rmse"] < 10


class Q(Event):
    x: float
    n: int | None = None


class Seen(Q):
    y: float


class A(Event):
    y: float
    big: bool = False


class Base(Model[Q, A]):
    def predict(self, events: list[Q]) -> list[A]:
        return [A(y=e.x, big=e.x > 1) for e in events]


FRAME = pd.DataFrame({"x": [1, 2], "n": [1.0, None], "y": [1.0, 4.0]})


class FitsFrame(Base):
    def fit(self, history: pd.DataFrame) -> Self:
        self.seen_ = {name: str(dtype) for name, dtype in history.dtypes.items()}
        return self


class FitsTable(Base):
    def fit(self, history: pa.Table) -> Self:
        self.seen_ = history.column_names
        return self


class FitsArrays(Base):
    def fit(self, history: dict[str, np.ndarray]) -> Self:
        self.seen_ = {name: column.dtype.kind for name, column in history.items()}
        return self


class FitsEvents(Base):
    def fit(self, history: list[Seen]) -> Self:
        self.seen_ = history
        return self


class FitsDicts(Base):
    def fit(self, history: list[dict[str, Any]]) -> Self:
        self.seen_ = [row["x"] for row in history]
        return self


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (FitsFrame, {"x": "float64", "n": "Int64", "y": "float64"}),
        (FitsTable, ["x", "n", "y"]),
        (FitsArrays, {"x": "f", "n": "O", "y": "f"}),
        (FitsEvents, [Seen(x=1.0, n=1, y=1.0), Seen(x=2.0, n=None, y=4.0)]),
        (FitsDicts, [1, 2]),
    ],
)
def test_fit_gets_the_container_that_it_is_annotated_with(cls: Any, expected: Any, tmp_path: Path) -> None:
    path = save_as("parquet", tmp_path, FRAME)
    sources = [FRAME, pa.Table.from_pandas(FRAME, preserve_index=False), path, FRAME.to_dict("list")]
    for source in sources:
        assert train(cls, source).model.seen_ == expected  # type: ignore[attr-defined]


def test_only_what_the_methods_name_is_passed() -> None:
    class Names(Base):
        def fit(self, history: pd.DataFrame, validation: list[Seen] | None = None, *, ctx: Context) -> Self:
            self.seen_ = (len(history), validation, ctx.seed)
            return self

        def evaluate(self, validation: list[Seen], *, ctx: Context) -> dict[str, float]:
            return {"mine": float(len(validation)) + ctx.seed}

    result = train(Names, FRAME, FRAME, seed=5)
    assert result.metrics == {"mine": 7.0}
    assert result.model.seen_[0::2] == (2, 5)  # type: ignore[attr-defined]
    assert train(Names, FRAME).model.seen_[1] is None  # type: ignore[attr-defined]


def test_everything_random_is_seeded_before_fit() -> None:
    class Rolls(Base):
        def fit(self, history: Any) -> Self:
            self.seen_ = (random.random(), np.random.rand())
            return self

    first, again, other = (train(Rolls, FRAME, seed=s).model.seen_ for s in (1, 1, 2))  # type: ignore[attr-defined]
    assert first == again != other


def test_a_fit_that_returns_nothing_is_told() -> None:
    class Forgets(Base):
        def fit(self, history: Any) -> Self:  # type: ignore[empty-body]
            pass

    with pytest.raises(
        UserError, match=r"Forgets.fit returned NoneType, not the model. End it with: return self"
    ):
        train(Forgets, FRAME)
    with pytest.raises(UserError, match="Base has no fit, so there is nothing to train"):
        train(Base, FRAME)


def test_several_targets_are_told_apart_by_name() -> None:
    data = FRAME.assign(big=[False, False])
    metrics = Base().evaluate(data)
    assert metrics == {"rmse_y": pytest.approx(2**0.5), "accuracy_big": 0.5, "rows": 2.0, "left_out": 0.0}
    assert baseline(data, data, Base) == {"rmse_y": pytest.approx(1.5), "accuracy_big": 1.0}


def test_validation_data_without_a_target_says_what_to_do() -> None:
    with pytest.raises(
        UserError, match=r"Base.evaluate: none of y, big is a column of the validation data, which has x"
    ):
        Base().evaluate({"x": [1.0]})


def test_rows_with_an_unknown_target_are_left_out() -> None:
    assert Base().evaluate({"x": [1.0, 2.0], "y": [3.0, None]})["rmse"] == 2.0


def test_history_that_does_not_fit_the_declaration_is_refused_before_fit() -> None:
    with pytest.raises(UserError, match=r"history.origin: 60 rows are not one of"):
        train(FlightDelays, flights().assign(origin="BOS"))


def test_the_example_learns_what_it_should() -> None:
    model = FlightDelays(shrink=0).fit(flights())
    (answer,) = model.predict(
        [Departure(flight_id="1", carrier="UA", origin="JFK", distance=1.0, dep_delay=30.0)]
    )
    assert isinstance(answer, Estimate)
    assert (answer.arr_delay, answer.late) == (pytest.approx(25.0), True)
