"""The contract: one model gives the same answers whatever container it asks for and by whatever way it is asked.

And what each container holds: types by the declaration, never by the values of the batch.
"""

import datetime as dt
import decimal
import enum
import json
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner import Batch, Context, Event, Model, Reject
from pyrunner.checks import fates_of
from pyrunner.containers.base import TypedBatch
from pyrunner.containers.dtypes import STRING, cast_history
from pyrunner.errors import UserError
from pyrunner.meta import NOTHING
from pyrunner.schema import schema_of
from pyrunner.scoring import Scorer


class Departure(Event):
    flight: str
    origin: Literal["EWR", "JFK", "LGA"]
    distance: float
    seats: int
    full: bool = False
    delay: float | None = None


class Estimate(Event):
    late: float
    seats: int
    long: bool
    name: str


class OfList(Model[Departure, Estimate]):
    def predict(self, events: list[Departure]) -> list[Estimate | Reject]:
        return [self.answer(e) for e in events]

    def answer(self, e: Departure) -> Estimate | Reject:
        if e.delay is None:
            return Reject("cancelled")
        late = e.delay * 2 + e.distance / 100
        return Estimate(late=late, seats=e.seats + 1, long=e.distance > 1000, name=f"{e.origin}-{e.flight}")


class OfBatch(OfList):
    def predict(self, events: Batch[Departure]) -> list[Estimate | Reject]:
        return [self.answer(e) for e in events]


class OfOne(Model[Departure, Estimate]):
    def predict_one(self, event: Departure) -> Estimate | Reject:
        return OfList().answer(event)


class OfFrame(Model[Departure, Estimate]):
    def predict(self, frame: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        ctx.reject(frame.delay.isna(), "cancelled")
        answer = pd.DataFrame(index=frame.index)
        answer["late"] = frame.delay * 2 + frame.distance / 100
        answer["seats"] = frame.seats + 1
        answer["long"] = frame.distance > 1000
        answer["name"] = frame.origin.astype(STRING) + "-" + frame.flight
        return answer


class OfTable(Model[Departure, Estimate]):
    def predict(self, table: pa.Table, *, ctx: Context) -> pa.Table:
        ctx.reject(table["delay"].is_null(), "cancelled")
        rows = table.to_pylist()
        return pa.table(
            {
                "late": [(r["delay"] or 0) * 2 + r["distance"] / 100 for r in rows],
                "seats": [r["seats"] + 1 for r in rows],
                "long": [r["distance"] > 1000 for r in rows],
                "name": [f"{r['origin']}-{r['flight']}" for r in rows],
            }
        )


class OfArrays(Model[Departure, Estimate]):
    def predict(self, columns: dict[str, np.ndarray], *, ctx: Context) -> dict[str, np.ndarray]:
        ctx.reject(np.isnan(columns["delay"]), "cancelled")
        return {
            "late": columns["delay"] * 2 + columns["distance"] / 100,
            "seats": columns["seats"] + 1,
            "long": columns["distance"] > 1000,
            "name": columns["origin"] + "-" + columns["flight"],
        }


ALL = [OfList, OfBatch, OfOne, OfFrame, OfTable, OfArrays]


def payload(i: int) -> bytes:
    event: dict[str, Any] = {
        "flight": f"ü{i}",
        "origin": ("EWR", "JFK", "LGA")[i % 3],
        "distance": 10.0 * i,
        "seats": i,
    }
    if i % 7:
        event["delay"] = i / 3
    return json.dumps(event).encode()


PAYLOADS = [payload(i) for i in range(1000)]
EXPECTED = fates_of(Scorer(OfList()), PAYLOADS)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("size", [1000, 64, 1])
def test_a_thousand_events_have_the_same_fates_by_payload(cls: type, size: int) -> None:
    scorer = Scorer(cls())
    n = 1000 if size > 1 else 50
    fates = [fate for at in range(0, n, size) for fate in fates_of(scorer, PAYLOADS[at : at + size])]
    assert fates == EXPECTED[:n]


@pytest.mark.parametrize("cls", ALL)
def test_typed_events_have_the_same_fates_as_payloads(cls: type) -> None:
    scorer = Scorer(cls())
    decoded = [scorer.given([p])[0] for p in PAYLOADS] if cls in (OfList, OfBatch, OfOne) else None
    events = decoded or [Scorer(OfList()).given([p])[0] for p in PAYLOADS]
    typed, by_payload = scorer.score_events(events), scorer.score(PAYLOADS)
    assert [json.loads(line) for line in by_payload.split()] == [
        {"late": o.late, "seats": o.seats, "long": o.long, "name": o.name} for o in typed.outputs
    ]
    assert (typed.counts, typed.errors) == (by_payload.counts, by_payload.errors)


def test_a_plain_call_has_the_same_answers() -> None:
    events = Scorer(OfList()).given(PAYLOADS)
    plain = OfList().predict(events)
    assert [("rejected", o.code) if isinstance(o, Reject) else o.late for o in plain] == [
        fate if fate[0] == "rejected" else fate[1][0][1]["late"] for fate in EXPECTED
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "flight": st.text(max_size=5),
                "origin": st.sampled_from(["EWR", "JFK", "LGA"]),
                "distance": st.floats(-1e6, 1e6),
                "seats": st.integers(-(2**53), 2**53),
            },
            optional={"delay": st.none() | st.floats(-1e3, 1e3), "full": st.booleans()},
        ),
        max_size=8,
    )
)
def test_any_events_have_the_same_fates_in_every_container(rows: list[dict[str, Any]]) -> None:
    payloads = [json.dumps(row).encode() for row in rows]
    expected = fates_of(Scorer(OfList()), payloads)
    for cls in ALL[1:]:
        assert fates_of(Scorer(cls()), payloads) == expected


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Wide(Event):
    f: float
    fn: float | None
    i: int
    in_: int | None
    b: bool
    bn: bool | None
    s: str
    sn: str | None
    lit: Literal["b", "a"]
    size: Size | None
    at: dt.datetime
    atn: dt.datetime | None
    day: dt.date
    price: decimal.Decimal
    items: list[int]


