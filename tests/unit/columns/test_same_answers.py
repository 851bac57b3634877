"""An event has one fate, whether its batch comes as payloads or as columns: every container, every kind of answer, every mishap."""

import datetime as dt
import enum
import functools
import json
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner import Context, Event, Field, Many, Model
from pyrunner.checks import fates_of
from pyrunner.columns.through import ThroughColumns
from pyrunner.containers.dtypes import STRING
from pyrunner.scoring import Scorer


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Trip(Event):
    name: str
    km: Annotated[float, Field(ge=0)]
    seats: int
    full: bool = False
    delay: float | None = None
    left: int | None = None
    origin: Literal["EWR", "JFK", "LGA"] = "JFK"
    size: Size | None = None
    at: dt.datetime | None = None
    day: dt.date | None = None
    note: str | None = None


class Verdict(Event):
    name: str
    cost: float
    seats: int
    full: bool
    delay: float | None
    left: int | None
    origin: Literal["EWR", "JFK", "LGA"]
    size: Size | None
    at: dt.datetime | None
    day: dt.date | None
    note: str | None


class Cost(Event):
    cost: Annotated[float, Field(lt=1000)]
    n: int | None = None


def trip(i: int) -> dict[str, Any]:
    event: dict[str, Any] = {"name": f'ü{i}\n"', "km": i * 1.5, "seats": i}
    if i % 3 == 0:
        event |= {
            "full": True,
            "delay": i / 7,
            "left": -i,
            "origin": "LGA",
            "size": "L",
            "note": "n" * (i % 5),
        }
    if i % 4 == 1:
        event |= {"at": f"2013-01-{i % 28 + 1:02d}T10:00:00.5+02:00", "day": "2013-01-31", "delay": None}
    return event


TRIPS = [json.dumps(trip(i)).encode() for i in range(120)]


class Frame(Model[Trip, Verdict]):
    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        ctx.reject(X.seats % 7 == 3, "unlucky", code="seven")
        ctx.reject([0, 1], "first ones", retry=True)
        return X.rename(columns={"km": "cost"})[
            ["name", "cost", "seats", "full", "delay", "left", "origin", "size", "at", "day", "note"]
        ]


class Table(Model[Trip, Verdict]):
    def predict(self, t: pa.Table, *, ctx: Context) -> pa.Table:
        ctx.reject([i % 7 == 3 for i in t["seats"].to_pylist()], "unlucky", code="seven")
        ctx.reject([i for i in (0, 1) if i < t.num_rows], "first ones", retry=True)
        return t.rename_columns(["cost" if n == "km" else n for n in t.column_names])


class Arrays(Model[Trip, Verdict]):
    def predict(self, a: dict[str, np.ndarray], *, ctx: Context) -> dict[str, Any]:
        ctx.reject(a["seats"] % 7 == 3, "unlucky", code="seven")
        ctx.reject(0, "first ones", retry=True)
        a["cost"] = a.pop("km")
        return a


class Two(Model[Trip, Cost]):
    """Many rows, rejected ones among them."""

    def predict(self, X: pd.DataFrame, *, ctx: Context) -> Many[pd.DataFrame]:
        ctx.reject(X.seats % 5 == 2, "odd")
        times = X.index.repeat(X.seats % 3)
        return pd.DataFrame(
            {"cost": X.km.loc[times].to_numpy(), "n": np.arange(len(times)) * 1.0}, index=times
        )


