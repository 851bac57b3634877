"""Decoding an event that has more fields than its class.

Event classes are strict in the decoder so that a misspelt field cannot pass unseen at no cost at all (see events.py). For
events that do have unknown fields there is a *twin*: a subclass, made here, that differs only in skipping them, and whose
instances get their real class back at once, so that a model never meets a twin.
"""

from __future__ import annotations

import functools
import typing
from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

from pyrunner.fields import is_union, union_of

_SET_CLASS: Any = object.__dict__["__class__"].__set__


class LenientDecoder:
    """Decodes events of one struct class, skipping what the class and the classes nested in it do not name."""

    def __init__(self, cls: type[msgspec.Struct]) -> None:
        self._cls = cls
        self._originals: dict[type, type] = {}
        self._decode = msgspec.json.Decoder(_twin(cls, self._originals)).decode
        self._nested = len(self._originals) > 1

    def one(self, payload: Any) -> Any:
        event = self._decode(payload)
        self._restore(event)
        return event

    def many(self, payloads: Any) -> list[Any]:
        events = list(map(self._decode, payloads))
        if self._nested:
            for event in events:
                self._restore(event)
        else:
            deque(map(_SET_CLASS, events, repeat(self._cls)), maxlen=0)
        return events

    def _restore(self, value: Any) -> None:
        """Give every twin below `value` its real class."""
        original = self._originals.get(type(value))
        if original is not None:
            for name in value.__struct_fields__ if self._nested else ():
                self._restore(getattr(value, name))
            value.__class__ = original
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._restore(item)
        elif isinstance(value, dict):
            for item in value.values():
                self._restore(item)


def _twin(cls: type[msgspec.Struct], originals: dict[type, type]) -> type[msgspec.Struct]:
    """The lenient twin of a struct class, and of those nested in it; `originals` maps each back."""
    known = next((twin for twin, original in originals.items() if original is cls), None)
    if known is not None:
        return known
    originals[cls] = cls  # a class that holds itself: what is below stays strict
    hints = typing.get_type_hints(cls, include_extras=True)
    namespace: dict[str, Any] = {
        "__annotations__": {},
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
    }
    for field in msgspec.structs.fields(cls):
        hint = _map_structs(hints[field.name], lambda nested: _twin(nested, originals))
        if hint != hints[field.name]:
            namespace["__annotations__"][field.name] = hint
            namespace.update(_default(field))
    make: Any = type(cls)
    twin: type[msgspec.Struct] = make(
        cls.__name__, (cls,), namespace, kw_only=True, forbid_unknown_fields=False
    )
    del originals[cls]
    originals[twin] = cls
    return twin


def _default(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    if field.required:
        return {}
    value = msgspec.field(default=field.default) if field.default is not msgspec.NODEFAULT else None
    return {field.name: value or msgspec.field(default_factory=field.default_factory)}


def _map_structs(hint: Any, change: Callable[[Any], Any]) -> Any:
    """A type in which every nested struct class is changed, through lists, dicts, unions and Annotated."""
    if isinstance(hint, type) and get_origin(hint) is None:
        return change(hint) if issubclass(hint, msgspec.Struct) else hint
    inner = functools.partial(_map_structs, change=change)
    if get_origin(hint) is Annotated:
        bare, *metadata = get_args(hint)
        return Annotated[(inner(bare), *metadata)]
    if is_union(hint):
        return union_of(inner(arm) for arm in get_args(hint))
    if get_origin(hint) in (list, tuple, set, frozenset, dict):
        return get_origin(hint)[tuple(inner(arm) if arm is not Ellipsis else arm for arm in get_args(hint))]
    return hint


def unknown_names(cls: type[msgspec.Struct], value: Any, prefix: str = "") -> list[str]:
    """The names in a decoded JSON value that the class, or one nested in it, does not declare; nested ones are dotted."""
    if not isinstance(value, dict):
        return []
    known = _names(cls)
    found = [prefix + name for name in value if name not in known]
    for name in value:
        nested = known.get(name)
        if nested is not None:
            for item in _objects(value[name], nested.mapping):
                found += unknown_names(nested.cls, item, f"{prefix}{name}.")
    return list(dict.fromkeys(found))


class _Nested(NamedTuple):
    """The one class that is nested in a field, and whether the field is a dict of them."""

    cls: type[msgspec.Struct]
    mapping: bool


@functools.cache
def _names(cls: type[msgspec.Struct]) -> dict[str, _Nested | None]:
    """The names that a class declares, as JSON has them. Of a union of classes msgspec decides, so nothing is looked at there."""
    names: dict[str, _Nested | None] = {}
    for field in msgspec.structs.fields(cls):
        structs = _structs_in(field.type)
        names[field.encode_name] = _Nested(structs[0], _is_mapping(field.type)) if len(structs) == 1 else None
    return names


def _structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []

    def note(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
        found.append(struct)
        return struct

    _map_structs(hint, note)
    return found


def _objects(value: Any, mapping: bool) -> list[Any]:
    """The objects in a field's value that stand for its nested class."""
    if isinstance(value, dict) and mapping:
        return list(value.values())
    return value if isinstance(value, list) else [value]


def _is_mapping(hint: Any) -> bool:
    if get_origin(hint) is Annotated or is_union(hint):
        return any(map(_is_mapping, get_args(hint)))
    return get_origin(hint) is dict
