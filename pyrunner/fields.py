"""What may be said of one field of an event or of params: `Field`, and the marks `Key` and `EventTime`.

They are written inside `Annotated` and are plain `msgspec.Meta`, so that the decoder enforces the constraints while it
decodes, at no extra cost. What msgspec has no word for (unit, log, the marks) rides along in `Meta.extra`.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import operator
import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def Field(
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    multiple_of: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    description: str | None = None,
    examples: Sequence[Any] | None = None,
    unit: str | None = None,
    log: bool = True,
) -> Any:
    """Constrain and describe a field: `distance: Annotated[float, Field(gt=0, unit="miles")]`.

    `gt ge lt le multiple_of` are for numbers, `min_length max_length` for strings, lists and dicts, `pattern` for strings (a
    regular expression that must match somewhere; anchor it with ^ and $). `unit` and `description` are shown in
    schemas. `log=False` keeps the field's values out of logs, error answers and dead letters' reasons.
    """
    settings: dict[str, Any] = {
        "gt": gt,
        "ge": ge,
        "lt": lt,
        "le": le,
        "multiple_of": multiple_of,
        "min_length": min_length,
        "max_length": max_length,
        "pattern": pattern,
        "description": description,
        "examples": list(examples) if examples is not None else None,
        "extra_json_schema": _annotations(unit, log) or None,
    }
    return msgspec.Meta(extra={"unit": unit, "log": log}, **settings)


def _annotations(unit: str | None, log: bool) -> dict[str, Any]:
    """What JSON Schema has no word for: the bridge reads `x-log`, to keep such fields out of its request log."""
    return ({"x-unit": unit} if unit else {}) | ({} if log else {"x-log": False})


def Key() -> Any:
    """Mark the field by which events belong together: partitions, lanes and lookups go by it."""
    return msgspec.Meta(extra={"key": True}, extra_json_schema={"x-key": True})


def EventTime() -> Any:
    """Mark the field that says when the event happened (a datetime with zone)."""
    return msgspec.Meta(extra={"event_time": True}, extra_json_schema={"x-event-time": True})


@dataclasses.dataclass(frozen=True)
class Marks:
    """Everything that the metadata of one annotation says, merged."""

    key: bool = False
    event_time: bool = False
    unit: str | None = None
    log: bool = True
    description: str | None = None
    constraints: tuple[tuple[str, Any], ...] = ()

    def constraint(self, name: str) -> Any:
        return dict(self.constraints).get(name)


_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")

_SAYINGS = ("title", "description", "examples", "extra_json_schema", "extra")


def split(hint: Any) -> tuple[Any, Marks]:
    """The bare type of an annotation and its marks; marks inside `X | None` count for the field too."""
    marks: dict[str, Any] = {}
    constraints: dict[str, Any] = {}
    bare = _strip(hint, marks, constraints)
    return bare, Marks(constraints=tuple(constraints.items()), **marks)


def _strip(hint: Any, marks: dict[str, Any], constraints: dict[str, Any]) -> Any:
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        for meta in metadata:
            if isinstance(meta, msgspec.Meta):
                _merge(meta, marks, constraints)
        return _strip(inner, marks, constraints)
    if is_union(hint):
        return union_of(_strip(arm, marks, constraints) for arm in get_args(hint))
    return hint


def _merge(meta: msgspec.Meta, marks: dict[str, Any], constraints: dict[str, Any]) -> None:
    marks.update({k: v for k, v in (meta.extra or {}).items() if k in ("key", "event_time", "unit", "log")})
    if meta.description is not None:
        marks["description"] = meta.description
    for name in _CONSTRAINTS:
        if (value := getattr(meta, name)) is not None:
            constraints[name] = value


def is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def union_of(arms: Any) -> Any:
    return functools.reduce(operator.or_, arms)


def lower(hint: Any) -> Any:
    """The annotation as the decoder gets it: integers within int64, datetimes with a zone.

    Both are promises of the wire that every reader shares: Go has no wider integer, and a time without a zone is
    another moment on another machine.
    """
    if hint is int:
        return Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]
    if hint is datetime.datetime:
        return Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    if get_origin(hint) is Annotated:
        return _lower_annotated(hint)
    if is_union(hint):
        return union_of(lower(arm) for arm in get_args(hint))
    if get_origin(hint) in (list, tuple, set, frozenset, dict) and get_args(hint):
        return get_origin(hint)[tuple(lower(arm) if arm is not Ellipsis else arm for arm in get_args(hint))]
    return hint


def _lower_annotated(hint: Any) -> Any:
    inner, *metadata = get_args(hint)
    if is_union(inner):
        return _lower_constrained_union(inner, metadata)
    metas = [m for m in metadata if isinstance(m, msgspec.Meta)]
    if inner is int:
        if all(m.ge is None and m.gt is None for m in metas):
            metadata.append(msgspec.Meta(ge=INT64_MIN))
        if all(m.le is None and m.lt is None for m in metas):
            metadata.append(msgspec.Meta(le=INT64_MAX))
    elif inner is datetime.datetime:
        if all(m.tz is None for m in metas):
            metadata.append(msgspec.Meta(tz=True))
    else:
        inner = lower(inner)
    return Annotated[(inner, *metadata)]


def _lower_constrained_union(union: Any, metadata: list[Any]) -> Any:
    """`Annotated[float | None, Field(ge=0)]`: constraints are for the values, so they move inside; null has none."""
    constraints: list[msgspec.Meta] = []
    others: list[Any] = []
    for meta in metadata:
        if not isinstance(meta, msgspec.Meta):
            others.append(meta)
            continue
        given = {name: value for name in _CONSTRAINTS if (value := getattr(meta, name)) is not None}
        rest = {name: value for name in _SAYINGS if (value := getattr(meta, name)) is not None}
        constraints += [msgspec.Meta(**given)] if given else []
        others += [msgspec.Meta(**rest)] if rest else []
    arms = [
        Annotated[(arm, *constraints)] if constraints and arm is not type(None) else arm
        for arm in get_args(union)
    ]
    lowered = union_of(lower(arm) for arm in arms)
    return Annotated[(lowered, *others)] if others else lowered
