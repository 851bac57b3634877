"""From what a model returns to the fields of RESULT."""

import datetime as dt
import decimal
import enum
import json
import math
import types
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest

from pyrunner import Batch, Context, Event, Field, Model, Reject, To
from pyrunner.scoring import FAIL, REJECT, RETRY, Meta, RowError, Scored, Scorer


class Q(Event):
    x: float
    n: int = 0


class A(Event):
    y: float
    ok: bool = True


def model(predict: Any, out: type = A, **body: Any) -> Scorer:
    """A scorer of a model whose predict is the function given, annotated as list[Q]."""

    def method(self: Any, events: list[Q]) -> Any:
        return predict(events)

    made = types.new_class("Made", (Model[Q, out],), exec_body=lambda ns: ns.update(predict=method, **body))
    return Scorer(made())


def ask(scorer: Scorer, *values: float) -> Scored:
    return scorer.score([json.dumps({"x": v}).encode() for v in values])


def each(answer: Any, out: type = A) -> Scorer:
    return model(lambda events: [answer(e) for e in events], out)


def test_rejections_are_errors_of_kind_one_and_leave_the_counts_out() -> None:
    scored = ask(each(lambda e: Reject("too small", code="small") if e.x < 1 else A(y=e.x)), 0, 5)
    assert scored == Scored(b'{"y":5.0,"ok":true}\n', None, None, [RowError(0, REJECT, "small", "too small")])


def test_a_rejection_that_may_be_retried_is_of_kind_three() -> None:
    (error,) = ask(each(lambda e: Reject("not yet", code="early", retry=True)), 0).errors
    assert (error.kind, error.code) == (RETRY, "early")
    assert error.retry_ms > 0


def test_none_is_no_output_and_lists_are_any_number() -> None:
    scored = ask(each(lambda e: None if e.x < 1 else A(y=e.x)), 0, 5, 0)
    assert (scored.split(), scored.counts, scored.errors) == ([b'{"y":5.0,"ok":true}'], [0, 1, 0], [])
    scored = ask(each(lambda e: [A(y=float(i)) for i in range(int(e.x))]), 2, 0, 1)
    assert (len(scored.split()), scored.counts) == (3, [2, 0, 1])


def test_lists_of_exactly_one_need_no_counts() -> None:
    assert ask(each(lambda e: [A(y=e.x)]), 2, 3).counts is None


def test_outputs_for_other_streams_are_routes() -> None:
    answer = lambda e: [A(y=e.x), To("alerts", A(y=-e.x))] if e.x > 1 else To("alerts", A(y=0.0))  # noqa: E731
    scored = ask(each(answer), 5, 1)
    assert [json.loads(o)["y"] for o in scored.split()] == [5.0, -5.0, 0.0]
    assert scored.counts == [2, 1]
    assert scored.routes == [1, "alerts", 2, "alerts"]


@pytest.mark.parametrize(
    ("bad", "got", "expected"),
    [
        (math.nan, "nan", "number"),
        (math.inf, "inf", "number"),
        (None, None, "number"),
        ("late", "late", "number"),
        (True, True, "number"),
        ([1.0], "a list", "number"),
        (decimal.Decimal(1), "a Decimal", "number"),
        (object(), "a object", "number"),
    ],
)
def test_an_output_that_is_not_as_declared_fails_its_event_alone(bad: Any, got: Any, expected: str) -> None:
    scored = ask(each(lambda e: A(y=bad if e.x == 1 else e.x)), 0, 1, 2)
    assert [json.loads(o)["y"] for o in scored.split()] == [0.0, 2.0]
    assert scored.counts is None
    (error,) = scored.errors
    assert (error.index, error.kind, error.code) == (1, FAIL, "invalid_output")
    assert json.loads(error.detail or b"") == [{"field": "y", "got": got, "expected": expected}]
    assert error.reason.startswith("Made.predict: y is ")


def test_one_wrong_output_of_several_fails_the_whole_event() -> None:
    scored = ask(each(lambda e: [A(y=1.0), A(y=e.x if e.x else math.nan), To("s", A(y=2.0))]), 0, 5)
    assert [e.index for e in scored.errors] == [0]
    assert (scored.counts, scored.routes) == ([0, 3], [2, "s"])


