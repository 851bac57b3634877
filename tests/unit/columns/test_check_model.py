"""`check_model` asks by columns, too: for models that keep and alter what they get, reject by mask, and return many rows."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pyrunner import Context, Event, Many, Model, check_model
from pyrunner.columns import through


class Q(Event):
    x: float
    n: int = 1


class A(Event):
    y: float


SAMPLE = [Q(x=float(i), n=i % 4) for i in range(30)]


class KeepsArrays(Model[Q, A]):
    kept: Any = None

    def predict(self, a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if KeepsArrays.kept is not None:
            KeepsArrays.kept["x"] *= -2
        KeepsArrays.kept = a
        a["x"] *= 2
        return {"y": a["x"]}


class KeepsFrames(Model[Q, A]):
    kept: Any = None

    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        if KeepsFrames.kept is not None:
            KeepsFrames.kept["x"] *= -2
        KeepsFrames.kept = X
        ctx.reject(X["n"] == 2, "two", code="two")
        X["x"] *= 2
        return X.rename(columns={"x": "y"})[["y"]]


class ManyRows(Model[Q, A]):
    def predict(self, X: pd.DataFrame, *, ctx: Context) -> Many[pd.DataFrame]:
        ctx.reject(X["x"].to_numpy() == 5, "five")
        return X.loc[X.index.repeat(X["n"])].rename(columns={"x": "y"})[["y"]]


class OfTables(Model[Q, A]):
    def predict(self, t: pa.Table, *, ctx: Context) -> pa.Table:
        ctx.reject([n == 3 for n in t["n"].to_pylist()], "three")
        return pa.table({"y": t["x"]})


@pytest.mark.parametrize("cls", [KeepsArrays, KeepsFrames, ManyRows, OfTables])
def test_such_models_pass(cls: type[Model[Any, Any]]) -> None:
    report = check_model(cls(), SAMPLE)
    assert report.passed[-2:] == ("as columns", "saved and loaded")


@pytest.mark.parametrize("cls", [KeepsArrays, KeepsFrames])
def test_a_buffer_that_is_used_again_is_found(
    cls: type[Model[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with one buffer for all frames a kept column shows the next batch's values."""
    buffer = bytearray(1 << 16)
    received = through._received

    def reusing(frame: Any) -> Any:
        got = received(frame)
        if hasattr(got, "positions"):
            buffer[: len(got.body)] = got.body
            got.body = memoryview(buffer)[: len(got.body)]
        return got

    monkeypatch.setattr(through, "_received", reusing)
    cls.kept = None  # type: ignore[attr-defined]
    report = check_model(cls(), SAMPLE, raises=False)
    assert (
        "a batch that the model kept has changed while the next one was made, as columns" in report.problems
    )


def test_an_answer_that_depends_on_the_way_is_found() -> None:
    class LooksAtMemory(Model[Q, A]):
        def predict(self, a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"y": a["x"] + (0 if a["x"].flags.owndata else 1)}

    report = check_model(LooksAtMemory(), SAMPLE, raises=False)
    assert any("when its batch comes as columns" in problem for problem in report.problems)