class Kept(Model[Trip, Cost]):
    """Keeps what it was given, writes into it, and gives it back."""

    kept: Any = None

    def predict(self, a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if Kept.kept is not None:
            Kept.kept["km"] *= -1
        Kept.kept = a
        a["km"] *= 2
        a["seats"] += 1
        return {"cost": a["km"], "n": a["seats"]}


class KeptFrame(Model[Trip, Cost]):
    kept: Any = None

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        if KeptFrame.kept is not None:
            KeptFrame.kept["km"] = 7.0
            KeptFrame.kept.loc[:, "seats"] = 0
        KeptFrame.kept = X
        X["km"] *= 2
        X.loc[:, "seats"] += 1
        X.columns.name = X.index.name = "kept"
        return pd.DataFrame({"cost": X["km"], "n": X["seats"]})


class Raises(Model[Trip, Cost]):
    """Has written into its batch by the time it raises."""

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        X["km"] *= 0.5
        if (X.seats % 50 == 7).any():
            raise ValueError(f"seven of {len(X)}" if len(X) == 1 else "seven")
        return pd.DataFrame({"cost": X.km})


class RaisesInArrays(Model[Trip, Cost]):
    def predict(self, a: dict[str, np.ndarray]) -> np.ndarray:
        a["km"] *= 0.5
        if (a["seats"] % 50 == 7).any():
            raise ValueError("seven")
        return np.stack([a["km"], a["seats"]], axis=1)


class Shuffles(Model[Trip, Cost]):
    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"cost": X.km, "n": X.seats}).sort_values("n", ascending=False)


class Drops(Model[Trip, Cost]):
    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        late = X.delay > 3
        ctx.reject(late, "late")
        return pd.DataFrame({"cost": X.km})[~late]


class TooFew(Model[Trip, Cost]):
    def predict(self, a: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"cost": a["km"][1:]}


class OutOfBounds(Model[Trip, Cost]):
    def predict(self, a: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            "cost": np.where(a["seats"] % 9 == 4, 2000.0, a["km"]),
            "n": np.where(a["seats"] % 9 == 5, np.nan, a["km"]),
        }


class NotFinite(Model[Trip, Cost]):
    def predict(self, a: dict[str, np.ndarray]) -> dict[str, Any]:
        return {"cost": np.where(a["seats"] % 9 == 4, np.nan, a["km"])}


class Lists(Model[Trip, Cost]):
    def predict(self, X: pd.DataFrame) -> list[Cost]:
        return [Cost(cost=km) for km in X.km]


