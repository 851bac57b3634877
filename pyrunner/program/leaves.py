"""The single values of a program.yaml: each is a fragment of JSON Schema and a phrase that says what is expected.

The fragment is the whole rule. Pydantic checks it here; the generated schema carries it, with the phrase as `x-expect`,
to editors and to the bridge, which checks the same fragment in Go.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_NS = {"us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "number": (int, float),
}


class Duration(str):
    """A length of time as written, such as `200ms`; its value is exact."""

    @property
    def ns(self) -> int:
        """Nanoseconds."""
        number, unit = _split(self)
        return int(Fraction(number) * _NS[unit])

    @property
    def seconds(self) -> float:
        """Seconds."""
        return self.ns / 1e9


class Size(str):
    """A number of bytes as written, such as `256KiB`."""

    @property
    def bytes(self) -> int:
        """Bytes."""
        number, unit = _split(self)
        return int(number) * _BYTES[unit]


def _split(text: str) -> tuple[str, str]:
    number = text.rstrip("BKiMGhmnsu")
    return number, text[len(number) :]


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a single value satisfies a fragment: anyOf, const, enum, type, pattern, minimum and maximum."""
    if "anyOf" in schema:
        return any(fits(part, value) for part in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    return _is(schema["type"], value) and _in_bounds(schema, value)


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _in_bounds(schema: dict[str, Any], value: Any) -> bool:
    if "pattern" in schema:
        return re.fullmatch(schema["pattern"], value) is not None
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def leaf(base: Any, expect: str, **schema: Any) -> Any:
    """An annotated type that accepts what the fragment accepts. A problem says `... is not {expect}`."""
    schema["x-expect"] = expect

    def check(value: Any) -> Any:
        if not fits(schema, value):
            raise PydanticCustomError("value", "is not {expect}", {"expect": expect})
        return value

    if base in (Duration, Size):
        as_text = PlainSerializer(lambda v: int(v) if v.isdigit() else str(v))
        return Annotated[base, PlainValidator(lambda v: base(check(v))), as_text, WithJsonSchema(schema)]
    return Annotated[base, BeforeValidator(check), WithJsonSchema(schema)]


def _count(least: int, most: int, expect: str) -> Any:
    return leaf(int, expect, type="integer", minimum=least, maximum=most)


def _choice(*words: str) -> Any:
    return leaf(str, " or ".join([", ".join(words[:-1]), words[-1]][len(words) < 2 :]), enum=list(words))


_NAME = "[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
_DURATION = r"[0-9]{1,9}(\.[0-9]{1,3})?(us|ms|s|m|h)"

Text = leaf(str, "text", type="string", pattern=r"[^\x00]*")
Word = leaf(str, "text without blanks", type="string", pattern=r"[^\x00-\x20\x7f]+")
Name = leaf(str, "a name of letters, digits and . _ -", type="string", pattern=_NAME)
LowerName = leaf(
    str,
    "a name of at most 63 lower-case letters, digits and -",
    type="string",
    pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
)
ClassRef = leaf(
    str,
    "a module and a class, such as flight_delays.science:FlightDelays",
    type="string",
    pattern=r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*",
)
Url = leaf(
    str,
    "a URL such as embedded: or nats://host:4222",
    type="string",
    pattern=r"([a-z][a-z0-9+.-]*:|\$\{)[^\x00-\x20\x7f]*",
)
Setting = leaf(
    str | int | float | bool,
    "text, a number or true or false",
    anyOf=[{"type": "string", "pattern": r"[^\x00]*"}, {"type": "number"}, {"type": "boolean"}],
)
Time = leaf(Duration, "a duration such as 200ms, 5s or 1m", type="string", pattern=_DURATION)
_SIZES = [
    {"type": "string", "pattern": "[0-9]{1,12}(B|KiB|MiB|GiB)"},
    {"type": "integer", "minimum": 0, "maximum": 10**12},
]
Bytes = leaf(Size, "a size such as 512B, 256KiB or 4MiB", anyOf=_SIZES)
BatchBytes = leaf(Size, "a size such as 512B, 256KiB or 4MiB, or auto", anyOf=[*_SIZES, {"const": "auto"}])
Workers = leaf(
    int | str,
    "a number from 1 to 1024, or auto",
    anyOf=[{"type": "integer", "minimum": 1, "maximum": 1024}, {"const": "auto"}],
)
ModelRef = leaf(
    int | str,
    "a model's version or alias, such as 3 or latest",
    anyOf=[{"type": "integer", "minimum": 1, "maximum": 10**9}, {"type": "string", "pattern": _NAME}],
)
Weight = leaf(int, "a number from 0 to 1000000", type="integer", minimum=0, maximum=10**6)
Header = leaf(
    str,
    "the name of a header, such as X-User-Id",
    type="string",
    pattern="[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}",
)
Swap = _choice("beside", "in-place")
Distance = leaf(int | float, "a number from 0", type="number", minimum=0)
Part = leaf(int | float, "a part from 0 to 1", type="number", minimum=0, maximum=1)
Processes = _count(1, 1024, "a number from 1 to 1024")
Standby = _count(0, 1, "0 or 1")
Concurrency = _count(1, 256, "a number from 1 to 256")
Port = _count(0, 65535, "a port from 0 to 65535")
Events = leaf(
    int | str,
    "a number from 1 to 16384, or auto",
    anyOf=[{"type": "integer", "minimum": 1, "maximum": 16384}, {"const": "auto"}],
)
Rows = _count(1, 10_000_000, "a number from 1 to 10000000")
Attempts = _count(1, 100, "a number from 1 to 100")
Run = _count(1, 1_000_000, "a number from 1 to 1000000")
Replicas = _count(0, 10_000, "a number from 0 to 10000")
Lag = _count(1, 10**12, "a number from 1")
Order = _choice("key", "partition", "none")
Format = _choice("json", "raw", "avro", "protobuf", "json-schema")
Flag = leaf(bool, "true or false", type="boolean")
Message = leaf(
    str,
    "the name of a message, such as flights.Departure",
    type="string",
    pattern=r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*",
)
Guarantee = _choice("at-least-once", "exactly-once")
Cron = leaf(
    str,
    'five fields of cron, such as "0 5 * * *"',
    type="string",
    pattern=r"(@(hourly|daily|weekly|monthly|yearly)|[0-9*/,-]+( [0-9A-Za-z*/,-]+){4})",
)
ApiVersion = _choice("ds-runner.dev/v1alpha1")
Kind = _choice("Program")
