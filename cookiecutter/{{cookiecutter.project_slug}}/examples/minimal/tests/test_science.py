"""What the model is held to."""

from pathlib import Path

import pandas as pd
import pytest
from pyrunner import check_model

from {{ cookiecutter.package_name }}.science import Line, Question

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def model() -> Line:
    return Line().fit(pd.read_csv(DATA / "history.csv"))


def test_the_line_goes_through_its_points() -> None:
    line = Line().fit(pd.DataFrame({"x": [0.0, 1.0], "y": [3.0, 5.0]}))
    assert line.predict_one(Question(id="1", x=10.0)).y == pytest.approx(23.0)


def test_canary_the_middle_of_the_history(model: Line) -> None:
    assert model.predict_one(Question(id="1", x=50.0)).y == pytest.approx(28.0, abs=0.5)


def test_answers_do_not_depend_on_the_batch_or_on_saving(model: Line) -> None:
    check_model(model, [Question(id=str(x), x=float(x)) for x in range(10)])
