"""Whether a model's events and answers can go as columns, and what the bridge is told of them in HELLO (PROTOCOL.md, section 3).

A class is column-safe when the bridge can give the verdict and find the values that msgspec does, from the declaration alone. All
else goes as payloads, which costs time and nothing else: each reason is a sentence for `check`.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from pyrunner.columns.patterns import same_everywhere
from pyrunner.fields import INT64_MAX, INT64_MIN
from pyrunner.schema import EventSchema, FieldSchema

if TYPE_CHECKING:
    from pyrunner.signature import Signature

_CONTAINERS = ("pandas", "numpy", "arrow")
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of")
_HELD = ("min_length", "max_length", "pattern")

_TYPES: dict[type[inspect.Type], str] = {
    inspect.FloatType: "float",
    inspect.IntType: "int",
    inspect.BoolType: "bool",
    inspect.StrType: "str",
    inspect.DateTimeType: "datetime",
    inspect.DateType: "date",
    inspect.LiteralType: "category",
    inspect.EnumType: "category",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The columns of a model's events and, where its answers may be columns too, of those.

    `said` is the object that HELLO's `describe` has under "columns".
    """

    fields: tuple[FieldSchema, ...]
    outputs: tuple[FieldSchema, ...] | None
    said: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Path:
    """The way that a model's events go: by `plan`, or as payloads for `reasons`. `lines` is why answers are no columns."""

    plan: Plan | None
    reasons: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def path_of(signature: Signature) -> Path:
    """The way for a model. Which containers ask for columns follows from their annotation; nothing is configured."""
    if signature.container not in _CONTAINERS:
        return Path(None, (f"{signature.verb} takes events, not columns",))
    reasons = [*_reasons(signature.input_schema)]
    if find_spec("numpy") is None:
        reasons.append("numpy is not installed")
    if reasons:
        return Path(None, tuple(reasons))
    lines = tuple(_output_reasons(signature.output_schema))
    fields, outputs = signature.input_schema.fields, signature.output_schema.fields
    said = {
        "unknown": "refuse" if _refuses_unknown(signature.input_schema.cls) else "skip",
        "fields": [
            _said_field(info, field)
            for info, field in zip(_infos(signature.input_schema), fields, strict=True)
        ],
        "outputs": None if lines else [_said_output(field) for field in outputs],
    }
    return Path(Plan(fields, None if lines else outputs, said), (), lines)


def _reasons(schema: EventSchema) -> Iterator[str]:
    """Why events of a class are not columns."""
    yield from _class_reasons(schema)
    if not schema.is_struct:
        return
    if not schema.fields:
        yield f"{schema.name} has no fields"
    for info, field in zip(_infos(schema), schema, strict=True):
        if reason := _field_reason(info, field):
            yield f"{schema.name}.{field.name} {reason}"


def _output_reasons(schema: EventSchema) -> Iterator[str]:
    yield from _class_reasons(schema)
    if not schema.is_struct:
        return
    if schema.cls.__struct_config__.omit_defaults:  # type: ignore[attr-defined]
        yield f"{schema.name} leaves out defaults"
    for info, field in zip(_infos(schema), schema, strict=True):
        kind, reason = _type_of(info.type)
        if not kind:
            yield f"{schema.name}.{field.name} {reason}"
        elif kind == "category" and not _plain_choices(field):
            yield f"{schema.name}.{field.name} {_ODD_CHOICES}"
        elif kind == "str" and any(getattr(_bare(info.type), name) is not None for name in _HELD):
            yield f"{schema.name}.{field.name} has a length or a pattern"
        elif getattr(_bare(info.type), "multiple_of", None) is not None:
            yield f"{schema.name}.{field.name} has multiple_of"


def _class_reasons(schema: EventSchema) -> Iterator[str]:
    cls, name = schema.cls, schema.name
    if not schema.is_struct:
        yield f"{name} is a pydantic model"
        return
    config = cls.__struct_config__  # type: ignore[attr-defined]
    if hasattr(cls, "__post_init__"):
        yield f"{name} has __post_init__"
    if config.tag is not None:
        yield f"{name} has a tag"
    if config.array_like:
        yield f"{name} is an array in JSON"


