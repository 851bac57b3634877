"""tests/vectors/events in Python: the class that a plan of columns describes, and what its events say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from pyrunner import Event, Field

FOLDER = Path(__file__).parents[2] / "vectors" / "events"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TYPES = {
    "float": float, "int": int, "bool": bool, "str": str, "datetime": datetime.datetime, "date": datetime.date,
}  # fmt: skip
BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def vectors() -> dict[str, dict[str, Any]]:
    """Each file of verdicts by its name."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    return {name: vector for name, vector in found.items() if "events" in vector and "columns" in vector}


def payload_of(event: dict[str, Any]) -> bytes:
    return bytes.fromhex(event["hex"]) if "hex" in event else event["json"].encode()


def class_of(columns: dict[str, Any]) -> type[Event]:
    """The event class whose plan this is."""
    fields = columns["fields"]
    namespace: dict[str, Any] = {
        "__annotations__": {f["name"]: _hint(f) for f in fields},
        "__module__": __name__,
        **{f["name"]: _default(f) for f in fields if "default" in f},
    }
    config: dict[str, Any] = {"rename": {f["name"]: f["wire"] for f in fields}}
    if columns["unknown"] == "refuse":
        config["forbid_unknown_fields"] = True
    made: type[Event] = type(Event)("Said", (Event,), namespace, **config)
    return made


def _hint(field: dict[str, Any]) -> Any:
    hint = Literal[tuple(field["choices"])] if field["kind"] == "category" else TYPES[field["kind"]]
    bounds = {name: field[name] for name in BOUNDS if name in field}
    if bounds:
        hint = Annotated[hint, Field(**bounds)]
    return hint | None if field["nullable"] else hint


def _default(field: dict[str, Any]) -> Any:
    if field["kind"] in ("datetime", "date") and field["default"] is not None:
        return msgspec.convert(field["default"], TYPES[field["kind"]])
    return field["default"]


def told(columns: dict[str, Any], event: Any) -> dict[str, Any]:
    """An event as the vectors say rows: times as microseconds since 1970, dates as days, all else as it is."""
    return {f["name"]: _told(f["kind"], getattr(event, f["name"])) for f in columns["fields"]}


def _told(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    if kind == "datetime":
        return (value.replace(tzinfo=datetime.UTC) - EPOCH) // datetime.timedelta(microseconds=1) - _offset(
            value
        )
    return (value - EPOCH.date()).days if kind == "date" else value


def _offset(value: datetime.datetime) -> int:
    """Microseconds east. Instants outside the years 1 to 9999 have no datetime in UTC, but they have a number."""
    east = value.utcoffset()
    assert east is not None
    return east // datetime.timedelta(microseconds=1)
