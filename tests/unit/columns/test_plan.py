"""Which classes go as columns, why the others do not, and what the bridge is told."""

import datetime as dt
import decimal
import enum
import json
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest

from pyrunner import Event, EventTime, Field, Key, Model
from pyrunner.checkup import _way
from pyrunner.signature import read_signature


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Out(Event):
    y: float


def signature(cls: Any, out: Any = Out) -> Any:
    class Asked(Model[cls, out]):
        def predict(self, X: pd.DataFrame) -> pd.DataFrame: ...

    return read_signature(Asked)


class Told(Event, rename="camel"):
    key_of: Annotated[str, Key()]
    km: Annotated[float, Field(gt=0, unit="km")]
    seats: Annotated[int, Field(ge=1, lt=900)] | None
    code: Annotated[str, Field(min_length=2, max_length=2)] = "UA"
    origin: Literal["JFK", "EWR", 3] = "JFK"
    size: Size | None = None
    late: bool = False
    at: Annotated[dt.datetime, EventTime()] = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
    day: dt.date = dt.date(2013, 1, 31)


def test_the_bridge_is_told_what_it_needs() -> None:
    said = json.loads(signature(Told).describe())["columns"]
    assert said["unknown"] == "skip"
    assert said["fields"] == [
        {"name": "key_of", "wire": "keyOf", "kind": "str", "nullable": False},
        {"name": "km", "wire": "km", "kind": "float", "nullable": False, "gt": 0},
        {"name": "seats", "wire": "seats", "kind": "int", "nullable": True, "ge": 1, "lt": 900},
        {"name": "code", "wire": "code", "kind": "str", "nullable": False, "default": "UA", "min_length": 2, "max_length": 2},
        {"name": "origin", "wire": "origin", "kind": "category", "nullable": False, "choices": ["JFK", "EWR", 3], "default": "JFK"},
        {"name": "size", "wire": "size", "kind": "category", "nullable": True, "choices": ["S", "L"], "default": None},
        {"name": "late", "wire": "late", "kind": "bool", "nullable": False, "default": False},
        {"name": "at", "wire": "at", "kind": "datetime", "nullable": False, "default": "2013-01-01T00:00:00Z"},
        {"name": "day", "wire": "day", "kind": "date", "nullable": False, "default": "2013-01-31"},
    ]  # fmt: skip
    assert said["outputs"] == [{"name": "y", "wire": "y", "kind": "float", "nullable": False}]
    assert signature(Told).wants == 8


def test_the_default_of_a_time_is_the_same_instant() -> None:
    """Paris was 9 minutes and 21 seconds ahead; JSON has no seconds there."""
    paris = dt.timezone(dt.timedelta(minutes=9, seconds=21))
    old = dt.datetime(1880, 1, 1, tzinfo=paris)
    (field,) = json.loads(signature(made("T", dt.datetime, x=old)).describe())["columns"]["fields"]
    assert dt.datetime.fromisoformat(field["default"]) == old


def test_a_class_that_refuses_what_it_does_not_name_says_so() -> None:
    class Strict(Event, forbid_unknown_fields=True):
        x: float

    assert json.loads(signature(Strict).describe())["columns"]["unknown"] == "refuse"


def made(name: str, hint: Any, **more: Any) -> Any:
    namespace = {
        "__annotations__": {"x": hint},
        "__module__": __name__,
        **{k: v for k, v in more.items() if k == "x"},
    }
    return type(Event)(name, (Event,), namespace, **{k: v for k, v in more.items() if k != "x"})


class Nested(Event):
    x: float


class Posted(Event):
    x: float

    def __post_init__(self) -> None: ...


class Modelled(pydantic.BaseModel):
    x: float


_AHEAD = dt.timezone(dt.timedelta(hours=1))

NOT_SAFE: list[tuple[Any, str]] = [
    (Posted, "Posted has __post_init__"),
    (Modelled, "Modelled is a pydantic model"),
    (made("T", float, tag="t"), "T has a tag"),
    (made("T", float, array_like=True), "T is an array in JSON"),
    (
        made("T", Annotated[str, Field(pattern="a(?=b)")]),
        "T.x has the pattern a(?=b), which is not the same everywhere",
    ),
    (
        made("T", dt.datetime, x=dt.datetime.min.replace(tzinfo=_AHEAD)),
        "T.x has a default that is no datetime",
    ),
    (made("T", decimal.Decimal), "T.x is Decimal"),
    (made("T", Nested), "T.x is nested"),
    (made("T", list[float]), "T.x is of type list"),
    (made("T", dict[str, float]), "T.x is a dict"),
    (made("T", Any), "T.x is of any type"),
    (made("T", float | str), "T.x is a union"),
    (made("T", float | list[int] | None), "T.x is a union"),
    (made("T", Annotated[dt.datetime, msgspec.Meta(tz=False)]), "T.x is a time without zone"),
    (made("T", dt.timedelta), "T.x is of type timedelta"),
    (made("T", float, x=float("nan")), "T.x has a default that is no float"),
    (made("T", int, x=None), "T.x has a default that is no int"),
    (made("T", int, x=2**63), "T.x has a default that is no int"),
    (made("T", float, x=msgspec.field(default_factory=float)), "T.x has a default_factory"),
    (type(Event)("Empty", (Event,), {"__annotations__": {}, "__module__": __name__}), "Empty has no fields"),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "reason"), NOT_SAFE, ids=[reason for _, reason in NOT_SAFE])
def test_what_is_not_safe_goes_as_payloads_and_says_why(cls: Any, reason: str) -> None:
    asked = signature(cls)
    assert asked.path.plan is None
    assert asked.path.reasons == (reason,)
    assert asked.wants == 0
    assert "columns" not in json.loads(asked.describe())
    assert _way(asked) == f"events come as JSON and are put into columns here: {reason}"


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (Posted, "Posted has __post_init__"),
        (Modelled, "Modelled is a pydantic model"),
        (made("T", float, omit_defaults=True), "T leaves out defaults"),
        (made("T", Annotated[str, Field(min_length=1)]), "T.x has a length or a pattern"),
        (made("T", Annotated[str, Field(pattern="^a")]), "T.x has a length or a pattern"),
        (made("T", Annotated[int, Field(multiple_of=2)]), "T.x has multiple_of"),
        (made("T", list[float]), "T.x is of type list"),
    ],
    ids=str,
)
def test_answers_of_other_classes_go_as_lines(out: Any, reason: str) -> None:
    asked = signature(Nested, out)
    assert asked.path.lines == (reason,)
    assert json.loads(asked.describe())["columns"]["outputs"] is None
    assert _way(asked) == f"events come as columns, answers go as JSON: {reason}"


def test_events_of_a_list_do_not_ask_for_columns() -> None:
    class OfList(Model[Nested, Out]):
        def predict(self, events: list[Nested]) -> list[Out]: ...

    class OfArrays(Model[Nested, Out]):
        def transform(self, a: dict[str, np.ndarray]) -> np.ndarray: ...

    assert read_signature(OfList).wants == 0
    assert read_signature(OfArrays).wants == 8
    assert _way(read_signature(OfArrays)) == "events come as columns, answers go as columns"


def test_a_plan_that_does_not_fit_into_hello_is_left_out() -> None:
    names = {f"field_with_a_rather_long_name_{i}": float for i in range(450)}
    wide = type(Event)("Wide", (Event,), {"__annotations__": names, "__module__": __name__})
    asked = signature(wide)
    assert asked.path.reasons == ("its schemas and columns do not fit into HELLO",)
    assert json.loads(asked.describe()).keys() == {"input", "output", "tolerance"}
