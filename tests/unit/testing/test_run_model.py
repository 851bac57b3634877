"""What ships for users' tests: run_model through the real codec, and the fixtures."""

from __future__ import annotations

from typing import Any

from pyrunner import Event, Model, Reject, To
from pyrunner.testing import run_model


class Number(Event):
    x: int


class Half(Event):
    y: float


class Halver(Model[Number, Half]):
    def predict(self, events: list[Number]) -> list[Any]:
        return [self.one(e.x) for e in events]

    def one(self, x: int) -> Any:
        if x < 0:
            return Reject("negative", code="negative")
        if x == 7:
            raise ValueError("seven")
        if x == 100:
            return To("large", Half(y=50))
        return [Half(y=x / 2)] * 2 if x == 2 else Half(y=x / 2)


def test_each_event_has_its_fate_in_order():
    answers = run_model(
        Halver(), [{"x": 3}, Number(x=-1), b'{"x": 7}', b"{", {"x": 2}, {"x": 100}, None], batch=4
    )
    assert [a.id for a in answers] == [f"events/0/{i}" for i in range(7)]
    assert answers[0].output == {"y": 1.5}
    assert [a.code for a in answers] == [
        None,
        "negative",
        "exception",
        "invalid_event",
        None,
        None,
        "null_value",
    ]
    assert answers[4].parsed == [{"y": 1.0}, {"y": 1.0}] and answers[4].output is None
    assert answers[5].routes == ["large"]


def test_no_events_have_no_fates():
    assert run_model(Halver(), []) == []


def test_the_fixtures_are_those_of_the_package(request):
    from pyrunner.testing import plugin

    assert {"fake_bridge", "run_model"} <= set(vars(plugin))
