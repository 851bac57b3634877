"""What an event class declares, read once: fields, kinds, what may be null, and the JSON Schema of it all.

Everything that depends on the types (dtypes of frames, error texts, signatures of trained models, the API's documentation) goes
by `EventSchema`; nobody else looks at annotations. msgspec structs and pydantic models give the same description.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

from pyrunner.errors import UserError
from pyrunner.events import Event, prepare
from pyrunner.fields import INT64_MAX, INT64_MIN, Marks, is_union, split, union_of

Kind = Literal[
    "float", "int", "bool", "str", "category", "datetime", "date", "decimal", "event", "list", "dict", "any"
]

_SCALARS: dict[Any, Kind] = {
    float: "float",
    int: "int",
    bool: "bool",
    str: "str",
    datetime.datetime: "datetime",
    datetime.date: "date",
    decimal.Decimal: "decimal",
}

#: How a field's type is written in manifests and messages; those of frames are the dtypes.
_TYPE_NAMES = {"float": "float64", "int": "int64", "datetime": "datetime64[us, UTC]"}

_JSON_NAMES = {
    "float": "number",
    "int": "integer",
    "bool": "true or false",
    "str": "string",
    "datetime": "time with zone, as in 2013-01-01T10:00:00Z",
    "date": "date, as in 2013-01-31",
    "decimal": "decimal number as a string",
    "event": "object",
    "list": "list",
    "dict": "object",
    "any": "any value",
}


@dataclasses.dataclass(frozen=True)
class FieldSchema:
    """One declared field."""

    name: str  # of the attribute, and so of the column
    wire: str  # in JSON; another one only with msgspec's `rename` or pydantic's alias
    kind: Kind
    nullable: bool
    required: bool
    hint: Any  # the annotation as the decoder gets it
    bare: Any  # the type without null and without marks
    marks: Marks
    default: Any = None
    choices: tuple[Any, ...] | None = None  # the categories, in the declared order

    @property
    def type_name(self) -> str:
        """`float64`, `int64 | null`, `category[EWR, JFK]`: as manifests and messages say it."""
        name = _TYPE_NAMES.get(self.kind, self.kind)
        if self.choices is not None:
            name = f"category[{', '.join(map(str, self.choices))}]"
        elif self.kind in ("event", "list", "dict", "any"):
            name = _spelt(self.bare)
        return f"{name} | null" if self.nullable else name

    @property
    def expected(self) -> str:
        """What a sender should write, in the words of JSON: `number > 0 or null`."""
        text = _JSON_NAMES.get(self.kind, "value")
        if self.choices is not None:
            text = "one of " + ", ".join(msgspec.json.encode(c).decode() for c in self.choices)
        text += _constraints_text(self.marks)
        return f"{text} or null" if self.nullable else text


@dataclasses.dataclass(frozen=True)
class EventSchema:
    """An event class as data. Made by `schema_of`, which keeps one for each class."""

    cls: type
    name: str
    fields: tuple[FieldSchema, ...]
    is_struct: bool

    def __iter__(self) -> Iterator[FieldSchema]:
        return iter(self.fields)

    @functools.cached_property
    def by_name(self) -> dict[str, FieldSchema]:
        return {f.name: f for f in self.fields}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def key(self) -> str | None:
        return next((f.name for f in self.fields if f.marks.key), None)

    @property
    def event_time(self) -> str | None:
        return next((f.name for f in self.fields if f.marks.event_time), None)

    def types(self) -> dict[str, str]:
        """Field name to type name: what a trained model's manifest holds."""
        return {f.name: f.type_name for f in self.fields}

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of one event, by itself: definitions of nested events are in `$defs`."""
        if not self.is_struct:
            schema = dict(self.cls.model_json_schema())  # type: ignore[attr-defined]
            for field in self.fields:
                if not field.marks.log:
                    schema["properties"][field.wire]["x-log"] = False
            return schema
        (root,), definitions = msgspec.json.schema_components([self.cls], ref_template="#/$defs/{name}")
        for definition in definitions.values():
            _tidy(definition)
        own = definitions.pop(root["$ref"].rpartition("/")[2]) if "$ref" in root else root
        return {**own, "$defs": definitions} if definitions else own


@functools.cache
def schema_of(cls: Any) -> EventSchema:
    """The schema of an event class: a msgspec struct or a pydantic model.

    Raises a UserError that names class and field when the declaration cannot work.
    """
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        return _struct_schema(cls)
    if is_pydantic(cls):
        return _pydantic_schema(cls)
    raise UserError(
        f"{_spelt(cls)} is no event class. Write: class {getattr(cls, '__name__', 'Name')}(Event): ..."
    )


def is_pydantic(cls: Any) -> bool:
    return isinstance(cls, type) and hasattr(cls, "__pydantic_core_schema__") and hasattr(cls, "model_fields")


def _struct_schema(cls: type[msgspec.Struct]) -> EventSchema:
    try:
        if issubclass(cls, Event) and not all(prepare(base) for base in cls.__mro__ if _is_event(base)):
            raise NameError("an annotation names something that is not defined")
        hints = typing.get_type_hints(cls, include_extras=True)
        infos = msgspec.structs.fields(cls)
        msgspec.json.Decoder(cls)  # refuses what it cannot decode
    except NameError as e:
        raise UserError(f"{cls.__name__}: {e}") from None
    except TypeError as e:
        raise UserError(
            f"{cls.__module__}.{cls.__name__} cannot be an event: {str(e).splitlines()[0]}"
        ) from None
    fields = tuple(
        _field(info.name, info.encode_name, hints[info.name], info.required, _default(info)) for info in infos
    )
    return EventSchema(cls, cls.__name__, fields, True)


def _is_event(cls: type) -> bool:
    return issubclass(cls, Event) and cls is not Event


def _pydantic_schema(cls: Any) -> EventSchema:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = tuple(
        _field(
            name,
            info.alias or name,
            hints[name],
            info.is_required(),
            info.get_default(call_default_factory=False),
        )
        for name, info in cls.model_fields.items()
    )
    return EventSchema(cls, cls.__name__, fields, False)


def _default(info: msgspec.structs.FieldInfo) -> Any:
    if info.default is not msgspec.NODEFAULT:
        return info.default
    return info.default_factory() if info.default_factory is not msgspec.NODEFAULT else None


def _field(name: str, wire: str, hint: Any, required: bool, default: Any) -> FieldSchema:
    bare, marks = split(hint)
    nullable = bare is type(None) or (is_union(bare) and type(None) in get_args(bare))
    if is_union(bare) and nullable:
        bare = union_of(split(arm)[0] for arm in get_args(bare) if arm is not type(None))
    kind, choices = _kind(bare)
    return FieldSchema(name, wire, kind, nullable, required, hint, bare, marks, default, choices)


def _kind(bare: Any) -> tuple[Kind, tuple[Any, ...] | None]:
    if bare in _SCALARS:
        return _SCALARS[bare], None
    if get_origin(bare) is Literal:
        return "category", get_args(bare)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return "category", tuple(member.value for member in bare)
    if isinstance(bare, type) and (issubclass(bare, msgspec.Struct) or is_pydantic(bare)):
        return "event", None
    origin = get_origin(bare) or bare
    if origin in (list, tuple, set, frozenset):
        return "list", None
    return ("dict" if origin is dict else "any"), None


def _constraints_text(marks: Marks) -> str:
    words = {"gt": "> {}", "ge": ">= {}", "lt": "< {}", "le": "<= {}", "multiple_of": "multiple of {}"}
    parts = [words[name].format(value) for name, value in marks.constraints if _worth_saying(name, value)]
    least, most = marks.constraint("min_length"), marks.constraint("max_length")
    if least is not None or most is not None:
        span = (
            least if least == most else f"{least or 0} to {most}" if most is not None else f"{least} or more"
        )
        parts.append(f"of length {span}")
    if pattern := marks.constraint("pattern"):
        parts.append(f"matching {pattern}")
    return "".join(f" {part}" for part in parts)


def _worth_saying(name: str, value: Any) -> bool:
    return name in ("gt", "ge", "lt", "le", "multiple_of") and value not in (INT64_MIN, INT64_MAX)


def _tidy(definition: dict[str, Any]) -> None:
    """Say int64 as a format, and that unknown fields are skipped: strictness is the decoder's, not the sender's, affair."""
    refuses = definition.get("additionalProperties") is False
    if refuses:
        del definition["additionalProperties"]
    for schema in _walk(definition):
        if schema.get("minimum") == INT64_MIN or schema.get("maximum") == INT64_MAX:
            schema["format"] = "int64"
            for bound, limit in (("minimum", INT64_MIN), ("maximum", INT64_MAX)):
                if schema.get(bound) == limit:
                    del schema[bound]


def _walk(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "type" in schema:
            yield schema
        for key, value in schema.items():
            if key not in ("default", "examples", "const", "enum"):
                yield from _walk(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _walk(item)


def _spelt(hint: Any) -> str:
    """A type as it is written: `list[Leg]`, not `list[package.module.Leg]`."""
    origin = get_origin(hint)
    if origin is typing.Annotated:
        return _spelt(get_args(hint)[0])
    if is_union(hint):
        return " | ".join(_spelt(arm) for arm in get_args(hint))
    if origin is not None and not isinstance(hint, types.UnionType):
        return f"{_spelt(origin)}[{', '.join(_spelt(a) for a in get_args(hint))}]"
    return getattr(hint, "__name__", None) or str(hint)
