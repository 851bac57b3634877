"""Parameters of SQL as the wire has them: [name, value, name, value, ...] (bridge_go/calls/METHODS.md)."""

from __future__ import annotations

import datetime
import decimal
import enum
from collections.abc import Mapping
from typing import Any

_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)
_PLAIN: tuple[Any, ...] = (int, float, str, bytes)


def encoded(what: str, params: Mapping[str, Any] | None) -> list[Any] | None:
    """Names and values in turn. A TypeError names the parameter that is none."""
    if not params:
        return None
    if not isinstance(params, Mapping):
        raise TypeError(
            f'{what}: params is a {type(params).__name__}. Write params={{"name": value}} and :name in the SQL'
        )
    flat: list[Any] = []
    for name, value in params.items():
        try:
            flat += [name, _value(value)]
        except TypeError as error:
            raise TypeError(f"{what}: parameter {name}: {error}") from None
    return flat


def _value(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _value(value.value)
    if value is None or isinstance(value, bool):
        return value
    for plain in _PLAIN:
        if isinstance(value, plain):
            return plain(value)  # numpy's float64 and str_ are some, too
    if isinstance(value, (list, tuple, set, frozenset)):
        return ["list", *map(_value, value)]
    if isinstance(value, decimal.Decimal):
        return ["decimal", str(value)]
    if isinstance(value, datetime.date):
        return _time(value)
    return _foreign(value)


def _time(value: datetime.date) -> list[Any] | None:
    """Times with a zone, without one, and days; pandas' Timestamp is a datetime, and its NaT is null."""
    if value != value:
        return None
    if not isinstance(value, datetime.datetime):
        return ["date", (value - _EPOCH.date()).days]
    if value.tzinfo is None:
        return ["timestamp", (value - _EPOCH) // _MICROSECOND]
    return ["timestamptz", (value - _EPOCH.replace(tzinfo=datetime.UTC)) // _MICROSECOND]


def _foreign(value: Any) -> Any:
    """Values and columns of numpy, pandas and Arrow, as Python's."""
    for way in ("to_pylist", "tolist", "as_py"):
        if hasattr(value, way):
            return _value(getattr(value, way)())
    raise TypeError(
        f"a {type(value).__name__} is no value. Give None, bool, int, float, str, bytes, a time, a Decimal or a list"
    )