@pytest.mark.parametrize("wrong", ["text", 7, {"y": 1.0}, Q(x=1.0), object()])
def test_what_is_no_answer_at_all_fails_its_event(wrong: Any) -> None:
    scored = ask(each(lambda e: wrong if e.x == 1 else A(y=e.x)), 0, 1, 2)
    assert [(e.index, e.code) for e in scored.errors] == [(1, "wrong_type")]
    assert "expected A, Reject, None, To or a list of them" in scored.errors[0].reason


class Colour(enum.Enum):
    RED = "red"


class Wide(Event):
    f: float
    i: int
    b: bool
    s: str
    lit: Literal["a", "b"]
    colour: Colour
    at: dt.datetime
    day: dt.date
    price: decimal.Decimal
    maybe: float | None
    count: Annotated[int, Field(ge=0, le=10)]
    name: Annotated[str, Field(pattern="^x")]
    items: list[int]
    inner: A
    extra: dict[str, float]


NOW = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
WIDE: dict[str, Any] = {
    "f": 1.0, "i": 1, "b": True, "s": "t", "lit": "a", "colour": Colour.RED, "at": NOW, "day": NOW.date(),
    "price": decimal.Decimal("1.5"), "maybe": None, "count": 3, "name": "xy", "items": [1], "inner": A(y=1.0), "extra": {"k": 1.0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("f", "1"), ("i", 1.5), ("i", 2**63), ("b", 1), ("s", 1), ("s", "\ud800"), ("lit", "c"), ("lit", []), ("colour", "blue"),
        ("at", NOW.replace(tzinfo=None)), ("at", "today"), ("day", 1), ("price", "much"), ("maybe", "x"), ("maybe", math.inf),
        ("count", 11), ("count", -1), ("name", "y"), ("items", ["1"]), ("items", None), ("inner", A(y=math.nan)), ("inner", None),
        ("extra", {"k": math.nan}),
    ],
)  # fmt: skip
def test_every_kind_of_field_is_checked(field: str, bad: Any) -> None:
    scored = ask(each(lambda e: Wide(**{**WIDE, **({field: bad} if e.x else {})}), Wide), 0, 1)
    assert len(scored.split()) == 1
    assert [(e.index, e.code) for e in scored.errors] == [(1, "invalid_output")]
    assert [p["field"] for p in json.loads(scored.errors[0].detail or b"")] == [field]


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("f", 3),
        ("maybe", math.nan),
        ("maybe", 2),
        ("at", NOW),
        ("items", []),
        ("lit", "b"),
        ("extra", {1: 1.0}),
    ],
)
def test_what_json_cannot_tell_apart_is_fine(field: str, good: Any) -> None:
    assert ask(each(lambda e: Wide(**{**WIDE, field: good}), Wide), 0).errors == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("f", np.float64(1.5)), ("f", np.float32(1.5)), ("i", np.int64(3)), ("b", np.bool_(True)), ("s", np.str_("x")),
        ("maybe", np.float64(2)), ("count", np.int32(4)), ("items", np.array([1, 2])), ("items", [np.int64(1)]),
        ("at", pd.Timestamp(NOW)), ("maybe", pd.NA),
    ],
)  # fmt: skip
def test_numpy_and_pandas_scalars_become_pythons(field: str, value: Any) -> None:
    scored = ask(each(lambda e: Wide(**{**WIDE, field: value}), Wide), 0)
    assert scored.errors == []
    plain = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else None
    if plain is not None:
        assert json.loads(scored.split()[0])[field] == plain


def test_numpy_nan_is_a_failure_too() -> None:
    assert ask(each(lambda e: A(y=np.float64("nan"))), 0).errors[0].code == "invalid_output"


def test_a_newline_in_a_text_does_not_split_an_output() -> None:
    class T(Event):
        s: str

    scored = ask(each(lambda e: T(s="a\nb\u2028"), T), 0, 1)
    assert [json.loads(o)["s"] for o in scored.split()] == ["a\nb\u2028"] * 2


def test_arrays_and_series_are_answers_where_the_output_has_one_field() -> None:
    class Y(Event):
        y: float

    for answer in (
        lambda es: np.array([e.x for e in es]),
        lambda es: pd.Series([e.x for e in es]),
        lambda es: pd.DataFrame({"y": [e.x for e in es]}),
        lambda es: {"y": np.array([e.x for e in es])},
        lambda es: tuple(Y(y=e.x) for e in es),
    ):
        assert ask(model(answer, Y), 1, 2).split() == [b'{"y":1.0}', b'{"y":2.0}']