class Nothing(Model[Trip, Cost]):
    def predict(self, X: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
        ctx.reject(X.km >= 0, "all")
        return pd.DataFrame({"cost": X.km})


class NoAnswer(Model[Trip, Cost]):
    def predict(self, X: pd.DataFrame) -> Any:
        return "forty-two"


EVERY = [
    Frame, Table, Arrays, Two, Kept, KeptFrame, Raises, RaisesInArrays, Shuffles, Drops, TooFew, OutOfBounds, NotFinite, Lists,
    Nothing, NoAnswer,
]  # fmt: skip

BAD = [
    b"{",
    None,
    b'{"name": "x"}',
    b"[1]",
    json.dumps(trip(5) | {"km": -1}).encode(),
    json.dumps(trip(9) | {"seats": 1.5}).encode(),
]
MORE = [json.dumps(trip(i) | {"colour": "red", "km2": [1, {"a": None}]}).encode() for i in range(6)]


def compared(cls: type, payloads: list[Any], sizes: tuple[int, ...] = (120, 64, 7, 1)) -> dict[str, int]:
    """How many answers came as columns and as lines."""
    found = {"columns": 0, "lines": 0}
    for size in sizes:
        cls.kept = None
        raw = Scorer(cls())
        by_payloads = [raw.score(payloads[at : at + size]) for at in range(0, len(payloads), size)]
        cls.kept = None
        scorer = Scorer(cls())
        through = ThroughColumns(scorer)
        by_columns = [through.score(payloads[at : at + size]) for at in range(0, len(payloads), size)]
        for one, other in zip(by_payloads, by_columns, strict=True):
            assert one.errors == other.errors
            assert one.counts == other.counts
            assert [json.loads(line) for line in one.split()] == [json.loads(line) for line in other.split()]
        assert raw.unknown_fields == scorer.unknown_fields
        found = {name: n + through.frames[name] for name, n in found.items()}
    return found


@pytest.mark.parametrize("cls", EVERY)
def test_whatever_the_model_does(cls: type) -> None:
    compared(cls, TRIPS)


@pytest.mark.parametrize("cls", EVERY)
def test_with_misfits_among_them(cls: type) -> None:
    payloads = [p for i in range(40) for p in ([BAD[i % 6]] if i % 4 == 0 else []) + [TRIPS[i]]]
    compared(cls, payloads, (50, 9))


@pytest.mark.parametrize("cls", [Frame, Arrays, Table])
def test_with_fields_that_the_class_does_not_have(cls: type) -> None:
    compared(cls, TRIPS[:30] + MORE, (36, 6))


def test_a_misfit_that_is_an_event_all_the_same_has_its_answer() -> None:
    """A bridge may refuse more than msgspec does: what Python takes is scored in a batch of its own."""
    from pyrunner.protocol.frames import Columns

    for cls in (Arrays, Frame, Two):
        scorer = Scorer(cls())
        through = ThroughColumns(scorer)
        frame = through.composed(TRIPS[2:9])
        assert frame is not None
        whole = [TRIPS[0], *TRIPS[2:6], b"{", TRIPS[1], *TRIPS[6:9]]
        values = {name: getattr(frame, name) for name in frame.__struct_fields__}
        mixed = Columns(**values | {"positions": [0, 0, 10], "misfits": [0, TRIPS[0], 5, b"{", 6, TRIPS[1]]})
        by_columns = scorer.score_columns(mixed)
        raw = [fate for payload in whole for fate in fates_of(Scorer(cls()), [payload])]
        if cls is Frame:
            continue  # rejects by place: the first two of each batch
        got = fates_of(_Fixed(by_columns), whole)
        assert got[5][0] == "failed"
        if cls is Two:
            assert [fate[0] for fate in got] == [fate[0] for fate in raw]


class _Fixed:
    def __init__(self, scored: Any) -> None:
        self._scored = scored

    def score(self, payloads: Any) -> Any:
        return self._scored


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(max_size=6),
                "km": st.floats(0, 1e300) | st.integers(0, 2**60),
                "seats": st.integers(-(2**63), 2**63 - 8),
            },
            optional={
                "full": st.booleans(),
                "delay": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "left": st.none() | st.integers(-(2**63), 2**63 - 1),
                "origin": st.sampled_from(["EWR", "JFK", "LGA"]),
                "size": st.sampled_from(["S", "L", None]),
                "at": st.none()
                | st.datetimes(min_value=dt.datetime(2, 1, 1), max_value=dt.datetime(9998, 1, 1)).map(
                    lambda t: t.isoformat() + "Z"
                ),
                "day": st.none() | st.dates().map(str),
                "note": st.none() | st.text(max_size=4),
            },
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_events(rows: list[dict[str, Any]]) -> None:
    payloads = [json.dumps(row).encode() for row in rows]
    for cls in (Frame, Table, Arrays):
        compared(cls, payloads, (12,))