NOW = dt.datetime(2013, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
FULL = Wide(
    f=1.5, fn=2.5, i=2**62 + 1, in_=2**62 + 1, b=True, bn=True, s="x", sn="y", lit="a", size=Size.SMALL, at=NOW, atn=NOW,
    day=NOW.date(), price=decimal.Decimal("1.10"), items=[1, 2],
)  # fmt: skip
EMPTY = Wide(
    f=0.0, fn=None, i=0, in_=None, b=False, bn=None, s="", sn=None, lit="b", size=None, at=NOW, atn=None, day=NOW.date(),
    price=decimal.Decimal(0), items=[],
)  # fmt: skip


class Out(Event):
    n: int


class Frames(Model[Wide, Out]):
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame: ...


class Tables(Model[Wide, Out]):
    def predict(self, table: pa.Table) -> pa.Table: ...


class Arrays(Model[Wide, Out]):
    def predict(self, columns: dict[str, np.ndarray]) -> np.ndarray: ...


def built(cls: type, *events: Wide) -> Any:
    return Scorer(cls()).container.build(TypedBatch(schema_of(Wide), list(events), NOTHING))


DTYPES = {
    "f": "float64", "fn": "float64", "i": "int64", "in_": "Int64", "b": "bool", "bn": "boolean",
    "s": "str" if STRING == "str" else "object", "sn": "str" if STRING == "str" else "object", "lit": "category",
    "size": "category", "at": "datetime64[us, UTC]", "atn": "datetime64[us, UTC]", "day": "datetime64[us]", "price": "object",
    "items": "object",
}  # fmt: skip


@pytest.mark.parametrize("events", [(FULL,), (EMPTY,), (FULL, EMPTY), (EMPTY, FULL, FULL), ()], ids=len)
def test_dtypes_come_from_the_declaration_whatever_the_batch_holds(events: tuple[Wide, ...]) -> None:
    frame = built(Frames, *events)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES
    assert frame.index.equals(pd.RangeIndex(len(events)))
    assert frame.lit.cat.categories.tolist() == ["b", "a"]
    assert frame["size"].cat.categories.tolist() == ["S", "L"]


def test_values_survive_next_to_nulls() -> None:
    frame = built(Frames, FULL, EMPTY)
    full, empty = frame.iloc[0], frame.iloc[1]
    assert (frame.in_[0], full.i, full.bn, full.sn, full.lit, full["size"]) == (
        2**62 + 1,
        2**62 + 1,
        True,
        "y",
        "a",
        "S",
    )
    assert full["at"] == pd.Timestamp("2013-01-01T10:00Z")
    assert (full.price, full["items"], full.day) == (
        decimal.Decimal("1.10"),
        [1, 2],
        pd.Timestamp("2013-01-01"),
    )
    assert [empty[n] is pd.NA for n in ("in_", "bn")] == [True, True]
    assert all(pd.isna(empty[n]) for n in ("fn", "sn", "size", "atn"))


def test_times_outside_of_nanoseconds_are_times_too() -> None:
    far = dt.datetime(2999, 12, 31, tzinfo=dt.UTC)
    event = Wide(**{**{n: getattr(FULL, n) for n in Wide.__struct_fields__}, "at": far})
    assert built(Frames, event)["at"][0].year == 2999


def test_arrow_types_come_from_the_declaration() -> None:
    for events in ((FULL,), (EMPTY,), (FULL, EMPTY)):
        types = {field.name: str(field.type) for field in built(Tables, *events).schema}
        assert types["fn"] == "double"
        assert types["in_"] == "int64"
        assert types["sn"] == "string"
        assert types["atn"] == "timestamp[us, tz=UTC]"
        assert types["day"].startswith("date32")
        assert types["lit"].startswith("dictionary<values=string")
    table = built(Tables, FULL, EMPTY)
    assert table["in_"].to_pylist() == [2**62 + 1, None]
    assert table["size"].to_pylist() == ["S", None]


def test_numpy_types_come_from_the_declaration() -> None:
    for events in ((FULL,), (EMPTY,), (FULL, EMPTY)):
        kinds = {name: column.dtype.str[1:] for name, column in built(Arrays, *events).items()}
        assert kinds["fn"] == "f8"
        assert kinds["i"] == "i8"
        assert kinds["b"] == "b1"
        assert kinds["at"] == "M8[us]"
        assert {kinds[n] for n in ("in_", "bn", "s", "sn", "lit", "items")} == {"O"}


def test_a_batch_can_be_written_into_and_belongs_to_the_model() -> None:
    first = built(Frames, FULL)
    first["f"] *= 2
    assert built(Frames, FULL)["f"][0] == 1.5
    arrays = built(Arrays, FULL)
    arrays["f"] *= 2
    assert arrays["f"][0] == 3.0


class TestHistory:
    def history(self, **columns: Any) -> pd.DataFrame:
        frame = pd.DataFrame(
            {
                "flight": ["1", "2"],
                "origin": ["JFK", "EWR"],
                "distance": [1, 2],
                "seats": [1.0, 2.0],
                "target": [0, 1],
            }
        )
        return frame.assign(**columns)

    def test_columns_that_the_event_names_get_the_dtypes_of_a_batch(self) -> None:
        cast = cast_history(self.history(delay=[None, 1]), schema_of(Departure))
        batch = Scorer(OfFrame()).given(PAYLOADS[:2])
        for name in ("flight", "origin", "distance", "seats", "delay"):
            assert cast[name].dtype == batch[name].dtype, name
        assert cast.target.dtype == "int64"

    def test_nulls_where_the_class_has_none_say_what_to_declare(self) -> None:
        with pytest.raises(
            UserError, match=r"history.seats: 1 rows are null, the class says int. Declare it int \| None"
        ):
            cast_history(self.history(seats=[1.0, None]), schema_of(Departure))

    def test_values_outside_of_the_declared_ones_are_told(self) -> None:
        with pytest.raises(
            UserError, match=r"history.origin: 1 rows are not one of .*: 'BOS'. Add the values"
        ):
            cast_history(self.history(origin=["BOS", "JFK"]), schema_of(Departure))

    def test_times_are_cast_from_texts_and_from_times_without_zone(self) -> None:
        class Timed(Event):
            at: dt.datetime
            day: dt.date

        frame = pd.DataFrame({"at": ["2013-01-01T10:00:00Z"], "day": [pd.Timestamp("2013-01-01")]})
        cast = cast_history(frame, schema_of(Timed))
        assert [str(t) for t in cast.dtypes] == ["datetime64[us, UTC]", "datetime64[us]"]


class TestAnswersOfFrames:
    """Columns become outputs of the declared types where that loses nothing."""

    class A(Event):
        i: int = 0
        f: float | None = None
        s: str | None = None
        b: bool | None = None
        lit: Literal["x", "y"] | None = None
        size: Size | None = None
        at: dt.datetime | None = None
        day: dt.date | None = None

    def ask(self, **columns: Any) -> Any:
        answer = pd.DataFrame(columns)

        class Frame(Model[Departure, TestAnswersOfFrames.A]):
            def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
                return answer.iloc[: len(frame)]

        return Scorer(Frame()).score(PAYLOADS[: len(answer)])

    @pytest.mark.parametrize(
        ("columns", "expected"),
        [
            ({"i": [1.0, 2.0]}, [1, 2]),
            ({"i": pd.array([1, 2], dtype="Int64")}, [1, 2]),
            ({"f": [1.5, None]}, [1.5, None]),
            ({"f": np.array([1.5, 2], dtype="float32")}, [1.5, 2.0]),
            ({"f": pd.array([1, None], dtype="Int64")}, [1, None]),
            ({"s": ["a", None]}, ["a", None]),
            ({"b": pd.array([True, None], dtype="boolean")}, [True, None]),
            ({"lit": pd.Categorical(["x", None])}, ["x", None]),
            ({"size": ["S", None]}, ["S", None]),
            ({"at": pd.to_datetime(["2013-01-01T10:00Z", None])}, ["2013-01-01T10:00:00Z", None]),
            ({"at": pd.to_datetime(["2013-01-01T10:00", None])}, ["2013-01-01T10:00:00Z", None]),
            ({"day": pd.to_datetime(["2013-01-01", None])}, ["2013-01-01", None]),
        ],
        ids=str,
    )
    def test_of_every_kind(self, columns: dict[str, Any], expected: list[Any]) -> None:
        scored = self.ask(**columns)
        assert scored.errors == []
        assert [json.loads(line)[next(iter(columns))] for line in scored.split()] == expected

    @pytest.mark.parametrize(
        "columns",
        [{"i": [1.5, 2.0]}, {"i": [None, 2.0]}, {"lit": ["z", "x"]}, {"size": ["M", "S"]}, {"b": [2, True]}],
        ids=str,
    )
    def test_a_value_that_does_not_fit_fails_its_row(self, columns: dict[str, Any]) -> None:
        scored = self.ask(**columns)
        assert [(e.index, e.code) for e in scored.errors] == [(0, "invalid_output")]
        assert len(scored.split()) == 1