def test_predict_one_is_asked_once_an_event_and_fails_alone() -> None:
    calls: list[float] = []

    class One(Model[Q, A]):
        def predict_one(self, event: Q, *, ctx: Context) -> A | Reject:
            calls.append(event.x)
            assert ctx.n == 1
            return A(y=1 / event.x)

    scored = ask(Scorer(One()), 1, 0, 2)
    assert [json.loads(o)["y"] for o in scored.split()] == [1.0, 0.5]
    assert scored.errors[0].reason.startswith(
        "ZeroDivisionError: float division by zero (test_scoring_answers.py:"
    )
    assert calls == [1, 0, 2]


def test_a_batch_carries_what_the_broker_knows() -> None:
    class Keyed(Model[Q, A]):
        def predict(self, events: Batch[Q]) -> list[A]:
            assert list(events.keys) == [b"a", None]
            assert events.headers == [[("h", b"1")], []]
            assert list(events.timestamps) == [10, 20]
            assert events.ids == ["s/2/7", "s/3/1"]
            assert (len(events), events[1].x, [e.x for e in events[:1]]) == (2, 2.0, [1.0])
            return [A(y=e.x) for e in events]

    meta = Meta("s", [2, 7, 1, 3, 1, 1], keys=[b"a", None], headers=[["h", b"1"], []], timestamps=[10, 20])
    assert Scorer(Keyed()).score([b'{"x":1}', b'{"x":2}'], meta).errors == []


def test_the_meta_stays_with_its_event_when_others_are_left_out() -> None:
    class Named(Event):
        id: str

    class Ids(Model[Q, Named]):
        def predict(self, events: Batch[Q]) -> list[Named]:
            return [Named(id=i) for i in events.ids]

    meta = Meta("s", [0, 5, 3])
    scored = Scorer(Ids()).score([b'{"x":1}', b"?", b'{"x":2}'], meta)
    assert [json.loads(o)["id"] for o in scored.split()] == ["s/0/5", "s/0/7"]
    assert meta.id(2) == "s/0/7"
    assert Meta().id(0) == ""


def test_outputs_come_back_as_objects_by_event() -> None:
    scorer = each(lambda e: None if e.x < 1 else [A(y=e.x), To("s", A(y=0.0))])
    scored = ask(scorer, 0, 5)
    assert scorer.decode_outputs(scored, 2) == [[], [A(y=5.0)]]
    typed = scorer.score_events([Q(x=0.0), Q(x=5.0)])
    assert typed.outputs == [A(y=5.0), A(y=0.0)]
    assert (typed.counts, typed.routes) == ([0, 2], [1, "s"])


def test_a_model_is_warmed_up_by_its_own_method_or_by_a_sample() -> None:
    asked: list[Any] = []

    def predict(events: list[Q]) -> list[A]:
        asked.append(len(events))
        return [A(y=e.x) for e in events]

    scorer = model(predict)
    scorer.warm_up([b'{"x":1}'])
    scorer.warm_up()
    assert asked == [1]
    model(lambda events: 1 / 0).warm_up([b'{"x":1}'])
    model(lambda events: [][0] if events[0].x else []).warm_up([b"no event"])

    def unreachable(events: list[Q]) -> list[A]:
        raise ConnectionRefusedError

    model(unreachable).warm_up([b'{"x":1}'])
    model(predict, warm_up=lambda self: asked.append("own")).warm_up([b'{"x":1}'])
    assert asked == [1, "own"]


def test_a_time_in_a_text_is_wrong_though_it_reads_as_one_in_json() -> None:
    """It once passed alone and not together with others, which ended the worker."""

    class Said(Event):
        text: str

    class Says(Model[Said, Said]):
        def predict(self, events: list[Said]) -> list[Said]:
            return [Said(text=dt.datetime(2013, 1, 1, tzinfo=dt.UTC)) for _ in events]  # type: ignore[arg-type]

    (error,) = Scorer(Says()).score([b'{"text": "x"}']).errors
    assert (error.code, error.reason) == (
        "invalid_output",
        'Says.predict: text is "a datetime", expected string',
    )