class TestKindsOfAnswers:
    """One column of every dtype that may come, into every kind of field that it may fit."""

    class Out(Event):
        f: float = 0.5
        fn: float | None = None
        i: Annotated[int, Field(ge=-5)] = 0
        i_n: int | None = None
        b: bool = False
        bn: bool | None = None
        s: str = ""
        sn: str | None = None
        lit: Literal["x", "y"] = "x"
        num: Literal[1, 7] | None = None
        size: Size | None = None
        at: dt.datetime | None = None
        day: dt.date | None = None

    COLUMNS: ClassVar[list[Any]] = [
        [1.5, 2.0, -3.0],
        [1.0, None, 3.0],
        np.array([1.5, 2.5, 2**60], dtype="float32"),
        np.array([1, 2, 3], dtype="int8"),
        np.array([1, 7, 2**53 + 1]),
        np.array([1, 2, 2**64 - 1], dtype="uint64"),
        np.array([True, False, True]),
        np.array([1.0, 7.0, 2.0**63]),
        np.array([1.0, np.inf, 0]),
        pd.array([1, None, 7], dtype="Int64"),
        pd.array([1.5, None, 7], dtype="Float64"),
        pd.array([True, None, False], dtype="boolean"),
        pd.array(["x", None, "y"], dtype="string"),
        pd.array(["x", "ü\n", "y"], dtype=STRING),
        np.array(["x", "y", "zz"]),
        np.array(["x", None, "y"], dtype=object),
        np.array(["x", 3, "y"], dtype=object),
        np.array(["x", float("nan"), b"y"], dtype=object),
        np.array(["S", "L", None], dtype=object),
        np.array([Size.SMALL, None, Size.LARGE], dtype=object),
        np.array([1, None, True], dtype=object),
        np.array(["x", "\ud800", "y"], dtype=object),
        pd.Categorical(["x", None, "y"]),
        pd.Categorical(["x", "x", "x"], categories=["q", "x"]),
        pd.Categorical([1, 7, None]),
        pd.to_datetime(["2013-01-01T10:00:00.123456789Z", None, "1960-01-01T00:00:00.000000001Z"]),
        pd.to_datetime(["2013-01-01T10:00:00", None, "1969-12-31T23:59:59.999999999"], format="ISO8601"),
        pd.to_datetime(["2013-01-01", None, "2013-06-01"]).tz_localize("Europe/Berlin"),
        np.array(["2013-01-01", "NaT", "1960-02-03"], dtype="M8[D]"),
        np.array(["2013-01-01T12", "NaT", "1960-02-03T01"], dtype="M8[h]"),
        np.array(["2013-01-01", "NaT", "20000-02-03"], dtype="M8[s]"),
        np.array([dt.date(2013, 1, 1), None, dt.date(1, 1, 1)], dtype=object),
        pa.array([1.5, None, float("nan")]),
        pa.array([1, 2, None]),
        pa.array([1, 2, 3], type=pa.uint8()),
        pa.array([True, None, False]),
        pa.array(["x", None, "y"]),
        pa.array(["x", "y", "y"], type=pa.large_string()).slice(0),
        pa.array(["q", "x", "ü", "y"]).slice(1),
        pa.chunked_array([["x"], ["y", "x"]]),
        pa.array(["x", "y", None]).dictionary_encode(),
        pa.array([dt.date(2013, 1, 1), None, dt.date(1900, 1, 1)]),
        pa.array([dt.datetime(2013, 1, 1), None, dt.datetime(1900, 1, 1)], type=pa.timestamp("ms")),
        pa.array([dt.datetime(2013, 1, 1), None, dt.datetime(1900, 1, 1)], type=pa.timestamp("us", tz="UTC")),
        pa.array([dt.datetime(2013, 1, 1), None, dt.datetime(1900, 1, 1)], type=pa.timestamp("us", tz="Europe/Berlin")),
    ]  # fmt: skip

    @pytest.mark.parametrize(
        "at", range(len(COLUMNS)), ids=lambda at: f"{at}-{type(TestKindsOfAnswers.COLUMNS[at]).__name__}"
    )
    def test_have_one_fate(self, at: int) -> None:
        for rejected in ((), (1,)) if at % 2 else ((1,), ()):
            for name in TestKindsOfAnswers.Out.__struct_fields__:
                model = asked(name)
                model.column, model.rejected = self.COLUMNS[at], rejected
                compared(model, TRIPS[:3], (3,))


@functools.cache
def asked(name: str) -> Any:
    """A model that answers with one column, whose rows in part of the batch are those of the part."""

    class Asked(Model[Trip, TestKindsOfAnswers.Out]):
        column: Any = None
        rejected: Any = ()

        def predict(self, a: dict[str, np.ndarray], *, ctx: Context) -> Any:
            rows = a["seats"].tolist()
            ctx.reject([rows.index(row) for row in self.rejected if row in rows], "asked to")
            answer = {name: self.column[rows[0] : rows[0] + len(rows)]}
            pandas = isinstance(self.column, pd.api.extensions.ExtensionArray | pd.Index)
            return pd.DataFrame(answer) if pandas else answer

    return Asked


BY_COLUMNS = {Frame, Table, Arrays, Two, Kept, KeptFrame, Drops}


@pytest.mark.parametrize("cls", EVERY)
def test_plain_answers_come_as_columns(cls: type) -> None:
    """The control of the above: what can go as columns does, and what cannot goes as lines."""
    came = "columns" if cls in BY_COLUMNS else "lines"
    assert compared(cls, TRIPS, (120,))[came] == 1
