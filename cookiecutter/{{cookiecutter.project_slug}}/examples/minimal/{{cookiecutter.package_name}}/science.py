"""Science goes here: what an event is, what the answer is, and how to get from one to the other."""

from statistics import linear_regression
from typing import Annotated, Self

import pandas as pd
from pyrunner import Event, Key, Model


class Question(Event):
    """What is asked."""

    id: Annotated[str, Key()]
    x: float


class Answer(Event):
    """What is answered."""

    y: float


class Line(Model[Question, Answer]):
    """The straight line through the history."""

    def fit(self, history: pd.DataFrame) -> Self:
        self.slope_, self.intercept_ = linear_regression(history.x, history.y)
        return self

    def predict_one(self, question: Question) -> Answer:
        return Answer(y=self.intercept_ + self.slope_ * question.x)
