"""Declarations: what `Event`, `Field` and the marks become for the decoder and for everybody who asks."""

import datetime as dt
import decimal
import enum
from typing import Annotated, Literal

import jsonschema
import msgspec
import pydantic
import pytest

from pyrunner import Event, EventTime, Field, Key, UserError
from pyrunner.schema import schema_of

Whole = Annotated[int, Field(ge=0)]


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Leg(Event):
    to: str
    miles: Annotated[float, Field(gt=0)]


class Everything(Event):
    id: Annotated[str, Key(), Field(min_length=1)]
    at: Annotated[dt.datetime, EventTime()]
    day: dt.date
    price: decimal.Decimal
    count: int
    size: Size
    origin: Literal["EWR", "JFK"]
    legs: list[Leg]
    tags: dict[str, int] = msgspec.field(default_factory=dict)
    wind: Annotated[float | None, Field(unit="mph", description="from the tower", ge=0)] = None
    seats: Whole | None = None
    secret: Annotated[str, Field(log=False)] = ""


GOOD = {
    "id": "1",
    "at": "2013-01-01T10:00:00Z",
    "day": "2013-01-01",
    "price": "1.50",
    "count": 3,
    "size": "L",
    "origin": "JFK",
    "legs": [{"to": "LAX", "miles": 2475}],
}


def decode(**changes: object) -> Everything:
    return msgspec.json.decode(msgspec.json.encode({**GOOD, **changes}), type=Everything)


def test_all_types_are_decoded() -> None:
    event = decode(tags={"a": 1}, wind=3.5)
    assert event.at == dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC)
    assert (event.day, event.price, event.size) == (dt.date(2013, 1, 1), decimal.Decimal("1.50"), Size.LARGE)
    assert event.legs == [Leg(to="LAX", miles=2475.0)]
    assert (event.tags, event.wind, event.seats) == ({"a": 1}, 3.5, None)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 2**63},
        {"count": -(2**63) - 1},
        {"count": 1.0},
        {"seats": -1},
        {"seats": 2**63},
        {"tags": {"a": 2**63}},
        {"at": "2013-01-01T10:00:00"},
        {"id": ""},
        {"wind": -1},
        {"legs": [{"to": "LAX", "miles": 0}]},
        {"origin": "LGA"},
        {"size": "M"},
    ],
    ids=str,
)
def test_what_breaks_the_declaration_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(**change)


def test_the_bounds_of_int64_themselves_are_fine() -> None:
    assert decode(count=2**63 - 1).count == 2**63 - 1
    assert decode(count=-(2**63)).count == -(2**63)


def test_a_field_without_a_default_is_required_even_when_it_may_be_null() -> None:
    class Needs(Event):
        a: float | None

    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.json.decode(b"{}", type=Needs)
    with pytest.raises(TypeError):
        Needs()  # type: ignore[call-arg]
    assert Needs(a=None).a is None


def test_fields_come_by_keyword_in_any_order_of_defaults() -> None:
    class Mixed(Event):
        a: int = 1
        b: str

    assert Mixed(b="x").a == 1
    with pytest.raises(TypeError):
        Mixed("x")  # type: ignore[misc]
    event = Mixed(b="x")
    event.b = "y"
    assert event == Mixed(a=1, b="y")


def test_a_class_that_is_named_before_it_is_defined_is_lowered_when_its_schema_is_read() -> None:
    class Order(Event):
        items: "list[_Item]"
        count: int

    assert [f.kind for f in schema_of(Order)] == ["list", "int"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"items": [], "count": 9223372036854775808}', type=Order)


class _Item(Event):
    price: int


def test_the_schema_says_kinds_nulls_and_marks() -> None:
    schema = schema_of(Everything)
    kinds = {f.name: f.kind for f in schema}
    assert kinds == {
        "id": "str", "at": "datetime", "day": "date", "price": "decimal", "count": "int", "size": "category",
        "origin": "category", "legs": "list", "tags": "dict", "wind": "float", "seats": "int", "secret": "str",
    }  # fmt: skip
    assert (schema.key, schema.event_time) == ("id", "at")
    assert [f.name for f in schema if f.nullable] == ["wind", "seats"]
    assert [f.name for f in schema if not f.required] == ["tags", "wind", "seats", "secret"]
    wind = schema.by_name["wind"]
    assert (wind.marks.unit, wind.marks.description, wind.marks.constraint("ge")) == (
        "mph",
        "from the tower",
        0,
    )
    assert not schema.by_name["secret"].marks.log
    assert schema.by_name["size"].choices == ("S", "L")
    assert schema.types()["origin"] == "category[EWR, JFK]"
    assert schema.types()["wind"] == "float64 | null"
    assert schema.types()["legs"] == "list[Leg]"


def test_expectations_are_told_in_the_words_of_json() -> None:
    expected = {f.name: f.expected for f in schema_of(Everything)}
    assert expected["wind"] == "number >= 0 or null"
    assert expected["count"] == "integer"
    assert expected["seats"] == "integer >= 0 or null"
    assert expected["origin"] == 'one of "EWR", "JFK"'
    assert expected["id"] == "string of length 1 or more"


def test_the_json_schema_accepts_what_the_decoder_accepts() -> None:
    schema = schema_of(Everything).json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(GOOD)
    validator.validate({**GOOD, "unknown": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**GOOD, "origin": "LGA"})
    assert schema["properties"]["count"] == {"type": "integer", "format": "int64"}
    assert schema["properties"]["id"]["x-key"] is True
    assert schema["properties"]["wind"]["x-unit"] == "mph"
    assert set(schema["$defs"]) == {"Leg", "Size"}


def test_the_json_schema_says_what_is_kept_out_of_logs() -> None:
    class Card(Event):
        number: Annotated[str, Field(log=False, unit="digits")]

    class Payment(Event):
        card: Card
        amount: Annotated[float | None, Field(ge=0, log=False)]
        shop: str

    class Plain(pydantic.BaseModel):
        pin: Annotated[str, Field(log=False)]
        shop: str

    schema = schema_of(Payment).json_schema()
    assert schema["$defs"]["Card"]["properties"]["number"]["x-log"] is False
    assert schema["$defs"]["Card"]["properties"]["number"]["x-unit"] == "digits"
    assert schema["properties"]["amount"]["x-log"] is False
    assert "x-log" not in schema["properties"]["shop"]
    assert schema_of(Plain).json_schema()["properties"]["pin"]["x-log"] is False
    assert "x-log" not in schema_of(Plain).json_schema()["properties"]["shop"]


def test_a_pydantic_model_is_an_event_class_too() -> None:
    class Departure(pydantic.BaseModel):
        carrier: str
        delay: float | None = None

    schema = schema_of(Departure)
    assert schema.types() == {"carrier": "str", "delay": "float64 | null"}
    assert [f.required for f in schema] == [True, False]
    assert schema.json_schema()["required"] == ["carrier"]


def test_a_declaration_that_cannot_work_is_told_with_its_class() -> None:
    class Wrong(Event):
        name: Annotated[str, Field(gt=0)]

    with pytest.raises(UserError, match=r"Wrong cannot be an event: .*gt"):
        schema_of(Wrong)
    with pytest.raises(UserError, match=r"dict is no event class. Write: class dict\(Event\)"):
        schema_of(dict)
