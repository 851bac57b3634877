"""`check_model` finds what would make one event's answer depend on others, or on the process."""

import random
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from pyrunner import Context, Event, Model, Reject, To, UserError, check_model
from pyrunner.checks import CheckFailed, same


class Q(Event):
    x: float


class A(Event):
    y: float


SAMPLE = [Q(x=float(i)) for i in range(10)]
EVERY_CHECK = (
    "answers", "the same batch again", "one row at a time", "shuffled", "split in two", "batches are the model's own",
    "saved and loaded",
)  # fmt: skip


class Good(Model[Q, A]):
    def fit(self, history: Any) -> Self:
        self.slope_ = 2.0
        return self

    def predict(self, events: list[Q]) -> list[Any]:
        return [self.answer(e) for e in events]

    def answer(self, e: Q) -> Any:
        if e.x == 0:
            return Reject("zero")
        if e.x == 1:
            return None
        return [A(y=e.x * self.slope_), To("s", A(y=0.0))] if e.x == 2 else A(y=e.x * self.slope_)


def test_a_good_model_passes_all_checks() -> None:
    report = check_model(Good().fit(None), SAMPLE)
    assert (report.ok, report.passed, report.rows, report.model) == (True, EVERY_CHECK, 10, "Good")


@pytest.mark.parametrize(
    "sample",
    [
        [{"x": 1.0}, {"x": 2}],
        [b'{"x":1}', '{"x":2}'],
        pd.DataFrame({"x": [1.0, 2.0], "other": [1, 2]}),
        {"x": np.array([1.0, 2.0])},
    ],
    ids=["dicts", "json", "frame", "arrays"],
)
def test_a_sample_may_have_any_form(sample: Any) -> None:
    assert check_model(Good().fit(None), sample).rows == 2


def test_an_empty_sample_is_no_sample() -> None:
    with pytest.raises(UserError, match="the sample is empty"):
        check_model(Good().fit(None), [])


class OfTheBatch(Model[Q, A]):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"y": frame.x - frame.x.mean()})


class ByPlace(Model[Q, A]):
    def predict(self, events: list[Q]) -> list[A]:
        return [A(y=e.x + i) for i, e in enumerate(events)]


@pytest.mark.parametrize("cls", [OfTheBatch, ByPlace])
def test_answers_that_depend_on_the_batch_are_found(cls: type[Model[Any, Any]]) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_model(cls(), SAMPLE)
    text = str(caught.value)
    assert "alone in its batch. Use nothing of the other rows in predict" in text
    assert ("in a shuffled batch" in text) == (cls is ByPlace)
    assert "7 more rows differ" in text or "6 more rows differ" in text
    assert "one row at a time" not in caught.value.report.passed


def test_a_model_that_says_so_may_depend_on_its_batch() -> None:
    class Says(OfTheBatch):
        batch_dependent = True

    report = check_model(Says(), SAMPLE)
    assert "shuffled" not in report.passed
    assert report.notes == ("Says says batch_dependent = True: other batches may give other answers",)


def test_randomness_that_is_not_seeded_is_found() -> None:
    generator = random.Random()

    class Rolls(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            return [A(y=generator.random()) for _ in events]

    report = check_model(Rolls(), SAMPLE, raises=False)
    assert any("asked twice. Draw random numbers from self.seed or ctx.random" in p for p in report.problems)


def test_seeded_randomness_is_fine_where_the_batch_is_the_same() -> None:
    class Rolls(Model[Q, A]):
        batch_dependent = True

        def predict(self, events: list[Q], *, ctx: Context) -> list[A]:
            return [A(y=ctx.random.random() + np.random.rand()) for _ in events]

    assert check_model(Rolls(seed=3), SAMPLE).ok


def test_what_fit_did_not_keep_is_found() -> None:
    class Forgets(Good):
        def save(self, path: Path) -> None:
            pass

        def load(self, path: Path) -> Self:
            self.slope_ = 3.0
            return self

    report = check_model(Forgets().fit(None), SAMPLE, raises=False)
    assert any("after saving and loading. Set in fit all that predict needs" in p for p in report.problems)
    assert "saved and loaded" not in report.passed


def test_a_model_that_keeps_its_input_is_found() -> None:
    class Keeps(Model[Q, A]):
        kept: Any = None

        def predict(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            if Keeps.kept is not None:
                Keeps.kept *= 2
            Keeps.kept = columns["x"]
            return {"y": columns["x"] if Keeps.kept is columns["x"] else Keeps.kept}

    assert check_model(
        Keeps(), SAMPLE
    ).ok  # writing into an old batch harms nobody: batches are the model's own


def test_events_of_the_sample_that_fail_are_told() -> None:
    class Raises(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            return [A(y=1 / e.x) for e in events]

    report = check_model(Raises(), SAMPLE, raises=False)
    assert report.problems == (report.problems[0],)
    assert report.problems[0].startswith(
        "row 0 of the sample fails: ZeroDivisionError: float division by zero (test_checks.py:"
    )


def test_floats_are_the_same_within_the_tolerance() -> None:
    assert same({"a": [1.0, "x"]}, {"a": [1.0 + 1e-12, "x"]}, 1e-9)
    assert same(1e12, 1e12 + 1, 1e-9)
    assert not same(1.0, 1.0 + 1e-6, 1e-9)
    assert not same(1.0, None, 1e-9)
    assert not same(True, 1, 1e-9)
    assert not same({"a": 1}, {"b": 1}, 1e-9)
    assert not same([1], [1, 2], 1e-9)

    class Shaky(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            return [A(y=e.x + 1e-7 * len(events)) for e in events]

    assert not check_model(Shaky(), SAMPLE, raises=False).ok
    assert check_model(Shaky(), SAMPLE, tolerance=1e-5).ok