def _field_reason(info: inspect.Field, field: FieldSchema) -> str:
    kind, reason = _type_of(info.type)
    if not kind:
        return reason
    if kind == "category" and not _plain_choices(field):
        return _ODD_CHOICES
    for bound in (getattr(_bare(info.type), name, None) for name in _BOUNDS):
        if bound is not None and not (_whole(bound) if kind == "int" else math.isfinite(bound)):
            return f"has a bound of {bound}"
    if info.required:
        return ""
    if info.default_factory is not msgspec.NODEFAULT:
        return "has a default_factory"
    return "" if _fits(info.default, field) else f"has a default that is no {field.kind}"


def _type_of(hint: inspect.Type) -> tuple[str, str]:
    """The kind of a column, or no kind and the reason."""
    bare = _bare(hint)
    kind = _TYPES.get(type(bare))
    if kind is None:
        return "", f"is {_words(bare)}"
    if (pattern := getattr(bare, "pattern", None)) is not None and not same_everywhere(pattern):
        return "", f"has the pattern {pattern}, which is not the same everywhere"
    if isinstance(bare, inspect.DateTimeType) and bare.tz is not True:
        return "", "is a time without zone"
    return kind, ""


def _bare(hint: Any) -> Any:
    """The type without marks and without null; a union of more stays one."""
    while isinstance(hint, (inspect.Metadata, inspect.UnionType)):
        if isinstance(hint, inspect.Metadata):
            hint = hint.type
            continue
        arms = [arm for arm in hint.types if not isinstance(arm, inspect.NoneType)]
        if len(arms) != 1:
            return hint
        hint = arms[0]
    return hint


def _words(bare: Any) -> str:
    names = {
        "UnionType": "a union",
        "DecimalType": "Decimal",
        "AnyType": "of any type",
        "StructType": "nested",
        "DictType": "a dict",
    }
    name = type(bare).__name__
    return names.get(name, f"of type {name.removesuffix('Type').lower()}")


def _infos(schema: EventSchema) -> tuple[inspect.Field, ...]:
    info: Any = inspect.type_info(schema.cls)
    return tuple(info.fields)


def _whole(bound: Any) -> bool:
    return float(bound).is_integer() and INT64_MIN <= bound <= INT64_MAX


_ODD_CHOICES = "has choices that are neither text nor int64"


def _plain_choices(field: FieldSchema) -> bool:
    return all(
        _encodes(c) if type(c) is str else type(c) is int and INT64_MIN <= c <= INT64_MAX
        for c in field.choices or ()
    )


def _fits(value: Any, field: FieldSchema) -> bool:
    """Whether a default is a value that JSON has, of the field's type."""
    if value is None:
        return field.nullable
    if field.kind == "float":
        return type(value) in (float, int) and math.isfinite(value)
    if field.kind == "int":
        return type(value) is int and INT64_MIN <= value <= INT64_MAX
    if field.kind == "bool":
        return type(value) is bool
    if field.kind == "str":
        return type(value) is str and _encodes(value)
    if field.kind == "datetime":
        return (
            type(value) is datetime.datetime and value.utcoffset() is not None and _in_utc(value) is not None
        )
    if field.kind == "date":
        return type(value) is datetime.date
    is_enum = isinstance(field.bare, type) and issubclass(field.bare, enum.Enum)
    return isinstance(value, field.bare) if is_enum else value in (field.choices or ())


def _in_utc(time: datetime.datetime) -> datetime.datetime | None:
    """The same instant; None where UTC has no year for it. JSON rounds offsets to minutes, and old zones have seconds."""
    try:
        return time.astimezone(datetime.UTC)
    except OverflowError:
        return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuses_unknown(cls: Any) -> bool:
    """As in decode.py: a strict class whose unknown fields are not to be skipped."""
    strict = cls.__struct_config__.forbid_unknown_fields
    return bool(strict and getattr(cls, "refuses_unknown_fields", True))


def _said_field(info: inspect.Field, field: FieldSchema) -> dict[str, Any]:
    said = _said_output(field)
    if not field.required:
        is_time = isinstance(field.default, datetime.datetime)
        said["default"] = msgspec.to_builtins(_in_utc(field.default) if is_time else field.default)
    bare = _bare(info.type)
    for name in (*_BOUNDS, *_HELD):
        value = getattr(bare, name, None)
        if value is not None and value not in (INT64_MIN, INT64_MAX):
            said[name] = int(value) if field.kind == "int" else value
    return said


def _said_output(field: FieldSchema) -> dict[str, Any]:
    said = {"name": field.name, "wire": field.wire, "kind": field.kind, "nullable": field.nullable}
    return said | ({"choices": list(field.choices)} if field.choices is not None else {})
