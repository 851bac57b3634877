"""Reads tests/vectors: the data that all implementations of the wire share (its README says how it is written)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from pyrunner.protocol import codec, frames

ROOT = Path(__file__).resolve().parents[2] / "vectors"
_STRUCTS = {kind.__name__.upper(): kind for kind in frames.AnyFrame.__args__}


def load(name: str) -> Any:
    return json.loads((ROOT / name).read_text())


def dialogues(folder: str = "dialogues") -> list[tuple[str, dict[str, Any]]]:
    files = sorted((ROOT / folder).glob("*.json"))
    return [(f.stem, json.loads(f.read_text())) for f in files if f.stem != "defaults"]


def body(vector: dict[str, Any]) -> bytes:
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    return b"".join(
        bytes.fromhex(p) if isinstance(p, str) else bytes.fromhex(p["repeat"]) * p["n"]
        for p in vector["pieces"]
    )


def to_frame(written: dict[str, Any]) -> frames.Frame:
    """A frame written as JSON as the struct that it means."""
    fields = dict(written)
    name = fields.pop("type")
    return _STRUCTS[name](**{k: _field(name, k, v) for k, v in fields.items()})


def to_fields(written: dict[str, Any]) -> dict[str, Any]:
    """Only the fields that are written, as the values that the struct holds."""
    fields = dict(written)
    name = fields.pop("type")
    return {k: _field(name, k, v) for k, v in fields.items()}


def _field(frame: str, field: str, value: Any) -> Any:
    if field in ("describe", "pad", "body"):
        return bytes.fromhex(value)
    if field in ("payloads", "keys") and value is not None:
        return [None if v is None else bytes.fromhex(v) for v in value]
    if field == "misfits":
        return [bytes.fromhex(v) if isinstance(v, str) else v for v in value]
    if field == "headers" and value is not None:
        return [
            None if h is None else [bytes.fromhex(v) if i % 2 else v for i, v in enumerate(h)] for h in value
        ]
    if field == "outputs":
        return bytes.fromhex(value) if isinstance(value, str) else [bytes.fromhex(v) for v in value]
    if field == "errors":
        return [
            frames.RowFailure(e[0], e[1], e[2], e[3], None if e[4] is None else bytes.fromhex(e[4]), e[5])
            for e in value
        ]
    if field == "lease" and value is not None:
        return tuple(value)
    if (frame, field) in (("CALL", "args"), ("ANSWER", "value")):
        return codec.encode_value(_plain(value))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["bin"])
    return [_plain(v) for v in value] if isinstance(value, list) else value


def comparable(frame: Any) -> Any:
    """A frame as plain values: raw parts decoded, subclasses and lists of pairs alike."""
    values = {}
    for field in frame.__struct_fields__:
        value = getattr(frame, field)
        values[field] = msgspec.msgpack.decode(value) if isinstance(value, msgspec.Raw) else value
    return codec.name(frame), values
