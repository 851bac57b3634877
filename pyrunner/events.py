"""`Event`, the base of everything that comes in and goes out.

Events are msgspec structs: written as classes with annotations, made by keyword, mutable, cheap to decode. An event class
is strict in the decoder: a field that it does not name stops the fast path, and the scorer then counts the name, suggests the
nearest declared one and decodes the event without it. Reading a topic with more fields than the class names is
therefore no error, and a misspelt field is never silent (see scoring/unknown.py).
"""

from __future__ import annotations

import typing
from typing import Any, ClassVar, dataclass_transform

import msgspec

from pyrunner.fields import lower


def prepare(cls: type) -> bool:
    """Lower the class's own annotations once. False while a name in them is not defined yet.

    Called when the class is made, which is before any decoder can have looked at it, and again when its schema is read, for
    classes whose annotations name something that is defined further down.
    """
    if "__ds_lowered__" in vars(cls):
        return True
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError:
        return False
    own = vars(cls).get("__annotations__", {})
    if own:
        cls.__annotations__ = {name: lower(hints[name]) for name in own if name in hints}
    cls.__ds_lowered__ = True  # type: ignore[attr-defined]
    return True


class EventMeta(msgspec.StructMeta):
    """Makes every subclass keyword only and strict, and lowers its annotations for the decoder."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **config: Any) -> Any:
        refuse = config.get("forbid_unknown_fields")
        config.setdefault("kw_only", True)
        config.setdefault("forbid_unknown_fields", True)
        cls = super().__new__(mcls, name, bases, namespace, **config)
        if refuse is not None:
            cls.refuses_unknown_fields = refuse  # type: ignore[attr-defined]
        prepare(cls)
        return cls


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Declared(msgspec.Struct, metaclass=EventMeta):
    """What events and params have in common: declared fields, by keyword, with `Field`'s constraints."""


class Event(Declared):
    """One event, or one result. Fields are annotations; without a default a field is required, even when `| None`.

    Types: float, int (within int64), bool, str, `Literal`, enums, `datetime` with zone, `date`, `Decimal` (a string on the wire),
    lists, `dict[str, T]`, other events. Constraints by `Annotated[T, Field(...)]`. Checked when decoded; making
    one in Python checks nothing, results are checked before they leave.

    A pydantic model may stand wherever an event class does. Decoding it costs about five times as much (2.4 against 0.5 us for
    twelve fields), checking and encoding a result about ten times.
    """

    #: True: an unknown field makes an event invalid. None (the default): it is counted and skipped.
    #: Set it with `class Departure(Event, forbid_unknown_fields=True)`.
    refuses_unknown_fields: ClassVar[bool | None] = None
